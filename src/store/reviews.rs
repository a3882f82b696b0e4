//! Reviews: recording a decision once however often it is sent, taking it back, and lists of them.

mod history;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::history::HistoryEntry;
use super::looks::{retract, settle_down, standing};
use super::policies::PolicyColumns;
use super::queue::{DrawnItem, close_lease, held_again, lease_again, reopen_gold};
use super::telling::Audience;
use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::policy::{Look, Verdict, counts_as};
use crate::domain::{Decision, LabelSource, Policy, Purpose};

/// A decision on its way in.
#[derive(Clone, Debug)]
pub struct NewReview {
    /// Made by the client; a repeated send with the same id changes nothing.
    pub client_id: Uuid,
    pub dataset_id: Uuid,
    pub sample_id: i64,
    pub scan_id: Option<Uuid>,
    /// Under which the sample was held, also when it has run out.
    pub lease_id: Option<Uuid>,
    pub author: String,
    /// The author's role lets them settle what others decided differently.
    pub may_adjudicate: bool,
    pub decision: Decision,
    pub comment: String,
    pub time_spent_ms: Option<i32>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Review {
    pub id: i64,
    pub client_id: Uuid,
    /// Internal id of the sample.
    pub sample_id: i64,
    pub author: String,
    pub decision: String,
    pub classes: Vec<String>,
    /// What was shown as the sample's label.
    pub class_before: Option<String>,
    pub comment: String,
    pub time_spent_ms: Option<i32>,
    pub created_at: DateTime<Utc>,
    /// When it was taken back; null while it stands.
    pub undone_at: Option<DateTime<Utc>>,
    /// It was there already: the same `client_id` came again.
    #[serde(skip)]
    pub replayed: bool,
}

/// A review in a list of somebody's own.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecentReview {
    pub id: i64,
    pub client_id: Uuid,
    /// External id.
    pub sample: String,
    pub sample_id: i64,
    pub title: String,
    pub author: String,
    pub decision: String,
    pub classes: Vec<String>,
    pub class_before: Option<String>,
    pub comment: String,
    pub time_spent_ms: Option<i32>,
    pub created_at: DateTime<Utc>,
    /// When it was taken back; null while it stands.
    pub undone_at: Option<DateTime<Utc>>,
}

/// A review that was taken back, and the sample in the hands of its author again.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Undone {
    #[serde(flatten)]
    pub review: Review,
    /// Null where the sample was not drawn from the queue, or somebody else has it now.
    pub lease: Option<DrawnItem>,
}

/// The classes that a decision names.
fn classes_of(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Relabel { class } => vec![class.clone()],
        Decision::Ambiguous { classes } => classes.clone(),
        Decision::Keep
        | Decision::Unsure
        | Decision::OutOfTaxonomy
        | Decision::BadMedia
        | Decision::Exclude => vec![],
    }
}

fn rule(field: &'static str, code: &'static str, message: impl Into<String>) -> StoreError {
    StoreError::Rule { field, code, message: message.into() }
}

/// Locks the dataset, as its deletion does first (the other way round the two could wait for each other),
/// then the sample: one decision at a time on one, which also makes what is read of it next true.
async fn lock_sample(tx: &mut PgConnection, dataset: Uuid, sample: i64) -> Result<()> {
    sqlx::query_scalar!(
        "with d as materialized (select id from datasets where id = $1 for key share)
         select id from samples where id = $2 and dataset_id = $1 and exists (select from d) for update",
        dataset,
        sample
    )
    .fetch_optional(tx)
    .await?
    .ok_or_else(|| StoreError::not_found("sample", sample.to_string()))?;
    Ok(())
}

async fn known(tx: &mut PgConnection, client_id: Uuid) -> Result<Option<Review>> {
    Ok(sqlx::query_as!(
        Review,
        r#"select r.id, r.client_id, r.sample_id, r.author, r.decision, r.classes, r.class_before, r.comment,
             r.time_spent_ms, r.created_at, t.created_at as "undone_at?", true as "replayed!"
           from reviews r left join review_retractions t on t.review_id = r.id where r.client_id = $1"#,
        client_id
    )
    .fetch_optional(tx)
    .await?)
}

/// What a decision is made on.
struct Ground {
    /// Its `client_id` was there already.
    known: bool,
    /// Of the classes that it names, those that are leaves of the taxonomy.
    leaves: i64,
    /// Whoever held the sample under the lease.
    leased_by: Option<String>,
    /// The class that was shown as the label.
    shown: Option<String>,
    policy: Policy,
    version: i32,
    /// Of the lease: what it was for, when it was given (seconds since 1970), and whether it was blind.
    asked: Option<(Purpose, f64, bool)>,
}

