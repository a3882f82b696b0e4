//! Numbers about people and labels through the real router, from decisions whose outcome is known by hand.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

/// One decision as it is stored.
struct Review<'a> {
    sample: i64,
    author: &'a str,
    /// The class that was said; the shown one: keep.
    said: &'a str,
    shown: &'a str,
    purpose: &'a str,
    blind: bool,
    ms: Option<i32>,
}

impl TestApp {
    async fn review(&self, dataset: Uuid, r: &Review<'_>) -> i64 {
        let keep = r.said == r.shown;
        sqlx::query_scalar(
            "insert into reviews (client_id, dataset_id, sample_id, author, decision, classes, class_before, purpose,
               blind, time_spent_ms)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) returning id",
        )
        .bind(Uuid::now_v7())
        .bind(dataset)
        .bind(r.sample)
        .bind(r.author)
        .bind(if keep { "keep" } else { "relabel" })
        .bind(if keep { vec![] } else { vec![r.said] })
        .bind(r.shown)
        .bind(r.purpose)
        .bind(r.blind)
        .bind(r.ms)
        .fetch_one(self.services.store.pool())
        .await
        .unwrap()
    }

    async fn take_back(&self, review: i64) {
        sqlx::query("insert into review_retractions (review_id, author) values ($1, 'test')")
            .bind(review)
            .execute(self.services.store.pool())
            .await
            .unwrap();
    }

    async fn settle(&self, dataset: Uuid, sample: i64, class: &str) {
        sqlx::query(
            "insert into verifications (sample_id, dataset_id, state, class, people, settled) values ($1, $2, 'gold', $3, 2, true)
             on conflict (sample_id) do update set state = 'gold', class = excluded.class, people = 2, settled = true",
        )
        .bind(sample)
        .bind(dataset)
        .bind(class)
        .execute(self.services.store.pool())
        .await
        .unwrap();
    }
}

fn near(value: &Value, want: f64) -> bool {
    value.as_f64().is_some_and(|v| (v - want).abs() < 1e-4)
}

#[tokio::test]
async fn agreement_is_that_of_people_who_did_not_see_each_other() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 6).await;
    let ids = app.sample_ids(dataset).await;
    let nothing = app.get_json("/api/v1/datasets/clips/agreement").await;
    assert_eq!(
        (&nothing["raw"]["interval"], &nothing["raw"]["undefined"]),
        (&Value::Null, &json!("no_overlap"))
    );
    assert!(
        String::from_utf8(app.get("/datasets/clips/quality").await.bytes)
            .unwrap()
            .contains("no shared samples yet")
    );

    let given = ["cat", "dog", "ski", "swim", "cat", "dog"];
    let wus = ["dog", "dog", "swim", "swim", "cat", "dog"];
    let mut last = 0;
    for i in 0..6 {
        let look = Review {
            sample: ids[i],
            author: "li",
            said: given[i],
            shown: given[i],
            purpose: "first",
            blind: false,
            ms: None,
        };
        app.review(dataset, &look).await;
        let second = Review { author: "wu", said: wus[i], purpose: "second", blind: true, ..look };
        let id = app.review(dataset, &second).await;
        if i == 0 {
            last = id;
        }
    }
    // saw what the others had said; settled their difference; answered a sample of known class
    for (author, purpose, blind) in
        [("zo", "first", false), ("zo2", "adjudicate", false), ("zo3", "gold", true)]
    {
        let look = Review { sample: ids[0], author, said: "cat", shown: "cat", purpose, blind, ms: None };
        app.review(dataset, &look).await;
    }
    let found = app.get_json("/api/v1/datasets/clips/agreement").await;
    assert_eq!(
        (&found["people"], &found["decisions"], &found["seen_others"]),
        (&json!(2), &json!(12), &json!(1))
    );
    // 4 of 6 alike; chance by the margins (2·1 + 2·3 + 1·0 + 1·2) / 36 = 10/36: kappa 14/26
    assert!(near(&found["raw"]["interval"]["value"], 4.0 / 6.0), "{found}");
    let pair = &found["pairs"][0];
    assert_eq!((&pair["a"], &pair["b"], &pair["cohen"]["samples"]), (&json!("li"), &json!("wu"), &json!(6)));
    assert!(near(&pair["cohen"]["interval"]["value"], 14.0 / 26.0), "{pair}");
    // 12 votes: 3 cat, 5 dog, 1 ski, 3 swim; 44 / 144 by chance, 44 less 12 of 132 without putting back
    let chance = 44.0 / 144.0;
    assert!(near(&found["fleiss"]["interval"]["value"], (4.0 / 6.0 - chance) / (1.0 - chance)));
    assert!(near(&found["krippendorff"]["interval"]["value"], 1.0 - (2.0 / 6.0) / (100.0 / 132.0)));
    let confused: Vec<(&Value, &Value, &Value, &Value)> = found["confused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["a"], &c["b"], &c["samples"], &c["of"]))
        .collect();
    // cat or dog was said of s0, s1, s4, s5; ski or swim of s2, s3
    let (cat, dog, ski, swim) = (json!("cat"), json!("dog"), json!("ski"), json!("swim"));
    let (one, two, four) = (json!(1), json!(2), json!(4));
    assert_eq!(confused, [(&cat, &dog, &one, &four), (&ski, &swim, &one, &two)]);
    assert_eq!(found["classes"][0]["class"], "ski", "never said by both");

    app.take_back(last).await;
    let after = app.get_json("/api/v1/datasets/clips/agreement").await;
    assert!(near(&after["raw"]["interval"]["value"], 4.0 / 5.0), "{after}");
    let html = String::from_utf8(app.get("/datasets/clips/quality").await.bytes).unwrap();
    assert!(html.contains("0.800") && html.contains("li and wu"), "{html}");
}

