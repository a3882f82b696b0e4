//! Background work: the queue, and one file per job. This room ties the others together; it is the
//! only one that knows the database, the arrays and the files at once.
//!
//! A job is a row in `jobs` (what users see) and a message in the queue library's tables (delivery:
//! claim, retry, recovery after a crash). [`Services`] is what every job and every handler works with.

pub mod bulk;
pub mod bundle;
pub mod consensus;
mod cpu;
pub mod encode;
mod encoders;
pub mod export;
mod features;
pub mod import;
mod inputs;
pub mod judge;
pub mod ledger;
pub mod map;
pub mod measures;
mod media;
pub mod next;
pub mod predict;
pub mod predictions;
pub mod progress;
pub mod queue;
pub mod rerank;
pub mod revert;
pub mod rule;
pub mod scan;
pub mod snapshot;
pub mod train;
mod vectors;
pub mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::blobs::{BlobError, Blobs};
use crate::config::Config;
use crate::domain::{JobKind, Note};
use crate::outbound::Outbound;
use crate::store::{Store, StoreError};

/// The running parts, cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub store: Store,
    pub blobs: Blobs,
    pub config: Arc<Config>,
    pub native: Arc<crate::native::Native>,
    /// To addresses that people typed.
    pub outbound: Outbound,
    pub(crate) queue: queue::Queue,
    pub(crate) encoders: encoders::Encoders,
    /// Trained models that answer requests.
    pub(crate) models: predict::Models,
}

/// How a job ends when it does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Someone asked it to stop.
    #[error("cancelled")]
    Cancelled,
    /// Another start of the same job has taken over.
    #[error("superseded by another worker")]
    Superseded,
    /// Trying again would end the same way.
    #[error("{}", crate::messages::note(crate::messages::Lang::En, .0))]
    Failed(Note),
    /// What was asked for cannot be: refused before it is queued.
    #[error("{why}")]
    Refused { field: &'static str, why: String },
    /// Nothing wrong with the job: the database or the blob store did not answer. It is tried again.
    #[error("{0}")]
    Transient(String),
}

impl JobError {
    /// Fails with a sentence of the catalogues (`note.{code}`) and its parameters.
    pub(crate) fn failed(code: &str, args: &[(&str, &dyn std::fmt::Display)]) -> Self {
        Self::Failed(args.iter().fold(Note::new(code), |note, (name, value)| note.with(name, value)))
    }

    /// Fails in the middle of `doing` (a key of the catalogues) with an error that has only its own words.
    pub(crate) fn broke(doing: &str, why: impl std::fmt::Display) -> Self {
        Self::Failed(Note::new("broke").worded("doing", doing).with("why", why))
    }
}

impl From<StoreError> for JobError {
    fn from(e: StoreError) -> Self {
        match e {
            e if e.is_transient() => Self::Transient(e.to_string()),
            StoreError::Rule { .. } | StoreError::Conflict { .. } | StoreError::NotFound { .. } => {
                Self::failed("rule", &[("why", &e)])
            }
            e => Self::broke("doing.store", e),
        }
    }
}

impl From<BlobError> for JobError {
    fn from(e: BlobError) -> Self {
        Self::broke("doing.blobs", e)
    }
}

impl From<std::io::Error> for JobError {
    fn from(e: std::io::Error) -> Self {
        Self::broke("doing.files", e)
    }
}

impl From<tokio::task::JoinError> for JobError {
    fn from(e: tokio::task::JoinError) -> Self {
        Self::broke("doing.thread", e)
    }
}

impl Services {
    /// Connects to the database at `url`, migrates it, opens the blob store.
    pub async fn open(config: Config, native: crate::native::Native, url: &str) -> anyhow::Result<Self> {
        let store = Store::connect(url).await?;
        let blobs = Blobs::open(&config.blob_url, &config.state.join("blobs"))?;
        let queue = queue::Queue::open(&store).await?;
        let outbound = Outbound::new(config.webhooks.allow_private)?;
        let (encoders, models) = (encoders::Encoders::new(&config), predict::Models::default());
        let (config, native) = (Arc::new(config), Arc::new(native));
        Ok(Self { store, blobs, config, native, outbound, queue, encoders, models })
    }

    /// Scratch space on the same disk as the state.
    pub fn scratch(&self) -> std::io::Result<tempfile::TempDir> {
        let dir: PathBuf = self.config.state.join("scratch");
        std::fs::create_dir_all(&dir)?;
        tempfile::TempDir::new_in(dir)
    }

    pub async fn enqueue_import(&self, args: &import::ImportArgs) -> Result<Uuid, JobError> {
        crate::store::datasets::check_name(&args.dataset)?;
        let dataset = match self.store.dataset(&args.dataset).await {
            Ok(d) => Some(d.id),
            Err(StoreError::NotFound { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        self.enqueue(JobKind::Import, dataset, args).await
    }

    pub async fn enqueue_encode(&self, dataset: Uuid) -> Result<Uuid, JobError> {
        self.enqueue(JobKind::Encode, Some(dataset), &encode::EncodeArgs {}).await
    }

    /// A scan takes a snapshot and encodes what is missing first.
    pub async fn enqueue_scan(&self, dataset: Uuid, args: &scan::ScanArgs) -> Result<Uuid, JobError> {
        self.enqueue(JobKind::Scan, Some(dataset), args).await
    }

    /// The recipe is checked here, so that a wrong one is refused before it is queued.
    pub async fn enqueue_train(&self, dataset: Uuid, args: &train::TrainArgs) -> Result<Uuid, JobError> {
        args.check()?;
        self.enqueue(JobKind::Train, Some(dataset), args).await
    }

    /// Recipe, seeds and keys are checked here.
    pub async fn enqueue_ablate(
        &self,
        dataset: Uuid,
        args: &train::ablate::AblateArgs,
    ) -> Result<Uuid, JobError> {
        args.check()?;
        self.enqueue(JobKind::Ablate, Some(dataset), args).await
    }

    /// A training and its encoders as one file.
    pub async fn enqueue_bundle(&self, dataset: Uuid, args: &bundle::BundleArgs) -> Result<Uuid, JobError> {
        self.enqueue(JobKind::Bundle, Some(dataset), args).await
    }

    pub async fn enqueue_export(&self, dataset: Uuid, args: &export::ExportArgs) -> Result<Uuid, JobError> {
        args.check()?;
        self.enqueue(JobKind::Export, Some(dataset), args).await
    }

    /// The order of the scan's findings learns from reviews.
    pub async fn enqueue_rerank(&self, dataset: Uuid, args: &rerank::RerankArgs) -> Result<Uuid, JobError> {
        self.enqueue(JobKind::Rerank, Some(dataset), args).await
    }

    pub async fn enqueue_map(&self, dataset: Uuid, args: &map::MapArgs) -> Result<Uuid, JobError> {
        self.enqueue(JobKind::Map, Some(dataset), args).await
    }

    async fn enqueue<A: serde::Serialize>(
        &self,
        kind: JobKind,
        dataset: Option<Uuid>,
        args: &A,
    ) -> Result<Uuid, JobError> {
        let args = serde_json::to_value(args).map_err(|e| JobError::broke("doing.files", e))?;
        let id = self.store.insert_job(kind, dataset, &args).await?;
        self.queue.send(id).await?;
        Ok(id)
    }
}
