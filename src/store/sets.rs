//! Sets of samples with a name: the lists of the pages, near-duplicates of a sample, selections, ids. One place
//! that turns them into SQL, so that a grid, its count and what is decided on all of it are about the same
//! samples.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::ToSchema;
use uuid::Uuid;

use super::samples::SampleFilter;
use super::suspects::{SuspectFilter, push_conditions, push_kind, push_not_excluded, source};
use super::telling::{Audience, Tells, Told};
use super::{Page, Result, Store, StoreError, suspects};

/// Which samples. Unknown fields are refused: a filter that is misspelt must not mean everything.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum SampleSet {
    /// Of the latest scan, in the order of review or that of a kind of issue; excluded samples are left out.
    Suspects(SuspectFilter),
    /// In the order in which they came in.
    Samples(SampleFilter),
    /// A sample and its near-duplicates in the latest scan.
    Duplicates {
        /// Internal id.
        sample: i64,
    },
    /// Picked by somebody.
    Selection { selection: Uuid },
    /// Named one by one.
    Listed {
        /// Internal ids.
        samples: Vec<i64>,
    },
}

impl<'de> Deserialize<'de> for SampleSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error;
        #[derive(Deserialize)]
        #[serde(tag = "of", rename_all = "snake_case")]
        enum Lenient {
            Suspects(SuspectFilter),
            Samples(SampleFilter),
            Duplicates { sample: i64 },
            Selection { selection: Uuid },
            Listed { samples: Vec<i64> },
        }
        let value = Value::deserialize(deserializer)?;
        if !value.is_object() {
            return Err(D::Error::custom("a set of samples is an object with the field `of`"));
        }
        let set = match Lenient::deserialize(&value).map_err(D::Error::custom)? {
            Lenient::Suspects(filter) => Self::Suspects(filter),
            Lenient::Samples(filter) => Self::Samples(filter),
            Lenient::Duplicates { sample } => Self::Duplicates { sample },
            Lenient::Selection { selection } => Self::Selection { selection },
            Lenient::Listed { samples } => Self::Listed { samples },
        };
        // tagged enums and filters that are parts of queries cannot refuse what they do not know
        let known = serde_json::to_value(&set).map_err(D::Error::custom)?;
        let unknown = value.as_object().into_iter().flat_map(|o| o.keys()).find(|k| known.get(k).is_none());
        match unknown {
            Some(key) => Err(D::Error::custom(format!("unknown field `{key}` in a set of samples"))),
            None => Ok(set),
        }
    }
}

/// One tile of a grid.
#[derive(Clone, Debug, Serialize, FromRow, ToSchema)]
pub struct GridTile {
    /// Internal id.
    pub sample_id: i64,
    pub external_id: String,
    pub title: String,
    /// Current label.
    pub class: Option<String>,
    /// What the latest scan says of it, where it is part of it.
    pub suggested_class: Option<String>,
    pub suspicion: Option<f32>,
    pub flagged: bool,
    /// Last decision of a person, on it alone or in bulk.
    pub decision: Option<String>,
    pub excluded: bool,
    pub has_media: bool,
    pub duration_ms: Option<i32>,
    /// The label that the scan judged.
    #[serde(skip)]
    pub judged: Option<String>,
    /// Where it stands in the set.
    #[serde(skip)]
    pub place: i64,
}

impl Tells for GridTile {
    fn sample(&self) -> i64 {
        self.sample_id
    }

    fn tell(&mut self, told: &Told) {
        self.class.clone_from(&told.class);
        self.decision.clone_from(&told.decision);
        self.excluded = told.excluded;
        if self.judged.as_ref().is_some_and(|j| !j.is_empty() && !told.knows(j)) {
            (self.suggested_class, self.suspicion, self.flagged) = (None, None, false);
        }
    }
}

/// Samples that somebody picked.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Selection {
    pub id: Uuid,
    pub author: String,
    pub n_samples: i64,
    pub created_at: DateTime<Utc>,
}

