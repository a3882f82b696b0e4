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

    /// Mean luma of all pixels in [0, 1] (ITU-R BT.709 weights on the coded values).
    pub fn brightness(&self) -> f32 {
        let sum = |channel: usize| -> u64 {
            self.data.iter().skip(channel).step_by(3).map(|v| u64::from(*v)).sum()
        };
        let luma = 0.2126 * sum(0) as f64 + 0.7152 * sum(1) as f64 + 0.0722 * sum(2) as f64;
        (luma / (255.0 * (self.data.len() / 3).max(1) as f64)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_by_hand() {
        assert_eq!(RgbFrame::new(1, 1, vec![255, 255, 255]).brightness(), 1.0);
        // a red and a black pixel
        assert!((RgbFrame::new(2, 1, vec![255, 0, 0, 0, 0, 0]).brightness() - 0.1063).abs() < 1e-6);
        assert_eq!(RgbFrame::new(0, 0, vec![]).brightness(), 0.0);
    }
}
