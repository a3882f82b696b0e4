//! Detectors over one snapshot with one set of embeddings: snapshot, encode what is missing,
//! out-of-fold probabilities, detectors, findings.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::vectors::{self, Features};
use super::{JobError, Services, encode, snapshot};
use crate::detect::scan::{ScanInput, ScanOutput, ScanParams, Stage, scan as detect};
use crate::domain::{Field, Finding, Neighbour, Reason, Taxonomy};
use crate::exchange::columnar::{Column, write_table};
use crate::exchange::snapshot_file;
use crate::store::scans::Scan;
use crate::train::{FoldPath, LinearParams, Selection, fit_fold_path, select, stratified_folds};

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScanArgs {
    /// Scan this snapshot (id or prefix) instead of a fresh one of the current labels.
    pub snapshot: Option<String>,
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
    let snapshot = snapshot::named_or_fresh(services, dataset, args.snapshot.as_deref(), "scan").await?;
    let taxonomy = services.store.taxonomy(dataset).await?;
    encode::missing(services, dataset, progress).await?;
    progress.stage("load_features", None);
    let labelled = Labelled::of(&taxonomy, snapshot::labels_of(services, &snapshot).await?)?;
    if labelled.ids.len() < LEAST {
        return Err(JobError::failed("too_few_labels", &[("n", &labelled.ids.len()), ("least", &LEAST)]));
    }
    let features = vectors::features(services, dataset, &labelled.ids, &Field::ALL).await?;
    if features.blocks.is_empty() {
        return Err(JobError::failed("nothing_encoded", &[]));
    }
    let (selection, features, labelled) = out_of_fold(services, features, labelled, progress).await?;
    let (output, selection, features, labelled) =
        run_detectors(services, selection, features, labelled, progress).await?;

    progress.stage("save", None);
    let findings = findings(&taxonomy, &labelled, &output);
    // its job's id: a second start of the same job, after a crash, makes no second one
    let id = progress.job_id;
    let scores_blob = format!("scans/{}/{id}.parquet", dataset.simple());
    let scores = score_table(&labelled, &output, &taxonomy);
    let about = vec![("scan".to_owned(), id.to_string()), ("snapshot".to_owned(), snapshot.id.clone())];
    let bytes = tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        write_table(&mut out, &scores, &about).map(|()| out)
    })
    .await?
    .map_err(|e| JobError::broke("stage.save", e))?;
    services.blobs.put(&scores_blob, bytes).await?;
    let counts = services.store.dataset_counts(dataset).await?;
    let n_flagged = findings.iter().filter(|f| f.flagged).count();
    let summary = json!({
        "noise": with_class_ids(&output, &taxonomy),
        "head": {"c": selection.c, "log_losses": selection.log_losses, "folds": services.config.scan.folds,
                 "seed": services.config.scan.seed},
        "fields": features.blocks,
        "neighbours": services.config.scan.neighbours,
        "pool": output.fused.weights,
    });
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
    services.store.insert_scan(dataset, &scan, &findings).await?;
    Ok(json!({
        "scan_id": id,
        "snapshot_id": snapshot.id,
        "samples": counts.samples,
        "labelled": findings.len(),
        "classes": taxonomy.n_classes(),
        "flagged": n_flagged,
        "estimated_errors": output.noise.estimated_errors,
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

/// Probabilities of every labelled sample by heads that never saw it; C by the noisy log-loss.
async fn out_of_fold(
    services: &Services,
    features: Features,
    labelled: Labelled,
    progress: &Progress,
) -> Result<(Selection, Features, Labelled), JobError> {
    let config = services.config.scan.clone();
    progress.stage("out_of_fold", Some(config.folds));
    let p = progress.clone();
    let (result, features, labelled) = tokio::task::spawn_blocking(move || {
        let result = cross_validate(features.matrix.view(), &labelled, &config, &p);
        (result, features, labelled)
    })
    .await?;
    Ok((result?, features, labelled))
}

fn cross_validate(
    x: ArrayView2<'_, f32>,
    labelled: &Labelled,
    config: &crate::config::Scan,
    progress: &Progress,
) -> Result<Selection, JobError> {
    let folds = stratified_folds(&labelled.y, labelled.n_classes, config.folds, None, config.seed);
    let mut paths: Vec<FoldPath> = Vec::with_capacity(config.folds);
    for fold in 0..config.folds {
        let go_on = |_: usize| progress.go_on();
        let path = fit_fold_path(
            x,
            &labelled.y,
            labelled.n_classes,
            &folds,
            fold,
            &config.c_grid,
            &LinearParams::default(),
            &go_on,
        );
        progress.check()?;
        paths.push(path.map_err(|e| JobError::broke("stage.out_of_fold", e))?);
        progress.add(1);
    }
    select(&paths, labelled.n_classes).map_err(|e| JobError::broke("stage.out_of_fold", e))
}

async fn run_detectors(
    services: &Services,
    selection: Selection,
    features: Features,
    labelled: Labelled,
    progress: &Progress,
) -> Result<(ScanOutput, Selection, Features, Labelled), JobError> {
    let params = ScanParams {
        k_neighbours: services.config.scan.neighbours,
        seed: services.config.scan.seed,
        clusters: None,
    };
    let p = progress.clone();
    let (result, selection, features, labelled) = tokio::task::spawn_blocking(move || {
        let space = features.balanced();
        let labels: Vec<u32> = labelled.y.iter().map(|&y| y as u32).collect();
        let probabilities = selection.probabilities.view();
        let input = ScanInput {
            features: Some(space.view()),
            labels: &labels,
            class_roots: &labelled.class_roots,
            probabilities: &probabilities,
        };
        let mut at = None;
        let result = detect(&input, &params, &mut |stage, done, total| {
            if at != Some(stage) {
                at = Some(stage);
                let key = match stage {
                    Stage::Neighbours => "neighbours",
                    Stage::Clusters => "clusters",
                    Stage::Fusion => "fusion",
                };
                p.stage(key, Some(total));
            }
            p.set(done);
            p.go_on()
        });
        (result, selection, features, labelled)
    })
    .await?;
    progress.check()?;
    let output = result.map_err(|e| JobError::broke("stage.fusion", e))?;
    Ok((output, selection, features, labelled))
}

fn findings(taxonomy: &Taxonomy, labelled: &Labelled, output: &ScanOutput) -> Vec<Finding> {
    let class = |c: usize| taxonomy.class_id(c).to_owned();
    let mut findings: Vec<Finding> = (0..output.len())
        .map(|i| (i, output.row(i)))
        .map(|(i, r)| Finding {
            sample_id: labelled.ids[i],
            rank: i32::try_from(r.rank).unwrap_or(i32::MAX),
            suspicion: r.suspicion,
            flagged: r.flagged,
            given_class: class(labelled.y[i]),
            suggested_class: class(r.suggested),
            suggested_p: r.p_suggested,
            self_confidence: r.self_confidence,
            normalized_margin: r.normalized_margin,
            detectors: r.detectors,
            reason: Reason {
                given: class(labelled.y[i]),
                suggested: class(r.suggested),
                p_given: r.p_given,
                p_suggested: r.p_suggested,
                neighbours_agree: r.neighbours_agree,
                neighbours_suggested: r.neighbours_suggested,
                neighbours: r.n_neighbours,
                cluster_share: r.cluster_share,
                cluster_class: class(r.cluster_class),
                cross_parent: r.cross_parent,
            },
            neighbours: r
                .neighbours
                .iter()
                .map(|&(row, similarity)| Neighbour { sample_id: labelled.ids[row as usize], similarity })
                .collect(),
            cluster: i32::try_from(r.cluster).unwrap_or(i32::MAX),
        })
        .collect();
    findings.sort_by_key(|f| f.rank);
    findings
}

/// All scores in the order of the labelled samples, for engines that read Parquet.
fn score_table(
    labelled: &Labelled,
    output: &ScanOutput,
    taxonomy: &Taxonomy,
) -> Vec<(&'static str, Column)> {
    let n = output.len();
    let class = |of: &dyn Fn(usize) -> usize| {
        Column::Utf8((0..n).map(|i| taxonomy.class_id(of(i)).to_owned()).collect())
    };
    let mut columns = vec![
        ("sample_id", Column::I64(labelled.ids.clone())),
        ("label", class(&|i| labelled.y[i])),
        ("suggested_label", class(&|i| output.fused.suggested[i] as usize)),
        ("rank", Column::I32(output.fused.rank.iter().map(|&r| r as i32).collect())),
        ("suspicion", Column::F32(output.fused.suspicion.clone())),
        ("is_label_issue", Column::Bool((0..n).map(|i| output.flagged(i)).collect())),
        ("suggested_p", Column::F32(output.fused.p_suggested.clone())),
        ("self_confidence", Column::F32(output.self_confidence.clone())),
        ("normalized_margin", Column::F32(output.normalized_margin.clone())),
        ("log_margin", Column::F32(output.log_margin.clone())),
        ("level1_self_confidence", Column::F32(output.levels.level1_self_confidence.clone())),
        ("level1_log_margin", Column::F32(output.levels.level1_log_margin.clone())),
        ("within_self_confidence", Column::F32(output.levels.within_self_confidence.clone())),
        ("within_log_margin", Column::F32(output.levels.within_log_margin.clone())),
        ("is_cross_parent", Column::Bool((0..n).map(|i| output.cross_parent(i)).collect())),
    ];
    if let Some(space) = &output.space {
        columns.push(("cluster", Column::I32(space.clusters.iter().map(|&c| c as i32).collect())));
    }
    columns
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
