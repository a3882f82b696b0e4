//! New clips as trained models read them: decoded, encoded and cut as samples of a dataset are, and rounded as
//! stored vectors are, so that a clip gets the answer that it would get once imported.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis, s};
use uuid::Uuid;

use super::PredictRefusal;
use super::served::Member;
use crate::domain::{Field, SampleText};
use crate::encode::{ClipVectors, Shape, normalize_rows};
use crate::exchange::annotations::{self, Format, ReadOptions};
use crate::exchange::columnar::as_stored;
use crate::exchange::frame_file::FrameFileWriter;
use crate::exchange::{media_path, media_zip};
use crate::jobs::encoders::{self, Source};
use crate::jobs::inputs::{self, Inputs};
use crate::jobs::vectors::Block;
use crate::jobs::{JobError, Services, media};

/// A clip that is in no dataset. What it lacks counts as missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clip {
    /// Comes back with the answer.
    pub id: Option<String>,
    pub text: SampleText,
    /// A file on this machine that may be read.
    pub video: Option<PathBuf>,
}

/// Clips of an annotation file, whose videos are in a zip that is unpacked into `folder`. Labels and splits are not
/// read. Blocking.
///
/// # Errors
/// The row or the member of the zip to blame; more than [`super::MAX_CLIPS`] rows.
pub fn read_clips(
    annotations: &Path,
    file_name: &str,
    media: Option<&Path>,
    folder: &Path,
) -> Result<Vec<Clip>, PredictRefusal> {
    let refuse = |field: &str, code: &'static str, why: String| PredictRefusal::Row {
        field: field.to_owned(),
        code,
        why,
    };
    if let Some(media) = media {
        media_zip::unpack(media, folder).map_err(|e| refuse("media", "bad_media_zip", e.to_string()))?;
    }
    let file = std::fs::File::open(annotations).map_err(JobError::from)?;
    let mut clips = Vec::new();
    for row in annotations::reader(Box::new(file), file_name, Format::Auto, &ReadOptions::default()) {
        let row = row.map_err(|e| refuse("annotations", e.code, e.to_string()))?;
        if clips.len() == super::MAX_CLIPS {
            let why = format!("1 to {} rows at once", super::MAX_CLIPS);
            return Err(refuse("annotations", "rows", why));
        }
        let video = match (&row.video, media) {
            (Some(video), Some(_)) => {
                let found = media_path::resolve(folder, video);
                Some(found.map_err(|e| {
                    refuse("annotations", e.code(), format!("{file_name}:{}: video: {e}", row.line))
                })?)
            }
            (Some(_), None) => {
                let why =
                    format!("{file_name}:{}: the row names a video: send a zip of them as `media`", row.line);
                return Err(refuse("media", "media_missing", why));
            }
            (None, _) => None,
        };
        let text = SampleText {
            title: row.title.unwrap_or_default(),
            asr: row.asr.unwrap_or_default(),
            ocr: row.ocr.unwrap_or_default(),
        };
        clips.push(Clip { id: Some(row.external_id), text, video });
    }
    Ok(clips)
}

/// Clips and what has been made of them so far: models of an ensemble mostly read the same.
pub(super) struct Seen<'a> {
    services: &'a Services,
    dataset: Uuid,
    clips: &'a [Clip],
    /// By field and encoder: (clips, dimension), zeros where a clip has none.
    pooled: HashMap<(Field, String), Array2<f32>>,
    /// By encoder, of the clips with a video.
    frames: HashMap<String, Vec<Option<ClipVectors>>>,
    scratch: tempfile::TempDir,
}

impl<'a> Seen<'a> {
    pub(super) fn new(
        services: &'a Services,
        dataset: Uuid,
        clips: &'a [Clip],
    ) -> Result<Self, PredictRefusal> {
        let scratch = services.scratch().map_err(JobError::from)?;
        let (pooled, frames) = (HashMap::new(), HashMap::new());
        Ok(Self { services, dataset, clips, pooled, frames, scratch })
    }

    /// What the model reads of the clips.
    pub(super) async fn inputs(&mut self, member: &Member) -> Result<Inputs, PredictRefusal> {
        let Shape::Sequence { frames, .. } = member.model.shape() else {
            let width = member.blocks.iter().map(|b| b.start + b.dimension).max().unwrap_or(0);
            let mut x = Array2::zeros((self.clips.len(), width));
            for b in &member.blocks {
                let part = self.pooled(b).await?;
                x.slice_mut(s![.., b.start..b.start + b.dimension]).assign(part);
            }
            return Ok(Inputs::Pooled(x));
        };
        let frames = match (frames, member.blocks.first()) {
            (Some(_), Some(block)) => {
                let mut writer =
                    FrameFileWriter::create(self.scratch.path(), self.clips.len(), block.dimension)
                        .map_err(JobError::from)?;
                for (row, vectors) in self.frames(&block.encoder).await?.iter().enumerate() {
                    if let Some(v) = vectors {
                        writer.put(row, v.frames.view()).map_err(JobError::from)?;
                    }
                }
                Some(writer.finish().map_err(JobError::from)?)
            }
            _ => None,
        };
        let tokens = member.text.as_ref().map(|text| {
            let vocabulary = &text.vocabulary;
            let cut = self.clips.iter().map(|c| inputs::cut(&c.text, vocabulary.unit()));
            cut.map(|cut| vocabulary.tokens(&cut, &text.budget)).collect()
        });
        Ok(Inputs::Sequence { n: self.clips.len(), frames, tokens })
    }

