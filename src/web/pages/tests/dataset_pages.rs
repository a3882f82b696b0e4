//! The pages of datasets as a whole, and what stands beside them.

use super::*;

pub(super) fn wechat() -> Dataset {
    Dataset {
        id: Uuid::nil(),
        name: NAME.into(),
        taxonomy_hash: "x".into(),
        taxonomy_version: 1,
        created_at: at(8),
    }
}

pub(super) fn pages(lang: &str, theme: &str) -> Vec<(&'static str, String)> {
    let r = |path: &str| reader(lang, theme, path);
    let page = r("/datasets/wechat-sample");
    let t = taxonomy();
    let dataset = wechat();
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
    let (facts, gaps) = facts(&page, &counts(), HREF);
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
        bad_cases: None,
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
                name: NAME.into(),
                href: HREF.into(),
                api: format!("/api/v1{HREF}"),
                facts,
                gaps,
                scan: Some(ScanView::of(&page, &scan())),
                noise: summary::noise(&page, &t, &scan().summary),
                roots: class_rows(page.lang, &t, &class_counts, HREF),
                n_classes: 9,
                unfolded: true,
                jobs: jobs_of(&page),
                rounds: vec![RoundView::of(&page, &round, HREF)],
                snapshots: vec![SnapshotView::of(&page, &snapshot)],
                presets: recipes(&page, &["quick", "winner"]),
                students: recipes(&page, &["single"]),
                trainings: vec![TrainingView::of(&page, &training(1, 0.0), HREF)],
                exports: vec![],
                learning: Some(LearningView::of(&page, &learning, 3_088)),
                predictions: PredictionsView::of(&page, &[predictions], &format!("/api/v1{HREF}"), None),
            }),
        ),
        ("docs", html(&docs::DocsPage { page: r("/api/docs") })),
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
}
