//! Samples: reading them one by one, in pages, and in the batches that jobs work through.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::telling::{Audience, Tells, Told, push_excluded, push_nothing_hidden};
use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::{Field, Gap, LabelSource, MediaState, OcrLine, SampleText, Split};

/// A sample with its labels, as pages and API show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Sample {
    pub id: i64,
    pub external_id: String,
    #[serde(flatten)]
    pub text: SampleText,
    pub split: Split,
    pub media_state: MediaState,
    /// Code of the reason when the media are bad.
    pub media_error: Option<String>,
    #[serde(skip)]
    pub media_blob: Option<String>,
    #[serde(skip)]
    pub media_type: Option<String>,
    #[serde(skip)]
    pub poster_blob: Option<String>,
    #[serde(skip)]
    pub strip_blob: Option<String>,
    pub duration_ms: Option<i32>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub fps: Option<f32>,
    pub given_class: Option<String>,
    pub current_class: Option<String>,
    pub label_source: Option<LabelSource>,
    pub label_author: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
    /// Decision of the last review, if there was one.
    pub review: Option<String>,
    /// Rules that flag it.
    pub flagged_by: Vec<String>,
    /// Rules that leave it out of snapshots, scans, trainings and exports.
    pub excluded_by: Vec<String>,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    external_id: String,
    title: String,
    asr: String,
    ocr: Json<Vec<OcrLine>>,
    split: String,
    media_state: String,
    media_error: Option<String>,
    media_blob: Option<String>,
    media_type: Option<String>,
    poster_blob: Option<String>,
    strip_blob: Option<String>,
    duration_ms: Option<i32>,
    width: Option<i32>,
    height: Option<i32>,
    fps: Option<f32>,
    given_class: Option<String>,
    current_class: Option<String>,
    label_source: Option<String>,
    label_author: Option<String>,
    decided_at: Option<DateTime<Utc>>,
    review: Option<String>,
    flagged_by: Vec<String>,
    excluded_by: Vec<String>,
}

impl TryFrom<Row> for Sample {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        Ok(Self {
            id: r.id,
            external_id: r.external_id,
            text: SampleText { title: r.title, asr: r.asr, ocr: r.ocr.0 },
            split: keyword("split", &r.split, Split::parse)?,
            media_state: keyword("media state", &r.media_state, MediaState::parse)?,
            media_error: r.media_error,
            media_blob: r.media_blob,
            media_type: r.media_type,
            poster_blob: r.poster_blob,
            strip_blob: r.strip_blob,
            duration_ms: r.duration_ms,
            width: r.width,
            height: r.height,
            fps: r.fps,
            given_class: r.given_class,
            current_class: r.current_class,
            label_source: r
                .label_source
                .map(|s| keyword("label source", &s, LabelSource::parse))
                .transpose()?,
            label_author: r.label_author,
            decided_at: r.decided_at,
            review: r.review,
            flagged_by: r.flagged_by,
            excluded_by: r.excluded_by,
        })
    }
}

impl Tells for Sample {
    fn sample(&self) -> i64 {
        self.id
    }

    fn tell(&mut self, told: &Told) {
        told.tell(self);
    }
}

/// Which samples a list shows; the parts are joined by "and".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct SampleFilter {
    /// Current label is this class. Annotators find no samples here that somebody else has decided and that they may
    /// be asked about without knowing.
    pub class: Option<String>,
    pub split: Option<Split>,
    /// Only samples that lack this.
    #[param(inline)]
    pub missing: Option<Gap>,
    /// Only samples that this rule (its name) hits in runs that stand, or that this run (its id) hit.
    pub rule: Option<String>,
    /// Only samples that are excluded (true), or only the others (false).
    pub excluded: Option<bool>,
    /// Title, speech text, OCR or external id hold this, letters of either case. Reads the texts of the samples
    /// one after the other until the page is full; `took_too_long` after ten seconds.
    pub text: Option<String>,
}

