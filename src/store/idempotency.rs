//! Answers to POSTs that carried an `Idempotency-Key`.

use serde_json::Value;

use super::{Result, Store};

/// What is known of a key.
#[derive(Debug)]
pub enum Idempotency {
    /// Never seen: the caller now owns it and must finish or release it.
    New,
    /// Answered before with the same request: give this answer again.
    Answered { status: u16, body: Value },
    /// The first request is still being answered.
    InProgress,
    /// The same key came with another request.
    Mismatch,
}

impl Store {
    /// Claims the key for a request; keys are forgotten after a day, abandoned claims after a minute.
    pub async fn claim_idempotency_key(
        &self,
        key: &str,
        route: &str,
        request_hash: &str,
    ) -> Result<Idempotency> {
        sqlx::query!(
            "delete from idempotency_keys where created_at < now() - interval '1 day'
               or (status is null and created_at < now() - interval '1 minute')"
        )
        .execute(&self.pool)
        .await?;
        let inserted = sqlx::query!(
            "insert into idempotency_keys (key, route, request_hash) values ($1, $2, $3) on conflict do nothing",
            key,
            route,
            request_hash
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        if inserted == 1 {
            return Ok(Idempotency::New);
        }
        let known = sqlx::query!(
            "select request_hash, status, body from idempotency_keys where key = $1 and route = $2",
            key,
            route
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(match known {
            None => Idempotency::InProgress,
            Some(k) if k.request_hash != request_hash => Idempotency::Mismatch,
            Some(k) => match (k.status, k.body) {
                (Some(status), Some(body)) => {
                    Idempotency::Answered { status: u16::try_from(status).unwrap_or(500), body }
                }
                _ => Idempotency::InProgress,
            },
        })
    }

    pub async fn finish_idempotency_key(
        &self,
        key: &str,
        route: &str,
        status: u16,
        body: &Value,
    ) -> Result<()> {
        sqlx::query!(
            "update idempotency_keys set status = $3, body = $4 where key = $1 and route = $2",
            key,
            route,
            i16::try_from(status).unwrap_or(i16::MAX),
            body
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The request failed before it did anything: the key may be used again.
    pub async fn release_idempotency_key(&self, key: &str, route: &str) -> Result<()> {
        sqlx::query!("delete from idempotency_keys where key = $1 and route = $2", key, route)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
