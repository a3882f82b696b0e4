//! Who is told what others decided: annotators once the sample is verified, since until then they may be asked to
//! look at it without knowing; reviewers, leads and admins at any time.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::Session;
use crate::support::TestApp;

const API: &str = "/api/v1/datasets/clips";

impl TestApp {
    /// Says `class` of a sample, with a comment that names it.
    async fn says(&self, who: &Session, sample: &str, class: &str) {
        let body = json!({"client_id": Uuid::now_v7(), "decision": "relabel", "class": class,
            "comment": format!("said-of-{sample}")});
        let answer =
            self.as_(who, Method::POST, &format!("{API}/samples/{sample}/reviews"), Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
    }
}

#[tokio::test]
async fn others_decisions_are_told_by_role_and_once_the_sample_is_verified() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 3).await;
    app.scan(dataset, 3).await;
    let ada = app.first_admin().await;
    let policy = json!({"double_check": "all"});
    let set = app.as_(&ada, Method::PUT, &format!("{API}/policy"), Some(policy)).await;
    assert_eq!(set.status, StatusCode::OK);
    let mut people = Vec::new();
    for (name, role) in [
        ("ann", "annotator"),
        ("bob", "annotator"),
        ("cy", "annotator"),
        ("rev", "reviewer"),
        ("lea", "lead"),
    ] {
        let (id, session) = app.person(&ada, name).await;
        app.join(&ada, "clips", id, role).await;
        people.push((name, session));
    }
    people.push(("ada", ada));
    // s0 waits for a second look, s1 is agreed on, of s2 the two say different things
    app.says(&people[0].1, "s0", "dog").await;
    for (who, sample, class) in [(0, "s1", "ski"), (1, "s1", "ski"), (0, "s2", "dog"), (1, "s2", "cat")] {
        app.says(&people[who].1, sample, class).await;
    }
    // each with the samples of which they are told that ann decided, and that bob did
    let table: [(&str, &[&str], &[&str]); 6] = [
        ("ann", &["s0", "s1", "s2"], &["s1"]),
        ("bob", &["s1"], &["s1", "s2"]),
        ("cy", &["s1"], &["s1"]),
        ("rev", &["s0", "s1", "s2"], &["s1", "s2"]),
        ("lea", &["s0", "s1", "s2"], &["s1", "s2"]),
        ("ada", &["s0", "s1", "s2"], &["s1", "s2"]),
    ];
    for ((name, anns, bobs), (_, session)) in table.iter().zip(&people) {
        for (author, told) in [("ann", anns), ("bob", bobs)] {
            let path = format!("{API}/reviews?author={author}");
            let list = app.as_(session, Method::GET, &path, None).await.json();
            let mut samples: Vec<&str> =
                list["items"].as_array().unwrap().iter().map(|r| r["sample"].as_str().unwrap()).collect();
            samples.sort_unstable();
            assert_eq!(samples, **told, "{name} is told of {author}'s decisions");
            for sample in ["s0", "s1", "s2"] {
                let path = format!("{API}/samples/{sample}/history");
                let history = app.as_(session, Method::GET, &path, None).await.json();
                let items = history["items"].as_array().unwrap();
                let reviews = |e: &&Value| e["kind"] == "review" && e["author"] == author;
                assert_eq!(
                    items.iter().filter(reviews).count(),
                    usize::from(told.contains(&sample)),
                    "{name}: {author} on {sample}: {history}"
                );
                assert_eq!(items[0]["what"], "import", "where the given label comes from is no secret");
            }
        }
        for sample in ["s0", "s1", "s2"] {
            let path = format!("/datasets/clips/samples/{sample}");
            let page = app.as_(session, Method::GET, &path, None).await;
            let html = String::from_utf8(page.bytes).unwrap();
            let any = anns.contains(&sample) || bobs.contains(&sample);
            assert_eq!(html.contains(&format!("said-of-{sample}")), any, "{name}: page of {sample}");
        }
    }
}
