//! What to do next: actions ranked by predicted gain in mean F1 per hour, each with its evidence. What was
//! never measured here has no predicted gain, and says so.

mod actions;
mod facts;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use self::actions::{add_fields, review, switches, top_up, verify};
use self::facts::{Facts, costs};
use super::{JobError, Services};
use crate::domain::{Change, Field, Gain, Note, Split};
use crate::store::ledger::Entry;

/// Reviews that are looked ahead.
const REVIEWS: usize = 500;

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

/// What to do next in a dataset. O(suspects ahead).
pub async fn next(services: &Services, dataset: Uuid) -> Result<NextReport, JobError> {
    Ok(report(&Facts::load(services, dataset).await?))
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

fn record(entries: &[Entry]) -> Option<Record> {
    let checked: Vec<(f64, Gain)> =
        entries.iter().filter_map(|e| Some((e.expected_gain?, e.measured?))).collect();
    (!checked.is_empty()).then(|| Record {
        predictions: checked.len(),
        mean_error: checked.iter().map(|(p, g)| (p - g.gain).abs()).sum::<f64>() / checked.len() as f64,
        inside: checked.iter().filter(|(p, g)| (g.low..=g.high).contains(p)).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::facts::{Ahead, ClassFact};
    use super::*;
    use crate::domain::Step;
    use crate::jobs::ledger::tests::line;
    use crate::train::Recipe;
    use crate::train::recipe::Family;

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
            recipe: serde_json::to_value(Recipe::of(Family::Mlp)).unwrap(),
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
        ema.changes = vec![Change { key: "regularise.ema".into(), from: "0".into(), to: "0.999".into() }];
        let mut harmful = line(Step::Recipe, 0, Some(-0.02));
        harmful.changes = vec![Change { key: "regularise.ema".into(), from: "0".into(), to: "0.9".into() }];
        let mut labels = line(Step::Labels, 100, Some(0.03));
        labels.expected_gain = Some(0.028);
        // brought much, to a network that reads tokens; the recipe at hand reads pooled vectors
        let mut words = line(Step::Elsewhere, 0, Some(0.3));
        words.changes = vec![Change { key: "text.unit".into(), from: "char".into(), to: "word".into() }];
        facts.entries = vec![labels, ema, harmful, words];
        let said = report(&facts);
        // EMA costs half a minute of machine time; 500 reviews at 5 s cost 0.69 h
        assert_eq!(said.actions[0].action, ActionKind::Switch);
        assert_eq!(said.actions[0].change.as_ref().unwrap().to, "0.999");
        assert_eq!(said.actions.iter().filter(|a| a.action == ActionKind::Switch).count(), 1, "{said:?}");
        let review = &said.actions[1];
        assert_eq!(review.action, ActionKind::Review);
        let p = review.predicted.unwrap();
        assert!((p.gain - 0.03).abs() < 1e-12 && (p.low - 0.02).abs() < 1e-12, "100 net corrections: {p:?}");
        let hours = 500.0 * 5.0 / 3600.0 + 30.0 / 3600.0;
        assert!((review.gain_per_hour.unwrap() - 0.03 / hours).abs() < 1e-9);
        let record = said.record.unwrap();
        assert_eq!((record.predictions, record.inside), (1, 1));
        assert!((record.mean_error - 0.002).abs() < 1e-12);
        assert_eq!(said.lines, 4);
        // reviewing that breaks more than it mends is no advice
        facts.ahead = Some(Ahead { n: 500, corrected: 3.0, broken: 9.0 });
        assert!(report(&facts).actions.iter().all(|a| a.action != ActionKind::Review));
    }
}
