//! A sample: one short video with optional texts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The four sources of evidence about a sample. Each is embedded on its own and never merged at ingest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Frames,
    Title,
    Asr,
    Ocr,
}

impl Field {
    pub const ALL: [Field; 4] = [Self::Frames, Self::Title, Self::Asr, Self::Ocr];
    pub const TEXT: [Field; 3] = [Self::Title, Self::Asr, Self::Ocr];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Title => "title",
            Self::Asr => "asr",
            Self::Ocr => "ocr",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// One line read off the picture at `time` seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OcrLine {
    pub time: f64,
    pub text: String,
}

/// The texts of a sample; an empty string and an empty list mean "missing".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SampleText {
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub asr: String,
    #[serde(default)]
    pub ocr: Vec<OcrLine>,
}

impl SampleText {
    /// The text of one field as an encoder sees it; OCR lines in time order, joined by spaces,
    /// consecutive repeats dropped. `None` for frames and for missing text.
    pub fn field(&self, field: Field) -> Option<String> {
        let text = match field {
            Field::Frames => return None,
            Field::Title => self.title.trim().to_owned(),
            Field::Asr => self.asr.trim().to_owned(),
            Field::Ocr => {
                let mut lines: Vec<&OcrLine> = self.ocr.iter().collect();
                lines.sort_by(|a, b| a.time.total_cmp(&b.time));
                lines.dedup_by(|a, b| a.text == b.text);
                lines.iter().map(|l| l.text.trim()).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
            }
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Which part of the data a sample belongs to. `Unlabelled` follows from a missing given label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    Train,
    Validation,
    Test,
    Unlabelled,
}

impl Split {
    pub const ALL: [Split; 4] = [Self::Train, Self::Validation, Self::Test, Self::Unlabelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::Unlabelled => "unlabelled",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// What a sample lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// No current label.
    Label,
    Title,
    Asr,
    Ocr,
    /// No media came with it.
    Media,
    /// Its media cannot be decoded.
    BadMedia,
    /// Its media have not been looked at yet.
    MediaPending,
}

impl Gap {
    pub const ALL: [Gap; 7] =
        [Self::Label, Self::Title, Self::Asr, Self::Ocr, Self::Media, Self::BadMedia, Self::MediaPending];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Title => "title",
            Self::Asr => "asr",
            Self::Ocr => "ocr",
            Self::Media => "media",
            Self::BadMedia => "bad_media",
            Self::MediaPending => "media_pending",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// What became of a sample's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// No media came with the sample (texts only).
    None,
    /// Probed; poster, strip and duration are there.
    Ready,
    /// Precomputed frame features stand in for the media.
    Features,
    /// Could not be decoded; the reason is kept beside it.
    Bad,
}

impl MediaState {
    pub const ALL: [MediaState; 4] = [Self::None, Self::Ready, Self::Features, Self::Bad];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ready => "ready",
            Self::Features => "features",
            Self::Bad => "bad",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ocr_is_joined_in_time_order_without_repeats() {
        let line = |time, text: &str| OcrLine { time, text: text.into() };
        let t = SampleText {
            ocr: vec![line(2.0, "b"), line(1.0, "a"), line(1.5, "a"), line(3.0, " ")],
            ..Default::default()
        };
        assert_eq!(t.field(Field::Ocr).as_deref(), Some("a b"));
        assert_eq!(t.field(Field::Title), None);
    }
}
