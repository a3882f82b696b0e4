//! The queue: who gets which sample next, and the leases under which they hold it. A sample is with one person
//! at a time: drawing locks the rows it takes and passes over those that another draw has locked.
//!
//! The order of review is copied in a stretch at a time ([`fill`]), so that drawing costs the same however
//! large the dataset.

mod fill;
mod lease;
mod status;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub(super) use self::fill::URGENCY;
pub use self::fill::{FillOrder, Filled};
pub use self::lease::Lease;
pub(super) use self::lease::{close_lease, held_again, lease_again, reopen_gold};
pub use self::status::{HeldItem, PurposeCount, QueueStatus};
use super::{Result, Store, StoreError, keyword};
use crate::domain::Purpose;

/// Open items of one lane that are counted at most.
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
        let mut first_looks = Vec::new();
        while wanted(&items) > 0 && !passes.is_empty() {
            let (fresh, first) = self.lease_next(draw, wanted(&items), passes[0]).await?;
            first_looks.extend(first);
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
        let (open, slips_gold_in) = self.open_for(draw).await?;
        if slips_gold_in {
            self.slip_gold_in(draw, &first_looks).await?;
        }
        Ok(Drawn { open, items })
    }

    /// Leases up to `n` items to the tab; also tells which samples of them are for a first look.
    async fn lease_next(&self, draw: &Draw, n: i64, skipped: bool) -> Result<(Vec<DrawnItem>, Vec<i64>)> {
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
        let first =
            rows.iter().filter(|r| r.purpose == Purpose::First.as_str()).map(|r| r.sample_id).collect();
        Ok((rows.into_iter().map(DrawnItem::try_from).collect::<Result<_>>()?, first))
    }

    /// Samples that wait for this person: at most [`COUNTED`] of each lane, and what is not in the queue yet; and
    /// whether the policy has known ones slipped in.
    async fn open_for(&self, draw: &Draw) -> Result<(i64, bool)> {
        let row = sqlx::query!(
            r#"with recursive lanes(lane) as (
                 (select lane from queue_items where dataset_id = $1 and state = 'open' order by lane limit 1)
                 union all
                 select (select q.lane from queue_items q where q.dataset_id = $1 and q.state = 'open' and q.lane > l.lane
                         order by q.lane limit 1)
                 from lanes l where l.lane is not null
               )
               select coalesce(sum(c.n), 0)::bigint as "queued!",
                 (select left_over from queue_sources where dataset_id = $1) as left_over,
                 (select gold_rate > 0 from review_policies where dataset_id = $1 order by version desc limit 1) as gold
               from lanes l cross join lateral (
                 select count(*) as n from (select from queue_items q
                   where q.dataset_id = $1 and q.state = 'open' and q.lane = l.lane and not $2 = any(q.not_by) limit $5) x) c
               where l.lane is not null
                 and (split_part(l.lane, e'\x1f', 3) = $2) = (split_part(l.lane, e'\x1f', 1) = 'gold')
                 and ($3 or split_part(l.lane, e'\x1f', 1) <> 'adjudicate')
                 and ($4::uuid is null or split_part(l.lane, e'\x1f', 2) = $4::text)"#,
            draw.dataset,
            draw.person,
            draw.may_adjudicate,
            draw.batch,
            COUNTED
        )
        .fetch_one(&self.pool)
        .await?;
        let open = row.queued + row.left_over.filter(|_| draw.batch.is_none()).unwrap_or(0);
        Ok((open, row.gold == Some(true)))
    }
}
