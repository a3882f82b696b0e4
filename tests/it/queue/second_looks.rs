//! Second looks, adjudication, known samples, and taking decisions back.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{app, keep, relabel};
use crate::support::TestApp;

#[tokio::test]
async fn unsure_goes_to_somebody_else() {
    let app = app().await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let item = ann.draw(1).await.remove(0);
    let review = ann.decides(&item, json!({"decision": "unsure"})).await;
    assert_eq!(ann.draws(4).await, ["s1", "s2", "s3", "s4"]);
    assert_eq!(bob.draws(1).await, ["s0"]);
    // bob looks at it now
    assert_eq!(ann.undoes(review).await["lease"], Value::Null);
    let item = bob.draw(1).await.remove(0);
    bob.decides(&item, keep()).await;
    assert_eq!(app.standing("s0").await.2, Some("verified".into()));
}

#[tokio::test]
async fn undo_gives_label_exclusion_and_sample_back() {
    let app = app().await;
    let ann = app.tab("ann");
    for decision in [relabel("dog"), json!({"decision": "exclude"}), json!({"decision": "unsure"}), keep()] {
        let item = ann.draw(1).await.remove(0);
        assert_eq!(item["sample"], "s0", "{decision}");
        let review = ann.decides(&item, decision.clone()).await;
        let in_use = app.walk("/api/v1/datasets/d/samples?excluded=false", 10).await.len();
        assert_eq!(in_use, if decision["decision"] == "exclude" { 5 } else { 6 });
        let undone = ann.undoes(review).await;
        assert_eq!(undone["lease"]["sample"], "s0");
        assert!(undone["undone_at"].is_string());
        assert_eq!(ann.undoes(review).await, undone, "undoing twice");
        assert_eq!(app.standing("s0").await, ("cat".into(), "import".into(), None, None), "{decision}");
        assert_eq!(app.walk("/api/v1/datasets/d/samples?excluded=false", 10).await.len(), 6);
        let sample = app.get_json("/api/v1/datasets/d/samples/s0").await;
        assert_eq!(sample["review"], Value::Null);
    }
    let mine = app.get_json("/api/v1/datasets/d/reviews?author=ann&limit=3").await;
    let seen: Vec<&str> =
        mine["items"].as_array().unwrap().iter().map(|r| r["decision"].as_str().unwrap()).collect();
    assert_eq!(seen, ["keep", "unsure", "exclude"]);
    assert!(mine["items"][0]["undone_at"].is_string());
    let rest =
        app.get_json(&format!("/api/v1/datasets/d/reviews?before={}", mine["next"].as_str().unwrap())).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    let history = app.walk("/api/v1/datasets/d/samples/s0/history", 50).await;
    assert_eq!(history.iter().filter(|h| h["kind"] == "undo").count(), 4);
    assert_eq!(history.iter().filter(|h| h["kind"] == "retraction").count(), 0);
    app.get("/api/v1/datasets/d").await;
    let nobody = app.tab("ann").undo(Uuid::now_v7()).await;
    nobody.problem(404, "not_found");
}

#[tokio::test]
async fn two_agree_blind_and_the_label_is_theirs() {
    let app = app().await;
    app.set_policy(json!({"double_check": "changes", "gold_share": 1})).await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let items = ann.draw(2).await;
    ann.decides(&items[0], relabel("dog")).await;
    ann.decides(&items[1], keep()).await;
    assert_eq!(app.standing("s1").await.2, Some("verified".into()), "keeps are not looked at again");
    assert_eq!(app.standing("s0").await, ("dog".into(), "annotator".into(), Some("second".into()), None));
    assert_eq!(ann.draws(1).await, ["s2"], "never the same person");
    let second = bob.draw(1).await.remove(0);
    assert_eq!(
        (&second["sample"], &second["purpose"], &second["blind"]),
        (&json!("s0"), &json!("second_look"), &json!(true))
    );
    let lease = app.services.store.lease(
        app.services.store.dataset("d").await.unwrap().id,
        second["lease_id"].as_str().unwrap().parse().unwrap(),
    );
    assert_eq!(lease.await.unwrap().label.as_deref(), Some("cat"), "what the first one saw");
    let review = bob.decides(&second, relabel("dog")).await;
    let gold = ("dog".to_owned(), "consensus".to_owned(), Some("gold".to_owned()), Some("dog".to_owned()));
    assert_eq!(app.standing("s0").await, gold);
    // taken back, it waits for a second look again, and bob has it
    assert_eq!(bob.undoes(review).await["lease"]["purpose"], "second_look");
    assert_eq!(app.standing("s0").await, ("dog".into(), "annotator".into(), Some("second".into()), None));
    let second = bob.draw(1).await.remove(0);
    assert_eq!(second["sample"], "s0");
    bob.decides(&second, relabel("dog")).await;
    assert_eq!(app.standing("s0").await, gold);
}