const COLUMNS: &str = "select s.id, s.external_id, s.title, s.asr, s.ocr, s.split, s.media_state, s.media_error, \
    s.media_blob, s.media_type, s.poster_blob, s.strip_blob, s.duration_ms, s.width, s.height, s.fps, c.given_class, \
    c.class as current_class, c.source as label_source, c.author as label_author, c.decided_at, \
    r.decision as review, rules_flagging(s.id) as flagged_by, rules_excluding(s.id) as excluded_by \
    from samples s left join current_labels c on c.sample_id = s.id \
    left join review_status r on r.sample_id = s.id where s.dataset_id = ";

/// Texts of one sample, for the encoders.
#[derive(Clone, Debug)]
pub struct TextRow {
    pub id: i64,
    pub text: SampleText,
}

/// A sample whose media wait for poster and strip.
#[derive(Clone, Debug)]
pub struct MediaRow {
    pub id: i64,
    pub external_id: String,
    pub media_path: Option<String>,
    pub media_blob: Option<String>,
    pub strip_blob: Option<String>,
}

/// Where the media of one import stand, in samples.
#[derive(Clone, Copy, Debug, Default)]
pub struct MediaCounts {
    pub to_store: i64,
    pub to_inspect: i64,
    pub ready: i64,
    pub bad: i64,
}

/// Which fields of a sample hold something to encode.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    pub id: i64,
    pub frames: bool,
    pub title: bool,
    pub asr: bool,
    pub ocr: bool,
}

impl Present {
    pub fn holds(&self, field: Field) -> bool {
        match field {
            Field::Frames => self.frames,
            Field::Title => self.title,
            Field::Asr => self.asr,
            Field::Ocr => self.ocr,
        }
    }
}

/// What inspection found.
#[derive(Clone, Debug)]
pub struct Inspected {
    pub media_type: Option<String>,
    pub poster_blob: String,
    pub strip_blob: String,
    pub duration_ms: i32,
    pub width: i32,
    pub height: i32,
    pub fps: f32,
}

impl Store {
    /// Internal id of a sample, named as for [`Store::sample`].
    pub async fn sample_id(&self, dataset: Uuid, key: &str) -> Result<i64> {
        let id = key.strip_prefix('#').and_then(|k| k.parse::<i64>().ok());
        sqlx::query_scalar!(
            "select id from samples where dataset_id = $1 and (external_id = $2 or id = $3)
             order by (external_id = $2) desc limit 1",
            dataset,
            key,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("sample", key))
    }

    /// Dataset and sample of an address, named as for [`Store::dataset`] and [`Store::sample`], and whether the dataset
    /// has this scan.
    pub async fn place_of(&self, dataset: &str, key: &str, scan: Option<Uuid>) -> Result<(Uuid, i64, bool)> {
        let row = sqlx::query!(
            r#"select d.id, exists (select from scans where dataset_id = d.id and id = $5) as "scanned!",
                 (select s.id from samples s where s.dataset_id = d.id and (s.external_id = $3 or s.id = $4)
                  order by (s.external_id = $3) desc limit 1) as "sample?"
               from datasets d where d.name = $1 or d.id = $2 order by (d.id = $2) desc limit 1"#,
            dataset,
            Uuid::parse_str(dataset).ok(),
            key,
            key.strip_prefix('#').and_then(|k| k.parse::<i64>().ok()),
            scan
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("dataset", dataset))?;
        let sample = row.sample.ok_or_else(|| StoreError::not_found("sample", key))?;
        Ok((row.id, sample, row.scanned))
    }

    /// As the audience may know it; named as for [`Store::sample`].
    pub async fn sample_told(&self, dataset: Uuid, key: &str, audience: Audience<'_>) -> Result<Sample> {
        let mut sample = self.sample(dataset, key).await?;
        self.tell(dataset, audience, std::slice::from_mut(&mut sample)).await?;
        Ok(sample)
    }

