//! Labelling guides: what each class is and where it ends, version upon version, and the rulings on
//! doubtful cases. Nothing is changed or deleted.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};
use crate::domain::SafeHtml;
use crate::domain::markdown::html_of;

/// Most samples that one ruling is about.
pub const MOST_SAMPLES: usize = 50;

/// One version of a class's guide, or of the whole dataset's (`class` empty).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Guide {
    /// A node of the taxonomy; empty for the dataset's own guide.
    pub class: String,
    /// From 1.
    pub version: i32,
    /// What belongs to the class: Markdown.
    pub markdown: String,
    /// Where it ends and what is next to it: Markdown.
    pub boundary: String,
    pub author: String,
    pub reason: String,
    pub created_at: DateTime<Utc>,
}

impl Guide {
    /// What belongs to the class, to be shown as it is.
    pub fn definition_html(&self) -> SafeHtml {
        html_of(&self.markdown)
    }

    /// Where it ends, to be shown as it is.
    pub fn boundary_html(&self) -> SafeHtml {
        html_of(&self.boundary)
    }
}

/// A version on its way in.
#[derive(Clone, Debug)]
pub struct NewGuide {
    pub markdown: String,
    pub boundary: String,
    pub author: String,
    pub reason: String,
    /// The version that it was written on; 0 where there was none.
    pub base: i32,
}

/// What there is of one class.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct GuideHead {
    /// A node of the taxonomy; empty for the dataset's own guide.
    pub class: String,
    /// 0: rulings only.
    pub version: i32,
    pub decisions: i64,
    pub author: Option<String>,
    pub updated_at: Option<DateTime<Utc>>,
}

/// How a doubtful case was settled.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ruling {
    pub id: i64,
    pub class: String,
    /// Markdown.
    pub text: String,
    pub author: String,
    pub created_at: DateTime<Utc>,
    /// External ids of the samples that it was about.
    pub samples: Vec<String>,
    /// Their internal ids, in the same order.
    pub sample_ids: Vec<i64>,
}

impl Ruling {
    /// The text, to be shown as it is.
    pub fn html(&self) -> SafeHtml {
        html_of(&self.text)
    }
}

