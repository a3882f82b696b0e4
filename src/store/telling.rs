//! Who is told what of decisions on samples. Somebody who may still be asked for a second look, where the policy's
//! second looks are blind, is told of such a sample as if nobody else had decided: label, status and exclusion are
//! what they were, a scan that judged somebody's decision is not heard. `blind_to` in the database says which
//! samples these are (0019_blind_and_restored.sql).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::samples::Sample;
use super::{Result, Store, keyword};
use crate::domain::LabelSource;

/// To whom something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// Reviewers, leads, and the house itself: everything.
    Knowing,
    /// Somebody of this name, who decides on samples like others.
    Annotator(&'a str),
}

impl<'a> Audience<'a> {
    /// The name of an annotator.
    pub fn annotator(self) -> Option<&'a str> {
        match self {
            Self::Knowing => None,
            Self::Annotator(name) => Some(name),
        }
    }
}

/// A sample as somebody is told it who may be asked to look at it without knowing.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) class: Option<String>,
    /// Its column in the taxonomy.
    pub(crate) class_index: Option<i32>,
    pub(crate) source: Option<LabelSource>,
    pub(crate) author: Option<String>,
    pub(crate) decided_at: Option<DateTime<Utc>>,
    /// The person's own last word, or that of an action in bulk.
    pub(crate) decision: Option<String>,
    pub(crate) excluded: bool,
    /// Classes of labels that are no secret, standing or not.
    known: Vec<String>,
}

impl Told {
    /// Nobody's hidden decision gave the sample this class.
    pub(crate) fn knows(&self, class: &str) -> bool {
        self.known.iter().any(|k| k == class)
    }

    pub(crate) fn tell(&self, sample: &mut Sample) {
        sample.current_class.clone_from(&self.class);
        sample.label_source = self.source;
        sample.label_author.clone_from(&self.author);
        sample.decided_at = self.decided_at;
        sample.review.clone_from(&self.decision);
    }
}

/// Something that tells of a sample.
pub(super) trait Tells {
    fn sample(&self) -> i64;
    fn tell(&mut self, told: &Told);
}

impl Store {
    /// Those of the samples that the audience may be asked about without knowing, as it is told them. One statement;
    /// none for those who may know.
    pub(crate) async fn told(
        &self,
        dataset: Uuid,
        audience: Audience<'_>,
        samples: &[i64],
    ) -> Result<HashMap<i64, Told>> {
        let Some(person) = audience.annotator().filter(|_| !samples.is_empty()) else {
            return Ok(HashMap::new());
        };
        let rows = sqlx::query!(
            r#"select s.id, l.class as "class?", n.class_index as "class_index?", l.source as "source?", l.author as "author?",
                 l.created_at as "decided_at?", told_decision(s.id, $3) as decision,
                 exists (select from exclusions e left join reviews o on o.id = e.review_id
                   where e.sample_id = s.id and e.lifted_at is null and (o.id is null or o.author = $3)) as "excluded!",
                 array(select distinct k.class from labels k
                   where k.sample_id = s.id and open_label(s.id, k.id, k.source, k.author, $3)) as "known!"
               from (select distinct id from unnest($2::bigint[]) w(id)) w join samples s on s.id = w.id
               left join lateral (select k.* from labels k
                 where k.sample_id = s.id and open_label(s.id, k.id, k.source, k.author, $3)
                   and not exists (select from label_retractions t where t.label_id = k.id)
                 order by label_precedence(k.source) desc, k.id desc limit 1) l on true
               left join taxonomy_nodes n on n.dataset_id = $1 and n.node = l.class
               where s.dataset_id = $1 and blind_to(s.id, $3)"#,
            dataset,
            samples,
            person
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|r| {
                let source = r.source.map(|s| keyword("label source", &s, LabelSource::parse)).transpose()?;
                let told = Told {
                    class: r.class,
                    class_index: r.class_index,
                    source,
                    author: r.author,
                    decided_at: r.decided_at,
                    decision: r.decision,
                    excluded: r.excluded,
                    known: r.known,
                };
                Ok((r.id, told))
            })
            .collect()
    }

