//! The queue: who gets which sample next, and the leases under which they hold it. A sample is with one person
//! at a time: drawing locks the rows it takes and passes over those that another draw has locked.
//!
//! The order of review is copied in a stretch at a time ([`fill`]), so that drawing costs the same however
//! large the dataset.

mod fill;
mod status;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

pub(super) use self::fill::URGENCY;
pub use self::fill::{FillOrder, Filled};
pub use self::status::{HeldItem, PurposeCount, QueueStatus};
use super::{Result, Store, StoreError, keyword};
use crate::domain::Purpose;

/// Open items that are counted at most, beside those that are not in the queue yet.
const COUNTED: i64 = 1000;

/// Who draws, and what.
#[derive(Clone, Debug)]
pub struct Draw {
    pub dataset: Uuid,
    pub person: String,
    /// Of the browser's tab: two tabs of one person hold different samples.
    pub holder: Uuid,
    /// How many the tab wants to hold in all.
    pub count: i64,
    /// Only from this batch.
    pub batch: Option<Uuid>,
    pub may_adjudicate: bool,
    /// How long the leases last.
    pub minutes: i32,
}

/// A sample in somebody's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrawnItem {
    pub lease_id: Uuid,
    /// External id.
    pub sample: String,
    pub sample_id: i64,
    /// `review`, `second_look` (somebody else has decided) or `adjudicate` (others decided differently).
    pub purpose: &'static str,
    /// Earlier decisions are not shown.
    pub blind: bool,
    pub expires_at: DateTime<Utc>,
    pub batch: Option<Uuid>,
}

/// What was drawn.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Drawn {
    /// First what the tab held already, then what is new, each in the order of the queue.
    pub items: Vec<DrawnItem>,
    /// Samples that wait for this person, those just drawn among them; beyond 1,000 in the queue an estimate.
    pub open: i64,
}

/// A lease as the page of the sample needs it.
#[derive(Clone, Debug)]
pub struct Lease {
    pub id: Uuid,
    pub sample_id: i64,
    pub purpose: Purpose,
    /// Earlier decisions are not to be shown; of a sample of known class too, which is not to be told apart
    /// from a first look (see [`Lease::told_blind`]).
    pub blind: bool,
    /// Nor what the model says.
    pub hide_model: bool,
    /// The class to show as the sample's label, which "keep" confirms: of a blind second look and of an
    /// adjudication the one that the first look saw, else what it was when the sample was drawn.
    pub label: Option<String>,
    pub leased_by: String,
    pub expires_at: DateTime<Utc>,
    pub batch_id: Option<Uuid>,
}

impl Lease {
    /// What the page may say of `blind`.
    pub fn told_blind(&self) -> bool {
        self.blind && self.purpose != Purpose::Gold
    }
}

/// A leased row of the queue with its sample's external id.
struct Row {
    lease_id: Option<Uuid>,
    sample: String,
    sample_id: i64,
    purpose: String,
    blind: bool,
    leased_until: Option<DateTime<Utc>>,
    batch_id: Option<Uuid>,
}

impl TryFrom<Row> for DrawnItem {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        let purpose = keyword("purpose", &r.purpose, Purpose::parse)?;
        let (Some(lease_id), Some(expires_at)) = (r.lease_id, r.leased_until) else {
            return Err(StoreError::Corrupt { what: "lease", reason: "a held item has none".into() });
        };
        Ok(Self {
            lease_id,
            sample: r.sample,
            sample_id: r.sample_id,
            purpose: purpose.told(),
            blind: r.blind && purpose != Purpose::Gold,
            expires_at,
            batch: r.batch_id,
        })
    }
}

fn gone() -> StoreError {
    StoreError::Conflict {
        code: "lease_expired",
        message: "the lease has run out, or its sample is decided".into(),
    }
}

