//! What every refused or failed request is answered with: a problem (RFC 9457) as JSON, or as a
//! small page where a browser asked for one outside `/api`.
//!
//! Within a request use [`Problem`]; it is made from the errors of the store, the jobs and the blobs.
//! What is the server's fault is logged here, once, and its inner workings are not shown.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::blobs::BlobError;
use crate::domain::DecisionError;
use crate::jobs::JobError;
use crate::jobs::bulk::BulkRefusal;
use crate::jobs::predict::PredictRefusal;
use crate::jobs::rule::RuleRefusal;
use crate::store::StoreError;
use crate::web::pages::{ErrorPage, Reader};

/// Seconds after which a request that failed on a missing database is worth another try.
const RETRY_AFTER: u32 = 2;

/// A problem on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<ProblemBody>);

/// Answer to a request that was refused or failed (RFC 9457), as `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// A URN that ends in `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:tamis:problem:not_found")]
    pub(crate) kind: String,
    /// The status in words.
    #[schema(example = "Not Found")]
    pub(crate) title: String,
    #[schema(example = 404)]
    pub(crate) status: u16,
    /// Stable keyword for programs.
    #[schema(example = "not_found")]
    pub(crate) code: String,
    /// One sentence for people.
    #[schema(example = "dataset \"clips\" does not exist")]
    pub(crate) detail: String,
    /// What is wrong with which field of the request; absent where no field is to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// One field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    #[schema(example = "class")]
    pub(crate) field: String,
    #[schema(example = "unknown_class")]
    pub(crate) code: String,
    pub(crate) message: String,
    /// Where in the field, for texts that are parsed; counted from 1, columns in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
    /// The known name nearest to the one that was not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) suggestion: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemBody {
            kind: format!("urn:tamis:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }))
    }

    /// 422 that names the field to blame.
    pub(crate) fn invalid(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message).blame(field)
    }

    /// Names the field to blame, with the code and the sentence of the problem.
    pub(crate) fn blame(mut self, field: &str) -> Self {
        self.0.errors.push(FieldError {
            field: field.to_owned(),
            code: self.0.code.clone(),
            message: self.0.detail.clone(),
            line: None,
            column: None,
            suggestion: None,
        });
        self
    }

    /// 404 for something named by the address.
    pub(crate) fn not_found(what: &str, key: impl std::fmt::Display) -> Self {
        let key: String = key.to_string().chars().take(100).collect();
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} {key:?} does not exist"))
    }

    /// 500: logged in full, shown without its insides.
    #[track_caller]
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, at = %std::panic::Location::caller(), "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong here; the server's log has the details under this request's id",
        )
    }

    fn unavailable(error: impl std::fmt::Display) -> Self {
        tracing::warn!(%error, "a request has to be tried again");
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the database does not answer just now; try again in a moment",
        );
        problem.0.retry_after = Some(RETRY_AFTER);
        problem
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn body(&self) -> &ProblemBody {
        &self.0
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response =
            (self.status(), [(header::CONTENT_TYPE, "application/problem+json")], json).into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        if error.is_transient() {
            return Self::unavailable(error);
        }
        if error.took_too_long() {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "took_too_long",
                "there is too much to read through; narrow it down, by class, split or rule for instance",
            );
        }
        match error {
            StoreError::NotFound { what, key } => Self::not_found(what, key),
            StoreError::Rule { field, code, message } => Self::invalid(field, code, message),
            StoreError::Conflict { code, message } => Self::new(StatusCode::CONFLICT, code, message),
            StoreError::Db(sqlx::Error::Database(e)) => {
                constraint(e.constraint(), e.code().as_deref()).unwrap_or_else(|| Self::internal(e))
            }
            other => Self::internal(other),
        }
    }
}

/// A broken constraint of the database in the client's terms; `None` when the client is not to blame.
fn constraint(name: Option<&str>, sqlstate: Option<&str>) -> Option<Problem> {
    let conflict =
        |code, field, text: &str| Some(Problem::new(StatusCode::CONFLICT, code, text).blame(field));
    match (name, sqlstate) {
        (Some("datasets_name_key"), _) => {
            conflict("dataset_exists", "name", "there is a dataset of this name already")
        }
        (Some("datasets_name_format"), _) => Some(Problem::invalid(
            "name",
            "dataset_name",
            "a dataset name is 1-100 letters, digits, dots, dashes or underscores",
        )),
        (Some("reviews_client_id_key"), _) => {
            conflict("client_id_reused", "client_id", "this client_id belongs to another review")
        }
        (Some("batches_name_key"), _) => {
            conflict("batch_exists", "name", "this dataset has a batch of this name already")
        }
        (Some("rules_name_key"), _) => conflict(
            "rule_exists",
            "name",
            "this dataset has a rule of this name already; names of archived rules are not given again",
        ),
        (Some("samples_external_id_key"), _) => {
            conflict("duplicate_id", "id", "there is a sample of this id already")
        }
        // a referenced row went away while the request was on its way
        (_, Some("23503")) => Some(Problem::new(
            StatusCode::CONFLICT,
            "gone_meanwhile",
            "something that the request refers to was deleted meanwhile",
        )),
        // a character that Postgres cannot keep (NUL)
        (_, Some("22021" | "22P05")) => Some(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_text",
            "the request holds a character that cannot be stored (NUL)",
        )),
        _ => None,
    }
}

impl From<BlobError> for Problem {
    #[track_caller]
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Store(object_store::Error::NotFound { .. }) => {
                Self::new(StatusCode::NOT_FOUND, "blob_missing", "its file is not in the blob store")
            }
            other => Self::internal(other),
        }
    }
}

