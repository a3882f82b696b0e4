//! Predictions by trained models over HTTP: by sample and by vector, and what is refused.

use std::collections::HashMap;

use serde_json::{Value, json};
use tamis::exchange::columnar::read_embeddings;
use tamis::jobs::train::TrainArgs;
use uuid::Uuid;

use crate::support::TestApp;

const PREDICT: &str = "/api/v1/datasets/d/predict";
pub(crate) const WORDS: [&str; 4] =
    ["whiskers purr meow", "bark leash bone", "snow slope goggles", "pool lane goggles"];

/// 80 samples whose titles say their class (cat, dog, ski, swim in turn).
pub(crate) async fn told_by_title(app: &TestApp, name: &str) -> Uuid {
    let dataset = app.dataset_with_samples(name, 80).await;
    for i in 0..80 {
        sqlx::query("update samples set title = $3 where dataset_id = $1 and external_id = $2")
            .bind(dataset)
            .bind(format!("s{i}"))
            .bind(format!("{} {i}", WORDS[i % 4]))
            .execute(app.services.store.pool())
            .await
            .unwrap();
    }
    dataset
}

pub(crate) async fn train(app: &TestApp, dataset: Uuid) -> Value {
    app.done(app.services.enqueue_train(dataset, &TrainArgs::default()).await.unwrap()).await
}

#[tokio::test]
async fn samples_and_their_vectors_get_the_same_answers() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app, "d").await;
    app.post_json(PREDICT, &json!({"samples": ["s0"]})).await.problem(409, "no_model");
    let trained = train(&app, dataset).await;

    let asked = ["s3", "s0", "s1", "s3"];
    let answer = app.post_json(PREDICT, &json!({"samples": asked})).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    let said = answer.json();
    assert_eq!(said["training"], trained["training_id"]);
    assert_eq!(said["snapshot_id"], trained["snapshot_id"]);
    assert_eq!(said["classes"], json!(["cat", "dog", "ski", "swim"]));
    let rows = said["predictions"].as_array().unwrap();
    for (row, (sample, class)) in
        rows.iter().zip([("s3", "swim"), ("s0", "cat"), ("s1", "dog"), ("s3", "swim")])
    {
        assert_eq!((&row["sample"], &row["class"]), (&json!(sample), &json!(class)), "{row}");
        let p: Vec<f64> =
            row["probabilities"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row}");
        assert_eq!(p.iter().copied().fold(0.0, f64::max), row["probability"].as_f64().unwrap());
    }
    assert_eq!(rows.len(), 4);

    // the same rows, put together from the stored files here
    let parts = said["input"].as_array().unwrap();
    assert!(
        !parts.is_empty() && parts.iter().all(|p| p["field"] == "title"),
        "only titles are there: {said}"
    );
    let store = &app.services.store;
    let mut stored = HashMap::<(String, i64), Vec<f32>>::new();
    for file in store.embedding_files(dataset).await.unwrap() {
        let bytes = app.services.blobs.get(&file.blob).await.unwrap();
        let read = read_embeddings(bytes::Bytes::from(bytes), false).unwrap();
        for (id, row) in read.sample_ids.iter().zip(read.vectors.rows()) {
            stored.insert((file.encoder.clone(), *id), row.to_vec());
        }
    }
    let mut vectors: Vec<Vec<f32>> = Vec::new();
    for sample in ["s3", "s0"] {
        let id = store.sample_id(dataset, sample).await.unwrap();
        let part = |p: &Value| stored[&(p["encoder"].as_str().unwrap().to_owned(), id)].clone();
        vectors.push(parts.iter().flat_map(part).collect());
    }
    let training = &trained["training_id"];
    let again = app.post_json(PREDICT, &json!({"training": training, "vectors": vectors})).await.json();
    for (by_vector, by_sample) in again["predictions"].as_array().unwrap().iter().zip(rows) {
        assert_eq!(by_vector["sample"], Value::Null);
        assert_eq!(by_vector["probabilities"], by_sample["probabilities"]);
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_predicted_is_named() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app, "d").await;
    train(&app, dataset).await;
    let refused = async |body: Value, field: &str, code: &str| {
        app.post_json(PREDICT, &body).await.problem_with(field, code);
    };
    refused(json!({"samples": ["s0", "nobody"]}), "samples[1]", "unknown_sample").await;
    refused(json!({"samples": []}), "samples", "rows").await;
    refused(json!({}), "samples", "one_kind_of_rows").await;
    refused(json!({"samples": ["s0"], "vectors": [[0.0]]}), "samples", "one_kind_of_rows").await;
    refused(json!({"vectors": [[0.5, 0.5, 0.5]]}), "vectors[0]", "vector_width").await;
    // a sample that lost its only text has nothing left that the model reads
    sqlx::query("update samples set title = '' where dataset_id = $1 and external_id = 's5'")
        .bind(dataset)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    refused(json!({"samples": ["s4", "s5"]}), "samples[1]", "not_encoded").await;
    let other = json!({"training": Uuid::nil(), "samples": ["s0"]});
    app.post_json(PREDICT, &other).await.problem(404, "not_found");
    app.post_json("/api/v1/datasets/e/predict", &json!({"samples": ["s0"]})).await.problem(404, "not_found");
}
