//! Labels taken back: the database keeps the given and the current label as the history says.

use sqlx::Row;
use tamis::domain::LabelSource;

use crate::support::TestApp;

/// Given and current label of every sample from the labels that stand, without the triggers' help.
pub(crate) async fn recomputed(app: &TestApp) -> Vec<String> {
    let standing = sqlx::query(
        "select l.id, l.sample_id, l.class, l.source from labels l
         where not exists (select from label_retractions r where r.label_id = l.id) order by l.id",
    )
    .fetch_all(app.services.store.pool())
    .await
    .unwrap();
    let all: Vec<i64> = sqlx::query_scalar("select id from samples order by id")
        .fetch_all(app.services.store.pool())
        .await
        .unwrap();
    all.into_iter()
        .map(|sample| {
            let mine = standing.iter().filter(|r| r.get::<i64, _>("sample_id") == sample);
            let (mut given, mut best): (Option<String>, Option<(i16, i64, String)>) = (None, None);
            for r in mine {
                let source = LabelSource::parse(r.get("source")).unwrap();
                if source == LabelSource::Import {
                    given = Some(r.get("class"));
                }
                let next = (source.precedence(), r.get("id"), r.get("class"));
                if source != LabelSource::Model && best.as_ref().is_none_or(|b| next.0 >= b.0) {
                    best = Some(next);
                }
            }
            format!("{sample} {given:?} {:?}", best.map(|b| (b.1, b.2)))
        })
        .collect()
}

/// `current_labels` in the words of [`recomputed`].
pub(crate) async fn kept_by_triggers(app: &TestApp) -> Vec<String> {
    sqlx::query("select sample_id, given_class, label_id, class from current_labels order by sample_id")
        .fetch_all(app.services.store.pool())
        .await
        .unwrap()
        .into_iter()
        .map(|r| {
            let given: Option<String> = r.get("given_class");
            let best = r.get::<Option<i64>, _>("label_id").map(|id| (id, r.get::<String, _>("class")));
            format!("{} {given:?} {best:?}", r.get::<i64, _>("sample_id"))
        })
        .collect()
}

/// Labels and retractions in random order: what the triggers keep is what the history says.
#[tokio::test]
async fn current_labels_are_those_of_the_history_after_any_labels_and_retractions() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 12).await;
    let ids = app.sample_ids(dataset).await;
    let pool = app.services.store.pool();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n) as usize
    };
    let classes = ["cat", "dog", "ski", "swim"];
    for step in 0..150 {
        if random(5) < 3 {
            // several labels of a sample in one statement count too
            let n = 1 + random(6);
            let rows: Vec<(i64, &str, &str)> = (0..n)
                .map(|_| (ids[random(12)], classes[random(4)], LabelSource::ALL[random(6)].as_str()))
                .collect();
            sqlx::query(
                "insert into labels (dataset_id, sample_id, class, source, author)
                 select $1, s, c, k, 'x' from unnest($2::bigint[], $3::text[], $4::text[]) with ordinality as r(s, c, k, n)
                 order by n",
            )
            .bind(dataset)
            .bind(rows.iter().map(|r| r.0).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.1).collect::<Vec<_>>())
            .bind(rows.iter().map(|r| r.2).collect::<Vec<_>>())
            .execute(pool)
            .await
            .unwrap();
        } else {
            sqlx::query(
                "insert into label_retractions (label_id, author)
                 select id, 'x' from labels where id % $1 = $2 on conflict do nothing",
            )
            .bind(17_i64)
            .bind(random(17) as i64)
            .execute(pool)
            .await
            .unwrap();
        }
        assert_eq!(kept_by_triggers(&app).await, recomputed(&app).await, "step {step}");
    }
    let retracted: i64 =
        sqlx::query_scalar("select count(*) from label_retractions").fetch_one(pool).await.unwrap();
    assert!(retracted > 30, "{retracted}");
}

#[tokio::test]
async fn retractions_are_append_only_name_a_label_and_go_with_it() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 2).await;
    let pool = app.services.store.pool();
    sqlx::query("insert into label_retractions (label_id, author) select id, 'x' from labels limit 1")
        .execute(pool)
        .await
        .unwrap();
    let error = sqlx::query("update label_retractions set author = 'y'").execute(pool).await.unwrap_err();
    assert!(error.to_string().contains("append-only"), "{error}");
    let unknown = sqlx::query("insert into label_retractions (label_id, author) values (999999, 'x')");
    let error = unknown.execute(pool).await.unwrap_err();
    assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("23503"));
    app.services.store.delete_dataset(dataset).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("select count(*) from label_retractions").fetch_one(pool).await.unwrap();
    assert_eq!(left, 0);
}

/// A label given while its sample's other label is being retracted is not lost, whichever is first.
#[tokio::test]
async fn a_label_given_while_another_is_retracted_counts() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 1).await;
    let id = app.sample_ids(dataset).await[0];
    let pool = app.services.store.pool();
    let label =
        "insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, $3, $4, 'x')";
    for round in 0..6 {
        let rule = sqlx::query(label).bind(dataset).bind(id).bind("dog").bind("rule");
        rule.execute(pool).await.unwrap();
        let mut giving = pool.begin().await.unwrap();
        let mut taking = pool.begin().await.unwrap();
        let give = sqlx::query(label).bind(dataset).bind(id).bind("ski").bind("rule");
        let take = sqlx::query(
            "insert into label_retractions (label_id, author) select label_id, 'y' from current_labels where sample_id = $1",
        )
        .bind(id);
        if round % 2 == 0 {
            give.execute(&mut *giving).await.unwrap();
            let taking = tokio::spawn(async move {
                let done = take.execute(&mut *taking).await;
                taking.commit().await.unwrap();
                done
            });
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            giving.commit().await.unwrap();
            taking.await.unwrap().unwrap();
        } else {
            take.execute(&mut *taking).await.unwrap();
            let giving = tokio::spawn(async move {
                let done = give.execute(&mut *giving).await;
                giving.commit().await.unwrap();
                done
            });
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            taking.commit().await.unwrap();
            giving.await.unwrap().unwrap();
        }
        assert_eq!(kept_by_triggers(&app).await, recomputed(&app).await, "round {round}");
    }
}
