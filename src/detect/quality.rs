//! Label-quality scores of samples from their predicted probabilities p (out of fold) and given label y:
//! several at once, in one pass over the probabilities.
//!
//! All scores are in cleanlab's sense: higher = better label. The first three are cleanlab 2.9's
//! (`cleanlab.rank`), the margin of logarithms is ours (anchors D2: the best on human noise).

use rayon::prelude::*;

use super::confident::{SURE_OF_SUM, check, check_values};
use super::error::DetectError;
use crate::arrays::rows::lanes::{self, Kernel, LANES, Lanes};
use crate::arrays::{Real, Rows, block_rows};

/// Probabilities below this count as this, so that logarithms stay finite.
const TINY: f64 = f32::MIN_POSITIVE as f64;
/// cleanlab's lower bound of what it divides by.
const CLIP: f64 = 1e-6;

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
/// Those of [`super::confident::Counted::of`], which need not have run before.
pub fn scores<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    wanted: &[Quality],
    adjust: Option<&[f64]>,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<Vec<f64>>, DetectError> {
    let (n, k) = p.shape();
    check(n, k, labels)?;
    let rows = block_rows(k);
    let shift = adjust.map(Shift::of);
    let entropy = wanted.contains(&Quality::ConfidenceWeightedEntropy);
    let mut out = vec![vec![0f64; n]; wanted.len()];
    // blocks of all the vectors side by side, so that one pass fills them
    let mut blocks: Vec<Vec<&mut [f64]>> = (0..n.div_ceil(rows)).map(|_| Vec::new()).collect();
    for vector in &mut out {
        blocks.iter_mut().zip(vector.chunks_mut(rows)).for_each(|(b, chunk)| b.push(chunk));
    }
    // all blocks are read, so that the fault named is the first whatever the threads do
    let ends: Vec<Result<(), DetectError>> = blocks
        .into_par_iter()
        .enumerate()
        .map_init(Vec::new, |buffer, (b, mut outs)| {
            let first = b * rows;
            let take = rows.min(n - first);
            let (block, labels) = (p.block(first, take, buffer), &labels[first..first + take]);
            let outs = &mut outs[..];
            lanes::run(Score { block, k, labels, first, wanted, entropy, shift: shift.as_ref(), outs })?;
            if pace(take) { Ok(()) } else { Err(DetectError::Cancelled) }
        })
        .collect();
    ends.into_iter().collect::<Result<(), _>>()?;
    Ok(out)
}

/// Checks and scores the rows of one block, the first of them number `first`.
struct Score<'a, 'b, T> {
    block: &'a [T],
    k: usize,
    labels: &'a [u32],
    first: usize,
    wanted: &'a [Quality],
    /// The entropy is among what is wanted.
    entropy: bool,
    shift: Option<&'a Shift>,
    outs: &'a mut [&'b mut [f64]],
}

impl<T: Real> Kernel<T> for Score<'_, '_, T> {
    type Out = Result<(), DetectError>;

    #[inline(always)]
    fn run<L: Lanes<T>>(self) -> Self::Out {
        let ln_k = (self.k as f64).ln();
        let mut shifted = Vec::new();
        // some rows at a time, so that the scores' own loops are short of nothing
        let mut facts = Facts { given: [0.0; TOGETHER], other: [0.0; TOGETHER], entropy: [0.0; TOGETHER] };
        for (r, rows) in self.block.chunks(TOGETHER * self.k).enumerate() {
            let from = r * TOGETHER;
            for (i, row) in rows.chunks_exact(self.k).enumerate() {
                let y = self.labels[from + i] as usize;
                let at = self.first + from + i;
                let (other, entropy) = if self.entropy {
                    read::<T, L, true>(row, y, at)?
                } else {
                    read::<T, L, false>(row, y, at)?
                };
                (facts.given[i], facts.other[i], facts.entropy[i]) = match self.shift {
                    None => (row[y].to_f64(), other, entropy),
                    Some(shift) => {
                        let row = shift.apply(row, &mut shifted);
                        let entropy = if self.entropy { entropy_of_doubles(row) } else { 0.0 };
                        (row[y], best_other_value(row, y), entropy)
                    }
                };
            }
            let n = rows.len() / self.k;
            for (out, quality) in self.outs.iter_mut().zip(self.wanted) {
                quality.score(&facts, ln_k, &mut out[from..from + n]);
            }
        }
        Ok(())
    }
}

