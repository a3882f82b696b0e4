//! A job live, as server-sent events: `progress` with the job whenever it changed, `log` with each
//! new line, `epoch` with each epoch of a network, until the job has ended.
//!
//! The database is read four times a second for each listener; one that reconnects with `Last-Event-ID` misses no
//! line.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::stream::{End, Follow, Listener, follow};
use crate::domain::JobKind;
use crate::jobs::Services;
use crate::store::jobs::Job;
use crate::web::Shutdown;
use crate::web::error::Problem;
use crate::web::extract::Path;

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
/// changed. `log`: a line of its log; the event's id is that of the line. `epoch`: an epoch of a network that is
/// trained, as at `/jobs/{job}/curves`; whoever connects anew is told all of them again. The stream ends after the
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
    let live = Live {
        services,
        id: job.id,
        line: last.parse().unwrap_or(0),
        shown: None,
        epoch: 0,
        pace: Pace::default(),
        began: Instant::now(),
    };
    Ok(follow(live, shutdown.map(|Extension(s)| s)))
}

/// One listener.
struct Live {
    services: Services,
    id: Uuid,
    /// Id of the last line told.
    line: i64,
    /// What was shown last.
    shown: Option<serde_json::Value>,
    /// Last epoch told.
    epoch: i64,
    pace: Pace,
    began: Instant,
}

impl Follow for Live {
    const EVERY: Duration = Duration::from_millis(250);

    fn id(&self) -> Uuid {
        self.id
    }

    async fn look(&mut self, to: &Listener) -> Result<bool, End> {
        // the job before its lines: so an ended job's last lines are there
        let job = self.services.store.job(self.id).await?;
        let lines = self.services.store.job_log_lines(self.id, self.line, LINES_AT_ONCE).await?;
        let more = i64::try_from(lines.len()).is_ok_and(|n| n >= LINES_AT_ONCE);
        for line in lines {
            self.line = line.id;
            to.tell("log", Some(line.id.to_string()), &line).await?;
        }
        if matches!(job.kind, JobKind::Train | JobKind::Ablate) {
            for point in self.services.store.curves(self.id, self.epoch, LINES_AT_ONCE).await? {
                self.epoch = point.id;
                to.tell("epoch", None, &point).await?;
            }
        }
        let ended = job.state.is_ended() && !more;
        let state = serde_json::to_value(&job).unwrap_or_default();
        if ended || (self.shown.as_ref() != Some(&state) && !job.state.is_ended()) {
            let rate = self.pace.observe(&job.stage, job.done, self.began.elapsed());
            let left = job.total.map(|t| (t - job.done).max(0)).zip(rate).map(|(n, r)| n as f64 / r);
            let id = if ended { format!("{}{END}", self.line) } else { self.line.to_string() };
            let live = LiveJob { job, rate_per_second: rate, seconds_left: left };
            to.tell("progress", Some(id), &live).await?;
            self.shown = Some(state);
        }
        Ok(ended)
    }
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
