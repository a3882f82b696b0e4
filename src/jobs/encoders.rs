//! Encoders, loaded when first needed and kept: the configured ones for what is to be stored, any by its version
//! for what a trained model reads. The same numbers come of both ways.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services, media};
use crate::config::Config;
use crate::domain::{Field, Note};
use crate::encode::{
    EncodeError, HashedTfIdf, Kind, Manifest, OrtImageEncoder, OrtTextEncoder, Provider, Registry, Runtime,
    TextEncoder, pick, split_strip,
};
use crate::media::{Decoder, RgbFrame, STRIP_FRAMES, STRIP_SIDE};

/// Encoders that are loaded. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Encoders {
    kept: Arc<Mutex<Kept>>,
    /// Requests that decode and encode at once; others wait.
    pub(super) turns: Arc<Semaphore>,
}

#[derive(Default)]
struct Kept {
    images: Vec<Arc<OrtImageEncoder>>,
    texts: Vec<Arc<OrtTextEncoder>>,
    /// By the blob of their state.
    fitted: Vec<(String, Arc<HashedTfIdf>)>,
}

/// Fitted encoders kept: three fields of some datasets.
const FITTED: usize = 12;

impl Encoders {
    pub(super) fn new(config: &Config) -> Self {
        let turns = Semaphore::new(media::sessions(config));
        Self { kept: Arc::default(), turns: Arc::new(turns) }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is configured, as far as it is installed.
pub(super) struct Configured {
    pub(super) image: Option<Arc<OrtImageEncoder>>,
    pub(super) text: Option<Arc<OrtTextEncoder>>,
}

/// The configured encoders, as far as they are installed; what is not is said in the log.
pub(super) async fn configured(services: &Services, progress: &Progress) -> Result<Configured, JobError> {
    let s = services.clone();
    let (configured, notes) = tokio::task::spawn_blocking(move || -> Result<_, JobError> {
        let mut notes: Vec<Note> = Vec::new();
        let mut configured = Configured { image: None, text: None };
        let Some(loader) = Loader::open(&s)? else {
            notes.push(Note::new("no_runtime"));
            return Ok((configured, notes));
        };
        let config = &s.config.encode;
        configured.image = loader.named(&config.image, &mut notes, |m| loader.image(m))?;
        configured.text = loader.named(&config.text, &mut notes, |m| loader.text(m))?;
        Ok((configured, notes))
    })
    .await??;
    for note in notes {
        progress.log("warn", note).await?;
    }
    Ok(configured)
}

pub(super) fn failed(e: EncodeError) -> JobError {
    JobError::broke("stage.load_encoders", e)
}

/// Loads encoders of this machine. Blocking.
struct Loader<'a> {
    services: &'a Services,
    runtime: Runtime,
    registry: Registry,
}

impl<'a> Loader<'a> {
    /// None without ONNX Runtime.
    fn open(services: &'a Services) -> Result<Option<Self>, JobError> {
        let Some(dylib) = &services.native.onnxruntime else { return Ok(None) };
        let config = &services.config.encode;
        let providers: Vec<Provider> = Provider::parse(&config.provider).into_iter().collect();
        let runtime = Runtime::load(dylib, config.intra_threads, &providers).map_err(failed)?;
        Ok(Some(Self { services, runtime, registry: Registry::open(&services.native.model_dirs) }))
    }

    /// An altered model is refused loudly; one that is not installed is done without.
    fn named<T>(
        &self,
        name: &str,
        notes: &mut Vec<Note>,
        load: impl FnOnce(&Manifest) -> Result<Arc<T>, EncodeError>,
    ) -> Result<Option<Arc<T>>, JobError> {
        if name.is_empty() {
            return Ok(None);
        }
        let Some(manifest) = self.registry.get(name) else {
            notes.push(Note::new("encoder_unknown").with("name", name));
            return Ok(None);
        };
        match load(manifest) {
            Ok(encoder) => Ok(Some(encoder)),
            Err(e @ EncodeError::FileMissing { .. }) => {
                notes.push(Note::new("encoder_missing").with("name", name).with("why", e));
                Ok(None)
            }
            Err(e) => Err(failed(e)),
        }
    }

    fn image(&self, manifest: &Manifest) -> Result<Arc<OrtImageEncoder>, EncodeError> {
        use crate::encode::ImageEncoder;
        let (encoders, version) = (&self.services.encoders, manifest.version());
        if let Some(kept) = encoders.kept().images.iter().find(|e| e.version() == version) {
            return Ok(kept.clone());
        }
        let sessions = media::sessions(&self.services.config);
        let loaded = Arc::new(OrtImageEncoder::new(&self.runtime, manifest, self.registry.dirs(), sessions)?);
        encoders.kept().images.push(loaded.clone());
        Ok(loaded)
    }

    fn text(&self, manifest: &Manifest) -> Result<Arc<OrtTextEncoder>, EncodeError> {
        let (encoders, version) = (&self.services.encoders, manifest.version());
        if let Some(kept) = encoders.kept().texts.iter().find(|e| e.version() == version) {
            return Ok(kept.clone());
        }
        let sessions = media::sessions(&self.services.config);
        let loaded = Arc::new(OrtTextEncoder::new(&self.runtime, manifest, self.registry.dirs(), sessions)?);
        encoders.kept().texts.push(loaded.clone());
        Ok(loaded)
    }

