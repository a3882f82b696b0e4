//! Detectors over one snapshot with one set of embeddings: snapshot, encode what is missing, places,
//! out-of-fold probabilities (or an uploaded array of them), judgement, findings.

mod checkpoint;
mod findings;
mod head;
mod health;
mod issues;
mod scores;
mod told;

use std::collections::HashSet;
use std::sync::Arc;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use self::checkpoint::Checkpoints;
use self::head::Head;
use self::health::Facts;
use self::scores::score_table;
use self::told::Told;
use super::progress::Progress;
use super::vectors::{self, Features};
use super::{JobError, Services, encode, predictions, rerank, snapshot};
use crate::detect::scan::{ScanInput, ScanOutput, scan as detect};
use crate::detect::{Places, PlacesParams, Stage};
use crate::domain::health::Cluster;
use crate::domain::{Candidate, Field, Finding, Taxonomy};
use crate::exchange::columnar::write_table;
use crate::exchange::snapshot_file;
use crate::store::scans::Scan;

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScanArgs {
    /// Scan this snapshot (id or prefix) instead of a fresh one of the current labels.
    pub snapshot: Option<String>,
    /// Use these uploaded predictions, on their snapshot, instead of heads of the scan's own.
    pub predictions: Option<Uuid>,
}

/// What a start of the job leaves for the next one, should its worker die.
#[derive(Serialize, Deserialize)]
struct Begun {
    snapshot: String,
}

/// Fewest labelled samples that can be judged by each other.
const LEAST: usize = 10;

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: ScanArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    progress.stage("snapshot", None);
    let uploaded = match args.predictions {
        Some(id) => Some(services.store.prediction_set(dataset, id).await?),
        None => None,
    };
    // labels that were decided since the first start would make the finished folds worthless
    let begun = progress.last_checkpoint::<Begun>().map(|b| b.snapshot);
    let named = begun.or(args.snapshot).or(uploaded.as_ref().map(|u| u.snapshot_id.clone()));
    let snapshot = snapshot::named_or_fresh(services, dataset, named.as_deref(), "scan").await?;
    progress.checkpoint(&Begun { snapshot: snapshot.id.clone() }).await?;
    let taxonomy = services.store.taxonomy(dataset).await?;
    encode::missing(services, dataset, progress).await?;
    progress.stage("load_features", None);
    let labelled = Labelled::of(&taxonomy, snapshot::labels_of(services, &snapshot).await?)?;
    if labelled.ids.len() < LEAST {
        return Err(JobError::failed("too_few_labels", &[("n", &labelled.ids.len()), ("least", &LEAST)]));
    }
    let features = vectors::features(services, dataset, &labelled.ids, &Field::ALL).await?;
    let encoders = features.blocks.clone();
    let ground = Arc::new(Ground { features, labelled });
    let places = match ground.features.blocks.is_empty() {
        true => None,
        false => Some(Arc::new(places(services, &ground, progress).await?)),
    };
    let checkpoints = Checkpoints::of(dataset, progress.job_id, &snapshot.id, &ground, &services.config.scan);
    let head = match (uploaded, &places) {
        (Some(set), _) => {
            progress.stage("load_predictions", None);
            let p = predictions::load(services, &set, &ground.labelled.ids, &taxonomy).await?;
            Head::Uploaded(set, p)
        }
        (None, Some(places)) => {
            Head::Folds(head::folds(services, &checkpoints, &ground, places, progress).await?)
        }
        (None, None) => return Err(JobError::failed("nothing_encoded", &[])),
    };

    let told = told::read(services, dataset, &ground, &places, progress).await?;
    let p = progress.clone();
    let (tree, on, at) = (taxonomy.clone(), ground.clone(), places);
    // its job's id: a second start of the same job, after a crash, makes no second one
    let id = progress.job_id;
    let about = vec![("scan".to_owned(), id.to_string()), ("snapshot".to_owned(), snapshot.id.clone())];
    p.stage("fusion", None);
    let judged =
        tokio::task::spawn_blocking(move || judge(&tree, &on, at.as_deref(), head, &told, &about, &p))
            .await?;
    progress.check()?;
    let Judged { mut findings, clusters, scores, mut summary, estimated_errors } = judged?;

    progress.stage("save", None);
    let scores_blob = format!("scans/{}/{id}.parquet", dataset.simple());
    services.blobs.put(&scores_blob, scores).await?;
    let counts = services.store.dataset_counts(dataset).await?;
    let flagged: Vec<i64> = findings.iter().filter(|f| f.flagged).map(|f| f.sample_id).collect();
    let n_flagged = flagged.len();
    let config = &services.config.scan;
    let every = rerank::slip_audits_in(&mut findings, config.audit_share, &snapshot.id, config.seed);
    if let Some(map) = summary.as_object_mut() {
        map.insert("fields".into(), json!(encoders));
        map.insert("neighbours".into(), json!(services.config.scan.neighbours));
        map.insert("compared".into(), compared(services, dataset, id, &flagged).await?);
    }
    let scan = Scan {
        id,
        snapshot_id: snapshot.id.clone(),
        job_id: Some(progress.job_id),
        n_samples: i64::try_from(findings.len()).unwrap_or(i64::MAX),
        n_flagged: i64::try_from(n_flagged).unwrap_or(i64::MAX),
        summary,
        scores_blob,
        created_at: chrono::Utc::now(),
    };
    progress.check()?;
    services.store.insert_scan(dataset, &scan, &findings, &clusters).await?;
    services.store.set_audit_every(id, i32::try_from(every).unwrap_or(0)).await?;
    services.store.restart_order(dataset).await?;
    checkpoints.clear(&services.blobs, services.config.scan.folds).await?;
    // reviews of earlier scans may be enough to learn from
    services.rerank_if_due(dataset).await?;
    Ok(json!({
        "scan_id": id,
        "snapshot_id": snapshot.id,
        "samples": counts.samples,
        "labelled": findings.len(),
        "classes": taxonomy.n_classes(),
        "flagged": n_flagged,
        "estimated_errors": estimated_errors,
    }))
}

