//! Scans and their findings as a job writes them, and the rounds they begin.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::issues::Tally;
use super::{Page, Result, Store, StoreError};
use crate::domain::health::Cluster;
use crate::domain::{BadCases, Candidate, Field, Finding};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Scan {
    pub id: Uuid,
    pub snapshot_id: String,
    pub job_id: Option<Uuid>,
    pub n_samples: i64,
    pub n_flagged: i64,
    /// Noise report, encoders and parameters.
    pub summary: Value,
    #[serde(skip)]
    pub scores_blob: String,
    pub created_at: DateTime<Utc>,
}

/// What pages say of a scan without its report, which may be large.
#[derive(Clone, Debug)]
pub struct ScanHead {
    pub id: Uuid,
    pub n_samples: i64,
    pub n_flagged: i64,
    pub created_at: DateTime<Utc>,
}

impl Scan {
    pub fn head(&self) -> ScanHead {
        ScanHead {
            id: self.id,
            n_samples: self.n_samples,
            n_flagged: self.n_flagged,
            created_at: self.created_at,
        }
    }
}

/// One turn of the loop: scan -> review -> snapshot -> train.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Round {
    /// 1 for the first scan of the dataset.
    pub number: i64,
    pub scan_id: Uuid,
    pub snapshot_id: String,
    pub scanned_at: DateTime<Utc>,
    pub n_samples: i64,
    pub n_flagged: i64,
    /// Reviews that stand and changed labels from this scan to the next.
    pub reviews: i64,
    pub corrections: i64,
    /// Last training between this scan and the next.
    pub training_id: Option<Uuid>,
    /// Its mean F1.
    pub mean_f1: Option<f64>,
    /// Its errors by cause; null of a training of an older version.
    #[schema(value_type = Option<BadCases>)]
    pub bad_cases: Option<Json<BadCases>>,
}

