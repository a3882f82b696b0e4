//! Stored samples as a bundle reads them, from their pictures and texts.

use std::collections::HashMap;

use uuid::Uuid;

use super::parts::Parts;
use crate::domain::SampleText;
use crate::encode::{ImageSpec, NamedInput, Values, pick, split_strip, squares};
use crate::jobs::{JobError, Services, encoders, inputs, media, vectors};
use crate::media::{RgbFrame, STRIP_FRAMES, STRIP_SIDE};
use crate::store::samples::MediaRow;
use crate::train::onnx::{FRAMES_LIVE, PIXELS, TEXT_IDS, TEXT_LENGTHS, TOKEN_KINDS, TOKENS, input_name};

pub(super) struct Trial<'a> {
    pub(super) services: &'a Services,
    pub(super) dataset: Uuid,
    pub(super) parts: &'a Parts,
}

impl Trial<'_> {
    /// Every input of the bundle for these samples.
    pub(super) async fn inputs(&self, samples: &[i64]) -> Result<Vec<NamedInput>, JobError> {
        let (store, parts) = (&self.services.store, self.parts);
        let mut all = Vec::new();
        if !parts.pictures.is_empty() {
            let rows = store.media_of(self.dataset, samples).await?;
            for (i, manifest) in parts.pictures.iter().enumerate() {
                let Some(spec) = &manifest.image else { continue };
                all.extend(self.pictures(samples, &rows, spec, (i, parts.pictures.len())).await?);
            }
        }
        let texts: HashMap<i64, SampleText> =
            store.texts_of(self.dataset, samples).await?.into_iter().map(|t| (t.id, t.text)).collect();
        let texts: Vec<SampleText> =
            samples.iter().map(|id| texts.get(id).cloned().unwrap_or_default()).collect();
        all.extend(self.sentences(&texts)?);
        all.extend(self.tokens(&texts));
        for (name, block) in &parts.vectors {
            let block = vectors::Block { start: 0, ..block.clone() };
            let shape = vec![samples.len(), block.dimension];
            let x = vectors::stored(self.services, self.dataset, samples, vec![block]).await?.matrix;
            all.push(NamedInput {
                name: name.clone(),
                shape,
                values: Values::Floats(x.into_iter().collect()),
            });
        }
        Ok(all)
    }

    async fn pictures(
        &self,
        samples: &[i64],
        rows: &[MediaRow],
        spec: &ImageSpec,
        (at, of): (usize, usize),
    ) -> Result<[NamedInput; 2], JobError> {
        let scratch = self.services.scratch()?;
        let decoder = media::decoder(self.services)?;
        let each = spec.size as usize * spec.size as usize * 3;
        let mut pixels = vec![0u8; samples.len() * spec.frames * each];
        let mut live = vec![0f32; samples.len() * spec.frames];
        for (i, id) in samples.iter().enumerate() {
            let Some(row) = rows.iter().find(|r| r.id == *id) else { continue };
            let frames: Vec<RgbFrame> = if spec.reads_strip(STRIP_FRAMES, STRIP_SIDE) {
                let strip = self.services.blobs.get(row.strip_blob.as_deref().unwrap_or_default()).await?;
                pick(split_strip(&strip).map_err(encoders::failed)?, spec.frames)
            } else {
                let blob = row.media_blob.as_deref().unwrap_or_default();
                let clip = self.services.blobs.local_copy(blob, scratch.path()).await?;
                let (decoder, n, size) = (decoder.clone(), spec.frames, spec.size);
                tokio::task::spawn_blocking(move || decoder.frames(&clip, n, size))
                    .await?
                    .map_err(|e| JobError::failed("clip_lost", &[("why", &e)]))?
            };
            let frames = &frames[..frames.len().min(spec.frames)];
            let from = i * spec.frames * each;
            let bytes = squares(frames, spec);
            pixels[from..from + bytes.len()].copy_from_slice(&bytes);
            live[i * spec.frames..][..frames.len()].fill(1.0);
        }
        let side = spec.size as usize;
        let shape = vec![samples.len(), spec.frames, side, side, 3];
        Ok([
            NamedInput { name: input_name(PIXELS, at, of), shape, values: Values::Bytes(pixels) },
            NamedInput {
                name: input_name(FRAMES_LIVE, at, of),
                shape: vec![samples.len(), spec.frames],
                values: Values::Floats(live),
            },
        ])
    }

    fn sentences(&self, texts: &[SampleText]) -> Result<Vec<NamedInput>, JobError> {
        let (mut all, of) = (Vec::new(), self.parts.sentences.len());
        for (at, s) in self.parts.sentences.iter().enumerate() {
            let mut rows: Vec<Vec<i64>> = Vec::with_capacity(texts.len() * s.fields.len());
            for text in texts {
                for field in &s.fields {
                    rows.push(match text.field(*field) {
                        Some(t) => s.encoder.tokens(&t).map_err(encoders::failed)?,
                        None => Vec::new(),
                    });
                }
            }
            let (n, fields) = (texts.len(), s.fields.len());
            let longest = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
            let lengths = rows.iter().map(|r| r.len() as i64).collect();
            let mut ids = Vec::with_capacity(rows.len() * longest);
            for row in rows {
                let until = ids.len() + longest;
                ids.extend(row);
                ids.resize(until, 0);
            }
            all.push(NamedInput {
                name: input_name(TEXT_IDS, at, of),
                shape: vec![n, fields, longest],
                values: Values::Whole(ids),
            });
            all.push(NamedInput {
                name: input_name(TEXT_LENGTHS, at, of),
                shape: vec![n, fields],
                values: Values::Whole(lengths),
            });
        }
        Ok(all)
    }

    fn tokens(&self, texts: &[SampleText]) -> Vec<NamedInput> {
        let (mut all, of) = (Vec::new(), self.parts.texts.len());
        for (at, reads) in self.parts.texts.iter().enumerate() {
            let rows: Vec<_> = texts
                .iter()
                .map(|t| reads.vocabulary.tokens(&inputs::cut(t, reads.vocabulary.unit()), &reads.budget))
                .collect();
            let longest = rows.iter().map(|t| t.ids.len()).max().unwrap_or(0).max(1);
            let shape = vec![texts.len(), longest];
            let (mut ids, mut kinds) = (Vec::new(), Vec::new());
            for row in &rows {
                let until = ids.len() + longest;
                ids.extend(row.ids.iter().map(|i| i64::from(*i)));
                kinds.extend(row.kinds.iter().map(|k| i64::from(*k)));
                ids.resize(until, 0);
                kinds.resize(until, 0);
            }
            for (base, values) in [(TOKENS, ids), (TOKEN_KINDS, kinds)] {
                let name = input_name(base, at, of);
                all.push(NamedInput { name, shape: shape.clone(), values: Values::Whole(values) });
            }
        }
        all
    }
}
