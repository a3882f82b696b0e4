//! From counts to estimates: the calibrated joint and the noise rates that follow from it.

use ndarray::{Array2, Axis};

use crate::arrays::pairwise_sum;

/// Counts [given, other] (k, k) of which most may be zero: row by row, those that are not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cells {
    /// (k + 1) where each row begins.
    pub(crate) starts: Vec<usize>,
    /// Rising within a row.
    pub(crate) columns: Vec<u32>,
    pub(crate) counts: Vec<u64>,
}

impl Cells {
    /// Of the columns and counts of each row, columns rising.
    pub(crate) fn of(rows: impl Iterator<Item = impl IntoIterator<Item = (u32, u64)>>) -> Self {
        let mut out = Self { starts: vec![0], columns: Vec::new(), counts: Vec::new() };
        for row in rows {
            for (j, count) in row {
                out.columns.push(j);
                out.counts.push(count);
            }
            out.starts.push(out.columns.len());
        }
        out
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn dense(&self) -> Array2<u64> {
        let k = self.classes();
        let mut out = Array2::zeros((k, k));
        for i in 0..k {
            for c in self.starts[i]..self.starts[i + 1] {
                out[[i, self.columns[c] as usize]] = self.counts[c];
            }
        }
        out
    }

    /// See [`calibrated_joint`]; `members` (k) are the samples of each class. The same cells, some of them
    /// zero afterwards. O(cells log k + k).
    pub(crate) fn calibrated(mut self, members: &[usize]) -> Self {
        let k = self.classes();
        let n: usize = members.iter().sum();
        let mut scaled: Vec<f64> = self.counts.iter().map(|v| *v as f64).collect();
        for (i, &count) in members.iter().enumerate() {
            let row = &mut scaled[self.starts[i]..self.starts[i + 1]];
            let total = row.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            row.iter_mut().for_each(|v| *v = *v / total * count as f64);
        }
        // as NumPy sums this matrix: in the order in which it lies there, by columns
        let whole = sum_of_few(&self.by_columns(&scaled), 0, k * k).max(f64::MIN_POSITIVE);
        scaled.iter_mut().for_each(|v| *v = *v / whole * n as f64);
        for i in 0..k {
            let row = self.starts[i]..self.starts[i + 1];
            let rounded = round_preserving_sum(&scaled[row.clone()]);
            self.counts[row].copy_from_slice(&rounded);
        }
        self
    }

    /// `values` of the cells in order of columns, each with its place (column k + row).
    fn by_columns(&self, values: &[f64]) -> Vec<(usize, f64)> {
        let k = self.classes();
        let mut next = vec![0usize; k + 1];
        self.columns.iter().for_each(|&j| next[j as usize + 1] += 1);
        for j in 0..k {
            next[j + 1] += next[j];
        }
        let mut out = vec![(0, 0.0); values.len()];
        for i in 0..k {
            let row = self.starts[i]..self.starts[i + 1];
            for (&j, &value) in self.columns[row.clone()].iter().zip(&values[row]) {
                let at = &mut next[j as usize];
                out[*at] = (j as usize * k + i, value);
                *at += 1;
            }
        }
        out
    }
}

/// [`pairwise_sum`] of `n` values from place `from`, all zero but the `few`: the same bits, since adding
/// zero changes none. O(few log n).
fn sum_of_few(few: &[(usize, f64)], from: usize, n: usize) -> f64 {
    if few.is_empty() {
        return 0.0;
    }
    if n <= 128 {
        let mut values = [0.0; 128];
        few.iter().for_each(|&(at, v)| values[at - from] = v);
        return pairwise_sum(&values[..n]);
    }
    let half = n / 2 - (n / 2) % 8;
    let (low, high) = few.split_at(few.partition_point(|(at, _)| *at < from + half));
    sum_of_few(low, from, half) + sum_of_few(high, from + half, n - half)
}

/// The joint with each row scaled to the number of samples labelled so, and the whole to N; rounded to
/// integers that keep row totals. (Where equal fractions compete for a unit, the higher class gets it,
/// or the lower loses it: cleanlab's answer under a stable sort.)
pub fn calibrated_joint(joint: &Array2<u64>, labels: &[u32]) -> Array2<u64> {
    let mut members = vec![0; joint.nrows()];
    labels.iter().for_each(|&y| members[y as usize] += 1);
    let few =
        joint.rows().into_iter().map(|row| (0..).zip(row).filter(|(_, n)| **n > 0).map(|(j, n)| (j, *n)));
    Cells::of(few).calibrated(&members).dense()
}

/// Rounds non-negative numbers so that they sum to their rounded sum: the largest fractional parts go up.
/// Zeros among them change nothing: rounding misses by half a unit at most a value, so that there are
/// always as many values to mend as units are missing. O(values).
pub(super) fn round_preserving_sum(values: &[f64]) -> Vec<u64> {
    let mut ints: Vec<f64> = values.iter().map(|v| v.round_ties_even()).collect();
    let want = values.iter().sum::<f64>().round_ties_even();
    loop {
        let missing = want - ints.iter().sum::<f64>();
        if missing.abs() < 0.5 {
            return ints.into_iter().map(|v| v.max(0.0) as u64).collect();
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        let part = |i: usize| values[i] - ints[i];
        let rising = |a: &usize, b: &usize| part(*a).total_cmp(&part(*b)).then(a.cmp(b));
        let units = (missing.abs() as usize).min(order.len());
        if units < order.len() && missing > 0.0 {
            order.select_nth_unstable_by(units, |a, b| rising(b, a));
        } else if units < order.len() {
            order.select_nth_unstable_by(units, rising);
        }
        for &i in &order[..units] {
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
