//! Why a clip gave no frames. The code is stable and keys the wording shown to people; the message
//! is what the decoder said, without paths, for the log and the details.

use std::fmt;

/// Stable reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaErrorCode {
    /// Zero bytes.
    EmptyFile,
    /// The bytes are no video container (text, a document, random bytes).
    NotVideo,
    /// A container without a moving picture (sound only, cover art only).
    NoVideoStream,
    /// A known container, but damaged or not decodable.
    DecodeFailed,
    /// The decoder used up its wall-clock or CPU time.
    TimedOut,
    /// File, picture or output beyond the limits.
    TooLarge,
    /// A picture, sound or playlist format, or a codec, that is not accepted.
    UnsupportedFormat,
    /// The file could not be read (missing, a folder, no permission).
    Unreadable,
    /// The decoder itself could not be started: says nothing about the clip.
    DecoderUnavailable,
}

impl MediaErrorCode {
    pub const ALL: [Self; 9] = [
        Self::EmptyFile,
        Self::NotVideo,
        Self::NoVideoStream,
        Self::DecodeFailed,
        Self::TimedOut,
        Self::TooLarge,
        Self::UnsupportedFormat,
        Self::Unreadable,
        Self::DecoderUnavailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyFile => "empty_file",
            Self::NotVideo => "not_video",
            Self::NoVideoStream => "no_video_stream",
            Self::DecodeFailed => "decode_failed",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Unreadable => "unreadable",
            Self::DecoderUnavailable => "decoder_unavailable",
        }
    }

    /// False when the fault lies with this machine, so that the sample must not be marked as bad
    /// media and the work should be tried again.
    pub fn is_about_the_clip(self) -> bool {
        !matches!(self, Self::DecoderUnavailable)
    }
}

/// One clip's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaError {
    pub code: MediaErrorCode,
    /// At most 300 characters, free of file paths; may be in the decoder's own words.
    pub message: String,
}

impl MediaError {
    pub(crate) fn new(code: MediaErrorCode, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self { code, message: message.chars().filter(|c| !c.is_control()).take(300).collect() }
    }
}

impl fmt::Display for MediaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for MediaError {}
