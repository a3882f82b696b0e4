//! Renders every page from made-up but realistic rows. With `TAMIS_PAGES_DIR` set, the ignored test
//! writes them to that folder, to be looked at.

mod people_pages;

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use chrono::{TimeZone, Utc};
use serde_json::json;
use uuid::Uuid;

use super::dataset::*;
use super::learning::LearningView;
use super::predictions::PredictionsView;
use super::*;
use crate::domain::TextProblem;
use crate::domain::health::*;
use crate::domain::issue::{MediaFault, MediaProblem, TextFault};
use crate::domain::{
    Candidate, Detector, MediaState, Neighbour, Node, OcrLine, Reason, SampleText, Split, Taxonomy,
};
use crate::domain::{Change, Gain, Over, Step};
use crate::domain::{Field, Gap, Health, Issue, IssueKind, JobKind, JobState, LabelCount, LabelSource, Note};
use crate::jobs::next::{Action, ActionKind, NextReport, Predicted, Record};
use crate::store::Page;
use crate::store::cards::{Evidence, Example, Tile};
use crate::store::datasets::{ClassCount, Dataset, DatasetCounts};
use crate::store::guides::Guide;
use crate::store::imports::ImportError;
use crate::store::issues::ClusterMember;
use crate::store::jobs::Job;
use crate::store::ledger::Entry;
use crate::store::looks::EarlierLook;
use crate::store::reviews::HistoryEntry;
use crate::store::samples::Sample;
use crate::store::scans::{Round, Scan};
use crate::store::snapshots::Snapshot;
use crate::store::suspects::Suspect;
use crate::store::suspects::SuspectFilter;
use crate::store::trainings::Training;

const CLASSES: [(&str, &str, &str, &str, &str); 9] = [
    ("skate", "Skateboarding", "滑板", "ollie", "Ollie|豚跳"),
    ("skate", "Skateboarding", "滑板", "kickflip", "Kickflip|尖翻"),
    ("skate", "Skateboarding", "滑板", "skate-other", "Other|其他"),
    ("beauty", "Beauty", "美妆", "eye", "Eye make-up tutorial|眼妆教程"),
    ("beauty", "Beauty", "美妆", "lip", "Lipstick|口红试色"),
    ("robots", "Robots", "机器人", "dog", "Robot dog|机器狗"),
    ("robots", "Robots", "机器人", "arm", "Robot arm|机械臂"),
    ("robots", "Robots", "机器人", "robots-other", "Other|其他"),
    ("sign", "Sign language", "手语教学", "spelling", "Letters and numbers|手语字母数字"),
];

fn taxonomy() -> Taxonomy {
    let names = |en: &str, zh: &str| BTreeMap::from([("en".into(), en.into()), ("zh-CN".into(), zh.into())]);
    let mut nodes: Vec<Node> = Vec::new();
    for (root, en, zh, class, both) in CLASSES {
        if !nodes.iter().any(|n| n.id == root) {
            nodes.push(Node { id: root.into(), names: names(en, zh), parent: None });
        }
        let (en, zh) = both.split_once('|').unwrap();
        nodes.push(Node { id: class.into(), names: names(en, zh), parent: Some(root.into()) });
    }
    Taxonomy::new(nodes).unwrap()
}

fn reader(lang: &str, theme: &str, path: &str) -> Reader {
    Reader::of(&format!("{path}?lang={lang}&theme={theme}").parse().unwrap(), &HeaderMap::new())
}

