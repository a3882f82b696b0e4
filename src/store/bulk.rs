//! Decisions on many samples: what one would change, writing it, and taking it back. Each goes in whole, in one
//! transaction: dropped before its commit nothing was written.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{PgPool, Postgres, QueryBuilder, Transaction};
use utoipa::ToSchema;
use uuid::Uuid;

use super::sets::SampleSet;
use super::telling::Audience;
use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::{BulkAction, JobKind, JobState, LabelSource, RunState};

/// Samples written at once.
const BATCH: i64 = 5000;

/// Which samples of which set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BulkFilter {
    pub set: SampleSet,
    /// Internal ids of samples of the set that are left out.
    #[serde(default)]
    pub except: Vec<i64>,
}

/// What is to be done with the samples of a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBulk {
    /// Made by the client; a repeated send with the same id changes nothing.
    pub client_id: Uuid,
    pub author: String,
    pub action: BulkAction,
    /// The class that `relabel` gives; a leaf of the taxonomy.
    pub class: Option<String>,
    pub filter: BulkFilter,
}

/// A decision on many samples.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Bulk {
    /// Also that of its job, where it has one.
    pub id: Uuid,
    pub client_id: Uuid,
    pub author: String,
    pub action: BulkAction,
    /// The class that `relabel` gave.
    pub class: Option<String>,
    pub filter: BulkFilter,
    /// Samples of the set, and those that were changed; 0 until it is applied.
    pub n_samples: i64,
    pub n_changed: i64,
    pub state: RunState,
    pub created_at: DateTime<Utc>,
    pub applied_at: Option<DateTime<Utc>>,
    pub undone_at: Option<DateTime<Utc>>,
    pub undone_by: Option<String>,
}

/// What a decision would do now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BulkPreview {
    pub samples: i64,
    /// Samples that would get a label, or be excluded.
    pub changes: i64,
    /// Samples left alone because several people settled their label together.
    pub settled: i64,
    /// By current label, most samples first.
    pub classes: Vec<BulkClass>,
}

/// Samples of one current label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkClass {
    /// Null: samples without a label.
    pub class: Option<String>,
    pub samples: i64,
    pub changes: i64,
}

/// Writes the labels or exclusions of one action; holds one connection.
#[derive(Debug)]
pub struct BulkPass {
    tx: Transaction<'static, Postgres>,
    pool: PgPool,
    bulk: Bulk,
    dataset: Uuid,
    seq: i64,
    /// The last review when the set was read.
    review: i64,
    after: i64,
}

/// Adds whether the action changes a sample `s` with current label `c`.
fn push_changes(q: &mut QueryBuilder<Postgres>, action: BulkAction, class: Option<&str>) {
    let precedence = LabelSource::Annotator.precedence();
    match action {
        // a person's word for what an import or a rule said
        BulkAction::Keep => {
            q.push("coalesce(c.class is not null and label_precedence(c.source) < ")
                .push_bind(precedence)
                .push(", false)");
        }
        BulkAction::Relabel => {
            q.push("(c.class is distinct from ").push_bind(class.map(str::to_owned)).push(" and ");
            push_stated(q, action);
            q.push(")");
        }
        BulkAction::Exclude => {
            q.push("not exists (select from exclusions e where e.sample_id = s.id and e.lifted_at is null)");
        }
    }
}

/// Adds whether the action decides on the sample. Where it changes nothing its word is kept all the same: what
/// was said before may be taken back.
fn push_stated(q: &mut QueryBuilder<Postgres>, action: BulkAction) {
    match action {
        BulkAction::Keep => q.push("coalesce(c.class is not null and label_precedence(c.source) <= "),
        BulkAction::Relabel => q.push("coalesce(label_precedence(c.source) <= "),
        BulkAction::Exclude => {
            q.push("true");
            return;
        }
    };
    q.push_bind(LabelSource::Annotator.precedence());
    q.push(if action == BulkAction::Keep { ", false)" } else { ", true)" });
}

