//! What the decisions on a sample come to, kept in step with them: its place in the queue, what is verified,
//! the label that people agree on, and whether it is left out. Within the transaction of the decision, whose
//! row of `samples` is locked.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::policies::PolicyColumns;
use super::{Result, Store, StoreError, keyword};
use crate::domain::policy::{Look, Outcome, Standing, Verdict, settle};
use crate::domain::{Decision, LabelSource, Purpose};

/// Author of labels that nobody gave alone.
const TOGETHER: &str = "tamis";

/// One of the earlier looks at a sample, for whoever settles them.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EarlierLook {
    /// Null where the policy is blind.
    pub author: Option<String>,
    pub decision: String,
    /// The classes that it names; of a keep the class that it confirms.
    pub classes: Vec<String>,
    pub comment: String,
}

/// The open item of a sample.
#[derive(Debug)]
pub(super) struct OpenItem {
    pub(super) id: i64,
    purpose: Purpose,
    not_by: Vec<String>,
    leased_by: Option<String>,
    /// Its lease has not run out.
    live: bool,
}

impl OpenItem {
    /// Somebody else is looking at it now.
    pub(super) fn held_by_other(&self, person: &str) -> bool {
        self.live && self.leased_by.as_deref().is_some_and(|p| p != person)
    }

    pub(super) fn may_go_to(&self, person: &str) -> bool {
        !self.not_by.iter().any(|p| p == person)
    }
}

/// The decisions on a sample that stand, oldest first; answers to known samples left out.
pub(super) async fn standing(tx: &mut PgConnection, sample: i64) -> Result<Vec<Look>> {
    let rows = sqlx::query!(
        r#"select r.id, r.author, r.decision, r.classes, r.class_before, r.purpose,
             extract(epoch from r.created_at)::float8 as "at!", p.double_check as "double_check?",
             p.keeps_share as "keeps_share?", p.blind as "blind?", p.hide_model as "hide_model?",
             p.gold_rate as "gold_rate?", p.gold_share as "gold_share?", p.seed as "seed?"
           from reviews r left join review_policies p on p.dataset_id = r.dataset_id and p.version = r.policy
           where r.sample_id = $1 and r.purpose <> 'gold'
             and not exists (select from review_retractions t where t.review_id = r.id)
           order by r.id"#,
        sample
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|r| {
            let policy = PolicyColumns {
                double_check: r.double_check,
                keeps_share: r.keeps_share,
                blind: r.blind,
                hide_model: r.hide_model,
                gold_rate: r.gold_rate,
                gold_share: r.gold_share,
                seed: r.seed,
            };
            let corrupt = |reason: String| StoreError::Corrupt { what: "review", reason };
            let (class, classes) = match r.decision.as_str() {
                "relabel" => (r.classes.into_iter().next(), vec![]),
                _ => (None, r.classes),
            };
            let decision =
                Decision::parse(&r.decision, class, classes).map_err(|e| corrupt(e.to_string()))?;
            let verdict = Verdict::of(&decision, r.class_before.as_deref())
                .ok_or_else(|| corrupt(format!("review {} keeps no label", r.id)))?;
            Ok(Look {
                review: r.id,
                person: r.author,
                purpose: keyword("purpose", &r.purpose, Purpose::parse)?,
                verdict,
                shown: r.class_before,
                policy: policy.policy()?,
                at: r.at,
            })
        })
        .collect()
}

/// Brings queue, verification, agreed label and exclusion of a sample to what `looks` come to. Returns the
/// item that is open then.
pub(super) async fn settle_down(
    tx: &mut PgConnection,
    dataset: Uuid,
    sample: i64,
    looks: &[Look],
) -> Result<Option<OpenItem>> {
    let outcome = settle(sample, looks);
    let before = before(tx, sample).await?;
    let wanted = wanted(&outcome, looks, &before);
    // what nobody has to look at any more is taken out of the queue with the same statement
    let done = before.open.as_ref().filter(|_| wanted.is_none()).map(|open| open.id);
    verify(tx, dataset, sample, &outcome, &before, done).await?;
    if before.excluded || outcome.excluded_by.is_some() {
        exclude(tx, dataset, sample, outcome.excluded_by).await?;
    }
    match wanted {
        Some(purpose) => queue(tx, dataset, sample, looks, (&outcome, purpose), before.open).await,
        None => Ok(None),
    }
}

/// What a sample came to before.
struct Before {
    /// The label of those who agreed, and its class.
    label: Option<i64>,
    class: Option<String>,
    /// A review leaves it out.
    excluded: bool,
    /// It was in the queue at some time.
    queued: bool,
    /// Locked.
    open: Option<OpenItem>,
}

