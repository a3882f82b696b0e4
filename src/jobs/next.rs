//! What to do next: actions ranked by predicted gain in mean F1 per hour, each with its evidence. What was
//! never measured here has no predicted gain, and says so.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ledger::{LINES, by_setting, per_correction};
use super::measures::{self, AHEAD};
use super::{JobError, Services};
use crate::detect::value::{Reviewer, outlook};
use crate::domain::ledger::settings;
use crate::domain::{Change, Field, Note, Split};
use crate::store::ledger::Entry;

/// Reviews that are looked ahead.
const REVIEWS: usize = 500;
/// Classes that are topped up at once.
const WEAKEST: usize = 10;
/// A field that fewer samples lack is there.
const MISSING: f64 = 0.5;
/// Seconds for a decision where no time is known.
const ASSUMED: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Review `n` more suspects.
    Review,
    /// Label `n` more samples of `classes`.
    TopUp,
    /// Bring texts of `field`.
    AddField,
    /// Set `change` in the recipe.
    Switch,
    /// Review `n` held-out samples, so that scores can be trusted.
    Verify,
}

impl ActionKind {
    pub const ALL: [Self; 5] = [Self::Review, Self::TopUp, Self::AddField, Self::Switch, Self::Verify];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::TopUp => "top_up",
            Self::AddField => "add_field",
            Self::Switch => "switch",
            Self::Verify => "verify",
        }
    }
}

/// A predicted gain in mean F1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Predicted {
    pub gain: f64,
    pub low: f64,
    pub high: f64,
}

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Action {
    pub action: ActionKind,
    pub n: usize,
    pub classes: Vec<String>,
    pub field: Option<Field>,
    /// Of the samples to verify; null where a random share was held out.
    pub split: Option<Split>,
    pub change: Option<Change>,
    /// Null where nothing like it has been measured in this dataset.
    pub predicted: Option<Predicted>,
    /// It cannot bring more than this.
    pub at_most: Option<f64>,
    pub human_hours: f64,
    /// Of one training.
    pub machine_hours: f64,
    /// Predicted gain by all hours; the actions are ranked by it.
    pub gain_per_hour: Option<f64>,
    pub evidence: Vec<Note>,
}

/// How right earlier predictions were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Record {
    /// Lines of the ledger with a prediction and a measurement.
    pub predictions: usize,
    /// Mean of |predicted - measured|, in mean F1.
    pub mean_error: f64,
    /// Predictions within the interval of what was measured.
    pub inside: usize,
}

/// What to do next, most worth first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NextReport {
    pub actions: Vec<Action>,
    /// Null before the first prediction could be checked.
    pub record: Option<Record>,
    /// Lines of the ledger.
    pub lines: usize,
    /// Those of them that measured a gain.
    pub measured: usize,
}

/// A class as the last training left it.
#[derive(Clone, Debug)]
struct ClassFact {
    id: String,
    f1: f64,
    labels: i64,
}

/// What reviewing `n` more is expected to mend and to break.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    n: usize,
    corrected: f64,
    broken: f64,
}

/// All that the ranking rests on.
#[derive(Clone, Debug, Default)]
struct Facts {
    entries: Vec<Entry>,
    ahead: Option<Ahead>,
    classes: Vec<ClassFact>,
    /// Share of samples without the field.
    missing: Vec<(Field, f64)>,
    recipe: Value,
    /// Samples that the last training was measured on, and those of them that are verified.
    held_out: Option<(i64, i64)>,
    /// What they are, but for a random share.
    held_out_split: Option<Split>,
    /// Milliseconds a decision takes, of all people together.
    median_ms: Option<f64>,
}

