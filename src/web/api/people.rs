//! Accounts, the caller's own account and tokens, teams, and the record of changes to them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Days, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::check_author;
use crate::domain::{Role, Scope, Viewer};
use crate::jobs::Services;
use crate::store::accounts::{Account, FREE_BY_NAME};
use crate::store::members::{AuditEvent, Member};
use crate::store::sessions::ApiToken;
use crate::web::access::{Who, secrets, session_of};
use crate::web::error::Problem;
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

/// Authors that are not people.
const OURS: [&str; 2] = ["local", "tamis"];
/// Longest life of a token.
const MAX_TOKEN_DAYS: u32 = 365;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(change_password))
        .routes(routes!(tokens, create_token))
        .routes(routes!(revoke_token))
        .routes(routes!(accounts, create_account))
        .routes(routes!(change_account))
        .routes(routes!(audit_of_all))
        .routes(routes!(members))
        .routes(routes!(put_member, remove_member))
        .routes(routes!(audit_of_dataset))
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    /// Null while nobody has an account: whoever sits at the machine.
    id: Option<Uuid>,
    name: String,
    admin: bool,
    /// Of the token; null for a session.
    scopes: Option<Vec<Scope>>,
}

impl From<Viewer> for Me {
    fn from(v: Viewer) -> Self {
        Self { id: v.account, name: v.name, admin: v.admin, scopes: v.scopes }
    }
}

/// What belongs to a person is not for programs that hold one of their tokens.
fn own_session(viewer: &Viewer) -> Result<Uuid, Problem> {
    match viewer {
        Viewer { account: Some(account), scopes: None, .. } => Ok(*account),
        Viewer { account: None, .. } => Err(Problem::new(
            StatusCode::CONFLICT,
            "no_account",
            "nobody has an account yet: make the first one at /setup",
        )),
        _ => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "session_only",
            "a token cannot do this; sign in on the pages",
        )),
    }
}

/// The caller
#[utoipa::path(get, path = "/account", tag = "people", responses((status = 200, description = "Who it is", body = Me)))]
async fn me(Who(viewer): Who) -> axum::Json<Me> {
    axum::Json(viewer.into())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordRequest {
    old: String,
    #[schema(min_length = 10)]
    new: String,
}

/// Change the caller's password
///
/// Ends the caller's other sessions. Not with a token.
#[utoipa::path(post, path = "/account/password", tag = "people", request_body = PasswordRequest,
    responses((status = 204, description = "Changed")))]
async fn change_password(
    State(services): State<Services>,
    Who(viewer): Who,
    headers: HeaderMap,
    Json(request): Json<PasswordRequest>,
) -> Result<StatusCode, Problem> {
    let account = own_session(&viewer)?;
    secrets::check_password("new", &request.new)?;
    let keys = [format!("account:{}", viewer.name.to_lowercase())];
    check_wait(&services, &keys).await?;
    let hash = services.store.password_of(&viewer.name).await?.map(|(_, hash)| hash);
    if !secrets::fits(request.old, hash).await? {
        services.store.sign_in_failed(&keys).await?;
        return Err(Problem::invalid("old", "wrong_password", "that is not the password so far"));
    }
    let hash = secrets::hash_password(request.new).await?;
    let session = session_of(&headers).map(secrets::hash);
    services.store.set_password(account, &hash, session.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// 429 while one of the keys has to wait.
pub(crate) async fn check_wait(services: &Services, keys: &[String]) -> Result<(), Problem> {
    let wait = services.store.sign_in_wait(keys, FREE_BY_NAME).await?;
    if wait == 0 {
        return Ok(());
    }
    let problem = Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_failures",
        format!("too many wrong passwords; try again in {wait} s"),
    );
    Err(problem.retry_after(u32::try_from(wait).unwrap_or(u32::MAX)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "nightly export", "scopes": ["read", "export"], "days": 90}))]
struct TokenRequest {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    scopes: Vec<Scope>,
    /// Life in days.
    #[schema(minimum = 1, maximum = 365)]
    days: u32,
}

/// A new token.
#[derive(Serialize, ToSchema)]
struct NewToken {
    #[serde(flatten)]
    about: ApiToken,
    /// Shown this once.
    token: String,
}

