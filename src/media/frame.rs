//! A decoded picture: what `media` hands to `encode`.

/// 8-bit RGB, row-major, top row first, channels interleaved: `data.len() == 3 * width * height`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbFrame {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

impl RgbFrame {
    /// # Panics
    /// When `data` does not hold exactly `3 * width * height` bytes.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Self {
        assert_eq!(data.len(), 3 * width as usize * height as usize, "an RGB frame holds 3 bytes a pixel");
        Self { width, height, data }
    }
}
