//! Made-up but realistic rows, as the store would give them.

use super::*;

pub(super) fn suspect(i: i64) -> Suspect {
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
pub(super) fn issues(i: i64) -> Vec<Issue> {
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

pub(super) fn health() -> Health {
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

pub(super) fn cluster() -> Cluster {
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

pub(super) fn sample(i: i64, class: &str) -> Sample {
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

pub(super) fn job(kind: JobKind, state: JobState) -> Job {
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

pub(super) fn scan() -> Scan {
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

pub(super) fn counts() -> DatasetCounts {
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

pub(super) fn training(id: u128, shift: f64) -> Training {
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
        models: sqlx::types::Json(vec![crate::store::trainings::ModelFile {
            blob: "x".into(),
            weight: 1.0,
            recipe: json!({"network": {"family": "logistic"}}),
        }]),
        held_out_blob: None,
        report_blob: None,
        bundle: None,
        previous_id: None,
        created_at: at(12),
    }
}
