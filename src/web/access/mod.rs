//! Who is asking, and may they: one gate in front of every address. It finds the person by session or
//! token, looks up what the address asks for ([`routes`]), and refuses: a stranger gets 404, a role or
//! scope that is too small 403, nobody 401 or the sign-in page.
//!
//! Until the first account exists the service is open to whoever sits at this machine, as `local`; when
//! it also listens to others (`server.allow_remote`) only the page that makes the first account is.

mod limits;
pub(crate) mod oidc;
pub(crate) mod routes;
pub(crate) mod secrets;

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use uuid::Uuid;

use super::error::Problem;
use super::pages::address;
use crate::domain::access::allows;
use crate::domain::{Refusal, Right, Role, Viewer};
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::sessions::{Known, Place};
use limits::Limits;

/// Name of the session's cookie.
pub(crate) const COOKIE: &str = "tamis_session";
/// What scripts send with a session's writes.
pub(crate) const FORM_TOKEN: &str = "x-form-token";

/// The person behind a request, for handlers; present on every address that asks for a right.
#[derive(Clone, Debug)]
pub(crate) struct Who(pub(crate) Viewer);

/// What the person is in the team of the dataset that the address lies in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct As(pub(crate) Option<Role>);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| refused(Refusal::SignIn))
    }
}

/// The session's token, as the browser sent it.
pub(crate) fn session_of(headers: &HeaderMap) -> Option<&str> {
    cookie_of(headers, COOKIE)
}

/// Whoever the browser is signed in as.
pub(crate) async fn viewer_of_session(
    services: &Services,
    headers: &HeaderMap,
) -> Result<Option<Viewer>, StoreError> {
    match session_of(headers) {
        Some(session) => {
            let known = services.store.viewer_of_session(&secrets::hash(session), Place::default()).await?;
            Ok(known.map(|(viewer, _)| viewer))
        }
        None => Ok(None),
    }
}

/// The value of a cookie, as the browser sent it.
pub(crate) fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|c| c.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// A new code that makes the first admin; `None` when somebody has an account. Earlier codes end.
pub async fn setup_code(services: &Services) -> Result<Option<String>, StoreError> {
    if services.store.any_account().await? {
        return Ok(None);
    }
    let code: String = secrets::random().chars().take(24).collect();
    services.store.put_setup_code(&secrets::hash(&code)).await?;
    Ok(Some(code))
}

/// What the gate works with.
#[derive(Clone)]
pub(crate) struct Gate {
    services: Services,
    limits: Arc<Limits>,
}

impl Gate {
    pub(crate) fn new(services: Services) -> Self {
        let limits = Limits::new(services.config.server.requests_per_minute);
        Self { services, limits: Arc::new(limits) }
    }
}

/// See the module.
pub(crate) async fn gate(
    State(Gate { services, limits }): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // nothing lives there: the fallback says so
    let Some(matched) = request.extensions().get::<MatchedPath>().cloned() else {
        return Ok(next.run(request).await);
    };
    let Some(right) = routes::right(request.method(), matched.as_str()) else {
        // the methods that an address does not have are refused by the router behind
        return if routes::known(matched.as_str()) {
            Ok(next.run(request).await)
        } else {
            Err(Problem::internal(format!("no right is set for {}", matched.as_str())))
        };
    };
    // health and scripts must not wait for the database
    if right == Right::Open {
        return Ok(next.run(request).await);
    }
    let lies_in = if right.of_dataset() {
        let (mut parts, body) = request.into_parts();
        let params = RawPathParams::from_request_parts(&mut parts, &()).await.map_err(Problem::internal)?;
        request = Request::from_parts(parts, body);
        lies_in(&params)
    } else {
        LiesIn::default()
    };
    let place = Place { dataset: lies_in.dataset.as_deref(), job: lies_in.job };
    let (viewer, role) = match known(&services, request.headers(), place).await? {
        Some((viewer, role)) => (Some(viewer), role),
        None => (None, None),
    };
    if let Some(Err(wait)) = viewer.as_ref().map(|v| limits.count(v)) {
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            format!("more requests than one account may make; try again in {wait} s"),
        );
        return Err(problem.retry_after(wait));
    }
    match allows(right, viewer.as_ref(), role) {
        Ok(()) => {}
        Err(Refusal::SignIn) if wants_page(&request, matched.as_str()) => {
            return Ok(to_sign_in(&services, request.uri()).await?.into_response());
        }
        Err(refusal) => return Err(refused(refusal)),
    }
    if let Some(viewer) = viewer {
        if viewer.account.is_some() {
            check_form_token(&request, matched.as_str())?;
        }
        request.extensions_mut().insert(Who(viewer));
        request.extensions_mut().insert(As(role));
    }
    Ok(next.run(request).await)
}

