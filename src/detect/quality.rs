//! Label-quality scores of samples from their predicted probabilities p (out of fold) and given label y:
//! several at once, in one pass over the probabilities.
//!
//! All scores are in cleanlab's sense: higher = better label. The first three are cleanlab 2.9's
//! (`cleanlab.rank`), the margin of logarithms is ours (anchors D2: the best on human noise).

use ndarray::ArrayView1;
use rayon::prelude::*;

use super::error::DetectError;
use crate::arrays::{Real, Rows, block_rows};

/// Probabilities below this count as this, so that logarithms stay finite.
const TINY: f64 = f32::MIN_POSITIVE as f64;
/// cleanlab's lower bound of what it divides by.
const CLIP: f64 = 1e-6;
const LANES: usize = 8;

/// A score of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// p_y, in [0, 1].
    SelfConfidence,
    /// (p_y - max over k != y of p_k + 1) / 2, in [0, 1]; below 1/2 when another class is likelier.
    NormalizedMargin,
    /// With e = H(p) / (ln K p_y): ln(e + 1) / e, in [0, 1]. A prediction without any doubt scores 1 when
    /// it is the given label, its limit, and 0 when it is not (cleanlab 2.9: 0 both times).
    ConfidenceWeightedEntropy,
    /// ln p_y less max over k != y of ln p_k; below 0 when another class is likelier.
    LogMargin,
}

impl Quality {
    pub const ALL: [Quality; 4] =
        [Self::SelfConfidence, Self::NormalizedMargin, Self::ConfidenceWeightedEntropy, Self::LogMargin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfConfidence => "self_confidence",
            Self::NormalizedMargin => "normalized_margin",
            Self::ConfidenceWeightedEntropy => "confidence_weighted_entropy",
            Self::LogMargin => "log_margin",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == name)
    }
}

/// One vector (N) for each of `wanted`, from `p` (N, k), whose rows sum to 1, and `labels` (N) in 0..k.
///
/// With `adjust` (k thresholds, see [`super::confident::Counted`]) the probabilities are first shifted
/// against class imbalance: p'_k proportional to p_k - t_k + max t, so that rows sum to 1 again.
/// `pace(rows)` is told how many more rows were read and cancels by returning false. O(N k).
///
/// # Errors
/// Cancelled.
///
/// # Panics
/// When lengths differ or a label is out of range: count first.
pub fn scores<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    wanted: &[Quality],
    adjust: Option<&[f64]>,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<Vec<f64>>, DetectError> {
    let (n, k) = p.shape();
    assert_eq!(labels.len(), n, "labels of scores");
    let rows = block_rows(k);
    let shift = adjust.map(Shift::of);
    let mut out = vec![vec![0f64; n]; wanted.len()];
    // blocks of all the vectors side by side, so that one pass fills them
    let mut blocks: Vec<Vec<&mut [f64]>> = (0..n.div_ceil(rows)).map(|_| Vec::new()).collect();
    for vector in &mut out {
        blocks.iter_mut().zip(vector.chunks_mut(rows)).for_each(|(b, chunk)| b.push(chunk));
    }
    let ends: Vec<bool> = blocks
        .into_par_iter()
        .enumerate()
        .map_init(
            || (Vec::new(), Vec::new()),
            |(buffer, shifted), (b, mut outs)| {
                let start = b * rows;
                let take = rows.min(n - start);
                let block = p.block(start, take, buffer);
                for (i, row) in block.chunks_exact(k).enumerate() {
                    let y = labels[start + i] as usize;
                    for (out, quality) in outs.iter_mut().zip(wanted) {
                        out[i] = match &shift {
                            None => score(row, y, *quality),
                            Some(shift) => score(shift.apply(row, shifted), y, *quality),
                        };
                    }
                }
                pace(take)
            },
        )
        .collect();
    if ends.contains(&false) { Err(DetectError::Cancelled) } else { Ok(out) }
}

struct Shift {
    add: Vec<f64>,
}

impl Shift {
    fn of(thresholds: &[f64]) -> Self {
        let most = thresholds.iter().copied().fold(0.0, f64::max);
        Self { add: thresholds.iter().map(|t| most - t).collect() }
    }

