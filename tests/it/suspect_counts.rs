//! The numbers on the chips: exact wherever they are told without `about`, whatever was decided, left out or
//! reordered since; an estimate where there is too much to count.

use serde_json::{Value, json};
use tamis::domain::{Detector, Issue, RankedIssue};
use tamis::store::learning::Moved;
use tamis::store::telling::Audience;
use uuid::Uuid;

use crate::support::TestApp;

const COUNTS: &str = "/api/v1/datasets/d/suspects/counts";

impl TestApp {
    /// (n, about) of a kind.
    async fn counted(&self, query: &str, kind: &str) -> (u64, bool) {
        let counts = self.get_json(&format!("{COUNTS}?{query}")).await;
        let count = counts.as_array().unwrap().iter().find(|c| c["kind"] == kind).unwrap();
        (count["n"].as_u64().unwrap(), count["about"].as_bool().unwrap_or(false))
    }

    /// Every number is that of the list with the same filter.
    async fn counts_as_listed(&self) {
        for query in [
            "",
            "status=open",
            "status=kept",
            "status=relabelled",
            "status=unsure",
            "status=other",
            "detector=log_margin",
            "detector=neighbours&status=open",
            "cross_parent=true",
            "cross_parent=false&status=kept",
            "given=dog",
            "suggested=swim&status=open",
            "given=dog&suggested=swim",
            "class=animals",
            "class=sports&cross_parent=true",
            "class=swim",
            "cluster=2",
            "cluster=1&detector=neighbours",
        ] {
            for kind in ["label", "outlier", "media"] {
                let list = self.walk(&format!("/api/v1/datasets/d/suspects?issue={kind}&{query}"), 7).await;
                let places: Vec<i64> = list.iter().map(|s| s["place"].as_i64().unwrap()).collect();
                assert!(places.is_sorted(), "{query}: {places:?}");
                assert_eq!(self.counted(query, kind).await, (list.len() as u64, false), "{kind} {query}");
            }
        }
    }

    async fn say(&self, sample: usize, decision: Value) {
        let mut body = json!({"client_id": Uuid::now_v7()});
        body.as_object_mut().unwrap().extend(decision.as_object().unwrap().clone());
        let answer = self.post_json(&format!("/api/v1/datasets/d/samples/s{sample}/reviews"), &body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
    }
}

#[tokio::test]
async fn each_number_is_that_of_its_list() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 60).await;
    let scan = app
        .scan_with(dataset, 24, |i, f| {
            f.given_class = ["cat", "dog"][i % 2].into();
            f.suggested_class = ["ski", "swim", "dog"][i % 3].into();
            f.reason.cross_parent = i % 4 != 0;
            f.cluster = (i % 5) as i32;
            f.detectors = [vec![], vec![Detector::LogMargin], Detector::ALL.to_vec()][i % 3].clone();
            if i % 3 == 1 {
                let rank = i32::try_from(i / 3).unwrap() + 1;
                f.issues.push(RankedIssue { rank, issue: Issue::Outlier { nearest: 0.1 } });
            }
        })
        .await;
    assert_eq!(app.counted("", "label").await, (24, false));
    assert_eq!(app.counted("", "outlier").await, (20, false));
    app.counts_as_listed().await;
    for i in 0..30 {
        match i % 6 {
            0 => app.say(i, json!({"decision": "keep"})).await,
            1 => app.say(i, json!({"decision": "relabel", "class": "swim"})).await,
            2 => app.say(i, json!({"decision": "unsure"})).await,
            3 => app.say(i, json!({"decision": "exclude"})).await,
            4 => app.say(i, json!({"decision": "bad_media"})).await,
            _ => {}
        }
    }
    assert_eq!(app.counted("", "label").await, (20, false), "four of the first 24 are left out");
    app.counts_as_listed().await;
    // the order is turned round: others are flagged
    let moved: Vec<Moved> = app
        .sample_ids(dataset)
        .await
        .into_iter()
        .zip((1..=60u32).rev())
        .map(|(sample_id, rank)| Moved { sample_id, rank, place: rank, suspicion: 0.5 })
        .collect();
    app.services.store.reorder(scan, &moved, &json!({}), 0).await.unwrap();
    assert_eq!(app.counted("", "label").await, (24, false));
    app.counts_as_listed().await;
    // a scan of another dataset has no numbers here
    let other = app.dataset_with_samples("other", 4).await;
    let other = app.scan(other, 2).await;
    let found = app
        .services
        .store
        .issue_counts(dataset, other, &Default::default(), Audience::Knowing)
        .await
        .unwrap();
    assert!(found.iter().all(|c| c.n == 0));
}