impl Store {
    /// The guide as it stands; `class` is a node of the taxonomy, or empty for the dataset's own.
    pub async fn guide(&self, dataset: Uuid, class: &str) -> Result<Option<Guide>> {
        Ok(sqlx::query_as!(
            Guide,
            "select class, version, markdown, boundary, author, reason, created_at from guides
             where dataset_id = $1 and class = $2 order by version desc limit 1",
            dataset,
            class
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// The guides of those of `classes` that have one, as they stand.
    pub async fn guides_of(&self, dataset: Uuid, classes: &[String]) -> Result<Vec<Guide>> {
        Ok(sqlx::query_as!(
            Guide,
            "select distinct on (class) class, version, markdown, boundary, author, reason, created_at from guides
             where dataset_id = $1 and class = any($2) order by class, version desc",
            dataset,
            classes
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// One version of it.
    pub async fn guide_version(&self, dataset: Uuid, class: &str, version: i32) -> Result<Guide> {
        sqlx::query_as!(
            Guide,
            "select class, version, markdown, boundary, author, reason, created_at from guides
             where dataset_id = $1 and class = $2 and version = $3",
            dataset,
            class,
            version
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("version", version.to_string()))
    }

    /// Newest first; `before` is the last version of the page before.
    pub async fn guide_versions(
        &self,
        dataset: Uuid,
        class: &str,
        before: Option<i32>,
        limit: i64,
    ) -> Result<Page<Guide>> {
        let rows = sqlx::query_as!(
            Guide,
            "select class, version, markdown, boundary, author, reason, created_at from guides
             where dataset_id = $1 and class = $2 and ($3::int is null or version < $3)
             order by version desc limit $4",
            dataset,
            class,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |g| g.version.to_string()))
    }

    /// Classes with a guide or a ruling, the dataset's own first, then by id. At most one a taxonomy node.
    pub async fn guides(&self, dataset: Uuid) -> Result<Vec<GuideHead>> {
        Ok(sqlx::query_as!(
            GuideHead,
            r#"select coalesce(g.class, d.class) as "class!", coalesce(g.version, 0) as "version!",
                 coalesce(d.n, 0) as "decisions!", g.author as "author?", g.created_at as "updated_at?"
               from (select distinct on (class) class, version, author, created_at from guides
                     where dataset_id = $1 order by class, version desc) g
               full join (select class, count(*) as n from guide_decisions where dataset_id = $1 group by class) d
                 on d.class = g.class
               order by 1"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// A new version on top of the one it was written on; the same texts again change nothing.
    ///
    /// # Errors
    /// An unknown class; `guide_changed` when somebody wrote a version meanwhile.
    pub async fn put_guide(&self, dataset: Uuid, class: &str, new: &NewGuide) -> Result<Guide> {
        let mut tx = self.pool.begin().await?;
        // one edit at a time
        sqlx::query!("select id from datasets where id = $1 for no key update", dataset)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::not_found("dataset", dataset.to_string()))?;
        check_node(&mut tx, dataset, class).await?;
        let newest = sqlx::query_as!(
            Guide,
            "select class, version, markdown, boundary, author, reason, created_at from guides
             where dataset_id = $1 and class = $2 order by version desc limit 1",
            dataset,
            class
        )
        .fetch_optional(&mut *tx)
        .await?;
        let version = newest.as_ref().map_or(0, |g| g.version);
        if let Some(same) = newest.filter(|g| g.markdown == new.markdown && g.boundary == new.boundary) {
            return Ok(same);
        }
        if version != new.base {
            return Err(StoreError::Conflict {
                code: "guide_changed",
                message: format!(
                    "this was written on version {}, but there is a version {version} now",
                    new.base
                ),
            });
        }
        let guide = sqlx::query_as!(
            Guide,
            "insert into guides (dataset_id, class, version, markdown, boundary, author, reason)
             values ($1, $2, $3, $4, $5, $6, $7)
             returning class, version, markdown, boundary, author, reason, created_at",
            dataset,
            class,
            version + 1,
            new.markdown,
            new.boundary,
            new.author,
            new.reason
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(guide)
    }

    /// Notes a ruling on `samples` (external ids, or `#` and the internal id), none twice.
    ///
    /// # Errors
    /// An unknown class or sample.
    pub async fn add_ruling(
        &self,
        dataset: Uuid,
        class: &str,
        text: &str,
        samples: &[String],
        author: &str,
    ) -> Result<Ruling> {
        let mut ids: Vec<i64> = Vec::with_capacity(samples.len());
        for key in samples {
            let sample = match self.sample(dataset, key).await {
                Err(StoreError::NotFound { .. }) => {
                    return Err(StoreError::Rule {
                        field: "samples",
                        code: "unknown_sample",
                        message: format!("there is no sample {key:?}"),
                    });
                }
                other => other?,
            };
            if !ids.contains(&sample.id) {
                ids.push(sample.id);
            }
        }
        let mut tx = self.pool.begin().await?;
        check_node(&mut tx, dataset, class).await?;
        let id = sqlx::query_scalar!(
            "insert into guide_decisions (dataset_id, class, text, author) values ($1, $2, $3, $4) returning id",
            dataset,
            class,
            text,
            author
        )
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into guide_decision_samples (decision_id, sample_id) select $1, unnest($2::bigint[])",
            id,
            &ids
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let page = self.rulings(dataset, class, Some(id + 1), 1).await?;
        page.items.into_iter().next().ok_or_else(|| StoreError::not_found("ruling", id.to_string()))
    }

    /// Newest first; `before` is the id of the last one of the page before.
    pub async fn rulings(
        &self,
        dataset: Uuid,
        class: &str,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<Ruling>> {
        let rows = sqlx::query_as!(
            Ruling,
            r#"select d.id, d.class, d.text, d.author, d.created_at,
                 array(select s.external_id from guide_decision_samples l join samples s on s.id = l.sample_id
                       where l.decision_id = d.id order by s.id) as "samples!",
                 array(select l.sample_id from guide_decision_samples l where l.decision_id = d.id
                       order by l.sample_id) as "sample_ids!"
               from guide_decisions d
               where d.dataset_id = $1 and d.class = $2 and ($3::bigint is null or d.id < $3)
               order by d.id desc limit $4"#,
            dataset,
            class,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |r| r.id.to_string()))
    }
}

/// A node of the taxonomy, or empty.
async fn check_node(tx: &mut sqlx::PgConnection, dataset: Uuid, class: &str) -> Result<()> {
    let known = sqlx::query_scalar!(
        r#"select $2 = '' or exists (select from taxonomy_nodes where dataset_id = $1 and node = $2) as "known!""#,
        dataset,
        class
    )
    .fetch_one(tx)
    .await?;
    if known { Ok(()) } else { Err(StoreError::not_found("class", class)) }
}
