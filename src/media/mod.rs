//! Untrusted clips in, small trusted pictures out: probing, frame sampling, posters, strips.
//! Everything that parses a container or a codec runs in a confined `ffmpeg` child (see
//! `sandbox.rs`) with limits on time, memory, output, files and protocols. Only `ffmpeg` is
//! needed, never `ffprobe`. Blocking: call it from worker threads, not from async ones. This room
//! knows no database and no web.

mod decoder;
mod error;
mod explain;
mod frame;
mod graph;
mod output;
mod probe;
mod sandbox;
mod sniff;

pub use decoder::{Decoder, MediaInfo, STRIP_FRAMES, STRIP_SIDE};
pub use error::{MediaError, MediaErrorCode};
pub use frame::RgbFrame;
pub use sandbox::{Enforcement, Limits};
pub use sniff::sniff;

#[cfg(test)]
pub(crate) mod fixtures;