/// What to do next in a dataset. O(suspects ahead).
pub async fn next(services: &Services, dataset: Uuid) -> Result<NextReport, JobError> {
    let store = &services.store;
    let mut facts = Facts { entries: store.ledger(dataset, None, LINES).await?.items, ..Facts::default() };
    if let Some(scan) = store.latest_scan_head(dataset).await? {
        let ahead = store.open_suspicions(scan.id, AHEAD).await?;
        let p: Vec<f64> = ahead.iter().map(|s| f64::from(*s).clamp(0.0, 1.0)).collect();
        let reviewer = Reviewer::measured(measures::known(store.settled(dataset).await?.iter()));
        let look = outlook(&p, reviewer, REVIEWS).ok().filter(|_| !p.is_empty());
        facts.ahead = look.map(|o| Ahead { n: o.next, corrected: o.corrected, broken: o.broken });
    }
    let counts = store.dataset_counts(dataset).await?;
    let share = |n: i64| n as f64 / counts.samples.max(1) as f64;
    facts.missing = vec![
        (Field::Title, share(counts.missing_title)),
        (Field::Asr, share(counts.missing_asr)),
        (Field::Ocr, share(counts.missing_ocr)),
    ];
    if let Some(last) = store.trainings(dataset, None, 1).await?.items.pop() {
        let labels: std::collections::HashMap<String, i64> =
            store.class_counts(dataset).await?.into_iter().map(|c| (c.class, c.current)).collect();
        let list = |key: &str| last.metrics.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        facts.classes = list("classes")
            .iter()
            .zip(list("per_class"))
            .filter_map(|(id, m)| {
                let id = id.as_str()?.to_owned();
                let labels = labels.get(&id).copied().unwrap_or(0);
                Some(ClassFact { f1: m.get("f1")?.as_f64()?, labels, id })
            })
            .collect();
        let n = |pointer: &str| last.metrics.pointer(pointer).and_then(Value::as_i64);
        facts.held_out = n("/n").zip(n("/verified/n"));
        facts.held_out_split = last.metrics.get("held_out").and_then(Value::as_str).and_then(Split::parse);
        facts.recipe = last.recipe;
    }
    facts.median_ms = store.times(dataset, None).await?.map(|t| t.median);
    Ok(report(&facts))
}

/// Hours of one decision and of one training, and what they rest on.
struct Costs {
    decision: f64,
    training: f64,
    evidence: Note,
}

fn costs(facts: &Facts) -> Costs {
    let timed: Vec<&Entry> = facts.entries.iter().filter(|e| e.human_ms > 0 && e.reviews > 0).collect();
    let reviews: i64 = timed.iter().map(|e| e.reviews).sum();
    let spent: i64 = timed.iter().map(|e| e.human_ms).sum();
    let from_ledger = (reviews > 0).then(|| spent as f64 / reviews as f64);
    let ms = from_ledger.or(facts.median_ms);
    let seconds = ms.map_or(ASSUMED, |ms| ms / 1000.0);
    let shown = format!("{seconds:.1}");
    let evidence = match ms {
        Some(_) => Note::new("next_pace").with("seconds", shown),
        None => Note::new("next_assumed_pace").with("seconds", shown),
    };
    let lines = facts.entries.len().max(1) as f64;
    let training = facts.entries.iter().map(|e| e.machine_seconds).sum::<f64>() / lines / 3600.0;
    Costs { decision: seconds / 3600.0, training, evidence }
}

fn report(facts: &Facts) -> NextReport {
    let costs = costs(facts);
    let mut actions: Vec<Action> = [review(facts, &costs), top_up(facts, &costs), verify(facts, &costs)]
        .into_iter()
        .flatten()
        .chain(add_fields(facts, &costs))
        .chain(switches(facts, &costs))
        .collect();
    for a in &mut actions {
        let hours = a.human_hours + a.machine_hours;
        a.gain_per_hour = a.predicted.filter(|_| hours > 0.0).map(|p| p.gain / hours);
    }
    // stable: what is not measured keeps the order above
    actions.sort_by(|a, b| {
        b.gain_per_hour.is_some().cmp(&a.gain_per_hour.is_some()).then_with(|| {
            let value = |a: &Action| a.gain_per_hour.unwrap_or(0.0);
            value(b).total_cmp(&value(a))
        })
    });
    let measured = facts.entries.iter().filter(|e| e.measured.is_some()).count();
    NextReport { actions, record: record(&facts.entries), lines: facts.entries.len(), measured }
}

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

