//! `tamis audit`: wrong labels from arrays, without database and server. With `--select` the values of one
//! filter or score; else everything, as tables, a summary and a page to read.

mod report;
mod selected;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::files::{keep_inputs, language, print_json, share, write};
use crate::audit::checked::Checked;
use crate::audit::clusters::profiles;
use crate::audit::rules::{read_rules, try_rules};
use crate::audit::summary::Beside;
use crate::audit::texts::{TextFindings, Texts};
use crate::audit::{Audit, AuditParams, Files, Head, Input, Part, audit, prepare, summary, table};
use crate::detect::value::Reviewer;
use crate::domain::Reason;
use crate::exchange::columnar::write_table;
use crate::messages::{self, Lang};

/// More errors than `--fail-above` allows.
const ABOVE: u8 = 3;
/// Classes without a sample that are named.
const NAMED: usize = 5;
/// What is written.
const FILES: [&str; 4] = ["issues.parquet", "issues.csv", "summary.json", "report.html"];

#[derive(Args, Clone)]
pub(super) struct Arguments {
    /// Given labels: .npy (whole numbers), .csv, .parquet or .jsonl, each a column of the probabilities; in
    /// tables also class names
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    labels: Option<PathBuf>,
    /// Out-of-sample predicted probabilities (N, K), rows summing to 1: .npy, .csv or .parquet
    /// [default: made out of fold from the features]
    #[arg(long, value_name = "FILE")]
    pred_probs: Option<PathBuf>,
    /// Embeddings (N, D): .npy, .csv or .parquet; may be given several times, once a field
    #[arg(long, value_name = "FILE")]
    features: Vec<PathBuf>,
    /// Category tree (JSON or CSV) whose classes are the columns, in order
    #[arg(long, value_name = "FILE")]
    taxonomy: Option<PathBuf>,
    /// Names of the samples, one a line [default: the id column of the labels, else row numbers]
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// What else is known of the samples: .csv, .jsonl or .parquet with an id column, or rows in order.
    /// Texts (title, asr, ocr, …) are judged, name the clusters and serve the rules; numbers (duration_ms,
    /// brightness, …) are tried for giving the label away
    #[arg(long, value_name = "FILE", conflicts_with = "select")]
    texts: Option<PathBuf>,
    /// Rules to try, one a line: `name: flag|relabel "class"|exclude when CONDITION` over every column of
    /// issues.csv and of --texts; nothing is changed
    #[arg(long, value_name = "FILE", conflicts_with = "select")]
    rules: Option<PathBuf>,
    /// Labels that people checked, drawn at random: a table with id and wrong (true or false); says how many
    /// wrong labels are left
    #[arg(long, value_name = "FILE", conflicts_with = "select")]
    checked: Option<PathBuf>,
    /// Own heads, separated by commas: linear, mlp, prototype, neighbours; the mean of several counts
    #[arg(long, value_name = "HEAD", value_delimiter = ',', default_value = "linear", value_parser = head,
        conflicts_with_all = ["pred_probs", "select"])]
    head: Vec<Head>,
    /// Only this filter or score, into selected.npy (several, separated by commas: NAME.npy each);
    /// --list names them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    select: Vec<String>,
    /// For scores: shift the probabilities against class imbalance first
    #[arg(long, requires = "select")]
    adjust_pred_probs: bool,
    /// Folder for what is written
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Name every filter and score, one a line
    #[arg(long)]
    list: bool,
    /// Threads to use; the result is the same for any number [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    threads: Option<u16>,
    /// Seed of folds and clusters
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folds of the head that is fitted when no probabilities are given
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=100))]
    folds: u16,
    /// Neighbours that vote on a label
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=1000))]
    neighbours: u16,
    /// Share of decisions that the person who reviews gets right (0 to 1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    reviewer_accuracy: f64,
    /// Exit with 3 when the estimated share of wrong labels is above this (0 to 1)
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "select")]
    fail_above: Option<f64>,
    /// Language of reasons and report: en or zh-CN [default: that of the terminal]
    #[arg(long, value_name = "LANG", value_parser = language)]
    lang: Option<Lang>,
    /// Machine-readable summary
    #[arg(long)]
    json: bool,
}