    /// The manifest of exactly this version.
    fn manifest(&self, kind: Kind, version: &str) -> Option<&Manifest> {
        self.registry.of_kind(kind).find(|m| m.version() == version)
    }
}

/// The image encoder of this version (`name@digest`); none where this machine does not have it.
pub(super) async fn image(
    services: &Services,
    version: &str,
) -> Result<Option<Arc<OrtImageEncoder>>, JobError> {
    let (s, version) = (services.clone(), version.to_owned());
    let load = move || {
        let Some(loader) = Loader::open(&s)? else { return Ok(None) };
        let manifest = loader.manifest(Kind::Image, &version);
        manifest.map(|m| loader.image(m)).transpose().map_err(failed)
    };
    tokio::task::spawn_blocking(load).await?
}

/// The text encoder of this version: a pretrained one, or the one that was fitted to this field of the dataset then;
/// none where it is not there any more.
pub(super) async fn text(
    services: &Services,
    dataset: Uuid,
    field: Field,
    version: &str,
) -> Result<Option<Arc<dyn TextEncoder>>, JobError> {
    let blob = fitted_blob(dataset, field, version);
    if let Some((_, kept)) = services.encoders.kept().fitted.iter().find(|(b, _)| *b == blob) {
        return Ok(Some(kept.clone()));
    }
    if services.blobs.exists(&blob).await? {
        let encoder = Arc::new(HashedTfIdf::from_bytes(&services.blobs.get(&blob).await?).map_err(failed)?);
        let mut kept = services.encoders.kept();
        if kept.fitted.len() == FITTED {
            kept.fitted.remove(0);
        }
        kept.fitted.push((blob, encoder.clone()));
        return Ok(Some(encoder));
    }
    Ok(sentence(services, version).await?.map(|encoder| encoder as Arc<dyn TextEncoder>))
}

/// The pretrained text encoder of this version; none where this machine does not have it.
pub(super) async fn sentence(
    services: &Services,
    version: &str,
) -> Result<Option<Arc<OrtTextEncoder>>, JobError> {
    let (s, version) = (services.clone(), version.to_owned());
    let load = move || {
        let Some(loader) = Loader::open(&s)? else { return Ok(None) };
        let manifest = loader.manifest(Kind::Text, &version);
        manifest.map(|m| loader.text(m)).transpose().map_err(failed)
    };
    tokio::task::spawn_blocking(load).await?
}

/// The files of an encoder of this version, for putting it into another model; none where this machine does not have
/// it.
pub(super) async fn files(
    services: &Services,
    kind: Kind,
    version: &str,
) -> Result<Option<(Manifest, crate::encode::Verified)>, JobError> {
    let (dirs, version) = (services.native.model_dirs.clone(), version.to_owned());
    let find = move || {
        let registry = Registry::open(&dirs);
        let Some(manifest) = registry.of_kind(kind).find(|m| m.version() == version) else { return Ok(None) };
        match manifest.verify(registry.dirs()) {
            Ok(files) => Ok(Some((manifest.clone(), files))),
            Err(EncodeError::FileMissing { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    };
    tokio::task::spawn_blocking(find).await?
}

/// Where the state of an encoder that was fitted to a field is kept; those of before stay.
pub(super) fn fitted_blob(dataset: Uuid, field: Field, version: &str) -> String {
    format!("fitted/{}/{}/{}.bin", dataset.simple(), field.as_str(), version.replace(['@', '/'], "-"))
}

/// Where the frames of a clip come from: the strip when it is big enough, else the clip itself.
pub(super) enum Source {
    /// A JPEG.
    Strip(Vec<u8>),
    Clip(std::path::PathBuf),
}

/// Whether the strip holds all that the encoder reads.
pub(super) fn reads_strip(encoder: &OrtImageEncoder) -> bool {
    encoder.spec().reads_strip(STRIP_FRAMES, STRIP_SIDE)
}

impl Source {
    /// The frames that the encoder reads.
    pub(super) fn frames(
        &self,
        encoder: &OrtImageEncoder,
        decoder: Option<&Decoder>,
    ) -> Result<Vec<RgbFrame>, JobError> {
        let spec = encoder.spec();
        match self {
            Self::Strip(jpeg) => Ok(pick(split_strip(jpeg).map_err(failed)?, spec.frames)),
            Self::Clip(path) => {
                let decoder = decoder.ok_or_else(|| JobError::failed("decoder_missing", &[]))?;
                decoder
                    .frames(path, spec.frames, spec.size)
                    .map_err(|e| JobError::failed("clip_lost", &[("why", &e)]))
            }
        }
    }
}

/// Mean (of unit length) and per-frame vectors of clips, with the brightness of each in [0, 1]. Blocking; uses all
/// threads.
pub(super) fn encode_frames(
    encoder: &OrtImageEncoder,
    sources: &[Source],
    decoder: Option<&Decoder>,
) -> Result<Vec<(crate::encode::ClipVectors, f32)>, JobError> {
    // two clips a call: big enough for the runtime's batches, small enough to share over cores
    let pairs = sources.par_chunks(2).map(|pair| {
        let frames = pair.iter().map(|s| s.frames(encoder, decoder)).collect::<Result<Vec<_>, JobError>>()?;
        let brightness: Vec<f32> = frames.iter().map(|f| brightness(f)).collect();
        let mut vectors = crate::encode::encode_clips(encoder, frames).map_err(failed)?;
        for v in &mut vectors {
            let mut mean = std::mem::take(&mut v.mean).insert_axis(ndarray::Axis(0));
            crate::encode::normalize_rows(&mut mean);
            v.mean = mean.remove_axis(ndarray::Axis(0));
        }
        Ok(vectors.into_iter().zip(brightness).collect::<Vec<_>>())
    });
    let pairs = pairs.collect::<Result<Vec<_>, JobError>>()?;
    Ok(pairs.into_iter().flatten().collect())
}

/// Mean over the frames of a clip, in [0, 1].
fn brightness(frames: &[RgbFrame]) -> f32 {
    frames.iter().map(RgbFrame::brightness).sum::<f32>() / frames.len().max(1) as f32
}
