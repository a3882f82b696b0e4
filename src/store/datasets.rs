//! Datasets, their taxonomy, and the counts that the dataset page shows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, types::Json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};
use crate::domain::{Node, Taxonomy};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Dataset {
    pub id: Uuid,
    pub name: String,
    pub taxonomy_hash: String,
    /// Counts the changes of the taxonomy's names.
    #[serde(skip)]
    pub taxonomy_version: i64,
    pub created_at: DateTime<Utc>,
}

/// What the dataset page opens with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DatasetCounts {
    pub samples: i64,
    pub labelled: i64,
    pub unlabelled: i64,
    pub reviewed: i64,
    /// Labelled samples whose current label differs from the given one.
    pub corrected: i64,
    pub missing_title: i64,
    pub missing_asr: i64,
    pub missing_ocr: i64,
    pub missing_media: i64,
    pub bad_media: i64,
    /// Media still waiting for poster and strip.
    pub media_pending: i64,
}

/// Samples with one class as given and as current label.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClassCount {
    pub class: String,
    pub given: i64,
    pub current: i64,
}

/// A name is 1-100 letters, digits, dots, dashes or underscores, and starts with a letter or digit.
pub fn check_name(name: &str) -> Result<()> {
    let ok = (1..=100).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if ok {
        Ok(())
    } else {
        Err(StoreError::Rule {
            field: "name",
            code: "dataset_name",
            message: format!(
                "dataset name {:?}: 1-100 letters, digits, dots, dashes or underscores, starting with a letter or digit",
                name.chars().take(80).collect::<String>()
            ),
        })
    }
}

impl Store {
    /// In order of names; with `member`, only those of whose team the account is.
    pub async fn datasets(
        &self,
        member: Option<Uuid>,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Page<Dataset>> {
        let rows = sqlx::query_as!(
            Dataset,
            "select id, name, taxonomy_hash, taxonomy_version, created_at from datasets d
             where ($1::text is null or name > $1)
               and ($3::uuid is null or exists
                 (select from members m where m.dataset_id = d.id and m.account_id = $3))
             order by name limit $2",
            after,
            limit + 1,
            member
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |d| d.name.clone()))
    }

    /// By id or by name.
    pub async fn dataset(&self, key: &str) -> Result<Dataset> {
        let id = Uuid::parse_str(key).ok();
        sqlx::query_as!(
            Dataset,
            "select id, name, taxonomy_hash, taxonomy_version, created_at from datasets where name = $1 or id = $2
             order by (id = $2) desc limit 1",
            key,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("dataset", key))
    }

    pub async fn delete_dataset(&self, id: Uuid) -> Result<()> {
        sqlx::query!("delete from datasets where id = $1", id).execute(&self.pool).await?;
        Ok(())
    }