fn suspect(i: i64) -> Suspect {
    let (given, suggested) =
        [("ollie", "kickflip"), ("eye", "dog"), ("skate-other", "robots-other")][i as usize % 3];
    let p = 0.97 - 0.021 * i as f32;
    let title = [
        "第28天练习：带板起跳，落地还是不稳 #滑板新手",
        "How I filmed this in one take",
        "",
        "机器狗：越障！越障！",
    ];
    Suspect {
        sample_id: i,
        external_id: format!("clip/{i:04} a"),
        title: title[i as usize % 4].into(),
        rank: i as i32 + 1,
        place: i as i32 + 1,
        suspicion: p,
        flagged: i < 20,
        given_class: given.into(),
        current_class: Some(if i % 5 == 4 { suggested } else { given }.into()),
        suggested_class: suggested.into(),
        suggested_p: p,
        self_confidence: (1.0 - p) / 2.0,
        normalized_margin: 0.1,
        detectors: Detector::ALL[..(3 - i as usize % 3)].to_vec(),
        reason: Reason {
            given: given.into(),
            suggested: suggested.into(),
            p_given: (1.0 - p) / 2.0,
            p_suggested: p,
            neighbours_agree: (i % 4) as u16,
            neighbours_suggested: 8 - (i % 6) as u16,
            neighbours: 10,
            cluster_share: 0.04,
            cluster_class: suggested.into(),
            cross_parent: i % 3 != 0,
        },
        neighbours: (1..=10)
            .map(|n| Neighbour { sample_id: 100 + n, similarity: 0.97 - n as f32 * 0.03 })
            .collect(),
        cluster: 3,
        issues: issues(i),
        review: [None, None, Some("keep"), Some("unsure"), Some("relabel")][i as usize % 5].map(Into::into),
        has_media: true,
        duration_ms: Some(4_800 + 731 * i as i32),
    }
}

/// Every kind of issue on one sample or another.
fn issues(i: i64) -> Vec<Issue> {
    let label = |class: &str, n: u32| LabelCount { class: class.into(), n };
    let labels = vec![label("dog", 2), label("lip", 1)];
    let all = [
        Issue::Label,
        Issue::NearDuplicateConflict { n: 3, labels: labels.clone(), samples: vec![101, 102, 103] },
        Issue::OddField { field: Field::Title, class: "dog".into(), p: 0.93 },
        Issue::NearDuplicate { n: 3, labels, samples: vec![101, 102, 103] },
        Issue::Outlier { nearest: 0.12 },
        Issue::TextQuality {
            faults: [
                TextProblem::Repetition,
                TextProblem::Gibberish,
                TextProblem::Symbols,
                TextProblem::Short,
            ]
            .map(|problem| TextFault { field: Field::Asr, problem, share: 0.8 })
            .into(),
        },
        Issue::MissingField { fields: vec![Field::Title, Field::Ocr] },
        Issue::Media {
            faults: MediaProblem::ALL.map(|problem| MediaFault { problem, value: 0.4, usual: 25.0 }).into(),
        },
    ];
    let kept = |k: usize| i == 1 || k == 0 && i < 20 || k as i64 == i % 8;
    all.into_iter().enumerate().filter(|(k, _)| kept(*k)).map(|(_, issue)| issue).collect()
}

fn health() -> Health {
    let size = |class: &str, n: u32| LabelCount { class: class.into(), n };
    let level = |sizes: Vec<LabelCount>, rare: Vec<String>| LevelBalance {
        sizes,
        rare,
        even_classes: 5.31,
        ratio: 8.2,
        tail: 0.11,
    };
    Health {
        issues: IssueKind::ALL.iter().zip(0..).map(|(k, i)| IssueCount { kind: *k, n: 31 * i }).collect(),
        cross_parent: 150,
        within_parent: 64,
        parents: vec![ParentHealth { node: "skate".into(), n: 812, flagged: 120, cross_parent: 40 }],
        balance: vec![
            level(vec![size("skate", 900), size("sign", 12)], vec!["sign".into()]),
            level(CLASSES.iter().zip(1..).map(|(c, i)| size(c.3, 655 / i)).collect(), vec![]),
        ],
        groups: vec![GroupHealth { cluster: 7, n: 31, mean: 0.21, overall: 0.74 }],
        properties: Property::ALL
            .iter()
            .zip(1..)
            .map(|(property, i)| PropertyHealth {
                property: *property,
                score: 0.6 / f64::from(i),
                accuracy: 0.5,
                chance: 0.11,
                known: 3000,
                told: vec![ToldClass { class: "arm".into(), share: 0.81 }],
            })
            .collect(),
        order: Some(OrderHealth { p_value: 0.005, statistic: 0.31 }),
        duplicates: Some(DuplicateHealth { groups: 12, samples: 31, exact: 4, conflicts: 3 }),
        fields: Field::TEXT
            .map(|field| FieldHealth {
                field,
                missing: 17,
                missing_is_issue: field == Field::Title,
                problems: TextProblem::ALL.map(|problem| ProblemCount { problem, n: 5 }).into(),
                odd: 2,
            })
            .into(),
    }
}

