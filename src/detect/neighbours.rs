//! Exact cosine neighbours by blocked products, and what their labels say of a sample's label.
//! Memory: one tile per thread; never N x N. Ties go to the lower row, so results repeat bit by bit.

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use super::error::{DetectError, check_features, check_length};
use crate::arrays::{l2_normalized_rows, product};

/// Queries and candidates of one tile: 256 x 2048 x 4 bytes = 2 MiB.
const QUERIES: usize = 256;
const CANDIDATES: usize = 2048;
/// Query blocks between two reports of progress.
const REPORT_BLOCKS: usize = 16;

/// The nearest other samples of each sample, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// (N, k) rows; k is at most N - 1.
    pub index: Array2<u32>,
    /// (N, k) cosine similarities in [-1, 1]. A row of zeros is similar (0) to nothing.
    pub similarity: Array2<f32>,
}

/// The `k` nearest other rows of each row of `x` (N, D) by cosine. `progress(done rows, N)` cancels by
/// returning false. 2 N^2 D floating-point operations.
pub fn nearest(
    x: ArrayView2<'_, f32>,
    k: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Neighbours, DetectError> {
    check_features(x)?;
    nearest_of_unit_rows(l2_normalized_rows(x).view(), k, progress)
}

/// [`nearest`] for rows already of unit length (or zero).
pub(crate) fn nearest_of_unit_rows(
    x: ArrayView2<'_, f32>,
    k: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Neighbours, DetectError> {
    let n = x.nrows();
    if u32::try_from(n).is_err() {
        return Err(DetectError::Param {
            name: "samples",
            value: n as f64,
            rule: "rows are numbered in 32 bits",
        });
    }
    let k = k.min(n.saturating_sub(1));
    let mut index = Array2::zeros((n, k));
    let mut similarity = Array2::zeros((n, k));
    let blocks: Vec<usize> = (0..n).step_by(QUERIES).collect();
    for group in blocks.chunks(REPORT_BLOCKS) {
        let found: Vec<Vec<Best>> = group.par_iter().map(|&start| block(x, start, k)).collect();
        for (&start, rows) in group.iter().zip(found) {
            for (r, best) in rows.into_iter().enumerate() {
                for (j, (value, i)) in best.entries.into_iter().enumerate() {
                    index[[start + r, j]] = i;
                    similarity[[start + r, j]] = value.clamp(-1.0, 1.0);
                }
            }
        }
        let done = group.last().map_or(n, |last| (last + QUERIES).min(n));
        if !progress(done, n) {
            return Err(DetectError::Cancelled);
        }
    }
    Ok(Neighbours { index, similarity })
}

/// The k best so far, descending; equals in order of arrival.
struct Best {
    k: usize,
    entries: Vec<(f32, u32)>,
}

impl Best {
    /// A value must exceed this to enter.
    fn bar(&self) -> f32 {
        if self.entries.len() < self.k { f32::NEG_INFINITY } else { self.entries[self.k - 1].0 }
    }

    fn insert(&mut self, value: f32, i: u32) {
        let at = self.entries.partition_point(|e| e.0 >= value);
        if self.entries.len() == self.k {
            self.entries.pop();
        }
        self.entries.insert(at, (value, i));
    }
}

fn block(x: ArrayView2<'_, f32>, start: usize, k: usize) -> Vec<Best> {
    let n = x.nrows();
    let queries = x.slice(s![start..(start + QUERIES).min(n), ..]);
    let mut best: Vec<Best> =
        (0..queries.nrows()).map(|_| Best { k, entries: Vec::with_capacity(k + 1) }).collect();
    if k == 0 {
        return best;
    }
    let mut tile = Array2::<f32>::zeros((queries.nrows(), CANDIDATES.min(n)));
    for from in (0..n).step_by(CANDIDATES) {
        let candidates = x.slice(s![from..(from + CANDIDATES).min(n), ..]);
        let width = candidates.nrows();
        product::tile(tile.slice_mut(s![.., ..width]), queries, candidates.t());
        for (r, (best, row)) in best.iter_mut().zip(tile.rows_mut()).enumerate() {
            let row = &mut row.into_slice().expect("rows of a standard matrix are contiguous")[..width];
            if let Some(own) = row.get_mut((start + r).wrapping_sub(from)) {
                *own = f32::NEG_INFINITY;
            }
            let mut bar = best.bar();
            for (j, &v) in row.iter().enumerate() {
                if v > bar {
                    best.insert(v, (from + j) as u32);
                    bar = best.bar();
                }
            }
        }
    }
    best
}

impl Neighbours {
    /// Neighbours of each sample.
    pub fn k(&self) -> usize {
        self.index.ncols()
    }

    /// Share of each sample's neighbours that carry its label, in [0, 1], every neighbour counting one;
    /// 0 without neighbours.
    pub fn agreement(&self, labels: &[usize]) -> Result<Vec<f32>, DetectError> {
        check_length("labels", self.index.nrows(), labels.len())?;
        let k = self.k().max(1) as f32;
        let agree = |(i, row): (usize, ndarray::ArrayView1<'_, u32>)| {
            row.iter().filter(|&&j| labels[j as usize] == labels[i]).count() as f32 / k
        };
        Ok(self.index.rows().into_iter().enumerate().map(agree).collect())
    }

    /// The neighbours' vote on each sample, every neighbour weighing its similarity (none below 0).
    pub fn votes(&self, labels: &[usize]) -> Result<Vec<Vote>, DetectError> {
        check_length("labels", self.index.nrows(), labels.len())?;
        let rows = self.index.rows().into_iter().zip(self.similarity.rows());
        Ok(rows
            .map(|(index, similarity)| {
                Vote::count(index.iter().zip(similarity).map(|(&j, &w)| (labels[j as usize], w)))
            })
            .collect())
    }
}

/// A weighted vote: the shares of the classes that got any, by class; they sum to 1. Empty when no
/// neighbour is similar at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vote {
    pub shares: Vec<(usize, f32)>,
}

impl Vote {
    fn count(ballots: impl Iterator<Item = (usize, f32)>) -> Self {
        let mut weights = std::collections::BTreeMap::<usize, f64>::new();
        for (class, w) in ballots.filter(|(_, w)| *w > 0.0) {
            *weights.entry(class).or_default() += f64::from(w);
        }
        let total: f64 = weights.values().sum();
        Self { shares: weights.into_iter().map(|(c, w)| (c, (w / total) as f32)).collect() }
    }

    /// Share of `class`, in [0, 1].
    pub fn share(&self, class: usize) -> f32 {
        self.shares.iter().find(|(c, _)| *c == class).map_or(0.0, |(_, s)| *s)
    }

    /// The class other than `class` with the largest share (the lowest of equals), if any.
    pub fn best_other(&self, class: usize) -> Option<(usize, f32)> {
        let others = self.shares.iter().copied().filter(|(c, _)| *c != class);
        others.fold(None, |best, (c, s)| if best.is_none_or(|(_, b)| s > b) { Some((c, s)) } else { best })
    }

    /// Share of the best other class less the label's, in [-1, 1], higher = worse label; NaN (no
    /// opinion) for an empty vote.
    pub fn margin(&self, label: usize) -> f64 {
        if self.shares.is_empty() {
            return f64::NAN;
        }
        f64::from(self.best_other(label).map_or(0.0, |(_, s)| s)) - f64::from(self.share(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::array;
    use proptest::prelude::*;

    fn go(x: ArrayView2<'_, f32>, k: usize) -> Neighbours {
        nearest(x, k, &mut |_, _| true).unwrap()
    }

    #[test]
    fn by_hand_with_ties_and_a_zero_row() {
        let x = array![[1.0f32, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0], [5.0, 0.0]];
        let nn = go(x.view(), 2);
        assert_eq!(nn.index.row(0).to_vec(), [1, 4]);
        assert_eq!(nn.index.row(4).to_vec(), [0, 1]); // equal similarity: lower row first
        assert_eq!(nn.similarity.row(1).to_vec(), [1.0, 1.0]);
        assert_eq!(nn.similarity.row(3).to_vec(), [0.0, 0.0]);
        let labels = [0, 0, 1, 1, 1];
        assert_eq!(nn.agreement(&labels).unwrap(), [0.5, 0.5, 0.0, 0.0, 0.0]);
        let votes = nn.votes(&labels).unwrap();
        assert_eq!((votes[0].share(0), votes[0].share(1), votes[0].margin(0)), (0.5, 0.5, 0.0));
        assert_eq!((votes[4].best_other(1), votes[4].margin(1)), (Some((0, 1.0)), 1.0));
        assert!(votes[3].margin(1).is_nan());
    }

    #[test]
    fn agrees_with_sorting_all_pairs_across_tiles() {
        let n = CANDIDATES + 300;
        let x = gaussian_matrix(n, 5, &mut rng(31));
        let nn = go(x.view(), 7);
        let unit = l2_normalized_rows(x.view());
        for i in [0, 1, QUERIES, CANDIDATES - 1, CANDIDATES, n - 1] {
            let mut all: Vec<(f64, usize)> = (0..n)
                .filter(|&j| j != i)
                .map(|j| ((0..5).map(|t| f64::from(unit[[i, t]]) * f64::from(unit[[j, t]])).sum(), j))
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (j, want) in all.iter().take(7).enumerate() {
                assert!((f64::from(nn.similarity[[i, j]]) - want.0).abs() < 1e-5);
            }
            assert_eq!(nn.index[[i, 0]] as usize, all[0].1);
        }
    }

    #[test]
    fn fewer_samples_than_neighbours() {
        assert_eq!(go(array![[1.0f32]].view(), 10).index.dim(), (1, 0));
        assert_eq!(go(array![[1.0f32], [2.0]].view(), 10).index, array![[1u32], [0]]);
        assert_eq!(go(Array2::zeros((0, 3)).view(), 10).index.dim(), (0, 0));
    }

    #[test]
    fn refuses_nan_and_cancels() {
        let x = array![[1.0f32, 2.0], [f32::NAN, 0.0]];
        let message = nearest(x.view(), 1, &mut |_, _| true).unwrap_err().to_string();
        assert!(message.contains("row 1, column 0"), "{message}");
        let x = Array2::<f32>::ones((3, 2));
        assert_eq!(nearest(x.view(), 1, &mut |_, _| false).unwrap_err(), DetectError::Cancelled);
    }

    proptest! {
        #[test]
        fn never_oneself_never_twice(n in 2usize..40, d in 1usize..6, k in 1usize..12, seed: u64) {
            let x = gaussian_matrix(n, d, &mut rng(seed));
            let nn = go(x.view(), k);
            for (i, row) in nn.index.rows().into_iter().enumerate() {
                let mut seen: Vec<u32> = row.to_vec();
                prop_assert!(!seen.contains(&(i as u32)));
                seen.sort_unstable();
                seen.dedup();
                prop_assert_eq!(seen.len(), k.min(n - 1));
                let s = nn.similarity.row(i);
                prop_assert!(s.iter().zip(s.iter().skip(1)).all(|(a, b)| a >= b));
            }
        }
    }
}