#[tokio::test]
async fn a_third_person_settles_what_two_see_differently() {
    let app = app().await;
    app.set_policy(json!({"double_check": "all", "gold_share": 1})).await;
    let (ann, bob, cy) = (app.tab("ann"), app.tab("bob"), app.tab("cy"));
    let item = ann.draw(1).await.remove(0);
    let first = ann.decides(&item, relabel("dog")).await;
    let item = bob.draw(1).await.remove(0);
    // a blind keep keeps what the first one saw, not what the first one said
    let second = bob.decides(&item, keep()).await;
    assert_eq!(app.standing("s0").await, ("cat".into(), "annotator".into(), Some("adjudicate".into()), None));
    let dataset = app.services.store.dataset("d").await.unwrap().id;
    let sample = app.services.store.sample_id(dataset, "s0").await.unwrap();
    let looks = app.services.store.looks(dataset, sample).await.unwrap();
    let said: Vec<_> =
        looks.iter().map(|l| (l.author.clone(), l.decision.as_str(), l.classes.join(""))).collect();
    assert_eq!(said, [(None, "relabel", "dog".to_owned()), (None, "keep", "cat".to_owned())]);
    assert_eq!(ann.draws(1).await, ["s1"], "not one of the two");
    // people and model together: three see it, the model says ski
    let consensus = app.get_json("/api/v1/datasets/d/samples/s0/consensus").await;
    assert_eq!((consensus["votes"].as_array().unwrap().len(), &consensus["shared"]), (2, &json!(1)));
    assert!((0.0..=1.0).contains(&consensus["quality"].as_f64().unwrap()), "{consensus}");
    assert!(["dog", "cat"].contains(&consensus["class"].as_str().unwrap()));
    let third = cy.draw(1).await.remove(0);
    assert_eq!((&third["sample"], &third["purpose"]), (&json!("s0"), &json!("adjudicate")));
    let settled = cy.decides(&third, relabel("dog")).await;
    let gold = ("dog".to_owned(), "adjudicated".to_owned(), Some("gold".to_owned()), Some("dog".to_owned()));
    assert_eq!(app.standing("s0").await, gold);
    // what the two do afterwards changes nothing
    bob.undoes(second).await;
    assert_eq!(app.standing("s0").await, gold);
    // without the adjudication and the second look the first one waits for a second
    let back = cy.undoes(settled).await;
    assert_eq!(back["lease"]["purpose"], "second_look");
    assert_eq!(app.standing("s0").await, ("dog".into(), "annotator".into(), Some("second".into()), None));
    ann.undoes(first).await;
    assert_eq!(app.standing("s0").await, ("cat".into(), "import".into(), None, None));
    assert_eq!(app.get_json("/api/v1/datasets/d/queue").await["counts"][0]["open"], 5);
}

#[tokio::test]
async fn known_samples_are_slipped_in_and_change_nothing() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 12).await;
    app.scan(d, 12).await;
    app.set_policy(json!({"double_check": "all", "gold_rate": 0.5, "gold_share": 1})).await;
    let (ann, bob, cy) = (app.tab("ann"), app.tab("bob"), app.tab("cy"));
    for tab in [&ann, &bob] {
        let item = tab.draw(1).await.remove(0);
        assert_eq!(item["sample"], "s0");
        tab.decides(&item, relabel("dog")).await;
    }
    assert_eq!(app.standing("s0").await.2, Some("gold".into()));
    // every fresh sample may bring one; among eleven and a rate of a half one does
    let mut seen = Vec::new();
    loop {
        let items = cy.draw(1).await;
        let Some(item) = items.first() else { break };
        assert_eq!(
            (&item["purpose"], &item["blind"]),
            (&json!("review"), &json!(false)),
            "looks like any other"
        );
        seen.push(item["sample"].as_str().unwrap().to_owned());
        cy.decides(item, keep()).await;
        assert!(seen.len() < 20);
    }
    assert_eq!(seen.iter().filter(|s| *s == "s0").count(), 1, "{seen:?}");
    assert_eq!(app.standing("s0").await.0, "dog");
    assert_eq!(app.standing("s0").await.2, Some("gold".into()));
    assert_eq!(ann.draws(4).await.iter().filter(|s| *s == "s0").count(), 0, "not to those who made it known");
    let answers: Vec<(String, Option<String>)> =
        sqlx::query_as("select author, class_before from reviews where purpose = 'gold'")
            .fetch_all(app.services.store.pool())
            .await
            .unwrap();
    assert_eq!(answers, [("cy".into(), Some("cat".into()))], "it was shown as it was given");
}

