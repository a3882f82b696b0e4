//! A job live, as server-sent events: `progress` with the job whenever it changed, `log` with each
//! new line, until the job has ended.
//!
//! Each listener reads the database for itself, at most four times a second; so any number of server
//! processes will do, and a listener that reconnects with `Last-Event-ID` misses no line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::jobs::Services;
use crate::store::Result as StoreResult;
use crate::store::jobs::{Job, JobLogLine};
use crate::web::Shutdown;
use crate::web::error::Problem;
use crate::web::extract::Path;

const POLL: Duration = Duration::from_millis(250);
/// The rate is that of the last seconds, so that it follows a change of pace.
const WINDOW: Duration = Duration::from_secs(10);
const LINES_AT_ONCE: i64 = 500;
/// Ends the id of the last event, so that a browser that reconnects is told to stop.
const END: &str = ":end";

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(events))
}

/// A job as the live view shows it.
#[derive(Debug, Serialize, ToSchema)]
struct LiveJob {
    #[serde(flatten)]
    job: Job,
    /// Units of this stage done per second of late; null until two readings differ.
    rate_per_second: Option<f64>,
    /// Of this stage, at that rate.
    seconds_left: Option<f64>,
}

/// A job, live
///
/// Server-sent events. `progress`: the job with `rate_per_second` and `seconds_left`, whenever it
/// changed. `log`: a line of its log; the event's id is that of the line. The stream ends after the
/// job has. With `Last-Event-ID`, only later lines come; 204 when there is nothing more to tell.
#[utoipa::path(get, path = "/jobs/{job}/events", tag = "jobs",
    params(("job" = Uuid, Path), ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event seen")),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = LiveJob),
              (status = 204, description = "The job has ended and all was told")))]
async fn events(
    State(services): State<Services>,
    Path(job): Path<Uuid>,
    shutdown: Option<Extension<Shutdown>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if last.ends_with(END) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let job = services.store.job(job).await?;
    let follow = Follow {
        services,
        id: job.id,
        line: last.parse().unwrap_or(0),
        shown: None,
        pace: Pace::default(),
        began: Instant::now(),
    };
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(follow.run(sender, shutdown.map(|Extension(s)| s)));
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    Ok(live(stream).into_response())
}

/// Resolves when the server wants to stop.
pub(super) async fn until_down(shutdown: Option<Shutdown>) {
    match shutdown {
        Some(Shutdown(mut down)) => drop(down.wait_for(|down| *down).await),
        None => std::future::pending().await,
    }
}

pub(super) fn live(events: impl Stream<Item = Event> + Send + 'static) -> impl IntoResponse {
    use futures::StreamExt;
    Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::default())
}

/// One listener.
struct Follow {
    services: Services,
    id: Uuid,
    /// Id of the last line told.
    line: i64,
    /// What was shown last.
    shown: Option<serde_json::Value>,
    pace: Pace,
    began: Instant,
}

/// Nobody listens any more.
pub(super) struct Gone;

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
            match self.look().await {
                Ok((job, lines)) => match self.tell(job, lines, &to).await {
                    Ok(false) => {}
                    Ok(true) | Err(Gone) => return,
                },
                Err(error) => {
                    // the listener reconnects and goes on from the last line
                    tracing::warn!(job = %self.id, %error, "live view broke off");
                    return;
                }
            }
        }
    }

    /// The job before its lines: so an ended job's last lines are there.
    async fn look(&self) -> StoreResult<(Job, Vec<JobLogLine>)> {
        let job = self.services.store.job(self.id).await?;
        let lines = self.services.store.job_log_lines(self.id, self.line, LINES_AT_ONCE).await?;
        Ok((job, lines))
    }

    /// True when all is told.
    async fn tell(
        &mut self,
        job: Job,
        lines: Vec<JobLogLine>,
        to: &mpsc::Sender<Event>,
    ) -> Result<bool, Gone> {
        let more = i64::try_from(lines.len()).is_ok_and(|n| n >= LINES_AT_ONCE);
        for line in lines {
            self.line = line.id;
            send(to, "log", line.id.to_string(), &line).await?;
        }
        let ended = job.state.is_ended() && !more;
        let state = serde_json::to_value(&job).unwrap_or_default();
        if ended || (self.shown.as_ref() != Some(&state) && !job.state.is_ended()) {
            let rate = self.pace.observe(&job.stage, job.done, self.began.elapsed());
            let left = job.total.map(|t| (t - job.done).max(0)).zip(rate).map(|(n, r)| n as f64 / r);
            let id = if ended { format!("{}{END}", self.line) } else { self.line.to_string() };
            let live = LiveJob { job, rate_per_second: rate, seconds_left: left };
            send(to, "progress", id, &live).await?;
            self.shown = Some(state);
        }
        Ok(ended)
    }
}

async fn send<T: Serialize>(to: &mpsc::Sender<Event>, name: &str, id: String, data: &T) -> Result<(), Gone> {
    let event = Event::default().event(name).id(id).json_data(data).map_err(|error| {
        tracing::error!(%error, "an event could not be written");
        Gone
    })?;
    to.send(event).await.map_err(|_| Gone)
}

/// Units per second of the current stage over the last seconds.
#[derive(Debug, Default)]
struct Pace {
    stage: String,
    readings: VecDeque<(Duration, i64)>,
}

impl Pace {
    /// Takes a reading at time `at`; `None` until progress was seen.
    fn observe(&mut self, stage: &str, done: i64, at: Duration) -> Option<f64> {
        let backwards = self.readings.back().is_some_and(|(_, d)| done < *d);
        if self.stage != stage || backwards {
            stage.clone_into(&mut self.stage);
            self.readings.clear();
        }
        self.readings.push_back((at, done));
        while self.readings.len() > 2
            && self.readings.get(1).is_some_and(|(t, _)| at.saturating_sub(*t) >= WINDOW)
        {
            self.readings.pop_front();
        }
        let (from, first) = *self.readings.front()?;
        let seconds = at.saturating_sub(from).as_secs_f64();
        let units = done - first;
        (units > 0 && seconds > 0.0).then(|| units as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_seconds_of_the_stage() {
        let s = Duration::from_secs;
        let mut p = Pace::default();
        assert_eq!(p.observe("a", 0, s(0)), None);
        assert_eq!(p.observe("a", 10, s(2)), Some(5.0));
        // a pause brings it down
        assert_eq!(p.observe("a", 10, s(4)), Some(2.5));
        // beyond the window only what happened within it counts
        assert_eq!(p.observe("a", 110, s(14)), Some(10.0));
        // another stage begins anew
        assert_eq!(p.observe("b", 50, s(15)), None);
        assert_eq!(p.observe("b", 53, s(16)), Some(3.0));
        // a restart counts from the start again
        assert_eq!(p.observe("b", 0, s(17)), None);
    }
}