fn cluster() -> Cluster {
    Cluster {
        cluster: 7,
        n: 31,
        words: ["滑板", "ollie", "起跳"].map(Into::into).into(),
        class: "ollie".into(),
        purity: 0.74,
        minority: 8,
        labels: vec![LabelCount { class: "kickflip".into(), n: 6 }, LabelCount { class: "dog".into(), n: 2 }],
        underperforms: true,
    }
}

fn sample(i: i64, class: &str) -> Sample {
    Sample {
        id: i,
        external_id: format!("clip/{i:04} a"),
        text: SampleText {
            title: "第28天练习：带板起跳，落地还是不稳 #滑板新手".into(),
            asr: "好的大家好，今天是练习的第二十八天，我们继续练带板起跳。前脚放在中间，后脚踩板尾，起跳的时候一定要把前脚往前带，很多新手都是这里没有做好。".into(),
            ocr: vec![
                OcrLine { time: 0.4, text: "DAY 28".into() },
                OcrLine { time: 1.9, text: "前脚往前带".into() },
                OcrLine { time: 3.2, text: "关注我，下期教你尖翻".into() },
            ],
        },
        split: Split::Train,
        media_state: MediaState::Ready,
        media_error: None,
        media_blob: Some("m".into()),
        media_type: Some("video/mp4".into()),
        poster_blob: Some("p".into()),
        strip_blob: Some("s".into()),
        duration_ms: Some(4_830),
        width: Some(1280),
        height: Some(720),
        fps: Some(25.0),
        given_class: Some(class.into()),
        current_class: Some(class.into()),
        label_source: Some(LabelSource::Import),
        label_author: Some("import".into()),
        decided_at: Some(at(9)),
        review: None,
        flagged_by: vec![],
        excluded_by: vec!["too short".into()],
    }
}

fn at(hour: u32) -> chrono::DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, hour, 41, 7).unwrap()
}

fn job(kind: JobKind, state: JobState) -> Job {
    Job {
        id: Uuid::nil(),
        kind,
        dataset_id: None,
        args: json!({}),
        state,
        starts: 1,
        stage: "media_inspect".into(),
        done: 1_204,
        total: Some(3_100),
        cancel_requested: false,
        checkpoint: None,
        result: Some(json!({"added": 3100, "changed": 0, "unchanged": 12, "refused": 2, "dataset_id": "x"})),
        error: (state == JobState::Failed)
            .then(|| "2 rows were refused and partial import was not asked for".into()),
        error_note: (state == JobState::Failed).then(|| Note::new("class_gone").with("class", "@ollie")),
        created_at: at(9),
        started_at: Some(at(9)),
        finished_at: state.is_ended().then(|| at(10)),
    }
}

fn scan() -> Scan {
    Scan {
        id: Uuid::nil(),
        snapshot_id: "9f2c4b1d00aa77".into(),
        job_id: None,
        n_samples: 3_088,
        n_flagged: 214,
        summary: json!({"health": health(), "noise": {
            "estimated_errors": 231, "estimated_rate": 0.0748,
            "count": {"estimate": 231, "low": 180, "high": 290, "posterior": 244.2, "surest": 231.0},
            "classes": CLASSES.map(|c| c.3),
            "per_class": [
                {"class": 0, "n": 410, "label_noise": 0.21, "label_noise_low": 0.17, "label_noise_high": 0.25, "inverse_label_noise": 0.06},
                {"class": 3, "n": 655, "label_noise": 0.09, "inverse_label_noise": 0.12},
                {"class": 7, "n": 120, "label_noise": 0.31, "inverse_label_noise": 0.02},
                {"class": 1, "n": 388, "label_noise": 0.04, "inverse_label_noise": 0.17}],
            "overlapping": [{"a": 0, "b": 1, "count": 61, "labelled_a": 40}, {"a": 2, "b": 7, "count": 22}]}}),
        scores_blob: "x".into(),
        created_at: at(11),
    }
}

