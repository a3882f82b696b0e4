//! Who did what in a dataset, newest first: decisions and their taking back, runs of rules, guides and
//! rulings, snapshots, and changes of team and policies, in one list.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Store};

/// What a line of the trail is about.
pub const KINDS: [&str; 8] = ["review", "undone", "bulk", "rule", "guide", "ruling", "snapshot", "change"];

/// One line.
#[derive(Clone, Debug)]
pub struct Step {
    pub at: DateTime<Utc>,
    /// Of [`KINDS`].
    pub kind: String,
    /// Order among reviews and among changes; 0 for the rest.
    pub seq: i64,
    pub author: String,
    /// Decision, the rule's action, the changed thing, or the snapshot's id.
    pub what: String,
    pub sample_id: Option<i64>,
    /// Its external id.
    pub sample: Option<String>,
    pub before: Option<String>,
    pub class: Option<String>,
    /// Comment, reason, text, or the rule's name.
    pub note: String,
    /// Version, or samples changed.
    pub n: Option<i64>,
}

/// Where a page ended: the last line's time and kind, and the last review and change so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailCursor {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub review: i64,
    pub change: i64,
}

impl TrailCursor {
    /// For addresses; see [`TrailCursor::parse`].
    pub fn text(&self) -> String {
        format!("{}.{}.{}.{}", self.at.timestamp_micros(), self.kind, self.review, self.change)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let cursor = Self {
            at: DateTime::from_timestamp_micros(parts.next()?.parse().ok()?)?,
            kind: parts.next()?.to_owned(),
            review: parts.next()?.parse().ok()?,
            change: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct TrailFilter {
    pub author: Option<String>,
    /// Of [`KINDS`].
    pub kind: Option<String>,
}

impl Store {
    /// A page after `after`, and where it ended if there is more. The two lists that grow with every
    /// decision are read from an index, so that a page costs the same at any depth; the others are short.
    pub async fn trail(
        &self,
        dataset: Uuid,
        filter: &TrailFilter,
        after: Option<&TrailCursor>,
        limit: i64,
    ) -> Result<(Vec<Step>, Option<TrailCursor>)> {
        let mut steps = sqlx::query_as!(
            Step,
            r#"with short as (
                 select t.created_at as at, 'undone' as kind, t.author, r.decision as what, r.sample_id,
                   r.class_before as before, r.classes[1] as class, '' as note, null::bigint as n
                 from review_retractions t join reviews r on r.id = t.review_id where r.dataset_id = $1
                   -- going back to a snapshot is one line, of the changes
                   and t.restored_to is null
                 union all
                 select e.at, 'rule', e.author, e.what || u.action, null, null, u.class, r.name, u.n_changed
                 from rule_runs u join rules r on r.id = u.rule_id
                 cross join lateral (values (u.applied_at, u.author, ''), (u.undone_at, u.undone_by, 'undone_'))
                   e(at, author, what)
                 where u.dataset_id = $1 and e.at is not null
                 union all
                 select e.at, 'bulk', e.author, e.what || b.action, null, null, b.class, '', b.n_changed
                 from bulk_actions b
                 cross join lateral (values (b.applied_at, b.author, ''), (b.undone_at, b.undone_by, 'undone_'))
                   e(at, author, what)
                 where b.dataset_id = $1 and e.at is not null
                 union all
                 select created_at, 'guide', author, 'guide', null, null, class, reason, version
                 from guides where dataset_id = $1
                 union all
                 select created_at, 'ruling', author, 'ruling', null, null, class, text, null
                 from guide_decisions where dataset_id = $1
                 union all
                 select created_at, 'snapshot', author, id, null, null, null, reason, n_changed
                 from snapshots where dataset_id = $1
               ), steps as (
                 (select created_at as at, 'review' as kind, id as seq, author, decision as what, sample_id,
                    class_before as before, classes[1] as class, comment as note, null::bigint as n
                  from reviews where dataset_id = $1 and ($2::text is null or author = $2)
                    and coalesce($3, 'review') = 'review' and ($6::bigint is null or id < $6)
                  order by id desc limit $8)
                 union all
                 (select at, 'change', id, actor, action, null, null, null, coalesce(facts->>'reason', ''), null
                  from audit_events where dataset_id = $1 and ($2::text is null or actor = $2)
                    and coalesce($3, 'change') = 'change' and ($7::bigint is null or id < $7)
                  order by id desc limit $8)
                 union all
                 (select at, kind, 0, author, what, sample_id, before, class, note, n from short
                  where ($2::text is null or author = $2) and ($3::text is null or kind = $3)
                    and ($4::timestamptz is null or at < $4 or at = $4 and kind > $5)
                  order by at desc, kind limit $8)
               )
               select t.at as "at!", t.kind as "kind!", t.seq as "seq!", t.author as "author!", t.what as "what!",
                 t.sample_id, s.external_id as "sample?", t.before, t.class, t.note as "note!", t.n
               from steps t left join samples s on s.id = t.sample_id
               order by t.at desc, t.kind, t.seq desc limit $8"#,
            dataset,
            filter.author,
            filter.kind,
            after.map(|a| a.at),
            after.map(|a| a.kind.clone()),
            after.map(|a| a.review),
            after.map(|a| a.change),
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let more = steps.len() > usize::try_from(limit).unwrap_or(0);
        steps.truncate(usize::try_from(limit).unwrap_or(0));
        let seen = |kind: &str, before: Option<i64>| {
            let last = steps.iter().filter(|s| s.kind == kind).map(|s| s.seq).min();
            last.or(before).unwrap_or(i64::MAX)
        };
        let next = steps.last().filter(|_| more).map(|last| TrailCursor {
            at: last.at,
            kind: last.kind.clone(),
            review: seen("review", after.map(|a| a.review)),
            change: seen("change", after.map(|a| a.change)),
        });
        Ok((steps, next))
    }

    /// Everybody who appears in decisions or changes of the dataset, by name; for the filter.
    pub async fn people_of_trail(&self, dataset: Uuid) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar!(
            r#"select author as "author!" from (
                 select distinct author from reviews where dataset_id = $1
                 union select actor from audit_events where dataset_id = $1
                 union select author from guides where dataset_id = $1
                 union select author from snapshots where dataset_id = $1
                 union select author from bulk_actions where dataset_id = $1
                 union select author from rule_runs where dataset_id = $1) a order by 1"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
