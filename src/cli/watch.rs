//! Waiting for a job with a progress bar; ctrl-c asks the job to stop.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::house::{House, interrupted};
use crate::domain::JobState;
use crate::messages::{self, Lang};
use crate::store::jobs::Job;

/// Waits until the job has ended and returns it when it succeeded.
///
/// # Errors
/// With the job's own words when it failed or was cancelled.
pub(super) async fn finish(house: &House, id: Uuid, quiet: bool) -> anyhow::Result<Job> {
    let lang = Lang::of_terminal();
    let bar =
        if quiet || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{msg:28} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    let (mut stage, mut logged, mut asked) = (String::new(), 0, false);
    let mut stop = std::pin::pin!(interrupted());
    loop {
        let job = house.services.store.job(id).await?;
        for line in house.services.store.job_log_lines(id, logged, 1000).await? {
            logged = line.id;
            if !quiet && line.level != "error" {
                let said = messages::said(lang, line.note.as_deref(), &line.message);
                bar.suspend(|| eprintln!("  {said}"));
            }
        }
        if job.stage != stage {
            stage.clone_from(&job.stage);
            let text = lang.text(&format!("stage.{stage}")).to_owned();
            if bar.is_hidden() && !quiet && !stage.is_empty() && !job.state.is_ended() {
                eprintln!("  {text} …");
            }
            bar.reset();
            bar.set_message(text);
        }
        bar.set_length(job.total.and_then(|t| u64::try_from(t).ok()).unwrap_or(0));
        bar.set_position(u64::try_from(job.done).unwrap_or(0));
        if job.state.is_ended() {
            bar.finish_and_clear();
            return match job.state {
                JobState::Succeeded => Ok(job),
                JobState::Cancelled => {
                    bail!("{} was cancelled", lang.text(&format!("job_kind.{}", job.kind.as_str())))
                }
                _ => {
                    let written = job.error.as_deref().unwrap_or("the job failed");
                    bail!("{}", messages::said(lang, job.error_note.as_ref(), written))
                }
            };
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(150)) => {}
            () = &mut stop, if !asked => {
                asked = true;
                house.services.store.cancel_job(id).await?;
            }
        }
    }
}
