//! Maps of the embeddings, and what is known of their points now.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::telling::{Audience, Tells, Told};
use super::{Result, Store, StoreError, keyword};
use crate::domain::MapMethod;

/// Where the samples lie on a plane.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Map {
    /// That of the job that made it.
    pub id: Uuid,
    pub method: MapMethod,
    pub n_samples: i64,
    #[serde(skip)]
    pub blob: String,
    /// What went in (`fields`) and how well it came out (`neighbours_kept`, in [0, 1]).
    pub facts: Value,
    pub created_at: DateTime<Utc>,
}

/// What is known of one sample now.
#[derive(Clone, Debug)]
pub struct Mark {
    pub sample_id: i64,
    /// Column of the current class in the taxonomy.
    pub class: Option<i32>,
    pub cluster: Option<i32>,
    /// In [0, 1].
    pub suspicion: Option<f32>,
    /// 0 open, 1 kept, 2 relabelled, 3 unsure, 4 decided otherwise, 5 excluded.
    pub status: i32,
    /// The label that the scan judged.
    pub judged: Option<String>,
}

fn status(decision: Option<&str>, excluded: bool) -> i32 {
    match decision {
        _ if excluded => 5,
        None => 0,
        Some("keep") => 1,
        Some("relabel") => 2,
        Some("unsure") => 3,
        Some(_) => 4,
    }
}

impl Tells for Mark {
    fn sample(&self) -> i64 {
        self.sample_id
    }

    fn tell(&mut self, told: &Told) {
        self.class = told.class_index;
        self.status = status(told.decision.as_deref(), told.excluded);
        if self.judged.as_ref().is_some_and(|j| !j.is_empty() && !told.knows(j)) {
            self.suspicion = None;
        }
    }
}

struct Row {
    id: Uuid,
    method: String,
    n_samples: i64,
    blob: String,
    facts: Value,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Map {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        Ok(Self {
            id: r.id,
            method: keyword("map method", &r.method, MapMethod::parse)?,
            n_samples: r.n_samples,
            blob: r.blob,
            facts: r.facts,
            created_at: r.created_at,
        })
    }
}

impl Store {
    /// A second time for the same id changes nothing.
    pub async fn insert_map(&self, dataset: Uuid, map: &Map) -> Result<()> {
        sqlx::query!(
            "insert into maps (id, dataset_id, method, n_samples, blob, facts) values ($1, $2, $3, $4, $5, $6)
             on conflict (id) do nothing",
            map.id,
            dataset,
            map.method.as_str(),
            map.n_samples,
            map.blob,
            map.facts
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn latest_map(&self, dataset: Uuid) -> Result<Option<Map>> {
        sqlx::query_as!(
            Row,
            "select id, method, n_samples, blob, facts, created_at from maps where dataset_id = $1
             order by created_at desc, id desc limit 1",
            dataset
        )
        .fetch_optional(&self.pool)
        .await?
        .map(Map::try_from)
        .transpose()
    }

    pub async fn map(&self, dataset: Uuid, id: Uuid) -> Result<Map> {
        sqlx::query_as!(
            Row,
            "select id, method, n_samples, blob, facts, created_at from maps where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("map", id.to_string()))?
        .try_into()
    }

    /// Of the samples with ids from `first` to `last`, in id order, by the latest scan. One pass over them.
    pub async fn marks(
        &self,
        dataset: Uuid,
        audience: Audience<'_>,
        first: i64,
        last: i64,
    ) -> Result<Vec<Mark>> {
        let rows = sqlx::query!(
            r#"select s.id as "sample_id!", n.class_index as "class?", f.cluster as "cluster?", f.suspicion as "suspicion?",
                 r.decision as "decision?", x.sample_id is not null as "excluded!",
                 case when r.decision is not null then f.given_class end as judged
               from samples s
               left join current_labels c on c.sample_id = s.id
               left join taxonomy_nodes n on n.dataset_id = s.dataset_id and n.node = c.class
               left join findings f on f.sample_id = s.id and f.scan_id =
                 (select id from scans where dataset_id = $1 order by seq desc limit 1)
               left join review_status r on r.sample_id = s.id
               left join (select distinct sample_id from exclusions where lifted_at is null) x on x.sample_id = s.id
               where s.dataset_id = $1 and s.id between $2 and $3 order by s.id"#,
            dataset,
            first,
            last
        )
        .fetch_all(&self.pool)
        .await?;
        let mut marks: Vec<Mark> = rows
            .into_iter()
            .map(|r| Mark {
                status: status(r.decision.as_deref(), r.excluded),
                sample_id: r.sample_id,
                class: r.class,
                cluster: r.cluster,
                suspicion: r.suspicion,
                judged: r.judged,
            })
            .collect();
        if audience != Audience::Knowing {
            let open = self.undecided_between(dataset, first, last).await?;
            let told = self.told(dataset, audience, &open).await?;
            for mark in &mut marks {
                if let Some(told) = told.get(&mark.sample_id) {
                    mark.tell(told);
                }
            }
        }
        Ok(marks)
    }
}
