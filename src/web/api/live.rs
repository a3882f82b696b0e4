//! A dataset live, as server-sent events: `queue` with what waits, `leases` with who holds what (for leads),
//! `jobs` with what runs. Each is sent at once and then whenever it changed, until the listener goes.
//!
//! As in [`super::events`], each listener reads the database for itself, once a second, so any number of
//! server processes will do.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::events::{Gone, live, until_down};
use crate::domain::Role;
use crate::jobs::Services;
use crate::store::Result as StoreResult;
use crate::store::live::{ActiveJob, LiveLease, LiveQueue};
use crate::web::Shutdown;
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::Path;

const POLL: Duration = Duration::from_secs(1);

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
    let follow = Follow { services, dataset: dataset.id, with_people, queue: None, leases: None, jobs: None };
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(follow.run(sender, shutdown.map(|Extension(s)| s)));
    Ok(live(tokio_stream::wrappers::ReceiverStream::new(receiver)).into_response())
}

/// One listener, with what it was told last.
struct Follow {
    services: Services,
    dataset: Uuid,
    with_people: bool,
    queue: Option<LiveQueue>,
    leases: Option<Vec<LiveLease>>,
    jobs: Option<Vec<ActiveJob>>,
}

impl Follow {
    async fn run(mut self, to: mpsc::Sender<Event>, shutdown: Option<Shutdown>) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let down = until_down(shutdown);
        tokio::pin!(down);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = to.closed() => return,
                () = &mut down => return,
            }
            match self.look(&to).await {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => return,
                Err(error) => {
                    // the listener connects anew
                    tracing::warn!(dataset = %self.dataset, %error, "live view broke off");
                    return;
                }
            }
        }
    }

    async fn look(&mut self, to: &mpsc::Sender<Event>) -> StoreResult<Result<(), Gone>> {
        let store = &self.services.store;
        let queue = store.live_queue(self.dataset).await?;
        let jobs = store.active_jobs(self.dataset).await?;
        let leases = if self.with_people { Some(store.live_leases(self.dataset).await?) } else { None };
        Ok(async {
            tell(to, "queue", &mut self.queue, Some(queue)).await?;
            tell(to, "jobs", &mut self.jobs, Some(jobs)).await?;
            tell(to, "leases", &mut self.leases, leases).await
        }
        .await)
    }
}

/// Sends what is news.
async fn tell<T: Serialize + PartialEq>(
    to: &mpsc::Sender<Event>,
    name: &str,
    told: &mut Option<T>,
    now: Option<T>,
) -> Result<(), Gone> {
    let Some(now) = now.filter(|n| told.as_ref() != Some(n)) else { return Ok(()) };
    let event = Event::default().event(name).json_data(&now).map_err(|error| {
        tracing::error!(%error, "an event could not be written");
        Gone
    })?;
    *told = Some(now);
    to.send(event).await.map_err(|_| Gone)
}
