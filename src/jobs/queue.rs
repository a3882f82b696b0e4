//! Delivery of jobs by the queue library: claim, retry with backoff, recovery when a worker dies.
//!
//! One task type carries only the id of the row in `jobs`; the row says what to do. While a job runs
//! its worker holds an advisory lock on a connection of its own, which the database frees the moment
//! the worker is gone: so a job never runs twice at once, even if the library takes a stalled worker
//! for dead.

use std::time::Duration;

use graphile_worker::{
    IntoTaskHandlerResult, JobKeyMode, JobSpecBuilder, TaskHandler, WorkerContext, WorkerOptions,
    WorkerRecoveryConfig, WorkerShutdownConfig, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use super::progress::{Progress, write_note};
use super::{JobError, Services, bulk, bundle, encode, export, import, map, rerank, rule, scan, train};
use crate::domain::{JobKind, JobState, Note};
use crate::messages::{self, Lang};
use crate::store::Store;
use crate::store::jobs::{Begin, Job};

const SCHEMA: &str = "graphile_worker";

#[derive(Debug, Deserialize, Serialize)]
struct RunJob {
    id: Uuid,
}

/// Where jobs are sent. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Queue {
    utils: WorkerUtils,
}

impl Queue {
    /// Creates or migrates the library's tables.
    pub(crate) async fn open(store: &Store) -> anyhow::Result<Self> {
        let utils = WorkerUtils::new(store.pool().clone(), SCHEMA);
        utils.migrate().await?;
        Ok(Self { utils })
    }

    pub(crate) async fn send(&self, id: Uuid) -> Result<(), JobError> {
        let spec = JobSpecBuilder::new()
            .job_key(id.to_string())
            .job_key_mode(JobKeyMode::Replace)
            .max_attempts(1000)
            .build();
        self.utils.add_job(RunJob { id }, spec).await.map_err(|e| JobError::Transient(e.to_string()))?;
        Ok(())
    }
}

/// What the library hands to each run.
#[derive(Clone)]
struct Context {
    services: Services,
    shutdown: watch::Receiver<bool>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

impl TaskHandler for RunJob {
    const IDENTIFIER: &'static str = "tamis_job";