    /// Leaves out of `items` what the audience may not know.
    pub(super) async fn tell<T: Tells>(
        &self,
        dataset: Uuid,
        audience: Audience<'_>,
        items: &mut [T],
    ) -> Result<()> {
        let ids: Vec<i64> = items.iter().map(Tells::sample).collect();
        let told = self.told(dataset, audience, &ids).await?;
        for item in items {
            if let Some(told) = told.get(&item.sample()) {
                item.tell(told);
            }
        }
        Ok(())
    }

    /// Of the dataset, those with ids from `first` to `last` that [`Self::told`] may be about.
    pub(super) async fn undecided_between(&self, dataset: Uuid, first: i64, last: i64) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar!(
            r#"select sample_id as "id!" from verifications
               where dataset_id = $1 and state in ('second', 'adjudicate') and sample_id between $2 and $3
               union select sample_id from review_status
               where dataset_id = $1 and decision = 'unsure' and sample_id between $2 and $3
               union select r.sample_id from queue_items q join review_status r on r.sample_id = q.sample_id
               where q.dataset_id = $1 and q.state = 'open' and q.purpose <> 'gold' and q.sample_id between $2 and $3"#,
            dataset,
            first,
            last
        )
        .fetch_all(&self.pool)
        .await?)
    }
}

/// Adds the last word on the sample of the review status `r`, as the audience is told it.
pub(super) fn push_decision(q: &mut QueryBuilder<Postgres>, audience: Audience<'_>) {
    match audience {
        Audience::Knowing => {
            q.push("r.decision");
        }
        Audience::Annotator(person) => {
            q.push("(case when r.decision is not null then told_decision(r.sample_id, ")
                .push_bind(person.to_owned())
                .push(") end)");
        }
    }
}

/// Adds, for annotators, that nothing is hidden of the sample of the review status `r`: by which class of theirs it is
/// found would tell what somebody decided.
pub(super) fn push_nothing_hidden(q: &mut QueryBuilder<Postgres>, audience: Audience<'_>) {
    if let Audience::Annotator(person) = audience {
        q.push(" and (r.sample_id is null or not hidden_from(r.sample_id, ")
            .push_bind(person.to_owned())
            .push("))");
    }
}

/// Adds, for annotators, that the finding `f` is not of a scan that judged somebody's hidden decision, `r` being the
/// review status.
pub(super) fn push_judged_openly(q: &mut QueryBuilder<Postgres>, audience: Audience<'_>) {
    if let Audience::Annotator(person) = audience {
        let person = person.to_owned();
        q.push(" and (r.sample_id is null or not hidden_from(r.sample_id, ").push_bind(person.clone());
        q.push(") or f.given_class = '' or open_class(r.sample_id, f.given_class, ")
            .push_bind(person)
            .push("))");
    }
}

/// Adds whether the sample `id` (an expression) is left out, as far as the audience knows.
pub(super) fn push_excluded(q: &mut QueryBuilder<Postgres>, id: &'static str, audience: Audience<'_>) {
    q.push("exists (select from exclusions x where x.sample_id = ").push(id).push(" and x.lifted_at is null");
    push_openly_excluded(q, audience);
    q.push(")");
}

/// Adds, for annotators, that the exclusion `x` is not somebody's hidden decision.
pub(super) fn push_openly_excluded(q: &mut QueryBuilder<Postgres>, audience: Audience<'_>) {
    if let Audience::Annotator(person) = audience {
        let person = person.to_owned();
        q.push(" and not (x.review_id is not null and exists (select from reviews o where o.id = x.review_id and o.author <> ");
        q.push_bind(person.clone()).push(") and hidden_from(x.sample_id, ").push_bind(person).push("))");
    }
}
