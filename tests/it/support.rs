//! A running application for a test: a database of its own (copied from a migrated template), the
//! real services and the real router, and helpers that speak the domain.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use tamis::config::Config;
use tamis::domain::{Detector, Finding, Issue, JobState, Neighbour, Node, RankedIssue, Reason, Taxonomy};
use tamis::jobs::Services;
use tamis::jobs::import::{ImportArgs, StagedFile, TaxonomySource};
use tamis::native::postgres::EmbeddedPostgres;
use tamis::native::{Native, NativeSettings};
use tamis::store::imports::{StagedRow, Staging};
use tamis::store::jobs::Job;
use tamis::store::scans::Scan;
use tamis::store::snapshots::Snapshot;
use tamis::store::telling::Audience;
use tokio::sync::OnceCell;
use tower::ServiceExt;
use uuid::Uuid;

/// Where the tests' databases are made: `DATABASE_URL`, whose role may create databases, else one
/// embedded server for the whole test process. Its data stay in the build folder for the next run.
async fn server_url() -> String {
    static EMBEDDED: OnceCell<EmbeddedPostgres> = OnceCell::const_new();
    if let Ok(url) = std::env::var("DATABASE_URL") {
        return url;
    }
    let start = async || {
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("it-postgres");
        let native = Native::resolve(&NativeSettings::default());
        EmbeddedPostgres::start_with(&native, &state, Path::new(env!("CARGO_BIN_EXE_tamis")))
            .await
            .expect("no DATABASE_URL, and no embedded Postgres either")
    };
    EMBEDDED.get_or_init(start).await.url().to_owned()
}

/// `url` with another database.
fn with_database(url: &str, database: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (address, query) = rest.split_once('?').map_or((rest, None), |(a, q)| (a, Some(q)));
    let authority = address.split('/').next().unwrap_or_default();
    let query = query.map(|q| format!("?{q}")).unwrap_or_default();
    format!("{scheme}://{authority}/{database}{query}")
}

async fn admin(url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).unwrap();
    PgConnection::connect_with(&options).await.unwrap()
}

/// The migrated template's name. It is named by the migrations' checksums, so runs share it until
/// they change; an advisory lock keeps two processes from making it at once.
async fn template(url: &str) -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            let sums = tamis::store::MIGRATOR.iter().flat_map(|m| m.checksum.iter());
            // FNV-1a over all of them: a migration added is another template
            let hash = sums
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
            let name = format!("tamis_test_template_{hash:016x}");
            let mut admin = admin(url).await;
            sqlx::query("select pg_advisory_lock(7412001)").execute(&mut admin).await.unwrap();
            let there: bool =
                sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
                    .bind(&name)
                    .fetch_one(&mut admin)
                    .await
                    .unwrap();
            if !there {
                let half = format!("{name}_half");
                for sql in [format!("drop database if exists {half}"), format!("create database {half}")] {
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut admin).await.unwrap();
                }
                let state = tempfile::tempdir().unwrap();
                let config = Config::defaults(state.path()).unwrap();
                let services =
                    Services::open(config, Native::default(), &with_database(url, &half)).await.unwrap();
                services.store.pool().close().await;
                // only a whole template gets the name
                let rename = format!("alter database {half} rename to {name}");
                sqlx::query(AssertSqlSafe(rename)).execute(&mut admin).await.unwrap();
            }
            admin.close().await.unwrap();
            name
        })
        .await
}

pub(crate) struct TestApp {
    pub(crate) services: Services,
    pub(crate) router: Router,
    server: String,
    database: String,
    pub(crate) state: tempfile::TempDir,
    worker: Option<(tokio::sync::watch::Sender<bool>, tokio::task::JoinHandle<()>)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, String::from_utf8_lossy(&self.bytes)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Checks that this is a problem of this status and code; returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["code"], code, "{json}");
        assert_eq!(json["status"], status);
        assert_eq!(json["type"], format!("urn:tamis:problem:{code}"));
        assert!(json["title"].as_str().is_some_and(|t| !t.is_empty()));
        assert!(json["detail"].as_str().is_some_and(|t| !t.is_empty()));
        json
    }

    /// As [`Self::problem`], with the field to blame.
    #[track_caller]
    pub(crate) fn problem_with(&self, field: &str, code: &str) {
        let json = self.problem(422, code);
        assert_eq!(json["errors"][0]["field"], field, "{json}");
    }
}

