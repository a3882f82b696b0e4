//! Sessions of browsers and tokens of programs. Both are random; only their hashes are kept.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Result, Store, StoreError, keyword};
use crate::domain::{Role, Scope, Viewer};

/// A token as its owner sees it; the token itself is shown once, when it is made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApiToken {
    pub id: Uuid,
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What an address lies in; at most one of the two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// Id or name (found as [`Store::dataset`] finds it).
    pub dataset: Option<&'a str>,
    /// Then the dataset that it belongs to.
    pub job: Option<Uuid>,
}

impl Place<'_> {
    fn dataset_id(&self) -> Option<Uuid> {
        self.dataset.and_then(|d| Uuid::parse_str(d).ok())
    }
}

/// Somebody, and what they are in the team of the dataset that was asked for.
pub type Known = (Viewer, Option<Role>);

impl Store {
    /// Keeps a session until `ttl` from now, and forgets sessions that have run out.
    pub async fn create_session(&self, account: Uuid, token_hash: &[u8], ttl: Duration) -> Result<()> {
        sqlx::query!("delete from sessions where expires_at < now()").execute(&self.pool).await?;
        sqlx::query!(
            "insert into sessions (token_hash, account_id, expires_at)
             values ($1, $2, now() + make_interval(secs => $3))",
            token_hash,
            account,
            ttl.as_secs_f64()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Who holds the session; `None` when it is unknown, has run out, or the account is disabled.
    /// That it was seen is noted once a minute.
    pub async fn viewer_of_session(&self, token_hash: &[u8], place: Place<'_>) -> Result<Option<Known>> {
        let row = sqlx::query!(
            r#"select a.id, a.name, a.admin, s.seen_at < now() - interval '1 minute' as "stale!",
                 (select m.role from members m where m.account_id = a.id and m.dataset_id = coalesce(
                   (select d.id from datasets d where d.name = $2 or d.id = $3 order by (d.id = $3) desc limit 1),
                   (select j.dataset_id from jobs j where j.id = $4))) as "role?"
               from sessions s join accounts a on a.id = s.account_id
               where s.token_hash = $1 and s.expires_at > now() and a.disabled_at is null"#,
            token_hash,
            place.dataset,
            place.dataset_id(),
            place.job
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.stale {
            sqlx::query!("update sessions set seen_at = now() where token_hash = $1", token_hash)
                .execute(&self.pool)
                .await?;
        }
        let role = row.role.map(|r| keyword("role", &r, Role::parse)).transpose()?;
        Ok(Some((Viewer { account: Some(row.id), name: row.name, admin: row.admin, scopes: None }, role)))
    }

    pub async fn end_session(&self, token_hash: &[u8]) -> Result<()> {
        sqlx::query!("delete from sessions where token_hash = $1", token_hash).execute(&self.pool).await?;
        Ok(())
    }

    pub async fn create_token(
        &self,
        account: Uuid,
        name: &str,
        token_hash: &[u8],
        scopes: &[Scope],
        expires_at: DateTime<Utc>,
    ) -> Result<ApiToken> {
        let scopes: Vec<String> = scopes.iter().map(|s| s.as_str().to_owned()).collect();
        Ok(sqlx::query_as!(
            ApiToken,
            "insert into api_tokens (id, account_id, name, token_hash, scopes, expires_at)
             values ($1, $2, $3, $4, $5, $6)
             returning id, name, scopes, created_at, expires_at, used_at, revoked_at",
            Uuid::now_v7(),
            account,
            name,
            token_hash,
            &scopes,
            expires_at
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Newest first, ended ones too.
    pub async fn tokens(&self, account: Uuid) -> Result<Vec<ApiToken>> {
        Ok(sqlx::query_as!(
            ApiToken,
            "select id, name, scopes, created_at, expires_at, used_at, revoked_at from api_tokens
             where account_id = $1 order by created_at desc, id desc limit 200",
            account
        )
        .fetch_all(&self.pool)
        .await?)
    }

    pub async fn revoke_token(&self, account: Uuid, id: Uuid) -> Result<()> {
        let revoked = sqlx::query!(
            "update api_tokens set revoked_at = coalesce(revoked_at, now()) where id = $1 and account_id = $2",
            id,
            account
        )
        .execute(&self.pool)
        .await?;
        if revoked.rows_affected() == 0 {
            return Err(StoreError::not_found("token", id.to_string()));
        }
        Ok(())
    }

    /// Who holds the token, with its scopes; `None` when it is unknown, revoked, has run out, or the
    /// account is disabled. That it was used is noted once a minute.
    pub async fn viewer_of_token(&self, token_hash: &[u8], place: Place<'_>) -> Result<Option<Known>> {
        let row = sqlx::query!(
            r#"select t.id as token, a.id, a.name, a.admin, t.scopes,
                 coalesce(t.used_at < now() - interval '1 minute', true) as "stale!",
                 (select m.role from members m where m.account_id = a.id and m.dataset_id = coalesce(
                   (select d.id from datasets d where d.name = $2 or d.id = $3 order by (d.id = $3) desc limit 1),
                   (select j.dataset_id from jobs j where j.id = $4))) as "role?"
               from api_tokens t join accounts a on a.id = t.account_id
               where t.token_hash = $1 and t.expires_at > now() and t.revoked_at is null
                 and a.disabled_at is null"#,
            token_hash,
            place.dataset,
            place.dataset_id(),
            place.job
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.stale {
            sqlx::query!("update api_tokens set used_at = now() where id = $1", row.token)
                .execute(&self.pool)
                .await?;
        }
        let scopes =
            row.scopes.iter().map(|s| keyword("scope", s, Scope::parse)).collect::<Result<Vec<_>>>()?;
        let role = row.role.map(|r| keyword("role", &r, Role::parse)).transpose()?;
        let viewer = Viewer { account: Some(row.id), name: row.name, admin: row.admin, scopes: Some(scopes) };
        Ok(Some((viewer, role)))
    }
}
