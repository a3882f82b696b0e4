//! From pictures of any size to the square, normalised numbers a model wants.

use super::{ImageSpec, Layout, Resize};
use crate::media::RgbFrame;

/// The frame as a square of `side`, borrowed when it already is one.
pub(crate) fn fit(frame: &RgbFrame, side: u32, resize: Resize) -> std::borrow::Cow<'_, RgbFrame> {
    if frame.width == side && frame.height == side {
        return std::borrow::Cow::Borrowed(frame);
    }
    let (w, h, s) = (frame.width as usize, frame.height as usize, side as usize);
    let square = match resize {
        Resize::Crop => {
            let short = w.min(h);
            resample(frame, ((w - short) / 2, (h - short) / 2), (short, short), (s, s))
        }
        Resize::Stretch => resample(frame, (0, 0), (w, h), (s, s)),
        Resize::Pad => {
            let scaled = |length: usize| (length * s).div_ceil(w.max(h)).clamp(1, s);
            let (sw, sh) = (scaled(w), scaled(h));
            let small = resample(frame, (0, 0), (w, h), (sw, sh));
            let mut data = vec![0; 3 * s * s];
            let (left, top) = ((s - sw) / 2, (s - sh) / 2);
            for (y, row) in small.data.chunks_exact(3 * sw).enumerate() {
                let start = 3 * ((y + top) * s + left);
                data[start..start + 3 * sw].copy_from_slice(row);
            }
            RgbFrame::new(side, side, data)
        }
    };
    std::borrow::Cow::Owned(square)
}

/// Frames as an encoder's squares, RGB row by row, one after the other: side x side x 3 bytes each.
pub fn squares(frames: &[RgbFrame], spec: &ImageSpec) -> Vec<u8> {
    frames.iter().flat_map(|f| fit(f, spec.size, spec.resize).into_owned().data).collect()
}

/// Scales the part of `size` at `origin` to `target` with a triangle filter that widens when
/// shrinking, so that nothing aliases: bilinear when growing, about an area mean when shrinking.
fn resample(
    frame: &RgbFrame,
    origin: (usize, usize),
    size: (usize, usize),
    target: (usize, usize),
) -> RgbFrame {
    let columns = weights(size.0, target.0);
    let rows = weights(size.1, target.1);
    let stride = 3 * frame.width as usize;
    // Across first: `size.1` rows of `target.0` pixels.
    let mut across = vec![0f32; 3 * target.0 * size.1];
    for y in 0..size.1 {
        let source = &frame.data[(y + origin.1) * stride + 3 * origin.0..];
        for (x, (first, taps)) in columns.iter().enumerate() {
            for c in 0..3 {
                let sum = taps.iter().enumerate().map(|(k, t)| t * f32::from(source[3 * (first + k) + c]));
                across[3 * (y * target.0 + x) + c] = sum.sum();
            }
        }
    }
    let mut data = Vec::with_capacity(3 * target.0 * target.1);
    for (first, taps) in &rows {
        for x in 0..3 * target.0 {
            let sum = taps.iter().enumerate().map(|(k, t)| t * across[(first + k) * 3 * target.0 + x]);
            data.push(sum.sum::<f32>().round().clamp(0.0, 255.0) as u8);
        }
    }
    RgbFrame::new(target.0 as u32, target.1 as u32, data)
}

/// For every target pixel: the first source pixel and the weights from there, which sum to 1.
fn weights(source: usize, target: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = source as f64 / target as f64;
    let radius = scale.max(1.0);
    (0..target)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - radius).floor().max(0.0) as usize;
            let last = ((centre + radius).ceil() as usize).min(source);
            let taps: Vec<f64> =
                (first..last).map(|j| (1.0 - ((j as f64 + 0.5 - centre) / radius).abs()).max(0.0)).collect();
            let sum: f64 = taps.iter().sum();
            (first, taps.into_iter().map(|t| (t / sum) as f32).collect())
        })
        .collect()
}

