//! Labels are append-only, and the database derives the current label as the domain says.

use sqlx::Row;
use tamis::domain::{Decision, LabelSource};
use tamis::store::StoreError;
use tamis::store::reviews::NewReview;
use uuid::Uuid;

use crate::support::TestApp;

#[tokio::test]
async fn precedence_in_the_database_is_the_domains() {
    let app = TestApp::new().await;
    for source in LabelSource::ALL {
        let row = sqlx::query("select label_precedence($1) as p")
            .bind(source.as_str())
            .fetch_one(app.services.store.pool())
            .await
            .unwrap();
        assert_eq!(row.get::<i16, _>("p"), source.precedence(), "{source:?}");
    }
}

/// Writes labels one statement each; returns (given, current) of the sample.
async fn after(app: &TestApp, labels: &[(LabelSource, &str)]) -> (Option<String>, Option<String>) {
    let dataset = app.dataset_with_ids(&format!("d{}", Uuid::new_v4().simple()), &["s"]).await;
    let sample = app.sample_ids(dataset).await[0];
    for (source, class) in labels {
        sqlx::query(
            "insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, $3, $4, 'x')",
        )
        .bind(dataset)
        .bind(sample)
        .bind(class)
        .bind(source.as_str())
        .execute(app.services.store.pool())
        .await
        .unwrap();
    }
    let s = app.services.store.sample(dataset, "s").await.unwrap();
    (s.given_class, s.current_class)
}

#[tokio::test]
async fn the_current_label_is_the_latest_of_the_highest_precedence() {
    use LabelSource::{Adjudicated, Annotator, Consensus, Import, Model, Rule};
    let app = TestApp::new().await;
    // each dataset starts with the import label "cat"
    type Labels<'a> = &'a [(LabelSource, &'a str)];
    let cases: &[(Labels<'_>, &str, &str)] = &[
        (&[], "cat", "cat"),
        (&[(Import, "dog")], "dog", "dog"),
        (&[(Model, "dog")], "cat", "cat"),
        (&[(Annotator, "dog"), (Import, "ski")], "ski", "dog"),
        (&[(Annotator, "dog"), (Rule, "ski")], "cat", "dog"),
        (&[(Annotator, "dog"), (Annotator, "ski")], "cat", "ski"),
        (&[(Adjudicated, "dog"), (Consensus, "ski"), (Annotator, "swim")], "cat", "dog"),
    ];
    for (labels, given, current) in cases {
        assert_eq!(after(&app, labels).await, (Some((*given).into()), Some((*current).into())), "{labels:?}");
    }
}

#[tokio::test]
async fn labels_and_reviews_cannot_be_rewritten() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 1).await;
    let sample = app.sample_ids(dataset).await[0];
    let review = NewReview {
        client_id: Uuid::new_v4(),
        dataset_id: dataset,
        sample_id: sample,
        scan_id: None,
        lease_id: None,
        may_adjudicate: false,
        author: "li".into(),
        decision: Decision::Relabel { class: "dog".into() },
        comment: String::new(),
        time_spent_ms: Some(900),
    };
    app.services.store.record_review(&review).await.unwrap();
    for sql in ["update labels set class = 'ski'", "update reviews set decision = 'keep'"] {
        let error = sqlx::query(sql).execute(app.services.store.pool()).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    }
    let history = app.services.store.history(dataset, sample).await.unwrap();
    assert_eq!(history.iter().map(|h| h.what.as_str()).collect::<Vec<_>>(), ["import", "relabel"]);
}

#[tokio::test]
async fn a_decision_about_another_datasets_sample_or_class_is_refused() {
    let app = TestApp::new().await;
    let (one, two) = (app.dataset_with_samples("one", 1).await, app.dataset_with_samples("two", 1).await);
    let of_two = app.sample_ids(two).await[0];
    let review = |sample_id, class: &str| NewReview {
        client_id: Uuid::new_v4(),
        dataset_id: one,
        sample_id,
        scan_id: None,
        lease_id: None,
        may_adjudicate: false,
        author: "li".into(),
        decision: Decision::Relabel { class: class.into() },
        comment: String::new(),
        time_spent_ms: None,
    };
    let store = &app.services.store;
    assert!(matches!(store.record_review(&review(of_two, "dog")).await, Err(StoreError::NotFound { .. })));
    let mine = app.sample_ids(one).await[0];
    for class in ["nothing", "animals"] {
        let refused = store.record_review(&review(mine, class)).await;
        assert!(
            matches!(refused, Err(StoreError::Rule { code: "unknown_class", .. })),
            "{class}: {refused:?}"
        );
    }
}

/// Rows of a table that belong to the dataset, or all of a table that names none.
async fn rows(app: &TestApp, table: &str) -> i64 {
    let sql = format!("select count(*) from {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(app.services.store.pool()).await.unwrap()
}

#[tokio::test]
async fn labels_and_findings_need_a_sample_of_their_own_dataset() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 3).await;
    let e = app.dataset_with_samples("e", 1).await;
    let sample = app.sample_ids(d).await[0];
    let scan = app.scan(d, 1).await;
    let label = async |dataset: Uuid, sample: i64| {
        sqlx::query("insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, 'cat', 'rule', 'x')")
            .bind(dataset)
            .bind(sample)
            .execute(app.services.store.pool())
            .await
    };
    let refused = |r: Result<sqlx::postgres::PgQueryResult, sqlx::Error>| {
        r.unwrap_err().as_database_error().is_some_and(|e| e.code().as_deref() == Some("23503"))
    };
    assert!(refused(label(d, 999_999).await), "a sample that is not there");
    assert!(refused(label(e, sample).await), "a sample of another dataset");
    assert!(refused(label(Uuid::new_v4(), sample).await), "a dataset that is not there");
    label(d, sample).await.unwrap();
    let foreign = app.sample_ids(e).await[0];
    let moved = sqlx::query(
        "insert into findings select scan_id, $2, 99, suspicion, flagged, given_class, suggested_class, suggested_p,
           self_confidence, normalized_margin, detectors, reason, neighbours, cluster, 99, null
         from findings where scan_id = $1 and rank = 1",
    )
    .bind(scan)
    .bind(foreign)
    .execute(app.services.store.pool())
    .await;
    assert!(refused(moved), "a finding about a sample of another dataset");
}

#[tokio::test]
async fn a_deleted_dataset_leaves_nothing_and_touches_no_other() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 5).await;
    app.dataset_with_samples("e", 2).await;
    app.scan(d, 3).await;
    let id = uuid::Uuid::now_v7();
    let review = serde_json::json!({"client_id": id, "decision": "relabel", "class": "dog"});
    assert_eq!(app.post_json("/api/v1/datasets/d/samples/s0/reviews", &review).await.status, 201);
    app.services.store.delete_dataset(d).await.unwrap();
    for (table, left) in [
        ("samples", 2),
        ("labels", 2),
        ("current_labels", 2),
        ("findings", 0),
        ("reviews", 0),
        ("review_status", 0),
    ] {
        assert_eq!(rows(&app, table).await, left, "{table}");
    }
}