async fn before(tx: &mut PgConnection, sample: i64) -> Result<Before> {
    let r = sqlx::query!(
        r#"with open as (
             select id, purpose, not_by, leased_by, coalesce(leased_until > now(), false) as live from queue_items
             where sample_id = $1 and state = 'open' and purpose <> 'gold' for update)
           select v.label_id as "label?", l.class as "class?",
             exists (select from exclusions where sample_id = $1 and review_id is not null and lifted_at is null) as "excluded!",
             exists (select from queue_items where sample_id = $1 and purpose <> 'gold') as "queued!",
             o.id as "item?", o.purpose as "purpose?", o.not_by as "not_by?", o.leased_by as "leased_by?", o.live as "live?"
           from (select) x left join open o on true left join verifications v on v.sample_id = $1
           left join labels l on l.id = v.label_id"#,
        sample
    )
    .fetch_one(tx)
    .await?;
    let open = match (r.item, r.purpose) {
        (Some(id), Some(purpose)) => Some(OpenItem {
            id,
            purpose: keyword("purpose", &purpose, Purpose::parse)?,
            not_by: r.not_by.unwrap_or_default(),
            leased_by: r.leased_by,
            live: r.live == Some(true),
        }),
        _ => None,
    };
    Ok(Before { label: r.label, class: r.class, excluded: r.excluded, queued: r.queued, open })
}

/// The look that the sample waits for.
fn wanted(outcome: &Outcome, looks: &[Look], before: &Before) -> Option<Purpose> {
    match outcome.standing {
        Standing::Second => Some(Purpose::Second),
        Standing::Adjudicate => Some(Purpose::Adjudicate),
        // somebody is unsure, or everything was taken back: only what was in the queue comes back
        Standing::Open if before.open.is_some() || !looks.is_empty() || before.queued => Some(Purpose::First),
        Standing::Open | Standing::Decided | Standing::Verified | Standing::Gold => None,
    }
}

/// Keeps what is verified and the label that people agree on; `done`: the item of the queue that is over.
async fn verify(
    tx: &mut PgConnection,
    dataset: Uuid,
    sample: i64,
    outcome: &Outcome,
    before: &Before,
    done: Option<i64>,
) -> Result<()> {
    let agreed = outcome.class.as_ref().filter(|_| outcome.consensus);
    let label = if before.label.is_some() && before.class.as_ref() == agreed {
        before.label
    } else {
        if let Some(old) = before.label {
            retract(tx, old, TOGETHER).await?;
        }
        match agreed {
            None => None,
            Some(class) => {
                Some(give_label(tx, dataset, sample, class, LabelSource::Consensus, TOGETHER).await?)
            }
        }
    };
    let state = match outcome.standing {
        Standing::Second => "second",
        Standing::Adjudicate => "adjudicate",
        Standing::Verified => "verified",
        Standing::Gold => "gold",
        Standing::Open | Standing::Decided => {
            sqlx::query!(
                "with done as (update queue_items set state = 'done', done_at = now() where id = $2)
                 delete from verifications where sample_id = $1",
                sample,
                done
            )
            .execute(tx)
            .await?;
            return Ok(());
        }
    };
    sqlx::query!(
        "with done as (update queue_items set state = 'done', done_at = now() where id = $8)
         insert into verifications (sample_id, dataset_id, state, class, people, label_id, settled)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (sample_id) do update set state = excluded.state, class = excluded.class, people = excluded.people,
           label_id = excluded.label_id, settled = excluded.settled, updated_at = now()",
        sample,
        dataset,
        state,
        outcome.class,
        i32::try_from(outcome.people).unwrap_or(i32::MAX),
        label,
        outcome.settled,
        done
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn give_label(
    tx: &mut PgConnection,
    dataset: Uuid,
    sample: i64,
    class: &str,
    source: LabelSource,
    author: &str,
) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        "insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, $3, $4, $5) returning id",
        dataset,
        sample,
        class,
        source.as_str(),
        author
    )
    .fetch_one(tx)
    .await?)
}

