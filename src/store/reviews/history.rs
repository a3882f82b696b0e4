//! The history of a sample.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::telling::Audience;
use crate::store::{Result, Store};

/// One line of a sample's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HistoryEntry {
    pub at: DateTime<Utc>,
    /// `label`, `review`, `undo` of a review, `comment`, `retraction` of a label, `rule` that flagged or excluded
    /// the sample, `rule_undone`, `bulk` decision on it among others, `bulk_undone`.
    pub kind: String,
    /// Source of the label, the decision, or the action of the rule or in bulk.
    pub what: String,
    pub author: String,
    pub classes: Vec<String>,
    pub comment: String,
}

impl HistoryEntry {
    /// It comes from a file, a rule or a model, not from somebody who looked at the sample.
    pub fn by_nobody(&self) -> bool {
        match self.kind.as_str() {
            "label" => matches!(self.what.as_str(), "import" | "rule" | "model"),
            "rule" => true,
            _ => false,
        }
    }

    /// `person` may know it while others may still have to look at the sample without knowing what was decided:
    /// all but others' decisions, and where `comments` are not told their comments.
    pub fn told_to(&self, person: &str, comments: bool) -> bool {
        self.by_nobody() || (comments && self.kind == "comment") || self.author == person
    }
}

impl Store {
    /// The sample's label is verified: nobody is going to look at it without knowing what others decided.
    async fn is_verified(&self, dataset: Uuid, sample: i64) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"select exists (select from verifications where dataset_id = $1 and sample_id = $2
                 and state in ('verified', 'gold')) as "is!""#,
            dataset,
            sample
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// What the audience is told of [`Self::history`]: of a sample that is not verified, annotators learn nothing of
    /// others' decisions, nor of their comments where they may be asked about it without knowing.
    pub async fn history_told(
        &self,
        dataset: Uuid,
        sample: i64,
        audience: Audience<'_>,
    ) -> Result<Vec<HistoryEntry>> {
        let mut history = self.history(dataset, sample).await?;
        if let Some(person) = audience.annotator()
            && !self.is_verified(dataset, sample).await?
        {
            let blind = self.told(dataset, audience, &[sample]).await?.contains_key(&sample);
            history.retain(|e| e.told_to(person, !blind));
        }
        Ok(history)
    }

    /// Everything that was ever said about a sample, oldest first. A review's own label event is
    /// folded into the review, the retraction that comes of an undoing into the undoing.
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
                 select t.created_at, 'undo', r.decision, t.author,
                   case when decision = 'keep' and class_before is not null then array[class_before] else classes end, t.reason, r.id
                 from reviews r join review_retractions t on t.review_id = r.id
                 where r.dataset_id = $1 and r.sample_id = $2
                 union all
                 select created_at, 'comment', '', author, '{}', text, id
                 from comments where dataset_id = $1 and sample_id = $2
                 union all
                 select t.created_at, 'retraction', l.source, t.author, array[l.class], t.reason, l.id
                 from labels l join label_retractions t on t.label_id = l.id where l.dataset_id = $1 and l.sample_id = $2
                   and not exists (select from reviews r join review_retractions u on u.review_id = r.id where r.label_id = l.id)
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
