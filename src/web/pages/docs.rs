//! `/api/docs`: the OpenAPI document to browse. A script builds it from `/api/openapi.json`.

use askama::Template;
use axum::response::Response;

use super::error::PageError;
use super::{Reader, render};

#[derive(Template)]
#[template(path = "docs.html")]
pub(super) struct DocsPage {
    pub(super) page: Reader,
}

pub(super) async fn show(page: Reader) -> Result<Response, PageError> {
    render(&DocsPage { page })
}
