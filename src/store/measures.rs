//! What people decided, as the measures of quality need it. Decisions that were taken back do not count.
//!
//! Of times only medians leave this file: of everybody together, or of the one person who asks.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Result, Store};

/// One person's last word on one sample that several people decided on.
#[derive(Clone, Debug)]
pub struct Look {
    pub sample_id: i64,
    pub author: String,
    pub class: String,
    /// Nobody had decided before, or what they had decided was hidden.
    pub independent: bool,
}

/// Decisions on samples whose class is settled: alike ones together.
#[derive(Clone, Debug)]
pub struct Settled {
    pub author: String,
    /// The sample was slipped in to be measured by; else its class was settled by two people or more.
    pub gold: bool,
    /// The class, the label that was shown, and the class that was said (none: out of the taxonomy).
    pub class: String,
    pub shown: Option<String>,
    pub said: Option<String>,
    pub n: i64,
}

/// One person's decisions.
#[derive(Clone, Debug)]
pub struct Decisions {
    pub author: String,
    pub n: i64,
}

/// Milliseconds a decision took: quartiles of `n` decisions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    pub n: i64,
    /// People with a fair number of them; see [`Store::times`].
    pub people: i64,
    pub quarter: f64,
    pub median: f64,
    pub three_quarters: f64,
}

/// Decisions in a row.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub decisions: i64,
    pub corrections: i64,
}

/// A scan's findings and what was decided on them.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Labels decided on, and those of them found wrong.
    pub decided: i64,
    pub wrong: i64,
    /// Samples that nobody has looked at.
    pub open: i64,
}

/// Decisions that one person must have timed to count among the people of [`Times`].
const FAIR: i64 = 20;

impl Store {
    /// First and second looks of people at samples that two or more looked at, the last of each person.
    pub async fn looks_of_several(&self, dataset: Uuid) -> Result<Vec<Look>> {
        Ok(sqlx::query_as!(
            Look,
            r#"with looks as (
                 select distinct on (r.sample_id, r.author) r.id, r.sample_id, r.author, r.blind,
                   case r.decision when 'keep' then r.class_before else r.classes[1] end as class
                 from reviews r
                 where r.dataset_id = $1 and r.decision in ('keep', 'relabel') and r.purpose in ('first', 'second')
                   and not exists (select from review_retractions t where t.review_id = r.id)
                 order by r.sample_id, r.author, r.id desc
               ), several as (
                 select *, count(*) over (partition by sample_id) as people,
                   min(id) over (partition by sample_id) as first_id
                 from looks where class is not null
               )
               select sample_id as "sample_id!", author as "author!", class as "class!",
                 blind or id = first_id as "independent!"
               from several where people > 1 order by sample_id, author"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Decisions on labels whose class is settled, by people, classes and what they were shown.
    pub async fn settled(&self, dataset: Uuid) -> Result<Vec<Settled>> {
        Ok(sqlx::query_as!(
            Settled,
            r#"select author as "author!", gold as "gold!", class as "class!", shown, said, count(*) as "n!"
               from (
                 select distinct on (r.sample_id, r.author, r.purpose = 'gold') r.author, r.purpose = 'gold' as gold,
                   v.class, r.class_before as shown,
                   case r.decision when 'keep' then r.class_before when 'relabel' then r.classes[1] end as said
                 from reviews r join verifications v on v.sample_id = r.sample_id
                 where r.dataset_id = $1 and v.settled and v.class is not null
                   and r.decision in ('keep', 'relabel', 'out_of_taxonomy') and r.purpose <> 'adjudicate'
                   and not exists (select from review_retractions t where t.review_id = r.id)
                 order by r.sample_id, r.author, r.purpose = 'gold', r.id desc) d
               group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Everybody who has decided something, by name.
    pub async fn decisions_by_person(&self, dataset: Uuid) -> Result<Vec<Decisions>> {
        Ok(sqlx::query_as!(
            Decisions,
            r#"select author, count(*) as "n!" from reviews r
               where dataset_id = $1 and not exists (select from review_retractions t where t.review_id = r.id)
               group by author order by author"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Of everybody together, or of one person; `people` are those with twenty timed decisions or more.
    /// `None` without any.
    pub async fn times(&self, dataset: Uuid, author: Option<&str>) -> Result<Option<Times>> {
        let row = sqlx::query!(
            r#"with timed as (
                 select author, time_spent_ms as ms from reviews r
                 where dataset_id = $1 and ($2::text is null or author = $2) and time_spent_ms is not null
                   and not exists (select from review_retractions t where t.review_id = r.id)
               )
               select count(*) as "n!", percentile_cont(array[0.25, 0.5, 0.75]) within group (order by ms) as at,
                 (select count(*) from (select from timed group by author having count(*) >= $3) f) as "people!"
               from timed"#,
            dataset,
            author,
            FAIR
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(row.at.as_deref().and_then(|at| <[f64; 3]>::try_from(at).ok()).map(|[quarter, median, three]| {
            Times { n: row.n, people: row.people, quarter, median, three_quarters: three }
        }))
    }

    /// How many first looks decided on a label.
    pub async fn first_decisions(&self, dataset: Uuid) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"select count(*) as "n!" from reviews r
               where dataset_id = $1 and decision in ('keep', 'relabel', 'out_of_taxonomy') and purpose = 'first'
                 and not exists (select from review_retractions t where t.review_id = r.id)"#,
            dataset
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The same in stretches of `size`, oldest first; the last one may be shorter. A correction is another
    /// class than the label had, or none.
    pub async fn stretches(&self, dataset: Uuid, size: i64) -> Result<Vec<Stretch>> {
        Ok(sqlx::query_as!(
            Stretch,
            r#"select min(created_at) as "from!", max(created_at) as "to!", count(*) as "decisions!",
                 count(*) filter (where corrected) as "corrections!"
               from (
                 select created_at, (row_number() over (order by id) - 1) / $2 as stretch,
                   decision = 'out_of_taxonomy'
                     or decision = 'relabel' and classes[1] is distinct from class_before as corrected
                 from reviews r
                 where dataset_id = $1 and decision in ('keep', 'relabel', 'out_of_taxonomy') and purpose = 'first'
                   and not exists (select from review_retractions t where t.review_id = r.id)) d
               group by stretch order by stretch"#,
            dataset,
            size
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// How far people are with a scan's findings, by the last word on each sample.
    pub async fn progress_with(&self, scan: Uuid) -> Result<Progress> {
        Ok(sqlx::query_as!(
            Progress,
            r#"select count(*) filter (where v.decision in ('keep', 'relabel', 'out_of_taxonomy')) as "decided!",
                 count(*) filter (where case v.decision when 'keep' then v.class_before is distinct from f.given_class
                   when 'relabel' then v.classes[1] is distinct from f.given_class
                   else v.decision = 'out_of_taxonomy' end) as "wrong!",
                 count(*) filter (where v.id is null) as "open!"
               from findings f
               left join review_status s on s.sample_id = f.sample_id
               left join reviews v on v.id = s.review_id
               where f.scan_id = $1"#,
            scan
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Suspicion of the samples that nobody has looked at, in the order of review, at most `limit`.
    pub async fn open_suspicions(&self, scan: Uuid, limit: i64) -> Result<Vec<f32>> {
        Ok(sqlx::query_scalar!(
            "select f.suspicion from findings f
             where f.scan_id = $1 and not exists (select from review_status s where s.sample_id = f.sample_id)
             order by f.place limit $2",
            scan,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