impl From<JobError> for Problem {
    #[track_caller]
    fn from(error: JobError) -> Self {
        match error {
            JobError::Transient(why) => Self::unavailable(why),
            JobError::Cancelled | JobError::Superseded => {
                Self::new(StatusCode::CONFLICT, "cancelled", error.to_string())
            }
            JobError::Refused { field, why } => Self::invalid(field, field, why),
            // what it was for was deleted meanwhile, or a rule of the house forbids it
            JobError::Failed(ref note) if note.code == "rule" => {
                Self::new(StatusCode::CONFLICT, "gone_meanwhile", error.to_string())
            }
            JobError::Failed(_) => Self::internal(error),
        }
    }
}

impl From<RuleRefusal> for Problem {
    #[track_caller]
    fn from(error: RuleRefusal) -> Self {
        match error {
            RuleRefusal::Text(e) => {
                let mut problem = Self::invalid("rule", "bad_rule", e.to_string());
                if let Some(blamed) = problem.0.errors.last_mut() {
                    (blamed.line, blamed.column) = (Some(e.line), Some(e.column));
                    blamed.suggestion = e.suggestion;
                }
                problem
            }
            RuleRefusal::Name(why) => Self::invalid("name", "rule_name", why),
            RuleRefusal::Store(e) => e.into(),
            RuleRefusal::Job(e) => e.into(),
        }
    }
}

impl From<BulkRefusal> for Problem {
    #[track_caller]
    fn from(error: BulkRefusal) -> Self {
        match error {
            BulkRefusal::Store(e) => e.into(),
            BulkRefusal::Job(e) => e.into(),
        }
    }
}

impl From<PredictRefusal> for Problem {
    #[track_caller]
    fn from(error: PredictRefusal) -> Self {
        match error {
            PredictRefusal::Row { field, code, why } => Self::invalid(&field, code, why),
            PredictRefusal::NoModel => {
                Self::new(StatusCode::CONFLICT, "no_model", "nothing has been trained in this dataset yet")
            }
            PredictRefusal::NoEncoder { .. } => {
                Self::new(StatusCode::CONFLICT, "encoder_missing", error.to_string())
            }
            PredictRefusal::NoRuntime => Self::new(
                StatusCode::NOT_IMPLEMENTED,
                "no_runtime",
                "ONNX Runtime is not installed here, so no model can be run; `tamis doctor` says how to add it",
            ),
            PredictRefusal::Unknown(why) => Self::internal(why),
            PredictRefusal::Store(e) => e.into(),
            PredictRefusal::Job(e) => e.into(),
        }
    }
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        let (field, code) = match &error {
            DecisionError::ClassMissing => ("class", "class_missing"),
            DecisionError::TooFewClasses => ("classes", "too_few_classes"),
            DecisionError::ClassNotTaken(_) => ("class", "class_not_taken"),
            DecisionError::Unknown(_) => ("decision", "unknown_decision"),
        };
        Self::invalid(field, code, error.to_string())
    }
}

impl From<std::io::Error> for Problem {
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        Self::internal(error)
    }
}

/// Nothing lives at this address.
pub(crate) async fn no_route(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new(StatusCode::NOT_FOUND, "no_route", format!("nothing lives at {path}"))
}

/// The address is right, the method is not.
pub(crate) async fn no_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} is not possible here; the Allow header says what is", request.method()),
    )
}

/// A panic in a handler: logged, answered like any other fault of ours.
pub(crate) fn panicked(payload: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    Problem::internal(format!("a handler panicked: {text}")).into_response()
}

/// Outside `/api`, shows problems to browsers as a page.
pub(crate) async fn as_page(request: Request, next: Next) -> Response {
    let api = request.uri().path().starts_with("/api");
    if api || !wants_html(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let reader = Reader::of(&parts.uri, &parts.headers);
    let response = next.run(Request::from_parts(parts, body)).await;
    match response.extensions().get::<Problem>() {
        Some(problem) => render(problem, &response, reader),
        None => response,
    }
}

fn render(problem: &Problem, response: &Response, page: Reader) -> Response {
    let body = problem.body();
    let mut out = if body.status == StatusCode::NOT_FOUND.as_u16() {
        ErrorPage::not_found(page)
    } else {
        let (title, detail) = (body.title.clone(), body.detail.clone());
        ErrorPage { page, status: body.status, title, detail }.respond()
    };
    for name in [header::CACHE_CONTROL, header::RETRY_AFTER, header::ALLOW] {
        if let Some(value) = response.headers().get(&name) {
            out.headers_mut().insert(name, value.clone());
        }
    }
    out
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_become_conflicts_and_other_database_errors_stay_ours() {
        assert_eq!(
            constraint(Some("datasets_name_key"), Some("23505")).unwrap().status(),
            StatusCode::CONFLICT
        );
        assert_eq!(constraint(None, Some("22021")).unwrap().body().code, "bad_text");
        assert!(constraint(None, Some("42601")).is_none());
    }

    #[test]
    fn the_servers_fault_shows_no_insides() {
        let p = Problem::from(StoreError::Corrupt { what: "taxonomy", reason: "secret".into() });
        assert_eq!(p.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!serde_json::to_string(p.body()).unwrap().contains("secret"));
    }

    #[test]
    fn a_missing_database_is_worth_another_try() {
        let r = Problem::from(StoreError::Db(sqlx::Error::PoolTimedOut)).into_response();
        assert_eq!(r.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(r.headers()[header::RETRY_AFTER], "2");
    }
}
