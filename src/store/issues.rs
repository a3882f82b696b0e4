//! What scans find beside wrong labels: clusters, and the facts of the media they judge; how many issues there
//! are is in [`counts`].

mod counts;

use sqlx::types::Json;
use uuid::Uuid;

pub use self::counts::CountedIssue;
pub(super) use self::counts::Tally;
use super::{Page, Result, Store};
use crate::domain::LabelCount;
use crate::domain::health::Cluster;

/// What is known of a sample's media without looking at them again.
#[derive(Clone, Copy, Debug)]
pub struct MediaFacts {
    pub id: i64,
    pub duration_ms: Option<i32>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub fps: Option<f32>,
    /// Mean luma of its frames in [0, 1].
    pub brightness: Option<f32>,
}

/// A member of a cluster with a picture.
#[derive(Clone, Debug)]
pub struct ClusterMember {
    pub cluster: i32,
    pub sample_id: i64,
    pub external_id: String,
    pub title: String,
}

impl Store {
    /// Of the samples whose media were looked at, in id order after `after`.
    pub async fn media_facts(&self, dataset: Uuid, after: i64, limit: i64) -> Result<Vec<MediaFacts>> {
        Ok(sqlx::query_as!(
            MediaFacts,
            "select id, duration_ms, width, height, fps, brightness from samples
             where dataset_id = $1 and id > $2 and duration_ms is not null order by id limit $3",
            dataset,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Mean luma of the frames of `samples`, in [0, 1]: found when they are encoded.
    pub async fn set_brightness(&self, dataset: Uuid, samples: &[i64], brightness: &[f32]) -> Result<()> {
        sqlx::query!(
            "update samples s set brightness = b.brightness
             from unnest($2::bigint[], $3::real[]) as b(id, brightness) where s.id = b.id and s.dataset_id = $1",
            dataset,
            samples,
            brightness
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Most samples with minority labels first, after `after` (a cluster of the page before).
    pub async fn clusters(
        &self,
        dataset: Uuid,
        scan: Uuid,
        after: Option<i32>,
        limit: i64,
    ) -> Result<Page<Cluster>> {
        let rows = sqlx::query!(
            r#"select c.cluster, c.n, c.words, c.class, c.purity, c.minority,
                 c.labels as "labels: Json<Vec<LabelCount>>", c.underperforms
               from clusters c join scans s on s.id = c.scan_id
               where c.scan_id = $1 and s.dataset_id = $2
                 and ($3::int is null or (-c.minority, c.cluster) >
                   (select -minority, cluster from clusters where scan_id = $1 and cluster = $3))
               order by c.minority desc, c.cluster limit $4"#,
            scan,
            dataset,
            after,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let clusters = rows.into_iter().map(|r| Cluster {
            cluster: r.cluster,
            n: r.n,
            words: r.words,
            class: r.class,
            purity: r.purity,
            minority: r.minority,
            labels: r.labels.0,
            underperforms: r.underperforms,
        });
        Ok(Page::cut(clusters.collect(), limit, |c| c.cluster.to_string()))
    }

    /// Up to `most` samples with media of each of `clusters`, those whose labels are doubted least.
    pub async fn cluster_members(
        &self,
        scan: Uuid,
        clusters: &[i32],
        most: i64,
    ) -> Result<Vec<ClusterMember>> {
        Ok(sqlx::query_as!(
            ClusterMember,
            r#"select w.cluster as "cluster!", m.id as "sample_id!", m.external_id as "external_id!", m.title as "title!"
               from unnest($2::int[]) as w(cluster), lateral (
                 select s.id, s.external_id, s.title, f.rank from findings f join samples s on s.id = f.sample_id
                 where f.scan_id = $1 and f.cluster = w.cluster and s.media_state = 'ready'
                 order by f.rank desc limit $3) m
               order by w.cluster, m.rank desc"#,
            scan,
            clusters,
            most
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
