//! The ledger of trainings: what each brought over the one before it, measured on the same samples with the
//! same labels, and what its reviews and its machine time cost.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::predict::{PredictRefusal, served};
use super::progress::Progress;
use super::train::{Classes, changes};
use super::{JobError, Services};
use crate::domain::{Change, Gain, Note, Over, Step};
use crate::store::ledger::Entry;
use crate::store::trainings::Training;
use crate::train::linear::argmax_rows;
use crate::train::paired_gain;

/// Two trainings that share fewer samples that neither learnt from are not compared.
const FEWEST: usize = 20;
/// Draws of the bootstrap times samples: bounds its time to some seconds.
const DRAWN: usize = 40_000_000;
/// Lines that a forecast rests on, the newest.
pub(super) const LINES: i64 = 200;
/// Longest hypothesis, in characters.
const MAX_HYPOTHESIS: usize = 400;

/// An experiment that was run elsewhere.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Experiment {
    /// What was tried and why, 1 to 400 characters.
    pub hypothesis: String,
    /// What was set to another value.
    pub changes: Vec<Change>,
    /// Gain in mean F1 that was expected, in [-1, 1].
    pub expected_gain: Option<f64>,
    /// Gain in mean F1 with each seed, at least two, in [-1, 1].
    #[schema(example = json!([0.012, 0.009, 0.015]))]
    pub gains: Vec<f64>,
    pub machine_seconds: f64,
    pub cpu_seconds: Option<f64>,
    pub human_minutes: f64,
}

pub(super) fn check_hypothesis(text: &str) -> Result<(), JobError> {
    if text.chars().count() <= MAX_HYPOTHESIS {
        return Ok(());
    }
    let why = format!("a hypothesis is at most {MAX_HYPOTHESIS} characters long");
    Err(JobError::Refused { field: "hypothesis", why })
}