/// Writes the frames of one row (one frame, or a whole clip) as the model's input, in its layout.
/// `out` holds `3 * side * side * frames` values.
pub(crate) fn write_row(frames: &[RgbFrame], spec: &ImageSpec, out: &mut [f32]) {
    let side = spec.size as usize;
    let plane = side * side;
    let t = frames.len();
    let table: [[f32; 256]; 3] =
        std::array::from_fn(|c| std::array::from_fn(|v| (v as f32 - spec.mean[c]) / spec.std[c]));
    for (k, frame) in frames.iter().enumerate() {
        let square = fit(frame, spec.size, spec.resize);
        for (c, table) in table.iter().enumerate() {
            let values = square.data.iter().skip(c).step_by(3).map(|v| table[*v as usize]);
            let (start, step) = match spec.layout {
                Layout::Nchw | Layout::Ntchw => ((3 * k + c) * plane, 1),
                Layout::Ncthw => ((t * c + k) * plane, 1),
                Layout::Nhwc => (3 * k * plane + c, 3),
            };
            for (slot, value) in out[start..].iter_mut().step_by(step).zip(values) {
                *slot = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(size: u32, layout: Layout) -> ImageSpec {
        ImageSpec {
            size,
            resize: Resize::Crop,
            mean: [10.0, 20.0, 30.0],
            std: [2.0, 4.0, 5.0],
            layout,
            frames: 1,
        }
    }

    #[test]
    fn layouts_order_the_same_numbers() {
        // Two pixels by two, channel c of pixel p is 100 c + p.
        let frame = |base: u8| {
            RgbFrame::new(2, 2, (0..4).flat_map(|p| [base + p, base + 100 + p, base + 50 + p]).collect())
        };
        let mut nchw = [0.0; 12];
        write_row(&[frame(0)], &spec(2, Layout::Nchw), &mut nchw);
        let expected = [-5.0, -4.5, -4.0, -3.5, 20.0, 20.25, 20.5, 20.75, 4.0, 4.2, 4.4, 4.6];
        assert_eq!(nchw, expected);
        let mut nhwc = [0.0; 12];
        write_row(&[frame(0)], &spec(2, Layout::Nhwc), &mut nhwc);
        assert_eq!(nhwc[..6], [-5.0, 20.0, 4.0, -4.5, 20.25, 4.2]);

        let clip = [frame(0), frame(8)];
        let (mut ntchw, mut ncthw) = ([0.0; 24], [0.0; 24]);
        write_row(&clip, &spec(2, Layout::Ntchw), &mut ntchw);
        write_row(&clip, &spec(2, Layout::Ncthw), &mut ncthw);
        assert_eq!(ntchw[..12], expected);
        assert_eq!(ncthw[..4], expected[..4]);
        assert_eq!(ncthw[4..8], ntchw[12..16], "the second frame's red follows the first's");
    }

    #[test]
    fn resampling_keeps_flat_areas_and_averages_the_rest() {
        let flat = RgbFrame::new(7, 5, [9, 90, 200].repeat(35));
        for resize in [Resize::Crop, Resize::Stretch] {
            for side in [1, 3, 16] {
                assert_eq!(fit(&flat, side, resize).data, [9, 90, 200].repeat((side * side) as usize));
            }
        }
        let checks = RgbFrame::new(64, 64, (0..64 * 64).flat_map(|p| [(p % 2 * 255) as u8; 3]).collect());
        let small = fit(&checks, 8, Resize::Stretch);
        assert!(
            small.data.iter().all(|v| (118..=137).contains(v)),
            "stripes must not alias: {:?}",
            &small.data[..9]
        );
    }

    #[test]
    fn crop_takes_the_middle_and_pad_keeps_everything() {
        // Left third red, middle third green, right third blue.
        let colour = |x: usize| match x / 4 {
            0 => [255, 0, 0],
            1 => [0, 255, 0],
            _ => [0, 0, 255],
        };
        let wide = RgbFrame::new(12, 4, (0..48).flat_map(|p| colour(p % 12)).collect());
        assert_eq!(fit(&wide, 2, Resize::Crop).data, [0, 255, 0].repeat(4));
        let padded = fit(&wide, 12, Resize::Pad);
        assert_eq!(padded.data[..3 * 12 * 4], vec![0; 3 * 12 * 4], "bar above");
        assert_eq!(padded.data[3 * 12 * 4..3 * 12 * 8], wide.data);
    }
}