impl Store {
    /// The scan with all its findings, their issues and its clusters, or nothing: one transaction, COPY in
    /// batches.
    pub async fn insert_scan(
        &self,
        dataset: Uuid,
        scan: &Scan,
        findings: &[Finding],
        clusters: &[Cluster],
    ) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let new = sqlx::query!(
            "insert into scans (id, dataset_id, snapshot_id, job_id, n_samples, n_flagged, summary, scores_blob)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing",
            scan.id,
            dataset,
            scan.snapshot_id,
            scan.job_id,
            scan.n_samples,
            scan.n_flagged,
            scan.summary,
            scan.scores_blob
        )
        .execute(&mut *tx)
        .await?.rows_affected();
        // an earlier start of the same job got this far
        if new == 0 {
            return Ok(());
        }
        let json = |v: serde_json::Result<String>| {
            v.map_err(|e| StoreError::Corrupt { what: "finding", reason: e.to_string() })
        };
        let (mut text, mut issues, mut tally) = (String::new(), String::new(), Tally::default());
        for batch in findings.chunks(2000) {
            text.clear();
            issues.clear();
            for f in batch {
                let votes: BTreeMap<&Field, &Candidate> = f.field_votes.iter().map(|(f, c)| (f, c)).collect();
                let detectors = f.detectors.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(",");
                for found in &f.issues {
                    tally.add(found.issue.kind(), &detectors, f.reason.cross_parent);
                    let fields: Vec<&str> = found.issue.fields().into_iter().map(Field::as_str).collect();
                    let _ = writeln!(
                        issues,
                        "{},{},{},{},\"{{{}}}\",{}",
                        scan.id,
                        f.sample_id,
                        found.issue.kind().as_str(),
                        found.rank,
                        fields.join(","),
                        quote(&json(serde_json::to_string(&found.issue))?),
                    );
                }
                let _ = writeln!(
                    text,
                    "{},{},{},{},{},{},{},{},{},{},{},{},{},\"{{{}}}\",{},{},{},{}",
                    scan.id,
                    f.sample_id,
                    f.rank,
                    f.place,
                    f.audit.map(|a| a.to_string()).unwrap_or_default(),
                    f.suspicion,
                    f.flagged,
                    quote(&f.given_class),
                    quote(&f.suggested_class),
                    f.suggested_p,
                    f.self_confidence,
                    f.normalized_margin,
                    f.cluster,
                    detectors,
                    quote(&json(serde_json::to_string(&f.reason))?),
                    quote(&json(serde_json::to_string(&f.neighbours))?),
                    if f.candidates.is_empty() {
                        String::new()
                    } else {
                        quote(&json(serde_json::to_string(&f.candidates))?)
                    },
                    if votes.is_empty() {
                        String::new()
                    } else {
                        quote(&json(serde_json::to_string(&votes))?)
                    },
                );
            }
            let mut copy = tx
                .copy_in_raw(
                    "copy findings (scan_id, sample_id, rank, place, audit, suspicion, flagged, given_class, suggested_class,
                       suggested_p, self_confidence, normalized_margin, cluster, detectors, reason, neighbours, candidates,
                       field_votes)
                     from stdin (format csv)",
                )
                .await?;
            copy.send(text.as_bytes()).await?;
            copy.finish().await?;
            let mut copy = tx
                .copy_in_raw(
                    "copy finding_issues (scan_id, sample_id, kind, rank, fields, facts) from stdin (format csv)",
                )
                .await?;
            copy.send(issues.as_bytes()).await?;
            copy.finish().await?;
        }
        tally.store(&mut tx, scan.id).await?;
        for c in clusters {
            sqlx::query!(
                "insert into clusters (scan_id, cluster, n, words, class, purity, minority, labels, underperforms)
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                scan.id,
                c.cluster,
                c.n,
                &c.words,
                c.class,
                c.purity,
                c.minority,
                sqlx::types::Json(&c.labels) as _,
                c.underperforms
            )
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Newest first; `before` is the last scan of the page before.
    pub async fn scans(&self, dataset: Uuid, before: Option<Uuid>, limit: i64) -> Result<Page<Scan>> {
        let rows = sqlx::query_as!(
            Scan,
            "select id, snapshot_id, job_id, n_samples, n_flagged, summary, scores_blob, created_at from scans
             where dataset_id = $1 and ($2::uuid is null or seq < (select seq from scans where id = $2))
             order by seq desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |s| s.id.to_string()))
    }

    pub async fn scan(&self, dataset: Uuid, id: Uuid) -> Result<Scan> {
        sqlx::query_as!(
            Scan,
            "select id, snapshot_id, job_id, n_samples, n_flagged, summary, scores_blob, created_at from scans
             where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("scan", id.to_string()))
    }

    /// The newest scan of the dataset but `id` itself.
    pub async fn scan_before(&self, dataset: Uuid, id: Uuid) -> Result<Option<Uuid>> {
        Ok(sqlx::query_scalar!(
            "select id from scans where dataset_id = $1 and id <> $2 order by seq desc limit 1",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Samples that the scan flagged.
    pub async fn flagged_samples(&self, scan: Uuid) -> Result<Vec<i64>> {
        Ok(sqlx::query_scalar!("select sample_id from findings where scan_id = $1 and flagged", scan)
            .fetch_all(&self.pool)
            .await?)
    }

    pub async fn latest_scan(&self, dataset: Uuid) -> Result<Option<Scan>> {
        Ok(self.scans(dataset, None, 1).await?.items.pop())
    }

    /// The newest scan without its report.
    pub async fn latest_scan_head(&self, dataset: Uuid) -> Result<Option<ScanHead>> {
        Ok(sqlx::query_as!(
            ScanHead,
            "select id, n_samples, n_flagged, created_at from scans where dataset_id = $1 order by seq desc limit 1",
            dataset
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Newest first.
    pub async fn rounds(&self, dataset: Uuid, limit: i64) -> Result<Vec<Round>> {
        Ok(sqlx::query_as!(
            Round,
            r#"with turns as (
                 select id, snapshot_id, n_samples, n_flagged, created_at, row_number() over (order by seq) as number,
                   lead(created_at) over (order by seq) as until
                 from scans where dataset_id = $1)
               select t.number as "number!", t.id as scan_id, t.snapshot_id, t.created_at as scanned_at,
                 t.n_samples, t.n_flagged, coalesce(r.reviews, 0) as "reviews!", coalesce(r.corrections, 0) as "corrections!",
                 m.id as "training_id?", (m.metrics ->> 'mean_f1')::float8 as mean_f1,
                 (m.metrics -> 'bad_cases') as "bad_cases?: Json<BadCases>"
               from turns t
               left join lateral (
                 select count(*) as reviews,
                   count(*) filter (where decision = 'relabel' and classes[1] is distinct from class_before) as corrections
                 from reviews v where dataset_id = $1 and created_at >= t.created_at and (t.until is null or created_at < t.until)
                   and purpose <> 'gold' and not exists (select from review_retractions x where x.review_id = v.id)) r on true
               left join lateral (
                 select id, metrics from trainings
                 where dataset_id = $1 and created_at >= t.created_at and (t.until is null or created_at < t.until)
                 order by seq desc limit 1) m on true
               order by t.number desc limit $2"#,
            dataset,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }
}

/// A CSV field in double quotes.
fn quote(s: &str) -> String {
    format!("\"{}\"", s.replace('"', "\"\""))
}
