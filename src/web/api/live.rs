//! A dataset live, as server-sent events: `queue` with what waits, `leases` with who holds what (for leads),
//! `jobs` with what runs. Each is sent at once and then whenever it changed, until the listener goes.
//! The database is read once a second for each listener.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::stream::{End, Follow, Listener, follow};
use crate::domain::Role;
use crate::jobs::Services;
use crate::store::live::{ActiveJob, LiveLease, LiveQueue};
use crate::web::Shutdown;
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::Path;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(events))
}

/// A dataset, live
///
/// Server-sent events without end: `queue` (samples that wait and the newest decision), `jobs` (those that
/// wait or run), and for leads `leases` (who holds what). Each comes at once and whenever it changes.
#[utoipa::path(get, path = "/datasets/{dataset}/events", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = LiveQueue)))]
async fn events(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    shutdown: Option<Extension<Shutdown>>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let with_people = viewer.admin || role == Some(Role::Lead);
    let live = Live { services, dataset: dataset.id, with_people, queue: None, leases: None, jobs: None };
    Ok(follow(live, shutdown.map(|Extension(s)| s)))
}

/// One listener, with what it was told last.
struct Live {
    services: Services,
    dataset: Uuid,
    with_people: bool,
    queue: Option<LiveQueue>,
    leases: Option<Vec<LiveLease>>,
    jobs: Option<Vec<ActiveJob>>,
}

impl Follow for Live {
    const EVERY: Duration = Duration::from_secs(1);

    fn id(&self) -> Uuid {
        self.dataset
    }

    async fn look(&mut self, to: &Listener) -> Result<bool, End> {
        let store = &self.services.store;
        let queue = store.live_queue(self.dataset).await?;
        let jobs = store.active_jobs(self.dataset).await?;
        let leases = if self.with_people { Some(store.live_leases(self.dataset).await?) } else { None };
        tell(to, "queue", &mut self.queue, Some(queue)).await?;
        tell(to, "jobs", &mut self.jobs, Some(jobs)).await?;
        tell(to, "leases", &mut self.leases, leases).await?;
        Ok(false)
    }
}

/// Sends what is news.
async fn tell<T: Serialize + PartialEq>(
    to: &Listener,
    name: &str,
    told: &mut Option<T>,
    now: Option<T>,
) -> Result<(), End> {
    let Some(now) = now.filter(|n| told.as_ref() != Some(n)) else { return Ok(()) };
    to.tell(name, None, &now).await?;
    *told = Some(now);
    Ok(())
}