/// What the card of `sample` is made of.
fn card_facts(
    dataset: &Dataset,
    sample: Sample,
    finding: Option<&Suspect>,
    sight: card::Sight,
) -> card::Facts {
    let candidate = |class: &str, p: f32| Candidate { class: class.into(), p };
    let found = |i: i64| ["ollie", "dog", "dog", "arm", "dog", "eye"][i as usize % 6];
    let tile = |i: i64| Tile {
        sample_id: 101 + i,
        external_id: format!("clip/{i}"),
        title: "Ollie".into(),
        class: Some(found(i).into()),
        has_media: i % 3 != 2,
    };
    let example = |class: &str, i: i64| Example {
        class: class.into(),
        sample_id: 200 + i,
        external_id: format!("clip/{i}"),
        title: "机器狗：越障".into(),
        has_media: true,
        verified: i == 0,
    };
    let entry = |kind: &str, what: &str, classes: &[&str], comment: &str| HistoryEntry {
        at: at(9),
        kind: kind.into(),
        what: what.into(),
        author: if kind == "label" { "local" } else { "grace" }.into(),
        classes: classes.iter().map(|c| (*c).into()).collect(),
        comment: comment.into(),
    };
    let mut facts = card::Facts {
        dataset: dataset.clone(),
        taxonomy: taxonomy().into(),
        sample,
        label: None,
        evidence: finding.map(|s| Evidence {
            scan_id: Uuid::nil(),
            suspect: s.clone(),
            candidates: [("dog", 0.71), ("eye", 0.2), ("arm", 0.06), ("lip", 0.0)]
                .map(|(c, p)| candidate(c, p))
                .into(),
            field_votes: [(Field::Frames, "dog", 0.64), (Field::Title, "eye", 0.4), (Field::Ocr, "arm", 0.9)]
                .map(|(f, c, p)| (f, candidate(c, p)))
                .into(),
        }),
        sight,
        tiles: if finding.is_some() { (0..10).map(tile).collect() } else { vec![] },
        guides: vec![Guide {
            class: "eye".into(),
            version: 2,
            markdown: "Shadow, liner and lashes, **step by step**.".into(),
            boundary: "Lips alone are not eyes.".into(),
            author: "grace".into(),
            reason: String::new(),
            created_at: at(9),
        }],
        examples: (0..3).flat_map(|i| [example("eye", i), example("dog", i + 10)]).collect(),
        history: vec![
            entry("label", "import", &["eye"], ""),
            entry("review", "relabel", &["lip"], "可能是广告"),
            entry("review", "unsure", &[], ""),
        ],
        looks: vec![],
    };
    facts.hide(sight, None);
    facts
}

fn counts() -> DatasetCounts {
    DatasetCounts {
        samples: 31_002,
        labelled: 3_088,
        unlabelled: 27_914,
        reviewed: 96,
        corrected: 71,
        missing_title: 12,
        missing_asr: 9_120,
        missing_ocr: 4_401,
        missing_media: 0,
        bad_media: 7,
        media_pending: 0,
    }
}

fn training(id: u128, shift: f64) -> Training {
    let class = |i: usize| json!({"support": 40 + i * 7, "precision": 0.9 - i as f64 * 0.04, "recall": 0.8, "f1": 0.85 - i as f64 * 0.05});
    Training {
        id: Uuid::from_u128(id),
        snapshot_id: "9f2c4b1d00aa77".into(),
        job_id: Some(Uuid::nil()),
        recipe: json!({"preset": "quick", "head": {"c": [0.01, 0.1], "folds": 5}, "seed": 7}),
        metrics: json!({
            "l1_macro_f1": 0.88 + shift, "l1_micro_f1": 0.91 + shift, "l2_macro_f1": 0.71, "l2_micro_f1": 0.78 - shift,
            "mean_f1": 0.8201 + shift, "n": 618,
            "per_class": (0..9).map(class).collect::<Vec<_>>(),
            "confusion": [{"truth": 0, "predicted": 0, "count": 90}, {"truth": 0, "predicted": 1, "count": 14}, {"truth": 2, "predicted": 7, "count": 9}]}),
        onnx_blob: "x".into(),
        held_out_blob: None,
        previous_id: None,
        created_at: at(12),
    }
}

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
            action(ActionKind::Verify, None),
        ],
        record: Some(Record { predictions: 3, mean_error: 0.004, inside: 2 }),
        lines: 5,
    }
}