impl TestApp {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With changed settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let server = server_url().await;
        let template = template(&server).await;
        let database = format!("tamis_test_{}", Uuid::new_v4().simple());
        let mut connection = admin(&server).await;
        let create = format!("create database {database} template {template}");
        sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self::open(server, database, change).await
    }

    /// With a new database on this server.
    pub(crate) async fn on(server: &str) -> Self {
        let database = format!("tamis_test_{}", Uuid::new_v4().simple());
        let mut connection = admin(server).await;
        let create = format!("create database {database}");
        sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self::open(server.to_owned(), database, |_| {}).await
    }

    async fn open(server: String, database: String, change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::defaults(state.path()).unwrap();
        change(&mut config);
        let url = with_database(&server, &database);
        let native = Native::resolve(&NativeSettings::default());
        let services = Services::open(config, native, &url).await.unwrap();
        let router = tamis::web::router(services.clone());
        Self { services, router, server, database, state, worker: None }
    }

    /// With a worker in this process, so that jobs run.
    pub(crate) async fn working() -> Self {
        let mut app = Self::new().await;
        app.work();
        app
    }

    /// Starts a worker in this process.
    pub(crate) fn work(&mut self) {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let services = self.services.clone();
        let task = tokio::spawn(async move { tamis::jobs::queue::work(&services, stopped).await.unwrap() });
        self.worker = Some((stop, task));
    }

    /// Waits until the job has ended.
    pub(crate) async fn ended(&self, id: Uuid) -> Job {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(240);
        loop {
            let job = self.services.store.job(id).await.unwrap();
            if job.state.is_ended() {
                return job;
            }
            assert!(std::time::Instant::now() < deadline, "job never ends: {job:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Waits until the job has succeeded; its result.
    pub(crate) async fn done(&self, id: Uuid) -> Value {
        let job = self.ended(id).await;
        assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
        job.result.unwrap()
    }

    /// Puts bytes where a job can read them, under a file name.
    pub(crate) async fn stage(&self, file_name: &str, bytes: &[u8]) -> StagedFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let (blob, _) = self.services.blobs.put_content(file.path()).await.unwrap();
        StagedFile { blob, file_name: file_name.to_owned() }
    }

    /// Arguments of an import into `name`: classes a/a1, a/a2, b/b1, no media, not partial.
    pub(crate) async fn import_args(&self, name: &str, file_name: &str, annotations: &[u8]) -> ImportArgs {
        let taxonomy = br#"{"a": ["a1", "a2"], "b": ["b1"]}"#;
        ImportArgs {
            dataset: name.to_owned(),
            taxonomy: TaxonomySource::File(self.stage("taxonomy.json", taxonomy).await),
            annotations: self.stage(file_name, annotations).await,
            columns: BTreeMap::new(),
            media: None,
            partial: false,
            author: "test".to_owned(),
        }
    }

    /// The address of this application's database, for another process.
    pub(crate) fn database_url(&self) -> String {
        with_database(&self.server, &self.database)
    }

    /// Sends a request; a missing Host header is filled in.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, "localhost:8080".parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn get_json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&answer.bytes));
        answer.json()
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post_with_key(path, body, None).await
    }

    pub(crate) async fn post_with_key(&self, path: &str, body: &Value, key: Option<&str>) -> Answer {
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Every item of a list, page by page.
    pub(crate) async fn walk(&self, path: &str, limit: usize) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get_json(&format!("{path}{sign}limit={limit}{cursor}")).await;
            let got = page["items"].as_array().unwrap().clone();
            assert!(got.len() <= limit);
            items.extend(got);
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
            assert!(items.len() < 10_000, "{path} never ends");
        }
    }

    /// A dataset of samples with these external ids, labelled cat, dog, ski, swim in turn.
    pub(crate) async fn dataset_with_ids(&self, name: &str, ids: &[&str]) -> Uuid {
        let taxonomy = taxonomy();
        let classes: Vec<&str> = taxonomy.class_ids().collect();
        let rows: Vec<StagedRow> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| StagedRow {
                line: i as u64 + 1,
                external_id: (*id).to_owned(),
                title: Some(format!("clip {i}")),
                class: Some(classes[i % classes.len()].to_owned()),
                ..Default::default()
            })
            .collect();
        let mut staging = Staging::begin(&self.services.store).await.unwrap();
        staging.copy(&rows).await.unwrap();
        let dataset = staging.dataset(name, &taxonomy).await.unwrap();
        staging.merge(dataset, "test", Uuid::now_v7()).await.unwrap();
        staging.commit().await.unwrap();
        dataset
    }

    /// A dataset of `n` samples `s0`, `s1`, ...
    pub(crate) async fn dataset_with_samples(&self, name: &str, n: usize) -> Uuid {
        let ids: Vec<String> = (0..n).map(|i| format!("s{i}")).collect();
        self.dataset_with_ids(name, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Internal ids in order.
    pub(crate) async fn sample_ids(&self, dataset: Uuid) -> Vec<i64> {
        let page = self
            .services
            .store
            .samples(dataset, &Default::default(), Audience::Knowing, 0, 1000)
            .await
            .unwrap();
        page.items.iter().map(|s| s.id).collect()
    }

    /// A snapshot that names no file, for rows that must refer to one.
    pub(crate) async fn snapshot(&self, dataset: Uuid, id: &str) {
        let snapshot = Snapshot {
            id: id.to_owned(),
            parent: None,
            author: "test".into(),
            reason: String::new(),
            n_labelled: 1,
            n_changed: 0,
            blob: "snapshots/test".into(),
            created_at: chrono::Utc::now(),
        };
        self.services.store.insert_snapshot(dataset, &snapshot).await.unwrap();
    }

    /// A scan that ranks the samples in order and flags the first `flagged` of them.
    pub(crate) async fn scan(&self, dataset: Uuid, flagged: usize) -> Uuid {
        self.scan_with(dataset, flagged, |_, _| {}).await
    }

    /// The same with findings changed, by their place from 0.
    pub(crate) async fn scan_with(
        &self,
        dataset: Uuid,
        flagged: usize,
        change: impl Fn(usize, &mut Finding),
    ) -> Uuid {
        let snapshot = "ab".repeat(32);
        self.snapshot(dataset, &snapshot).await;
        let mut findings: Vec<Finding> = self
            .sample_ids(dataset)
            .await
            .into_iter()
            .enumerate()
            .map(|(i, sample_id)| Finding {
                sample_id,
                rank: i32::try_from(i).unwrap() + 1,
                place: i32::try_from(i).unwrap() + 1,
                audit: None,
                suspicion: 1.0 / (i as f32 + 1.0),
                flagged: i < flagged,
                given_class: "cat".into(),
                suggested_class: "ski".into(),
                suggested_p: 0.9,
                self_confidence: 0.05,
                normalized_margin: -0.85,
                detectors: vec![Detector::LogMargin],
                reason: Reason {
                    given: "cat".into(),
                    suggested: "ski".into(),
                    p_given: 0.05,
                    p_suggested: 0.9,
                    neighbours_agree: 1,
                    neighbours_suggested: 8,
                    neighbours: 10,
                    cluster_share: 0.1,
                    cluster_class: "ski".into(),
                    cross_parent: true,
                },
                neighbours: vec![Neighbour { sample_id, similarity: 0.5 }],
                candidates: Vec::new(),
                field_votes: Vec::new(),
                cluster: 0,
                issues: (i < flagged)
                    .then(|| RankedIssue { rank: i32::try_from(i).unwrap() + 1, issue: Issue::Label })
                    .into_iter()
                    .collect(),
            })
            .collect();
        findings.iter_mut().enumerate().for_each(|(i, f)| change(i, f));
        let scan = Scan {
            id: Uuid::now_v7(),
            snapshot_id: snapshot,
            job_id: None,
            n_samples: i64::try_from(findings.len()).unwrap(),
            n_flagged: i64::try_from(flagged).unwrap(),
            summary: serde_json::json!({}),
            scores_blob: "scores/test".into(),
            created_at: chrono::Utc::now(),
        };
        self.services.store.insert_scan(dataset, &scan, &findings, &[]).await.unwrap();
        scan.id
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some((stop, task)) = self.worker.take() {
            stop.send_replace(true);
            task.abort();
        }
        let (server, database) = (self.server.clone(), self.database.clone());
        // a runtime of its own: the test's may be about to end
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = admin(&server).await;
                let sql = format!("drop database if exists {database} with (force)");
                sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            });
        })
        .join();
        if dropped.is_err() {
            eprintln!("a test database was not dropped");
        }
    }
}

/// animals: cat, dog; sports: ski, swim.
pub(crate) fn taxonomy() -> Taxonomy {
    let node = |id: &str, parent: Option<&str>| Node {
        id: id.into(),
        names: BTreeMap::from([("en".to_owned(), id.to_uppercase())]),
        parent: parent.map(Into::into),
    };
    Taxonomy::new(vec![
        node("animals", None),
        node("cat", Some("animals")),
        node("dog", Some("animals")),
        node("sports", None),
        node("ski", Some("sports")),
        node("swim", Some("sports")),
    ])
    .unwrap()
}