#[tokio::test]
async fn a_policy_holds_from_the_next_first_look_on() {
    let app = app().await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let items = ann.draw(3).await;
    ann.decides(&items[0], keep()).await;
    app.set_policy(json!({"double_check": "all", "gold_share": 1})).await;
    assert_eq!(
        app.standing("s0").await.2,
        Some("verified".into()),
        "nothing is asked again behind people's backs"
    );
    ann.decides(&items[1], relabel("ski")).await;
    app.set_policy(json!({"double_check": "none"})).await;
    assert_eq!(app.standing("s1").await.2, Some("second".into()), "what was asked for stays asked for");
    ann.decides(&items[2], relabel("dog")).await;
    assert_eq!(app.standing("s2").await.2, Some("verified".into()));
    let second = bob.draw(1).await.remove(0);
    assert_eq!((&second["sample"], &second["purpose"]), (&json!("s1"), &json!("second_look")));
    bob.decides(&second, relabel("ski")).await;
    assert_eq!(app.standing("s1").await.2, Some("gold".into()));
    let policy = app.get_json("/api/v1/datasets/d/policy").await;
    assert_eq!(
        (&policy["version"], &policy["double_check"], &policy["author"]),
        (&json!(2), &json!("none"), &json!("local"))
    );
    let same = json!({"double_check": "none", "blind": true});
    app.set_policy(same).await;
    assert_eq!(
        app.get_json("/api/v1/datasets/d/policy").await["version"],
        2,
        "the same again is no new version"
    );
    let request = axum::http::Request::put("/api/v1/datasets/d/policy")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(json!({"double_check": "all", "gold_rate": 2}).to_string()))
        .unwrap();
    app.send(request).await.problem_with("gold_rate", "bad_policy");
}

#[tokio::test]
async fn what_two_people_settle_is_trained_on_but_for_the_share_that_measures() {
    for (share, state) in [(0, "verified"), (1, "gold")] {
        let app = app().await;
        app.set_policy(json!({"double_check": "changes", "gold_share": share})).await;
        for tab in [app.tab("ann"), app.tab("bob")] {
            let item = tab.draw(1).await.remove(0);
            assert_eq!(item["sample"], "s0");
            tab.decides(&item, relabel("dog")).await;
        }
        let settled =
            ("dog".to_owned(), "consensus".to_owned(), Some(state.to_owned()), Some("dog".to_owned()));
        assert_eq!(app.standing("s0").await, settled);
        let dataset = app.services.store.dataset("d").await.unwrap().id;
        assert_eq!(app.services.store.gold(dataset).await.unwrap().len(), share, "kept out of training");
        // people are measured against it either way
        let answers = app.services.store.settled(dataset).await.unwrap();
        assert_eq!(
            answers.iter().map(|a| (a.author.as_str(), a.n)).collect::<Vec<_>>(),
            [("ann", 1), ("bob", 1)]
        );
    }
    let app = app().await;
    assert_eq!(app.get_json("/api/v1/datasets/d/policy").await["gold_share"], 0.1);
}

#[tokio::test]
async fn the_first_look_taken_back_while_somebody_has_the_second() {
    let app = app().await;
    app.set_policy(json!({"double_check": "all", "gold_share": 1})).await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let item = ann.draw(1).await.remove(0);
    let first = ann.decides(&item, relabel("dog")).await;
    let item = bob.draw(1).await.remove(0);
    assert_eq!(item["purpose"], "second_look");
    assert_eq!(ann.undoes(first).await["lease"], Value::Null, "bob has it");
    assert_eq!(bob.draw(1).await[0]["purpose"], "review", "it is the first look now");
    bob.decides(&item, relabel("dog")).await;
    assert_eq!(app.standing("s0").await, ("dog".into(), "annotator".into(), Some("second".into()), None));
    assert_eq!(ann.draws(1).await, ["s0"]);
    assert_eq!(bob.draws(1).await, ["s1"]);
}