    async fn pooled(&mut self, block: &Block) -> Result<&Array2<f32>, PredictRefusal> {
        let key = (block.field, block.encoder.clone());
        if !self.pooled.contains_key(&key) {
            let made = match block.field {
                Field::Frames => self.means(block).await?,
                field => self.texts(field, block).await?,
            };
            self.pooled.insert(key.clone(), made);
        }
        Ok(&self.pooled[&key])
    }

    async fn means(&mut self, block: &Block) -> Result<Array2<f32>, PredictRefusal> {
        let mut x = Array2::zeros((self.clips.len(), block.dimension));
        for (i, vectors) in self.frames(&block.encoder).await?.iter().enumerate() {
            if let Some(v) = vectors.as_ref().filter(|v| v.mean.len() == block.dimension) {
                x.row_mut(i).assign(&v.mean);
            }
        }
        Ok(x)
    }

    async fn texts(&self, field: Field, block: &Block) -> Result<Array2<f32>, PredictRefusal> {
        let encoder = encoders::text(self.services, self.dataset, field, &block.encoder).await?;
        let encoder = encoder.ok_or_else(|| missing(field, &block.encoder))?;
        let texts: Vec<String> = self.clips.iter().map(|c| c.text.field(field).unwrap_or_default()).collect();
        let encode = move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut rows = encoder.encode(&texts).map_err(encoders::failed)?;
            normalize_rows(&mut rows);
            rows.rows_mut().into_iter().filter_map(|r| r.into_slice()).for_each(as_stored);
            Ok::<_, JobError>(rows)
        };
        Ok(tokio::task::spawn_blocking(encode).await.map_err(JobError::from)??)
    }

    /// Vectors of the clips' frames by an encoder; the clip that cannot be decoded is named.
    async fn frames(&mut self, version: &str) -> Result<&[Option<ClipVectors>], PredictRefusal> {
        if !self.frames.contains_key(version) {
            let made = self.encoded(version).await?;
            self.frames.insert(version.to_owned(), made);
        }
        Ok(&self.frames[version])
    }

    async fn encoded(&self, version: &str) -> Result<Vec<Option<ClipVectors>>, PredictRefusal> {
        let videos: Vec<(usize, PathBuf)> =
            self.clips.iter().enumerate().filter_map(|(i, c)| Some((i, c.video.clone()?))).collect();
        let mut all = vec![None; self.clips.len()];
        if videos.is_empty() {
            return Ok(all);
        }
        let encoder = encoders::image(self.services, version).await?;
        let encoder = encoder.ok_or_else(|| missing(Field::Frames, version))?;
        let decoder = media::decoder(self.services)?;
        let turn = self.services.encoders.turns.clone().acquire_owned().await;
        let folder = tempfile::TempDir::new_in(self.scratch.path()).map_err(JobError::from)?;
        let (at, paths): (Vec<usize>, Vec<PathBuf>) = videos.into_iter().unzip();
        let rows = at.clone();
        let encode = move || {
            let mut sources = Vec::with_capacity(paths.len());
            for ((row, path), info) in
                rows.iter().zip(&paths).zip(decoder.inspect_batch(&paths, folder.path()))
            {
                let info = info.map_err(|e| {
                    if !e.code.is_about_the_clip() {
                        return PredictRefusal::Job(JobError::broke("doing.decoder", e));
                    }
                    let (field, code) = (format!("clips[{row}].video"), e.code.as_str());
                    PredictRefusal::Row { field, code, why: e.to_string() }
                })?;
                sources.push(if encoders::reads_strip(&encoder) {
                    Source::Strip(std::fs::read(&info.strip).map_err(JobError::from)?)
                } else {
                    Source::Clip(path.clone())
                });
            }
            let mut vectors: Vec<ClipVectors> = encoders::encode_frames(&encoder, &sources, Some(&decoder))?
                .into_iter()
                .map(|(vectors, _)| vectors)
                .collect();
            for v in &mut vectors {
                v.frames.lanes_mut(Axis(1)).into_iter().filter_map(|r| r.into_slice()).for_each(as_stored);
                v.mean.as_slice_mut().into_iter().for_each(as_stored);
            }
            drop(turn);
            Ok::<_, PredictRefusal>(vectors)
        };
        let vectors = tokio::task::spawn_blocking(encode).await.map_err(JobError::from)??;
        for (row, v) in at.into_iter().zip(vectors) {
            all[row] = Some(v);
        }
        Ok(all)
    }
}

fn missing(field: Field, encoder: &str) -> PredictRefusal {
    PredictRefusal::NoEncoder { field: field.as_str(), encoder: encoder.to_owned() }
}
