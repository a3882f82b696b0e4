//! Pages for what went wrong. A handler's error leaves as a bare response with a note; the layer
//! that knows the reader turns the note into a page in the reader's language.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::Reader;
use crate::store::StoreError;
use crate::web::error::Problem;

/// A whole page with a title and one sentence.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    pub(crate) page: Reader,
    pub(crate) status: u16,
    pub(crate) title: String,
    pub(crate) detail: String,
}

impl ErrorPage {
    /// For addresses that lead nowhere.
    pub(crate) fn not_found(page: Reader) -> Response {
        Failure { status: StatusCode::NOT_FOUND, key: "not_found", detail: None }.page(page)
    }

    pub(crate) fn respond(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, format!("{}\n{}", self.title, self.detail)).into_response(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Render(#[from] askama::Error),
    /// Refused as the API refuses it.
    #[error("{}", .0.body().detail)]
    Refused(Problem),
}

/// What the layer needs to write the page; `key` names `error.<key>.title` and `.detail`.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    key: &'static str,
    detail: Option<String>,
}

impl Failure {
    pub(super) fn page(self, page: Reader) -> Response {
        let title = page.lang.text(&format!("error.{}.title", self.key)).to_owned();
        let words = page.lang.text(&format!("error.{}.detail", self.key)).to_owned();
        let detail = match self.detail {
            Some(d) => format!("{words} {d}"),
            None => words,
        };
        ErrorPage { page, status: self.status.as_u16(), title, detail }.respond()
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, key, detail) = match &self {
            Self::Refused(problem) => return problem.clone().into_response(),
            Self::Store(StoreError::NotFound { key, .. }) => {
                (StatusCode::NOT_FOUND, "not_found", Some(format!("({key})")))
            }
            Self::Store(e @ StoreError::Rule { .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "rule", Some(e.to_string()))
            }
            Self::Store(e) if e.is_bad_text() => (StatusCode::NOT_FOUND, "not_found", None),
            Self::Store(e) if e.is_transient() => {
                tracing::warn!(error = %e, "page not served");
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", None)
            }
            Self::Store(e) if e.took_too_long() => (StatusCode::SERVICE_UNAVAILABLE, "took_too_long", None),
            other => {
                tracing::error!(error = ?other, "page not served");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", None)
            }
        };
        let mut response = status.into_response();
        response.extensions_mut().insert(Failure { status, key, detail });
        response
    }
}
