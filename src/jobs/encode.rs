//! Embeddings of every field of every sample; only what is new or changed is computed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct EncodeArgs {}

pub(crate) async fn run(
    _services: &Services,
    _dataset: Uuid,
    _progress: &Progress,
) -> Result<serde_json::Value, JobError> {
    Err(JobError::Failed("encode is not built yet".into()))
}
