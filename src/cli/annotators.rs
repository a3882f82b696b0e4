//! `tamis annotators`: several people's labels of the same samples. What they agree on, how sure that is, who
//! labels well, and where one more label helps most.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::files::{keep_inputs, language, print_json, write};
use crate::audit::annotators::{Agreement, Method, agree, annotator_columns, consensus_columns, summary};
use crate::audit::table::write_csv;
use crate::audit::votes::{VoteFiles, VoteInput};
use crate::exchange::columnar::write_table;
use crate::messages::Lang;

/// What is written.
const FILES: [&str; 4] = ["consensus.parquet", "consensus.csv", "annotators.csv", "summary.json"];
/// People that the command line names.
const SAID: usize = 10;

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// Labels: a matrix of samples by people (.npy with -1 or NaN, .csv, .parquet or .jsonl with empty cells
    /// for none; an id column is no person), or a table with a row a label and the columns item, annotator,
    /// label
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Out-of-sample predicted probabilities (N, K), rows summing to 1: needed by CROWDLAB and for the
    /// samples to label next
    #[arg(long, value_name = "FILE")]
    pred_probs: Option<PathBuf>,
    /// Category tree (JSON or CSV) whose classes are the columns, in order
    #[arg(long, value_name = "FILE")]
    taxonomy: Option<PathBuf>,
    /// Names of the samples, one a line; the items of a table are then found by them
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// How the consensus is found: crowdlab, dawid-skene or majority
    /// [default: crowdlab with probabilities, else dawid-skene]
    #[arg(long, value_name = "NAME", value_parser = method)]
    method: Option<Method>,
    /// Folder for what is written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Language of what is said: en or zh-CN [default: that of the terminal]
    #[arg(long, value_name = "LANG", value_parser = language)]
    lang: Option<Lang>,
    /// Machine-readable summary
    #[arg(long)]
    json: bool,
}

fn method(name: &str) -> Result<Method, String> {
    Method::parse(name)
        .ok_or_else(|| format!("the methods are {}", Method::ALL.map(Method::as_str).join(", ")))
}

/// Reads, agrees, writes.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let inputs = [&arguments.pred_probs, &arguments.taxonomy, &arguments.ids];
    let inputs = inputs.into_iter().flatten().chain([&arguments.labels]).map(PathBuf::as_path);
    keep_inputs(inputs, &arguments.out, &FILES.map(str::to_owned))?;
    let input = VoteInput::read(&VoteFiles {
        labels: &arguments.labels,
        pred_probs: arguments.pred_probs.as_deref(),
        taxonomy: arguments.taxonomy.as_deref(),
        ids: arguments.ids.as_deref(),
    })?;
    let fallback = if arguments.pred_probs.is_some() { Method::Crowdlab } else { Method::DawidSkene };
    let chosen = arguments.method.unwrap_or(fallback);
    let found = agree(&input, chosen).with_context(|| match (&arguments.pred_probs, chosen) {
        (None, Method::Crowdlab) => "--method crowdlab needs --pred-probs".to_owned(),
        (Some(p), _) => format!("{} with {}", p.display(), arguments.labels.display()),
        (None, _) => arguments.labels.display().to_string(),
    })?;
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let consensus = consensus_columns(&input, &found);
    write(out, "consensus.parquet", |f| write_table(f, &consensus, &[]).map_err(io::Error::other))?;
    write(out, "consensus.csv", |f| write_csv(f, &consensus).map_err(io::Error::other))?;
    let people = annotator_columns(&input, &found);
    write(out, "annotators.csv", |f| write_csv(f, &people).map_err(io::Error::other))?;
    let mut summary = summary(&input, &found);
    if let Some(map) = summary.as_object_mut() {
        map.insert("tamis_version".into(), json!(env!("CARGO_PKG_VERSION")));
        map.insert("seconds".into(), json!(began.elapsed().as_secs_f64()));
    }
    write(out, "summary.json", |f| serde_json::to_writer_pretty(f, &summary).map_err(io::Error::other))?;
    if arguments.json {
        return print_json(&summary);
    }
    speak(arguments.lang.unwrap_or_else(Lang::of_terminal), &input, &found, out);
    Ok(())
}

/// The short of it: how far they agree, and the weakest people.
fn speak(lang: Lang, input: &VoteInput, found: &Agreement, out: &Path) {
    let number = |n: usize| lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    let (n, m, _) = input.votes.shape();
    let agreed: Vec<f64> = found.agreement.iter().flatten().copied().collect();
    let facts = [
        ("samples", number(n)),
        ("people", number(m)),
        ("labels", number(input.votes.len())),
        ("agreement", lang.percent((agreed.iter().sum::<f64>() / agreed.len().max(1) as f64) as f32)),
        ("disputed", number(agreed.iter().filter(|a| **a < 1.0).count())),
    ];
    let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
    say!("{}", lang.fill("annotators.said", &facts));
    let mut people: Vec<(f64, usize)> =
        found.people.iter().enumerate().filter_map(|(a, p)| Some((p.quality?, a))).collect();
    people.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for &(quality, a) in people.iter().take(SAID) {
        let person = &found.people[a];
        let facts = [
            ("person", input.annotators[a].clone()),
            ("quality", lang.percent(quality as f32)),
            ("labels", number(person.n_labels)),
            (
                "worst",
                person.worst_class.map_or("–".into(), |c| input.taxonomy.class_id(c as usize).to_owned()),
            ),
        ];
        let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
        say!("{}", lang.fill("annotators.person", &facts));
    }
    say!("{}", lang.t1("annotators.written", "folder", out.display()));
}