fn review(facts: &Facts, costs: &Costs) -> Option<Action> {
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
fn top_up(facts: &Facts, costs: &Costs) -> Option<Action> {
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

fn verify(facts: &Facts, costs: &Costs) -> Option<Action> {
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
fn mean_of(gains: &[crate::domain::Gain]) -> Predicted {
    let n = gains.len().max(1) as f64;
    Predicted {
        gain: gains.iter().map(|g| g.gain).sum::<f64>() / n,
        low: gains.iter().map(|g| g.low).fold(f64::INFINITY, f64::min),
        high: gains.iter().map(|g| g.high).fold(f64::NEG_INFINITY, f64::max),
    }
}

fn add_fields(facts: &Facts, costs: &Costs) -> Vec<Action> {
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

/// Settings that brought something when they were tried, and that the last recipe has not.
fn switches(facts: &Facts, costs: &Costs) -> Vec<Action> {
    let now = settings(&facts.recipe);
    let mut found: Vec<Action> = by_setting(&facts.entries)
        .into_iter()
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

fn record(entries: &[Entry]) -> Option<Record> {
    let checked: Vec<(f64, crate::domain::Gain)> =
        entries.iter().filter_map(|e| Some((e.expected_gain?, e.measured?))).collect();
    (!checked.is_empty()).then(|| Record {
        predictions: checked.len(),
        mean_error: checked.iter().map(|(p, g)| (p - g.gain).abs()).sum::<f64>() / checked.len() as f64,
        inside: checked.iter().filter(|(p, g)| (g.low..=g.high).contains(p)).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::ledger::tests::line;
    use super::*;
    use crate::domain::Step;
    use serde_json::json;

    fn facts() -> Facts {
        let class = |id: &str, f1, labels| ClassFact { id: id.into(), f1, labels };
        Facts {
            ahead: Some(Ahead { n: 500, corrected: 110.0, broken: 10.0 }),
            classes: vec![
                class("a", 0.9, 100),
                class("b", 0.8, 90),
                class("c", 0.4, 20),
                class("d", 0.85, 15),
            ],
            missing: vec![(Field::Title, 0.1), (Field::Ocr, 0.7)],
            recipe: json!({"fields": ["frames", "title"], "ema": false}),
            held_out: Some((200, 50)),
            ..Facts::default()
        }
    }

    #[test]
    fn nothing_is_foretold_before_anything_was_measured() {
        let said = report(&facts());
        assert!(said.actions.iter().all(|a| a.predicted.is_none() && a.gain_per_hour.is_none()));
        assert_eq!(said.record, None);
        let kinds: Vec<ActionKind> = said.actions.iter().map(|a| a.action).collect();
        assert_eq!(kinds, [ActionKind::Review, ActionKind::TopUp, ActionKind::Verify, ActionKind::AddField]);
        let codes: Vec<&str> = said.actions[0].evidence.iter().map(|n| n.code.as_str()).collect();
        assert_eq!(codes, ["next_outlook", "next_no_corrections", "next_assumed_pace"]);
        // 500 decisions of 10 s
        assert!((said.actions[0].human_hours - 500.0 * 10.0 / 3600.0).abs() < 1e-9);
        // only class c is both small and weak: up to the median 0.85, a quarter of a quarter of it
        assert_eq!(said.actions[1].classes, ["c"]);
        assert!((said.actions[1].at_most.unwrap() - 0.45 / 4.0 / 4.0).abs() < 1e-12);
        assert_eq!(said.actions[1].n, 70);
        assert_eq!(said.actions[2].n, 150);
        assert_eq!(said.actions[3].field, Some(Field::Ocr));
    }

    #[test]
    fn what_was_measured_is_ranked_by_gain_per_hour_and_checked_against_what_was_foretold() {
        let mut facts = facts();
        let mut ema = line(Step::Recipe, 0, Some(0.02));
        ema.changes = vec![Change { key: "ema".into(), from: "false".into(), to: "true".into() }];
        let mut harmful = line(Step::Recipe, 0, Some(-0.02));
        harmful.changes = vec![Change { key: "ema".into(), from: "false".into(), to: "slow".into() }];
        let mut labels = line(Step::Labels, 100, Some(0.03));
        labels.expected_gain = Some(0.028);
        facts.entries = vec![labels, ema, harmful];
        let said = report(&facts);
        // EMA costs half a minute of machine time; 500 reviews at 5 s cost 0.69 h
        assert_eq!(said.actions[0].action, ActionKind::Switch);
        assert_eq!(said.actions[0].change.as_ref().unwrap().to, "true");
        let review = &said.actions[1];
        assert_eq!(review.action, ActionKind::Review);
        let p = review.predicted.unwrap();
        assert!((p.gain - 0.03).abs() < 1e-12 && (p.low - 0.02).abs() < 1e-12, "100 net corrections: {p:?}");
        let hours = 500.0 * 5.0 / 3600.0 + 30.0 / 3600.0;
        assert!((review.gain_per_hour.unwrap() - 0.03 / hours).abs() < 1e-9);
        let record = said.record.unwrap();
        assert_eq!((record.predictions, record.inside), (1, 1));
        assert!((record.mean_error - 0.002).abs() < 1e-12);
        assert_eq!(said.lines, 3);
        // reviewing that breaks more than it mends is no advice
        facts.ahead = Some(Ahead { n: 500, corrected: 3.0, broken: 9.0 });
        assert!(report(&facts).actions.iter().all(|a| a.action != ActionKind::Review));
    }
}
