//! Ten thousand draws by many at once, most of whom die with what they hold: nobody is ever given what
//! somebody alive holds, and in the end everything is decided exactly once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tamis::domain::Decision;
use tamis::store::queue::{Draw, DrawnItem};
use tamis::store::reviews::NewReview;
use uuid::Uuid;

use crate::support::TestApp;

const WORKERS: usize = 32;
const DRAWS: usize = 10_000;
const SAMPLES: usize = 600;

/// Who is alive, and holds what.
#[derive(Default)]
struct World {
    held: HashMap<i64, Uuid>,
    dead: HashSet<Uuid>,
    doubles: Vec<(i64, Uuid, Uuid)>,
}

/// Pseudo-random numbers below `n`; the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

struct Worker {
    app: Arc<TestApp>,
    world: Arc<Mutex<World>>,
    dataset: Uuid,
    person: String,
    holder: Uuid,
}

impl Worker {
    fn draw(&self, count: i64) -> Draw {
        Draw {
            dataset: self.dataset,
            person: self.person.clone(),
            holder: self.holder,
            count,
            batch: None,
            may_adjudicate: false,
            minutes: 5,
        }
    }

    fn hold(&self, items: &[DrawnItem]) {
        let mut world = self.world.lock().unwrap();
        for item in items {
            if let Some(other) = world.held.insert(item.sample_id, self.holder)
                && other != self.holder
            {
                world.doubles.push((item.sample_id, other, self.holder));
            }
        }
    }

    /// Takes the tab down: what it held comes back once its leases are over.
    async fn die(&mut self) {
        {
            let mut world = self.world.lock().unwrap();
            world.held.retain(|_, holder| *holder != self.holder);
            world.dead.insert(self.holder);
        }
        expire(&self.app, &[self.holder]).await;
        self.holder = Uuid::now_v7();
    }

    async fn decide(&self, item: &DrawnItem) {
        let review = NewReview {
            client_id: Uuid::now_v7(),
            dataset_id: self.dataset,
            sample_id: item.sample_id,
            scan_id: None,
            lease_id: Some(item.lease_id),
            author: self.person.clone(),
            may_adjudicate: false,
            decision: Decision::Keep,
            comment: String::new(),
            time_spent_ms: None,
        };
        self.world.lock().unwrap().held.remove(&item.sample_id);
        self.app.services.store.record_review(&review).await.unwrap();
    }
}

async fn expire(app: &TestApp, holders: &[Uuid]) {
    sqlx::query("update queue_items set leased_until = now() - interval '1 second' where holder = any($1) and state = 'open'")
        .bind(holders)
        .execute(app.services.store.pool())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_draws_give_nothing_to_two() {
    let app = Arc::new(TestApp::new().await);
    let ids: Vec<String> = (0..SAMPLES).map(|i| format!("s{i}")).collect();
    let dataset = app.dataset_with_ids("d", &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    app.scan(dataset, SAMPLES).await;
    let world = Arc::new(Mutex::new(World::default()));
    let mut tasks = Vec::new();
    for number in 0..WORKERS {
        let mut worker = Worker {
            app: app.clone(),
            world: world.clone(),
            dataset,
            // four people with several tabs each
            person: format!("person {}", number % 4),
            holder: Uuid::now_v7(),
        };
        tasks.push(tokio::spawn(async move {
            let store = worker.app.services.store.clone();
            let mut dice = Dice(number as u64);
            for _ in 0..DRAWS / WORKERS {
                let draw = worker.draw(1 + dice.below(4) as i64);
                // one in ten is cut off in the middle: the tab never learns what it was given
                let patience = match dice.below(10) {
                    0 => Duration::from_micros(200 + dice.below(20_000)),
                    _ => Duration::from_secs(60),
                };
                let Ok(drawn) = tokio::time::timeout(patience, store.draw(&draw)).await else {
                    worker.die().await;
                    continue;
                };
                let drawn = drawn.unwrap();
                worker.hold(&drawn.items);
                match dice.below(20) {
                    0..2 => {
                        for item in &drawn.items {
                            worker.decide(item).await;
                        }
                    }
                    2..4 => {}
                    _ => worker.die().await,
                }
            }
            worker.die().await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // the last ones clear up
    let worker = Worker {
        app: app.clone(),
        world: world.clone(),
        dataset,
        person: "last".into(),
        holder: Uuid::now_v7(),
    };
    for _ in 0..10_000 {
        let drawn = app.services.store.draw(&worker.draw(4)).await.unwrap();
        worker.hold(&drawn.items);
        if drawn.items.is_empty() {
            let dead: Vec<Uuid> = world.lock().unwrap().dead.iter().copied().collect();
            expire(&app, &dead).await;
            let open: i64 = sqlx::query_scalar("select count(*) from queue_items where state = 'open'")
                .fetch_one(app.services.store.pool())
                .await
                .unwrap();
            if open == 0 {
                break;
            }
        }
        for item in &drawn.items {
            worker.decide(item).await;
        }
    }
    assert_eq!(world.lock().unwrap().doubles, []);
    // the same from what the database kept
    let pool = app.services.store.pool();
    let once: (i64, i64) = sqlx::query_as("select count(*), count(distinct sample_id) from reviews")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(once, (SAMPLES as i64, SAMPLES as i64), "each sample is decided exactly once");
    let leases: Vec<(i64, Uuid, bool)> = sqlx::query_as(
        "select l.sample_id, l.holder, exists (select from reviews r where r.lease_id = l.id) from queue_leases l
         order by l.sample_id, l.created_at, l.id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(leases.len() > 5 * SAMPLES, "{}", leases.len());
    let world = world.lock().unwrap();
    for pair in leases.windows(2).filter(|w| w[0].0 == w[1].0) {
        assert!(world.dead.contains(&pair[0].1), "{} was given on while somebody alive held it", pair[0].0);
        assert!(!pair[0].2, "{} was given on after it was decided", pair[0].0);
    }
}