#[tokio::test]
async fn people_are_measured_and_see_only_themselves() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 30).await;
    let ids = app.sample_ids(dataset).await;
    let classes = ["cat", "dog", "ski", "swim"];
    let admin = app.first_admin().await;
    let mut sessions = Vec::new();
    for (name, role) in [("li", "annotator"), ("wu", "annotator"), ("mei", "lead")] {
        let (id, session) = app.person(&admin, name).await;
        app.join(&admin, "clips", id, role).await;
        sessions.push(session);
    }
    let (_, stranger) = app.person(&admin, "stranger").await;
    for (i, id) in ids.iter().enumerate() {
        let class = classes[i % 4];
        app.settle(dataset, *id, class).await;
        let gold = |author, said, ms| Review {
            sample: *id,
            author,
            said,
            shown: class,
            purpose: "gold",
            blind: true,
            ms: Some(ms),
        };
        if i < 25 {
            app.review(dataset, &gold("li", if i == 0 { "dog" } else { class }, 1000 + 100 * i as i32)).await;
        }
        if i < 5 {
            app.review(dataset, &gold("wu", class, 9000)).await;
        }
    }
    // settled by two: a wrong label that li put right, and one that wu settled
    for (i, (author, purpose)) in [("li", "first"), ("wu", "adjudicate")].into_iter().enumerate() {
        let look = Review {
            sample: ids[i],
            author,
            said: classes[i],
            shown: "swim",
            purpose,
            blind: false,
            ms: None,
        };
        app.review(dataset, &look).await;
    }
    let path = "/api/v1/datasets/clips/people-quality";
    let report = async |who| {
        let answer = app.as_(who, Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json()
    };
    let (li, all) = (report(&sessions[0]).await, report(&sessions[2]).await);
    let names = |v: &Value| -> Vec<String> {
        v["people"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names(&li), names(&all)), (vec!["li".to_owned()], vec!["li".to_owned(), "wu".to_owned()]));
    let own = &li["people"][0];
    assert_eq!((&own["gold"]["n"], &own["gold"]["hits"]), (&json!(25), &json!(24)));
    // Wilson by hand: 24 of 25 at 1.96
    assert!(
        near(&own["gold"]["share"], 0.96)
            && near(&own["gold"]["low"], 0.80456)
            && near(&own["gold"]["high"], 0.99290)
    );
    assert_eq!(
        (&own["consensus"]["n"], &own["consensus"]["enough"], &own["consensus"]["share"]),
        (&json!(1), &json!(false), &Value::Null)
    );
    assert_eq!(
        (&own["corrects"]["n"], &own["corrects"]["hits"], &own["keeps"]["n"]),
        (&json!(1), &json!(1), &json!(25))
    );
    assert_eq!(
        own["taken"],
        json!([{"class": "cat", "said": "dog", "n": 1, "of": 8}]),
        "7 as gold, 1 settled"
    );
    let wus = &all["people"][1];
    assert_eq!((&wus["gold"]["n"], &wus["gold"]["share"]), (&json!(5), &Value::Null), "too few to tell");
    assert_eq!(wus["consensus"]["n"], 0, "who settles is not measured by it");
    // the median of 1000, 1100, .. 3400 is nobody's but li's own
    assert!(near(&own["median_ms"], 2200.0));
    assert!(all["people"].as_array().unwrap().iter().all(|p| p["median_ms"].is_null()), "{all}");
    assert_eq!(li["pace"], Value::Null, "two people's times would tell each other's");
    assert_eq!(app.as_(&stranger, Method::GET, path, None).await.status, StatusCode::NOT_FOUND);

    let page = async |who| {
        String::from_utf8(app.as_(who, Method::GET, "/datasets/clips/quality", None).await.bytes).unwrap()
    };
    let (own_page, lead_page) = (page(&sessions[0]).await, page(&sessions[2]).await);
    assert!(own_page.contains("96 %") || own_page.contains("96%"), "{own_page}");
    assert!(own_page.contains("not enough yet") && own_page.contains("2.2 s"));
    assert!(!own_page.contains(">wu<") && lead_page.contains(">wu<") && !lead_page.contains("2.2 s"));
    // three people with twenty each: then all together
    for (i, id) in ids.iter().enumerate().take(25) {
        for author in ["wu", "mei"] {
            let look = Review {
                sample: *id,
                author,
                said: classes[i % 4],
                shown: classes[i % 4],
                purpose: "second",
                blind: true,
                ms: Some(5000),
            };
            app.review(dataset, &look).await;
        }
    }
    let pace = &report(&sessions[0]).await["pace"];
    assert_eq!((&pace["people"], &pace["decisions"]), (&json!(3), &json!(80)));
    assert!(near(&pace["median_ms"], 5000.0), "{pace}");
}

