//! Reads the 8-frame strips that `media` draws, so that a clip is decoded once and encoded often.

use std::io::Cursor;

use zune_jpeg::{
    JpegDecoder,
    zune_core::{colorspace::ColorSpace, options::DecoderOptions},
};

use super::{EncodeError, Result};
use crate::media::RgbFrame;

/// The square frames of a strip, left to right (about 10 CPU-ms for 8 of 224 px).
///
/// # Errors
/// [`EncodeError::Picture`] when the bytes are no JPEG of whole squares side by side.
pub fn split_strip(jpeg: &[u8]) -> Result<Vec<RgbFrame>> {
    let refuse = |message: String| EncodeError::Picture(message);
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_strict_mode(true)
        .set_max_width(65_535)
        .set_max_height(4_096);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(jpeg), options);
    let pixels = decoder.decode().map_err(|e| refuse(e.to_string()))?;
    let (width, side) = decoder.dimensions().ok_or_else(|| refuse("no dimensions".into()))?;
    if width % side != 0 || pixels.len() != 3 * width * side {
        return Err(refuse(format!("{width} x {side} px is not a row of RGB squares")));
    }
    let frame = |k: usize| {
        let mut data = Vec::with_capacity(3 * side * side);
        for row in pixels.chunks_exact(3 * width) {
            data.extend_from_slice(&row[3 * side * k..3 * side * (k + 1)]);
        }
        RgbFrame::new(side as u32, side as u32, data)
    };
    Ok((0..width / side).map(frame).collect())
}

/// `n` of the frames, spread evenly: those nearest to `(k + 1/2) / n`. All of them when there are
/// no more than `n`.
pub fn pick(frames: Vec<RgbFrame>, n: usize) -> Vec<RgbFrame> {
    let total = frames.len();
    if total <= n {
        return frames;
    }
    let wanted: Vec<usize> = (0..n).map(|k| (2 * k + 1) * total / (2 * n)).collect();
    frames.into_iter().enumerate().filter(|(i, _)| wanted.contains(i)).map(|(_, f)| f).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Decoder, Limits, fixtures};

    #[test]
    fn a_strip_falls_into_its_frames() {
        let dir = tempfile::tempdir().unwrap();
        let clip = fixtures::brightening(dir.path(), 2, "", "a.mp4");
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let decoder = Decoder::new(fixtures::ffmpeg(), Limits::default());
        let info = decoder.inspect_batch(&[clip], &out).remove(0).unwrap();
        let bytes = std::fs::read(info.strip).unwrap();
        let frames = split_strip(&bytes).unwrap();
        assert_eq!(frames.len(), 8);
        let means: Vec<u8> = frames.iter().map(|f| f.data[f.data.len() / 2]).collect();
        assert!(means.windows(2).all(|w| w[0] + 20 < w[1]), "left to right is early to late: {means:?}");

        assert_eq!(pick(frames.clone(), 4), [1, 3, 5, 7].map(|k: usize| frames[k].clone()));
        assert_eq!(pick(frames.clone(), 8), frames);
        assert!(split_strip(&bytes[..bytes.len() / 2]).is_err(), "half a strip");
        assert!(split_strip(b"no picture").is_err());
    }
}
