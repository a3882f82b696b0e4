//! `/datasets/{name}`: what is in it, how noisy it is thought to be, what was done with it.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::jobs::JobView;
use super::learning::LearningView;
use super::names::{ClassName, bar, score, short};
use super::predictions::PredictionsView;
use super::reader::Moment;
use super::summary::{NoiseView, noise};
use super::{Reader, address, render};
use crate::domain::{Gap, Taxonomy};
use crate::jobs::{Services, rerank};
use crate::messages::Lang;
use crate::store::datasets::{ClassCount, DatasetCounts};
use crate::store::exports::Export;
use crate::store::scans::{Round, Scan};
use crate::store::snapshots::Snapshot;
use crate::store::trainings::{ModelFile, Training};

const RECENT: i64 = 8;
/// Small taxonomies show their classes unfolded.
const UNFOLDED_CLASSES: usize = 30;

#[derive(Template)]
#[template(path = "dataset.html")]
pub(super) struct DatasetPage {
    pub(super) page: Reader,
    pub(super) name: String,
    pub(super) href: String,
    pub(super) api: String,
    pub(super) facts: Vec<Fact>,
    pub(super) gaps: Vec<Fact>,
    pub(super) scan: Option<ScanView>,
    pub(super) noise: Option<NoiseView>,
    pub(super) roots: Vec<ClassRow>,
    pub(super) n_classes: i64,
    pub(super) unfolded: bool,
    pub(super) jobs: Vec<JobView>,
    pub(super) rounds: Vec<RoundView>,
    pub(super) snapshots: Vec<SnapshotView>,
    pub(super) trainings: Vec<TrainingView>,
    /// Recipes by name, each with its worded name; of them those of one network, which can be students.
    pub(super) presets: Vec<(String, String)>,
    pub(super) students: Vec<(String, String)>,
    pub(super) exports: Vec<ExportView>,
    pub(super) predictions: PredictionsView,
    pub(super) learning: Option<LearningView>,
}

/// A count with its name and, where there is a whole, its share of it.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) count: String,
    pub(super) width: Option<String>,
    pub(super) zero: bool,
    /// The samples that are counted.
    pub(super) href: Option<String>,
}

pub(super) struct ScanView {
    pub(super) at: Moment,
    pub(super) flagged: String,
    pub(super) samples: String,
}

/// One class, or a level-1 node with its classes.
pub(super) struct ClassRow {
    pub(super) class: ClassName,
    pub(super) given: String,
    pub(super) current: String,
    pub(super) given_width: String,
    pub(super) current_width: String,
    pub(super) change: String,
    pub(super) suspects: String,
    pub(super) classes: Vec<ClassRow>,
}

pub(super) struct RoundView {
    pub(super) number: i64,
    pub(super) at: Moment,
    pub(super) samples: String,
    pub(super) flagged: String,
    pub(super) reviews: String,
    pub(super) corrections: String,
    pub(super) mean_f1: Option<String>,
    pub(super) training: Option<String>,
}

pub(super) struct SnapshotView {
    pub(super) id: String,
    pub(super) short: String,
    pub(super) at: Moment,
    pub(super) author: String,
    pub(super) reason: String,
    pub(super) labelled: String,
    pub(super) changed: String,
}

pub(super) struct TrainingView {
    pub(super) id: String,
    /// Which models it trained.
    pub(super) what: String,
    pub(super) href: String,
    pub(super) at: Moment,
    pub(super) snapshot: String,
    pub(super) mean_f1: String,
}

pub(super) struct ExportView {
    pub(super) at: Moment,
    pub(super) format: String,
    pub(super) snapshot: String,
    pub(super) rows: String,
    pub(super) href: String,
}

