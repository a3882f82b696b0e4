//! Cosine neighbours, and what their labels say of a sample's label: all of them below [`EXACT_BELOW`]
//! rows, from there on at least 98 in 100, with the share measured.
//! Memory: two bytes a value besides the rows, and a tile per thread; never N x N. Ties go to the lower
//! row, so results repeat bit by bit for any number of threads.

mod approximate;
mod codes;
mod exact;
mod marks;
mod similarity;

use ndarray::{Array2, ArrayView2, s};

use self::exact::{Search, worth_coding};
use super::clusters;
use super::error::{DetectError, check_features, check_length};
use crate::arrays::l2_normalized_rows;

/// From this many rows on neighbours are not searched among all pairs. Below, all pairs cost minutes at
/// most and nobody has to ask what was missed.
pub const EXACT_BELOW: usize = 200_000;
/// From here on the rows are brought into an order of visit first.
const CLUSTERED_ROWS: usize = 4096;

/// The nearest other samples of each sample, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// (N, k) rows; k is at most N - 1.
    pub index: Array2<u32>,
    /// (N, k) cosine similarities in [-1, 1]. A row of zeros is similar (0) to nothing.
    pub similarity: Array2<f32>,
    /// Share of the true neighbours among `index` as measured on 1,000 seeded rows; `None`: all pairs were
    /// searched, so these are the nearest.
    pub recall: Option<f32>,
}

