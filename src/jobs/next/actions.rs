//! The actions that can be proposed, each with what it is predicted to bring, what it costs, and its evidence.

use super::facts::{ClassFact, Costs, Facts};
use super::{Action, ActionKind, Predicted, REVIEWS};
use crate::domain::ledger::settings;
use crate::domain::{Change, Gain, Note};
use crate::jobs::ledger::{by_setting, per_correction};
use crate::jobs::train::applies;

/// Classes that are topped up at once.
const WEAKEST: usize = 10;
/// A field that fewer samples lack is there.
const MISSING: f64 = 0.5;

fn action(kind: ActionKind, costs: &Costs) -> Action {
    Action {
        action: kind,
        n: 0,
        classes: Vec::new(),
        field: None,
        split: None,
        change: None,
        predicted: None,
        at_most: None,
        human_hours: 0.0,
        machine_hours: costs.training,
        gain_per_hour: None,
        evidence: Vec::new(),
    }
}

/// Three decimals, signed.
fn signed(gain: f64) -> String {
    format!("{gain:+.3}")
}

pub(super) fn review(facts: &Facts, costs: &Costs) -> Option<Action> {
    let ahead = facts.ahead?;
    let net = ahead.corrected - ahead.broken;
    if net <= 0.0 {
        return None;
    }
    let worth = per_correction(&facts.entries);
    let outlook = Note::new("next_outlook")
        .with("n", ahead.n)
        .with("corrects", ahead.corrected.round())
        .with("breaks", ahead.broken.round());
    let measured = match worth {
        Some(w) => Note::new("next_corrections")
            .with("lines", w.lines)
            .with("corrections", w.corrections)
            .with("gain", signed(w.gain * 100.0)),
        None => Note::new("next_no_corrections"),
    };
    Some(Action {
        n: ahead.n,
        predicted: worth.map(|w| Predicted { gain: w.gain * net, low: w.low * net, high: w.high * net }),
        human_hours: ahead.n as f64 * costs.decision,
        evidence: vec![outlook, measured, costs.evidence.clone()],
        ..action(ActionKind::Review, costs)
    })
}

/// Small classes with low F1, up to the sizes and scores of those in the middle.
pub(super) fn top_up(facts: &Facts, costs: &Costs) -> Option<Action> {
    let k = facts.classes.len();
    if k < 2 {
        return None;
    }
    let mut sizes: Vec<i64> = facts.classes.iter().map(|c| c.labels).collect();
    let mut scores: Vec<f64> = facts.classes.iter().map(|c| c.f1).collect();
    sizes.sort_unstable();
    scores.sort_unstable_by(f64::total_cmp);
    let (size, score) = (sizes[k / 2], scores[k / 2]);
    let mut weak: Vec<&ClassFact> =
        facts.classes.iter().filter(|c| c.labels < size && c.f1 < score).collect();
    weak.sort_by(|a, b| a.f1.total_cmp(&b.f1));
    weak.truncate(WEAKEST);
    if weak.is_empty() {
        return None;
    }
    let n: i64 = weak.iter().map(|c| size - c.labels).sum();
    let n = usize::try_from(n).unwrap_or(0);
    // level-2 macro F1 is the mean over classes, and one of the four parts of the mean
    let at_most = weak.iter().map(|c| score - c.f1).sum::<f64>() / k as f64 / 4.0;
    let evidence = Note::new(if weak.len() == 1 { "next_weak_one" } else { "next_weak" })
        .with("classes", weak.len())
        .with("size", size)
        .with("f1", format!("{score:.3}"));
    Some(Action {
        n,
        classes: weak.iter().map(|c| c.id.clone()).collect(),
        at_most: Some(at_most),
        human_hours: n as f64 * costs.decision,
        evidence: vec![evidence, costs.evidence.clone()],
        ..action(ActionKind::TopUp, costs)
    })
}

pub(super) fn verify(facts: &Facts, costs: &Costs) -> Option<Action> {
    let (n, verified) = facts.held_out?;
    let left = usize::try_from(n - verified).ok().filter(|l| *l > 0)?;
    let n_next = left.min(REVIEWS);
    Some(Action {
        n: n_next,
        split: facts.held_out_split,
        human_hours: n_next as f64 * costs.decision,
        machine_hours: 0.0,
        evidence: vec![
            Note::new("next_unverified").with("n", n).with("verified", verified),
            costs.evidence.clone(),
        ],
        ..action(ActionKind::Verify, costs)
    })
}

/// The mean of measured gains, with the widest of their intervals' ends.
fn mean_of(gains: &[Gain]) -> Predicted {
    let n = gains.len().max(1) as f64;
    Predicted {
        gain: gains.iter().map(|g| g.gain).sum::<f64>() / n,
        low: gains.iter().map(|g| g.low).fold(f64::INFINITY, f64::min),
        high: gains.iter().map(|g| g.high).fold(f64::NEG_INFINITY, f64::max),
    }
}

pub(super) fn add_fields(facts: &Facts, costs: &Costs) -> Vec<Action> {
    let missing = facts.missing.iter().filter(|(_, share)| *share >= MISSING);
    missing
        .map(|(field, share)| {
            // lines that added this field to the recipe say what it brings
            let holds = |list: &str| list.split(", ").any(|f| f == field.as_str());
            let gains: Vec<_> = facts
                .entries
                .iter()
                .filter(
                    |e| matches!(&e.changes[..], [c] if c.key == "fields" && holds(&c.to) && !holds(&c.from)),
                )
                .filter_map(|e| e.measured)
                .collect();
            let percent = format!("{:.0}", share * 100.0);
            let evidence = match gains.len() {
                0 => Note::new("next_never_tried"),
                n => Note::new("next_tried").with("lines", n).with("gain", signed(mean_of(&gains).gain)),
            };
            Action {
                field: Some(*field),
                predicted: (!gains.is_empty()).then(|| mean_of(&gains)),
                evidence: vec![Note::new("next_missing").with("percent", percent), evidence],
                ..action(ActionKind::AddField, costs)
            }
        })
        .collect()
}

/// Settings that brought something when they were tried, that the last recipe has not, and that would do something
/// in it.
pub(super) fn switches(facts: &Facts, costs: &Costs) -> Vec<Action> {
    let now = settings(&facts.recipe);
    let mut found: Vec<Action> = by_setting(&facts.entries)
        .into_iter()
        .filter(|((key, _), _)| applies(&facts.recipe, key))
        .filter_map(|((key, to), gains)| {
            let from = now.iter().find(|(k, _)| *k == key).map_or_else(String::new, |(_, v)| v.clone());
            let mean = mean_of(&gains);
            let evidence = Note::new("next_tried").with("lines", gains.len()).with("gain", signed(mean.gain));
            (from != to && mean.gain > 0.0).then(|| Action {
                change: Some(Change { key, from, to }),
                predicted: Some(mean),
                evidence: vec![evidence],
                ..action(ActionKind::Switch, costs)
            })
        })
        .collect();
    // a map has no order of its own
    found.sort_by(|a, b| {
        let key = |a: &Action| a.change.as_ref().map(|c| (c.key.clone(), c.to.clone()));
        key(a).cmp(&key(b))
    });
    found
}
