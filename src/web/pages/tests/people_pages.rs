//! The pages about people, guides and versions, from made-up rows.

use askama::Template;

use super::{at, reader, taxonomy};
use crate::jobs::measures::{
    Advice, AgreementReport, ClassLine, ConfusedLine, For, Interval, Measured, PairAgreement, PeopleReport,
    PersonQuality, Rate, Taken, Undefined, YieldLine, YieldReport,
};
use crate::jobs::rerank::Errors;
use crate::jobs::revert::{Change, ChangeCount, Diff};
use crate::store::Page;
use crate::store::guides::{Guide, GuideHead, Ruling};
use crate::store::snapshots::Snapshot;
use crate::web::pages::{guides, quality, snapshots};

fn measured(value: f64) -> Measured {
    let interval = Interval { value, low: value - 0.1, high: value + 0.06 };
    Measured { samples: 240, interval: Some(interval), undefined: None }
}

fn rate(n: usize, hits: usize) -> Rate {
    let share = hits as f64 / n.max(1) as f64;
    let told = |v: f64| (n >= 20).then_some(v);
    Rate { n, hits, enough: n >= 20, share: told(share), low: told(share - 0.05), high: told(share + 0.03) }
}

fn reports(none: bool) -> quality::Reports {
    let nothing = Measured { samples: 0, interval: None, undefined: Some(Undefined::NoOverlap) };
    let of = |value: f64| if none { nothing } else { measured(value) };
    let some = |n: usize| if none { 0 } else { n };
    let stretch = |i: i64| YieldLine {
        from: at(9),
        to: at(10),
        decisions: 50,
        corrections: 24 - 2 * i,
        per_100: (48 - 4 * i) as f64,
        low: (36 - 4 * i).max(0) as f64,
        high: (60 - 4 * i) as f64,
    };
    let person = |name: &str, n: usize| PersonQuality {
        name: name.into(),
        decisions: n as i64 * 9,
        gold: rate(n, n - n / 12),
        consensus: rate(n / 2, n / 2 - 1),
        corrects: rate(n / 3, n / 3 - 1),
        keeps: rate(n, n),
        taken: vec![Taken { class: "ollie".into(), said: "kickflip".into(), n: 4, of: 21 }],
        median_ms: (name == "李雷").then_some(2_340.0),
    };
    quality::Reports {
        agreement: AgreementReport {
            people: some(3),
            decisions: some(496),
            seen_others: some(12),
            raw: of(0.87),
            fleiss: of(0.81),
            krippendorff: of(0.812),
            pairs: (0..some(1))
                .map(|_| PairAgreement { a: "李雷".into(), b: "wu".into(), cohen: measured(0.79) })
                .collect(),
            classes: ["ollie", "kickflip", "dog"][..some(3)]
                .iter()
                .map(|c| ClassLine { class: (*c).into(), samples: 21, share: 0.62, low: 0.41, high: 0.79 })
                .collect(),
            confused: (0..some(1))
                .map(|_| ConfusedLine {
                    a: "ollie".into(),
                    b: "kickflip".into(),
                    samples: 9,
                    of: 31,
                    share: 0.29,
                    low: 0.16,
                    high: 0.47,
                })
                .collect(),
        },
        people: PeopleReport {
            people: if none { vec![] } else { vec![person("李雷", 61), person("wu", 12)] },
            enough: 20,
            pace: None,
        },
        yields: YieldReport {
            decisions: some(600) as i64,
            stretch: 50,
            stretches: (0..some(12) as i64).map(stretch).collect(),
            left: (!none).then_some(Errors { estimate: 140, low: 96, high: 210 }),
            open: (!none).then_some(2_210),
            advice: (!none).then_some(Advice {
                next: 100,
                corrects: 6.2,
                breaks: 4.7,
                pays: 340,
                at_least: false,
                reviewer_corrects: 0.91,
                reviewer_keeps: 0.97,
                known: 212,
            }),
        },
    }
}

fn guide(version: i32) -> Guide {
    Guide {
        class: "ollie".into(),
        version,
        markdown: format!(
            "A jump **without** hands, version {version}.\n\n- board leaves the ground\n- no rotation"
        ),
        boundary: "With a flip of the board it is a [kickflip](/datasets/d/guide/kickflip).".into(),
        author: "李雷".into(),
        reason: "clearer".into(),
        created_at: at(9),
    }
}

/// Name and HTML of each page.
pub(super) fn pages(lang: &str, theme: &str, name: &str) -> Vec<(&'static str, String)> {
    let taxonomy = taxonomy();
    let r = |path: &str| reader(lang, theme, path);
    let lead = For::Lead("李雷".into());
    let head = |class: &str, version: i32, decisions: i64| GuideHead {
        class: class.into(),
        version,
        decisions,
        author: (version > 0).then(|| "李雷".into()),
        updated_at: (version > 0).then(|| at(9)),
    };
    let ruling = Ruling {
        id: 1,
        class: "ollie".into(),
        text: "A parked board is *Other*.".into(),
        author: "wu".into(),
        created_at: at(11),
        samples: vec!["clip/0001 a".into()],
        sample_ids: vec![1],
    };
    let parts = guides::Parts {
        newest: Some(guide(2)),
        compared: Some((Some(guide(1)), guide(2))),
        versions: vec![guide(2), guide(1)],
        older: Some("1".into()),
        rulings: vec![ruling],
        older_rulings: None,
    };
    let blank = guides::Parts {
        newest: None,
        compared: None,
        versions: vec![],
        older: None,
        rulings: vec![],
        older_rulings: None,
    };
    let snapshot = Snapshot {
        id: "5".repeat(64),
        parent: Some("4".repeat(64)),
        author: "李雷".into(),
        reason: "after the first hundred".into(),
        n_labelled: 240,
        n_changed: 3,
        blob: String::new(),
        created_at: at(9),
    };
    let class = |id: &str| Some(id.to_owned());
    let change = |i: i64| Change { sample_id: i, id: format!("clip/{i}"), from: class("ollie"), to: None };
    let diff = Diff {
        counts: vec![ChangeCount { from: class("ollie"), to: class("kickflip"), n: 2 }],
        changed: 3,
        page: Page { items: (0..3).map(change).collect(), next: Some("clip/2".into()) },
    };
    let shown = snapshots::Shown { snapshot: &snapshot, against: None, diff };
    let q = |none| quality::view(r("/datasets/d/quality"), name.into(), &taxonomy, &lead, &reports(none));
    vec![
        ("quality", q(false).render().unwrap()),
        ("quality-empty", q(true).render().unwrap()),
        (
            "guides",
            guides::index(
                r("/datasets/d/guide"),
                name.into(),
                &taxonomy,
                &[head("", 1, 0), head("ollie", 2, 1)],
            )
            .render()
            .unwrap(),
        ),
        (
            "guide",
            guides::one(r("/datasets/d/guide/ollie"), name.into(), &taxonomy, "ollie", parts)
                .render()
                .unwrap(),
        ),
        (
            "guide-empty",
            guides::one(r("/datasets/d/guide/eye"), name.into(), &taxonomy, "eye", blank).render().unwrap(),
        ),
        (
            "snapshot",
            snapshots::view(r("/datasets/d/snapshots/5"), name.into(), &taxonomy, shown).render().unwrap(),
        ),
    ]
}
