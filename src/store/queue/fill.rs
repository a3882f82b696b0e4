//! What comes into the queue: the order of review of the last scan a stretch at a time, samples that a lead
//! puts in front, and samples of known class.

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Draw;
use crate::domain::Policy;
use crate::domain::policy::chance;
use crate::store::suspects::{SuspectFilter, push_conditions, push_not_excluded};
use crate::store::telling::Audience;
use crate::store::{Result, Store, StoreError};

/// Samples that the queue holds of the order of review at a time.
const STRETCH: i64 = 500;
/// Priorities of batches are this far apart: further than any place.
pub(in crate::store) const URGENCY: f64 = 1e10;

/// In which order samples are put in front of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FillOrder {
    /// The order of review of the last scan, random audits included.
    Value,
    /// The most suspicious first.
    Suspicion,
    Random,
    /// Last imported first.
    Newest,
}

impl FillOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Value => "f.place",
            Self::Suspicion => "f.rank",
            Self::Random => "hashint8extended(f.sample_id, f.cluster)",
            Self::Newest => "f.sample_id desc",
        }
    }
}

/// What a filling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Filled {
    /// Samples that stand in front now.
    pub queued: u64,
}

/// How far the queue has been filled from which scan.
#[derive(PartialEq)]
struct Source {
    scan: Option<Uuid>,
    after: i32,
}