/// Every page, by file name.
fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    let t = taxonomy();
    let r = |path: &str| reader(lang, theme, path);
    let page = r("/datasets/wechat-sample");
    let href = "/datasets/wechat-sample";
    let name = "wechat-sample";
    let html = |t: &dyn askama::DynTemplate| t.dyn_render().unwrap();
    let dataset = Dataset {
        id: Uuid::nil(),
        name: name.into(),
        taxonomy_hash: "x".into(),
        taxonomy_version: 1,
        created_at: at(8),
    };
    let rows = vec![
        datasets::Row::of(&page, &dataset, &counts(), Some(&scan()), Some(&training(1, 0.0))),
        datasets::Row::of(
            &page,
            &Dataset { name: "tuxpaint-demo".into(), ..dataset.clone() },
            &DatasetCounts {
                samples: 840,
                labelled: 840,
                unlabelled: 0,
                reviewed: 0,
                corrected: 0,
                ..counts()
            },
            None,
            None,
        ),
    ];
    let class_counts: Vec<ClassCount> = CLASSES
        .iter()
        .enumerate()
        .map(|(i, c)| ClassCount {
            class: c.3.into(),
            given: 655 / (i as i64 + 1),
            current: 655 / (i as i64 + 1) + [-23, 21, 0, 2][i % 4],
        })
        .collect();
    let (facts, gaps) = facts(&page, &counts(), href);
    let round = Round {
        number: 2,
        scan_id: Uuid::nil(),
        snapshot_id: "x".into(),
        scanned_at: at(11),
        n_samples: 3_088,
        n_flagged: 214,
        reviews: 96,
        corrections: 71,
        training_id: Some(Uuid::nil()),
        mean_f1: Some(0.8201),
    };
    let snapshot = Snapshot {
        id: "9f2c4b1d00aa77e1".into(),
        parent: None,
        author: "local".into(),
        reason: "before the second round".into(),
        n_labelled: 3_088,
        n_changed: 71,
        blob: "x".into(),
        created_at: at(11),
    };
    let predictions = crate::store::predictions::PredictionSet {
        id: Uuid::nil(),
        snapshot_id: snapshot.id.clone(),
        model: "swin-b, 5 folds".into(),
        author: "local".into(),
        n_rows: 3_088,
        n_classes: 9,
        n_left_out: 0,
        blob: "x".into(),
        created_at: at(11),
    };
    let share = |n, hits, low, high| crate::detect::audits::Share { n, hits, low, high };
    let learning = crate::jobs::rerank::Learning {
        reviews: 312,
        needed: 200,
        model: Some(crate::detect::meta::MetaReport {
            reviews: 300,
            wrong: 188,
            adopted: true,
            log_loss: 0.412,
            log_loss_before: 0.633,
            auroc: 0.871,
            auroc_before: 0.702,
            c: 0.1,
            coefficients: vec![0.5],
        }),
        audited: crate::detect::audits::Audited {
            wrong: share(30, 3, 0.035, 0.256),
            precision: share(6, 4, 0.3, 0.903),
        },
        errors: Some(crate::jobs::rerank::Errors { estimate: 61, low: 40, high: 88 }),
    };
    let jobs = || {
        vec![
            jobs::JobView::of(&page, &job(JobKind::Scan, JobState::Running), Some(name)),
            jobs::JobView::of(&page, &job(JobKind::Import, JobState::Failed), Some(name)),
            jobs::JobView::of(&page, &job(JobKind::Train, JobState::Queued), Some(name)),
            jobs::JobView::of(&page, &job(JobKind::Import, JobState::Succeeded), Some(name)),
        ]
    };
    let import_error = ImportError {
        file: "labels.jsonl".into(),
        line: 1_207,
        field: Some("label".into()),
        code: "unknown_label".into(),
        message: "label \"skate_olie\" is not a class of the taxonomy; did you mean \"ollie\"?".into(),
    };
    let members: Vec<ClusterMember> = (0..6)
        .map(|i| ClusterMember {
            cluster: 7,
            sample_id: 100 + i,
            external_id: format!("clip/{i}"),
            title: "Ollie".into(),
        })
        .collect();
    let s = suspect(1);
    let bad = Sample {
        media_state: MediaState::Bad,
        media_error: Some("not_video".into()),
        text: SampleText::default(),
        ..sample(2, "ollie")
    };
    let sample_page = |sample: Sample, finding: Option<&Suspect>, asked: card::Asked, sight: card::Sight| {
        let facts = card_facts(&dataset, sample, finding, sight);
        sample::SamplePage {
            card: card::Card::of(&page, &facts, asked),
            queue: sample::QueueView {
                list: format!("{href}/suspects?status=open"),
                previous: Some(format!("{href}/samples/x")),
                next: Some(format!("{href}/samples/y")),
            },
            dataset_href: href.into(),
            dataset: name.into(),
            page: page.clone(),
        }
    };
    let browsing = card::Asked::BROWSING;
    let blind = card::Asked { lease: Some(Uuid::nil()), purpose: "second_look", blind: true };
    let alone = card::Sight { people: false, model: false };
    let adjudicated = {
        let mut facts = card_facts(&dataset, sample(1, "eye"), Some(&s), card::Sight::ALL);
        let look = |author: Option<&str>, decision: &str, class: &str, comment: &str| EarlierLook {
            author: author.map(Into::into),
            decision: decision.into(),
            classes: vec![class.into()],
            comment: comment.into(),
        };
        facts.looks =
            vec![look(Some("grace"), "keep", "eye", ""), look(None, "relabel", "dog", "机器狗在画面中央")];
        let asked = card::Asked { lease: Some(Uuid::nil()), purpose: "adjudicate", blind: false };
        sample::SamplePage {
            card: card::Card::of(&page, &facts, asked),
            queue: sample::QueueView::default(),
            dataset_href: href.into(),
            dataset: name.into(),
            page: page.clone(),
        }
    };
    vec![
        ("datasets", html(&datasets::DatasetsPage { page: r("/"), rows, next: None })),
        ("empty", html(&datasets::DatasetsPage { page: r("/"), rows: vec![], next: None })),
        (
            "import",
            html(&import::ImportPage {
                page: r("/import"),
                dataset: String::new(),
                paths_allowed: true,
                limit: "2.0 GiB".into(),
            }),
        ),
        (
            "dataset",
            html(&DatasetPage {
                page: page.clone(),
                name: name.into(),
                href: href.into(),
                api: format!("/api/v1{href}"),
                facts,
                gaps,
                scan: Some(ScanView::of(&page, &scan())),
                noise: summary::noise(&page, &t, &scan().summary),
                roots: class_rows(page.lang, &t, &class_counts, href),
                n_classes: 9,
                unfolded: true,
                jobs: jobs(),
                rounds: vec![RoundView::of(&page, &round, href)],
                snapshots: vec![SnapshotView::of(&page, &snapshot)],
                trainings: vec![TrainingView::of(&training(1, 0.0), href)],
                exports: vec![],
                learning: Some(LearningView::of(&page, &learning, 3_088)),
                predictions: PredictionsView::of(&page, &[predictions], &format!("/api/v1{href}"), None),
            }),
        ),
        (
            "suspects",
            html(&suspects::SuspectsPage {
                grid: "/datasets/d/grid?of=suspects".into(),
                dataset: name.into(),
                href: format!("{href}/suspects"),
                scan: Some(suspects::ScanLine::of(&page, &scan().head())),
                chips: suspects::chips(
                    &page,
                    &format!("{href}/suspects"),
                    &[("status", "open".into())],
                    &SuspectFilter::default(),
                    &health().issues,
                ),
                set: vec![],
                hidden: vec![],
                rows: (0..30)
                    .map(|i| suspects::SuspectRow::of(&page, name, &t, "status=open", None, &suspect(i)))
                    .collect(),
                classes: suspects::class_groups(&page, &t, None),
                detectors: suspects::picks(&page, &Detector::ALL, Detector::as_str, "detector", None),
                statuses: suspects::status_picks(&page, None),
                crossings: suspects::crossing_picks(&page, None),
                all: false,
                filtered: true,
                previous: None,
                next: Some(format!("{href}/suspects?after=30")),
                page: page.clone(),
            }),
        ),
        ("health", html(&health::view(page.clone(), name.into(), &t, Some(&scan())))),
        ("health-none", html(&health::view(page.clone(), name.into(), &t, None))),
        (
            "clusters",
            html(&clusters::ClustersPage {
                page: page.clone(),
                dataset: name.into(),
                dataset_href: href.into(),
                scanned: true,
                clusters: vec![clusters::ClusterView::of(&page, name, &t, &cluster(), &members)],
                first: None,
                next: Some(format!("{href}/clusters?after=7")),
            }),
        ),
        (
            "samples",
            html(&samples::SamplesPage {
                grid: "/datasets/d/grid?of=samples".into(),
                text: String::new(),
                dataset: name.into(),
                dataset_href: href.into(),
                href: format!("{href}/samples"),
                rows: (0..3)
                    .map(|i| samples::SampleRow::of(&page, name, &t, &sample(i, "eye")))
                    .chain([samples::SampleRow::of(&page, name, &t, &bad)])
                    .collect(),
                classes: suspects::class_groups(&page, &t, Some("eye")),
                splits: suspects::picks(&page, &Split::ALL, Split::as_str, "split", Some(Split::Train)),
                gaps: suspects::picks(&page, &Gap::ALL, Gap::as_str, "gap", None),
                rules: vec![suspects::Pick { value: "short".into(), name: "short".into(), chosen: true }],
                exclusions: vec![],
                filtered: true,
                first: Some(format!("{href}/samples")),
                next: Some(format!("{href}/samples?after=4")),
                page: page.clone(),
            }),
        ),
        ("docs", html(&docs::DocsPage { page: r("/api/docs") })),
        ("sample", html(&sample_page(sample(1, "eye"), Some(&s), browsing, card::Sight::ALL))),
        ("sample-blind", html(&sample_page(sample(1, "eye"), Some(&s), blind, alone))),
        ("sample-looks", html(&adjudicated)),
        ("sample-bad", html(&sample_page(bad.clone(), None, browsing, card::Sight::ALL))),
        ("jobs", html(&jobs::JobsPage { page: r("/jobs"), rows: jobs(), next: None })),
        (
            "job",
            html(&jobs::JobPage {
                job: jobs::JobView::of(&page, &job(JobKind::Import, JobState::Failed), Some(name)),
                log: vec![jobs::LogView {
                    id: 1,
                    at: at(9).into(),
                    level: "warn".into(),
                    message: "2 bad rows; the first 2 are listed".into(),
                }],
                facts: jobs::facts(&page, job(JobKind::Import, JobState::Succeeded).result.as_ref()),
                links: vec![],
                errors: vec![jobs::ErrorView::of(&page, &import_error)],
                more_errors: false,
                errors_download: "/x".into(),
                page: r("/jobs/1"),
            }),
        ),
        (
            "job-running",
            html(&jobs::JobPage {
                job: jobs::JobView::of(&page, &job(JobKind::Scan, JobState::Running), Some(name)),
                log: vec![],
                facts: vec![],
                links: vec![],
                errors: vec![],
                more_errors: false,
                errors_download: String::new(),
                page: r("/jobs/1"),
            }),
        ),
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
        (
            "error",
            html(&ErrorPage {
                page: r("/x"),
                status: 404,
                title: page.t("error.not_found.title").into(),
                detail: page.t("error.not_found.detail").into(),
            }),
        ),
    ]
    .into_iter()
    .chain(people_pages::pages(lang, theme, name))
    .collect()
}

