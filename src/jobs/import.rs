//! Bringing a dataset in: taxonomy, annotations, media or precomputed features.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::progress::Progress;
use super::{JobError, Services};

/// A file that was put into the blob store for the job to read, with the name it came under.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StagedFile {
    pub blob: String,
    pub file_name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaxonomySource {
    /// A tree that Tamis ships, by name (`wechat2022`).
    Builtin(String),
    File(StagedFile),
    /// The taxonomy that the dataset has already.
    Existing,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// A folder on the worker's machine; `video` of a row is relative to it.
    Dir(String),
    /// A zip of media files, staged.
    Zip(StagedFile),
    /// A zip of `{id}.npy` frame features, staged.
    Features(StagedFile),
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImportArgs {
    /// Name of the dataset, made when there is none.
    pub dataset: String,
    pub taxonomy: TaxonomySource,
    pub annotations: StagedFile,
    /// CSV column of each field, where it has another name: `{"id": "vid", "label": "cat"}`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    #[serde(default)]
    pub media: Option<MediaSource>,
    /// Take the good rows even if others are bad.
    #[serde(default)]
    pub partial: bool,
    pub author: String,
}

pub(crate) async fn run(
    _services: &Services,
    _args: ImportArgs,
    _progress: &Progress,
) -> Result<serde_json::Value, JobError> {
    Err(JobError::Failed("import is not built yet".into()))
}
