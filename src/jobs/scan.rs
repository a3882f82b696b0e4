//! Detectors over one snapshot with one set of embeddings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScanArgs {
    /// Scan this snapshot (id or prefix) instead of a fresh one of the current labels.
    pub snapshot: Option<String>,
}

pub(crate) async fn run(
    _services: &Services,
    _dataset: Uuid,
    _args: ScanArgs,
    _progress: &Progress,
) -> Result<serde_json::Value, JobError> {
    Err(JobError::Failed("scan is not built yet".into()))
}
