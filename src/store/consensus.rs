//! Votes of several people on the same samples, with what the last scan says of them.

use serde::Serialize;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Result, Store};
use crate::domain::Candidate;

/// One person's standing decision that a sample is of a class.
#[derive(Clone, Debug)]
pub struct SharedVote {
    pub sample_id: i64,
    pub person: String,
    pub class: String,
    /// Of the last scan, likeliest first; empty where it says nothing.
    pub candidates: Vec<Candidate>,
}

/// What people and model say of a sample together.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Consensus {
    /// Null while nobody has said that it is of a class.
    pub class: Option<String>,
    /// Probability that this is right, in [0, 1]; null before any sample has two people's decisions, which is
    /// what tells how far each is to be trusted.
    pub quality: Option<f64>,
    pub votes: Vec<WeighedVote>,
    /// The likeliest class of the last scan.
    pub model: Option<Candidate>,
    /// Samples with two people's decisions that people and model were weighed by.
    pub shared: usize,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WeighedVote {
    pub person: String,
    pub class: String,
    /// Probability that the vote is right; null as above.
    pub quality: Option<f64>,
}

impl Store {
    /// The votes on `sample`, and on the `limit` samples that two people or more decided on last; one of each
    /// person and sample, the latest. In order of samples and people. O(reviews of the dataset).
    pub async fn shared_votes(&self, dataset: Uuid, sample: i64, limit: i64) -> Result<Vec<SharedVote>> {
        let rows = sqlx::query!(
            r#"with standing as (
                 select distinct on (r.sample_id, r.author) r.sample_id, r.author, r.id,
                   case r.decision when 'keep' then r.class_before else r.classes[1] end as class
                 from reviews r
                 where r.dataset_id = $1 and r.purpose <> 'gold' and r.decision in ('keep', 'relabel')
                   and not exists (select from review_retractions t where t.review_id = r.id)
                 order by r.sample_id, r.author, r.id desc
               ), shared as (
                 select sample_id from standing group by sample_id having count(*) > 1 order by max(id) desc limit $3
               )
               select v.sample_id as "sample_id!", v.author as "person!", v.class as "class!",
                 f.candidates as "candidates?: Json<Vec<Candidate>>"
               from standing v
               left join findings f on f.sample_id = v.sample_id
                 and f.scan_id = (select id from scans where dataset_id = $1 order by seq desc limit 1)
               where v.class is not null and (v.sample_id = $2 or v.sample_id in (select sample_id from shared))
               order by v.sample_id, v.author"#,
            dataset,
            sample,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|r| SharedVote {
                sample_id: r.sample_id,
                person: r.person,
                class: r.class,
                candidates: r.candidates.map(|c| c.0).unwrap_or_default(),
            })
            .collect())
    }
}
