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

/// A team of the dataset, with a policy of blind second looks of everything; in order ann, bob, cy (annotators), rev,
/// lea, ada.
async fn team(app: &TestApp) -> Vec<(&'static str, Session)> {
    let ada = app.first_admin().await;
    let policy = json!({"double_check": "all", "blind": true, "gold_share": 0});
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
    people
}

const CLASSES: [&str; 4] = ["cat", "dog", "ski", "swim"];

impl TestApp {
    async fn decides(&self, who: &Session, sample: &str, decision: &str, class: Option<&str>) {
        let mut body = json!({"client_id": Uuid::now_v7(), "decision": decision});
        if let Some(class) = class {
            body["class"] = json!(class);
        }
        let path = format!("{API}/samples/{sample}/reviews");
        let answer = self.as_(who, Method::POST, &path, Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
    }

    async fn list(&self, who: &Session, path: &str) -> Vec<Value> {
        let answer = self.as_(who, Method::GET, &format!("{API}/{path}"), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer.bytes));
        let json = answer.json();
        json["items"].as_array().unwrap_or_else(|| panic!("{path}: {json}")).clone()
    }

    /// External ids of a list.
    async fn ids(&self, who: &Session, path: &str) -> Vec<String> {
        let mut ids: Vec<String> = self
            .list(who, path)
            .await
            .iter()
            .map(|i| i["external_id"].as_str().or(i["id"].as_str()).unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }

    /// Points of all samples, 1, 2, ... from the left.
    async fn map(&self, dataset: Uuid) -> Uuid {
        let ids = self.sample_ids(dataset).await;
        let mut file = b"TMP1".to_vec();
        file.extend(u32::try_from(ids.len()).unwrap().to_le_bytes());
        file.extend(ids[0].to_le_bytes());
        file.extend(ids.iter().flat_map(|id| u32::try_from(id - ids[0]).unwrap().to_le_bytes()));
        file.extend(ids.iter().flat_map(|_| [0_u8; 4]));
        let blob = self.stage("points", &file).await.blob;
        let map = tamis::store::maps::Map {
            id: Uuid::now_v7(),
            method: tamis::domain::MapMethod::Pca,
            n_samples: i64::try_from(ids.len()).unwrap(),
            blob,
            facts: json!({}),
            created_at: chrono::Utc::now(),
        };
        self.services.store.insert_map(dataset, &map).await.unwrap();
        map.id
    }
}

#[tokio::test]
async fn labels_and_status_are_told_by_role_and_once_the_sample_is_verified() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 6).await;
    let taken = app.post_json(&format!("{API}/snapshots"), &json!({"reason": "before"})).await.json();
    app.scan_with(dataset, 6, |i, f| f.given_class = CLASSES[i % 4].into()).await;
    // the scan's snapshot is of the same labels
    sqlx::query("update snapshots set blob = (select blob from snapshots where id = $1)")
        .bind(taken["id"].as_str().unwrap())
        .execute(app.services.store.pool())
        .await
        .unwrap();
    let map = app.map(dataset).await;
    let people = team(&app).await;
    let [ann, bob, _, _, lea, _] = &people[..] else { panic!() };
    // s0 waits for a second look, s1 is agreed on, of s2 the two say different things; of s3 nobody has decided, of s4
    // ann is unsure, s5 she leaves out
    for (who, sample, class) in
        [(ann, "s0", "dog"), (ann, "s1", "ski"), (bob, "s1", "ski"), (ann, "s2", "dog"), (bob, "s2", "cat")]
    {
        app.decides(&who.1, sample, "relabel", Some(class)).await;
    }
    app.decides(&ann.1, "s4", "unsure", None).await;
    app.decides(&ann.1, "s5", "exclude", None).await;
    let take = json!({"reason": "after"});
    let after = app.as_(&lea.1, Method::POST, &format!("{API}/snapshots"), Some(take)).await.json();
    let after = after["id"].as_str().unwrap();

    type Row = [(&'static str, Option<&'static str>); 6];
    let all: Row = [
        ("dog", Some("relabel")),
        ("ski", Some("relabel")),
        ("cat", Some("relabel")),
        ("swim", None),
        ("cat", Some("unsure")),
        ("dog", Some("exclude")),
    ];
    let bobs: Row = [
        ("cat", None),
        ("ski", Some("relabel")),
        ("cat", Some("relabel")),
        ("swim", None),
        ("cat", None),
        ("dog", None),
    ];
    let mut anns = all;
    anns[2] = ("dog", Some("relabel"));
    let mut cys = bobs;
    cys[2] = ("ski", None);
    // with whom s5 is left out, whom the list by the class of s0's decision shows it, and which changes are told
    let table: [(Row, bool, &[&str], &[&str]); 6] = [
        (anns, true, &["s0"], &["s0", "s1", "s5"]),
        (bobs, false, &[], &["s1", "s2"]),
        (cys, false, &[], &["s1"]),
        (all, true, &["s0"], &["s0", "s1", "s2", "s5"]),
        (all, true, &["s0"], &["s0", "s1", "s2", "s5"]),
        (all, true, &["s0"], &["s0", "s1", "s2", "s5"]),
    ];
    let word = |v: &Value| v.as_str().map(str::to_owned);
    for ((name, who), (row, left_out, dogs, changed)) in people.iter().zip(table) {
        for item in app.list(who, "samples").await {
            let i = item["external_id"].as_str().unwrap()[1..].parse::<usize>().unwrap();
            let told = (item["current_class"].as_str().unwrap(), item["review"].as_str());
            assert_eq!(told, row[i], "{name}: s{i} in the list of samples");
            let path = format!("{API}/samples/s{i}");
            let one = app.as_(who, Method::GET, &path, None).await.json();
            assert_eq!(
                (one["current_class"].as_str().unwrap(), one["review"].as_str()),
                row[i],
                "{name}: s{i}"
            );
            assert_eq!(item, one, "{name}: s{i}");
        }
        let mut seen = 0;
        for item in app.list(who, "suspects?all=true").await {
            let i = item["external_id"].as_str().unwrap()[1..].parse::<usize>().unwrap();
            let told = (item["current_class"].as_str().unwrap(), item["review"].as_str());
            assert_eq!(told, row[i], "{name}: s{i} among the suspects");
            seen += 1;
        }
        assert_eq!(seen, if left_out { 5 } else { 6 }, "{name}: suspects that are not left out");
        for item in app.list(who, "grid?set=%7B%22of%22%3A%22samples%22%7D").await {
            let i = item["external_id"].as_str().unwrap()[1..].parse::<usize>().unwrap();
            assert_eq!(
                (item["class"].as_str().unwrap(), item["decision"].as_str()),
                row[i],
                "{name}: tile s{i}"
            );
            assert_eq!(item["excluded"], json!(i == 5 && left_out), "{name}: tile s{i}");
        }
        let marks = app.as_(who, Method::GET, &format!("{API}/maps/{map}/marks"), None).await.bytes;
        let class = |i: usize| u16::from_le_bytes([marks[8 + 2 * i], marks[9 + 2 * i]]);
        let status = |i: usize| marks[8 + 5 * 6 + i];
        for (i, (told, decision)) in row.into_iter().enumerate() {
            assert_eq!(
                usize::from(class(i)),
                CLASSES.iter().position(|c| *c == told).unwrap(),
                "{name}: mark {i}"
            );
            let shown = match decision {
                None => 0,
                Some("relabel") => 2,
                Some("unsure") => 3,
                Some(_) => 5,
            };
            assert_eq!(status(i), shown, "{name}: mark {i}");
        }
        // what a filter finds tells as much as what it shows
        let open: Vec<String> =
            (0..6).filter(|i| matches!(row[*i].1, None | Some("unsure"))).map(|i| format!("s{i}")).collect();
        assert_eq!(app.ids(who, "suspects?all=true&status=open").await, open, "{name}");
        let counts = format!("{API}/suspects/counts?status=open");
        let counts = app.as_(who, Method::GET, &counts, None).await.json();
        let labels = counts.as_array().unwrap().iter().find(|c| c["kind"] == "label").unwrap().clone();
        assert_eq!(labels["n"], json!(open.len()), "{name}: {counts}");
        let relabelled = app.ids(who, "suspects?all=true&status=relabelled").await;
        let told: Vec<String> =
            (0..6).filter(|i| row[*i].1 == Some("relabel")).map(|i| format!("s{i}")).collect();
        assert_eq!(relabelled, told, "{name}");
        assert_eq!(
            app.ids(who, "suspects?all=true&status=unsure").await.len(),
            usize::from(row[4].1.is_some())
        );
        let mut by_class = app.ids(who, "samples?class=dog").await;
        by_class.retain(|s| s == "s0");
        assert_eq!(by_class, dogs, "{name}: samples of the class that was said of s0");
        assert_eq!(app.ids(who, "samples?excluded=true").await.len(), usize::from(left_out), "{name}");
        let changes = app.list(who, &format!("snapshots/{after}/changes")).await;
        let changes: Vec<String> = changes.iter().filter_map(|c| word(&c["id"])).collect();
        assert_eq!(changes, changed, "{name}");
    }
}