#[tokio::test]
async fn yield_what_is_left_and_the_advice_to_stop() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 100).await;
    let ids = app.sample_ids(dataset).await;
    let none = app.get_json("/api/v1/datasets/clips/yield").await;
    assert_eq!(
        (&none["stretches"], &none["left"], &none["advice"]),
        (&json!([]), &Value::Null, &Value::Null)
    );
    let scan = app.scan(dataset, 30).await;
    let count = json!({"noise": {"count": {"estimate": 20, "informative": true, "low": 10, "high": 40, "posterior": 1.0,
        "surest": 1.0, "corroborated": 1.0, "confident_joint": 1.0, "argmax": 1.0}}});
    sqlx::query("update scans set summary = $2 where id = $1")
        .bind(scan)
        .bind(count)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    for (i, id) in ids.iter().enumerate().take(60) {
        let corrected = i < 10 || i == 55;
        let said = if corrected { "ski" } else { "cat" };
        let look = Review {
            sample: *id,
            author: "li",
            said,
            shown: "cat",
            purpose: "first",
            blind: false,
            ms: None,
        };
        app.review(dataset, &look).await;
        // neither second looks nor known samples are what reviewing yields
        for purpose in ["second", "gold"] {
            app.review(dataset, &Review { author: "wu", purpose, blind: true, ..look }).await;
        }
    }
    let undone = Review {
        sample: ids[99],
        author: "li",
        said: "ski",
        shown: "cat",
        purpose: "first",
        blind: false,
        ms: None,
    };
    let undone = app.review(dataset, &undone).await;
    app.take_back(undone).await;

    let found = app.get_json("/api/v1/datasets/clips/yield").await;
    assert_eq!((&found["decisions"], &found["stretch"]), (&json!(60), &json!(50)));
    let lines = found["stretches"].as_array().unwrap();
    let pairs: Vec<(&Value, &Value)> = lines.iter().map(|l| (&l["decisions"], &l["corrections"])).collect();
    assert_eq!(pairs, [(&json!(50), &json!(10)), (&json!(10), &json!(1))]);
    // Wilson by hand
    assert!(
        near(&lines[0]["per_100"], 20.0)
            && near(&lines[0]["low"], 11.24363)
            && near(&lines[0]["high"], 33.03737)
    );
    // 11 of the 10 to 40 were found; 40 samples are open
    assert_eq!((&found["left"], &found["open"]), (&json!({"estimate": 9, "low": 0, "high": 29}), &json!(40)));
    // suspicion 1/61 .. 1/100 of what is open sums to 0.50751; people are taken to be right 0.95 of the time
    let advice = &found["advice"];
    assert!(near(&advice["corrects"], 0.48213) && near(&advice["breaks"], 1.97462), "{advice}");
    assert_eq!((&advice["next"], &advice["pays"], &advice["known"]), (&json!(40), &json!(0), &json!(0)));
    let html = String::from_utf8(app.get("/datasets/clips/quality?lang=en").await.bytes).unwrap();
    assert!(html.contains("The next 40 reviews are expected to correct 0 labels and break 2."), "{html}");
    assert!(html.contains("Stop here") && html.contains("about 9 labels are wrong (0 to 29"));
    let zh = String::from_utf8(app.get("/datasets/clips/quality?lang=zh-CN").await.bytes).unwrap();
    assert!(zh.contains("接下来的 40 次审核，预计改对 0 个标签、改坏 2 个。"));
}