struct Row {
    id: Uuid,
    client_id: Uuid,
    author: String,
    action: String,
    class: Option<String>,
    filter: Json<BulkFilter>,
    n_samples: i64,
    n_changed: i64,
    state: Option<String>,
    created_at: DateTime<Utc>,
    applied_at: Option<DateTime<Utc>>,
    undone_at: Option<DateTime<Utc>>,
    undone_by: Option<String>,
    seq: i64,
}

impl TryFrom<Row> for Bulk {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        let job = r.state.as_deref().map(|s| keyword("job state", s, JobState::parse)).transpose()?;
        // without a job it was to be applied at once: one that was not did not get that far
        let job = job.unwrap_or(JobState::Failed);
        Ok(Self {
            id: r.id,
            client_id: r.client_id,
            author: r.author,
            action: keyword("bulk action", &r.action, BulkAction::parse)?,
            class: r.class,
            filter: r.filter.0,
            n_samples: r.n_samples,
            n_changed: r.n_changed,
            state: RunState::of(r.applied_at.is_some(), r.undone_at.is_some(), job),
            created_at: r.created_at,
            applied_at: r.applied_at,
            undone_at: r.undone_at,
            undone_by: r.undone_by,
        })
    }
}

impl Store {
    /// What the action would do; writes nothing. Walks through the set once.
    ///
    /// # Errors
    /// The filter names something that is not there.
    pub async fn preview_bulk(
        &self,
        dataset: Uuid,
        action: BulkAction,
        class: Option<&str>,
        filter: &BulkFilter,
    ) -> Result<BulkPreview> {
        let mut q = QueryBuilder::new("select c.class, count(*), count(*) filter (where ");
        push_changes(&mut q, action, class);
        q.push("), count(*) filter (where label_precedence(c.source) > ")
            .push_bind(LabelSource::Annotator.precedence())
            .push(")");
        self.push_set(&mut q, dataset, &filter.set, Audience::Knowing).await?;
        q.push(" and s.id <> all(")
            .push_bind(filter.except.clone())
            .push(") group by c.class order by 2 desc, 1");
        let rows: Vec<(Option<String>, i64, i64, i64)> = q.build_query_as().fetch_all(&self.pool).await?;
        let settled = if action == BulkAction::Relabel { rows.iter().map(|r| r.3).sum() } else { 0 };
        Ok(BulkPreview {
            samples: rows.iter().map(|r| r.1).sum(),
            changes: rows.iter().map(|r| r.2).sum(),
            settled,
            classes: rows
                .into_iter()
                .map(|(class, samples, changes, _)| BulkClass { class, samples, changes })
                .collect(),
        })
    }

