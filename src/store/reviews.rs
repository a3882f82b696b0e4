//! Reviews: recording a decision once however often it is sent, and the history of a sample.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Result, Store, StoreError};
use crate::domain::{Decision, LabelSource};

/// A decision on its way in.
#[derive(Clone, Debug)]
pub struct NewReview {
    /// Made by the client; a repeated send with the same id changes nothing.
    pub client_id: Uuid,
    pub dataset_id: Uuid,
    pub sample_id: i64,
    pub scan_id: Option<Uuid>,
    pub author: String,
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
    pub class_before: Option<String>,
    pub comment: String,
    pub time_spent_ms: Option<i32>,
    pub created_at: DateTime<Utc>,
    /// It was there already: the same `client_id` came again.
    #[serde(skip)]
    pub replayed: bool,
}

/// One line of a sample's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    pub at: DateTime<Utc>,
    /// `label`, `review`, `retraction` of a label, `rule` that flagged or excluded the sample, `rule_undone`,
    /// `bulk` decision on it among others, `bulk_undone`.
    pub kind: String,
    /// Source of the label, the decision, or the action of the rule or in bulk.
    pub what: String,
    pub author: String,
    pub classes: Vec<String>,
    pub comment: String,
}

/// The classes that a decision names.
fn classes_of(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Relabel { class } => vec![class.clone()],
        Decision::Ambiguous { classes } => classes.clone(),
        Decision::Keep | Decision::Unsure | Decision::OutOfTaxonomy | Decision::BadMedia => vec![],
    }
}

impl Store {
    /// Records the decision; keep and relabel add a label event. Same `client_id` again: the first
    /// answer again.
    ///
    /// # Errors
    /// A class that is no leaf of the taxonomy, keep on an unlabelled sample, a sample of another
    /// dataset, a `client_id` that another sample's review has.
    pub async fn record_review(&self, new: &NewReview) -> Result<Review> {
        let mut tx = self.pool.begin().await?;
        // the dataset first, as its deletion does: the other way round the two could wait for each other
        sqlx::query!("select id from datasets where id = $1 for key share", new.dataset_id)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", new.dataset_id.to_string()))?;
        // one decision at a time on one sample: the row lock also makes `class_before` true
        sqlx::query!(
            "select id from samples where id = $1 and dataset_id = $2 for update",
            new.sample_id,
            new.dataset_id
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::not_found("sample", new.sample_id.to_string()))?;
        let before =
            sqlx::query_scalar!("select class from current_labels where sample_id = $1", new.sample_id)
                .fetch_optional(&mut *tx)
                .await?
                .flatten();
        let known = sqlx::query_as!(
            Review,
            r#"select id, client_id, sample_id, author, decision, classes, class_before, comment, time_spent_ms,
                 created_at, true as "replayed!"
               from reviews where client_id = $1"#,
            new.client_id
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(review) = known {
            let same = review.sample_id == new.sample_id
                && review.decision == new.decision.as_str()
                && review.classes == classes_of(&new.decision);
            return if same {
                Ok(review)
            } else {
                Err(StoreError::Rule {
                    field: "client_id",
                    code: "client_id_reused",
                    message: "this client_id belongs to another review: make a new one for each decision"
                        .into(),
                })
            };
        }
        let classes = classes_of(&new.decision);
        let asserted = match &new.decision {
            Decision::Keep => match &before {
                Some(c) => Some(c.clone()),
                None => {
                    return Err(StoreError::Rule {
                        field: "decision",
                        code: "nothing_to_keep",
                        message: "the sample has no label to keep".into(),
                    });
                }
            },
            Decision::Relabel { class } => Some(class.clone()),
            Decision::Ambiguous { .. } | Decision::Unsure | Decision::OutOfTaxonomy | Decision::BadMedia => {
                None
            }
        };
        let leaves = sqlx::query_scalar!(
            r#"select count(*) as "n!" from taxonomy_nodes
               where dataset_id = $1 and node = any($2) and class_index is not null"#,
            new.dataset_id,
            &classes
        )
        .fetch_one(&mut *tx)
        .await?;
        if usize::try_from(leaves).ok() != Some(classes.len()) {
            return Err(StoreError::Rule {
                field: "class",
                code: "unknown_class",
                message: format!("{classes:?}: not a class (leaf) of this dataset's taxonomy"),
            });
        }
        let label_id = match asserted {
            None => None,
            Some(class) => Some(
                sqlx::query_scalar!(
                    "insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, $3, $4, $5)
                     returning id",
                    new.dataset_id,
                    new.sample_id,
                    class,
                    LabelSource::Annotator.as_str(),
                    new.author
                )
                .fetch_one(&mut *tx)
                .await?,
            ),
        };
        let review = sqlx::query_as!(
            Review,
            r#"insert into reviews (client_id, dataset_id, sample_id, scan_id, author, decision, classes, class_before,
                 comment, time_spent_ms, label_id)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
               returning id, client_id, sample_id, author, decision, classes, class_before, comment, time_spent_ms,
                 created_at, false as "replayed!""#,
            new.client_id,
            new.dataset_id,
            new.sample_id,
            new.scan_id,
            new.author,
            new.decision.as_str(),
            &classes,
            before,
            new.comment,
            new.time_spent_ms,
            label_id
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(review)
    }

    /// Everything that was ever said about a sample, oldest first. A review's own label event is
    /// folded into the review.
    pub async fn history(&self, dataset: Uuid, sample: i64) -> Result<Vec<HistoryEntry>> {
        Ok(sqlx::query_as!(
            HistoryEntry,
            r#"select at as "at!", kind as "kind!", what as "what!", author as "author!", classes as "classes!", comment as "comment!"
               from (
                 select created_at as at, 'label' as kind, source as what, author, array[class] as classes, '' as comment, id
                 from labels l where dataset_id = $1 and sample_id = $2
                   and not exists (select 1 from reviews r where r.label_id = l.id)
                   and not exists (select from bulk_actions b where b.id = l.job_id)
                 union all
                 select created_at, 'review', decision, author,
                   case when decision = 'keep' and class_before is not null then array[class_before] else classes end, comment, id
                 from reviews where dataset_id = $1 and sample_id = $2
                 union all
                 select t.created_at, 'retraction', l.source, t.author, array[l.class], t.reason, l.id
                 from labels l join label_retractions t on t.label_id = l.id where l.dataset_id = $1 and l.sample_id = $2
                   and not exists (select from bulk_actions b where b.id = l.job_id)
                 union all
                 select e.at, e.kind, u.action, e.author,
                   case when e.kind = 'bulk' and u.action <> 'exclude' then array_remove(array[coalesce(u.class, b.class_before)], null) else '{}' end,
                   '', 0
                 from bulk_action_samples b join bulk_actions u on u.id = b.bulk_id
                 cross join lateral (values (u.applied_at, 'bulk', u.author), (u.undone_at, 'bulk_undone', u.undone_by)) e(at, kind, author)
                 where u.dataset_id = $1 and b.sample_id = $2 and e.at is not null
                 union all
                 select e.at, e.kind, u.action, e.author, '{}', e.comment, 0
                 from rule_hits h join rule_runs u on u.id = h.run_id join rules r on r.id = u.rule_id
                 cross join lateral (values
                   (u.applied_at, 'rule', 'rule:' || r.name, ''),
                   (u.undone_at, 'rule_undone', u.undone_by, 'rule:' || r.name)) e(at, kind, author, comment)
                 where u.dataset_id = $1 and h.sample_id = $2 and u.action <> 'relabel' and e.at is not null) h
               order by at, id"#,
            dataset,
            sample
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
