//! Taking a snapshot: all current labels, content-addressed.

use uuid::Uuid;

use super::{JobError, Services};
use crate::store::snapshots::Snapshot;

/// Snapshots the current labels. The same labels again give the snapshot that is there already.
pub async fn take(
    _services: &Services,
    _dataset: Uuid,
    _author: &str,
    _reason: &str,
) -> Result<Snapshot, JobError> {
    Err(JobError::Failed("snapshots are not built yet".into()))
}