/// What a page says beside the classes on offer, in small letters.
fn said(page: &[u8]) -> String {
    let html = String::from_utf8_lossy(page).to_lowercase();
    let mut parts = html.split("<select");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once("</select>").map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn pages_and_comments_tell_an_annotator_nothing_of_what_others_said() {
    let app = TestApp::new().await;
    // cat, dog, ski: only ann speaks of swimming
    let dataset = app.dataset_with_samples("clips", 3).await;
    let ids = app.sample_ids(dataset).await;
    app.scan_with(dataset, 3, |i, f| {
        f.given_class = CLASSES[i].into();
        f.neighbours = ids
            .iter()
            .filter(|id| **id != f.sample_id)
            .map(|id| tamis::domain::Neighbour { sample_id: *id, similarity: 0.5 })
            .collect();
    })
    .await;
    let people = team(&app).await;
    let [ann, bob, cy, ..] = &people[..] else { panic!() };
    app.decides(&ann.1, "s0", "relabel", Some("swim")).await;
    app.decides(&ann.1, "s1", "relabel", Some("ski")).await;
    app.decides(&bob.1, "s1", "relabel", Some("ski")).await;
    for sample in ["s0", "s1", "s2"] {
        let comment = json!({"client_id": Uuid::now_v7(), "text": format!("remark-on-{sample}")});
        let path = format!("{API}/samples/{sample}/comments");
        assert_eq!(app.as_(&ann.1, Method::POST, &path, Some(comment)).await.status, StatusCode::CREATED);
    }
    for (name, who) in &people {
        let knows = !matches!(*name, "bob" | "cy");
        for page in [
            "samples",
            "suspects?all=true",
            "grid?of=samples",
            "samples/s0",
            // beside it lies s0
            "samples/s2",
        ] {
            let answer = app.as_(who, Method::GET, &format!("/datasets/clips/{page}"), None).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}: {page}");
            assert_eq!(said(&answer.bytes).contains("swim"), knows, "{name}: {page}");
        }
        for sample in ["s0", "s1", "s2"] {
            let told = knows || sample == "s1";
            let comments = app.list(who, &format!("samples/{sample}/comments")).await;
            assert_eq!(comments.len(), usize::from(told), "{name}: comments on {sample}");
            for path in
                [format!("{API}/samples/{sample}/history"), format!("/datasets/clips/samples/{sample}")]
            {
                let answer = app.as_(who, Method::GET, &path, None).await;
                let text = String::from_utf8_lossy(&answer.bytes).contains(&format!("remark-on-{sample}"));
                assert_eq!(text, told, "{name}: {path}");
            }
        }
    }
    // so is the card of a sample beside it, drawn from the queue
    let draw = json!({"holder": Uuid::now_v7(), "count": 4});
    let drawn = app.as_(&cy.1, Method::POST, &format!("{API}/queue/draw"), Some(draw)).await.json();
    let items = drawn["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "s0 for a second look, s2 for a first one: {drawn}");
    for item in items {
        let path = format!("/datasets/clips/review/{}", item["lease_id"].as_str().unwrap());
        let card = app.as_(&cy.1, Method::GET, &path, None).await;
        assert_eq!(card.status, StatusCode::OK);
        let card = said(&card.bytes);
        assert!(!card.contains("swim") && !card.contains("remark-on"), "{item}");
    }

    // a scan that judged what ann said is not heard of s0 by those who may not know it
    app.scan_with(dataset, 3, |i, f| f.given_class = ["swim", "ski", "ski"][i].into()).await;
    for (name, who) in &people {
        let knows = !matches!(*name, "bob" | "cy");
        let mut listed = app.ids(who, "suspects?all=true").await;
        listed.retain(|s| s == "s0");
        assert_eq!(listed.len(), usize::from(knows), "{name}");
        let page = app.as_(who, Method::GET, "/datasets/clips/samples/s0", None).await;
        assert_eq!(said(&page.bytes).contains("swim"), knows, "{name}");
        let tiles = app.list(who, "grid?set=%7B%22of%22%3A%22samples%22%7D").await;
        let tile = tiles.iter().find(|t| t["external_id"] == "s0").unwrap();
        assert_eq!(tile["suspicion"].is_number(), knows, "{name}: {tile}");
    }

    // on the sample's page cy confirms what cy sees
    let keep = json!({"client_id": Uuid::now_v7(), "decision": "keep"});
    let kept = app.as_(&cy.1, Method::POST, &format!("{API}/samples/s0/reviews"), Some(keep)).await;
    assert_eq!(kept.status, StatusCode::CREATED);
    assert_eq!(kept.json()["class_before"], "cat");
    let queue = app.as_(&people[5].1, Method::GET, &format!("{API}/queue"), None).await.json();
    let adjudications = queue["counts"].as_array().unwrap().iter().find(|c| c["purpose"] == "adjudicate");
    assert_eq!(adjudications.unwrap()["open"], 1, "a cat is no swimmer: {queue}");
}

#[tokio::test]
async fn where_second_looks_are_not_blind_nothing_is_hidden() {
    for policy in
        [json!({"double_check": "all", "blind": false}), json!({"double_check": "none", "blind": true})]
    {
        let app = TestApp::new().await;
        let dataset = app.dataset_with_samples("clips", 2).await;
        app.scan(dataset, 2).await;
        let people = team(&app).await;
        let [ann, _, cy, .., ada] = &people[..] else { panic!() };
        assert_eq!(
            app.as_(&ada.1, Method::PUT, &format!("{API}/policy"), Some(policy.clone())).await.status,
            StatusCode::OK
        );
        app.decides(&ann.1, "s0", "relabel", Some("swim")).await;
        app.decides(&ann.1, "s1", "unsure", None).await;
        let comment = json!({"client_id": Uuid::now_v7(), "text": "who knows?"});
        let path = format!("{API}/samples/s1/comments");
        assert_eq!(app.as_(&ann.1, Method::POST, &path, Some(comment)).await.status, StatusCode::CREATED);
        let told: Vec<Value> = app.list(&cy.1, "samples").await.iter().map(|s| s["review"].clone()).collect();
        assert_eq!(told, [json!("relabel"), json!("unsure")], "{policy}");
        assert_eq!(app.ids(&cy.1, "samples?class=swim").await, ["s0"]);
        assert_eq!(app.list(&cy.1, "samples/s1/comments").await.len(), 1);
    }
}
