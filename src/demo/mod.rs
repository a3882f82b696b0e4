//! A demo dataset of real pictures made into short clips, with planted label errors whose truth is
//! kept beside it (and never shown to a scan), so that the demo can say how many it found.
//!
//! Made once, cached in the state folder, from the `tuxpaint-stamps-default` pictures when set-up got
//! them; else from ffmpeg's own picture sources, which need no network.

mod clips;
mod drawn;
mod plant;
mod stamps;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Seed of everything random in the demo.
const SEED: u64 = 20_261_123;
/// Raised when the recipe of the clips changes, so that old caches are made anew.
const RECIPE: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("demo data: {0}")]
    Io(#[from] std::io::Error),
    #[error("demo data: ffmpeg is missing; run scripts/setup")]
    NoFfmpeg,
    #[error("demo data: ffmpeg could not draw {clip}: {why}")]
    Draw { clip: String, why: String },
}

/// A class of the demo's two-level tree.
#[derive(Clone, Debug)]
struct Class {
    id: String,
    parent: String,
    name_en: String,
    name_zh: String,
}

/// A clip to be drawn.
#[derive(Clone, Debug)]
struct Clip {
    id: String,
    class: usize,
    title: String,
    picture: Picture,
    seconds: f64,
}

#[derive(Clone, Debug)]
enum Picture {
    /// A photo or drawing that the camera pans and zooms over.
    File(PathBuf),
    /// A `lavfi` source with its filters.
    Source(String),
}

/// Where the finished dataset lies.
#[derive(Clone, Debug)]
pub struct Demo {
    pub taxonomy: PathBuf,
    pub annotations: PathBuf,
    pub media: PathBuf,
    pub source: Source,
    planted: BTreeMap<String, Truth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Stamps,
    Drawn,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Truth {
    given: String,
    truth: String,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    source: Source,
    planted: BTreeMap<String, Truth>,
}

impl Demo {
    /// The cached dataset, or a new one. `progress(done, total)` is called after each batch of clips.
    pub fn prepare(
        ffmpeg: Option<&Path>,
        stamps: Option<&Path>,
        cache: &Path,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, DemoError> {
        let ffmpeg = ffmpeg.ok_or(DemoError::NoFfmpeg)?;
        let (source, (classes, clips)) = match stamps.map(stamps::read).transpose()? {
            Some(found) if found.1.len() >= 200 => (Source::Stamps, found),
            _ => (Source::Drawn, drawn::clips()),
        };
        let name = match source {
            Source::Stamps => "stamps",
            Source::Drawn => "drawn",
        };
        let dir = cache.join(format!("{name}-{RECIPE}"));
        let marker = dir.join("complete.json");
        if let Ok(text) = std::fs::read(&marker)
            && let Ok(m) = serde_json::from_slice::<Marker>(&text)
        {
            return Ok(Self::at(&dir, m));
        }
        std::fs::create_dir_all(dir.join("clips"))?;
        clips::draw(ffmpeg, &clips, &dir.join("clips"), progress)?;
        let planted = write_tables(&dir, &classes, &clips)?;
        let m = Marker { source, planted };
        // last and by rename: an interrupted run leaves no marker and is taken up again
        let text = serde_json::to_vec(&m).map_err(std::io::Error::other)?;
        std::fs::write(dir.join("complete.tmp"), text)?;
        std::fs::rename(dir.join("complete.tmp"), &marker)?;
        Ok(Self::at(&dir, m))
    }

    fn at(dir: &Path, m: Marker) -> Self {
        Self {
            taxonomy: dir.join("taxonomy.json"),
            annotations: dir.join("annotations.jsonl"),
            media: dir.to_owned(),
            source: m.source,
            planted: m.planted,
        }
    }

    /// Number of given labels that were made wrong on purpose.
    pub fn planted(&self) -> usize {
        self.planted.len()
    }

    /// How many of the planted errors stand in the first `share` of a ranking (ids, worst first).
    pub fn found_in(&self, ranking: &[String], share: f64) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let n = (ranking.len() as f64 * share).round() as usize;
        ranking.iter().take(n).filter(|id| self.planted.contains_key(*id)).count()
    }
}

/// taxonomy.json, annotations.jsonl (given labels only) and truth.csv; returns the planted errors.
fn write_tables(dir: &Path, classes: &[Class], clips: &[Clip]) -> Result<BTreeMap<String, Truth>, DemoError> {
    let mut nodes = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for c in classes {
        if seen.insert(c.parent.clone()) {
            let (en, zh) = stamps::parent_names(&c.parent);
            nodes.push(
                serde_json::json!({"id": c.parent, "name": en, "name_zh": zh, "parent": null, "level": 1}),
            );
        }
    }
    for c in classes {
        nodes.push(serde_json::json!({"id": c.id, "name": c.name_en, "name_zh": c.name_zh, "parent": c.parent, "level": 2}));
    }
    std::fs::write(
        dir.join("taxonomy.json"),
        serde_json::to_vec_pretty(&serde_json::json!({ "nodes": nodes })).map_err(std::io::Error::other)?,
    )?;
    let given = plant::given_labels(classes, clips, SEED);
    let mut rows = std::io::BufWriter::new(std::fs::File::create(dir.join("annotations.jsonl"))?);
    let mut truth = std::io::BufWriter::new(std::fs::File::create(dir.join("truth.csv"))?);
    writeln!(truth, "id,given,true")?;
    let mut planted = BTreeMap::new();
    for (clip, label) in clips.iter().zip(&given) {
        let given = label.map(|c| classes[c].id.as_str());
        let row = serde_json::json!({
            "id": clip.id, "video": format!("clips/{}.mp4", clip.id), "title": clip.title, "asr": "", "ocr": [],
            "label": given,
        });
        writeln!(rows, "{row}")?;
        let right = &classes[clip.class].id;
        writeln!(truth, "{},{},{right}", clip.id, given.unwrap_or(""))?;
        if let Some(given) = given.filter(|g| g != right) {
            planted.insert(clip.id.clone(), Truth { given: given.to_owned(), truth: right.clone() });
        }
    }
    rows.flush()?;
    truth.flush()?;
    Ok(planted)
}