#[tokio::test]
async fn where_there_is_too_much_to_count_the_number_is_about_right_and_says_so() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 4).await;
    let scan = app.scan(dataset, 0).await;
    // 8,000 suspects, three in four of them kept
    for sql in [
        "insert into samples (dataset_id, external_id) select id, 'x' || g from datasets, generate_series(1, 8000) g where name = 'd'",
        "insert into findings select n.id, s.id, row_number() over (order by s.id), 0.9, true, 'cat', 'ski', 0.9, 0.1, -0.8, '{log_margin}',
           f.reason, f.neighbours, 0, row_number() over (order by s.id)
         from scans n, samples s, lateral (select reason, neighbours from findings where scan_id = n.id limit 1) f where s.external_id like 'x%'",
        "insert into finding_issues (scan_id, sample_id, kind, rank, facts) select scan_id, sample_id, 'label', rank, '{\"kind\": \"label\"}'
         from findings where flagged",
        "insert into issue_counts select scan_id, 'label', detectors, true, count(*) from findings where flagged group by 1, 2, 3, 4",
        "insert into reviews (client_id, dataset_id, sample_id, author, decision, class_before)
         select gen_random_uuid(), s.dataset_id, f.sample_id, 'ann', 'keep', 'cat' from findings f join samples s on s.id = f.sample_id
         where f.flagged and f.rank % 4 <> 0",
    ] {
        sqlx::query(sql).execute(app.services.store.pool()).await.unwrap();
    }
    assert_eq!(
        app.counted("", "label").await,
        (8000, false),
        "nothing to take off: the number beside the scan"
    );
    for (query, true_number) in
        [("status=kept", 6000), ("status=open", 2000), ("given=cat&status=kept", 6000)]
    {
        let (n, about) = app.counted(query, "label").await;
        assert!(about, "{query}");
        // six standard deviations of 1,000 draws at a share of 3/4: 8 points of a hundred
        assert!(n.abs_diff(true_number) < 660, "{query}: {n}");
    }
    assert_eq!(app.counted("status=unsure", "label").await, (0, false), "few are counted");
    let html = String::from_utf8(app.get("/datasets/d/suspects?status=kept&lang=en").await.bytes).unwrap();
    assert!(html.contains("<span class=\"num\">about "), "{html}");
    // the last page of a long list
    let found = app
        .services
        .store
        .suspects(dataset, scan, &Default::default(), Audience::Knowing, 7990, 30)
        .await
        .unwrap();
    assert_eq!((found.items.len(), found.next), (10, None));
}

#[tokio::test]
async fn a_search_that_takes_too_long_says_so() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 2).await;
    assert_eq!(app.walk("/api/v1/datasets/d/samples?text=CLIP", 1).await.len(), 2);
    // nothing can be read for as long as this lasts
    let mut tx = app.services.store.pool().begin().await.unwrap();
    sqlx::query("lock table samples in access exclusive mode").execute(&mut *tx).await.unwrap();
    let (api, page, grid) = tokio::join!(
        app.get("/api/v1/datasets/d/samples?text=clip"),
        app.get("/datasets/d/samples?text=clip&lang=en"),
        app.get("/datasets/d/grid?of=samples&text=clip&lang=zh-CN"),
    );
    tx.rollback().await.unwrap();
    api.problem(503, "took_too_long");
    for (answer, words) in [(page, "Narrow it down"), (grid, "缩小范围")] {
        assert_eq!(answer.status, 503);
        let html = String::from_utf8(answer.bytes).unwrap();
        assert!(html.contains(words), "{html}");
    }
}
