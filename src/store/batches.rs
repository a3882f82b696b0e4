//! Batches: parts of the queue with an owner, a priority and a day by which they are due.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::members::record;
use super::queue::{FillOrder, URGENCY};
use super::suspects::SuspectFilter;
use super::{Page, Result, Store, StoreError};
use crate::domain::pace::{finish, per_active_hour};

/// Decisions that a pace is measured on.
const MEASURED: i64 = 200;

/// A batch to be made.
#[derive(Clone, Debug)]
pub struct NewBatch {
    pub name: String,
    /// Who works through it; `None`: anybody.
    pub owner: Option<String>,
    /// Higher first; 0 is that of samples in no batch.
    pub priority: i16,
    pub due_on: Option<NaiveDate>,
    pub order: FillOrder,
    pub limit: i64,
    pub filter: SuspectFilter,
}

/// What changes of a batch; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct BatchChange {
    pub name: Option<String>,
    pub owner: Option<Option<String>>,
    pub priority: Option<i16>,
    pub due_on: Option<Option<NaiveDate>>,
    /// True: what nobody has taken of it goes back to the order of review.
    pub closed: bool,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Batch {
    pub id: Uuid,
    pub name: String,
    /// Who works through it; null: anybody.
    pub owner: Option<String>,
    /// Higher first; 0 is that of samples in no batch.
    pub priority: i16,
    pub due_on: Option<NaiveDate>,
    /// Samples in it.
    pub size: i32,
    /// Those that wait for somebody, be it for a second look.
    pub open: i64,
    /// Those of them that somebody holds.
    pub held: i64,
    /// Decisions an hour of one person at work, over the last 200; null before there are ten.
    pub pace: Option<f64>,
    /// When it will be done if decisions go on coming as they do; null before there are ten, and when it is done.
    pub finish: Option<DateTime<Utc>>,
    /// That is after the day on which it is due.
    pub late: bool,
    pub author: String,
    pub created_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Makes a batch and puts the samples that pass the filter into it, those that are in no other; all or
    /// nothing.
    ///
    /// # Errors
    /// `no_scan`; `empty_batch` when no sample passes; a name that the dataset has.
    pub async fn make_batch(&self, dataset: Uuid, new: &NewBatch, actor: &str) -> Result<Batch> {
        let mut tx = self.pool.begin().await?;
        let id = Uuid::now_v7();
        sqlx::query!(
            "insert into batches (id, dataset_id, name, owner, priority, due_on, size, author)
             values ($1, $2, $3, $4, $5, $6, 0, $7)",
            id,
            dataset,
            new.name,
            new.owner,
            new.priority,
            new.due_on,
            actor
        )
        .execute(&mut *tx)
        .await?;
        let batch = Some((id, new.priority));
        let size = self.put_in_front(&mut tx, dataset, new.order, &new.filter, new.limit, batch).await?;
        if size == 0 {
            return Err(StoreError::Rule {
                field: "filter",
                code: "empty_batch",
                message: "no sample that waits for a decision and is in no other batch passes the filter"
                    .into(),
            });
        }
        sqlx::query!(
            "update batches set size = $2 where id = $1",
            id,
            i32::try_from(size).unwrap_or(i32::MAX)
        )
        .execute(&mut *tx)
        .await?;
        let facts = serde_json::json!({"batch": id, "name": new.name, "size": size});
        record(&mut tx, actor, "batch_made", Some(dataset), &facts).await?;
        tx.commit().await?;
        self.batch(dataset, id).await
    }

    pub async fn batch(&self, dataset: Uuid, id: Uuid) -> Result<Batch> {
        let page = self.read_batches(dataset, Some(id), None, 1).await?;
        page.items.into_iter().next().ok_or_else(|| StoreError::not_found("batch", id.to_string()))
    }

    /// Newest first; `before` is the last of the page before.
    pub async fn batches(&self, dataset: Uuid, before: Option<Uuid>, limit: i64) -> Result<Page<Batch>> {
        self.read_batches(dataset, None, before, limit).await
    }

    async fn read_batches(
        &self,
        dataset: Uuid,
        id: Option<Uuid>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Page<Batch>> {
        let rows = sqlx::query!(
            r#"select b.id, b.name, b.owner, b.priority, b.due_on, b.size, b.author, b.created_at, b.closed_at,
                 coalesce(q.open, 0) as "open!", coalesce(q.held, 0) as "held!"
               from batches b left join lateral (
                 select count(distinct sample_id) as open,
                   count(distinct sample_id) filter (where leased_until > now()) as held
                 from queue_items where batch_id = b.id and state = 'open' and purpose <> 'gold') q on true
               where b.dataset_id = $1 and ($2::uuid is null or b.id = $2) and ($3::uuid is null or b.id < $3)
               order by b.id desc limit $4"#,
            dataset,
            id,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let ids: Vec<Uuid> = rows.iter().map(|r| r.id).collect();
        let decisions = sqlx::query!(
            r#"select b.id as "batch!", r.author as "author!", r.created_at as "at!"
               from unnest($1::uuid[]) b(id) cross join lateral (
                 select r.author, r.created_at from queue_items q
                 join reviews r on r.lease_id = q.lease_id
                 where q.batch_id = b.id and q.state = 'done' order by r.id desc limit $2) r"#,
            &ids,
            MEASURED
        )
        .fetch_all(&self.pool)
        .await?;
        let now = Utc::now();
        let batches = rows
            .into_iter()
            .map(|r| {
                let of: Vec<(String, DateTime<Utc>)> =
                    decisions.iter().filter(|d| d.batch == r.id).map(|d| (d.author.clone(), d.at)).collect();
                let finish = finish(&of, r.open, now).filter(|_| r.closed_at.is_none());
                let ends =
                    if r.open > 0 && r.closed_at.is_none() { Some(finish.unwrap_or(now)) } else { None };
                Batch {
                    id: r.id,
                    name: r.name,
                    owner: r.owner,
                    priority: r.priority,
                    due_on: r.due_on,
                    size: r.size,
                    open: r.open,
                    held: r.held,
                    pace: per_active_hour(&of),
                    finish,
                    late: r.due_on.zip(ends).is_some_and(|(due, end)| end.date_naive() > due),
                    author: r.author,
                    created_at: r.created_at,
                    closed_at: r.closed_at,
                }
            })
            .collect();
        Ok(Page::cut(batches, limit, |b| b.id.to_string()))
    }

    /// Changes a batch; a closed one cannot be opened again.
    pub async fn change_batch(
        &self,
        dataset: Uuid,
        id: Uuid,
        change: &BatchChange,
        actor: &str,
    ) -> Result<Batch> {
        let mut tx = self.pool.begin().await?;
        let before = sqlx::query!(
            "select priority, closed_at from batches where dataset_id = $1 and id = $2 for update",
            dataset,
            id
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::not_found("batch", id.to_string()))?;
        let priority = change.priority.unwrap_or(before.priority);
        let closes = change.closed && before.closed_at.is_none();
        sqlx::query!(
            "update batches set name = coalesce($2, name), owner = case when $3 then $4 else owner end, priority = $5,
               due_on = case when $6 then $7 else due_on end, closed_at = case when $8 then now() else closed_at end
             where id = $1",
            id,
            change.name,
            change.owner.is_some(),
            change.owner.as_ref().and_then(Option::as_deref),
            priority,
            change.due_on.is_some(),
            change.due_on.flatten(),
            closes
        )
        .execute(&mut *tx)
        .await?;
        if priority != before.priority {
            sqlx::query!(
                "update queue_items set priority = priority + $2 where batch_id = $1 and state = 'open'",
                id,
                URGENCY * f64::from(before.priority - priority)
            )
            .execute(&mut *tx)
            .await?;
        }
        if closes {
            sqlx::query!(
                "delete from queue_items where batch_id = $1 and state = 'open' and purpose = 'first' and lease_id is null
                   and not_by = '{}'",
                id
            )
            .execute(&mut *tx)
            .await?;
            // what is begun goes on among the others
            sqlx::query!(
                "update queue_items set batch_id = null, priority = 0 where batch_id = $1 and state = 'open'",
                id
            )
            .execute(&mut *tx)
            .await?;
        }
        let facts = serde_json::json!({"batch": id, "closed": closes});
        record(&mut tx, actor, "batch_changed", Some(dataset), &facts).await?;
        tx.commit().await?;
        if closes {
            self.restart_order(dataset).await?;
        }
        self.batch(dataset, id).await
    }
}
