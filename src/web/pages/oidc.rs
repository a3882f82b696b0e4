//! `/sign-in/oidc`: to the OpenID provider, and back. An account is found by what the provider calls the
//! person for good (issuer and subject), never by a name or an e-mail address. A browser carries the secret
//! of its own sign-in in a cookie, so that nobody can finish a sign-in in another's browser.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::Reader;
use super::error::PageError;
use super::sign_in::{SignInPage, begin_session, cookie_named, local_path};
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::accounts::Account;
use crate::store::identities::Attempt;
use crate::web::access::oidc::{self, Person};
use crate::web::access::{cookie_of, secrets, viewer_of_session};
use crate::web::api::people::check_name;
use crate::web::error::Problem;

const COOKIE: &str = "tamis_sign_in";
const LIFE: Duration = Duration::from_secs(600);
/// Numbers tried behind a name that is taken.
const NAMES_TRIED: u32 = 20;

/// The secret that the browser keeps stays out of addresses: this goes round by the provider.
fn state_of(secret: &str) -> String {
    secrets::form_token(&format!("oidc {secret}"))
}

fn refuse(services: &Services, page: Reader, key: &str) -> Result<Response, PageError> {
    let error = Some(page.t1(key, "provider", &services.config.oidc.label));
    let form = SignInPage::blank(services, page, "/".to_owned(), error);
    let mut response = (StatusCode::UNPROCESSABLE_ENTITY, super::render(&form)?).into_response();
    forget(services, &mut response);
    Ok(response)
}

fn forget(services: &Services, response: &mut Response) {
    if let Ok(gone) = HeaderValue::from_str(&cookie_named(services, COOKIE, "", Duration::ZERO)) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
}

/// Sends the browser to the provider.
pub(super) async fn depart(
    State(services): State<Services>,
    page: Reader,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if !services.config.oidc.enabled() {
        return Err(Problem::not_found("page", "/sign-in/oidc").into());
    }
    if !services.store.any_account().await? {
        return Ok(Redirect::to("/setup").into_response());
    }
    let secret = secrets::random();
    let state = state_of(&secret);
    let departure = match oidc::depart(&services.config, state.clone()).await {
        Ok(departure) => departure,
        Err(error) => {
            tracing::warn!(%error, "sign-in by the provider failed");
            return refuse(&services, page, "sign_in.provider_away");
        }
    };
    // only who is signed in and asks for it adds a way to sign in
    let connects = page.query("connect").is_some();
    let account =
        if connects { viewer_of_session(&services, &headers).await?.and_then(|v| v.account) } else { None };
    let next = if account.is_some() { "/account" } else { local_path(page.query("next").unwrap_or("/")) };
    let attempt = Attempt {
        nonce: departure.nonce,
        pkce_verifier: departure.pkce_verifier,
        next: next.to_owned(),
        account,
    };
    services.store.begin_attempt(&secrets::hash(&state), &attempt).await?;
    let cookie = cookie_named(&services, COOKIE, &secret, LIFE);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&departure.url)).into_response())
}

/// The browser is back.
pub(super) async fn arrive(
    State(services): State<Services>,
    page: Reader,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if !services.config.oidc.enabled() {
        return Err(Problem::not_found("page", oidc::CALLBACK).into());
    }
    let state = page.query("state").unwrap_or_default().to_owned();
    let own = cookie_of(&headers, COOKIE).is_some_and(|secret| secrets::same(&state_of(secret), &state));
    let attempt = if own { services.store.take_attempt(&secrets::hash(&state)).await? } else { None };
    let Some(attempt) = attempt else { return refuse(&services, page, "sign_in.provider_stale") };
    let Some(code) = page.query("code").filter(|c| !c.is_empty()).map(str::to_owned) else {
        return refuse(&services, page, "sign_in.provider_refused");
    };
    let person = match oidc::arrive(&services.config, code, attempt.nonce, attempt.pkce_verifier).await {
        Ok(person) => person,
        Err(error) => {
            tracing::warn!(%error, "sign-in by the provider failed");
            return refuse(&services, page, "sign_in.provider_refused");
        }
    };
    if let Some(account) = attempt.account {
        return connect(&services, page, &headers, account, &person).await;
    }
    let known = services.store.account_of_identity(&person.issuer, &person.subject).await?;
    let account = match known {
        Some(account) => Some(account),
        None if services.config.oidc.create_accounts => Some(create(&services, &person).await?),
        None => None,
    };
    match account {
        None => refuse(&services, page, "sign_in.provider_unknown"),
        Some(account) if account.disabled_at.is_some() => refuse(&services, page, "sign_in.disabled"),
        Some(account) => {
            let mut response = begin_session(&services, account.id, &attempt.next).await?;
            forget(&services, &mut response);
            Ok(response)
        }
    }
}

/// Adds the way to sign in, to whoever asked for it and is still signed in.
async fn connect(
    services: &Services,
    page: Reader,
    headers: &HeaderMap,
    account: uuid::Uuid,
    person: &Person,
) -> Result<Response, PageError> {
    let viewer = viewer_of_session(services, headers).await?;
    let Some(viewer) = viewer.filter(|v| v.account == Some(account)) else {
        return refuse(services, page, "sign_in.provider_stale");
    };
    match services.store.connect_identity(&person.issuer, &person.subject, account).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => return refuse(services, page, "sign_in.identity_taken"),
        Err(e) => return Err(e.into()),
    }
    let facts = serde_json::json!({"account_id": account, "issuer": person.issuer});
    services.store.audit(&viewer.name, "identity_connected", None, &facts).await?;
    let mut response = Redirect::to("/account").into_response();
    forget(services, &mut response);
    Ok(response)
}

/// An account with the first name that is good and free; a number behind it where all are taken.
async fn create(services: &Services, person: &Person) -> Result<Account, PageError> {
    let fallback = "member".to_owned();
    let good: Vec<&String> = person.names.iter().filter(|n| check_name("name", n).is_ok()).collect();
    let first = good.first().copied().unwrap_or(&fallback);
    let numbered = (2..NAMES_TRIED).map(|i| format!("{first} {i}"));
    for name in good.iter().map(|n| (*n).clone()).chain(numbered) {
        if check_name("name", &name).is_err() {
            continue;
        }
        let made = services.store.create_account_of_identity(&person.issuer, &person.subject, &name).await?;
        if let Some(account) = made {
            let facts = serde_json::json!({"account_id": account.id, "issuer": person.issuer});
            services.store.audit(&account.name, "account_created", None, &facts).await?;
            return Ok(account);
        }
    }
    Err(Problem::internal("no free name for an account").into())
}
