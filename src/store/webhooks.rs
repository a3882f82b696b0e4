//! Webhooks and their deliveries. Deliveries are written by the database with what they tell of
//! (migration 0013); here they are claimed, and their ends are noted.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};

/// Most webhooks of a dataset.
const MAX_WEBHOOKS: i64 = 20;

/// An address that is told what happens in a dataset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Webhook {
    pub id: Uuid,
    pub url: String,
    /// `job.ended`, `snapshot.created`, `review.recorded`.
    pub events: Vec<String>,
    pub author: String,
    pub created_at: DateTime<Utc>,
}

/// One thing told to one webhook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    pub id: i64,
    pub event: String,
    #[schema(value_type = Object)]
    pub payload: Value,
    pub created_at: DateTime<Utc>,
    pub attempts: i32,
    /// When it is tried next; null once it was taken or given up.
    pub next_at: Option<DateTime<Utc>>,
    pub last_at: Option<DateTime<Utc>>,
    /// HTTP status of the last answer.
    pub status: Option<i32>,
    /// Why there was no answer.
    pub error: Option<String>,
    pub delivered_at: Option<DateTime<Utc>>,
}

/// A delivery that this process has taken on.
#[derive(Clone, Debug)]
pub struct Due {
    pub id: i64,
    pub event: String,
    pub payload: Value,
    pub url: String,
    pub secret: String,
    /// This one included.
    pub attempts: i32,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Attempted {
    pub status: Option<u16>,
    pub error: Option<String>,
    pub delivered: bool,
    /// Seconds until the next attempt; `None`: no more.
    pub again_in_s: Option<i32>,
}

impl Store {
    pub async fn create_webhook(
        &self,
        dataset: Uuid,
        url: &str,
        secret: &str,
        events: &[String],
        author: &str,
    ) -> Result<Webhook> {
        let mut tx = self.pool.begin().await?;
        // counted under the dataset's lock, so that two at once do not both fit
        sqlx::query!("select id from datasets where id = $1 for update", dataset)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        let there = sqlx::query_scalar!(
            r#"select count(*) as "n!" from webhooks where dataset_id = $1 and removed_at is null"#,
            dataset
        )
        .fetch_one(&mut *tx)
        .await?;
        if there >= MAX_WEBHOOKS {
            return Err(StoreError::Conflict {
                code: "too_many_webhooks",
                message: format!("a dataset has at most {MAX_WEBHOOKS} webhooks"),
            });
        }
        let made = sqlx::query_as!(
            Webhook,
            "insert into webhooks (id, dataset_id, url, secret, events, author) values ($1, $2, $3, $4, $5, $6)
             returning id, url, events, author, created_at",
            Uuid::now_v7(),
            dataset,
            url,
            secret,
            events,
            author
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Those that are told something, oldest first.
    pub async fn webhooks(&self, dataset: Uuid) -> Result<Vec<Webhook>> {
        Ok(sqlx::query_as!(
            Webhook,
            "select id, url, events, author, created_at from webhooks
             where dataset_id = $1 and removed_at is null order by id",
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// What waits is not sent any more.
    pub async fn remove_webhook(&self, dataset: Uuid, id: Uuid) -> Result<()> {
        let removed = sqlx::query!(
            "update webhooks set removed_at = now() where id = $1 and dataset_id = $2 and removed_at is null",
            id,
            dataset
        )
        .execute(&self.pool)
        .await?;
        if removed.rows_affected() == 0 {
            return Err(StoreError::not_found("webhook", id.to_string()));
        }
        sqlx::query!("update webhook_deliveries set next_at = null where webhook_id = $1", id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Sends a `ping` to the webhook, whatever it listens to.
    pub async fn ping_webhook(&self, dataset: Uuid, id: Uuid) -> Result<i64> {
        sqlx::query_scalar!(
            "insert into webhook_deliveries (webhook_id, event, payload)
             select w.id, 'ping', jsonb_build_object('event', 'ping', 'at', now(), 'dataset_id', d.id,
               'dataset', d.name, 'data', '{}'::jsonb)
             from webhooks w join datasets d on d.id = w.dataset_id
             where w.id = $1 and w.dataset_id = $2 and w.removed_at is null
             returning id",
            id,
            dataset
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("webhook", id.to_string()))
    }

    /// Newest first; those of removed webhooks too.
    pub async fn deliveries(
        &self,
        dataset: Uuid,
        webhook: Uuid,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<Delivery>> {
        let known = sqlx::query_scalar!(
            r#"select exists (select from webhooks where id = $1 and dataset_id = $2) as "known!""#,
            webhook,
            dataset
        )
        .fetch_one(&self.pool)
        .await?;
        if !known {
            return Err(StoreError::not_found("webhook", webhook.to_string()));
        }
        let rows = sqlx::query_as!(
            Delivery,
            "select id, event, payload, created_at, attempts, next_at, last_at, status, error, delivered_at
             from webhook_deliveries where webhook_id = $1 and ($2::bigint is null or id < $2)
             order by id desc limit $3",
            webhook,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |d| d.id.to_string()))
    }

    /// Sends one again, as if it were new.
    pub async fn redeliver(&self, dataset: Uuid, webhook: Uuid, delivery: i64) -> Result<()> {
        let sent = sqlx::query!(
            "update webhook_deliveries v set next_at = now(), attempts = 0, delivered_at = null
             from webhooks w
             where v.id = $3 and v.webhook_id = $2 and w.id = $2 and w.dataset_id = $1 and w.removed_at is null",
            dataset,
            webhook,
            delivery
        )
        .execute(&self.pool)
        .await?;
        if sent.rows_affected() == 0 {
            return Err(StoreError::not_found("delivery", delivery.to_string()));
        }
        Ok(())
    }

    /// Takes on what is due. Should this process die with it, it is due again after `hold_s` seconds; so a
    /// receiver may get one thing twice, and knows it by its id.
    pub async fn claim_deliveries(&self, limit: i64, hold_s: i32) -> Result<Vec<Due>> {
        Ok(sqlx::query_as!(
            Due,
            r#"update webhook_deliveries v
               set attempts = v.attempts + 1, next_at = now() + make_interval(secs => $2)
               from webhooks w
               where w.id = v.webhook_id and v.id in (
                 select id from webhook_deliveries where next_at <= now() order by next_at limit $1
                 for update skip locked)
               returning v.id, v.event, v.payload, w.url, w.secret, v.attempts"#,
            limit,
            f64::from(hold_s)
        )
        .fetch_all(&self.pool)
        .await?)
    }

    pub async fn delivery_attempted(&self, id: i64, end: &Attempted) -> Result<()> {
        sqlx::query!(
            "update webhook_deliveries
             set last_at = now(), status = $2, error = $3,
               delivered_at = case when $4 then now() end,
               next_at = now() + make_interval(secs => $5)
             where id = $1",
            id,
            end.status.map(i32::from),
            end.error,
            end.delivered,
            end.again_in_s.map(f64::from)
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets deliveries that ended more than `days` ago; how many.
    pub async fn forget_deliveries(&self, days: i32) -> Result<u64> {
        Ok(sqlx::query!(
            "delete from webhook_deliveries where next_at is null and created_at < now() - make_interval(days => $1)",
            days
        )
        .execute(&self.pool)
        .await?
        .rows_affected())
    }
}