/// Bars at both levels; each level has its own scale.
pub(super) fn class_rows(
    lang: Lang,
    taxonomy: &Taxonomy,
    counts: &[ClassCount],
    dataset_href: &str,
) -> Vec<ClassRow> {
    let row = |id: &str, given: i64, current: i64, most: i64, classes: Vec<ClassRow>| ClassRow {
        class: ClassName::of(taxonomy, id, lang),
        given: lang.number(given),
        current: lang.number(current),
        given_width: bar(given, most),
        current_width: bar(current, most),
        change: match current - given {
            0 => String::new(),
            n if n > 0 => format!("+{}", lang.number(n)),
            n => lang.number(n),
        },
        suspects: format!("{dataset_href}/suspects?{}", address::query(&[("class", id)])),
        classes,
    };
    let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
    let mut below: HashMap<&str, Vec<&ClassCount>> = HashMap::new();
    for c in counts {
        let root = taxonomy.root_of(&c.class).unwrap_or(&c.class);
        let sum = sums.entry(root).or_default();
        sum.0 += c.given;
        sum.1 += c.current;
        if c.class != root {
            below.entry(root).or_default().push(c);
        }
    }
    let most_root = sums.values().map(|(g, c)| *g.max(c)).max().unwrap_or(0);
    let most_class = counts.iter().map(|c| c.given.max(c.current)).max().unwrap_or(0);
    let sums = &sums;
    taxonomy
        .roots()
        .into_iter()
        .map(|root| {
            let below: Vec<ClassRow> = below
                .get(root)
                .into_iter()
                .flatten()
                .map(|c| row(&c.class, c.given, c.current, most_class, Vec::new()))
                .collect();
            let (given, current) = sums.get(root).copied().unwrap_or((0, 0));
            row(root, given, current, most_root, below)
        })
        .collect()
}

/// Counts of samples, and of what is missing in them.
pub(super) fn facts(page: &Reader, c: &DatasetCounts, href: &str) -> (Vec<Fact>, Vec<Fact>) {
    let fact = |key: &str, n: i64, whole: Option<i64>, href: Option<String>| Fact {
        name: page.lang.text(key).to_owned(),
        count: page.lang.number(n),
        width: whole.map(|w| bar(n, w)),
        zero: n == 0,
        href,
    };
    let lacking = |gap: Gap| {
        let query = address::query(&[("missing", gap.as_str())]);
        Some(format!("{href}/samples?{query}"))
    };
    let gap = |gap: Gap, n: i64| {
        fact(&format!("gap.{}", gap.as_str()), n, Some(c.samples), lacking(gap).filter(|_| n > 0))
    };
    let of = Some(c.samples);
    (
        vec![
            fact("dataset.samples", c.samples, None, Some(format!("{href}/samples"))),
            fact("dataset.labelled", c.labelled, of, None),
            fact("dataset.unlabelled", c.unlabelled, of, lacking(Gap::Label)),
            fact("dataset.reviewed", c.reviewed, of, None),
            fact("dataset.corrected", c.corrected, of, None),
        ],
        vec![
            gap(Gap::Title, c.missing_title),
            gap(Gap::Asr, c.missing_asr),
            gap(Gap::Ocr, c.missing_ocr),
            gap(Gap::Media, c.missing_media),
            gap(Gap::BadMedia, c.bad_media),
            gap(Gap::MediaPending, c.media_pending),
        ],
    )
}

impl RoundView {
    pub(super) fn of(page: &Reader, r: &Round, dataset_href: &str) -> Self {
        let number = |n| page.lang.number(n);
        Self {
            number: r.number,
            at: r.scanned_at.into(),
            samples: number(r.n_samples),
            flagged: number(r.n_flagged),
            reviews: number(r.reviews),
            corrections: number(r.corrections),
            mean_f1: r.mean_f1.map(score),
            training: r.training_id.map(|t| format!("{dataset_href}/trainings/{t}")),
        }
    }
}

impl SnapshotView {
    pub(super) fn of(page: &Reader, s: &Snapshot) -> Self {
        Self {
            id: s.id.clone(),
            short: short(&s.id),
            at: s.created_at.into(),
            author: page.author(&s.author),
            // a job that takes a snapshot gives its kind as the reason
            reason: page.lang.find(&format!("job_kind.{}", s.reason)).unwrap_or(&s.reason).to_owned(),
            labelled: page.lang.number(s.n_labelled),
            changed: page.lang.number(s.n_changed),
        }
    }
}

