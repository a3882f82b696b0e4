//! `--select`: one filter or score by name, in input order, to be compared with other tools bit by bit.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Arguments, write};
use crate::arrays::Rows;
use crate::audit::{Files, Input, Selected, Selection, select};
use crate::detect::{Filter, Quality};
use crate::exchange::npy;
use std::io::IsTerminal;

pub(super) fn list() {
    for filter in Filter::ALL {
        say!("filter  {}", filter.as_str());
    }
    for quality in Quality::ALL {
        say!("score   {}", quality.as_str());
    }
}

pub(super) fn run(arguments: &Arguments, labels: &Path, out: &Path) -> anyhow::Result<()> {
    let Some(pred_probs) = &arguments.pred_probs else {
        bail!("--select needs --pred-probs: filters and scores are functions of given probabilities");
    };
    let names: Vec<&str> = arguments.select.iter().map(|n| n.trim()).collect();
    let selections = names
        .iter()
        .map(|name| {
            Selection::parse(name).with_context(|| {
                format!("--select {name}: there is no such filter or score; tamis audit --list names them")
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let Some((name, _)) = names.iter().zip(&selections).enumerate().find_map(|(i, (name, s))| {
        let twice = selections[..i].contains(s);
        let filter = arguments.adjust_pred_probs && matches!(s, Selection::Filter(_));
        (twice || filter).then_some((name, s))
    }) {
        if arguments.adjust_pred_probs {
            bail!("--adjust-pred-probs is for scores; {name} is a filter");
        }
        bail!("--select names {name} twice");
    }
    let began = Instant::now();
    let files = Files {
        labels,
        pred_probs: Some(pred_probs),
        features: &[],
        taxonomy: arguments.taxonomy.as_deref(),
        ids: None,
    };
    let input = Input::read(&files)?;
    let Some(p) = &input.probabilities else { bail!("--pred-probs is needed") };
    let (n, k) = Rows::<f32>::shape(p);
    let bar = bar(n * Selection::passes(&selections), arguments.json);
    let pace = |rows: usize| {
        bar.inc(rows as u64);
        true
    };
    let found = select(p, &input.labels, &selections, arguments.adjust_pred_probs, &pace)
        .with_context(|| format!("{} with {}", pred_probs.display(), labels.display()))?;
    bar.finish_and_clear();
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let mut said = Vec::new();
    for (name, found) in names.iter().zip(&found) {
        let file = if names.len() == 1 { "selected.npy".to_owned() } else { format!("{name}.npy") };
        let file = match found {
            Selected::Issues(flags) => write(out, &file, |f| npy::write_bools(f, flags))?,
            Selected::Scores(values) => write(out, &file, |f| npy::write_f64(f, values))?,
        };
        let selected = found.issues();
        match selected {
            _ if arguments.json => {}
            Some(selected) => say!("{selected} of {n} labels are issues by {name}; {}", file.display()),
            None => say!("{name} of {n} labels; {}", file.display()),
        }
        said.push(json!({"select": name, "selected": selected, "file": file}));
    }
    if arguments.json {
        let seconds = began.elapsed().as_secs_f64();
        let mut summary = json!({"samples": n, "classes": k, "seconds": seconds});
        match (&mut summary, said.pop()) {
            (serde_json::Value::Object(map), Some(serde_json::Value::Object(one))) if said.is_empty() => {
                map.extend(one);
            }
            (serde_json::Value::Object(map), Some(last)) => {
                said.push(last);
                map.insert("selections".into(), said.into());
            }
            _ => {}
        }
        say!("{}", serde_json::to_string_pretty(&summary)?);
    }
    Ok(())
}

fn bar(rows: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(rows as u64).with_style(style)
}