    fn apply<'a, T: Real>(&self, row: &[T], into: &'a mut Vec<f64>) -> &'a [f64] {
        into.clear();
        into.extend(row.iter().zip(&self.add).map(|(v, add)| v.to_f64() + add));
        let sum: f64 = into.iter().sum();
        into.iter_mut().for_each(|v| *v /= sum);
        into
    }
}

fn score<T: Real>(row: &[T], y: usize, quality: Quality) -> f64 {
    let given = row[y].to_f64();
    match quality {
        Quality::SelfConfidence => given,
        Quality::NormalizedMargin => (given - best_other_value(row, y).to_f64() + 1.0) / 2.0,
        Quality::LogMargin => {
            let ln = |v: f64| v.max(TINY).ln();
            ln(given) - ln(best_other_value(row, y).to_f64())
        }
        Quality::ConfidenceWeightedEntropy => {
            let doubt = entropy(row) / (row.len() as f64).ln() / given.max(CLIP);
            if doubt <= 0.0 {
                return f64::from(u8::from(given > CLIP));
            }
            (doubt + 1.0).ln() / doubt.max(CLIP)
        }
    }
}

/// H(p) = - sum p ln p, with 0 ln 0 = 0. Single precision goes through [`ln`], double through the
/// library.
fn entropy<T: Real>(row: &[T]) -> f64 {
    if size_of::<T>() == size_of::<f64>() {
        let x_ln_x = |v: &T| if v.to_f64() > 0.0 { v.to_f64() * v.to_f64().ln() } else { 0.0 };
        return -row.iter().map(x_ln_x).sum::<f64>();
    }
    let x_ln_x = |v: &T| {
        let v = v.to_f64() as f32;
        v * ln(v.max(f32::MIN_POSITIVE))
    };
    let mut sums = [0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            sums[l] += x_ln_x(&chunk[l]);
        }
    }
    let whole: f32 = sums.iter().sum::<f32>() + rest.iter().map(x_ln_x).sum::<f32>();
    -f64::from(whole)
}

/// Natural logarithm of a positive normal number without a branch, so that a loop of it becomes vector
/// code: 2 ulp. (The library's takes a third of an audit.) Source: Cephes `logf`, S. Moshier.
#[inline(always)]
fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // mantissa in [sqrt(1/2), sqrt(2))
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let exponent = (shifted as i32 >> 23) as f32;
    let x = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let z = x * x;
    let mut y = 7.037_683_6e-2_f32;
    for c in [
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        y = y * x + c;
    }
    y = y * x * z + exponent * -2.121_944_4e-4 - 0.5 * z;
    x + y + exponent * 0.693_359_4
}

/// The largest value but that of class `y`.
#[inline(always)]
pub(crate) fn best_other_value<T: Real>(row: &[T], y: usize) -> T {
    let most = |values: &[T]| {
        let mut lanes = [T::NEG_INFINITY; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for l in 0..LANES {
                lanes[l] = if chunk[l] > lanes[l] { chunk[l] } else { lanes[l] };
            }
        }
        lanes.iter().chain(rest).fold(T::NEG_INFINITY, |m, &v| if v > m { v } else { m })
    };
    let (before, after) = (most(&row[..y]), most(&row[y + 1..]));
    if after > before { after } else { before }
}