/// The caller's tokens
///
/// Newest first, without the tokens themselves.
#[utoipa::path(get, path = "/account/tokens", tag = "people", params(PageParams),
    responses((status = 200, description = "A page", body = Paged<ApiToken>)))]
async fn tokens(
    State(services): State<Services>,
    Who(viewer): Who,
    paging: Paging,
) -> Result<axum::Json<Paged<ApiToken>>, Problem> {
    let account = own_session(&viewer)?;
    Ok(axum::Json(paging.cut("tokens", services.store.tokens(account).await?)?))
}

/// Make a token
///
/// Answers with the token, which is shown this once. A token cannot make another.
#[utoipa::path(post, path = "/account/tokens", tag = "people", request_body = TokenRequest,
    responses((status = 201, description = "Made", body = NewToken)))]
async fn create_token(
    State(services): State<Services>,
    Who(viewer): Who,
    Json(request): Json<TokenRequest>,
) -> Result<(StatusCode, axum::Json<NewToken>), Problem> {
    let account = own_session(&viewer)?;
    check_name("name", &request.name)?;
    if request.scopes.is_empty() {
        return Err(Problem::invalid("scopes", "no_scope", "a token needs one scope or more"));
    }
    if !(1..=MAX_TOKEN_DAYS).contains(&request.days) {
        return Err(Problem::invalid("days", "days", format!("a token lives 1 to {MAX_TOKEN_DAYS} days")));
    }
    let mut scopes = request.scopes;
    scopes.sort_by_key(|s| s.as_str());
    scopes.dedup();
    let token = format!("{}{}", secrets::TOKEN_PREFIX, secrets::random());
    let expires_at: DateTime<Utc> = Utc::now() + Days::new(u64::from(request.days));
    let about = services
        .store
        .create_token(account, &request.name, &secrets::hash(&token), &scopes, expires_at)
        .await?;
    Ok((StatusCode::CREATED, axum::Json(NewToken { about, token })))
}

/// Revoke a token
#[utoipa::path(delete, path = "/account/tokens/{token}", tag = "people", params(("token" = Uuid, Path, description = "Id of the token")),
    responses((status = 204, description = "It no longer counts")))]
async fn revoke_token(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(token): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    services.store.revoke_token(own_session(&viewer)?, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountRequest {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Left out: one is made and shown once in the answer.
    #[serde(default)]
    #[schema(min_length = 10)]
    password: Option<String>,
    #[serde(default)]
    admin: bool,
}

/// A new account.
#[derive(Serialize, ToSchema)]
struct NewAccount {
    #[serde(flatten)]
    account: Account,
    /// The password that was made, shown this once; null where one was given.
    password: Option<String>,
}

/// List accounts
///
/// In order of names.
#[utoipa::path(get, path = "/accounts", tag = "people", params(PageParams),
    responses((status = 200, description = "A page", body = Paged<Account>)))]
async fn accounts(
    State(services): State<Services>,
    paging: Paging,
) -> Result<axum::Json<Paged<Account>>, Problem> {
    let after: Option<String> = paging.after("accounts")?;
    let page = services.store.accounts(after.as_deref(), paging.limit).await?;
    Ok(axum::Json(Paged::of("accounts", page)))
}

/// Make an account
#[utoipa::path(post, path = "/accounts", tag = "people", request_body = AccountRequest,
    responses((status = 201, description = "Made", body = NewAccount)))]
async fn create_account(
    State(services): State<Services>,
    Who(viewer): Who,
    Json(request): Json<AccountRequest>,
) -> Result<(StatusCode, axum::Json<NewAccount>), Problem> {
    if viewer.account.is_none() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "no_account",
            "the first account is made at /setup, with the code that the server printed",
        ));
    }
    check_name("name", &request.name)?;
    let (password, made) = match request.password {
        Some(password) => (password, None),
        None => {
            let made: String = secrets::random().chars().take(20).collect();
            (made.clone(), Some(made))
        }
    };
    secrets::check_password("password", &password)?;
    let hash = secrets::hash_password(password).await?;
    let account = services.store.create_account(&request.name, Some(&hash), request.admin).await?;
    let facts = serde_json::json!({"account_id": account.id, "name": account.name, "admin": account.admin});
    services.store.audit(&viewer.name, "account_made", None, &facts).await?;
    Ok((StatusCode::CREATED, axum::Json(NewAccount { account, password: made })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    #[serde(default)]
    admin: Option<bool>,
    /// Disabled accounts cannot sign in; what they said stays.
    #[serde(default)]
    disabled: Option<bool>,
}

/// Change an account
///
/// Nobody changes what they are themselves.
#[utoipa::path(patch, path = "/accounts/{account}", tag = "people", params(("account" = Uuid, Path)),
    request_body = AccountChange, responses((status = 200, description = "As it is now", body = Account)))]