const TILE: &str = "select s.id as sample_id, s.external_id, s.title, c.class, f.suggested_class, f.suspicion, \
    coalesce(f.flagged or f.audit is not null, false) as flagged, r.decision, \
    exists (select from exclusions x where x.sample_id = s.id and x.lifted_at is null) as excluded, \
    s.media_state = 'ready' as has_media, s.duration_ms, f.given_class as judged, ";

const LABELS: &str = " left join current_labels c on c.sample_id = s.id \
    left join review_status r on r.sample_id = s.id";

impl Store {
    /// Adds `from … where …` for the set: samples `s` with current labels `c`, review status `r` and findings `f`
    /// of the latest scan. Returns the column that orders the set; it grows strictly.
    ///
    /// # Errors
    /// The set names a rule, a sample or a selection that is not there.
    pub(super) async fn push_set(
        &self,
        q: &mut QueryBuilder<Postgres>,
        dataset: Uuid,
        set: &SampleSet,
        audience: Audience<'_>,
    ) -> Result<()> {
        let scan = self.latest_scan_id(dataset).await?;
        if let SampleSet::Suspects(filter) = set {
            q.push(" from ").push(source(filter)).push(" join samples s on s.id = f.sample_id").push(LABELS);
            q.push(" where s.dataset_id = ").push_bind(dataset).push(" and f.scan_id = ").push_bind(scan);
            push_kind(q, scan, filter);
            push_conditions(q, dataset, filter, audience);
            push_not_excluded(q, audience);
            return Ok(());
        }
        q.push(match set {
            SampleSet::Selection { .. } => " from selection_samples t join samples s on s.id = t.sample_id",
            _ => " from samples s",
        });
        q.push(LABELS).push(" left join findings f on f.sample_id = s.id and f.scan_id = ").push_bind(scan);
        q.push(" where s.dataset_id = ").push_bind(dataset);
        match set {
            SampleSet::Suspects(_) => {}
            SampleSet::Samples(filter) => self.push_sample_conditions(q, dataset, filter, audience).await?,
            SampleSet::Duplicates { sample } => {
                let ids = self.near_duplicates(dataset, scan, *sample).await?;
                q.push(" and s.id = any(").push_bind(ids).push(")");
            }
            SampleSet::Selection { selection } => {
                let id = self.selection(dataset, *selection).await?.id;
                q.push(" and t.selection_id = ").push_bind(id);
            }
            SampleSet::Listed { samples } => {
                q.push(" and s.id = any(").push_bind(samples.clone()).push(")");
            }
        }
        Ok(())
    }

    /// The samples of the set after `after` (`place` of a tile; 0: from the top). A page costs the same however
    /// deep it lies.
    ///
    /// # Errors
    /// As [`Self::push_set`].
    pub async fn set_tiles(
        &self,
        dataset: Uuid,
        set: &SampleSet,
        audience: Audience<'_>,
        after: i64,
        limit: i64,
    ) -> Result<Page<GridTile>> {
        let place = place(set);
        let mut q = QueryBuilder::new(TILE);
        q.push(place).push("::bigint as place");
        self.push_set(&mut q, dataset, set, audience).await?;
        q.push(" and ").push(place).push(" > ").push_bind(after);
        q.push(" order by ").push(place).push(" limit ").push_bind(limit + 1);
        let mut tiles: Vec<GridTile> = q.build_query_as().fetch_all(&mut *self.patient().await?).await?;
        self.tell(dataset, audience, &mut tiles).await?;
        Ok(Page::cut(tiles, limit, |t| t.place.to_string()))
    }

    /// Samples of the set; where no number of it is kept it is walked through once.
    ///
    /// # Errors
    /// As [`Self::push_set`].
    pub async fn set_size(&self, dataset: Uuid, set: &SampleSet, audience: Audience<'_>) -> Result<i64> {
        if let SampleSet::Selection { selection } = set {
            return Ok(self.selection(dataset, *selection).await?.n_samples);
        }
        let mut q = QueryBuilder::new("select count(*)");
        match (set, self.latest_scan_id(dataset).await?) {
            (SampleSet::Suspects(filter), Some(scan)) => {
                self.push_listed(&mut q, dataset, scan, filter, audience).await?;
            }
            _ => self.push_set(&mut q, dataset, set, audience).await?,
        }
        Ok(q.build_query_scalar().fetch_one(&mut *self.patient().await?).await?)
    }