/// The `k` nearest other rows of each row of `x` (N, D) by cosine. `progress(done rows, N)` cancels by
/// returning false. Exact: at most N^2 D floating-point operations; a third of that time where most pairs
/// are far from being neighbours.
pub fn nearest(
    x: ArrayView2<'_, f32>,
    k: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Neighbours, DetectError> {
    check_features(x)?;
    nearest_of_unit_rows(l2_normalized_rows(x).view(), k, usize::MAX, progress)
}

/// [`nearest`] for rows already of unit length (or zero); from `exact_below` rows on nearly all of them (see
/// [`Neighbours::recall`]), in time that grows little faster than the rows.
pub(crate) fn nearest_of_unit_rows(
    x: ArrayView2<'_, f32>,
    k: usize,
    exact_below: usize,
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
    let (mut index, mut similarity) = (Array2::zeros((n, k)), Array2::zeros((n, k)));
    if k == 0 {
        return if progress(n, n) {
            Ok(Neighbours { index, similarity, recall: None })
        } else {
            Err(DetectError::Cancelled)
        };
    }
    let standard = x.as_standard_layout();
    let (search, recall) = if n < exact_below {
        let coded = worth_coding(x.ncols());
        let search = Search::new(standard.view(), visiting_order(standard.view()), k, coded);
        search.run(progress).then_some((search, None))
    } else {
        approximate::search(standard.view(), k, progress)
    }
    .ok_or(DetectError::Cancelled)?;
    for (row, best) in search.into_best() {
        for (j, (value, other)) in best.entries.into_iter().enumerate() {
            index[[row as usize, j]] = other;
            similarity[[row as usize, j]] = value;
        }
    }
    Ok(Neighbours { index, similarity, recall: recall.map(|r| r as f32) })
}

/// Rows so that similar ones stand near each other: by the nearest of some rough centres. Only the
/// time that the search takes depends on it.
fn visiting_order(x: ArrayView2<'_, f32>) -> Vec<u32> {
    let n = x.nrows();
    let mut order: Vec<u32> = (0..n as u32).collect();
    if n >= CLUSTERED_ROWS {
        let (of, _) = clusters::rough(x, (n / 256).clamp(16, 128));
        order.sort_by_key(|&i| of[i as usize]); // stable: by row within a cluster
    }
    order
}

impl Neighbours {
    /// Only the `k` nearest of each sample, or all where there are fewer.
    pub fn first(&self, k: usize) -> Self {
        let k = k.min(self.k());
        Self {
            index: self.index.slice(s![.., ..k]).to_owned(),
            similarity: self.similarity.slice(s![.., ..k]).to_owned(),
            recall: self.recall,
        }
    }

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
}

#[cfg(test)]
mod tests {
    use super::exact::BLOCK;
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
        assert_eq!((votes[0].share(0), votes[0].share(1)), (0.5, 0.5));
        assert_eq!((votes[4].best_other(1), votes[4].share(1)), (Some((0, 1.0)), 0.0));
        assert!(votes[3].shares.is_empty());
    }

    #[test]
    fn agrees_with_sorting_all_pairs_across_tiles() {
        let n = 4 * BLOCK + 300;
        let x = gaussian_matrix(n, 5, &mut rng(31));
        let nn = go(x.view(), 7);
        let unit = l2_normalized_rows(x.view());
        for i in [0, 1, BLOCK - 1, BLOCK, 4 * BLOCK, n - 1] {
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

    /// The definition: every pair by the one routine.
    fn all_pairs(x: ArrayView2<'_, f32>, k: usize) -> Neighbours {
        let unit = l2_normalized_rows(x);
        let (n, k) = (x.nrows(), k.min(x.nrows().saturating_sub(1)));
        let (mut index, mut values) = (Array2::zeros((n, k)), Array2::zeros((n, k)));
        for i in 0..n {
            let row = |i: usize| unit.row(i).to_slice().unwrap();
            let mut all: Vec<(f32, usize)> =
                (0..n).filter(|&j| j != i).map(|j| (similarity::similarity(row(i), row(j)), j)).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            for (j, (v, other)) in all.into_iter().take(k).enumerate() {
                (index[[i, j]], values[[i, j]]) = (other as u32, v);
            }
        }
        Neighbours { index, similarity: values, recall: None }
    }

    /// Rows around `centres` directions, with copies of rows and rows of zeros among them.
    fn blobs(n: usize, d: usize, centres: usize, seed: u64) -> Array2<f32> {
        let mut r = rng(seed);
        let (c, noise) = (gaussian_matrix(centres, d, &mut r), gaussian_matrix(n, d, &mut r));
        let mut x =
            Array2::from_shape_fn((n, d), |(i, j)| (c[[i * 7 % centres, j]] + noise[[i, j]]).max(0.0));
        for i in (10..n).step_by(37) {
            let copy = x.row(i - 9).to_owned();
            x.row_mut(i).assign(&copy);
        }
        (5..n).step_by(301).for_each(|i| x.row_mut(i).fill(0.0));
        x
    }

    #[test]
    fn every_filter_order_and_number_of_threads_gives_the_definition() {
        for (n, d, centres) in [(1300, 96, 9), (CLUSTERED_ROWS + 5, 64, 30), (700, 40, 3), (600, 70, 600)] {
            let x = blobs(n, d, centres, 3);
            let want = all_pairs(x.view(), 6);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| go(x.view(), 6)) == want, "{n} x {d}, {threads} threads");
            }
            let unit = l2_normalized_rows(x.view());
            for coded in [false, true] {
                let backwards: Vec<u32> = (0..n as u32).rev().collect();
                let search = Search::new(unit.view(), backwards, 6, coded);
                assert!(search.run(&mut |_, _| true));
                for (row, best) in search.into_best() {
                    let found: Vec<u32> = best.entries.iter().map(|e| e.1).collect();
                    assert_eq!(found, want.index.row(row as usize).to_vec(), "{n} x {d}, coded {coded}");
                }
            }
        }
    }

    #[test]
    fn equal_rows_and_rows_of_zeros() {
        for x in [Array2::<f32>::ones((600, 80)), Array2::zeros((600, 80))] {
            let nn = go(x.view(), 3);
            assert_eq!(nn.index.row(0).to_vec(), [1, 2, 3]);
            assert_eq!(nn.index.row(599).to_vec(), [0, 1, 2]);
        }
    }

    #[test]
    fn progress_ends_at_all_rows() {
        let mut seen = Vec::new();
        nearest(blobs(1100, 8, 3, 1).view(), 2, &mut |done, n| {
            seen.push((done, n));
            true
        })
        .unwrap();
        assert_eq!(seen.last(), Some(&(1100, 1100)));
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