#[test]
fn every_page_renders_in_both_languages_with_one_heading_and_no_inline_code() {
    for lang in ["en", "zh-CN"] {
        for (name, html) in pages(lang, "auto") {
            assert_eq!(html.matches("<h1").count(), 1, "{name}");
            assert!(html.contains(&format!("<html lang=\"{lang}\"")), "{name}");
            // what the content security policy forbids
            for bad in [" style=", " onclick=", "javascript:", "<style"] {
                assert!(!html.contains(bad), "{name} holds {bad}");
            }
            for script in html.split("<script").skip(1) {
                let tag = script.split('>').next().unwrap();
                assert!(tag.contains("src=") || tag.contains("application/json"), "{name}: <script{tag}>");
            }
            assert!(
                html.split("<table").skip(1).all(|t| t.contains("<caption")),
                "{name}: table without caption"
            );
        }
    }
}

/// Nothing of what must not be known is in the markup, hidden or not.
#[test]
fn a_blind_card_holds_nothing_of_earlier_decisions_and_where_asked_nothing_of_the_model() {
    let page = reader("en", "auto", "/");
    let dataset = Dataset {
        id: Uuid::nil(),
        name: "d".into(),
        taxonomy_hash: "x".into(),
        taxonomy_version: 1,
        created_at: at(8),
    };
    // a person made it a lipstick; the scan suggests a robot arm
    let decided = Sample {
        current_class: Some("lip".into()),
        label_source: Some(LabelSource::Annotator),
        label_author: Some("grace".into()),
        review: Some("relabel".into()),
        ..sample(1, "eye")
    };
    let scanned = |given: &str| Suspect {
        given_class: given.into(),
        suggested_class: "arm".into(),
        reason: Reason { given: given.into(), suggested: "arm".into(), ..suspect(1).reason },
        issues: vec![
            Issue::Label,
            Issue::OddField { field: Field::Title, class: "spelling".into(), p: 0.93 },
        ],
        ..suspect(1)
    };
    let show = |given: &str, people, model| {
        let sight = card::Sight { people, model };
        let mut facts = card_facts(&dataset, decided.clone(), Some(&scanned(given)), card::Sight::ALL);
        let found = facts.evidence.as_mut().unwrap();
        found.candidates[1].class = "kickflip".into();
        // what the model ranks is no leak of what people said; so that a leak shows, it does not rank it
        found.candidates.retain(|c| &*c.class != "lip");
        facts.tiles.iter_mut().for_each(|t| t.class = Some("ollie".into()));
        facts.hide(sight, None);
        let asked = card::Asked { lease: Some(Uuid::nil()), purpose: "second_look", blind: !people };
        card::Card::of(&page, &facts, asked).render().unwrap()
    };
    let of_people =
        ["grace", "Lipstick", "\"lip\"", "可能是广告", "Relabelled", "Unsure</b>", "status relabelled"];
    let of_model = [
        "Robot arm",
        "\"arm\"",
        "Kickflip",
        "The model",
        "Letters and numbers",
        "data-candidate",
        "candidates",
        "field-votes",
        "data-suggestion",
        "Why it is here",
        "%</span>",
    ];
    let holds = |html: &str, words: &[&str]| -> Vec<String> {
        words.iter().filter(|w| html.contains(**w)).map(|w| (*w).to_owned()).collect()
    };
    let all = show("eye", true, true);
    assert!(all.contains("<strong>step by step</strong>") && all.contains("Lips alone are not eyes."));
    assert_eq!(holds(&all, &of_people).len(), of_people.len(), "{:?}", holds(&all, &of_people));
    assert_eq!(holds(&all, &of_model).len(), of_model.len(), "{:?}", holds(&all, &of_model));
    let blind = show("eye", false, true);
    assert!(holds(&blind, &of_people).is_empty(), "{:?}", holds(&blind, &of_people));
    assert_eq!(holds(&blind, &of_model).len(), of_model.len());
    assert!(blind.contains("data-blind=\"true\"") && blind.contains("data-id=\"eye\""), "the label before");
    let alone = show("eye", false, false);
    assert!(
        holds(&alone, &of_people).is_empty() && holds(&alone, &of_model).is_empty(),
        "{:?}",
        holds(&alone, &of_model)
    );
    // a scan that judged what a person had decided would tell it
    let spoilt = show("lip", false, true);
    assert!(holds(&spoilt, &of_people).is_empty(), "{:?}", holds(&spoilt, &of_people));
}

