//! What a scan learns from reviews: a logistic meta-model over its scores gives the samples that nobody has
//! looked at a new suspicion and order. A function of the scan's file of scores and of the reviews, so that
//! it may run again, and after a crash, with the same end.

use std::collections::HashMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};
use crate::detect::audits::{self, Audit, Audited, audit_weight};
use crate::detect::fusion::ErrorCount;
use crate::detect::meta::{LEAST_REVIEWS, MetaReport, Reviewed, Scores, learn};
use crate::domain::Finding;
use crate::exchange::columnar::{Column, read_table};
use crate::store::learning::{Decided, Moved, Placed};
use crate::store::scans::Scan;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankArgs {
    pub scan: Uuid,
}

/// Scans before this one whose reviews are learnt from too.
const SCANS_BEFORE: usize = 4;
/// Columns of the file of scores that the model sees, where it has them; and what it makes of them: the
/// size of the given class, its mean suspicion, and how often it is suspected to be the same other class.
const SCORES: [&str; 11] = [
    "log_margin",
    "normalized_margin",
    "level1_log_margin",
    "within_log_margin",
    "suggested_p",
    "is_cross_parent",
    "fields_against",
    "neighbour_agreement",
    "cluster_share",
    "near_duplicate_conflict",
    "outlier_score",
];
const MADE: [&str; 4] = ["suspicion", "class_size", "class_suspicion", "pair_size"];
/// Log-margins of probabilities that are 0 count as this far.
const FURTHEST: f32 = 30.0;

/// What a scan has learnt, and what random audits say of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Learning {
    /// Reviews of the dataset that decide on a label, and how many are needed before anything is learnt.
    pub reviews: i64,
    pub needed: usize,
    /// The last fit; none yet: null.
    pub model: Option<MetaReport>,
    /// From the audits that were reached.
    pub audited: Audited,
    /// Wrong labels in the scan by its own count and the audits together; null without audits.
    pub errors: Option<Errors>,
}

/// A number of wrong labels with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Errors {
    pub estimate: usize,
    pub low: usize,
    pub high: usize,
}

impl Errors {
    /// The scan's own count, which its audits correct.
    fn of(scan: &Scan, audited: &Audited) -> Option<Self> {
        let count: ErrorCount = serde_json::from_value(scan.summary.pointer("/noise/count")?.clone()).ok()?;
        let n = usize::try_from(scan.n_samples).ok()?;
        let (wrong, of) = (audited.wrong.hits, audited.wrong.n);
        let count = (of > 0).then(|| count.with_audit(wrong, of, n).ok()).flatten()?;
        Some(Self { estimate: count.estimate, low: count.low, high: count.high })
    }
}

/// How it stands with `scan`.
pub async fn learning(services: &Services, dataset: Uuid, scan: &Scan) -> crate::store::Result<Learning> {
    let store = &services.store;
    let meta = store.learnt(scan.id).await?;
    let audits = store.audits(scan.id).await?;
    let audit = |a: &crate::store::learning::AuditRow| Audit {
        reached: a.reached,
        wrong: a.wrong,
        flagged: a.flagged,
    };
    let audited = Audited::of(audits.iter().map(audit));
    Ok(Learning {
        errors: Errors::of(scan, &audited),
        reviews: store.decisions(dataset).await?,
        needed: LEAST_REVIEWS,
        model: meta.and_then(|m| serde_json::from_value(m.get("report")?.clone()).ok()),
        audited,
    })
}

impl Services {
    /// Queues a rerank of the dataset's last scan when enough reviews came in since the one before, and none
    /// waits already.
    pub async fn rerank_if_due(&self, dataset: Uuid) -> Result<Option<Uuid>, JobError> {
        let Some((scan, upto, new)) = self.store.learnt_upto(dataset).await? else { return Ok(None) };
        let due = if upto == 0 { LEAST_REVIEWS } else { self.config.scan.meta_batch };
        let new = usize::try_from(new).unwrap_or(0);
        if new < due || self.store.rerank_pending(dataset).await? {
            return Ok(None);
        }
        self.enqueue_rerank(dataset, &RerankArgs { scan }).await.map(Some)
    }
}