async fn change_account(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(account): Path<Uuid>,
    Json(change): Json<AccountChange>,
) -> Result<axum::Json<Account>, Problem> {
    if viewer.account == Some(account) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "own_account",
            "nobody changes what they are themselves; ask another admin",
        ));
    }
    let account = services.store.set_account(account, change.admin, change.disabled).await?;
    let facts = serde_json::json!({
        "account_id": account.id, "admin": change.admin, "disabled": change.disabled,
    });
    services.store.audit(&viewer.name, "account_changed", None, &facts).await?;
    Ok(axum::Json(account))
}

/// The team of a dataset
///
/// In order of names. Admins belong to every team without being listed.
#[utoipa::path(get, path = "/datasets/{dataset}/members", tag = "people",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Member>)))]
async fn members(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Member>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let after: Option<String> = paging.after("members")?;
    let page = services.store.members(dataset.id, after.as_deref(), paging.limit).await?;
    Ok(axum::Json(Paged::of("members", page)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberRequest {
    role: Role,
}

/// Take somebody into the team, or change their role
///
/// By account id or name. Leads do not change their own role.
#[utoipa::path(put, path = "/datasets/{dataset}/members/{account}", tag = "people",
    params(("dataset" = String, Path, description = "Id or name"), ("account" = String, Path, description = "Id or name")),
    request_body = MemberRequest, responses((status = 204, description = "Done")))]
async fn put_member(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, account)): Path<(String, String)>,
    Json(request): Json<MemberRequest>,
) -> Result<StatusCode, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let account = somebody_else(&services, &viewer, &account).await?;
    services.store.put_member(dataset.id, account, request.role, &viewer.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take somebody out of the team
#[utoipa::path(delete, path = "/datasets/{dataset}/members/{account}", tag = "people",
    params(("dataset" = String, Path, description = "Id or name"), ("account" = String, Path, description = "Id or name")),
    responses((status = 204, description = "Done")))]
async fn remove_member(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, account)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let account = somebody_else(&services, &viewer, &account).await?;
    services.store.remove_member(dataset.id, account, &viewer.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn somebody_else(services: &Services, viewer: &Viewer, key: &str) -> Result<Uuid, Problem> {
    let account = match Uuid::parse_str(key) {
        Ok(id) => services.store.account(id).await?,
        Err(_) => services.store.account_named(key).await?,
    };
    if viewer.account == Some(account.id) && !viewer.admin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "own_account",
            "nobody changes what they are themselves; ask another lead",
        ));
    }
    Ok(account.id)
}

/// Changes to accounts and all teams
///
/// Newest first.
#[utoipa::path(get, path = "/audit", tag = "people", params(PageParams),
    responses((status = 200, description = "A page", body = Paged<AuditEvent>)))]
async fn audit_of_all(
    State(services): State<Services>,
    paging: Paging,
) -> Result<axum::Json<Paged<AuditEvent>>, Problem> {
    let before: Option<i64> = paging.after("audit")?;
    let page = services.store.audit_events(None, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("audit", page)))
}

/// Changes to a dataset's team and policies
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/audit", tag = "people",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<AuditEvent>)))]
async fn audit_of_dataset(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<AuditEvent>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<i64> = paging.after("audit")?;
    let page = services.store.audit_events(Some(dataset.id), before, paging.limit).await?;
    Ok(axum::Json(Paged::of("audit", page)))
}

/// A name as labels carry it: no blanks at its ends.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), Problem> {
    check_author(name)?;
    let own = OURS.iter().any(|n| name.eq_ignore_ascii_case(n)) || name.starts_with("rule:");
    if name.trim() == name && !own && Uuid::parse_str(name).is_err() {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        "name",
        "a name has no blanks at its ends, and is not one that Tamis uses itself",
    ))
}
