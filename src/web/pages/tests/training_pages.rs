//! The pages of trainings, of the ledger and of what to do next.

use super::*;
use crate::domain::{Change, Gain, Over, Step};
use crate::jobs::next::{Action, ActionKind, NextReport, Predicted, Record};
use crate::store::Page;
use crate::store::ledger::Entry;

fn gain(gain: f64) -> Gain {
    Gain { gain, low: gain - 0.006, high: gain + 0.007, over: Over::Samples, n: 618 }
}

fn ledger_lines() -> Vec<Entry> {
    let line = |step: Step, measured: Option<Gain>| Entry {
        id: Uuid::nil(),
        training_id: Some(Uuid::nil()),
        step,
        changes: vec![],
        hypothesis: String::new(),
        expected_gain: None,
        measured,
        reviews: 0,
        corrections: 0,
        human_ms: 0,
        machine_seconds: 41.7,
        cpu_seconds: Some(66.0),
        until: at(12),
        author: "tamis".into(),
        created_at: at(12),
    };
    let change = Change { key: "fields".into(), from: "frames".into(), to: "frames, ocr".into() };
    vec![
        Entry {
            hypothesis: "OCR tells tutorials apart".into(),
            changes: vec![change],
            expected_gain: Some(0.01),
            ..line(Step::Recipe, Some(gain(-0.009)))
        },
        Entry {
            reviews: 500,
            corrections: 131,
            human_ms: 1_812_000,
            ..line(Step::Labels, Some(gain(0.021)))
        },
        line(Step::First, None),
    ]
}

fn next_report() -> NextReport {
    let action = |action: ActionKind, predicted: Option<f64>| Action {
        action,
        n: 500,
        classes: vec![],
        field: None,
        split: None,
        change: None,
        predicted: predicted.map(|g| Predicted { gain: g, low: g / 2.0, high: g * 1.5 }),
        at_most: None,
        human_hours: 0.7,
        machine_hours: 0.1,
        gain_per_hour: predicted.map(|g| g / 0.8),
        evidence: vec![Note::new("next_pace").with("seconds", "5.0")],
    };
    NextReport {
        actions: vec![
            action(ActionKind::Review, Some(0.017)),
            Action {
                classes: vec!["lip".into(), "arm".into()],
                at_most: Some(0.02),
                ..action(ActionKind::TopUp, None)
            },
            Action { field: Some(Field::Ocr), ..action(ActionKind::AddField, None) },
            Action {
                split: Some(Split::Validation),
                machine_hours: 0.01,
                ..action(ActionKind::Verify, None)
            },
        ],
        record: Some(Record { predictions: 3, mean_error: 0.004, inside: 2 }),
        lines: 5,
        measured: 4,
    }
}

pub(super) fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    let t = taxonomy();
    let name = NAME;
    let page = reader(lang, theme, HREF);
    vec![
        (
            "training",
            html(&training::view(
                page.clone(),
                name,
                &t,
                &training(2, 0.0123),
                Some(&training(1, 0.0)),
                Some(gain(0.012)),
            )),
        ),
        ("next", html(&ledger::next_view(page.clone(), name.into(), &t, &next_report()))),
        (
            "ledger",
            html(&ledger::ledger_view(
                page.clone(),
                name.into(),
                &Page { items: ledger_lines(), next: None },
            )),
        ),
    ]
}

#[test]
fn held_out_samples_are_verified_in_their_own_split_and_small_costs_are_not_nothing() {
    let pages = pages("en", "light");
    let next = &pages.iter().find(|(name, _)| *name == "next").unwrap().1;
    assert!(next.contains("/samples?split=validation") && !next.contains("split=test"));
    assert!(next.contains("&lt;0.1 h of machine") || next.contains("&#60;0.1 h of machine"), "{next}");
    assert!(!next.contains("Nothing has been measured"));
}