impl Store {
    /// Gives the tab samples until it holds `count`: what it holds already, its leases renewed, then others in
    /// the order of the queue, none that anybody else holds.
    pub async fn draw(&self, draw: &Draw) -> Result<Drawn> {
        let held = sqlx::query_as!(
            Row,
            r#"with renewed as (
                 update queue_items set leased_until = now() + make_interval(mins => $4)
                 where dataset_id = $1 and leased_by = $2 and holder = $3 and state = 'open' and lease_id is not null
                 returning *)
               select q.lease_id, s.external_id as sample, q.sample_id as "sample_id!", q.purpose as "purpose!",
                 q.blind as "blind!", q.leased_until, q.batch_id
               from renewed q join samples s on s.id = q.sample_id order by q.priority, q.id"#,
            draw.dataset,
            draw.person,
            draw.holder,
            draw.minutes
        )
        .fetch_all(&self.pool)
        .await?;
        let mut items = held.into_iter().map(DrawnItem::try_from).collect::<Result<Vec<_>>>()?;
        let wanted = |items: &[DrawnItem]| draw.count - i64::try_from(items.len()).unwrap_or(i64::MAX);
        // those passed on for later come last
        let mut passes = vec![false, true];
        while wanted(&items) > 0 && !passes.is_empty() {
            let fresh = self.lease_next(draw, wanted(&items), passes[0]).await?;
            let enough = i64::try_from(fresh.len()).unwrap_or(i64::MAX) >= wanted(&items);
            items.extend(fresh);
            if enough {
                break;
            }
            // the stretch of the order that is in the queue is used up
            if passes.len() == 2 && draw.batch.is_none() && self.top_up(draw.dataset).await? {
                continue;
            }
            passes.remove(0);
        }
        items.truncate(usize::try_from(draw.count).unwrap_or(0));
        Ok(Drawn { open: self.open_for(draw).await?, items })
    }

    /// Leases up to `n` items to the tab.
    async fn lease_next(&self, draw: &Draw, n: i64, skipped: bool) -> Result<Vec<DrawnItem>> {
        let rows = sqlx::query_as!(
            Row,
            r#"with recursive lanes(lane) as (
                 (select lane from queue_items where dataset_id = $1 and state = 'open' order by lane limit 1)
                 union all
                 select (select q.lane from queue_items q where q.dataset_id = $1 and q.state = 'open' and q.lane > l.lane
                         order by q.lane limit 1)
                 from lanes l where l.lane is not null
               ), allowed as (
                 select lane, split_part(lane, e'\x1f', 1) as purpose from lanes
                 where lane is not null
                   and (split_part(lane, e'\x1f', 3) = $2) = (split_part(lane, e'\x1f', 1) = 'gold')
                   and ($3 or split_part(lane, e'\x1f', 1) <> 'adjudicate')
                   and case when $4::uuid is not null then split_part(lane, e'\x1f', 2) = $4::text
                     else split_part(lane, e'\x1f', 2) = '' or exists (select from batches b where b.dataset_id = $1
                       and b.id::text = split_part(lane, e'\x1f', 2) and b.closed_at is null
                       and (b.owner is null or b.owner = $2)) end
               ), picked as (
                 select c.id from allowed a cross join lateral (
                   select q.id, q.priority from queue_items q
                   where q.dataset_id = $1 and q.state = 'open' and q.lane = a.lane
                     and (q.leased_until is null or q.leased_until < now())
                     and not $2 = any(q.not_by) and ($2 = any(q.skipped_by)) = $8
                     and not exists (select from exclusions e where e.sample_id = q.sample_id and e.lifted_at is null
                       and e.review_id is null)
                   order by q.priority, q.id limit $5 for update of q skip locked) c
                 order by a.purpose = 'adjudicate' desc, a.purpose = 'gold' desc, c.priority, c.id limit $5
               ), leased as (
                 update queue_items q set lease_id = gen_random_uuid(), leased_by = $2, holder = $6,
                   leased_until = now() + make_interval(mins => $7)
                 from picked p where q.id = p.id
                 returning q.id, q.lease_id, q.sample_id, q.purpose, q.priority, q.blind, q.label, q.leased_until, q.batch_id
               ), kept as (
                 insert into queue_leases (id, dataset_id, sample_id, purpose, blind, label, batch_id, leased_by, holder)
                 select lease_id, $1, sample_id, purpose, blind,
                   coalesce(label, (select class from current_labels c where c.sample_id = leased.sample_id)), batch_id, $2, $6
                 from leased
               )
               select l.lease_id, s.external_id as sample, l.sample_id as "sample_id!", l.purpose as "purpose!",
                 l.blind as "blind!", l.leased_until, l.batch_id
               from leased l join samples s on s.id = l.sample_id
               order by l.purpose = 'adjudicate' desc, l.priority, l.id"#,
            draw.dataset,
            draw.person,
            draw.may_adjudicate,
            draw.batch,
            n,
            draw.holder,
            draw.minutes,
            skipped
        )
        .fetch_all(&self.pool)
        .await?;
        let first = rows.iter().filter(|r| r.purpose == Purpose::First.as_str());
        self.slip_gold_in(draw, &first.map(|r| r.sample_id).collect::<Vec<_>>()).await?;
        rows.into_iter().map(DrawnItem::try_from).collect()
    }

    async fn open_for(&self, draw: &Draw) -> Result<i64> {
        let row = sqlx::query!(
            r#"select (select count(*) from (
                 select from queue_items where dataset_id = $1 and state = 'open' and not $2 = any(not_by)
                   and coalesce(only_by, $2) = $2 and ($3 or purpose <> 'adjudicate')
                   and ($4::uuid is null or batch_id = $4) limit $5) x) as "queued!",
                 (select left_over from queue_sources where dataset_id = $1) as left_over"#,
            draw.dataset,
            draw.person,
            draw.may_adjudicate,
            draw.batch,
            COUNTED
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.queued + row.left_over.filter(|_| draw.batch.is_none()).unwrap_or(0))
    }

    /// A lease that stands, or has run out without anybody else taking the sample.
    ///
    /// # Errors
    /// `NotFound` once somebody else has the sample, or it is decided.
    pub async fn lease(&self, dataset: Uuid, lease: Uuid) -> Result<Lease> {
        let r = sqlx::query!(
            r#"select q.sample_id, q.purpose, q.blind, l.label as "label?", q.leased_by as "leased_by!", q.leased_until as "until!",
                 q.batch_id, coalesce(p.hide_model, false) as "hide_model!"
               from queue_items q left join queue_leases l on l.id = q.lease_id
               left join lateral (select hide_model from review_policies where dataset_id = $1
                 order by version desc limit 1) p on true
               where q.dataset_id = $1 and q.lease_id = $2 and q.state = 'open'"#,
            dataset,
            lease
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("lease", lease.to_string()))?;
        let purpose = keyword("purpose", &r.purpose, Purpose::parse)?;
        Ok(Lease {
            id: lease,
            sample_id: r.sample_id,
            purpose,
            blind: r.blind,
            hide_model: r.hide_model && r.blind && purpose != Purpose::Gold,
            label: r.label,
            leased_by: r.leased_by,
            expires_at: r.until,
            batch_id: r.batch_id,
        })
    }

    /// Renews a lease of `person`.
    ///
    /// # Errors
    /// `lease_expired` when somebody else has the sample now, or it is decided.
    pub async fn extend_lease(
        &self,
        dataset: Uuid,
        lease: Uuid,
        person: &str,
        minutes: i32,
    ) -> Result<DrawnItem> {
        let row = sqlx::query_as!(
            Row,
            r#"update queue_items q set leased_until = now() + make_interval(mins => $4) from samples s
               where q.dataset_id = $1 and q.lease_id = $2 and q.leased_by = $3 and q.state = 'open' and s.id = q.sample_id
               returning q.lease_id, s.external_id as sample, q.sample_id, q.purpose, q.blind, q.leased_until, q.batch_id"#,
            dataset,
            lease,
            person,
            minutes
        )
        .fetch_optional(&self.pool)
        .await?;
        row.ok_or_else(gone)?.try_into()
    }

    /// Gives a sample back; `skip`: this person gets it again only after the others. Nothing happens when the
    /// lease is over already.
    pub async fn release_lease(&self, dataset: Uuid, lease: Uuid, person: &str, skip: bool) -> Result<()> {
        sqlx::query!(
            "update queue_items set lease_id = null, leased_by = null, holder = null, leased_until = null,
               skipped_by = case when $4 and not $3 = any(skipped_by) then skipped_by || $3 else skipped_by end
             where dataset_id = $1 and lease_id = $2 and leased_by = $3 and state = 'open'",
            dataset,
            lease,
            person,
            skip
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// A known sample was answered for.
pub(super) async fn close_lease(tx: &mut PgConnection, lease: Option<Uuid>) -> Result<()> {
    sqlx::query!(
        "update queue_items set state = 'done', done_at = now() where lease_id = $1 and state = 'open'",
        lease
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The item of the sample, where the author of what came under `lease` holds it now in the same tab.
pub(super) async fn held_again(
    tx: &mut PgConnection,
    sample: i64,
    lease: Option<Uuid>,
) -> Result<Option<DrawnItem>> {
    let row = sqlx::query_as!(
        Row,
        r#"select q.lease_id, s.external_id as sample, q.sample_id, q.purpose, q.blind, q.leased_until, q.batch_id
           from queue_leases l
           join queue_items q on q.sample_id = l.sample_id and q.leased_by = l.leased_by and q.holder = l.holder
           join samples s on s.id = q.sample_id
           where l.id = $2 and q.sample_id = $1 and q.state = 'open' and q.leased_until > now()"#,
        sample,
        lease
    )
    .fetch_optional(tx)
    .await?;
    row.map(DrawnItem::try_from).transpose()
}

/// Leases an open item to the tab that held the sample under `before`; `None` when it never did.
pub(super) async fn lease_again(
    tx: &mut PgConnection,
    item: i64,
    before: Option<Uuid>,
    minutes: i32,
) -> Result<Option<DrawnItem>> {
    let row = sqlx::query_as!(
        Row,
        r#"with leased as (
             update queue_items q set lease_id = gen_random_uuid(), leased_by = l.leased_by, holder = l.holder,
               leased_until = now() + make_interval(mins => $3)
             from queue_leases l where q.id = $1 and l.id = $2 and q.state = 'open'
             returning q.*
           ), kept as (
             insert into queue_leases (id, dataset_id, sample_id, purpose, blind, label, batch_id, leased_by, holder)
             select lease_id, dataset_id, sample_id, purpose, blind,
               coalesce(label, (select class from current_labels c where c.sample_id = leased.sample_id)), batch_id, leased_by, holder
             from leased
           )
           select l.lease_id, s.external_id as sample, l.sample_id as "sample_id!", l.purpose as "purpose!",
             l.blind as "blind!", l.leased_until, l.batch_id
           from leased l join samples s on s.id = l.sample_id"#,
        item,
        before,
        minutes
    )
    .fetch_optional(tx)
    .await?;
    row.map(DrawnItem::try_from).transpose()
}

/// Asks for the answer to a known sample again.
pub(super) async fn reopen_gold(
    tx: &mut PgConnection,
    lease: Option<Uuid>,
    minutes: i32,
) -> Result<Option<DrawnItem>> {
    let item = sqlx::query_scalar!(
        "update queue_items set state = 'open', done_at = null where lease_id = $1 and purpose = 'gold' returning id",
        lease
    )
    .fetch_optional(&mut *tx)
    .await?;
    match item {
        Some(item) => lease_again(tx, item, lease, minutes).await,
        None => Ok(None),
    }
}
