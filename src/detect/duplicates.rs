//! Groups of samples that are copies of one another, or nearly.
//!
//! Exact copies are found by hash and compared value by value. Near ones are pairs of neighbours closer
//! than a threshold that follows the data: 0.13 of the median distance to the nearest neighbour, which is
//! Datalab's rule, but never more than [`MOST_DISTANCE`]. Distances are 1 - cosine similarity.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::error::{DetectError, check_features, check_length};
use super::neighbours::{EXACT_BELOW, Neighbours, nearest_of_unit_rows};
use crate::arrays::{dot, l2_normalized_rows};

/// Share of the median distance to the nearest neighbour below which a pair is a near-duplicate.
pub const SHARE_OF_MEDIAN: f64 = 0.13;
/// Near-duplicates are never farther apart than this, however scattered the data are: 11 degrees.
pub const MOST_DISTANCE: f64 = 0.02;
/// Distances below this are rounding: f32 rows of one direction.
pub(super) const ROUNDING: f64 = 1e-6;
/// First members that a row of a long chain is compared with, the latest ones.
const MOST_FIRSTS: usize = 64;

/// Groups of near-duplicates, at least two rows each.
#[derive(Clone, Debug, PartialEq)]
pub struct Duplicates {
    /// Group of each row.
    pub group: Vec<Option<u32>>,
    /// Rows of each group, ascending; groups in the order of their first row.
    pub groups: Vec<Vec<u32>>,
    /// Whether another row has the very same values. A row of zeros (nothing known) never does.
    pub exact: Vec<bool>,
    /// 1 - exp(-distance to the nearest row / median of those distances), in [0, 1]: low =
    /// near-duplicate, 0 = same direction; 1 without neighbours. Datalab's.
    pub score: Vec<f32>,
    /// The distance below which a pair of rows was taken for near-duplicates.
    pub threshold: f64,
}

/// Near-duplicates among the rows of `x` (N, D), by their `neighbours`.
///
/// A pair of neighbours, in either direction, closer than the threshold links its rows, and so does
/// equality. A group is a set of linked rows; but links form chains, whose ends need not be alike. So
/// the rows of a set are taken in order and each joins the first group whose first row is within
/// twice the threshold of it, or else opens another. Only a row that would end up alone joins the
/// group of the row that it is linked to.
///
/// N (D + k) operations and one distance for each row and group of a set.
/// Errors: neighbours of another number of rows, a feature that is not finite.
pub fn duplicates(x: ArrayView2<'_, f32>, neighbours: &Neighbours) -> Result<Duplicates, DetectError> {
    let n = x.nrows();
    check_length("neighbours", n, neighbours.index.nrows())?;
    check_features(x)?;
    let x = x.as_standard_layout();
    let row = |i: u32| x.row(i as usize).to_slice().unwrap_or_default();
    let nearest: Vec<f64> = match neighbours.k() {
        0 => Vec::new(),
        _ => neighbours.similarity.column(0).iter().map(|&s| distance(s)).collect(),
    };
    let middle = median(&nearest).max(ROUNDING);
    let threshold = (SHARE_OF_MEDIAN * middle).clamp(ROUNDING, MOST_DISTANCE);

    let copies = copies(n, &row);
    let mut exact = vec![false; n];
    let mut links: Vec<(u32, u32)> = Vec::new();
    for &(i, first) in &copies {
        (exact[i as usize], exact[first as usize]) = (true, true);
        links.push((first, i));
    }
    for (i, (index, similarity)) in
        neighbours.index.rows().into_iter().zip(neighbours.similarity.rows()).enumerate()
    {
        let near = index.iter().zip(similarity).take_while(|(_, s)| distance(**s) < threshold);
        links.extend(near.map(|(&j, _)| ((i as u32).min(j), (i as u32).max(j))));
    }
    links.sort_unstable();
    links.dedup();

    let apart = |a: u32, b: u32| {
        let (a, b) = (row(a), row(b));
        let norms = (dot(a, a) * dot(b, b)).sqrt();
        if norms > 0.0 { 1.0 - dot(a, b) / norms } else { 1.0 }
    };
    let mut groups: Vec<Vec<u32>> = linked_sets(n, &links)
        .into_iter()
        .flat_map(|set| split(&set, &links, 2.0 * threshold, &apart))
        .collect();
    groups.sort_unstable(); // by first row
    let mut group = vec![None; n];
    for (g, rows) in groups.iter().enumerate() {
        rows.iter().for_each(|&i| group[i as usize] = Some(g as u32));
    }
    let score = (0..n)
        .map(|i| match nearest.get(i) {
            _ if exact[i] => 0.0,
            Some(d) => -(-d / middle).exp_m1() as f32,
            None => 1.0,
        })
        .collect();
    Ok(Duplicates { group, groups, exact, score, threshold })
}

/// Neighbours among which near-duplicates are searched.
const NEAR: usize = 10;

