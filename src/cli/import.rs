//! `tamis import`: stages the files, queues the import, waits for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::house::House;
use super::watch;
use crate::config::Config;
use crate::jobs::import::{ImportArgs, MediaSource, StagedFile, TaxonomySource};
use crate::store::imports::ImportError;

/// Rejected rows printed; all of them are kept with the job.
const SHOWN: i64 = 100;

#[derive(Args)]
pub(super) struct Arguments {
    /// Dataset; made when there is none
    name: String,
    /// Taxonomy file (JSON tree, parent list, CSV), or `builtin:wechat2022`
    #[arg(long, value_name = "FILE")]
    taxonomy: PathBuf,
    /// JSON array, JSONL or CSV
    #[arg(long, value_name = "FILE")]
    annotations: PathBuf,
    /// Folder of the videos that the rows name
    #[arg(long, value_name = "DIR")]
    media: Option<PathBuf>,
    /// Zip of `{id}.npy` frame features (float16 [n_frames, dim]) that stand in for media
    #[arg(long, value_name = "ZIP", conflicts_with = "media")]
    features: Option<PathBuf>,
    /// CSV column of a field that has another name: id=vid (repeatable)
    #[arg(long = "column", value_name = "FIELD=COLUMN")]
    columns: Vec<String>,
    /// Take the good rows even if others are bad
    #[arg(long)]
    partial: bool,
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// For the demo, which imports as anyone would.
    pub(super) fn new(name: &str, taxonomy: PathBuf, annotations: PathBuf, media: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            taxonomy,
            annotations,
            media: Some(media),
            features: None,
            columns: Vec::new(),
            partial: false,
            json: false,
        }
    }
}

pub(super) async fn run(config: Config, arguments: Arguments) -> anyhow::Result<()> {
    let json = arguments.json;
    // before anything is started: a wrong path is the most common mistake
    let builtin = arguments.taxonomy.to_str().is_some_and(|t| t.starts_with("builtin:"));
    let files = [
        ("taxonomy", (!builtin).then_some(&arguments.taxonomy)),
        ("annotations", Some(&arguments.annotations)),
        ("features", arguments.features.as_ref()),
    ];
    for (what, path) in files {
        if let Some(path) = path {
            anyhow::ensure!(path.is_file(), "{what}: {} is not a file", path.display());
        }
    }
    if let Some(dir) = &arguments.media {
        anyhow::ensure!(dir.is_dir(), "media: {} is not a folder", dir.display());
    }
    let house = House::open_with_worker(config).await?;
    let done = import(&house, &arguments, json).await;
    house.close().await;
    let result = done?;
    if json {
        say!("{}", serde_json::to_string_pretty(&result)?);
    } else {
        let n = |key: &str| result.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0);
        say!(
            "{}: {} added, {} changed, {} unchanged, {} refused; {} labels new or changed; {} media ready, {} bad",
            arguments.name,
            n("added"),
            n("changed"),
            n("unchanged"),
            n("refused"),
            n("labels_added"),
            n("media_ready"),
            n("media_bad"),
        );
    }
    Ok(())
}

/// Runs the import as a job and returns its result.
pub(super) async fn import(house: &House, a: &Arguments, quiet: bool) -> anyhow::Result<serde_json::Value> {
    let taxonomy = match a.taxonomy.to_str().and_then(|t| t.strip_prefix("builtin:")) {
        Some(name) => TaxonomySource::Builtin(name.to_owned()),
        None => TaxonomySource::File(stage(house, &a.taxonomy).await.context("taxonomy")?),
    };
    let media = match (&a.media, &a.features) {
        (Some(dir), _) => {
            let dir = dir.canonicalize().with_context(|| format!("media: {}", dir.display()))?;
            Some(MediaSource::Dir(dir.to_str().context("media: the path is not UTF-8")?.to_owned()))
        }
        (None, Some(zip)) => Some(MediaSource::Features(stage(house, zip).await.context("features")?)),
        (None, None) => None,
    };
    let mut columns = BTreeMap::new();
    for pair in &a.columns {
        let Some((field, column)) = pair.split_once('=') else {
            bail!("--column {pair}: must be FIELD=COLUMN")
        };
        columns.insert(field.to_owned(), column.to_owned());
    }
    let args = ImportArgs {
        dataset: a.name.clone(),
        taxonomy,
        annotations: stage(house, &a.annotations).await.context("annotations")?,
        columns,
        media,
        partial: a.partial,
        author: author(),
    };
    let id = house.services.enqueue_import(&args).await?;
    let outcome = watch::finish(house, id, quiet).await;
    let refused = house.services.store.import_errors(id, -1, SHOWN).await?;
    for e in &refused.items {
        eprintln!("{}", line(e));
    }
    if refused.next.is_some() {
        eprintln!("… more; all of them: GET /api/v1/jobs/{id}/import-errors.jsonl");
    }
    Ok(outcome?.result.unwrap_or_default())
}

fn line(e: &ImportError) -> String {
    let field = e.field.as_deref().map(|f| format!(" {f}:")).unwrap_or_default();
    if e.line > 0 {
        format!("{}:{}:{field} {}", e.file, e.line, e.message)
    } else {
        format!("{}:{field} {}", e.file, e.message)
    }
}

async fn stage(house: &House, file: &Path) -> anyhow::Result<StagedFile> {
    anyhow::ensure!(file.is_file(), "{} is not a file", file.display());
    let (blob, _) = house.services.blobs.put_content(file).await?;
    let file_name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(StagedFile { blob, file_name })
}

/// Who works at this terminal.
pub(super) fn author() -> String {
    std::env::var("USER").ok().filter(|u| !u.is_empty()).unwrap_or_else(|| "cli".to_owned())
}