fn head(name: &str) -> Result<Head, String> {
    let known = || Head::ALL.map(Head::as_str).join(", ");
    Head::parse(name.trim()).ok_or_else(|| format!("the heads are {}", known()))
}

/// Exit code 0: done; 1: the input is not fit, or could not be read or written; 2: the command was not
/// understood; 3: done, and there are more errors than `--fail-above` allows.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        selected::list();
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(labels), Some(out)) = (&arguments.labels, &arguments.out) else {
        bail!("--labels and --out are needed");
    };
    let names: Vec<String> = match &arguments.select[..] {
        [] => FILES.map(str::to_owned).to_vec(),
        [_] => vec!["selected.npy".into()],
        several => several.iter().map(|name| format!("{}.npy", name.trim())).collect(),
    };
    keep_inputs(arguments.inputs(), out, &names)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(arguments.threads.unwrap_or(0)))
        .build()
        .context("--threads")?;
    pool.install(|| {
        if arguments.select.is_empty() {
            all(arguments, labels, out)
        } else {
            selected::run(arguments, labels, out).map(|()| ExitCode::SUCCESS)
        }
    })
}

impl Arguments {
    fn inputs(&self) -> impl Iterator<Item = &Path> {
        let single = [
            &self.labels,
            &self.pred_probs,
            &self.taxonomy,
            &self.ids,
            &self.texts,
            &self.rules,
            &self.checked,
        ];
        single.into_iter().flatten().chain(&self.features).map(PathBuf::as_path)
    }
}

fn all(arguments: &Arguments, labels: &Path, out: &Path) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let lang = arguments.lang.unwrap_or_else(Lang::of_terminal);
    let files = Files {
        labels,
        pred_probs: arguments.pred_probs.as_deref(),
        features: &arguments.features,
        taxonomy: arguments.taxonomy.as_deref(),
        ids: arguments.ids.as_deref(),
    };
    if files.pred_probs.is_none() && files.features.is_empty() {
        bail!("--pred-probs or --features is needed: there is nothing else to judge labels by");
    }
    let input = Input::read(&files)?;
    say_missing(lang, labels, &input);
    // what can be wrong with any file is known before the work begins
    let texts = arguments.texts.as_ref().map(|path| Texts::read(path, &input)).transpose()?;
    let rules = arguments.rules.as_ref().map(|path| read_rules(path, &input, texts.as_ref())).transpose()?;
    let checked = arguments.checked.as_ref().map(|path| Checked::read(path, &input)).transpose()?;
    let read = began.elapsed();
    let params = AuditParams {
        seed: arguments.seed,
        folds: usize::from(arguments.folds),
        heads: arguments.head.clone(),
        neighbours: usize::from(arguments.neighbours),
    };
    let mut bar = Bar::new(lang, arguments.json);
    let mut progress = |part, done, total| {
        bar.show(part, done, total);
        true
    };
    let place = || {
        let judged = arguments.pred_probs.as_ref().or(arguments.features.first());
        judged.map_or_else(String::new, |p| format!("{} with {}", p.display(), labels.display()))
    };
    let prepared = prepare(&input, &params, &mut progress).with_context(place)?;
    let class_roots = input.taxonomy.class_roots();
    let right = arguments.reviewer_accuracy;
    let reviewer = Reviewer { corrects: right, keeps: right };
    let audit = audit(&input, &prepared, &class_roots, reviewer, &mut progress).with_context(place)?;
    bar.end();
    if !audit.scan.noise.count.informative {
        eprintln!("{}", lang.text("audit.uninformative"));
    }
    let reasons = (0..audit.scan.len()).map(|i| reason(lang, &input, &audit, i)).collect();
    let mut columns = table::columns(&input, &audit, reasons);
    let mut beside = Beside { clusters: profiles(&input, &audit.scan, texts.as_ref()), ..Beside::default() };
    if let Some(texts) = &texts {
        let found = TextFindings::of(texts, &input)?;
        let reasons = (0..audit.scan.len()).map(|i| text_reason(lang, &found, i)).collect();
        columns.extend(table::text_columns(texts, &found, reasons));
        beside.texts = Some((texts, found));
    }
    if let Some(rules) = rules {
        let tried = try_rules(rules, &input, &audit, texts.as_ref(), &columns);
        columns.extend(table::rule_columns(&tried));
        beside.rules = Some(tried);
    }
    beside.checked = checked.map(|c| c.left(&audit.scan)).transpose()?;
    let mut summary = summary::summary(&input, &prepared, &audit, &beside);
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    if let Some(map) = summary.as_object_mut() {
        map.insert("tamis_version".into(), json!(env!("CARGO_PKG_VERSION")));
        map.insert("seed".into(), json!(arguments.seed));
        map.insert(
            "seconds".into(),
            json!({"read": read.as_secs_f64(), "all": began.elapsed().as_secs_f64()}),
        );
    }
    write(out, "issues.parquet", |f| write_table(f, &columns, &[]).map_err(io::Error::other))?;
    write(out, "issues.csv", |f| table::write_csv(f, &columns).map_err(io::Error::other))?;
    write(out, "summary.json", |f| serde_json::to_writer_pretty(f, &summary).map_err(io::Error::other))?;
    let page = report::page(lang, &input, &audit, &beside, &summary)?;
    write(out, "report.html", |f| f.write_all(page.as_bytes()))?;
    if arguments.json {
        print_json(&summary)?;
    } else {
        report::say(lang, &input, &audit, out);
    }
    let above = arguments.fail_above.is_some_and(|most| audit.scan.noise.estimated_rate > most);
    Ok(if above { ExitCode::from(ABOVE) } else { ExitCode::SUCCESS })
}

