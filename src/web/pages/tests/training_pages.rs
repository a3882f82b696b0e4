//! The pages of trainings, of the ledger and of what to do next.

use super::*;
use crate::domain::{BadCase, BadCases, CaseCount, Change, Gain, Over, Step};
use crate::jobs::judge::{Confusion, NodeCell, TrainingReport};
use crate::jobs::next::{Action, ActionKind, NextReport, Predicted, Record};
use crate::store::Page;
use crate::store::ledger::{Correction, Entry, Move};
use crate::store::trainings::CurvePoint;

fn gain(gain: f64) -> Gain {
    Gain { before: Some(0.612), gain, low: gain - 0.006, high: gain + 0.007, over: Over::Samples, n: 618 }
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

fn round(number: i64, errors: Option<u64>) -> Round {
    let causes = |errors: u64| {
        let count = |case: BadCase| CaseCount {
            case,
            main: if case == BadCase::LabelError { errors } else { 0 },
            any: if case == BadCase::LabelError { errors } else { 0 },
            selection: (case == BadCase::LabelError).then(|| Uuid::from_u128(number as u128)),
        };
        let causes = BadCase::ALL.into_iter().map(count).collect();
        BadCases { n: 618, errors: errors + 7, unexplained: 7, causes }
    };
    Round {
        number,
        scan_id: Uuid::nil(),
        snapshot_id: "9f2c4b1d00aa77".into(),
        scanned_at: at(11),
        n_samples: 3_088,
        n_flagged: 214,
        reviews: 500,
        corrections: 131,
        training_id: Some(Uuid::from_u128(2)),
        mean_f1: Some(0.83),
        bad_cases: errors.map(|e| sqlx::types::Json(causes(e))),
    }
}

fn told(page: &Reader, line: Option<Entry>, epochs: i32) -> report::Told {
    let points: Vec<CurvePoint> = (0..epochs)
        .map(|epoch| CurvePoint {
            id: i64::from(epoch),
            model: 0,
            name: "single 0".into(),
            epoch,
            curve: json!({"epochs": epochs, "loss": 2.4 / f64::from(epoch + 1), "learning_rate": 5e-4, "seconds_left": 0.0,
                "validation": {"mean_f1": 0.8 - 0.5 / f64::from(epoch + 1)}}),
        })
        .collect();
    let fixed = Correction {
        external_id: "v17".into(),
        title: "First ollie".into(),
        from: Some("kickflip".into()),
        to: Some("ollie".into()),
        poster_blob: None,
    };
    report::Told {
        round: round(3, None),
        scan: scan(),
        moves: vec![Move { from: fixed.from.clone(), to: fixed.to.clone(), n: 61 }],
        fixed: vec![(fixed, None)],
        training: Some(training(2, 0.0123)),
        before: Some(training(1, 0.0)),
        line,
        curves: curves::views(page, &points),
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

/// A file of its own: its style is in it, which pages may not have.
pub(super) fn report_in(lang: &str, line: Option<Entry>, epochs: i32) -> String {
    let page = reader(lang, "light", HREF);
    let told = told(&page, line, epochs);
    html(&report::view(page, NAME, &taxonomy(), told))
}

pub(super) fn round_line() -> Option<Entry> {
    Some(ledger_lines().remove(1))
}

#[test]
fn a_report_leads_with_what_the_round_gained_then_says_why_and_draws_the_epochs() {
    for (lang, words, news) in [
        (
            "en",
            ["from 0.612 to 0.633", "What was wrong", "What was fixed", "epoch by epoch"],
            "corrected 131 labels",
        ),
        ("zh-CN", ["从 0.612 到 0.633", "问题在哪里", "改正了什么", "逐轮训练曲线"], "改正了 131 个标签"),
    ] {
        let report = report_in(lang, round_line(), 8);
        let places = words.map(|w| report.find(w).unwrap_or_else(|| panic!("{w}: {report}")));
        assert!(places.is_sorted(), "{places:?}");
        assert!(report.find("+0.021").unwrap() < places[1] && report.contains(news), "{report}");
        assert!(report.contains("+0.015") && report.contains("+0.028"), "the interval: {report}");
        assert_eq!(report.matches("<polyline").count(), 2, "loss and score of one network");
    }
    let unmeasured = report_in("en", Some(Entry { measured: None, ..ledger_lines().remove(1) }), 0);
    assert!(unmeasured.contains("Not measured") && unmeasured.contains("no epochs"), "{unmeasured}");
    assert!(report_in("en", Some(ledger_lines().remove(2)), 0).contains("This is the first training"));
}

fn judged_page(lang: &str, rounds: &[Round], nodes: &[(&str, &str, u64, u64)]) -> String {
    let (page, t) = (reader(lang, "light", HREF), taxonomy());
    let cell = |&(truth, predicted, count, wrong): &(&str, &str, u64, u64)| NodeCell {
        truth: truth.into(),
        predicted: predicted.into(),
        count,
        wrong,
        selection: (wrong > 0).then(|| Uuid::from_u128(u128::from(wrong))),
    };
    let report = TrainingReport {
        verified: None,
        unverified: None,
        noise: None,
        calibration: serde_json::from_value(json!({"n": 618, "ece": 0.1, "largest_gap": 0.2, "overconfidence": 0.0, "brier": 0.3, "log_loss": 0.5, "bins": []}))
            .unwrap(),
        curves: vec![],
        confusion: Confusion { nodes: nodes.iter().map(cell).collect(), ..Confusion::default() },
        bad_cases: vec![],
        unexplained: 0,
    };
    let judged = judged::view(&page, &t, &report, None, HREF, "x");
    let over_rounds = judged::over_rounds::view(&page, rounds, HREF);
    let shown = training::view(page, NAME, &t, &training(2, 0.0123), None, None);
    html(&training::TrainingPage { judged: Some(judged), over_rounds, ..shown })
}

#[test]
fn errors_by_cause_are_shown_for_every_round_that_counted_them() {
    // newest first, as they come; the second has a training of an older version
    let rounds = [round(4, Some(8)), round(3, Some(31)), round(2, None), round(1, Some(90))];
    for (lang, words) in [("en", "round by round"), ("zh-CN", "各轮的错误原因")] {
        let page = judged_page(lang, &rounds, &[]);
        let table = &page[page.find(words).unwrap_or_else(|| panic!("{page}"))..];
        let places: Vec<usize> = [1u128, 3, 4]
            .iter()
            .map(|n| table.find(&format!("grid?selection={}", Uuid::from_u128(*n))).unwrap())
            .collect();
        assert!(places.is_sorted(), "from the oldest to the newest");
        assert!(table.contains(">90<") && table.contains(">31<") && table.contains(">97<"), "{table}");
        assert!(table.contains("<polyline points=\"0.0,"), "{table}");
    }
    assert!(!judged_page("en", &rounds[..1], &[]).contains("round by round"), "one round is no comparison");
}

#[test]
fn level_one_classes_are_a_picture_whose_squares_lead_to_their_errors() {
    let nodes = [("skate", "skate", 90, 14), ("skate", "robots", 10, 10), ("robots", "robots", 70, 0)];
    let page = judged_page("en", &[], &nodes);
    let picture = &page[page.find("class=\"matrix\"").unwrap_or_else(|| panic!("{page}"))..];
    let picture = &picture[..picture.find("</svg>").unwrap()];
    assert_eq!((picture.matches("<rect").count(), picture.matches("<a href").count()), (3, 2), "{picture}");
    assert!(picture.contains("Skateboarding taken for Robots: 10 (10"), "{picture}");
    assert!(picture.contains("14 of them the wrong class within it"), "{picture}");
    // half as likely is more than half as deep: sqrt(0.1) = 0.32
    assert!(
        picture.contains("fill-opacity=\"0.32\"") && picture.contains("fill-opacity=\"1.00\""),
        "{picture}"
    );
    assert!(!judged_page("en", &[], &nodes[..1]).contains("class=\"matrix\""), "one class is no picture");
    let chinese = judged_page("zh-CN", &[], &nodes);
    assert!(chinese.contains("滑板 被认作 机器人：10 个"), "{chinese}");
}
