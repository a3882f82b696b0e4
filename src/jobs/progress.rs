//! How a running job tells what it is doing and learns that it should stop.
//!
//! Jobs touch only atomics, so blocking numeric code reports as cheaply as async code; a small task
//! beside the job writes the numbers to the database four times a second and reads the cancel flag.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::JobError;
use crate::domain::Note;
use crate::messages::{self, Lang};
use crate::store::Store;
use crate::store::jobs::Job;

const GO: u8 = 0;
const CANCELLED: u8 = 1;
const SUPERSEDED: u8 = 2;
const SHUTDOWN: u8 = 3;

#[derive(Debug)]
struct Shared {
    /// One write at a time: the last one, at the job's end, must not overtake lines that are on their way.
    writing: tokio::sync::Mutex<()>,
    stage: Mutex<Stage>,
    done: AtomicI64,
    /// Negative: unknown.
    total: AtomicI64,
    stop: AtomicU8,
}

#[derive(Debug)]
struct Stage {
    /// Key of the message catalogue (`stage.…`); empty before the first.
    key: &'static str,
    since: Instant,
    /// Ended stages not yet in the log.
    ended: Vec<Note>,
}

/// A handle for the job's own code, cheap to clone and to use from any thread.
#[derive(Clone, Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    store: Store,
    pub job_id: Uuid,
    start: i32,
    checkpoint: Option<Value>,
}

impl Progress {
    /// Begins to report for this start of `job`; the writer ends when the returned guard is dropped.
    pub(crate) fn begin(store: &Store, job: &Job, mut shutdown: watch::Receiver<bool>) -> (Self, Writer) {
        let shared = Arc::new(Shared {
            writing: tokio::sync::Mutex::new(()),
            stage: Mutex::new(Stage { key: "", since: Instant::now(), ended: Vec::new() }),
            done: AtomicI64::new(0),
            total: AtomicI64::new(-1),
            stop: AtomicU8::new(GO),
        });
        let progress = Self {
            shared: shared.clone(),
            store: store.clone(),
            job_id: job.id,
            start: job.starts,
            checkpoint: job.checkpoint.clone(),
        };
        let (store, id, start) = (store.clone(), job.id, job.starts);
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(250));
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = tick.tick() => {}
                    _ = shutdown.wait_for(|down| *down) => {
                        shared.stop.store(SHUTDOWN, Ordering::Relaxed);
                        return;
                    }
                }
                match shared.write(&store, id, start).await {
                    Ok(Some(false)) => {}
                    Ok(Some(true)) => shared.stop.store(CANCELLED, Ordering::Relaxed),
                    Ok(None) => shared.stop.store(SUPERSEDED, Ordering::Relaxed),
                    // the database may come back; the job itself will fail on its next write if not
                    Err(error) => tracing::warn!(%id, %error, "progress was not written"),
                }
            }
        });
        (progress, Writer(task))
    }

    /// Begins a stage; `stage` is a key of the message catalogue (`stage.…`). The one before gets its
    /// line in the log.
    pub fn stage(&self, stage: &'static str, total: Option<usize>) {
        self.shared.end_stage(stage);
        self.shared.done.store(0, Ordering::Relaxed);
        self.shared.total.store(total.and_then(|t| i64::try_from(t).ok()).unwrap_or(-1), Ordering::Relaxed);
    }

    pub fn add(&self, n: usize) {
        self.shared.done.fetch_add(i64::try_from(n).unwrap_or(0), Ordering::Relaxed);
    }

    pub fn set(&self, done: usize) {
        self.shared.done.store(i64::try_from(done).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// False once the job should stop; for callbacks of blocking code.
    pub fn go_on(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed) == GO
    }

    /// To be called at every batch border.
    pub fn check(&self) -> Result<(), JobError> {
        match self.shared.stop.load(Ordering::Relaxed) {
            GO => Ok(()),
            CANCELLED => Err(JobError::Cancelled),
            SUPERSEDED => Err(JobError::Superseded),
            _ => Err(JobError::Transient("the worker is shutting down".into())),
        }
    }

    /// A line for the job's log.
    pub async fn log(&self, level: &'static str, note: Note) -> Result<(), JobError> {
        Ok(write_note(&self.store, self.job_id, level, &note).await?)
    }

    /// What the last start left to go on from.
    pub fn last_checkpoint<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        self.checkpoint.clone().and_then(|v| serde_json::from_value(v).ok())
    }

    pub async fn checkpoint<T: serde::Serialize + Sync>(&self, value: &T) -> Result<(), JobError> {
        let value = serde_json::to_value(value).map_err(|e| JobError::broke("doing.files", e))?;
        Ok(self.store.job_checkpoint(self.job_id, self.start, &value).await?)
    }

    /// The job has ended: writes the numbers now, so that its last state is exact.
    pub(crate) async fn finish(&self, succeeded: bool) {
        if succeeded {
            self.shared.end_stage("");
        }
        if let Err(error) = self.shared.write(&self.store, self.job_id, self.start).await {
            tracing::warn!(id = %self.job_id, %error, "progress was not written");
        }
    }
}

/// Puts a note into the job's log, and its English into the service's.
pub(crate) async fn write_note(
    store: &Store,
    job: Uuid,
    level: &'static str,
    note: &Note,
) -> crate::store::Result<()> {
    let message = messages::note(Lang::En, note);
    tracing::info!(%job, level, "{message}");
    store.job_log(job, level, &message, note).await
}

impl Shared {
    /// Notes how long the current stage took, and begins the next (empty: none).
    fn end_stage(&self, next: &'static str) {
        let done = self.done.load(Ordering::Relaxed);
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if !stage.key.is_empty() && stage.key != next {
            let note =
                if done > 0 { Note::new("stage_done").with("n", done) } else { Note::new("stage_over") };
            let seconds = format!("{:.1}", stage.since.elapsed().as_secs_f64());
            let note = note.worded("stage", &format!("stage.{}", stage.key)).with("seconds", seconds);
            stage.ended.push(note);
        }
        if !next.is_empty() && stage.key != next {
            stage.key = next;
            stage.since = Instant::now();
        }
    }

    async fn write(&self, store: &Store, id: Uuid, start: i32) -> crate::store::Result<Option<bool>> {
        let _turn = self.writing.lock().await;
        let (stage, ended) = {
            let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
            (stage.key, std::mem::take(&mut stage.ended))
        };
        for note in &ended {
            write_note(store, id, "info", note).await?;
        }
        let total = self.total.load(Ordering::Relaxed);
        store
            .job_progress(id, start, stage, self.done.load(Ordering::Relaxed), (total >= 0).then_some(total))
            .await
    }
}

/// Ends the writing task when dropped.
pub(crate) struct Writer(tokio::task::JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
