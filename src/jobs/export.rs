//! A snapshot as a file for others: JSONL, CSV or Parquet, with a manifest.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportArgs {
    /// `jsonl`, `csv` or `parquet`.
    pub format: String,
    /// Export this snapshot (id or prefix) instead of a fresh one of the current labels.
    #[serde(default)]
    pub snapshot: Option<String>,
}

pub(crate) async fn run(
    _services: &Services,
    _dataset: Uuid,
    _args: ExportArgs,
    _progress: &Progress,
) -> Result<serde_json::Value, JobError> {
    Err(JobError::Failed("export is not built yet".into()))
}
