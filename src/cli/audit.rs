//! `tamis audit`: wrong labels from arrays of labels and predicted probabilities, by one filter or score
//! that is chosen by name. The arrays are mapped, never loaded: memory is a few bytes a sample.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::arrays::Rows;
use crate::audit::{Selected, Selection, select};
use crate::detect::{Filter, Quality};
use crate::exchange::mapped::Mapped;
use crate::exchange::npy;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// Given labels: an .npy vector of integers (N), each a column of the probabilities
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    labels: Option<PathBuf>,
    /// Out-of-sample predicted probabilities: an .npy matrix (N, K) of floats, rows summing to 1
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    pred_probs: Option<PathBuf>,
    /// The filter or score to compute; --list names them
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    select: Option<String>,
    /// For scores: shift the probabilities against class imbalance first
    #[arg(long)]
    adjust_pred_probs: bool,
    /// Folder for selected.npy: true or false a sample for a filter, a double a sample for a score
    /// (higher = better label), in input order
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Name every filter and score, one a line
    #[arg(long)]
    list: bool,
    /// Threads to use; the result is the same for any number [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Machine-readable summary
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.list {
        for filter in Filter::ALL {
            say!("filter  {}", filter.as_str());
        }
        for quality in Quality::ALL {
            say!("score   {}", quality.as_str());
        }
        return Ok(());
    }
    let (Some(labels), Some(pred_probs), Some(name), Some(out)) =
        (&arguments.labels, &arguments.pred_probs, &arguments.select, &arguments.out)
    else {
        bail!("--labels, --pred-probs, --select and --out are needed");
    };
    let selection = Selection::parse(name).with_context(|| {
        format!("--select {name}: there is no such filter or score; tamis audit --list names them")
    })?;
    if arguments.adjust_pred_probs && matches!(selection, Selection::Filter(_)) {
        bail!("--adjust-pred-probs is for scores; {name} is a filter");
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.threads.unwrap_or(0))
        .build()
        .context("--threads")?;
    let began = Instant::now();
    let y = Mapped::open(labels)?.labels(labels)?;
    let p = Mapped::open(pred_probs)?.matrix(pred_probs)?;
    let (n, k) = Rows::<f32>::shape(&p);
    if y.len() != n {
        bail!("{} has {} labels, {} has {n} rows", labels.display(), y.len(), pred_probs.display());
    }
    let bar = bar(n * selection.passes(), arguments.json);
    let pace = |rows: usize| {
        bar.inc(rows as u64);
        true
    };
    let found = pool
        .install(|| select(&p, &y, selection, arguments.adjust_pred_probs, &pace))
        .with_context(|| format!("{} with {}", pred_probs.display(), labels.display()))?;
    bar.finish_and_clear();
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let file = out.join("selected.npy");
    write(&file, &found).with_context(|| format!("{}", file.display()))?;
    let selected = match &found {
        Selected::Issues(flags) => Some(flags.iter().filter(|f| **f).count()),
        Selected::Scores(_) => None,
    };
    if arguments.json {
        let summary = json!({
            "samples": n, "classes": k, "select": name, "selected": selected,
            "seconds": began.elapsed().as_secs_f64(), "file": file,
        });
        say!("{}", serde_json::to_string_pretty(&summary)?);
    } else if let Some(selected) = selected {
        say!("{selected} of {n} labels are issues by {name}; {}", file.display());
    } else {
        say!("{name} of {n} labels; {}", file.display());
    }
    Ok(())
}

/// Written beside its place and renamed, so that a full disk leaves the old file whole.
fn write(file: &Path, found: &Selected) -> std::io::Result<()> {
    let part = file.with_extension("npy.part");
    let mut out = BufWriter::new(File::create(&part)?);
    match found {
        Selected::Issues(flags) => npy::write_bools(&mut out, flags)?,
        Selected::Scores(values) => npy::write_f64(&mut out, values)?,
    }
    out.flush()?;
    out.get_ref().sync_all()?;
    std::fs::rename(&part, file)
}

fn bar(rows: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(rows as u64).with_style(style)
}
