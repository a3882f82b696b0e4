//! `/account`: the reader's own password and tokens. `/accounts`: everybody, for admins.
//! `/datasets/{name}/team`: who is what in a dataset. Changes go through the API.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::reader::Moment;
use super::{Reader, address, render};
use crate::domain::{Role, Scope, Viewer};
use crate::jobs::Services;
use crate::store::accounts::Account;
use crate::store::members::Member;
use crate::store::sessions::ApiToken;
use crate::web::access::Who;

const ON_A_PAGE: i64 = 200;

#[derive(Template)]
#[template(path = "account.html")]
pub(super) struct AccountPage {
    pub(super) page: Reader,
    pub(super) name: String,
    /// Nobody has an account yet.
    pub(super) open: bool,
    /// The OpenID provider's name, and since when this account signs in there.
    pub(super) provider: Option<String>,
    pub(super) connected: Option<Moment>,
    pub(super) tokens: Vec<TokenView>,
    pub(super) scopes: Vec<&'static str>,
}

pub(super) struct TokenView {
    pub(super) name: String,
    pub(super) scopes: String,
    pub(super) expires: Moment,
    pub(super) used: Option<Moment>,
    /// `good`, `expired`, `revoked`.
    pub(super) state: &'static str,
    pub(super) api: String,
}

impl TokenView {
    fn of(page: &Reader, t: ApiToken) -> Self {
        let state = if t.revoked_at.is_some() {
            "revoked"
        } else if t.expires_at < chrono::Utc::now() {
            "expired"
        } else {
            "good"
        };
        let scopes: Vec<&str> = t.scopes.iter().map(|s| scope_name(page, s)).collect();
        Self {
            name: t.name,
            scopes: scopes.join(", "),
            expires: t.expires_at.into(),
            used: t.used_at.map(Into::into),
            state,
            api: format!("/api/v1/account/tokens/{}", t.id),
        }
    }
}

fn scope_name<'a>(page: &Reader, scope: &'a str) -> &'a str {
    page.lang.find(&format!("scope.{scope}")).unwrap_or(scope)
}

#[derive(Template)]
#[template(path = "accounts.html")]
pub(super) struct AccountsPage {
    pub(super) page: Reader,
    pub(super) open: bool,
    pub(super) rows: Vec<AccountView>,
    pub(super) next: Option<String>,
}

pub(super) struct AccountView {
    pub(super) name: String,
    pub(super) admin: bool,
    pub(super) disabled: bool,
    pub(super) created: Moment,
    pub(super) own: bool,
    pub(super) api: String,
}

impl AccountView {
    fn of(viewer: &Viewer, a: Account) -> Self {
        Self {
            name: a.name,
            admin: a.admin,
            disabled: a.disabled_at.is_some(),
            created: a.created_at.into(),
            own: viewer.account == Some(a.id),
            api: format!("/api/v1/accounts/{}", a.id),
        }
    }
}

#[derive(Template)]
#[template(path = "team.html")]
pub(super) struct TeamPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) api: String,
    /// The reader may change the team.
    pub(super) manages: bool,
    pub(super) open: bool,
    pub(super) rows: Vec<MemberView>,
    pub(super) roles: Vec<&'static str>,
    pub(super) next: Option<String>,
}

pub(super) struct MemberView {
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) since: Moment,
    pub(super) own: bool,
    pub(super) api: String,
}

impl MemberView {
    fn of(viewer: &Viewer, api: &str, m: Member) -> Self {
        Self {
            name: m.name,
            role: m.role.as_str(),
            since: m.since.into(),
            own: viewer.account == Some(m.account_id),
            api: format!("{api}/{}", m.account_id),
        }
    }
}

pub(super) async fn account(
    State(services): State<Services>,
    Who(viewer): Who,
    page: Reader,
) -> Result<Response, PageError> {
    let tokens = match viewer.account {
        Some(account) => services.store.tokens(account).await?,
        None => Vec::new(),
    };
    let oidc = &services.config.oidc;
    let connected = match viewer.account.filter(|_| oidc.enabled()) {
        Some(account) => {
            let known = services.store.identities(account).await?;
            // the provider ends its own name as it likes, with a slash or without
            let same = |issuer: &str| issuer.trim_end_matches('/') == oidc.issuer.trim_end_matches('/');
            known.into_iter().find(|i| same(&i.issuer)).map(|i| i.created_at.into())
        }
        None => None,
    };
    render(&AccountPage {
        provider: oidc.enabled().then(|| oidc.label.clone()),
        connected,
        name: viewer.name,
        open: viewer.account.is_none(),
        tokens: tokens.into_iter().map(|t| TokenView::of(&page, t)).collect(),
        scopes: Scope::ALL.into_iter().map(Scope::as_str).collect(),
        page,
    })
}

pub(super) async fn accounts(
    State(services): State<Services>,
    Who(viewer): Who,
    page: Reader,
) -> Result<Response, PageError> {
    let found = services.store.accounts(page.query("after"), ON_A_PAGE).await?;
    let next = found.next.map(|after| format!("/accounts?{}", address::query(&[("after", after)])));
    render(&AccountsPage {
        open: viewer.account.is_none(),
        rows: found.items.into_iter().map(|a| AccountView::of(&viewer, a)).collect(),
        next,
        page,
    })
}

pub(super) async fn team(
    State(services): State<Services>,
    Who(viewer): Who,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let role = match viewer.account {
        Some(account) => store.role_in(account, &name).await?,
        None => None,
    };
    let found = store.members(dataset.id, page.query("after"), ON_A_PAGE).await?;
    let dataset_href = address::dataset(&dataset.name);
    let api = format!("/api/v1/datasets/{}/members", address::part(&dataset.name));
    let next = found.next.map(|after| format!("{dataset_href}/team?{}", address::query(&[("after", after)])));
    render(&TeamPage {
        rows: found.items.into_iter().map(|m| MemberView::of(&viewer, &api, m)).collect(),
        manages: viewer.admin || role == Some(Role::Lead),
        open: viewer.account.is_none(),
        roles: Role::ALL.into_iter().map(Role::as_str).collect(),
        dataset: dataset.name,
        dataset_href,
        api,
        next,
        page,
    })
}