/// Checks row number `at`; the largest probability but that of `y`, and the entropy if it is wanted.
#[inline(always)]
fn read<T: Real, L: Lanes<T>, const ENTROPY: bool>(
    row: &[T],
    y: usize,
    at: usize,
) -> Result<(f64, f64), DetectError> {
    // single precision goes through the lanes' logarithm, double through the library's
    let single = ENTROPY && size_of::<T>() < size_of::<f64>();
    let zero = L::splat(T::ZERO);
    let mut min = L::splat(T::INFINITY);
    let mut max = L::splat(T::NEG_INFINITY);
    let (mut second, mut sum) = (max, zero);
    // single precision for few terms only, then double: so the score is right to about 1e-7 of itself
    let mut entropies = [0.0; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for few in chunks.chunks(FEW) {
        let mut terms = zero;
        for chunk in few {
            let v = L::load(chunk);
            min = v.min(min);
            second = v.min(max).max(second);
            max = v.max(max);
            sum = sum.add(v);
            if single {
                terms = terms.plus_x_ln_x(v);
            }
        }
        if single {
            entropies.iter_mut().zip(terms.store()).for_each(|(sum, v)| *sum -= v.to_f64());
        }
    }
    if !rest.is_empty() {
        // the last eight once more, or what there is of them: those not seen yet
        let mut last = [T::ZERO; LANES];
        match row.last_chunk() {
            Some(values) => last = *values,
            None => last[LANES - rest.len()..].copy_from_slice(rest),
        }
        let v = L::load(&last);
        let new =
            L::load(&std::array::from_fn(|l| if l >= LANES - rest.len() { T::INFINITY } else { T::ZERO }));
        let new = new.above(zero);
        let high = new.select(v, L::splat(T::NEG_INFINITY));
        min = v.min(min);
        second = high.min(max).max(second);
        max = high.max(max);
        let v = new.select(v, zero);
        sum = sum.add(v);
        if single {
            let terms = zero.plus_x_ln_x(v);
            entropies.iter_mut().zip(terms.store()).for_each(|(sum, v)| *sum -= v.to_f64());
        }
    }
    let most = max.highest();
    let total = sum.total().to_f64();
    // sums on the edge depend on the order in which they are formed
    if !((total - 1.0).abs() <= SURE_OF_SUM && min.at_least(zero).bits() == ALL && most.to_f64() <= 1.0) {
        check_values(row, at)?;
    }
    let other = if row[y] < most {
        most
    } else {
        let best = max.at_least(L::splat(most));
        if best.bits().is_power_of_two() { best.select(second, max).highest() } else { most }
    };
    let entropy = match (ENTROPY, single) {
        (false, _) => 0.0,
        (true, false) => entropy_of_doubles(row),
        (true, true) => {
            let h = entropies;
            ((h[0] + h[4]) + (h[2] + h[6])) + ((h[1] + h[5]) + (h[3] + h[7]))
        }
    };
    Ok((other.to_f64(), entropy))
}

/// Every lane's bit.
const ALL: u32 = (1 << LANES) - 1;
const TOGETHER: usize = 64;
const FEW: usize = 4;

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

/// What the scores of some rows are made of.
struct Facts {
    given: [f64; TOGETHER],
    /// The largest probability but that of the label.
    other: [f64; TOGETHER],
    entropy: [f64; TOGETHER],
}

impl Quality {
    #[inline(always)]
    fn score(self, facts: &Facts, ln_k: f64, out: &mut [f64]) {
        let each = out.iter_mut().zip(&facts.given);
        match self {
            Quality::SelfConfidence => each.for_each(|(out, given)| *out = *given),
            Quality::NormalizedMargin => {
                each.zip(&facts.other).for_each(|((out, given), other)| *out = (given - other + 1.0) / 2.0);
            }
            Quality::LogMargin => {
                let ln = |v: f64| v.max(TINY).ln();
                each.zip(&facts.other).for_each(|((out, given), other)| *out = ln(*given) - ln(*other));
            }
            Quality::ConfidenceWeightedEntropy => each.zip(&facts.entropy).for_each(|((out, given), h)| {
                let doubt = h / ln_k / given.max(CLIP);
                let sure = if *given > CLIP { 1.0 } else { 0.0 };
                let score = ln_above_1(doubt + 1.0) / doubt.max(CLIP);
                *out = if doubt <= 0.0 { sure } else { score };
            }),
        }
    }
}

/// Natural logarithm of `x` >= 1, relative error 1e-12 of (x - 1): without a branch or a call, so that a
/// loop of it is made vector code of. ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2)).
#[inline(always)]
fn ln_above_1(x: f64) -> f64 {
    const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const MANTISSA: u64 = (1 << 52) - 1;
    // a double of 2^52 and more has a whole number for its mantissa
    const WHOLE: f64 = (1u64 << 52) as f64;
    let shifted = x.to_bits() - ROOT_HALF;
    let exponent = f64::from_bits(shifted >> 52 | WHOLE.to_bits()) - WHOLE;
    let m = f64::from_bits((shifted & MANTISSA) + ROOT_HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = (0..7).rev().fold(0.0, |sum, i| sum * z + 2.0 / f64::from(2 * i + 1));
    exponent * std::f64::consts::LN_2 + s * series
}

/// H(p) = - sum p ln p, with 0 ln 0 = 0.
fn entropy_of_doubles<T: Real>(row: &[T]) -> f64 {
    let x_ln_x = |v: &T| if v.to_f64() > 0.0 { v.to_f64() * v.to_f64().ln() } else { 0.0 };
    -row.iter().map(x_ln_x).sum::<f64>()
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
    fn the_logarithm_is_that_of_the_library() {
        for i in 0..100_000 {
            let x = 1.0 + 1e-6 * 1.000_3f64.powi(i);
            let want = x.ln();
            assert!((ln_above_1(x) - want).abs() <= 2e-12 * want, "{x}: {} {want}", ln_above_1(x));
        }
        assert_eq!(ln_above_1(1.0), 0.0);
    }

    #[test]
    fn no_doubt_at_all() {
        let p = array![[1.0f32, 0.0, 0.0], [1.0, 0.0, 0.0]];
        assert_eq!(all(&p, &[0, 1])[2], [1.0, 0.0]);
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