/// By token where there is one, else by session; `local` while nobody has an account.
async fn known(services: &Services, headers: &HeaderMap, place: Place<'_>) -> Result<Option<Known>, Problem> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default();
        return match services.store.viewer_of_token(&secrets::hash(token.trim()), place).await? {
            Some(known) => Ok(Some(known)),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "bad_token",
                "the token is unknown, has run out, or was revoked",
            )),
        };
    }
    if let Some(session) = session_of(headers)
        && let Some(known) = services.store.viewer_of_session(&secrets::hash(session), place).await?
    {
        return Ok(Some(known));
    }
    let open = !services.config.server.allow_remote && !services.store.any_account().await?;
    Ok(open.then(|| (Viewer::local(), None)))
}

/// What the address names first.
#[derive(Default)]
struct LiesIn {
    dataset: Option<String>,
    job: Option<Uuid>,
}

/// The dataset that the address names, itself or through its job.
fn lies_in(params: &RawPathParams) -> LiesIn {
    // the first parameter of an address is what the rest lies in
    let Some((name, value)) = params.iter().next() else { return LiesIn::default() };
    match (name, Uuid::parse_str(value)) {
        ("dataset" | "name", _) => LiesIn { dataset: Some(value.to_owned()), job: None },
        ("job" | "id", Ok(job)) => LiesIn { dataset: None, job: Some(job) },
        _ => LiesIn::default(),
    }
}

/// Writes of a session carry its form token: scripts in a header, forms in a field (checked where the
/// form is read, [`super::extract::Form`]).
fn check_form_token(request: &Request, matched: &str) -> Result<(), Problem> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || request.headers().contains_key(header::AUTHORIZATION) || routes::is_form(matched) {
        return Ok(());
    }
    let Some(session) = session_of(request.headers()) else { return Ok(()) };
    let sent = request.headers().get(FORM_TOKEN).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if secrets::same(sent, &secrets::form_token(session)) {
        return Ok(());
    }
    Err(wrong_form_token())
}

/// 403: the page is from an older session, or not ours.
pub(crate) fn wrong_form_token() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "form_token",
        "this was sent from a page of another session; load the page again",
    )
}

fn wants_page(request: &Request, matched: &str) -> bool {
    request.method() == Method::GET && !matched.starts_with("/api/v1")
}

/// To the sign-in page and back; to the making of the first account while there is none.
async fn to_sign_in(services: &Services, uri: &Uri) -> Result<Redirect, Problem> {
    if !services.store.any_account().await? {
        return Ok(Redirect::to("/setup"));
    }
    let back = uri.path_and_query().map_or("/", |p| p.as_str());
    Ok(Redirect::to(&format!("/sign-in?{}", address::query(&[("next", back)]))))
}

fn refused(refusal: Refusal) -> Problem {
    let forbidden = |code, text: String| Problem::new(StatusCode::FORBIDDEN, code, text);
    match refusal {
        Refusal::SignIn => Problem::new(
            StatusCode::UNAUTHORIZED,
            "sign_in",
            "sign in, or send a token as `Authorization: Bearer`",
        ),
        // as if it did not exist: strangers are not told which names do
        Refusal::Stranger => Problem::new(StatusCode::NOT_FOUND, "not_found", "nothing lives here"),
        Refusal::Role(least) => forbidden("role", format!("this takes the role {} or more", least.as_str())),
        Refusal::NotAdmin => forbidden("admin", "this is for admins".to_owned()),
        Refusal::Scope(scope) => forbidden("scope", format!("the token lacks the scope {}", scope.as_str())),
    }
}