    /// The sample itself and, where the scan found any, its near-duplicates. Members of a group stand next to
    /// each other in the order of their kind of issue, and each lists the first of the others.
    async fn near_duplicates(&self, dataset: Uuid, scan: Option<Uuid>, sample: i64) -> Result<Vec<i64>> {
        let mut ids = sqlx::query_scalar!(
            r#"with me as (
                 select i.rank, (i.facts ->> 'n')::int as n,
                   array(select e::bigint from jsonb_array_elements_text(i.facts -> 'samples') e) || i.sample_id as ids
                 from finding_issues i join samples s on s.id = i.sample_id
                 where i.scan_id = $2 and i.sample_id = $3 and i.kind = 'near_duplicate' and s.dataset_id = $1)
               select x.sample_id from me join finding_issues x on x.scan_id = $2 and x.kind = 'near_duplicate'
                 and x.rank between me.rank - me.n and me.rank + me.n
               where x.sample_id = any(me.ids)
                 or exists (select from jsonb_array_elements_text(x.facts -> 'samples') e where e::bigint = any(me.ids))"#,
            dataset,
            scan,
            sample
        )
        .fetch_all(&self.pool)
        .await?;
        if !ids.contains(&sample) {
            ids.push(sample);
        }
        Ok(ids)
    }

    /// Keeps a selection of the dataset's samples; ids that are not its are left out.
    ///
    /// # Errors
    /// None of the ids is a sample of the dataset.
    pub async fn insert_selection(&self, dataset: Uuid, author: &str, samples: &[i64]) -> Result<Selection> {
        let mut tx = self.pool.begin().await?;
        let id = Uuid::now_v7();
        sqlx::query!(
            "insert into selections (id, dataset_id, author, n_samples) values ($1, $2, $3, 0)",
            id,
            dataset,
            author
        )
        .execute(&mut *tx)
        .await?;
        let n_samples = sqlx::query!(
            "insert into selection_samples (selection_id, sample_id)
             select distinct $1::uuid, s.id from unnest($3::bigint[]) w(id) join samples s on s.id = w.id
             where s.dataset_id = $2 order by s.id",
            id,
            dataset,
            samples
        )
        .execute(&mut *tx)
        .await?
        .rows_affected()
        .cast_signed();
        if n_samples == 0 {
            let message = "none of these is a sample of this dataset".to_owned();
            return Err(StoreError::Rule { field: "samples", code: "empty_selection", message });
        }
        let created_at = sqlx::query_scalar!(
            "update selections set n_samples = $2 where id = $1 returning created_at",
            id,
            n_samples
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Selection { id, author: author.to_owned(), n_samples, created_at })
    }

    pub async fn selection(&self, dataset: Uuid, id: Uuid) -> Result<Selection> {
        sqlx::query_as!(
            Selection,
            "select id, author, n_samples, created_at from selections where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("selection", id.to_string()))
    }
}

/// The column that orders a set; it grows strictly.
pub(super) fn place(set: &SampleSet) -> &'static str {
    match set {
        SampleSet::Suspects(filter) => suspects::place(filter),
        SampleSet::Selection { .. } => "t.sample_id",
        _ => "s.id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<SampleSet, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_misspelt_filter_is_no_filter() {
        let cell = read(r#"{"of": "suspects", "given": "cat", "suggested": "ski", "all": true}"#).unwrap();
        let SampleSet::Suspects(filter) = &cell else { panic!("{cell:?}") };
        assert_eq!((filter.given.as_deref(), filter.suggested.as_deref()), (Some("cat"), Some("ski")));
        let again = serde_json::to_string(&cell).unwrap();
        assert_eq!(read(&again).unwrap(), cell);
        for bad in [
            r#"{"of": "suspects", "cluter": 3}"#,
            r#"{"of": "samples", "given": "cat"}"#,
            r#"{"of": "selection"}"#,
            r#"{"of": "everything"}"#,
            r#"{"given": "cat"}"#,
            r#"{"of": "suspects", "issue": "none"}"#,
            r#"["suspects"]"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
