//! `/import`: the upload form. A script sends it to the API and shows the job; the row errors of a
//! refused import appear on the same page.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::error::PageError;
use super::{Reader, render};
use crate::jobs::Services;

#[derive(Template)]
#[template(path = "import.html")]
pub(super) struct ImportPage {
    pub(super) page: Reader,
    /// Name of the dataset that more rows go into, when the page was opened from there.
    pub(super) dataset: String,
    /// The server may read media from its own folders.
    pub(super) paths_allowed: bool,
    pub(super) limit: String,
}

pub(super) async fn show(State(services): State<Services>, page: Reader) -> Result<Response, PageError> {
    let server = &services.config.server;
    let limit = format!("{:.1} GiB", server.max_upload_bytes as f64 / f64::from(1u32 << 30));
    let dataset = page.query("dataset").unwrap_or("").to_owned();
    render(&ImportPage { page, dataset, paths_allowed: !server.import_roots.is_empty(), limit })
}