/// [`duplicates`] of the rows of `x` (N, D) with neighbours of its own, all of them below
/// [`EXACT_BELOW`](super::neighbours::EXACT_BELOW) rows, nearly all above. `progress(done rows, N)` cancels by
/// returning false. N^2 D operations at most.
pub fn near_duplicates(
    x: ArrayView2<'_, f32>,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Duplicates, DetectError> {
    check_features(x)?;
    let unit = l2_normalized_rows(x);
    let neighbours = nearest_of_unit_rows(unit.view(), NEAR, EXACT_BELOW, progress)?;
    duplicates(unit.view(), &neighbours)
}

impl Duplicates {
    /// Groups whose members carry different labels, ascending.
    pub fn conflicts(&self, labels: &[usize]) -> Result<Vec<u32>, DetectError> {
        check_length("labels", self.group.len(), labels.len())?;
        let differ = |rows: &Vec<u32>| rows.iter().any(|&i| labels[i as usize] != labels[rows[0] as usize]);
        Ok((0..).zip(&self.groups).filter(|(_, rows)| differ(rows)).map(|(g, _)| g).collect())
    }
}

/// 1 - similarity, rounding taken for 0.
pub(super) fn distance(similarity: f32) -> f64 {
    let d = 1.0 - f64::from(similarity);
    if d < ROUNDING { 0.0 } else { d }
}

/// The middle value, or the mean of the two middle ones; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    super::outliers::quantile(values, 0.5)
}

/// (row, the first row with the same values) of every row that is not the first of its kind.
fn copies<'a>(n: usize, row: &(impl Fn(u32) -> &'a [f32] + Sync)) -> Vec<(u32, u32)> {
    let hash = |i: u32| {
        let values = row(i);
        let mut hasher = DefaultHasher::new();
        // 0 and -0 are equal; adding 0 makes them the same bits.
        values.iter().for_each(|v| hasher.write_u32((v + 0.0).to_bits()));
        values.iter().any(|v| *v != 0.0).then(|| hasher.finish())
    };
    let hashes: Vec<Option<u64>> = (0..n as u32).into_par_iter().map(hash).collect();
    let mut kinds: HashMap<u64, Vec<u32>> = HashMap::with_capacity(n);
    let mut out = Vec::new();
    for (i, hash) in (0..).zip(hashes) {
        let Some(hash) = hash else { continue };
        let firsts = kinds.entry(hash).or_default();
        match firsts.iter().find(|&&first| row(first) == row(i)) {
            Some(&first) => out.push((i, first)),
            None => firsts.push(i),
        }
    }
    out
}

/// Sets of two or more rows that links hold together, each ascending.
fn linked_sets(n: usize, links: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut parent: Vec<u32> = (0..n as u32).collect();
    fn root(parent: &mut [u32], mut i: u32) -> u32 {
        while parent[i as usize] != i {
            let up = parent[parent[i as usize] as usize];
            parent[i as usize] = up;
            i = up;
        }
        i
    }
    for &(a, b) in links {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b) as usize] = a.min(b);
    }
    let mut sets: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for i in 0..n as u32 {
        sets.entry(root(&mut parent, i)).or_default().push(i);
    }
    sets.into_values().filter(|set| set.len() > 1).collect()
}

