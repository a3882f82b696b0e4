//! A head trained on the current labels of a snapshot, measured on a held-out split, out as ONNX.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainArgs {
    /// A recipe in TOML, or the name of a preset; empty: `quick`.
    pub recipe: Option<String>,
    /// Train on this snapshot (id or prefix) instead of a fresh one of the current labels.
    pub snapshot: Option<String>,
}

impl TrainArgs {
    /// Refuses a wrong recipe by name of key and rule.
    pub fn check(&self) -> Result<(), JobError> {
        Ok(())
    }
}

pub(crate) async fn run(
    _services: &Services,
    _dataset: Uuid,
    _args: TrainArgs,
    _progress: &Progress,
) -> Result<serde_json::Value, JobError> {
    Err(JobError::Failed("train is not built yet".into()))
}
