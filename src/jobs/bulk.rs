//! One decision on many samples, and its undoing: at once where they are few, else as a job. A job that was
//! cancelled or whose worker died has written nothing; it begins again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};
use crate::domain::{JobKind, RunState};
use crate::store::StoreError;
use crate::store::bulk::{Bulk, NewBulk};

/// Up to so many samples are decided on while the request waits.
pub const AT_ONCE: i64 = 2000;

/// What a job of the kind `bulk` does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum BulkArgs {
    /// Applies the action of the job's id.
    Apply,
    Undo {
        bulk_id: Uuid,
        author: String,
    },
}

/// Why nothing was decided or undone.
#[derive(Debug, thiserror::Error)]
pub enum BulkRefusal {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// What became of a request: the action as it is now, and the job that goes on with it.
#[derive(Clone, Debug)]
pub struct BulkBegun {
    pub bulk: Bulk,
    pub job: Option<Uuid>,
}

impl Services {
    /// Does `new` to the samples of its filter: at once up to [`AT_ONCE`] of them. The same `client_id` again
    /// answers as it is now and does nothing twice.
    ///
    /// # Errors
    /// The set is empty or has other than `expected` samples by now; class or filter name something that is
    /// not there; the `client_id` is that of another decision.
    pub async fn decide_in_bulk(
        &self,
        dataset: Uuid,
        new: &NewBulk,
        expected: Option<i64>,
    ) -> Result<BulkBegun, BulkRefusal> {
        let store = &self.store;
        let mut job = None;
        if !store.knows_bulk(new.client_id).await? {
            let class = new.class.as_deref();
            let found = store.preview_bulk(dataset, new.action, class, &new.filter).await?.samples;
            if let Some(expected) = expected.filter(|e| *e != found) {
                let message = format!("the set has {found} samples by now, not {expected}: look again");
                return Err(StoreError::Conflict { code: "set_changed", message }.into());
            }
            if found == 0 {
                let message = "no sample is in this set".to_owned();
                return Err(StoreError::Rule { field: "set", code: "empty_set", message }.into());
            }
            if found > AT_ONCE {
                job = Some(to_json(&BulkArgs::Apply)?);
            }
        }
        let (id, fresh) = store.insert_bulk(dataset, new, job.as_ref()).await?;
        if fresh && job.is_some() {
            self.queue.send(id).await?;
        }
        let has_job = match store.job(id).await {
            Ok(job) => !job.state.is_ended(),
            Err(StoreError::NotFound { .. }) => {
                // also finishes what an earlier request began and did not get through with
                if let Some(mut pass) = store.begin_bulk(dataset, id).await? {
                    while pass.next().await? > 0 {}
                    pass.commit().await?;
                }
                false
            }
            Err(e) => return Err(e.into()),
        };
        Ok(BulkBegun { bulk: store.bulk(dataset, id).await?, job: has_job.then_some(id) })
    }

    /// Takes an action back: at once up to [`AT_ONCE`] samples.
    ///
    /// # Errors
    /// There is no such action, or it does not stand.
    pub async fn undo_bulk(&self, dataset: Uuid, id: Uuid, author: &str) -> Result<BulkBegun, BulkRefusal> {
        let bulk = self.store.bulk(dataset, id).await?;
        if bulk.state != RunState::Applied {
            let message = format!("the action is {}, there is nothing to undo", bulk.state.as_str());
            return Err(StoreError::Conflict { code: "nothing_to_undo", message }.into());
        }
        let mut job = None;
        if bulk.n_samples > AT_ONCE {
            let args = BulkArgs::Undo { bulk_id: id, author: author.to_owned() };
            job = Some(self.enqueue(JobKind::Bulk, Some(dataset), &args).await?);
        } else {
            self.store.undo_bulk(dataset, id, author).await?;
        }
        Ok(BulkBegun { bulk: self.store.bulk(dataset, id).await?, job })
    }
}

fn to_json(args: &BulkArgs) -> Result<Value, JobError> {
    serde_json::to_value(args).map_err(|e| JobError::broke("doing.arguments", e))
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: BulkArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let store = &services.store;
    match args {
        BulkArgs::Apply => {
            let id = progress.job_id;
            progress.stage("bulk_read", None);
            // none: an earlier start of the same job got this far
            if let Some(mut pass) = store.begin_bulk(dataset, id).await? {
                progress.check()?;
                progress.stage("bulk_apply", usize::try_from(pass.samples()).ok());
                loop {
                    let n = pass.next().await?;
                    progress.check()?;
                    progress.add(usize::try_from(n).unwrap_or(0));
                    if n == 0 {
                        break;
                    }
                }
                pass.commit().await?;
            }
            let bulk = store.bulk(dataset, id).await?;
            Ok(json!({"bulk_id": id, "samples": bulk.n_samples, "changed": bulk.n_changed}))
        }
        BulkArgs::Undo { bulk_id, author } => {
            progress.stage("bulk_undo", None);
            let undone = store.undo_bulk(dataset, bulk_id, &author).await?;
            Ok(json!({"bulk_id": bulk_id, "undone": undone.unwrap_or(0)}))
        }
    }
}