/// What a scan judges; shared by its steps.
struct Ground {
    features: Features,
    labelled: Labelled,
}

/// Of the flagged samples, which the last scan had flagged too; `null` for the first scan.
async fn compared(services: &Services, dataset: Uuid, id: Uuid, flagged: &[i64]) -> Result<Value, JobError> {
    let Some(last) = services.store.scan_before(dataset, id).await? else { return Ok(Value::Null) };
    let before: HashSet<i64> = services.store.flagged_samples(last).await?.into_iter().collect();
    let confirmed = flagged.iter().filter(|s| before.contains(s)).count();
    Ok(json!({
        "scan_id": last,
        "new": flagged.len() - confirmed,
        "confirmed": confirmed,
        "gone": before.len() - confirmed,
    }))
}

/// The labelled samples of a snapshot as arrays, in byte order of the external id.
pub(crate) struct Labelled {
    pub(crate) ids: Vec<i64>,
    /// Class columns.
    pub(crate) y: Vec<usize>,
    pub(crate) n_classes: usize,
    pub(crate) class_roots: Vec<usize>,
}

impl Labelled {
    pub(crate) fn of(taxonomy: &Taxonomy, rows: Vec<snapshot_file::Row>) -> Result<Self, JobError> {
        let mut out = Self {
            ids: Vec::with_capacity(rows.len()),
            y: Vec::with_capacity(rows.len()),
            n_classes: taxonomy.n_classes(),
            class_roots: taxonomy.class_roots(),
        };
        for row in rows {
            let class = taxonomy
                .class_index(&row.class)
                .ok_or_else(|| JobError::failed("class_gone", &[("class", &row.class)]))?;
            out.ids.push(row.sample_id);
            out.y.push(class);
        }
        Ok(out)
    }
}

async fn places(services: &Services, ground: &Arc<Ground>, progress: &Progress) -> Result<Places, JobError> {
    let config = services.config.scan.clone();
    let (p, ground) = (progress.clone(), ground.clone());
    let found = tokio::task::spawn_blocking(move || {
        let mut present = ground.labelled.y.clone();
        present.sort_unstable();
        present.dedup();
        let params =
            PlacesParams { k_neighbours: config.neighbours, ..PlacesParams::new(present.len(), config.seed) };
        let mut at = None;
        Places::find(ground.features.balanced().view(), &params, &mut |stage, done, total| {
            if at != Some(stage) {
                at = Some(stage);
                p.stage(if stage == Stage::Clusters { "clusters" } else { "neighbours" }, Some(total));
            }
            p.set(done);
            p.go_on()
        })
    })
    .await?;
    progress.check()?;
    found.map_err(|e| JobError::broke("stage.neighbours", e))
}

/// What is written of a scan.
struct Judged {
    findings: Vec<Finding>,
    clusters: Vec<Cluster>,
    /// The Parquet file of all scores.
    scores: Vec<u8>,
    summary: Value,
    estimated_errors: usize,
}

fn judge(
    taxonomy: &Taxonomy,
    ground: &Ground,
    places: Option<&Places>,
    head: Head,
    told: &Told,
    about: &[(String, String)],
    progress: &Progress,
) -> Result<Judged, JobError> {
    let labelled = &ground.labelled;
    let (probabilities, about_head) = head.probabilities(labelled.n_classes)?;
    let labels: Vec<u32> = labelled.y.iter().map(|&y| y as u32).collect();
    let probabilities = probabilities.view();
    let fields = ground.features.by_field();
    let fields: Vec<(String, ArrayView2<'_, f32>)> =
        fields.iter().map(|(field, x)| (field.as_str().to_owned(), x.view())).collect();
    let input = ScanInput {
        fields: &fields,
        places,
        labels: &labels,
        class_roots: &labelled.class_roots,
        probabilities: &probabilities,
        candidates: Candidate::KEPT,
    };
    let output = detect(&input, &mut |_, done, _| {
        progress.set(done);
        progress.go_on()
    })
    .map_err(|e| JobError::broke("stage.fusion", e))?;
    progress.stage("issues", None);
    let issues = issues::issues(taxonomy, labelled, &output, told);
    progress.check()?;
    let facts = Facts { taxonomy, labelled, output: &output, told, issues: &issues };
    let groups = facts.groups()?;
    let (health, clusters) = (facts.health(&groups)?, facts.clusters(&groups));
    let mut scores = Vec::new();
    write_table(&mut scores, &score_table(labelled, &output, &issues, taxonomy), about)
        .map_err(|e| JobError::broke("stage.save", e))?;
    Ok(Judged {
        findings: findings::findings(taxonomy, labelled, &output, issues),
        clusters,
        scores,
        summary: json!({
            "health": health,
            "noise": with_class_ids(&output, taxonomy),
            "head": about_head,
            "pool": output.fused.weights,
        }),
        estimated_errors: output.noise.estimated_errors,
    })
}

/// The noise report with class ids beside its columns' numbers.
fn with_class_ids(output: &ScanOutput, taxonomy: &Taxonomy) -> Value {
    let mut noise = serde_json::to_value(&output.noise).unwrap_or_default();
    if let Some(map) = noise.as_object_mut() {
        map.insert("classes".into(), json!(taxonomy.class_ids().collect::<Vec<_>>()));
        map.insert("roots".into(), json!(taxonomy.roots()));
    }
    noise
}
