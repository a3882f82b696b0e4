//! What a bundle is made of: the encoders that a training's models read, on this machine, and how its metadata say
//! what goes in.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use crate::domain::Field;
use crate::encode::{Kind, Layout, Manifest, OrtTextEncoder, Pooling, Resize, Shape};
use crate::jobs::inputs::TextReads;
use crate::jobs::predict::Served;
use crate::jobs::vectors::Block;
use crate::jobs::{JobError, Services, encoders};
use crate::store::trainings::Training;
use crate::train::onnx::{
    Bundle, BundleMember, FRAMES_LIVE, PIXELS, PictureEncoder, Pooled, Reads, SentenceEncoder, Source,
    TEXT_IDS, TEXT_LENGTHS, TOKEN_KINDS, TOKENS, input_name,
};

/// A bundle to be written, and what feeds it.
pub(super) struct Parts {
    pub(super) bundle: Bundle,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) pictures: Vec<Manifest>,
    pub(super) sentences: Vec<Sentences>,
    pub(super) texts: Vec<Arc<TextReads>>,
    /// Inputs that come from encoders that are no ONNX models, by name.
    pub(super) vectors: Vec<(String, Block)>,
}

/// A text encoder and the fields that it reads.
pub(super) struct Sentences {
    manifest: Manifest,
    pub(super) encoder: Arc<OrtTextEncoder>,
    tokenizer: String,
    pub(super) fields: Vec<Field>,
}

impl Parts {
    pub(super) async fn of(
        services: &Services,
        dataset: Uuid,
        training: &Training,
        models: &Served,
    ) -> Result<Self, JobError> {
        let bundle = Bundle {
            pictures: Vec::new(),
            sentences: Vec::new(),
            tokens: 0,
            members: Vec::new(),
            classes: models.classes.len(),
        };
        let mut parts = Self {
            bundle,
            metadata: Vec::new(),
            pictures: Vec::new(),
            sentences: Vec::new(),
            texts: Vec::new(),
            vectors: Vec::new(),
        };
        for (member, file) in models.members.iter().zip(&training.models.0) {
            let reads = match member.model.shape() {
                Shape::Pooled { .. } => {
                    let mut blocks: Vec<&Block> = member.blocks.iter().collect();
                    blocks.sort_by_key(|b| b.start);
                    let mut sources = Vec::with_capacity(blocks.len());
                    for block in blocks {
                        sources.push(parts.source(services, dataset, block).await?);
                    }
                    Reads::Pooled(sources)
                }
                Shape::Sequence { frames, .. } => {
                    let frames = match (frames, member.blocks.first()) {
                        (Some((count, _)), Some(block)) => {
                            Some((parts.picture(services, block).await?, count))
                        }
                        _ => None,
                    };
                    let tokens = member.text.as_ref().map(|t| parts.text(t));
                    Reads::Sequence { frames, tokens }
                }
            };
            let bytes = services.blobs.get(&file.blob).await?;
            parts.bundle.members.push(BundleMember { file: bytes, weight: file.weight, reads });
        }
        parts.bundle.tokens = parts.texts.len();
        for s in &parts.sentences {
            let (_, files) = encoders::files(services, Kind::Text, &s.manifest.version())
                .await?
                .ok_or_else(|| missing(&s.manifest.version()))?;
            let part = sentence_encoder(s, tokio::fs::read(&files.model).await?)?;
            parts.bundle.sentences.push(part);
        }
        parts.metadata = parts.described(training, models);
        Ok(parts)
    }

    async fn source(
        &mut self,
        services: &Services,
        dataset: Uuid,
        block: &Block,
    ) -> Result<Source, JobError> {
        if block.field == Field::Frames {
            return Ok(Source::Pictures(self.picture(services, block).await?));
        }
        let fitted = encoders::fitted_blob(dataset, block.field, &block.encoder);
        if services.blobs.exists(&fitted).await? {
            let name = format!("{}_vector", block.field.as_str());
            if !self.vectors.iter().any(|(n, _)| *n == name) {
                self.vectors.push((name.clone(), block.clone()));
            }
            return Ok(Source::Vector { name, dimension: block.dimension });
        }
        let encoder = match self.sentences.iter().position(|s| s.manifest.version() == block.encoder) {
            Some(at) => at,
            None => {
                self.sentences.push(sentences(services, block).await?);
                self.sentences.len() - 1
            }
        };
        let fields = &mut self.sentences[encoder].fields;
        let field = match fields.iter().position(|f| *f == block.field) {
            Some(at) => at,
            None => {
                fields.push(block.field);
                fields.len() - 1
            }
        };
        Ok(Source::Text { encoder, field })
    }

