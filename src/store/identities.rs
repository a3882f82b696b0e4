//! People as an OpenID provider knows them, and sign-ins that are at the provider just now.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::accounts::Account;
use super::{Result, Store, StoreError};

/// A sign-in on its way to the provider and back.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub nonce: String,
    pub pkce_verifier: String,
    /// Where the browser goes afterwards.
    pub next: String,
    /// Whoever was signed in and adds this way to sign in.
    pub account: Option<Uuid>,
}

/// An account's way to sign in at a provider.
#[derive(Clone, Debug)]
pub struct Identity {
    pub issuer: String,
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Keeps the attempt for ten minutes, and forgets those that are older.
    pub async fn begin_attempt(&self, state_hash: &[u8], attempt: &Attempt) -> Result<()> {
        sqlx::query!("delete from sign_in_attempts where created_at < now() - interval '10 minutes'")
            .execute(&self.pool)
            .await?;
        sqlx::query!(
            "insert into sign_in_attempts (state_hash, nonce, pkce_verifier, next, account_id)
             values ($1, $2, $3, $4, $5)",
            state_hash,
            attempt.nonce,
            attempt.pkce_verifier,
            attempt.next,
            attempt.account
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes the attempt: it is good once.
    pub async fn take_attempt(&self, state_hash: &[u8]) -> Result<Option<Attempt>> {
        Ok(sqlx::query_as!(
            Attempt,
            r#"delete from sign_in_attempts
               where state_hash = $1 and created_at > now() - interval '10 minutes'
               returning nonce, pkce_verifier, next, account_id as account"#,
            state_hash
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Disabled accounts too.
    pub async fn account_of_identity(&self, issuer: &str, subject: &str) -> Result<Option<Account>> {
        Ok(sqlx::query_as!(
            Account,
            "select a.id, a.name, a.admin, a.disabled_at, a.created_at
             from identities i join accounts a on a.id = i.account_id where i.issuer = $1 and i.subject = $2",
            issuer,
            subject
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Lets the account sign in at the provider; once more changes nothing.
    ///
    /// # Errors
    /// The identity belongs to another account.
    pub async fn connect_identity(&self, issuer: &str, subject: &str, account: Uuid) -> Result<()> {
        let owner = sqlx::query_scalar!(
            "insert into identities (issuer, subject, account_id) values ($1, $2, $3)
             on conflict (issuer, subject) do update set account_id = identities.account_id
             returning account_id",
            issuer,
            subject,
            account
        )
        .fetch_one(&self.pool)
        .await?;
        if owner == account {
            return Ok(());
        }
        Err(StoreError::Conflict {
            code: "identity_taken",
            message: "this sign-in belongs to another account".into(),
        })
    }

    /// Makes an account that can only sign in at the provider. `None`: the name is taken.
    pub async fn create_account_of_identity(
        &self,
        issuer: &str,
        subject: &str,
        name: &str,
    ) -> Result<Option<Account>> {
        let mut tx = self.pool.begin().await?;
        let made = sqlx::query_as!(
            Account,
            "insert into accounts (id, name) values ($1, $2) on conflict (lower(name)) do nothing
             returning id, name, admin, disabled_at, created_at",
            Uuid::now_v7(),
            name
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(account) = made else { return Ok(None) };
        sqlx::query!(
            "insert into identities (issuer, subject, account_id) values ($1, $2, $3)",
            issuer,
            subject,
            account.id
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(account))
    }

    /// Oldest first.
    pub async fn identities(&self, account: Uuid) -> Result<Vec<Identity>> {
        Ok(sqlx::query_as!(
            Identity,
            "select issuer, created_at from identities where account_id = $1 order by created_at",
            account
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