async fn ground(tx: &mut PgConnection, new: &NewReview, classes: &[String]) -> Result<Ground> {
    let r = sqlx::query!(
        r#"select c.class as "class?", p.version as "version?", p.double_check as "double_check?",
             p.keeps_share as "keeps_share?", p.blind as "blind?", p.hide_model as "hide_model?",
             p.gold_rate as "gold_rate?", p.gold_share as "gold_share?", p.seed as "seed?", l.purpose as "purpose?", l.label as "label?",
             l.blind as "lease_blind?", l.leased_by as "leased_by?", extract(epoch from l.created_at)::float8 as leased_at,
             exists (select from reviews where client_id = $4) as "known!",
             (select count(*) from taxonomy_nodes
              where dataset_id = $2 and node = any($5) and class_index is not null) as "leaves!"
           from (select) x left join current_labels c on c.sample_id = $1
           left join lateral (select * from review_policies where dataset_id = $2 order by version desc limit 1) p on true
           left join queue_leases l on l.id = $3 and l.dataset_id = $2 and l.sample_id = $1"#,
        new.sample_id,
        new.dataset_id,
        new.lease_id,
        new.client_id,
        classes
    )
    .fetch_one(tx)
    .await?;
    let policy = PolicyColumns {
        double_check: r.double_check,
        keeps_share: r.keeps_share,
        blind: r.blind,
        hide_model: r.hide_model,
        gold_rate: r.gold_rate,
        gold_share: r.gold_share,
        seed: r.seed,
    };
    let purpose = r.purpose.map(|p| keyword("purpose", &p, Purpose::parse)).transpose()?;
    Ok(Ground {
        known: r.known,
        leaves: r.leaves,
        leased_by: r.leased_by,
        shown: r.label.or(r.class),
        policy: policy.policy()?,
        version: r.version.unwrap_or(0),
        asked: purpose.zip(r.leased_at).map(|(p, at)| (p, at, r.lease_blind.unwrap_or_default())),
    })
}

