//! What reviews say of a scan's findings, and the order of review that follows from them.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

use super::{Result, Store};

/// The last decision on the label of a sample that a scan judged.
#[derive(Clone, Debug)]
pub struct Decided {
    pub scan_id: Uuid,
    pub sample_id: i64,
    /// The label that the scan judged is not the sample's class.
    pub wrong: bool,
    /// The sample came up as an audit, not by its rank.
    pub by_audit: bool,
}

/// A finding's place in the order of review.
#[derive(Clone, Debug)]
pub struct Placed {
    pub sample_id: i64,
    pub rank: i32,
    pub place: i32,
    pub audit: Option<i32>,
    /// Somebody has looked at the sample.
    pub reviewed: bool,
}

/// A finding's new place.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub sample_id: i64,
    pub rank: u32,
    pub place: u32,
    pub suspicion: f32,
}

/// A random audit of a scan, see `detect::audits`.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// Somebody has looked at the sample, and at the one at this audit's place.
    pub reached: bool,
    /// `None`: no decision on the label.
    pub wrong: Option<bool>,
    pub flagged: bool,
}

impl Store {
    /// Reviews that stand and decide on a label.
    pub async fn decisions(&self, dataset: Uuid) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"select count(*) as "n!" from reviews r
               where dataset_id = $1 and decision in ('keep', 'relabel', 'out_of_taxonomy') and purpose <> 'gold'
                 and not exists (select from review_retractions t where t.review_id = r.id)"#,
            dataset
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The newest review of the dataset; 0 before the first.
    pub async fn last_review(&self, dataset: Uuid) -> Result<i64> {
        Ok(sqlx::query_scalar!(
            r#"select coalesce(max(id), 0) as "id!" from reviews where dataset_id = $1"#,
            dataset
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// What people decided on the labels that the scans of the dataset judged; a review that names no scan
    /// belongs to the one before it. Unsure, ambiguous and bad media decide nothing.
    pub async fn decided(&self, dataset: Uuid) -> Result<Vec<Decided>> {
        Ok(sqlx::query_as!(
            Decided,
            r#"select distinct on (f.scan_id, f.sample_id) f.scan_id, f.sample_id,
                 case r.decision when 'keep' then r.class_before is distinct from f.given_class
                   when 'relabel' then r.classes[1] is distinct from f.given_class else true end as "wrong!",
                 coalesce(f.audit * s.audit_every <= f.place, false) as "by_audit!"
               from reviews r
               cross join lateral (
                 select id, audit_every from scans
                 where dataset_id = $1 and (id = r.scan_id or (r.scan_id is null and created_at <= r.created_at))
                 order by seq desc limit 1) s
               join findings f on f.scan_id = s.id and f.sample_id = r.sample_id
               where r.dataset_id = $1 and r.decision in ('keep', 'relabel', 'out_of_taxonomy') and r.purpose <> 'gold'
                 and not exists (select from review_retractions t where t.review_id = r.id)
               order by f.scan_id, f.sample_id, r.id desc"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// What the scan's last fit gave.
    pub async fn learnt(&self, scan: Uuid) -> Result<Option<Value>> {
        Ok(sqlx::query_scalar!("select meta from scans where id = $1", scan).fetch_one(&self.pool).await?)
    }

    /// The last scan, the review up to which its order has learnt (0: not yet), and how many decisions came since.
    /// O(decisions since).
    pub async fn learnt_upto(&self, dataset: Uuid) -> Result<Option<(Uuid, i64, i64)>> {
        let row = sqlx::query!(
            r#"select s.id, s.meta_review,
                 (select count(*) from reviews r
                  where r.dataset_id = $1 and r.id > s.meta_review and r.decision in ('keep', 'relabel', 'out_of_taxonomy')
                    and r.purpose <> 'gold'
                    and not exists (select from review_retractions t where t.review_id = r.id)) as "new!"
               from scans s where s.dataset_id = $1 order by s.seq desc limit 1"#,
            dataset
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|r| (r.id, r.meta_review, r.new)))
    }

    /// Every how many places of the scan's order there is an audit; 0: nowhere.
    pub async fn audit_every(&self, scan: Uuid) -> Result<i32> {
        Ok(sqlx::query_scalar!("select audit_every from scans where id = $1", scan)
            .fetch_one(&self.pool)
            .await?)
    }

    pub async fn set_audit_every(&self, scan: Uuid, every: i32) -> Result<()> {
        sqlx::query!("update scans set audit_every = $2 where id = $1", scan, every)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A rerank of the dataset waits or runs.
    pub async fn rerank_pending(&self, dataset: Uuid) -> Result<bool> {
        Ok(sqlx::query_scalar!(
            r#"select exists (select 1 from jobs where dataset_id = $1 and kind = 'rerank'
                 and state in ('queued', 'running')) as "there!""#,
            dataset
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Every finding of the scan, by sample.
    pub async fn placed(&self, scan: Uuid) -> Result<Vec<Placed>> {
        Ok(sqlx::query_as!(
            Placed,
            r#"select f.sample_id, f.rank, f.place, f.audit, r.sample_id is not null as "reviewed!"
               from findings f left join review_status r on r.sample_id = f.sample_id
               where f.scan_id = $1 order by f.sample_id"#,
            scan
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Moves findings and keeps what the order learnt from, all or nothing. Flagged are the ranks that the
    /// scan flagged. Returns how many were moved or judged otherwise.
    pub async fn reorder(&self, scan: Uuid, moved: &[Moved], meta: &Value, upto: i64) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        sqlx::query(
            "create temp table moved (sample_id bigint primary key, rank int, place int, suspicion real) on commit drop",
        )
        .execute(&mut *tx)
        .await?;
        let mut copy = tx.copy_in_raw("copy moved from stdin (format csv)").await?;
        let mut text = String::new();
        for batch in moved.chunks(10_000) {
            text.clear();
            for m in batch {
                let _ = writeln!(text, "{},{},{},{}", m.sample_id, m.rank, m.place, m.suspicion);
            }
            copy.send(text.as_bytes()).await?;
        }
        copy.finish().await?;
        let changed = sqlx::query(
            "update findings f set rank = m.rank, place = m.place, suspicion = m.suspicion,
               flagged = m.rank <= s.n_flagged
             from moved m, scans s
             where s.id = $1 and f.scan_id = $1 and f.sample_id = m.sample_id
               and (f.rank, f.place, f.suspicion) is distinct from (m.rank, m.place, m.suspicion)",
        )
        .bind(scan)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        // the same said as issues
        sqlx::query!("delete from finding_issues where scan_id = $1 and kind = 'label'", scan)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            r#"insert into finding_issues (scan_id, sample_id, kind, rank, facts)
               select scan_id, sample_id, 'label', rank, '{"kind": "label"}' from findings
               where scan_id = $1 and flagged"#,
            scan
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("delete from issue_counts where scan_id = $1 and kind = 'label'", scan)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "insert into issue_counts (scan_id, kind, detectors, cross_parent, n)
             select scan_id, 'label', detectors, coalesce((reason ->> 'cross_parent')::boolean, false), count(*)
             from findings where scan_id = $1 and flagged group by 1, 2, 3, 4",
            scan
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("update scans set meta = $2, meta_review = $3 where id = $1", scan, meta, upto)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// The scan's random audits in the order of their numbers.
    pub async fn audits(&self, scan: Uuid) -> Result<Vec<AuditRow>> {
        Ok(sqlx::query_as!(
            AuditRow,
            r#"select (r.sample_id is not null and seen.sample_id is not null) as "reached!", f.flagged,
                 case v.decision when 'keep' then v.class_before is distinct from f.given_class
                   when 'relabel' then v.classes[1] is distinct from f.given_class
                   when 'out_of_taxonomy' then true end as wrong
               from findings f
               join scans s on s.id = f.scan_id
               left join review_status r on r.sample_id = f.sample_id
               left join reviews v on v.id = r.review_id
               left join findings slot on slot.scan_id = f.scan_id and slot.place = f.audit * s.audit_every
               left join review_status seen on seen.sample_id = slot.sample_id
               where f.scan_id = $1 and f.audit is not null order by f.audit"#,
            scan
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