/// Why sample `i` is where it is, in one sentence.
fn reason(lang: Lang, input: &Input, audit: &Audit<'_>, i: usize) -> String {
    let row = audit.scan.row(i);
    let class = |c: usize| input.taxonomy.class_id(c).to_owned();
    let facts = Reason {
        given: class(input.labels[i] as usize),
        suggested: class(row.suggested),
        p_given: row.p_given,
        p_suggested: row.p_suggested,
        neighbours_agree: row.neighbours_agree,
        neighbours_suggested: row.neighbours_suggested,
        neighbours: row.n_neighbours,
        cluster_share: row.cluster_share,
        cluster_class: class(row.cluster_class),
        cross_parent: row.cross_parent,
    };
    messages::reason(lang, &facts, &input.taxonomy)
}

/// Classes without a sample: how many, and the first.
fn say_missing(lang: Lang, labels: &Path, input: &Input) {
    let missing = &input.missing_classes;
    if missing.is_empty() {
        return;
    }
    let mut names: Vec<&str> = missing.iter().take(NAMED).map(|&c| input.taxonomy.class_id(c)).collect();
    if missing.len() > NAMED {
        names.push("…");
    }
    let said = lang.t2(
        "audit.classes_without_samples",
        "n",
        missing.len(),
        "classes",
        names.join(lang.text("audit.list")),
    );
    let _ = writeln!(io::stderr(), "{}: {said}", labels.display());
}

/// What is wrong with the texts of sample `i`; empty when nothing is.
fn text_reason(lang: Lang, found: &TextFindings, i: usize) -> String {
    let issue = |(field, issue): (&str, crate::detect::text_quality::TextIssue)| {
        let what = lang.text(&format!("audit.text.{}", issue.as_str())).to_owned();
        lang.t2("audit.text_issue", "field", field, "issue", what)
    };
    found.issues(i).map(issue).collect::<Vec<_>>().join(lang.text("audit.text_and"))
}

/// One line that says which part is under way; nothing where nobody looks.
struct Bar {
    bar: ProgressBar,
    part: Option<Part>,
    lang: Lang,
}

impl Bar {
    fn new(lang: Lang, quiet: bool) -> Self {
        let hidden = quiet || !io::stderr().is_terminal();
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let style =
            ProgressStyle::with_template("{msg:20} {wide_bar} {human_pos}/{human_len} {elapsed} {eta}");
        Self { bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())), part: None, lang }
    }

    fn show(&mut self, part: Part, done: usize, total: usize) {
        if self.part != Some(part) {
            self.part = Some(part);
            self.bar.reset();
            let words = match part {
                Part::Neighbours => self.lang.text("stage.neighbours"),
                Part::Clusters => self.lang.text("stage.clusters"),
                Part::OutOfFold => self.lang.text("stage.out_of_fold"),
                Part::Dynamics => self.lang.text("stage.dynamics"),
                Part::Fusion => self.lang.text("stage.fusion"),
            };
            self.bar.set_message(words.to_owned());
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
