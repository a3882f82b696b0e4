//! `/sign-in`, `/sign-out`, and `/setup`, which makes the first admin for whoever has the code that the
//! server printed. Plain forms: they work without scripts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use askama::Template;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::error::PageError;
use super::{Reader, address, render};
use crate::jobs::Services;
use crate::store::accounts::{FREE_BY_ADDRESS, FREE_BY_NAME};
use crate::web::access::{COOKIE, secrets, session_of, wrong_form_token};
use crate::web::api::people::check_name;
use crate::web::error::Problem;

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) page: Reader,
    pub(super) name: String,
    pub(super) next: String,
    pub(super) error: Option<String>,
    /// The OpenID provider: where the way there begins, and its name.
    pub(super) provider: Option<(String, String)>,
}

impl SignInPage {
    pub(super) fn blank(services: &Services, page: Reader, next: String, error: Option<String>) -> Self {
        let oidc = &services.config.oidc;
        let provider = oidc.enabled().then(|| {
            (format!("/sign-in/oidc?{}", address::query(&[("next", next.as_str())])), oidc.label.clone())
        });
        Self { page, name: String::new(), next, error, provider }
    }
}

#[derive(Template)]
#[template(path = "setup.html")]
pub(super) struct SetupPage {
    pub(super) page: Reader,
    pub(super) code: String,
    pub(super) name: String,
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Setup {
    code: String,
    name: String,
    password: String,
}

#[derive(Deserialize)]
pub(super) struct SignOut {
    form_token: String,
}

/// Only addresses of this service: what follows is where the browser is sent.
pub(super) fn local_path(next: &str) -> &str {
    let inside = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    if inside && !next.chars().any(char::is_control) { next } else { "/" }
}

pub(super) async fn show(State(services): State<Services>, page: Reader) -> Result<Response, PageError> {
    if !services.store.any_account().await? {
        return Ok(Redirect::to("/setup").into_response());
    }
    let next = page.query("next").unwrap_or("/").to_owned();
    render(&SignInPage::blank(&services, page, next, None))
}

pub(super) async fn sign_in(
    State(services): State<Services>,
    page: Reader,
    extensions: Extensions,
    Form(form): Form<SignIn>,
) -> Result<Response, PageError> {
    let refuse = |status: StatusCode, error: String| -> Result<Response, PageError> {
        let mut filled = SignInPage::blank(&services, page.clone(), form.next.clone(), Some(error));
        filled.name.clone_from(&form.name);
        Ok((status, render(&filled)?).into_response())
    };
    let account_key = format!("account:{}", form.name.to_lowercase());
    let keys = [account_key.clone(), format!("address:{}", peer(&extensions))];
    let by_name = services.store.sign_in_wait(&keys[..1], FREE_BY_NAME).await?;
    let wait = by_name.max(services.store.sign_in_wait(&keys[1..], FREE_BY_ADDRESS).await?);
    if wait > 0 {
        let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, page.t1("sign_in.wait", "seconds", wait))?;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        return Ok(response);
    }
    let known = services.store.password_of(&form.name).await?;
    let (account, hash) = known.map_or((None, None), |(a, h)| (Some(a), Some(h)));
    let fits = secrets::fits(form.password.clone(), hash).await?;
    let (Some(account), true) = (account, fits) else {
        services.store.sign_in_failed(&keys).await?;
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, page.t("sign_in.wrong").to_owned());
    };
    services.store.sign_in_succeeded(&account_key).await?;
    begin_session(&services, account.id, local_path(&form.next)).await
}

pub(super) async fn show_setup(
    State(services): State<Services>,
    page: Reader,
) -> Result<Response, PageError> {
    if services.store.any_account().await? {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let code = page.query("code").unwrap_or_default().to_owned();
    render(&SetupPage { page, code, name: String::new(), error: None })
}

pub(super) async fn setup(
    State(services): State<Services>,
    page: Reader,
    extensions: Extensions,
    Form(form): Form<Setup>,
) -> Result<Response, PageError> {
    let keys = [format!("setup:{}", peer(&extensions))];
    let wait = services.store.sign_in_wait(&keys, FREE_BY_ADDRESS).await?;
    let error = if wait > 0 {
        page.t1("sign_in.wait", "seconds", wait)
    } else if check_name("name", &form.name).is_err() {
        page.t("setup.bad_name").to_owned()
    } else if secrets::check_password("password", &form.password).is_err() {
        page.t1("setup.bad_password", "least", secrets::MIN_PASSWORD)
    } else {
        let hash = secrets::hash_password(form.password.clone()).await?;
        let code = secrets::hash(form.code.trim());
        match services.store.create_first_admin(&code, &form.name, &hash).await? {
            Some(account) => return begin_session(&services, account.id, "/").await,
            None => {
                services.store.sign_in_failed(&keys).await?;
                page.t("setup.wrong_code").to_owned()
            }
        }
    };
    let filled = SetupPage { page, code: form.code, name: form.name, error: Some(error) };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, render(&filled)?).into_response())
}

pub(super) async fn sign_out(
    State(services): State<Services>,
    headers: HeaderMap,
    Form(form): Form<SignOut>,
) -> Result<Response, PageError> {
    if let Some(session) = session_of(&headers) {
        if !secrets::same(&form.form_token, &secrets::form_token(session)) {
            return Err(wrong_form_token().into());
        }
        services.store.end_session(&secrets::hash(session)).await?;
    }
    let gone = cookie(&services, "", Duration::ZERO);
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/sign-in")).into_response())
}

/// Makes a session, and sends the browser on with its cookie.
pub(super) async fn begin_session(
    services: &Services,
    account: uuid::Uuid,
    next: &str,
) -> Result<Response, PageError> {
    let token = secrets::random();
    let ttl = Duration::from_secs(u64::from(services.config.server.session_hours) * 3600);
    services.store.create_session(account, &secrets::hash(&token), ttl).await?;
    let cookie = cookie(services, &token, ttl);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response())
}

fn cookie(services: &Services, token: &str, ttl: Duration) -> String {
    cookie_named(services, COOKIE, token, ttl)
}

/// A cookie that no script reads and no other site's form sends.
pub(super) fn cookie_named(services: &Services, name: &str, value: &str, ttl: Duration) -> String {
    // browsers take `Secure` cookies only over TLS, which ends in front of this service
    let secure = if services.config.server.public_url.starts_with("https://") { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}{secure}", ttl.as_secs())
}

/// The network address that a sign-in came from; the same for all where a test calls the router itself.
fn peer(extensions: &Extensions) -> String {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or_else(
        || "unknown".to_owned(),
        |ConnectInfo(at)| match at.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            // a household or a host has a /64: counting single addresses would let it try for ever
            IpAddr::V6(ip) => {
                let s = ip.segments();
                format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
            }
        },
    )
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn sign_in_leads_nowhere_else() {
        assert_eq!(local_path("/datasets/a?x=1"), "/datasets/a?x=1");
        for away in ["//evil.example", "https://evil.example", "/\\evil.example", "", "javascript:1", "/a\nb"]
        {
            assert_eq!(local_path(away), "/", "{away}");
        }
    }
}