    /// Writes an action down, to be applied by [`Self::begin_bulk`]; with `job`, as a job of the same id. The same
    /// `client_id` again: the action of the first time, and `false`.
    ///
    /// # Errors
    /// A class that is no leaf of the taxonomy; a `client_id` that another action has.
    pub async fn insert_bulk(
        &self,
        dataset: Uuid,
        new: &NewBulk,
        job: Option<&serde_json::Value>,
    ) -> Result<(Uuid, bool)> {
        let mut tx = self.pool.begin().await?;
        sqlx::query!("select id from datasets where id = $1 for key share", dataset)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        if let Some(class) = &new.class {
            let leaf = sqlx::query_scalar!(
                r#"select exists (select from taxonomy_nodes
                     where dataset_id = $1 and node = $2 and class_index is not null) as "leaf!""#,
                dataset,
                class
            )
            .fetch_one(&mut *tx)
            .await?;
            if !leaf {
                let message = format!("{class:?}: not a class (leaf) of this dataset's taxonomy");
                return Err(StoreError::Rule { field: "class", code: "unknown_class", message });
            }
        }
        let inserted = sqlx::query_scalar!(
            "insert into bulk_actions (id, client_id, dataset_id, author, action, class, filter)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (client_id) do nothing returning id",
            Uuid::now_v7(),
            new.client_id,
            dataset,
            new.author,
            new.action.as_str(),
            new.class,
            Json(&new.filter) as _
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(id) = inserted {
            if let Some(args) = job {
                sqlx::query!(
                    "insert into jobs (id, kind, dataset_id, args) values ($1, $2, $3, $4)",
                    id,
                    JobKind::Bulk.as_str(),
                    dataset,
                    args
                )
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            return Ok((id, true));
        }
        tx.rollback().await?;
        let known = sqlx::query!(
            r#"select id, dataset_id, action, class, filter as "filter: Json<BulkFilter>" from bulk_actions
               where client_id = $1"#,
            new.client_id
        )
        .fetch_one(&self.pool)
        .await?;
        let same = known.dataset_id == dataset
            && known.action == new.action.as_str()
            && known.class == new.class
            && known.filter.0 == new.filter;
        if same {
            return Ok((known.id, false));
        }
        let message = "this client_id belongs to another decision: make a new one for each".to_owned();
        Err(StoreError::Rule { field: "client_id", code: "client_id_reused", message })
    }

    /// An action of this `client_id` was written down.
    pub async fn knows_bulk(&self, client_id: Uuid) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"select exists (select from bulk_actions where client_id = $1) as "known!""#,
            client_id
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Newest first; `before` is the last action of the page before.
    pub async fn bulks(
        &self,
        dataset: Uuid,
        only: Option<Uuid>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<Bulk>> {
        let rows = sqlx::query_as!(
            Row,
            r#"select b.id, b.client_id, b.author, b.action, b.class, b.filter as "filter: Json<BulkFilter>",
                 b.n_samples, b.n_changed, j.state as "state?", b.created_at, b.applied_at, b.undone_at, b.undone_by,
                 b.seq
               from bulk_actions b left join jobs j on j.id = b.id
               where b.dataset_id = $1 and ($2::uuid is null or b.id = $2) and ($3::bigint is null or b.seq < $3)
               order by b.seq desc limit $4"#,
            dataset,
            only,
            before,
            limit.saturating_add(1)
        )
        .fetch_all(&self.pool)
        .await?;
        let page = Page::cut(rows, limit, |r| r.seq.to_string());
        let items = page.items.into_iter().map(Bulk::try_from).collect::<Result<_>>()?;
        Ok(Page { items, next: page.next })
    }

    pub async fn bulk(&self, dataset: Uuid, id: Uuid) -> Result<Bulk> {
        self.bulks(dataset, Some(id), None, 1)
            .await?
            .items
            .pop()
            .ok_or_else(|| StoreError::not_found("bulk action", id.to_string()))
    }

    /// Begins to write an action; `None` when it has been applied.
    ///
    /// # Errors
    /// There is no such action, or its filter names something that is gone.
    pub async fn begin_bulk(&self, dataset: Uuid, id: Uuid) -> Result<Option<BulkPass>> {
        let bulk = self.bulk(dataset, id).await?;
        // may ask the database itself: before the transaction, which holds a connection
        let mut q = QueryBuilder::new(
            "insert into bulk_action_samples (bulk_id, sample_id, class_before, changed, stated) select ",
        );
        q.push_bind(id).push(", s.id, c.class, ");
        push_changes(&mut q, bulk.action, bulk.class.as_deref());
        q.push(", ");
        push_stated(&mut q, bulk.action);
        self.push_set(&mut q, dataset, &bulk.filter.set, Audience::Knowing).await?;
        q.push(" and s.id <> all(").push_bind(bulk.filter.except.clone()).push(")");
        let mut tx = self.pool.begin().await?;
        sqlx::query!("select id from datasets where id = $1 for key share", dataset)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        let open = sqlx::query_scalar!(
            "select seq from bulk_actions where id = $1 and dataset_id = $2 and applied_at is null for update",
            id,
            dataset
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(seq) = open else { return Ok(None) };
        let review = sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "id!" from reviews"#)
            .fetch_one(&mut *tx)
            .await?;
        let n_samples = q.build().execute(&mut *tx).await?.rows_affected().cast_signed();
        let (bulk, pool) = (Bulk { n_samples, ..bulk }, self.pool.clone());
        Ok(Some(BulkPass { tx, pool, bulk, dataset, seq, review, after: 0 }))
    }

    /// Takes back what an action did: its labels are retracted, its exclusions lifted. What was decided since
    /// stands. `None` when it does not stand.
    pub async fn undo_bulk(&self, dataset: Uuid, id: Uuid, author: &str) -> Result<Option<u64>> {
        let known = self.bulks(dataset, Some(id), None, 1).await?.items;
        if known.first().is_some_and(|b| b.n_samples > BATCH) {
            renew_statistics(&self.pool).await;
        }
        let mut tx = self.pool.begin().await?;
        let Some(row) = sqlx::query!(
            "update bulk_actions set undone_at = now(), undone_by = $3
             where dataset_id = $1 and id = $2 and applied_at is not null and undone_at is null returning action, seq",
            dataset,
            id,
            author
        )
        .fetch_optional(&mut *tx)
        .await?
        else {
            return Ok(None);
        };
        let undone = if row.action == BulkAction::Exclude.as_str() {
            sqlx::query!(
                "update exclusions set lifted_at = now() where bulk_id = $1 and lifted_at is null",
                id
            )
            .execute(&mut *tx)
            .await?
            .rows_affected()
        } else {
            let undone = sqlx::query!(
                "insert into label_retractions (label_id, author)
                 select l.id, $2 from bulk_action_samples b join labels l on l.sample_id = b.sample_id and l.job_id = b.bulk_id
                 where b.bulk_id = $1 order by l.sample_id on conflict do nothing",
                id,
                author
            )
            .execute(&mut *tx)
            .await?
            .rows_affected();
            restate(&mut tx, id, row.seq).await?;
            undone
        };
        // back into the queue, unless somebody decided or it waits again already
        sqlx::query!(
            "update queue_items q set state = 'open', done_at = null from bulk_action_samples b
             where b.bulk_id = $1 and q.id = b.queue_item and q.state = 'done'
               and not exists (select from review_status r where r.sample_id = b.sample_id and r.decision <> 'unsure')
               and not exists (select from exclusions x where x.sample_id = b.sample_id and x.lifted_at is null)
               and not exists (select from queue_items o
                 where o.sample_id = b.sample_id and o.state = 'open' and o.purpose <> 'gold')",
            id
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(undone))
    }
}

/// Has Postgres count again the tables that a large action writes; rows are sampled, so the cost does not grow with
/// them. Autovacuum may have looked while the rows were not committed, or were those of a worker that was killed. It
/// then holds for empty what has 100,000 rows, and the planner joins two such tables row by row: giving 120,000
/// samples their status back takes 0.6 s with statistics, and was given up after minutes without.
async fn renew_statistics(pool: &PgPool) {
    let tables =
        "analyze bulk_action_samples, labels, label_retractions, review_status, exclusions, queue_items";
    if let Err(error) = sqlx::query(tables).execute(pool).await {
        // what was decided stands without it
        tracing::warn!(%error, "statistics of the tables of a bulk action");
    }
}

/// Gives the samples of an action that was undone the status that they have without it, where nobody decided
/// since: the last review or standing action, whichever came later.
async fn restate(tx: &mut Transaction<'static, Postgres>, bulk: Uuid, seq: i64) -> Result<()> {
    sqlx::query!(
        "update review_status r set review_id = l.said_by, decision = l.decision
         from bulk_action_samples b cross join lateral last_said(b.sample_id) l
         where b.bulk_id = $1 and r.sample_id = b.sample_id and r.review_id = -$2::bigint",
        bulk,
        seq
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "delete from review_status r using bulk_action_samples b
         where b.bulk_id = $1 and r.sample_id = b.sample_id and r.review_id = -$2::bigint",
        bulk,
        seq
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl BulkPass {
    /// Samples of the set.
    pub fn samples(&self) -> i64 {
        self.bulk.n_samples
    }

    /// Writes the next samples in id order; how many there were, 0 at the end. What a person said of a sample
    /// since the set was read stands.
    pub async fn next(&mut self) -> Result<i64> {
        let id = self.bulk.id;
        let part = sqlx::query!(
            r#"select max(sample_id) as upto, count(*) as "n!", count(*) filter (where changed) as "changed!" from (
                 select sample_id, changed from bulk_action_samples where bulk_id = $1 and sample_id > $2
                 order by sample_id limit $3) x"#,
            id,
            self.after,
            BATCH
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let Some(upto) = part.upto else { return Ok(0) };
        if self.bulk.action == BulkAction::Exclude {
            sqlx::query!(
                "insert into exclusions (dataset_id, sample_id, bulk_id)
                 select a.dataset_id, b.sample_id, b.bulk_id
                 from bulk_action_samples b join bulk_actions a on a.id = b.bulk_id
                 where b.bulk_id = $1 and b.sample_id > $2 and b.sample_id <= $3",
                id,
                self.after,
                upto
            )
            .execute(&mut *self.tx)
            .await?;
        } else {
            sqlx::query!(
                "insert into labels (dataset_id, sample_id, class, source, author, job_id)
                 select $4, b.sample_id, coalesce($5, b.class_before), $6, $7, b.bulk_id
                 from bulk_action_samples b left join current_labels c on c.sample_id = b.sample_id
                 where b.bulk_id = $1 and b.stated and b.sample_id > $2 and b.sample_id <= $3
                   and c.class is not distinct from b.class_before
                 order by b.sample_id",
                id,
                self.after,
                upto,
                self.dataset,
                self.bulk.class,
                LabelSource::Annotator.as_str(),
                self.bulk.author
            )
            .execute(&mut *self.tx)
            .await?;
            sqlx::query!(
                "insert into review_status (sample_id, dataset_id, review_id, decision)
                 select sample_id, $4, -$5::bigint, $6 from bulk_action_samples
                 where bulk_id = $1 and stated and sample_id > $2 and sample_id <= $3 order by sample_id
                 on conflict (sample_id) do update set review_id = excluded.review_id, decision = excluded.decision
                 where review_status.review_id <= $7",
                id,
                self.after,
                upto,
                self.dataset,
                self.seq,
                self.bulk.action.as_str(),
                self.review
            )
            .execute(&mut *self.tx)
            .await?;
        }
        // nobody needs to look for a first time; who holds a sample just now goes on
        sqlx::query!(
            "with done as (
               update queue_items q set state = 'done', done_at = now() from bulk_action_samples b
               where b.bulk_id = $1 and b.sample_id > $2 and b.sample_id <= $3 and q.sample_id = b.sample_id
                 and q.state = 'open' and q.purpose = 'first' and (q.leased_until is null or q.leased_until < now())
                 and b.stated
               returning q.id, q.sample_id)
             update bulk_action_samples b set queue_item = d.id from done d
             where b.bulk_id = $1 and b.sample_id = d.sample_id",
            id,
            self.after,
            upto
        )
        .execute(&mut *self.tx)
        .await?;
        self.bulk.n_changed += part.changed;
        self.after = upto;
        Ok(part.n)
    }

    /// Makes it stand.
    pub async fn commit(mut self) -> Result<()> {
        sqlx::query!(
            "update bulk_actions set applied_at = now(), n_samples = $2, n_changed = $3 where id = $1",
            self.bulk.id,
            self.bulk.n_samples,
            self.bulk.n_changed
        )
        .execute(&mut *self.tx)
        .await?;
        self.tx.commit().await?;
        if self.bulk.n_samples > BATCH {
            renew_statistics(&self.pool).await;
        }
        Ok(())
    }
}
