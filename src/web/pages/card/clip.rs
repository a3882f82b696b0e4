//! The sample itself: the clip with its frames, its texts, and where it stands.

use super::Sight;
use crate::domain::{LabelSource, MediaState};
use crate::store::samples::Sample;
use crate::web::pages::reader::{clock, moment_in};
use crate::web::pages::samples::by_rules;
use crate::web::pages::{Reader, address};

/// Frames in a strip, left to right, each from the middle of its part of the clip.
const STRIP_FRAMES: usize = 8;

pub(crate) struct ClipView {
    pub(crate) external_id: String,
    pub(crate) title: String,
    pub(crate) asr: String,
    pub(crate) ocr: Vec<OcrView>,
    pub(crate) split: String,
    pub(crate) video: Option<String>,
    pub(crate) poster: String,
    pub(crate) strip: String,
    /// Frames a second; empty when unknown.
    pub(crate) fps: String,
    pub(crate) size: String,
    /// Why there is nothing to play.
    pub(crate) no_video: Option<String>,
    pub(crate) frames: Vec<FrameView>,
    /// What rules did to it, worded.
    pub(crate) by_rules: Vec<String>,
}

pub(crate) struct OcrView {
    pub(crate) seconds: String,
    pub(crate) clock: String,
    pub(crate) text: String,
}

pub(crate) struct FrameView {
    pub(crate) seconds: String,
    pub(crate) label: String,
}

impl ClipView {
    pub(super) fn of(page: &Reader, dataset: &str, s: &Sample) -> Self {
        let lang = page.lang;
        let media = |kind: &str| format!("/{kind}/{}/{}", address::part(dataset), s.id);
        let ms = s.duration_ms.unwrap_or(0);
        let seconds = |t: f64| format!("{t:.2}");
        let mut ocr: Vec<OcrView> = s
            .text
            .ocr
            .iter()
            .map(|l| OcrView {
                seconds: seconds(l.time),
                clock: moment_in((l.time * 1000.0) as i64, i64::from(ms)),
                text: l.text.clone(),
            })
            .collect();
        ocr.dedup_by(|a, b| a.text == b.text);
        let no_video = match s.media_state {
            MediaState::Ready => None,
            MediaState::None if s.media_blob.is_some() => Some(lang.text("media.pending").to_owned()),
            MediaState::None => Some(lang.text("media.none").to_owned()),
            MediaState::Features => Some(lang.text("media.features").to_owned()),
            MediaState::Bad => {
                let code = s.media_error.as_deref().unwrap_or("");
                let why = lang.find(&format!("media_error.{code}")).unwrap_or(code);
                Some(lang.fill("media.bad", &[("why", why)]))
            }
        };
        Self {
            external_id: s.external_id.clone(),
            title: s.text.title.clone(),
            asr: s.text.asr.clone(),
            ocr,
            split: lang.text(&format!("split.{}", s.split.as_str())).to_owned(),
            video: (s.media_state == MediaState::Ready).then(|| media("media")),
            poster: media("poster"),
            strip: media("strip"),
            fps: s.fps.map(|f| format!("{f:.3}")).unwrap_or_default(),
            size: match (s.width, s.height) {
                (Some(w), Some(h)) => format!("{w} × {h} · {}", clock(i64::from(ms))),
                _ => clock(i64::from(ms)),
            },
            no_video,
            frames: (0..STRIP_FRAMES)
                .map(|k| {
                    let at = (k as f64 + 0.5) / STRIP_FRAMES as f64 * f64::from(ms) / 1000.0;
                    let shown = moment_in((at * 1000.0) as i64, i64::from(ms));
                    FrameView {
                        seconds: seconds(at),
                        label: lang.fill("player.seek_to", &[("time", &shown)]),
                    }
                })
                .collect(),
            by_rules: by_rules(page, s),
        }
    }
}

/// The label that is shown as the sample's. Without what people said: the one from before they did.
pub(super) fn label(s: &Sample, sight: Sight) -> Option<&str> {
    let by_people = matches!(
        s.label_source,
        Some(LabelSource::Annotator | LabelSource::Consensus | LabelSource::Adjudicated)
    );
    if by_people && !sight.people { s.given_class.as_deref() } else { s.current_class.as_deref() }
}