impl Store {
    /// Records the decision; keep and relabel add a label event, exclude leaves the sample out. Then queue and
    /// verification follow from all decisions on the sample. Same `client_id` again: the first answer again.
    ///
    /// # Errors
    /// A class that is no leaf of the taxonomy, keep on an unlabelled sample, a sample of another
    /// dataset, a `client_id` that another sample's review has, a lease of somebody else.
    pub async fn record_review(&self, new: &NewReview) -> Result<Review> {
        // on the sample's own page such a person is shown the label from before somebody else decided
        let blind = match new.lease_id {
            None if !new.may_adjudicate => {
                let audience = Audience::Annotator(&new.author);
                self.told(new.dataset_id, audience, &[new.sample_id]).await?.remove(&new.sample_id)
            }
            _ => None,
        };
        let mut tx = self.pool.begin().await?;
        lock_sample(&mut tx, new.dataset_id, new.sample_id).await?;
        let classes = classes_of(&new.decision);
        let mut ground = ground(&mut tx, new, &classes).await?;
        if ground.known {
            let missing = || StoreError::not_found("review", new.client_id.to_string());
            let review = known(&mut tx, new.client_id).await?.ok_or_else(missing)?;
            let same = review.sample_id == new.sample_id
                && review.decision == new.decision.as_str()
                && review.classes == classes;
            return if same {
                Ok(review)
            } else {
                Err(rule(
                    "client_id",
                    "client_id_reused",
                    "this client_id belongs to another review: make a new one for each decision",
                ))
            };
        }
        if new.lease_id.is_some() && ground.leased_by.as_ref() != Some(&new.author) {
            return Err(rule(
                "lease_id",
                "unknown_lease",
                "this person never held this sample under this lease",
            ));
        }
        let unknowing = blind.is_some() || ground.asked.is_some_and(|(.., blind)| blind);
        if let Some(told) = blind {
            ground.shown = told.class;
        }
        let verdict = Verdict::of(&new.decision, ground.shown.as_deref())
            .ok_or_else(|| rule("decision", "nothing_to_keep", "the sample has no label to keep"))?;
        if usize::try_from(ground.leaves).ok() != Some(classes.len()) {
            return Err(rule(
                "class",
                "unknown_class",
                format!("{classes:?}: not a class (leaf) of this dataset's taxonomy"),
            ));
        }
        let mut looks = standing(&mut tx, new.sample_id).await?;
        let asked = ground.asked.map(|(purpose, at, _)| (purpose, at));
        let purpose =
            counts_as(&new.author, asked, new.may_adjudicate, &ground.policy, new.sample_id, &looks);
        let source =
            if purpose == Purpose::Adjudicate { LabelSource::Adjudicated } else { LabelSource::Annotator };
        let given = match &verdict {
            Verdict::Class(class) if purpose != Purpose::Gold => Some(class),
            _ => None,
        };
        let review = sqlx::query_as!(
            Review,
            r#"with given as (
                 insert into labels (dataset_id, sample_id, class, source, author)
                 select $2, $3, $11, $16, $5 where $11::text is not null returning id)
               insert into reviews (client_id, dataset_id, sample_id, scan_id, author, decision, classes, class_before,
                 comment, time_spent_ms, label_id, purpose, policy, blind, lease_id)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, (select id from given), $12, $13, $14, $15)
               returning id, client_id, sample_id, author, decision, classes, class_before, comment, time_spent_ms,
                 created_at, null::timestamptz as undone_at, false as "replayed!""#,
            new.client_id,
            new.dataset_id,
            new.sample_id,
            new.scan_id,
            new.author,
            new.decision.as_str(),
            &classes,
            ground.shown,
            new.comment,
            new.time_spent_ms,
            given,
            purpose.as_str(),
            ground.version,
            unknowing,
            new.lease_id,
            source.as_str()
        )
        .fetch_one(&mut *tx)
        .await?;
        if purpose == Purpose::Gold {
            close_lease(&mut tx, new.lease_id).await?;
        } else {
            looks.push(Look {
                review: review.id,
                person: new.author.clone(),
                purpose,
                verdict,
                shown: ground.shown,
                policy: ground.policy,
                at: review.created_at.timestamp_micros() as f64 / 1e6,
            });
            settle_down(&mut tx, new.dataset_id, new.sample_id, &looks).await?;
        }
        tx.commit().await?;
        Ok(review)
    }

    /// Takes a review back: its label no longer counts, what it left out is in again, and the queue is as if
    /// it had never been. A sample that was drawn goes back to the same tab of its author for `minutes`, unless
    /// somebody else looks at it. Undoing again answers the same.
    pub async fn undo_review(
        &self,
        dataset: Uuid,
        client_id: Uuid,
        by: &str,
        minutes: i32,
    ) -> Result<Undone> {
        let mut tx = self.pool.begin().await?;
        let missing = || StoreError::not_found("review", client_id.to_string());
        let found = sqlx::query!(
            "select id, sample_id, author, purpose, label_id, lease_id from reviews
             where dataset_id = $1 and client_id = $2",
            dataset,
            client_id
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(missing)?;
        lock_sample(&mut tx, dataset, found.sample_id).await?;
        let new = sqlx::query!(
            "insert into review_retractions (review_id, author) values ($1, $2) on conflict do nothing",
            found.id,
            by
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let lease = if new == 0 {
            held_again(&mut tx, found.sample_id, found.lease_id).await?
        } else if found.purpose == Purpose::Gold.as_str() {
            reopen_gold(&mut tx, found.lease_id, minutes).await?
        } else {
            if let Some(label) = found.label_id {
                retract(&mut tx, label, by).await?;
            }
            let looks = standing(&mut tx, found.sample_id).await?;
            let open = settle_down(&mut tx, dataset, found.sample_id, &looks).await?;
            match open.filter(|o| o.may_go_to(&found.author) && !o.held_by_other(&found.author)) {
                Some(open) => lease_again(&mut tx, open.id, found.lease_id, minutes).await?,
                None => None,
            }
        };
        let review = known(&mut tx, client_id).await?.ok_or_else(missing)?;
        tx.commit().await?;
        Ok(Undone { review, lease })
    }

    /// Who made a review; `None` when there is none of this `client_id`.
    pub async fn review_author(&self, dataset: Uuid, client_id: Uuid) -> Result<Option<String>> {
        Ok(sqlx::query_scalar!(
            "select author from reviews where dataset_id = $1 and client_id = $2",
            dataset,
            client_id
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Newest first, before the review `before`; of one author, or of all. Annotators are not told of others'
    /// decisions on samples that are not verified.
    pub async fn recent_reviews(
        &self,
        dataset: Uuid,
        author: Option<&str>,
        audience: Audience<'_>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<RecentReview>> {
        let rows = sqlx::query_as!(
            RecentReview,
            r#"select r.id, r.client_id, s.external_id as sample, r.sample_id, s.title, r.author, r.decision, r.classes,
                 r.class_before, r.comment, r.time_spent_ms, r.created_at, t.created_at as "undone_at?"
               from reviews r join samples s on s.id = r.sample_id
               left join review_retractions t on t.review_id = r.id
               where r.dataset_id = $1 and ($2::text is null or r.author = $2) and ($3::bigint is null or r.id < $3)
                 and ($5::text is null or r.author = $5 or exists (select from verifications v
                   where v.sample_id = r.sample_id and v.state in ('verified', 'gold')))
               order by r.id desc limit $4"#,
            dataset,
            author,
            before,
            limit + 1,
            audience.annotator()
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |r| r.id.to_string()))
    }
}
