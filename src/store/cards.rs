//! What the card of one sample shows beside the sample itself: the finding with its evidence, tiles of other
//! samples, good examples of classes. A handful of statements, each by index.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::suspects::{BESIDE, COLUMNS, Row, Suspect};
use super::{Result, Store};
use crate::domain::{Candidate, FieldVotes};

/// What the newest scan says of a sample.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Evidence {
    pub scan_id: Uuid,
    #[serde(flatten)]
    pub suspect: Suspect,
    /// The likeliest classes, likeliest first, at most nine, the given one among them; empty in scans from
    /// before they were kept. Modest: half the log-odds that the ranking goes by.
    pub candidates: Vec<Candidate>,
    /// By field; none where the scan had fewer than two fields.
    #[schema(value_type = std::collections::HashMap<String, Candidate>)]
    pub field_votes: FieldVotes,
}

#[derive(FromRow)]
struct EvidenceRow {
    scan_id: Uuid,
    #[sqlx(flatten)]
    suspect: Row,
    candidates: Option<Json<Vec<Candidate>>>,
    field_votes: Option<Json<FieldVotes>>,
}

/// Another sample as a small picture.
#[derive(Clone, Debug)]
pub struct Tile {
    pub sample_id: i64,
    pub external_id: String,
    pub title: String,
    /// Current label.
    pub class: Option<String>,
    pub has_media: bool,
}

/// A sample that shows what a class is.
#[derive(Clone, Debug)]
pub struct Example {
    pub class: String,
    pub sample_id: i64,
    pub external_id: String,
    pub title: String,
    pub has_media: bool,
    /// Its label is verified by the review policy.
    pub verified: bool,
}

/// How many of the least suspicious, and of those that people have confirmed last, examples are chosen from:
/// whatever the size of the class, so many rows are read.
const CHOSEN_FROM: i64 = 40;

/// Examples read of a class: three to show, and as many as the sample and its twelve neighbours may take away.
const READ: i64 = 16;
/// For so long an example may be shown that is none any more: most cards then cost no statement for them.
const FRESH: Duration = Duration::from_secs(60);
/// Classes whose examples are kept, some 4 KB each.
const KEPT: usize = 4096;

/// Examples by scan and class, with the moment when they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<HashMap<(Uuid, String), Read>>>);

type Read = (Instant, Arc<[Example]>);

impl Kept {
    fn get(&self, scan: Uuid, class: &str) -> Option<Arc<[Example]>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, examples) = kept.get(&(scan, class.to_owned()))?;
        (at.elapsed() < FRESH).then(|| examples.clone())
    }

    fn put(&self, scan: Uuid, class: &str, examples: Arc<[Example]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert((scan, class.to_owned()), (Instant::now(), examples));
    }
}

impl Store {
    /// `None` when no scan has looked at the sample, or there is none.
    pub async fn evidence(&self, dataset: Uuid, sample: i64) -> Result<Option<Evidence>> {
        let mut q = QueryBuilder::new(COLUMNS);
        q.push("f.place, f.scan_id, f.candidates, f.field_votes from findings f")
            .push(BESIDE)
            .push_bind(dataset);
        q.push(" and f.scan_id = (select id from scans where dataset_id = ")
            .push_bind(dataset)
            .push(" order by seq desc limit 1) and f.sample_id = ")
            .push_bind(sample);
        let row: Option<EvidenceRow> = q.build_query_as().fetch_optional(&self.pool).await?;
        row.map(|r| {
            Ok(Evidence {
                scan_id: r.scan_id,
                suspect: r.suspect.try_into()?,
                candidates: r.candidates.map(|c| c.0).unwrap_or_default(),
                field_votes: r.field_votes.map(|v| v.0).unwrap_or_default(),
            })
        })
        .transpose()
    }

    /// In the order asked for; unknown ids are left out.
    pub async fn tiles_by_id(&self, dataset: Uuid, ids: &[i64]) -> Result<Vec<Tile>> {
        Ok(sqlx::query_as!(
            Tile,
            r#"select s.id as sample_id, s.external_id, s.title, c.class as "class?",
                 s.media_state = 'ready' as "has_media!"
               from unnest($2::bigint[]) with ordinality as w(id, n) join samples s on s.id = w.id
               left join current_labels c on c.sample_id = s.id
               where s.dataset_id = $1 order by w.n"#,
            dataset,
            ids
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Up to `most` (at most 3) good examples of each class: verified labels first, then those that the scan
    /// doubts least. None of `but`, none in which the scan found anything (so none that has a near-duplicate),
    /// none that is excluded or waits for another look. Up to a minute old.
    pub async fn examples(
        &self,
        dataset: Uuid,
        scan: Uuid,
        classes: &[String],
        but: &[i64],
        most: usize,
    ) -> Result<Vec<Example>> {
        let mut found: Vec<Option<Arc<[Example]>>> =
            classes.iter().map(|class| self.examples.get(scan, class)).collect();
        let unread: Vec<String> = classes
            .iter()
            .zip(&found)
            .filter(|(_, of)| of.is_none())
            .map(|(class, _)| class.clone())
            .collect();
        if !unread.is_empty() {
            let read = self.read_examples(dataset, scan, &unread).await?;
            for (class, of) in classes.iter().zip(&mut found).filter(|(_, of)| of.is_none()) {
                let examples: Arc<[Example]> = read.iter().filter(|e| e.class == *class).cloned().collect();
                self.examples.put(scan, class, examples.clone());
                *of = Some(examples);
            }
        }
        let shown = |of: &Arc<[Example]>| -> Vec<Example> {
            of.iter().filter(|e| !but.contains(&e.sample_id)).take(most).cloned().collect()
        };
        Ok(found.iter().flatten().flat_map(shown).collect())
    }

    /// As many of each class that some are left when a sample and its neighbours are taken away.
    async fn read_examples(&self, dataset: Uuid, scan: Uuid, classes: &[String]) -> Result<Vec<Example>> {
        Ok(sqlx::query_as!(
            Example,
            r#"select w.class as "class!", e.id as "sample_id!", e.external_id as "external_id!", e.title as "title!",
                 e.has_media as "has_media!", e.verified as "verified!"
               from unnest($3::text[]) with ordinality as w(class, n), lateral (
                 select s.id, s.external_id, s.title, s.media_state = 'ready' as has_media, f.rank,
                   v.state is not null as verified
                 from (
                   (select c.sample_id from current_labels c
                    where c.dataset_id = $1 and c.class = w.class and c.source in ('annotator', 'consensus', 'adjudicated')
                    order by c.decided_at desc limit $5)
                   union
                   (select f.sample_id from findings f
                    where f.scan_id = $2 and f.given_class = w.class order by f.rank desc limit $5)) x
                 join samples s on s.id = x.sample_id
                 join current_labels c on c.sample_id = x.sample_id
                 join findings f on f.scan_id = $2 and f.sample_id = x.sample_id
                 left join verifications v on v.sample_id = x.sample_id
                 where s.dataset_id = $1 and c.class = w.class
                   and case when v.state is null then not f.flagged
                     else v.state in ('verified', 'gold') and v.class = w.class end
                   and not exists (select from finding_issues i
                     where i.scan_id = $2 and i.sample_id = x.sample_id and i.kind <> 'label')
                   and not exists (select from exclusions o where o.sample_id = x.sample_id and o.lifted_at is null)
                 order by verified desc, has_media desc, f.rank desc limit $4) e
               order by w.n, e.verified desc, e.has_media desc, e.rank desc"#,
            dataset,
            scan,
            classes,
            READ,
            CHOSEN_FROM
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