    /// By external id, or by `#` and the internal id.
    pub async fn sample(&self, dataset: Uuid, key: &str) -> Result<Sample> {
        let id = key.strip_prefix('#').and_then(|k| k.parse::<i64>().ok());
        sqlx::query_as!(
            Row,
            r#"select s.id, s.external_id, s.title, s.asr, s.ocr as "ocr: Json<Vec<OcrLine>>", s.split, s.media_state,
                 s.media_error, s.media_blob, s.media_type, s.poster_blob, s.strip_blob, s.duration_ms, s.width, s.height,
                 s.fps, c.given_class, c.class as "current_class?", c.source as "label_source?",
                 c.author as "label_author?", c.decided_at, r.decision as "review?",
                 rules_flagging(s.id) as "flagged_by!", rules_excluding(s.id) as "excluded_by!"
               from samples s left join current_labels c on c.sample_id = s.id
               left join review_status r on r.sample_id = s.id
               where s.dataset_id = $1 and (s.external_id = $2 or s.id = $3)
               order by (s.external_id = $2) desc limit 1"#,
            dataset,
            key,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("sample", key))?
        .try_into()
    }

    /// Several by internal id, in the order asked for; unknown ids are left out.
    pub async fn samples_by_id(&self, dataset: Uuid, ids: &[i64]) -> Result<Vec<Sample>> {
        sqlx::query_as!(
            Row,
            r#"select s.id, s.external_id, s.title, s.asr, s.ocr as "ocr: Json<Vec<OcrLine>>", s.split, s.media_state,
                 s.media_error, s.media_blob, s.media_type, s.poster_blob, s.strip_blob, s.duration_ms, s.width, s.height,
                 s.fps, c.given_class, c.class as "current_class?", c.source as "label_source?",
                 c.author as "label_author?", c.decided_at, r.decision as "review?",
                 rules_flagging(s.id) as "flagged_by!", rules_excluding(s.id) as "excluded_by!"
               from unnest($2::bigint[]) with ordinality as w(id, n) join samples s on s.id = w.id
               left join current_labels c on c.sample_id = s.id
               left join review_status r on r.sample_id = s.id
               where s.dataset_id = $1 order by w.n"#,
            dataset,
            ids
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Sample::try_from)
        .collect()
    }

    /// In id order after `after`.
    ///
    /// # Errors
    /// The filter names a rule that is not there.
    pub async fn samples(
        &self,
        dataset: Uuid,
        filter: &SampleFilter,
        audience: Audience<'_>,
        after: i64,
        limit: i64,
    ) -> Result<Page<Sample>> {
        let mut q = QueryBuilder::new(COLUMNS);
        q.push_bind(dataset).push(" and s.id > ").push_bind(after);
        self.push_sample_conditions(&mut q, dataset, filter, audience).await?;
        q.push(" order by s.id limit ").push_bind(limit + 1);
        let rows: Vec<Row> = match &filter.text {
            Some(_) => q.build_query_as().fetch_all(&mut *self.patient().await?).await?,
            None => q.build_query_as().fetch_all(&self.pool).await?,
        };
        let mut samples = rows.into_iter().map(Sample::try_from).collect::<Result<Vec<_>>>()?;
        self.tell(dataset, audience, &mut samples).await?;
        Ok(Page::cut(samples, limit, |s| s.id.to_string()))
    }

    /// Adds what a filter asks of a sample `s`, its current label `c` and its review status `r`.
    ///
    /// # Errors
    /// The filter names a rule that is not there.
    pub(super) async fn push_sample_conditions(
        &self,
        q: &mut QueryBuilder<Postgres>,
        dataset: Uuid,
        filter: &SampleFilter,
        audience: Audience<'_>,
    ) -> Result<()> {
        if let Some(class) = &filter.class {
            q.push(" and c.class = ").push_bind(class.clone());
            push_nothing_hidden(q, audience);
        }
        if let Some(split) = filter.split {
            q.push(" and s.split = ").push_bind(split.as_str());
        }
        if let Some(gap) = filter.missing {
            q.push(match gap {
                Gap::Label => " and c.class is null",
                Gap::Title => " and s.title = ''",
                Gap::Asr => " and s.asr = ''",
                Gap::Ocr => " and s.ocr = '[]'",
                Gap::Media => " and s.media_blob is null and s.media_state = 'none'",
                Gap::BadMedia => " and s.media_state = 'bad'",
                Gap::MediaPending => " and s.media_state = 'none' and s.media_blob is not null",
            });
        }
        if let Some(rule) = &filter.rule {
            let runs = self.runs_named(dataset, rule).await?;
            q.push(" and s.id in (select h.sample_id from rule_hits h where h.run_id = any(")
                .push_bind(runs)
                .push("))");
        }
        if let Some(excluded) = filter.excluded {
            q.push(if excluded { " and " } else { " and not " });
            push_excluded(q, "s.id", audience);
        }
        if let Some(text) = &filter.text {
            // a search is for letters: what is special to `like` stands for itself
            let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            q.push(" and (s.title || ' ' || s.external_id || ' ' || s.asr || ' ' || s.ocr::text) ilike ")
                .push_bind(format!("%{escaped}%"));
        }
        Ok(())
    }