    async fn run(self, ctx: WorkerContext) -> impl IntoTaskHandlerResult {
        let Some(context) = ctx.get_ext::<Context>().cloned() else {
            return Err("worker without context".to_owned());
        };
        // a task of its own: a panic in a job is that job's failure, not the worker's
        let job = tokio::spawn(async move { run(&context.services, self.id, context.shutdown).await });
        match job.await {
            Ok(result) => result,
            Err(e) => Err(e.to_string()),
        }
    }
}

/// Runs one delivery to its end. `Err` asks the library to deliver again later.
async fn run(services: &Services, id: Uuid, shutdown: watch::Receiver<bool>) -> Result<(), String> {
    let store = &services.store;
    let Some(lock) = store.lock_job(id).await.map_err(|e| e.to_string())? else {
        return Err("still held by another worker".into());
    };
    let most = services.config.worker.max_starts;
    let job = match store.begin_job(id, most).await.map_err(|e| e.to_string())? {
        Begin::Run(job) => job,
        Begin::Skip => return Ok(()),
        Begin::TooOften(job) => {
            let note = Note::new("poison").with("n", most);
            return fail(store, &job, &note).await.map_err(|e| e.to_string());
        }
    };
    let (progress, writer) = Progress::begin(store, &job, shutdown);
    tracing::info!(%id, kind = job.kind.as_str(), start = job.starts, "job starts");
    let (services2, job2, progress2) = (services.clone(), job.clone(), progress.clone());
    let outcome = tokio::spawn(async move { dispatch(&services2, &job2, &progress2).await })
        .await
        .unwrap_or_else(|e| Err(JobError::failed("panicked", &[("why", &panic_text(e))])));
    progress.finish(outcome.is_ok()).await;
    drop(writer);
    let ended = match &outcome {
        Ok(result) => store.end_job(id, job.starts, JobState::Succeeded, Some(result)).await,
        Err(JobError::Cancelled) => store.end_job(id, job.starts, JobState::Cancelled, None).await,
        Err(JobError::Superseded) => Ok(()),
        Err(JobError::Transient(_)) => store.return_job(id, job.starts).await,
        Err(JobError::Failed(note)) => fail(store, &job, note).await,
        // a recipe that was good when it was queued and is not for this version
        Err(JobError::Refused { why, .. }) => {
            fail(store, &job, &Note::new("broke").worded("doing", "doing.arguments").with("why", why)).await
        }
    };
    drop(lock);
    tracing::info!(%id, outcome = ?outcome.as_ref().err(), "job ends");
    ended.map_err(|e| e.to_string())?;
    match outcome {
        Err(JobError::Transient(why)) => Err(why),
        _ => Ok(()),
    }
}

async fn fail(store: &Store, job: &Job, note: &Note) -> crate::store::Result<()> {
    let _ = write_note(store, job.id, "error", note).await;
    store.fail_job(job.id, job.starts, &messages::note(Lang::En, note), note).await
}

async fn dispatch(
    services: &Services,
    job: &Job,
    progress: &Progress,
) -> Result<serde_json::Value, JobError> {
    fn args<T: serde::de::DeserializeOwned>(job: &Job) -> Result<T, JobError> {
        serde_json::from_value(job.args.clone()).map_err(|e| JobError::broke("doing.arguments", e))
    }
    fn dataset(job: &Job) -> Result<Uuid, JobError> {
        job.dataset_id.ok_or_else(|| JobError::failed("dataset_gone", &[]))
    }
    match job.kind {
        JobKind::Import => import::run(services, args(job)?, progress).await,
        JobKind::Encode => encode::run(services, dataset(job)?, progress).await,
        JobKind::Scan => scan::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Train => train::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Export => export::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Rule => rule::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Bulk => bulk::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Map => map::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Ablate => train::ablate::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Bundle => bundle::run(services, dataset(job)?, args(job)?, progress).await,
        JobKind::Rerank => rerank::run(services, dataset(job)?, args(job)?, progress).await,
    }
}

fn panic_text(e: tokio::task::JoinError) -> String {
    match e.try_into_panic() {
        Ok(p) => p
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| p.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into()),
        Err(e) => e.to_string(),
    }
}

/// Works on jobs until `shutdown` turns true; jobs in the middle stop at their next batch border and
/// are delivered again elsewhere.
pub async fn work(services: &Services, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    // a process may have died between writing a job down and sending it
    for id in services.store.queued_jobs().await? {
        services.queue.send(id).await?;
    }
    let recovery = Duration::from_millis(services.config.worker.recovery_ms);
    let mut stop = shutdown.clone();
    let worker = WorkerOptions::default()
        .pg_pool(services.store.pool().clone())
        .schema(SCHEMA)
        .concurrency(services.config.worker.concurrency)
        .poll_interval(Duration::from_secs(1))
        .worker_recovery(
            WorkerRecoveryConfig::default()
                .enabled(true)
                .heartbeat_interval(recovery / 6)
                .sweep_interval(recovery / 6)
                .sweep_threshold(recovery * 2 / 3)
                .recovery_delay(Duration::from_millis(100)),
        )
        .worker_shutdown(
            WorkerShutdownConfig::default()
                .listen_os_shutdown_signals(false)
                .grace_period(Duration::from_secs(10))
                .interrupted_job_retry_delay(Duration::from_secs(1))
                .shutdown_signal(async move {
                    let _ = stop.wait_for(|down| *down).await;
                }),
        )
        .add_extension(Context { services: services.clone(), shutdown })
        .define_job::<RunJob>()
        .init()
        .await?;
    worker.run().await?;
    Ok(())
}
