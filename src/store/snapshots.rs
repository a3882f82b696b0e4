//! Snapshots: immutable, content-addressed versions of all current labels, and going back to one.

mod fallen;

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::members::record;
use super::{Page, Result, Store, StoreError};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// sha256 of the canonical rows.
    pub id: String,
    pub parent: Option<String>,
    pub author: String,
    pub reason: String,
    pub n_labelled: i64,
    /// Samples whose label differs from the parent's.
    pub n_changed: i64,
    #[serde(skip)]
    pub blob: String,
    pub created_at: DateTime<Utc>,
}

/// One labelled sample as a snapshot keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRow {
    pub sample_id: i64,
    pub external_id: String,
    pub given_class: Option<String>,
    pub class: String,
    pub source: String,
    pub author: String,
    pub decided_at: DateTime<Utc>,
}

/// What a sample's current label shall be.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub sample_id: i64,
    pub class: String,
    pub source: String,
    pub decided_at: DateTime<Utc>,
}

/// What going back to a snapshot did: samples whose current label changed, labels retracted and given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub changed: i64,
    pub retracted: i64,
    pub given: i64,
    /// Decisions made since that count no more.
    pub fallen: i64,
    /// Samples that wait for somebody again.
    pub queued: i64,
}

impl Store {
    /// All current labels of samples that are not excluded, in byte order of the external id: one statement, so one consistent state.
    pub fn current_labels(&self, dataset: Uuid) -> BoxStream<'_, Result<LabelRow>> {
        sqlx::query!(
            r#"select c.sample_id, s.external_id, c.given_class, c.class as "class!", c.source as "source!",
                 c.author as "author!", c.decided_at as "decided_at!"
               from current_labels c join samples s on s.id = c.sample_id
               where c.dataset_id = $1 and c.class is not null
                 and not exists (select from exclusions e where e.sample_id = c.sample_id and e.lifted_at is null)
               order by s.external_id collate "C""#,
            dataset
        )
        .fetch(&self.pool)
        .map_ok(|r| LabelRow {
            sample_id: r.sample_id,
            external_id: r.external_id,
            given_class: r.given_class,
            class: r.class,
            source: r.source,
            author: r.author,
            decided_at: r.decided_at,
        })
        .map_err(StoreError::from)
        .boxed()
    }

    /// Newest first; `before` is the id of the last snapshot of the page before.
    pub async fn snapshots(&self, dataset: Uuid, before: Option<&str>, limit: i64) -> Result<Page<Snapshot>> {
        let rows = sqlx::query_as!(
            Snapshot,
            "select id, parent, author, reason, n_labelled, n_changed, blob, created_at from snapshots
             where dataset_id = $1
               and ($2::text is null or seq < (select seq from snapshots where dataset_id = $1 and id = $2))
             order by seq desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |s| s.id.clone()))
    }

    /// By full id or a prefix of at least eight digits that fits one snapshot only.
    pub async fn snapshot(&self, dataset: Uuid, id: &str) -> Result<Snapshot> {
        let hex = id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let mut found = if hex {
            sqlx::query_as!(
                Snapshot,
                "select id, parent, author, reason, n_labelled, n_changed, blob, created_at from snapshots
                 where dataset_id = $1 and starts_with(id, $2) order by seq desc limit 2",
                dataset,
                id
            )
            .fetch_all(&self.pool)
            .await?
        } else {
            Vec::new()
        };
        if found.len() > 1 {
            return Err(StoreError::Rule {
                field: "snapshot",
                code: "ambiguous_snapshot",
                message: format!("snapshot {id:?} fits more than one; give more digits"),
            });
        }
        found.pop().ok_or_else(|| StoreError::not_found("snapshot", id))
    }

    /// Keeps a snapshot; the same content again is the same snapshot and changes nothing.
    pub async fn insert_snapshot(&self, dataset: Uuid, s: &Snapshot) -> Result<()> {
        sqlx::query!(
            "insert into snapshots (dataset_id, id, parent, author, reason, n_labelled, n_changed, blob)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
            dataset,
            s.id,
            s.parent,
            s.author,
            s.reason,
            s.n_labelled,
            s.n_changed,
            s.blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Makes the current labels those `wanted`, which are the ones of the snapshot `to`: labels that outrank one are
    /// retracted, and where it was itself retracted since, it is given again. Decisions made since fall: they are
    /// taken back, count no more for queue, verification and exclusion, and samples that they alone had decided wait
    /// in the queue again, where they stood; so do those verified as something else. Noted among the audit events.
    /// All or nothing.
    pub async fn restore(
        &self,
        dataset: Uuid,
        to: &Snapshot,
        before: &str,
        wanted: &[Wanted],
        author: &str,
        reason: &str,
    ) -> Result<Restored> {
        let mut tx = self.pool.begin().await?;
        // the dataset first, as its deletion does
        sqlx::query!("select id from datasets where id = $1 for no key update", dataset)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        sqlx::query(
            "create temp table wanted (sample_id bigint primary key, class text, source text, decided_at timestamptz)
             on commit drop",
        )
        .execute(&mut *tx)
        .await?;
        for batch in wanted.chunks(10_000) {
            sqlx::query(
                "insert into wanted select * from unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[])",
            )
            .bind(batch.iter().map(|w| w.sample_id).collect::<Vec<_>>())
            .bind(batch.iter().map(|w| w.class.clone()).collect::<Vec<_>>())
            .bind(batch.iter().map(|w| w.source.clone()).collect::<Vec<_>>())
            .bind(batch.iter().map(|w| w.decided_at).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("delete from wanted w where not exists (select from samples s where s.id = w.sample_id and s.dataset_id = $1)")
            .bind(dataset)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "create temp table fallen (review_id bigint primary key, sample_id bigint not null) on commit drop",
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into fallen select r.id, r.sample_id from reviews r join wanted w on w.sample_id = r.sample_id
             where r.dataset_id = $1 and r.created_at > $2 and r.purpose <> 'gold'
               and not exists (select from review_retractions t where t.review_id = r.id)",
        )
        .bind(dataset)
        .bind(to.created_at)
        .execute(&mut *tx)
        .await?;
        // only what differs now; nobody decides on these samples meanwhile
        sqlx::query(
            "delete from wanted w using current_labels c
             where c.sample_id = w.sample_id and (c.class, c.source) is not distinct from (w.class, w.source)",
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "select from samples where id in (select sample_id from wanted union select sample_id from fallen)
             order by id for update",
        )
        .execute(&mut *tx)
        .await?;
        let changed: i64 = sqlx::query_scalar("select count(*) from wanted").fetch_one(&mut *tx).await?;
        let retracted = sqlx::query(
            "insert into label_retractions (label_id, author, reason)
             select l.id, $1, $2 from wanted w join labels l on l.sample_id = w.sample_id
             where l.source <> 'model' and not exists (select from label_retractions r where r.label_id = l.id)
               and (label_precedence(l.source), l.created_at) > (label_precedence(w.source), w.decided_at)
             order by l.id on conflict do nothing",
        )
        .bind(author)
        .bind(reason)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let given = sqlx::query(
            "insert into labels (dataset_id, sample_id, class, source, author)
             select $1, w.sample_id, w.class, w.source, $2
             from wanted w join current_labels c on c.sample_id = w.sample_id
             where (c.class, c.source) is distinct from (w.class, w.source) order by w.sample_id",
        )
        .bind(dataset)
        .bind(author)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let fallen = self::fallen::fall(&mut tx, dataset, &to.id, author, reason).await?;
        // what waits for a second look or to be settled goes on waiting for that
        let queued = sqlx::query(
            "with gone as (
               delete from verifications v using wanted w
               where v.sample_id = w.sample_id and v.class is distinct from w.class
                 and not exists (select from fallen f where f.sample_id = v.sample_id) returning v.sample_id
             ), again as (
               select sample_id from gone union select sample_id from undecided)
             insert into queue_items (dataset_id, sample_id, purpose, priority, batch_id)
             select $1, g.sample_id, 'first', coalesce(l.priority, f.place, 0), b.id
             from again g
             left join lateral (select priority, batch_id from queue_items q
               where q.sample_id = g.sample_id and q.purpose <> 'gold' order by q.id desc limit 1) l on true
             left join batches b on b.id = l.batch_id and b.closed_at is null
             left join findings f on f.sample_id = g.sample_id
               and f.scan_id = (select id from scans where dataset_id = $1 order by seq desc limit 1)
             order by g.sample_id
             on conflict (sample_id) where state = 'open' and purpose <> 'gold' do nothing",
        )
        .bind(dataset)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let restored = Restored {
            changed,
            retracted: whole(retracted) + whole(fallen.labels),
            given: whole(given),
            fallen: whole(fallen.decisions),
            queued: whole(queued) + whole(fallen.queued),
        };
        let facts = serde_json::json!({"snapshot": to.id, "before": before, "changed": changed,
            "fallen": restored.fallen, "reason": reason});
        record(&mut tx, author, "snapshot_restored", Some(dataset), &facts).await?;
        tx.commit().await?;
        Ok(restored)
    }
}