    pub async fn taxonomy(&self, dataset: Uuid) -> Result<Taxonomy> {
        let rows = sqlx::query!(
            r#"select node, names as "names: Json<BTreeMap<String, String>>", parent
               from taxonomy_nodes where dataset_id = $1 order by position"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?;
        let nodes = rows
            .into_iter()
            .map(|r| Node { id: r.node, names: r.names.0, parent: r.parent })
            .collect::<Vec<_>>();
        Taxonomy::new(nodes).map_err(|e| StoreError::Corrupt { what: "taxonomy", reason: e.to_string() })
    }

    /// The dataset of this name within a transaction, made with `taxonomy` when there is none.
    /// An existing one must have the same classes; names of classes are refreshed.
    pub(crate) async fn ensure_dataset(
        conn: &mut PgConnection,
        name: &str,
        taxonomy: &Taxonomy,
    ) -> Result<Uuid> {
        check_name(name)?;
        let hash = taxonomy.hash();
        let row = sqlx::query!(
            r#"insert into datasets (name, taxonomy_hash) values ($1, $2)
               on conflict (name) do update set name = excluded.name returning id, taxonomy_hash"#,
            name,
            hash
        )
        .fetch_one(&mut *conn)
        .await?;
        if row.taxonomy_hash != hash {
            return Err(StoreError::Rule {
                field: "taxonomy",
                code: "taxonomy_differs",
                message: format!(
                    "dataset {name:?} has another taxonomy (hash {}, this file {}): import under another name",
                    &row.taxonomy_hash[..12],
                    &hash[..12]
                ),
            });
        }
        let nodes = taxonomy.nodes();
        let position: Vec<i32> = (0..nodes.len()).map(|i| i32::try_from(i).unwrap_or(i32::MAX)).collect();
        let ids: Vec<String> = nodes.iter().map(|n| n.id.clone()).collect();
        let names: Vec<serde_json::Value> = nodes.iter().map(|n| serde_json::json!(n.names)).collect();
        let parents: Vec<Option<String>> = nodes.iter().map(|n| n.parent.clone()).collect();
        let levels: Vec<i32> =
            ids.iter().map(|i| i32::try_from(taxonomy.level(i).unwrap_or(1)).unwrap_or(1)).collect();
        let roots: Vec<String> = ids.iter().map(|i| taxonomy.root_of(i).unwrap_or(i).to_owned()).collect();
        let classes: Vec<Option<i32>> =
            ids.iter().map(|i| taxonomy.class_index(i).and_then(|c| i32::try_from(c).ok())).collect();
        let changed = sqlx::query!(
            "insert into taxonomy_nodes (dataset_id, position, node, names, parent, level, root, class_index)
             select $1, * from unnest($2::int[], $3::text[], $4::jsonb[], $5::text[], $6::int[], $7::text[], $8::int[])
             on conflict (dataset_id, node) do update set names = excluded.names
             where taxonomy_nodes.names <> excluded.names",
            row.id,
            &position,
            &ids,
            &names,
            &parents as &[Option<String>],
            &levels,
            &roots,
            &classes as &[Option<i32>]
        )
        .execute(&mut *conn)
        .await?;
        if changed.rows_affected() > 0 {
            sqlx::query!("update datasets set taxonomy_version = taxonomy_version + 1 where id = $1", row.id)
                .execute(conn)
                .await?;
        }
        Ok(row.id)
    }

    /// One pass over the samples of the dataset; O(samples).
    pub async fn dataset_counts(&self, dataset: Uuid) -> Result<DatasetCounts> {
        Ok(sqlx::query_as!(
            DatasetCounts,
            r#"select count(*) as "samples!",
                 count(c.class) as "labelled!",
                 count(*) - count(c.class) as "unlabelled!",
                 count(r.sample_id) as "reviewed!",
                 count(*) filter (where c.class is distinct from c.given_class) as "corrected!",
                 count(*) filter (where s.title = '') as "missing_title!",
                 count(*) filter (where s.asr = '') as "missing_asr!",
                 count(*) filter (where s.ocr = '[]') as "missing_ocr!",
                 count(*) filter (where s.media_blob is null and s.media_state = 'none') as "missing_media!",
                 count(*) filter (where s.media_state = 'bad') as "bad_media!",
                 count(*) filter (where s.media_state = 'none' and s.media_blob is not null) as "media_pending!"
               from samples s left join current_labels c on c.sample_id = s.id
               left join review_status r on r.sample_id = s.id
               where s.dataset_id = $1"#,
            dataset
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Every class of the taxonomy in column order, those without samples too.
    pub async fn class_counts(&self, dataset: Uuid) -> Result<Vec<ClassCount>> {
        Ok(sqlx::query_as!(
            ClassCount,
            r#"select n.node as "class!", coalesce(g.n, 0) as "given!", coalesce(c.n, 0) as "current!"
               from taxonomy_nodes n
               left join (select given_class, count(*) as n from current_labels where dataset_id = $1 group by 1) g
                 on g.given_class = n.node
               left join (select class, count(*) as n from current_labels where dataset_id = $1 group by 1) c
                 on c.class = n.node
               where n.dataset_id = $1 and n.class_index is not null order by n.class_index"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