/// Groups of one linked set; see [`duplicates`].
fn split(set: &[u32], links: &[(u32, u32)], most: f64, apart: &impl Fn(u32, u32) -> f64) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for &i in set {
        let from = groups.len().saturating_sub(MOST_FIRSTS);
        match groups[from..].iter_mut().find(|g| apart(g[0], i) <= most) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    let (mut whole, alone): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.len() > 1);
    for i in alone.into_iter().flatten() {
        let linked = |j: &u32| {
            let pair = (i.min(*j), i.max(*j));
            links.binary_search(&pair).is_ok()
        };
        match whole.iter_mut().find(|g| g.iter().any(linked)) {
            Some(group) => {
                group.push(i);
                group.sort_unstable();
            }
            // Linked only to rows that would be alone too.
            None => whole.push(vec![i]),
        }
    }
    whole.retain(|g| g.len() > 1);
    whole
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::neighbours::nearest;
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::{Array2, Axis, array};
    use proptest::prelude::*;

    fn go(x: &Array2<f32>) -> Duplicates {
        let neighbours = nearest(x.view(), 5, &mut |_, _| true).unwrap();
        duplicates(x.view(), &neighbours).unwrap()
    }

    /// 60 random rows; 40 copies 7, 41 nearly copies 8, 42 nearly copies 41.
    fn planted() -> Array2<f32> {
        let mut x = gaussian_matrix(60, 24, &mut rng(8));
        for (to, from, change) in [(40, 7, 0.0), (41, 8, 0.01), (42, 41, 0.01)] {
            let row = x.row(from).to_owned();
            x.row_mut(to).assign(&row);
            x[[to, to - 38]] += change;
        }
        x
    }

    #[test]
    fn groups_by_hand() {
        let found = go(&planted());
        assert_eq!(found.groups, [vec![7, 40], vec![8, 41, 42]]);
        assert_eq!((found.group[40], found.group[42], found.group[9]), (Some(0), Some(1), None));
        assert_eq!(found.exact.iter().filter(|e| **e).count(), 2);
        assert!(found.score[7] == 0.0 && found.score[41] < 0.01 && found.score[9] > 0.3);
        let mut labels = vec![1; 60];
        assert!(found.conflicts(&labels).unwrap().is_empty());
        labels[42] = 2;
        assert_eq!(found.conflicts(&labels).unwrap(), [1]);
        assert!(found.conflicts(&labels[1..]).is_err());
    }

    #[test]
    fn scores_are_datalabs() {
        let found = go(&golden::features());
        for (i, (ours, theirs)) in found.score.iter().zip(golden::NEAR_DUPLICATE).enumerate() {
            assert!((ours - theirs).abs() < 2e-5, "{i}: {ours} {theirs}");
        }
        let flagged: Vec<usize> = (0..40).filter(|&i| found.group[i].is_some()).collect();
        assert_eq!(flagged, golden::IS_NEAR_DUPLICATE);
    }

    #[test]
    fn a_chain_is_cut_where_its_ends_part() {
        // Rows on an arc in steps of just under the threshold, among scattered ones that set it.
        let angle = |i: usize| i as f32 * 0.15;
        let mut x = gaussian_matrix(200, 40, &mut rng(2));
        for i in 0..9 {
            x.row_mut(i).fill(0.0);
            (x[[i, 0]], x[[i, 1]]) = (angle(i).cos(), angle(i).sin());
        }
        let found = go(&x);
        assert_eq!(found.threshold, MOST_DISTANCE);
        let chain: Vec<&Vec<u32>> = found.groups.iter().filter(|g| g[0] < 9).collect();
        assert!(chain.len() > 1 && chain.iter().map(|g| g.len()).sum::<usize>() == 9, "{chain:?}");
        for group in chain {
            let last = group[group.len() - 1];
            assert!(1.0 - (angle(last as usize) - angle(group[0] as usize)).cos() < 0.05, "{group:?}");
        }
    }

    #[test]
    fn degenerate_input() {
        assert!(go(&Array2::zeros((0, 3))).groups.is_empty());
        let one = go(&array![[1.0f32, 2.0]]);
        assert_eq!((one.group, one.score), (vec![None], vec![1.0]));
        assert_eq!(go(&array![[1.0f32, 2.0], [1.0, 2.0]]).groups, [vec![0, 1]]);
        let same = go(&Array2::ones((30, 4)));
        assert_eq!(same.groups, [(0..30).collect::<Vec<u32>>()]);
        assert!(same.exact.iter().all(|e| *e) && same.score.iter().all(|s| *s == 0.0));
        let zeros = go(&Array2::zeros((30, 4)));
        assert!(zeros.groups.is_empty() && !zeros.exact[0] && zeros.score[0] > 0.5);
        assert_eq!(go(&array![[0.0f32, 1.0], [-0.0, 1.0]]).exact, [true, true]);
    }

    proptest! {
        #[test]
        fn permuting_rows_permutes_the_result(seed: u64) {
            use rand::seq::SliceRandom;
            let x = planted();
            let mut order: Vec<usize> = (0..60).collect();
            order.shuffle(&mut rng(seed));
            let (plain, moved) = (go(&x), go(&x.select(Axis(0), &order)));
            let mut back: Vec<Vec<u32>> = moved
                .groups
                .iter()
                .map(|g| {
                    let mut rows: Vec<u32> = g.iter().map(|&i| order[i as usize] as u32).collect();
                    rows.sort_unstable();
                    rows
                })
                .collect();
            back.sort_unstable();
            prop_assert_eq!(&back, &plain.groups);
            for (i, &from) in order.iter().enumerate() {
                prop_assert_eq!(moved.exact[i], plain.exact[from]);
                prop_assert_eq!(moved.score[i], plain.score[from]);
            }
        }

        #[test]
        fn in_range_and_consistent(n in 0usize..40, d in 1usize..4, seed: u64) {
            // Few values: many copies, zero rows, equal directions.
            let x = gaussian_matrix(n, d, &mut rng(seed)).mapv(|v| v.round());
            let found = go(&x);
            prop_assert!(found.score.iter().all(|s| (0.0..=1.0).contains(s)));
            for (g, rows) in found.groups.iter().enumerate() {
                prop_assert!(rows.len() > 1 && rows.windows(2).all(|w| w[0] < w[1]));
                prop_assert!(rows.iter().all(|&i| found.group[i as usize] == Some(g as u32)));
            }
            prop_assert!(found.groups.windows(2).all(|w| w[0][0] < w[1][0]));
            prop_assert_eq!(found.group.iter().flatten().count(), found.groups.iter().map(Vec::len).sum::<usize>());
            for (i, exact) in found.exact.iter().enumerate() {
                prop_assert!(!exact || found.group[i].is_some());
            }
        }
    }
}