/// The models of a training by kind and number: `single-stream ×2, dual-stream ×2`.
fn kinds(page: &Reader, t: &Training) -> String {
    let family = |f: &ModelFile| f.recipe.pointer("/network/family")?.as_str().map(str::to_owned);
    let mut found: Vec<(String, usize)> = Vec::new();
    for name in t.models.0.iter().filter_map(family) {
        match found.iter_mut().find(|(n, _)| *n == name) {
            Some((_, n)) => *n += 1,
            None => found.push((name, 1)),
        }
    }
    let one = |(name, n): &(String, usize)| {
        let key = format!("family.{name}");
        let name = page.lang.find(&key).unwrap_or(name);
        if *n > 1 { format!("{name} ×{n}") } else { name.to_owned() }
    };
    found.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The recipes that come with the service, in the order in which a round gets to them, and a plain mlp.
const PRESETS: [&str; 6] = ["quick", "mlp", "single", "dual", "ensemble", "winner"];
const STUDENTS: [&str; 3] = ["mlp", "single", "dual"];
const MLP: &str = "network.family = \"mlp\"";

pub(super) fn recipes(page: &Reader, names: &[&str]) -> Vec<(String, String)> {
    let worded = |name: &&str| {
        let recipe = if *name == "mlp" { MLP } else { name };
        (recipe.to_owned(), page.lang.text(&format!("recipe.{name}")).to_owned())
    };
    names.iter().map(worded).collect()
}

impl TrainingView {
    pub(super) fn of(page: &Reader, t: &Training, dataset_href: &str) -> Self {
        Self {
            id: t.id.to_string(),
            what: kinds(page, t),
            href: format!("{dataset_href}/trainings/{}", t.id),
            at: t.created_at.into(),
            snapshot: short(&t.snapshot_id),
            mean_f1: t.metrics.get("mean_f1").and_then(|v| v.as_f64()).map_or_else(|| "–".into(), score),
        }
    }
}

impl ExportView {
    pub(super) fn of(page: &Reader, e: &Export, api: &str) -> Self {
        let rows = e.manifest.get("rows").or_else(|| e.manifest.get("n_rows")).and_then(|v| v.as_i64());
        Self {
            at: e.created_at.into(),
            format: e.format.clone(),
            snapshot: short(&e.snapshot_id),
            rows: rows.map_or_else(|| "–".into(), |n| page.lang.number(n)),
            href: format!("{api}/exports/{}/download", e.id),
        }
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let id = dataset.id;
    let href = address::dataset(&dataset.name);
    let api = format!("/api/v1{href}");
    let taxonomy = store.taxonomy(id).await?;
    let counts = store.dataset_counts(id).await?;
    let classes = store.class_counts(id).await?;
    let scan = store.latest_scan(id).await?;
    let jobs = store.jobs(None, Some(id), None, RECENT).await?.items;
    let rounds = store.rounds(id, RECENT).await?;
    let snapshots = store.snapshots(id, None, RECENT).await?.items;
    let trainings = store.trainings(id, None, RECENT).await?.items;
    let exports = store.exports(id, None, RECENT).await?.items;
    let sets = store.prediction_sets(id, None, RECENT).await?.items;
    let newest = snapshots.first().map(|s| s.id.as_str());
    let learning = match &scan {
        Some(s) => Some(LearningView::of(&page, &rerank::learning(&services, id, s).await?, s.n_samples)),
        None => None,
    };
    let (facts, gaps) = facts(&page, &counts, &href);
    render(&DatasetPage {
        learning,
        predictions: PredictionsView::of(&page, &sets, &api, newest),
        facts,
        gaps,
        noise: scan.as_ref().and_then(|s| noise(&page, &taxonomy, &s.summary)),
        scan: scan.as_ref().map(|s| ScanView::of(&page, s)),
        roots: class_rows(page.lang, &taxonomy, &classes, &href),
        n_classes: i64::try_from(taxonomy.n_classes()).unwrap_or(i64::MAX),
        unfolded: taxonomy.n_classes() <= UNFOLDED_CLASSES,
        jobs: jobs.iter().map(|j| JobView::of(&page, j, None)).collect(),
        rounds: rounds.iter().map(|r| RoundView::of(&page, r, &href)).collect(),
        snapshots: snapshots.iter().map(|s| SnapshotView::of(&page, s)).collect(),
        presets: recipes(&page, &PRESETS),
        students: recipes(&page, &STUDENTS),
        trainings: trainings.iter().map(|t| TrainingView::of(&page, t, &href)).collect(),
        exports: exports.iter().map(|e| ExportView::of(&page, e, &api)).collect(),
        name: dataset.name,
        href,
        api,
        page,
    })
}

impl ScanView {
    pub(super) fn of(page: &Reader, s: &Scan) -> Self {
        Self {
            at: s.created_at.into(),
            flagged: page.lang.number(s.n_flagged),
            samples: page.lang.number(s.n_samples),
        }
    }
}