/// Gives `findings`, in order of their ranks, their places, with audits slipped in; returns every how many.
pub(super) fn slip_audits_in(findings: &mut [Finding], share: f64, snapshot: &str, seed: u64) -> usize {
    let every = if share > 0.0 { (1.0 / share).round() as usize } else { 0 };
    let of_snapshot = snapshot.get(..16).and_then(|s| u64::from_str_radix(s, 16).ok()).unwrap_or(0);
    let n = findings.len();
    let flagged = findings.iter().filter(|f| f.flagged).count();
    let draw = audits::draw(n, flagged, every, seed ^ of_snapshot);
    let ranked: Vec<u32> = (0..n as u32).collect();
    let places = audits::places(&ranked, &draw, every, &vec![None; n]);
    for (f, place) in findings.iter_mut().zip(places) {
        f.place = i32::try_from(place).unwrap_or(i32::MAX);
    }
    for (number, row) in (1..).zip(draw) {
        findings[row as usize].audit = Some(number);
    }
    every
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: RerankArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let store = &services.store;
    progress.stage("load_scores", None);
    // first, so that a review that comes meanwhile counts for the next time
    let upto = store.last_review(dataset).await?;
    let scan = store.scan(dataset, args.scan).await?;
    let decided = store.decided(dataset).await?;
    let own = table(services, &scan).await?;
    let mut reviewed = Reviewed::default();
    let others = store.scans(dataset, Some(scan.id), SCANS_BEFORE as i64).await?.items;
    for (number, other) in (1..).zip(&others) {
        if decided.iter().any(|d| d.scan_id == other.id) {
            add(&mut reviewed, number, &table(services, other).await?, &decided, other.id);
        }
    }
    add(&mut reviewed, 0, &own, &decided, scan.id);
    progress.check()?;
    progress.stage("learn", None);
    let seed = services.config.scan.seed;
    let (model, own) = tokio::task::spawn_blocking(move || (learn(reviewed, seed), own)).await?;
    let suspicion = model.probabilities(&own.scores).unwrap_or_else(|| own.suspicion.clone());
    let every = usize::try_from(store.audit_every(scan.id).await?).unwrap_or(0);
    let placed = store.placed(scan.id).await?;
    let moved = tokio::task::spawn_blocking(move || reordered(&own.rows, &suspicion, &placed, every)).await?;
    progress.check()?;
    progress.stage("save", None);
    let names: Vec<&str> = SCORES.into_iter().chain(MADE).collect();
    let meta = json!({"report": model.report, "scores": names});
    let changed = store.reorder(scan.id, &moved, &meta, upto).await?;
    store.restart_order(dataset).await?;
    Ok(json!({
        "scan_id": scan.id,
        "reviews": model.report.reviews,
        "adopted": model.report.adopted,
        "moved": changed,
    }))
}

/// The scores of a scan.
struct Table {
    /// Sample -> row.
    rows: HashMap<i64, usize>,
    scores: Scores,
    /// As the scan gave it.
    suspicion: Vec<f32>,
}

