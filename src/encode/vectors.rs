//! Small sums over rows: means, unit length, and encoding many clips in full batches.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::{ImageEncoder, Result};
use crate::media::RgbFrame;

/// What is stored of a clip's pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipVectors {
    /// One row a frame (one in all for video encoders).
    pub frames: Array2<f32>,
    /// Mean of the rows, not rescaled.
    pub mean: Array1<f32>,
}

/// Encodes several clips in one call, so that the encoder sees full batches; results in order.
/// A clip without frames gets no rows and a zero mean.
///
/// # Errors
/// Those of the encoder.
pub fn encode_clips(encoder: &dyn ImageEncoder, clips: Vec<Vec<RgbFrame>>) -> Result<Vec<ClipVectors>> {
    let per_row = encoder.frames_per_row();
    let rows: Vec<usize> = clips.iter().map(|c| c.len() / per_row).collect();
    let frames: Vec<RgbFrame> = clips.into_iter().flatten().collect();
    let all = encoder.encode(&frames)?;
    let mut start = 0;
    Ok(rows
        .into_iter()
        .map(|n| {
            let frames = all.slice(s![start..start + n, ..]).to_owned();
            start += n;
            ClipVectors { mean: mean_row(frames.view()), frames }
        })
        .collect())
}

/// Mean over the rows; zero when there are none.
pub fn mean_row(rows: ArrayView2<'_, f32>) -> Array1<f32> {
    rows.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(rows.ncols()))
}

/// Scales every row to unit length; zero rows stay zero.
pub fn normalize_rows(rows: &mut Array2<f32>) {
    for mut row in rows.rows_mut() {
        let norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.mapv_inplace(|v| (f64::from(v) / norm) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// Encodes a frame as its first two bytes.
    struct FirstBytes;

    impl ImageEncoder for FirstBytes {
        fn version(&self) -> &str {
            "first-bytes@0"
        }

        fn dimension(&self) -> usize {
            2
        }

        fn encode(&self, frames: &[RgbFrame]) -> Result<Array2<f32>> {
            Ok(Array2::from_shape_fn((frames.len(), 2), |(i, j)| f32::from(frames[i].data[j])))
        }
    }

    #[test]
    fn clips_get_their_own_rows_back() {
        let frame = |a, b| RgbFrame::new(1, 1, vec![a, b, 0]);
        let clips = vec![vec![frame(1, 2), frame(3, 6)], vec![], vec![frame(7, 8)]];
        let vectors = encode_clips(&FirstBytes, clips).unwrap();
        assert_eq!(vectors[0].frames, array![[1.0, 2.0], [3.0, 6.0]]);
        assert_eq!(vectors[0].mean, array![2.0, 4.0]);
        assert_eq!(vectors[1].mean, array![0.0, 0.0]);
        assert_eq!(vectors[2].frames, array![[7.0, 8.0]]);
    }

    #[test]
    fn rows_are_scaled_and_zeros_kept() {
        let mut rows = array![[3.0, 4.0], [0.0, 0.0]];
        normalize_rows(&mut rows);
        assert_eq!(rows, array![[0.6, 0.8], [0.0, 0.0]]);
    }
}