    /// Texts in id order after `after`, for jobs that walk a whole dataset in constant memory.
    pub async fn text_rows(&self, dataset: Uuid, after: i64, limit: i64) -> Result<Vec<TextRow>> {
        let rows = sqlx::query!(
            r#"select id, title, asr, ocr as "ocr: Json<Vec<OcrLine>>" from samples
               where dataset_id = $1 and id > $2 order by id limit $3"#,
            dataset,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|r| TextRow { id: r.id, text: SampleText { title: r.title, asr: r.asr, ocr: r.ocr.0 } })
            .collect())
    }

    /// Texts of these samples, in no order.
    pub async fn texts_of(&self, dataset: Uuid, samples: &[i64]) -> Result<Vec<TextRow>> {
        let rows = sqlx::query!(
            r#"select id, title, asr, ocr as "ocr: Json<Vec<OcrLine>>" from samples
               where dataset_id = $1 and id = any($2)"#,
            dataset,
            samples
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|r| TextRow { id: r.id, text: SampleText { title: r.title, asr: r.asr, ocr: r.ocr.0 } })
            .collect())
    }

    /// Samples that nobody gave a label, in id order: neither excluded nor of the validation or test split.
    pub async fn unlabelled(&self, dataset: Uuid) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar!(
            "select s.id from samples s left join current_labels c on c.sample_id = s.id
             where s.dataset_id = $1 and c.class is null and s.split in ('train', 'unlabelled')
               and not exists (select from exclusions e where e.sample_id = s.id and e.lifted_at is null)
             order by s.id",
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Samples of an import with a path but no blob yet, in id order after `after`.
    pub async fn media_to_store(&self, import: Uuid, after: i64, limit: i64) -> Result<Vec<MediaRow>> {
        Ok(sqlx::query_as!(
            MediaRow,
            "select id, external_id, media_path, media_blob, strip_blob from samples
             where media_job = $1 and id > $2 and media_path is not null and media_blob is null and media_state = 'none'
             order by id limit $3",
            import,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Samples of an import whose stored media have not been looked at, in id order after `after`.
    pub async fn media_to_inspect(&self, import: Uuid, after: i64, limit: i64) -> Result<Vec<MediaRow>> {
        Ok(sqlx::query_as!(
            MediaRow,
            "select id, external_id, media_path, media_blob, strip_blob from samples
             where media_job = $1 and id > $2 and media_blob is not null and media_state = 'none'
             order by id limit $3",
            import,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Samples with decodable media, in id order after `after`.
    pub async fn media_ready(&self, dataset: Uuid, after: i64, limit: i64) -> Result<Vec<MediaRow>> {
        Ok(sqlx::query_as!(
            MediaRow,
            "select id, external_id, media_path, media_blob, strip_blob from samples
             where dataset_id = $1 and id > $2 and media_state = 'ready' order by id limit $3",
            dataset,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Those of these samples whose clips are ready, in no order.
    pub async fn media_of(&self, dataset: Uuid, samples: &[i64]) -> Result<Vec<MediaRow>> {
        Ok(sqlx::query_as!(
            MediaRow,
            "select id, external_id, media_path, media_blob, strip_blob from samples
             where dataset_id = $1 and id = any($2) and media_state = 'ready'",
            dataset,
            samples
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// How many samples of an import wait in [`Self::media_to_store`] and [`Self::media_to_inspect`], and
    /// how many are ready and bad.
    pub async fn media_of_import(&self, import: Uuid) -> Result<MediaCounts> {
        Ok(sqlx::query_as!(
            MediaCounts,
            r#"select count(*) filter (where media_state = 'none' and media_blob is null) as "to_store!",
                 count(*) filter (where media_state = 'none' and media_blob is not null) as "to_inspect!",
                 count(*) filter (where media_state in ('ready', 'features')) as "ready!",
                 count(*) filter (where media_state = 'bad') as "bad!"
               from samples where media_job = $1"#,
            import
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Makes an import the one that brings the sample's media.
    pub async fn take_media(&self, import: Uuid, sample: i64) -> Result<()> {
        sqlx::query!("update samples set media_job = $1 where id = $2", import, sample)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Nothing, when another import has taken the sample's media over. So do the two below.
    pub async fn set_media_blob(&self, import: Uuid, sample: i64, blob: &str) -> Result<()> {
        sqlx::query!(
            "update samples set media_blob = $3, media_state = 'none', media_error = null, updated_at = now()
             where id = $2 and media_job = $1",
            import,
            sample,
            blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn set_media_ready(&self, import: Uuid, sample: i64, m: &Inspected) -> Result<()> {
        sqlx::query!(
            "update samples set media_state = 'ready', media_error = null, media_type = $3, poster_blob = $4,
               strip_blob = $5, duration_ms = $6, width = $7, height = $8, fps = $9, updated_at = now()
             where id = $2 and media_job = $1",
            import,
            sample,
            m.media_type,
            m.poster_blob,
            m.strip_blob,
            m.duration_ms,
            m.width,
            m.height,
            m.fps
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn set_media_bad(&self, import: Uuid, sample: i64, code: &str) -> Result<()> {
        sqlx::query!(
            "update samples set media_state = 'bad', media_error = $3, updated_at = now()
             where id = $2 and media_job = $1",
            import,
            sample,
            code
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Precomputed features, of this import, stand in for the media of these samples.
    pub async fn set_media_features(&self, import: Uuid, samples: &[i64]) -> Result<()> {
        sqlx::query!(
            "update samples set media_state = 'features', media_error = null, media_job = $1, updated_at = now()
             where id = any($2)",
            import,
            samples
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Those of these samples of which the last word that stands is that they fit no class, in no order.
    pub async fn fitting_no_class(&self, dataset: Uuid, samples: &[i64]) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar!(
            r#"select sample_id from (
                 select distinct on (r.sample_id) r.sample_id, r.decision
                 from reviews r join standing_reviews s on s.id = r.id
                 where r.dataset_id = $1 and r.sample_id = any($2) order by r.sample_id, r.id desc) last
               where decision = 'out_of_taxonomy'"#,
            dataset,
            samples
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// What each of these samples (none: of all) holds now; vectors of what it held before do not count.
    pub async fn present_fields(&self, dataset: Uuid, samples: Option<&[i64]>) -> Result<Vec<Present>> {
        Ok(sqlx::query_as!(
            Present,
            r#"select id, media_state in ('ready', 'features') as "frames!", title <> '' as "title!", asr <> '' as "asr!",
                 ocr <> '[]' as "ocr!" from samples where dataset_id = $1 and ($2::bigint[] is null or id = any($2))"#,
            dataset,
            samples as Option<&[i64]>
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The samples of the validation and test splits, which nothing is trained on.
    pub async fn held_out(&self, dataset: Uuid) -> Result<HashMap<i64, Split>> {
        sqlx::query!(
            "select id, split from samples where dataset_id = $1 and split in ('validation', 'test')",
            dataset
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|r| Ok((r.id, keyword("split", &r.split, Split::parse)?)))
        .collect()
    }

    /// Internal ids of external ids: `(external id, id)`, unknown ones left out.
    pub async fn sample_ids(&self, dataset: Uuid, external: &[String]) -> Result<Vec<(String, i64)>> {
        Ok(sqlx::query!(
            "select external_id, id from samples where dataset_id = $1 and external_id = any($2)",
            dataset,
            external
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|r| (r.external_id, r.id))
        .collect())
    }
}