/// Takes a label back; nothing when it was before.
pub(super) async fn retract(tx: &mut PgConnection, label: i64, author: &str) -> Result<()> {
    sqlx::query!(
        "insert into label_retractions (label_id, author) values ($1, $2) on conflict do nothing",
        label,
        author
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Of the exclusions by reviews only that of `review` stands.
async fn exclude(tx: &mut PgConnection, dataset: Uuid, sample: i64, review: Option<i64>) -> Result<()> {
    sqlx::query!(
        "update exclusions set lifted_at = now()
         where sample_id = $1 and review_id is not null and lifted_at is null and review_id is distinct from $2",
        sample,
        review
    )
    .execute(&mut *tx)
    .await?;
    if let Some(review) = review {
        sqlx::query!(
            "insert into exclusions (dataset_id, sample_id, review_id) values ($1, $2, $3)
             on conflict (review_id) where review_id is not null do update set lifted_at = null",
            dataset,
            sample,
            review
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

async fn open_item(tx: &mut PgConnection, sample: i64) -> Result<Option<OpenItem>> {
    let row = sqlx::query!(
        r#"select id, purpose, not_by, leased_by, coalesce(leased_until > now(), false) as "live!" from queue_items
           where sample_id = $1 and state = 'open' and purpose <> 'gold' for update"#,
        sample
    )
    .fetch_optional(tx)
    .await?;
    row.map(|r| {
        Ok(OpenItem {
            id: r.id,
            purpose: keyword("purpose", &r.purpose, Purpose::parse)?,
            not_by: r.not_by,
            leased_by: r.leased_by,
            live: r.live,
        })
    })
    .transpose()
}

/// Has the sample wait for a look of this purpose.
async fn queue(
    tx: &mut PgConnection,
    dataset: Uuid,
    sample: i64,
    looks: &[Look],
    (outcome, purpose): (&Outcome, Purpose),
    open: Option<OpenItem>,
) -> Result<Option<OpenItem>> {
    let first = looks.iter().find(|l| outcome.votes.first() == Some(&l.review));
    let blind = purpose == Purpose::Second && first.is_some_and(|l| l.policy.blind);
    // a blind look starts from what the first one saw, and so does whoever settles
    let label = first.filter(|_| blind || purpose == Purpose::Adjudicate).and_then(|l| l.shown.clone());
    if let Some(open) = open {
        let holder_may = open.live && open.leased_by.as_ref().is_some_and(|p| !outcome.not_by.contains(p));
        let turns = open.purpose == purpose
            || (holder_may && purpose != Purpose::Adjudicate && open.purpose != Purpose::Adjudicate);
        if turns {
            sqlx::query!(
                "update queue_items set purpose = $2, not_by = $3, blind = $4, label = $5,
                   lease_id = case when $6 then lease_id end, leased_by = case when $6 then leased_by end,
                   holder = case when $6 then holder end, leased_until = case when $6 then leased_until end
                 where id = $1",
                open.id,
                purpose.as_str(),
                &outcome.not_by,
                blind,
                label,
                holder_may
            )
            .execute(&mut *tx)
            .await?;
            return open_item(tx, sample).await;
        }
        close(tx, open.id).await?;
    }
    // where the sample stood before
    sqlx::query!(
        "insert into queue_items (dataset_id, sample_id, purpose, priority, batch_id, not_by, blind, label)
         select $1, $2, $3, coalesce(max(l.priority), 0), (max(l.batch_id::text))::uuid, $4, $5, $6
         from (select priority, batch_id from queue_items where sample_id = $2 and purpose <> 'gold'
               order by id desc limit 1) l",
        dataset,
        sample,
        purpose.as_str(),
        &outcome.not_by,
        blind,
        label
    )
    .execute(&mut *tx)
    .await?;
    open_item(tx, sample).await
}

async fn close(tx: &mut PgConnection, item: i64) -> Result<()> {
    sqlx::query!("update queue_items set state = 'done', done_at = now() where id = $1", item)
        .execute(tx)
        .await?;
    Ok(())
}

impl Store {
    /// Of the samples whose class two people or an adjudication settled, the share that is kept out of training,
    /// so that what is measured on them says something.
    pub async fn gold(&self, dataset: Uuid) -> Result<HashSet<i64>> {
        let ids = sqlx::query_scalar!(
            "select sample_id from verifications where dataset_id = $1 and state = 'gold'",
            dataset
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().collect())
    }

    /// Samples whose current label is confirmed, by one person or more, gold among them.
    pub async fn verified(&self, dataset: Uuid) -> Result<HashSet<i64>> {
        let ids = sqlx::query_scalar!(
            "select sample_id from verifications where dataset_id = $1 and state in ('verified', 'gold')",
            dataset
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids.into_iter().collect())
    }

    /// The earlier looks that whoever settles a sample decides between, in the order in which they were made;
    /// without names where the policy is blind.
    pub async fn looks(&self, dataset: Uuid, sample: i64) -> Result<Vec<EarlierLook>> {
        let mut connection = self.pool.acquire().await?;
        let looks = standing(&mut connection, sample).await?;
        let votes = settle(sample, &looks).votes;
        let blind = looks.iter().any(|l| votes.first() == Some(&l.review) && l.policy.blind);
        Ok(sqlx::query_as!(
            EarlierLook,
            r#"select case when not $3 then author end as author, decision,
                 case when decision = 'keep' then array[class_before] else classes end as "classes!", comment
               from reviews where dataset_id = $1 and id = any($2) order by id"#,
            dataset,
            &votes,
            blind
        )
        .fetch_all(&mut *connection)
        .await?)
    }
}