    async fn picture(&mut self, services: &Services, block: &Block) -> Result<usize, JobError> {
        if let Some(at) = self.pictures.iter().position(|m| m.version() == block.encoder) {
            return Ok(at);
        }
        let (manifest, files) = encoders::files(services, Kind::Image, &block.encoder)
            .await?
            .ok_or_else(|| missing(&block.encoder))?;
        let Some(spec) = manifest.image.as_ref().filter(|s| !s.layout.is_video()) else {
            return Err(JobError::failed("bundle_video_encoder", &[("encoder", &block.encoder)]));
        };
        self.bundle.pictures.push(PictureEncoder {
            name: manifest.name.clone(),
            file: tokio::fs::read(&files.model).await?,
            input: manifest.input.name.clone(),
            output: manifest.output.name.clone(),
            side: spec.size as usize,
            frames: spec.frames,
            channels_last: spec.layout == Layout::Nhwc,
            mean: spec.mean,
            std: spec.std,
            dimension: manifest.dimension,
        });
        self.pictures.push(manifest);
        Ok(self.pictures.len() - 1)
    }

    fn text(&mut self, reads: &Arc<TextReads>) -> usize {
        match self.texts.iter().position(|t| t == reads) {
            Some(at) => at,
            None => {
                self.texts.push(reads.clone());
                self.texts.len() - 1
            }
        }
    }

    /// What goes in, as the file says it.
    fn described(&self, training: &Training, models: &Served) -> Vec<(String, String)> {
        let of = (self.pictures.len(), self.sentences.len(), self.texts.len());
        let pictures = self.pictures.iter().enumerate().filter_map(|(i, m)| {
            let spec = m.image.as_ref()?;
            let resize = match spec.resize {
                Resize::Crop => "crop",
                Resize::Stretch => "stretch",
                Resize::Pad => "pad",
            };
            Some(json!({"pixels": input_name(PIXELS, i, of.0), "live": input_name(FRAMES_LIVE, i, of.0),
                "encoder": m.version(), "side": spec.size, "frames": spec.frames, "resize": resize}))
        });
        let sentences = self.sentences.iter().enumerate().filter_map(|(i, s)| {
            let spec = s.manifest.text.as_ref()?;
            Some(json!({"ids": input_name(TEXT_IDS, i, of.1), "lengths": input_name(TEXT_LENGTHS, i, of.1),
                "encoder": s.manifest.version(), "fields": s.fields, "max_tokens": spec.max_tokens,
                "prefix": spec.prefix, "tokenizer": format!("tokenizer.{i}")}))
        });
        let tokens = (0..of.2).map(|i| {
            json!({"ids": input_name(TOKENS, i, of.2), "kinds": input_name(TOKEN_KINDS, i, of.2),
                "text": format!("text.{i}")})
        });
        let vectors = self.vectors.iter().map(|(name, b)| {
            json!({"input": name, "field": b.field, "encoder": b.encoder, "dimension": b.dimension})
        });
        let about = json!({"pictures": pictures.collect::<Vec<_>>(), "sentences": sentences.collect::<Vec<_>>(),
            "tokens": tokens.collect::<Vec<_>>(), "vectors": vectors.collect::<Vec<_>>()});
        let mut all = vec![
            ("classes".to_owned(), json!(models.classes).to_string()),
            ("taxonomy_hash".to_owned(), models.taxonomy_hash.clone()),
            ("snapshot".to_owned(), training.snapshot_id.clone()),
            ("training".to_owned(), training.id.to_string()),
            ("recipe".to_owned(), training.recipe.to_string()),
            ("bundle".to_owned(), about.to_string()),
        ];
        for (i, s) in self.sentences.iter().enumerate() {
            all.push((format!("tokenizer.{i}"), s.tokenizer.clone()));
        }
        for (i, t) in self.texts.iter().enumerate() {
            all.push((format!("text.{i}"), json!(**t).to_string()));
        }
        all
    }
}

fn missing(encoder: &str) -> JobError {
    JobError::failed("bundle_encoder", &[("encoder", &encoder)])
}

async fn sentences(services: &Services, block: &Block) -> Result<Sentences, JobError> {
    let version = &block.encoder;
    let (manifest, files) =
        encoders::files(services, Kind::Text, version).await?.ok_or_else(|| missing(version))?;
    let encoder = encoders::sentence(services, version).await?.ok_or_else(|| missing(version))?;
    let tokenizer = match &files.tokenizer {
        Some(path) => tokio::fs::read_to_string(path).await?,
        None => String::new(),
    };
    Ok(Sentences { manifest, encoder, tokenizer, fields: Vec::new() })
}

fn sentence_encoder(s: &Sentences, file: Vec<u8>) -> Result<SentenceEncoder, JobError> {
    let m = &s.manifest;
    let spec = m.text.as_ref().ok_or_else(|| missing(&m.version()))?;
    Ok(SentenceEncoder {
        name: m.name.clone(),
        file,
        ids: spec.inputs.ids.clone(),
        lengths: spec.inputs.lengths.clone(),
        attention_mask: spec.inputs.attention_mask.clone(),
        token_type_ids: spec.inputs.token_type_ids.clone(),
        wide: s.encoder.is_wide(),
        output: m.output.name.clone(),
        pooled: match spec.pooling {
            Pooling::None => Pooled::Already,
            Pooling::Mean => Pooled::Mean,
            Pooling::Cls => Pooled::First,
        },
        dimension: m.dimension,
        fields: s.fields.len(),
    })
}
