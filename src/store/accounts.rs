//! Accounts: who can sign in, the first admin, and how long somebody who guesses has to wait.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};

/// Somebody who can sign in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Account {
    pub id: Uuid,
    /// Also the author of what they say; unique whatever the case, and never given away again.
    pub name: String,
    /// Lead of every dataset, and makes accounts.
    pub admin: bool,
    pub disabled_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

/// Failures by one name that cost nothing; each one after them doubles the wait.
pub const FREE_BY_NAME: i32 = 5;
/// The same by one network address: a whole office may stand behind it.
pub const FREE_BY_ADDRESS: i32 = 50;
/// Longest wait, in seconds.
const LONGEST_WAIT: i64 = 900;

impl Store {
    /// Somebody has an account: from then on everybody signs in.
    pub async fn any_account(&self) -> Result<bool> {
        Ok(sqlx::query_scalar!(r#"select exists (select from accounts) as "any!""#)
            .fetch_one(&self.pool)
            .await?)
    }

    /// Replaces the code that makes the first admin.
    pub async fn put_setup_code(&self, code_hash: &[u8]) -> Result<()> {
        sqlx::query!(
            "insert into setup_code (code_hash) values ($1)
             on conflict (sole) do update set code_hash = excluded.code_hash, created_at = now()",
            code_hash
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Makes the first admin, once, for whoever knows the code. `None`: a wrong code, or there is an
    /// account already.
    pub async fn create_first_admin(
        &self,
        code_hash: &[u8],
        name: &str,
        password_hash: &str,
    ) -> Result<Option<Account>> {
        let mut tx = self.pool.begin().await?;
        let known = sqlx::query_scalar!("select code_hash from setup_code for update")
            .fetch_optional(&mut *tx)
            .await?;
        // both are hashes of long random codes: comparing them early tells nothing
        if known.as_deref() != Some(code_hash) {
            return Ok(None);
        }
        let any = sqlx::query_scalar!(r#"select exists (select from accounts) as "any!""#)
            .fetch_one(&mut *tx)
            .await?;
        if any {
            return Ok(None);
        }
        let account = sqlx::query_as!(
            Account,
            "insert into accounts (id, name, password_hash, admin) values ($1, $2, $3, true)
             returning id, name, admin, disabled_at, created_at",
            Uuid::now_v7(),
            name,
            password_hash
        )
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query!("delete from setup_code").execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(Some(account))
    }

    pub async fn create_account(
        &self,
        name: &str,
        password_hash: Option<&str>,
        admin: bool,
    ) -> Result<Account> {
        Ok(sqlx::query_as!(
            Account,
            "insert into accounts (id, name, password_hash, admin) values ($1, $2, $3, $4)
             returning id, name, admin, disabled_at, created_at",
            Uuid::now_v7(),
            name,
            password_hash,
            admin
        )
        .fetch_one(&self.pool)
        .await?)
    }

    pub async fn account(&self, id: Uuid) -> Result<Account> {
        sqlx::query_as!(
            Account,
            "select id, name, admin, disabled_at, created_at from accounts where id = $1",
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("account", id.to_string()))
    }

    /// By name, whatever the case; disabled ones too.
    pub async fn account_named(&self, name: &str) -> Result<Account> {
        sqlx::query_as!(
            Account,
            "select id, name, admin, disabled_at, created_at from accounts where lower(name) = lower($1)",
            name
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("account", name))
    }

    /// In order of names.
    pub async fn accounts(&self, after: Option<&str>, limit: i64) -> Result<Page<Account>> {
        let rows = sqlx::query_as!(
            Account,
            "select id, name, admin, disabled_at, created_at from accounts
             where $1::text is null or lower(name) > lower($1) order by lower(name) limit $2",
            after,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |a| a.name.clone()))
    }

    /// The account of this name that may sign in with a password, and the password's hash.
    pub async fn password_of(&self, name: &str) -> Result<Option<(Account, String)>> {
        let row = sqlx::query!(
            r#"select id, name, admin, disabled_at, created_at, password_hash as "hash!" from accounts
               where lower(name) = lower($1) and disabled_at is null and password_hash is not null"#,
            name
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|r| {
            let account = Account {
                id: r.id,
                name: r.name,
                admin: r.admin,
                disabled_at: r.disabled_at,
                created_at: r.created_at,
            };
            (account, r.hash)
        }))
    }

    /// A new password ends all sessions but the one it was set from.
    pub async fn set_password(
        &self,
        account: Uuid,
        password_hash: &str,
        keep_session: Option<&[u8]>,
    ) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!("update accounts set password_hash = $2 where id = $1", account, password_hash)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "delete from sessions where account_id = $1 and ($2::bytea is null or token_hash <> $2)",
            account,
            keep_session
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Changes what an account is. Disabling ends its sessions at once; its tokens no longer count.
    ///
    /// # Errors
    /// When no admin who can sign in would be left.
    pub async fn set_account(
        &self,
        id: Uuid,
        admin: Option<bool>,
        disabled: Option<bool>,
    ) -> Result<Account> {
        let mut tx = self.pool.begin().await?;
        // one change at a time, else two admins could demote each other
        sqlx::query!("select id from accounts where admin order by id for update")
            .fetch_all(&mut *tx)
            .await?;
        let account = sqlx::query_as!(
            Account,
            "update accounts set admin = coalesce($2, admin),
               disabled_at = case when $3 then coalesce(disabled_at, now()) when not $3 then null else disabled_at end
             where id = $1 returning id, name, admin, disabled_at, created_at",
            id,
            admin,
            disabled
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::not_found("account", id.to_string()))?;
        let admins = sqlx::query_scalar!(
            r#"select exists (select from accounts where admin and disabled_at is null) as "left!""#
        )
        .fetch_one(&mut *tx)
        .await?;
        if !admins {
            return Err(StoreError::Rule {
                field: "admin",
                code: "last_admin",
                message: "somebody has to be left who can make accounts".into(),
            });
        }
        if account.disabled_at.is_some() {
            sqlx::query!("delete from sessions where account_id = $1", id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(account)
    }

    /// Seconds until one of these keys (an account's name, a network address) may try again; 0 now.
    /// The first `free` failures cost nothing.
    pub async fn sign_in_wait(&self, keys: &[String], free: i32) -> Result<i64> {
        let rows = sqlx::query!(
            r#"select failures, extract(epoch from now() - last_at)::bigint as "ago!" from sign_in_failures
               where key = any($1)"#,
            keys
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.iter().map(|r| wait_after(r.failures, free) - r.ago).max().unwrap_or(0).max(0))
    }

    /// Counts one more failure for each key; a day without any forgets the older ones.
    pub async fn sign_in_failed(&self, keys: &[String]) -> Result<()> {
        sqlx::query!(
            "insert into sign_in_failures (key, failures, last_at) select unnest($1::text[]), 1, now()
             on conflict (key) do update set last_at = now(), failures =
               case when sign_in_failures.last_at < now() - interval '1 day' then 1
                    else least(sign_in_failures.failures + 1, 1000) end",
            keys
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!("delete from sign_in_failures where last_at < now() - interval '2 days'")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn sign_in_succeeded(&self, key: &str) -> Result<()> {
        sqlx::query!("delete from sign_in_failures where key = $1", key).execute(&self.pool).await?;
        Ok(())
    }
}

/// Seconds that this many failures cost.
fn wait_after(failures: i32, free: i32) -> i64 {
    if failures < free {
        return 0;
    }
    let doublings = u32::try_from(failures - free).unwrap_or(0).min(20);
    (1_i64 << doublings).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::{FREE_BY_NAME, wait_after};

    #[test]
    fn guessing_gets_slower() {
        let waits: Vec<i64> = (0..8).map(|n| wait_after(n, FREE_BY_NAME)).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 1, 2, 4]);
        assert_eq!(wait_after(1000, FREE_BY_NAME), 900);
    }
}