async fn table(services: &Services, scan: &Scan) -> Result<Table, JobError> {
    let bytes = services.blobs.get(&scan.scores_blob).await?;
    let broke = |e: &dyn std::fmt::Display| JobError::broke("stage.load_scores", e);
    tokio::task::spawn_blocking(move || {
        let columns = read_table(bytes::Bytes::from(bytes), None).map_err(|e| broke(&e))?;
        let columns: HashMap<String, Column> = columns.into_iter().collect();
        let need = |name: &str| columns.get(name).ok_or_else(|| broke(&format!("no column {name}")));
        let (Column::I64(samples), Column::F32(suspicion), Column::Utf8(given), Column::Utf8(suggested)) =
            (need("sample_id")?, need("suspicion")?, need("label")?, need("suggested_label")?)
        else {
            return Err(broke(&"its columns are of other types"));
        };
        let n = samples.len();
        let mut x = Array2::zeros((n, SCORES.len() + MADE.len()));
        for (j, name) in SCORES.iter().enumerate() {
            let mut to = x.column_mut(j);
            match columns.get(*name) {
                Some(Column::F32(v)) => {
                    let plain = |v: f32| if v.is_nan() { 0.0 } else { v.clamp(-FURTHEST, FURTHEST) };
                    to.iter_mut().zip(v).for_each(|(to, v)| *to = plain(*v));
                }
                Some(Column::Bool(v)) => {
                    to.iter_mut().zip(v).for_each(|(to, v)| *to = f32::from(u8::from(*v)))
                }
                Some(Column::I32(v)) => to.iter_mut().zip(v).for_each(|(to, v)| *to = *v as f32),
                // an older scan, or one without neighbours: the same for all, which says nothing
                _ => {}
            }
        }
        let (mut classes, mut pairs) = (HashMap::new(), HashMap::<(&str, &str), f32>::new());
        for i in 0..n {
            let of: &mut (f32, f32) = classes.entry(given[i].as_str()).or_default();
            *of = (of.0 + 1.0, of.1 + suspicion[i]);
            *pairs.entry((&given[i], &suggested[i])).or_default() += 1.0;
        }
        for i in 0..n {
            let p = suspicion[i].clamp(1e-6, 1.0 - 1e-6);
            let (size, sum) = classes[given[i].as_str()];
            let pair = pairs[&(given[i].as_str(), suggested[i].as_str())];
            for (j, v) in [(p / (1.0 - p)).ln(), size.ln(), sum / size, pair.ln()].into_iter().enumerate() {
                x[[i, SCORES.len() + j]] = v;
            }
        }
        Ok(Table {
            rows: samples.iter().enumerate().map(|(row, id)| (*id, row)).collect(),
            scores: Scores::new(x.view(), suspicion).map_err(|e| broke(&e))?,
            suspicion: suspicion.clone(),
        })
    })
    .await?
}

/// Adds the reviews of one scan, audits weighted for what they stand for.
fn add(into: &mut Reviewed, number: u64, table: &Table, decided: &[Decided], scan: Uuid) {
    let of_scan: Vec<&Decided> = decided.iter().filter(|d| d.scan_id == scan).collect();
    let by_audit = of_scan.iter().filter(|d| d.by_audit).count();
    let weight = audit_weight(table.rows.len(), of_scan.len() - by_audit, by_audit);
    for d in of_scan {
        if let Some(&row) = table.rows.get(&d.sample_id) {
            into.push(
                &table.scores,
                row,
                (number, d.sample_id),
                d.wrong,
                if d.by_audit { weight } else { 1.0 },
            );
        }
    }
}

/// The ranks and places that the findings nobody has looked at hold between them, dealt out anew by
/// suspicion. Those that were reviewed stay.
fn reordered(rows: &HashMap<i64, usize>, suspicion: &[f32], placed: &[Placed], every: usize) -> Vec<Moved> {
    let of = |i: usize| rows.get(&placed[i].sample_id).map_or(0.0, |&row| suspicion[row]);
    let mut open: Vec<usize> = (0..placed.len()).filter(|&i| !placed[i].reviewed).collect();
    // by sample where suspicion is the same: the ranks that they hold now must not matter
    open.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(placed[a].sample_id.cmp(&placed[b].sample_id)));
    let mut ranks: Vec<i32> = open.iter().map(|&i| placed[i].rank).collect();
    ranks.sort_unstable();
    let whole = |v: i32| u32::try_from(v).unwrap_or(0);
    let fixed: Vec<Option<u32>> = placed.iter().map(|p| p.reviewed.then_some(whole(p.place))).collect();
    let mut draw: Vec<(i32, u32)> =
        placed.iter().enumerate().filter_map(|(i, p)| Some((p.audit?, i as u32))).collect();
    draw.sort_unstable();
    let draw: Vec<u32> = draw.into_iter().map(|(_, row)| row).collect();
    let mut ranked: Vec<u32> = open.iter().map(|&i| i as u32).collect();
    ranked.extend((0..placed.len()).filter(|&i| placed[i].reviewed).map(|i| i as u32));
    let places = audits::places(&ranked, &draw, every, &fixed);
    open.iter()
        .zip(ranks)
        .map(|(&i, rank)| Moved {
            sample_id: placed[i].sample_id,
            rank: whole(rank),
            place: places[i],
            suspicion: of(i),
        })
        .collect()
}