impl Store {
    /// Puts the next stretch of the last scan's order into the queue. `false`: the order is used up.
    pub(super) async fn top_up(&self, dataset: Uuid) -> Result<bool> {
        let seen = sqlx::query!(
            r#"select n.id as latest, q.scan_id as "scan?", q.after_place as "after?"
               from (select id from scans where dataset_id = $1 order by seq desc limit 1) n
               left join queue_sources q on q.dataset_id = $1"#,
            dataset
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(seen) = seen else { return Ok(false) };
        if seen.scan != Some(seen.latest) {
            // scanned before there was a queue
            return self.begin_order(dataset, seen.latest, seen.scan).await;
        }
        let seen = Source { scan: seen.scan, after: seen.after.unwrap_or(0) };
        if seen.after == i32::MAX {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        let now = sqlx::query!(
            "select scan_id, after_place from queue_sources where dataset_id = $1 for update",
            dataset
        )
        .fetch_optional(&mut *tx)
        .await?
        .map(|r| Source { scan: r.scan_id, after: r.after_place });
        // somebody else was quicker
        if now.as_ref() != Some(&seen) {
            return Ok(true);
        }
        let page = sqlx::query!(
            r#"with page as materialized (
                 select f.sample_id, f.place from findings f
                 where f.scan_id = $2 and f.place > $3 and (f.flagged or f.audit is not null)
                   and not exists (select from review_status r where r.sample_id = f.sample_id and r.decision <> 'unsure')
                   and not exists (select from exclusions x where x.sample_id = f.sample_id and x.lifted_at is null)
                 order by f.place limit $4
               ), put as (
                 insert into queue_items (dataset_id, sample_id, purpose, priority, by_scan)
                 select $1, sample_id, 'first', place, true from page
                 on conflict (sample_id) where state = 'open' and purpose <> 'gold' do nothing
               )
               select count(*) as "n!", max(place) as last from page"#,
            dataset,
            seen.scan,
            seen.after,
            STRETCH
        )
        .fetch_one(&mut *tx)
        .await?;
        let whole = page.n == STRETCH;
        sqlx::query!(
            "update queue_sources set after_place = $2, left_over = case when $3 then greatest(left_over - $4, 0) else 0 end
             where dataset_id = $1",
            dataset,
            if whole { page.last.unwrap_or(i32::MAX) } else { i32::MAX },
            whole,
            page.n
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(page.n > 0)
    }

    /// Takes the order of review from the dataset's last scan from now on, from the top: after a scan, and
    /// whenever its order changes. What people hold, and what was put in otherwise, stays.
    pub async fn restart_order(&self, dataset: Uuid) -> Result<()> {
        let scans = sqlx::query!(
            r#"select n.id as latest, q.scan_id as "scan?"
               from (select id from scans where dataset_id = $1 order by seq desc limit 1) n
               left join queue_sources q on q.dataset_id = $1"#,
            dataset
        )
        .fetch_optional(&self.pool)
        .await?;
        if let Some(scans) = scans {
            self.begin_order(dataset, scans.latest, scans.scan).await?;
        }
        Ok(())
    }

    /// See [`Self::restart_order`]; nothing when the source is not `before` any more, which another has changed.
    /// Counts what is left: O(findings of the scan).
    async fn begin_order(&self, dataset: Uuid, scan: Uuid, before: Option<Uuid>) -> Result<bool> {
        let left_over = sqlx::query_scalar!(
            r#"select count(*) as "n!" from findings f
               where f.scan_id = $1 and (f.flagged or f.audit is not null)
                 and not exists (select from review_status r where r.sample_id = f.sample_id and r.decision <> 'unsure')"#,
            scan
        )
        .fetch_one(&self.pool)
        .await?;
        let mut tx = self.pool.begin().await?;
        sqlx::query!("insert into queue_sources (dataset_id) values ($1) on conflict do nothing", dataset)
            .execute(&mut *tx)
            .await?;
        let changed = sqlx::query!(
            "update queue_sources set scan_id = $2, after_place = 0, left_over = $3
             where dataset_id = $1 and scan_id is not distinct from $4",
            dataset,
            scan,
            left_over,
            before
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if changed > 0 {
            sqlx::query!(
                "delete from queue_items where dataset_id = $1 and state = 'open' and purpose = 'first' and by_scan
                   and lease_id is null and not_by = '{}' and skipped_by = '{}'",
                dataset
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Puts up to `limit` samples of the last scan in front of the queue, or into a batch: those that pass the
    /// filter, and nobody has decided unless the filter asks for a status. What somebody holds stays.
    ///
    /// # Errors
    /// `no_scan`.
    pub async fn fill_queue(
        &self,
        dataset: Uuid,
        order: FillOrder,
        filter: &SuspectFilter,
        limit: i64,
    ) -> Result<Filled> {
        let mut tx = self.pool.begin().await?;
        let queued = self.put_in_front(&mut tx, dataset, order, filter, limit, None).await?;
        tx.commit().await?;
        Ok(Filled { queued })
    }

    /// See [`Self::fill_queue`]; `batch`: into this one of this priority.
    pub(in crate::store) async fn put_in_front(
        &self,
        tx: &mut PgConnection,
        dataset: Uuid,
        order: FillOrder,
        filter: &SuspectFilter,
        limit: i64,
        batch: Option<(Uuid, i16)>,
    ) -> Result<u64> {
        let Some(scan) = self.latest_scan_id(dataset).await? else {
            return Err(StoreError::Rule {
                field: "order",
                code: "no_scan",
                message: "the dataset was never scanned: there is no order yet".into(),
            });
        };
        // two fillings at once would stand in the same places
        sqlx::query!("insert into queue_sources (dataset_id) values ($1) on conflict do nothing", dataset)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("select dataset_id from queue_sources where dataset_id = $1 for update", dataset)
            .fetch_one(&mut *tx)
            .await?;
        let front = sqlx::query_scalar!(
            r#"select coalesce(min(priority), 0) as "front!" from queue_items
               where dataset_id = $1 and state = 'open' and batch_id is null"#,
            dataset
        )
        .fetch_one(&mut *tx)
        .await?;
        let base = match batch {
            Some((_, priority)) => -URGENCY * f64::from(priority),
            None => front.min(1.0) - 1.0 - limit as f64,
        };
        let mut q: QueryBuilder<Postgres> = QueryBuilder::new(
            "insert into queue_items (dataset_id, sample_id, purpose, priority, batch_id) select ",
        );
        q.push_bind(dataset).push(", x.sample_id, 'first', ").push_bind(base);
        q.push(" + row_number() over (order by x.n), ").push_bind(batch.map(|(id, _)| id));
        q.push(" from (select f.sample_id, row_number() over (order by ").push(order.column());
        q.push(") as n from findings f left join review_status r on r.sample_id = f.sample_id where f.scan_id = ");
        q.push_bind(scan);
        match filter.issue {
            Some(kind) => {
                q.push(" and exists (select from finding_issues i where i.scan_id = f.scan_id and i.sample_id = f.sample_id and i.kind = ");
                q.push_bind(kind.as_str());
                if let Some(field) = filter.field {
                    q.push(" and ").push_bind(field.as_str()).push(" = any(i.fields)");
                }
                q.push(")");
            }
            None if !filter.all => {
                q.push(" and (f.flagged or f.audit is not null)");
            }
            None => {}
        }
        if filter.status.is_none() {
            q.push(" and (r.decision is null or r.decision = 'unsure')");
        }
        push_conditions(&mut q, dataset, filter, Audience::Knowing);
        // what is in a batch, in somebody's hands, or waits for more than a first look stays where it is
        q.push(
            " and not exists (select from queue_items o where o.sample_id = f.sample_id and o.state = 'open' \
             and o.purpose <> 'gold' and (o.purpose <> 'first' or o.batch_id is not null or o.leased_until > now()))",
        );
        push_not_excluded(&mut q, Audience::Knowing);
        q.push(" order by n limit ").push_bind(limit);
        q.push(
            ") x on conflict (sample_id) where state = 'open' and purpose <> 'gold' do update \
             set priority = excluded.priority, batch_id = excluded.batch_id, by_scan = false \
             where queue_items.purpose = 'first' and queue_items.batch_id is null \
               and (queue_items.leased_until is null or queue_items.leased_until < now())",
        );
        Ok(q.build().execute(tx).await?.rows_affected())
    }

    pub(in crate::store) async fn latest_scan_id(&self, dataset: Uuid) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!(
            "select id from scans where dataset_id = $1 order by seq desc limit 1",
            dataset
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Puts samples of known class into the queue for this person alone, beside those of `samples` where the
    /// policy's chance wants it: ones that they had no say in and were never asked about.
    pub(super) async fn slip_gold_in(&self, draw: &Draw, samples: &[i64]) -> Result<()> {
        if samples.is_empty() {
            return Ok(());
        }
        let policy = Policy::try_from(&self.policy(draw.dataset).await?.policy)
            .map_err(|e| StoreError::Corrupt { what: "policy", reason: e.to_string() })?;
        for &sample in samples.iter().filter(|s| policy.slips_gold_in(**s, &draw.person)) {
            // from a point drawn by chance on, around the end
            let from = chance(policy.seed, sample, "gold");
            sqlx::query!(
                r#"insert into queue_items (dataset_id, sample_id, purpose, priority, only_by, blind, label)
                   select $1, g.sample_id, 'gold', 0, $2, true,
                     (select r.class_before from reviews r where r.sample_id = g.sample_id and r.purpose <> 'gold'
                        and not exists (select from review_retractions t where t.review_id = r.id) order by r.id limit 1)
                   from (
                     select v.sample_id from verifications v,
                       (select min(sample_id) as low, max(sample_id) as high from verifications
                        where dataset_id = $1 and state = 'gold') e
                     where v.dataset_id = $1 and v.state = 'gold' and v.class is not null
                       and not exists (select from reviews r where r.sample_id = v.sample_id and r.author = $2)
                     order by v.sample_id < e.low + $3::float8 * (e.high - e.low), v.sample_id limit 1) g
                   on conflict (sample_id, only_by) where state = 'open' and purpose = 'gold' do nothing"#,
                draw.dataset,
                draw.person,
                from
            )
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }
}
