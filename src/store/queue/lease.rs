//! Leases: reading them, holding on to them, giving them back, and having them again after an undo.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{DrawnItem, Row};
use crate::domain::Purpose;
use crate::store::{Result, Store, StoreError, keyword};

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

fn gone() -> StoreError {
    StoreError::Conflict {
        code: "lease_expired",
        message: "the lease has run out, or its sample is decided".into(),
    }
}

impl Store {
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
pub(in crate::store) async fn close_lease(tx: &mut PgConnection, lease: Option<Uuid>) -> Result<()> {
    sqlx::query!(
        "update queue_items set state = 'done', done_at = now() where lease_id = $1 and state = 'open'",
        lease
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The item of the sample, where the author of what came under `lease` holds it now in the same tab.
pub(in crate::store) async fn held_again(
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
pub(in crate::store) async fn lease_again(
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
pub(in crate::store) async fn reopen_gold(
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