pub(super) fn check_expected(gain: Option<f64>) -> Result<(), JobError> {
    match gain {
        Some(g) if !(-1.0..=1.0).contains(&g) => Err(JobError::Refused {
            field: "expected_gain",
            why: "a gain in mean F1 lies in [-1, 1]".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Writes an experiment down.
///
/// # Errors
/// Refused with the field: no hypothesis, fewer than two gains, values out of range.
pub async fn write_down(
    services: &Services,
    dataset: Uuid,
    e: Experiment,
    author: &str,
) -> Result<Entry, JobError> {
    let refuse = |field, why: &str| Err(JobError::Refused { field, why: why.to_owned() });
    let hypothesis = e.hypothesis.trim();
    if hypothesis.is_empty() {
        return refuse("hypothesis", "say what was tried");
    }
    check_hypothesis(hypothesis)?;
    check_expected(e.expected_gain)?;
    if e.gains.iter().any(|g| !(-1.0..=1.0).contains(g)) {
        return refuse("gains", "gains in mean F1 lie in [-1, 1]");
    }
    let Some(measured) = over_seeds(&e.gains) else {
        return refuse("gains", "an interval needs the gains of two seeds or more");
    };
    let times = [
        ("machine_seconds", e.machine_seconds),
        ("cpu_seconds", e.cpu_seconds.unwrap_or_default()),
        ("human_minutes", e.human_minutes),
    ];
    for (field, value) in times {
        if !(0.0..1e9).contains(&value) {
            return refuse(field, "a time is a number from 0");
        }
    }
    let entry = Entry {
        id: Uuid::now_v7(),
        training_id: None,
        step: Step::Elsewhere,
        changes: e.changes,
        hypothesis: hypothesis.to_owned(),
        expected_gain: e.expected_gain,
        measured: Some(measured),
        reviews: 0,
        corrections: 0,
        human_ms: (e.human_minutes * 60_000.0).round() as i64,
        machine_seconds: e.machine_seconds,
        cpu_seconds: e.cpu_seconds,
        until: Utc::now(),
        author: author.to_owned(),
        created_at: Utc::now(),
    };
    services.store.insert_ledger(dataset, &entry).await?;
    // with its times as the database keeps them
    let written = services.store.ledger(dataset, None, LINES).await?.items;
    Ok(written.into_iter().find(|e| e.id == entry.id).unwrap_or(entry))
}

/// Mean gain over seeds with its 95 % interval (Student's t); nothing for fewer than two.
pub(super) fn over_seeds(gains: &[f64]) -> Option<Gain> {
    // 97.5 % points of Student's t by degrees of freedom; beyond them 1.96 + 2.4 / df is right to 0.002
    const T: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
        2.045, 2.042,
    ];
    let df = gains.len().checked_sub(1).filter(|df| *df > 0)?;
    let n = gains.len() as f64;
    let gain = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|g| (g - gain).powi(2)).sum::<f64>() / df as f64;
    let t = T.get(df - 1).copied().unwrap_or(1.96 + 2.4 / df as f64);
    let half = t * (variance / n).sqrt();
    let n = i64::try_from(gains.len()).unwrap_or(i64::MAX);
    Some(Gain { before: None, gain, low: gain - half, high: gain + half, over: Over::Seeds, n })
}

/// What a training was measured on, and its answers there, row by row.
#[derive(Clone, Debug)]
pub(super) struct HeldOut {
    pub(super) ids: Vec<i64>,
    pub(super) truth: Vec<usize>,
    pub(super) predicted: Vec<usize>,
}

/// What the training brought over `before`: both on the samples that neither was trained on, with the
/// labels of now. Nothing where they share too few, know other classes, or `before` cannot be run.
pub(super) async fn gain_over(
    services: &Services,
    dataset: Uuid,
    before: &Training,
    held: &HeldOut,
    classes: &Classes,
    progress: &Progress,
) -> Result<Option<Gain>, JobError> {
    let Some(blob) = &before.held_out_blob else { return Ok(None) };
    let known = services.blobs.get(blob).await?;
    let known: HashSet<i64> =
        serde_json::from_slice(&known).map_err(|e| JobError::broke("doing.blobs", e))?;
    let rows: Vec<usize> = (0..held.ids.len()).filter(|&i| known.contains(&held.ids[i])).collect();
    if rows.len() < FEWEST {
        return Ok(None);
    }
    let model = match served(services, before).await {
        Ok(model) => model,
        Err(PredictRefusal::NoRuntime) => return Ok(None),
        Err(e) => {
            progress.log("warn", Note::new("previous_not_run").with("why", e)).await?;
            return Ok(None);
        }
    };
    if model.classes != classes.ids {
        return Ok(None);
    }
    let ids: Vec<i64> = rows.iter().map(|&i| held.ids[i]).collect();
    let said = model.probabilities(services, dataset, &ids).await?;
    let roots = classes.roots.clone();
    let of = |all: &[usize]| rows.iter().map(|&i| all[i]).collect::<Vec<_>>();
    let (truth, after) = (of(&held.truth), of(&held.predicted));
    let n = rows.len();
    let compare = move || {
        let before = argmax_rows(said.view());
        let draws = (DRAWN / n).clamp(100, 1000);
        paired_gain(&truth, &before, &after, &roots, draws, 0)
    };
    let g = tokio::task::spawn_blocking(compare).await?;
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    Ok(Some(Gain { before: Some(g.before), gain: g.gain, low: g.low, high: g.high, over: Over::Samples, n }))
}

/// What a training's line says that only its job knows.
pub(super) struct Tried {
    pub(super) hypothesis: String,
    pub(super) expected_gain: Option<f64>,
    pub(super) measured: Option<Gain>,
    pub(super) machine_seconds: f64,
    pub(super) cpu_seconds: f64,
    /// When its labels were read.
    pub(super) until: DateTime<Utc>,
}

/// Writes the line of a training; `before` is the one it is compared with.
pub(super) async fn enter(
    services: &Services,
    dataset: Uuid,
    training: &Training,
    before: Option<&Training>,
    tried: Tried,
) -> Result<(), JobError> {
    let store = &services.store;
    let earlier = store.ledger(dataset, None, LINES).await?.items;
    let from = match before {
        Some(b) => Some(store.ledger_of(dataset, b.id).await?.map_or(b.created_at, |e| e.until)),
        None => None,
    };
    let effort = store.effort(dataset, from, tried.until).await?;
    let changes = before.map_or_else(Vec::new, |b| changes(&b.recipe, &training.recipe));
    let labels = before.is_some_and(|b| b.snapshot_id != training.snapshot_id);
    let step = match (before, labels, changes.is_empty()) {
        (None, ..) => Step::First,
        (_, true, true) => Step::Labels,
        (_, false, false) => Step::Recipe,
        (_, true, false) => Step::Both,
        (_, false, true) => Step::Repeat,
    };
    let foretold = match step {
        Step::Labels => per_correction(&earlier).map(|s| s.gain * effort.corrections as f64),
        _ => None,
    };
    let entry = Entry {
        id: training.id,
        training_id: Some(training.id),
        step,
        changes,
        hypothesis: tried.hypothesis,
        expected_gain: tried.expected_gain.or(foretold),
        measured: tried.measured,
        reviews: effort.reviews,
        corrections: effort.corrections,
        human_ms: effort.human_ms,
        machine_seconds: tried.machine_seconds,
        cpu_seconds: Some(tried.cpu_seconds),
        until: tried.until,
        author: "tamis".to_owned(),
        created_at: Utc::now(),
    };
    Ok(store.insert_ledger(dataset, &entry).await?)
}

/// What one corrected label brought so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PerCorrection {
    pub(super) gain: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Lines and corrections it rests on.
    pub(super) lines: usize,
    pub(super) corrections: i64,
}

/// From the trainings whose only news was corrected labels: their gains together by their corrections
/// together; the ends of the interval likewise, as if the errors of all went the same way.
pub(super) fn per_correction(entries: &[Entry]) -> Option<PerCorrection> {
    let of: Vec<(Gain, i64)> = entries
        .iter()
        .filter(|e| e.step == Step::Labels && e.corrections > 0)
        .filter_map(|e| Some((e.measured?, e.corrections)))
        .collect();
    let corrections: i64 = of.iter().map(|(_, c)| c).sum();
    let sum = |f: fn(&Gain) -> f64| of.iter().map(|(g, _)| f(g)).sum::<f64>() / corrections as f64;
    (!of.is_empty()).then(|| PerCorrection {
        gain: sum(|g| g.gain),
        low: sum(|g| g.low),
        high: sum(|g| g.high),
        lines: of.len(),
        corrections,
    })
}

/// Mean measured gain of the lines whose only news was this setting with this value, the lines, and the ends
/// of their intervals; by (setting, value).
pub(super) fn by_setting(entries: &[Entry]) -> HashMap<(String, String), Vec<Gain>> {
    let mut found = HashMap::<(String, String), Vec<Gain>>::new();
    for e in entries.iter().filter(|e| matches!(e.step, Step::Recipe | Step::Elsewhere | Step::Ablation)) {
        if let ([change], Some(gain)) = (&e.changes[..], e.measured) {
            found.entry((change.key.clone(), change.to.clone())).or_default().push(gain);
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn line(step: Step, corrections: i64, gain: Option<f64>) -> Entry {
        Entry {
            id: Uuid::now_v7(),
            training_id: None,
            step,
            changes: Vec::new(),
            hypothesis: String::new(),
            expected_gain: None,
            measured: gain.map(|g| Gain {
                before: None,
                gain: g,
                low: g - 0.01,
                high: g + 0.01,
                over: Over::Samples,
                n: 100,
            }),
            reviews: corrections * 2,
            corrections,
            human_ms: corrections * 2 * 5_000,
            machine_seconds: 30.0,
            cpu_seconds: Some(55.0),
            until: Utc::now(),
            author: "tamis".into(),
            created_at: Utc::now(),
        }
    }

    #[test]
    fn the_interval_over_seeds_is_students() {
        // scipy.stats.t.interval(0.95, 2, loc=mean, scale=sem) of these
        let g = over_seeds(&[0.012, 0.009, 0.015]).unwrap();
        assert!((g.gain - 0.012).abs() < 1e-12);
        assert!((g.low - 0.004_547_6).abs() < 2e-6 && (g.high - 0.019_452_4).abs() < 2e-6, "{g:?}");
        assert_eq!((g.over, g.n), (Over::Seeds, 3));
        assert!(over_seeds(&[0.1]).is_none() && over_seeds(&[]).is_none());
    }

    #[test]
    fn a_correction_is_worth_what_corrections_alone_brought() {
        let lines = [
            line(Step::Labels, 100, Some(0.03)),
            line(Step::Labels, 300, Some(0.05)),
            // not of corrections alone, or not measured
            line(Step::Both, 500, Some(0.5)),
            line(Step::Labels, 50, None),
            line(Step::Repeat, 0, Some(0.2)),
        ];
        let worth = per_correction(&lines).unwrap();
        assert!((worth.gain - 0.08 / 400.0).abs() < 1e-12);
        assert!((worth.low - 0.06 / 400.0).abs() < 1e-12 && (worth.high - 0.10 / 400.0).abs() < 1e-12);
        assert_eq!((worth.lines, worth.corrections), (2, 400));
        assert!(per_correction(&lines[2..]).is_none());
    }
}