#[test]
fn text_from_data_cannot_become_markup() {
    let page = reader("en", "auto", "/");
    let t = taxonomy();
    let evil = "\"><img src=x onerror=alert(1)>";
    let s = Suspect { title: evil.into(), external_id: evil.into(), ..suspect(0) };
    let row = suspects::SuspectRow::of(&page, "d", &t, "", None, &s);
    assert!(row.href.starts_with("/datasets/d/samples/%22%3E%3Cimg%20"));
    let html = suspects::SuspectsPage {
        grid: "/datasets/d/grid?of=suspects".into(),
        dataset: "d".into(),
        href: "/datasets/d/suspects".into(),
        scan: Some(suspects::ScanLine::of(&page, &scan().head())),
        chips: vec![],
        set: vec![],
        hidden: vec![("cluster", evil.into())],
        rows: vec![row],
        classes: vec![],
        detectors: vec![],
        statuses: vec![],
        crossings: vec![],
        all: false,
        filtered: false,
        previous: None,
        next: None,
        page,
    }
    .render()
    .unwrap();
    assert!(!html.contains("<img src=x"), "unescaped");
}

#[test]
#[ignore = "writes files to be looked at"]
fn write_pages() {
    let Some(dir) = std::env::var_os("TAMIS_PAGES_DIR") else { return };
    for lang in ["en", "zh-CN"] {
        for theme in ["light", "dark"] {
            for (name, html) in pages(lang, theme) {
                let dir = std::path::Path::new(&dir);
                std::fs::write(dir.join(format!("{name}.{lang}.{theme}.html")), html).unwrap();
            }
        }
    }
}