/// The likeliest class other than `y` (the first of equals) and its probability.
pub(crate) fn best_other(row: ArrayView1<'_, f32>, y: usize) -> (usize, f32) {
    let others = row.iter().enumerate().filter(|(k, _)| *k != y);
    others.fold((usize::from(y == 0), f32::NEG_INFINITY), |b, (k, &v)| if v > b.1 { (k, v) } else { b })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    fn all(p: &Array2<f32>, y: &[u32]) -> Vec<Vec<f64>> {
        scores(&p.view(), y, &Quality::ALL, None, &|_| true).unwrap()
    }

    fn near(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn by_hand() {
        let p = array![[0.7f32, 0.2, 0.1], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]];
        let s = all(&p, &[0, 2, 1, 0]);
        assert!(near(&s[0], &[0.7, 0.1, 0.0, 0.5]));
        // cleanlab 2.9 get_normalized_margin_for_each_label gives the same four.
        assert!(near(&s[1], &[0.75, 0.2, 0.0, 0.5]));
        assert!((s[3][0] - (0.7f64 / 0.2).ln()).abs() < 1e-6 && (s[3][1] + 7f64.ln()).abs() < 1e-6);
        assert!((s[3][2] + 87.336_544).abs() < 1e-3 && s[3][3] == 0.0, "{s:?}");
    }

    #[test]
    fn agrees_with_cleanlab() {
        // cleanlab 2.9 get_label_quality_scores, float64 input, rounded to 9 digits
        let p = array![[0.7f64, 0.2, 0.1], [0.25, 0.7, 0.05], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]];
        let y = [0u32, 0, 1, 2];
        let s = scores(&p.view(), &y, &Quality::ALL, None, &|_| true).unwrap();
        assert!(near(&s[2], &CWE), "{:?}", s[2]);
        let t = [0.475, 0.3, 0.8];
        let s = scores(&p.view(), &y, &Quality::ALL, Some(&t), &|_| true).unwrap();
        assert!(near(&s[0], &ADJUSTED_SC) && near(&s[1], &ADJUSTED_NM), "{s:?}");
    }

    const CWE: [f64; 4] = [0.685_033_619, 0.483_280_337, 0.441_759_417, 0.751_540_993];
    const ADJUSTED_SC: [f64; 4] = [0.561_643_836, 0.315_068_493, 0.438_356_164, 0.438_356_164];
    const ADJUSTED_NM: [f64; 4] = [0.589_041_096, 0.328_767_123, 0.520_547_945, 0.554_794_521];

    #[test]
    fn no_doubt_at_all() {
        let p = array![[1.0f32, 0.0, 0.0], [1.0, 0.0, 0.0]];
        assert_eq!(all(&p, &[0, 1])[2], [1.0, 0.0]);
    }

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for i in 1..200_000u32 {
            let x = f32::from_bits(i * 5000 + 0x0080_0000);
            if x > 2.0 {
                break;
            }
            let (got, want) = (f64::from(ln(x)), f64::from(x).ln());
            assert!((got - want).abs() <= 3e-7 * want.abs().max(0.3), "{x}: {got} {want}");
        }
    }

    proptest! {
        #[test]
        fn ranges_and_agreement(raw in prop::collection::vec(0.001f32..1.0, 2..40), pick: usize) {
            let (k, sum) = (raw.len(), raw.iter().sum::<f32>());
            let y = [(pick % k) as u32];
            let p = Array2::from_shape_fn((1, k), |(_, j)| raw[j] / sum);
            let s = all(&p, &y);
            prop_assert!(s[..3].iter().all(|v| (0.0..=1.0).contains(&v[0])), "{s:?}");
            // The two margins always agree on which side of the boundary a label lies.
            prop_assert_eq!(s[3][0] < 0.0, s[1][0] < 0.5);
            let doubles = scores(&p.mapv(f64::from).view(), &y, &Quality::ALL, None, &|_| true).unwrap();
            for (a, b) in s.iter().zip(&doubles) {
                prop_assert!((a[0] - b[0]).abs() < 2e-6, "{a:?} {b:?}");
            }
            // without imbalance to adjust for, adjusting changes nothing
            let flat = scores(&p.view(), &y, &Quality::ALL, Some(&vec![0.4; k]), &|_| true).unwrap();
            prop_assert!(near(&flat[0], &s[0]) && near(&flat[1], &s[1]));
        }

        #[test]
        fn permuting_the_classes_changes_nothing(raw in prop::collection::vec(0.001f32..1.0, 9), y in 0usize..9) {
            let sum: f32 = raw.iter().sum();
            let p = Array2::from_shape_fn((1, 9), |(_, j)| raw[j] / sum);
            let turned = Array2::from_shape_fn((1, 9), |(_, j)| p[[0, (j + 4) % 9]]);
            let (a, b) = (all(&p, &[y as u32]), all(&turned, &[((y + 5) % 9) as u32]));
            for (a, b) in a.iter().zip(&b) {
                prop_assert!((a[0] - b[0]).abs() < 1e-6);
            }
        }
    }
}
