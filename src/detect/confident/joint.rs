//! From counts to estimates: the calibrated joint and the noise rates that follow from it.

use ndarray::{Array2, Axis};

use crate::arrays::pairwise_sum;

/// The joint with each row scaled to the number of samples labelled so, and the whole to N; rounded to
/// integers that keep row totals. (Where equal fractions compete for a unit, the higher class gets it,
/// or the lower loses it: cleanlab's answer under a stable sort.)
pub fn calibrated_joint(joint: &Array2<u64>, labels: &[u32]) -> Array2<u64> {
    let k = joint.nrows();
    let mut counts = vec![0u64; k];
    labels.iter().for_each(|&y| counts[y as usize] += 1);
    let mut scaled = joint.mapv(|v| v as f64);
    for (mut row, &count) in scaled.rows_mut().into_iter().zip(&counts) {
        let total = row.sum().max(f64::MIN_POSITIVE);
        row.mapv_inplace(|v| v / total * count as f64);
    }
    // as NumPy sums this matrix: in the order in which it lies there, by columns
    let whole = pairwise_sum(&scaled.t().iter().copied().collect::<Vec<f64>>()).max(f64::MIN_POSITIVE);
    scaled.mapv_inplace(|v| v / whole * labels.len() as f64);
    let mut out = Array2::zeros((k, k));
    for (row, mut to) in scaled.rows().into_iter().zip(out.rows_mut()) {
        to.iter_mut().zip(round_preserving_sum(&row.to_vec())).for_each(|(t, v)| *t = v);
    }
    out
}

/// Rounds non-negative numbers so that they sum to their rounded sum: the largest fractional parts go up.
pub(super) fn round_preserving_sum(values: &[f64]) -> Vec<u64> {
    let mut ints: Vec<f64> = values.iter().map(|v| v.round_ties_even()).collect();
    let want = values.iter().sum::<f64>().round_ties_even();
    loop {
        let missing = want - ints.iter().sum::<f64>();
        if missing.abs() < 0.5 {
            return ints.into_iter().map(|v| v.max(0.0) as u64).collect();
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| (values[a] - ints[a]).total_cmp(&(values[b] - ints[b])));
        if missing > 0.0 {
            order.reverse();
        }
        for &i in order.iter().take(missing.abs() as usize) {
            ints[i] += missing.signum();
        }
    }
}

/// P(given | true), (k, k): columns sum to 1, or to 0 for a class nothing is estimated to belong to.
pub fn noise_matrix(joint: &Array2<u64>) -> Array2<f64> {
    let totals = joint.sum_axis(Axis(0)).mapv(|v| v as f64);
    Array2::from_shape_fn(joint.dim(), |(i, j)| ratio(joint[[i, j]], totals[j]))
}

/// P(true | given), (k, k) with the true class first: entry [true, given], columns sum to 1 (or 0).
pub fn inverse_noise_matrix(joint: &Array2<u64>) -> Array2<f64> {
    let totals = joint.sum_axis(Axis(1)).mapv(|v| v as f64);
    Array2::from_shape_fn(joint.dim(), |(t, g)| ratio(joint[[g, t]], totals[g]))
}

fn ratio(count: u64, total: f64) -> f64 {
    if total > 0.0 { count as f64 / total } else { 0.0 }
}

/// Number of samples off the diagonal of a calibrated joint: cleanlab's `off_diagonal_calibrated`.
pub fn off_diagonal_calibrated(calibrated: &Array2<u64>) -> usize {
    (calibrated.sum() - calibrated.diag().sum()) as usize
}
