//! Whether the order of the samples means something: whether neighbours in feature space stand near each
//! other in the data set, as in one sorted by class, appended in batches, or cut from one video.
//!
//! The distances |i - j| between the numbers of neighbours are held against those of random pairs by a
//! Kolmogorov-Smirnov statistic. Neighbour pairs share rows and are not independent, so its usual
//! tables do not apply: what it reaches by chance comes from renumbering the rows at random.

use rand::seq::{SliceRandom, index};
use rayon::prelude::*;

use super::error::DetectError;
use super::neighbours::Neighbours;
use crate::arrays::rng;

/// Random renumberings: the least p-value is 1 / 200.
const RENUMBERINGS: usize = 199;
/// Rows beyond which a sample of them is tested, with all their neighbours.
const TESTED_ROWS: usize = 20_000;

/// Of the order of the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct NonIid {
    /// Chance of a statistic at least as large if the order meant nothing, in [0, 1] (Monte Carlo, the
    /// data's own order counted in; 1 for fewer than three samples).
    pub p_value: f64,
    /// Largest difference between the two distribution functions, in [0, 1].
    pub statistic: f64,
    /// In [0, 1] for each sample: low where its neighbours' numbers are unlike those of random rows.
    /// Means little by itself when `p_value` is high. Datalab's.
    pub score: Vec<f32>,
}

/// Tests the order of the rows that `neighbours` were found for. O(N k) and, for the p-value, 200 times
/// N + 20,000 k. Errors: a neighbour that is no row.
pub fn non_iid(neighbours: &Neighbours, seed: u64) -> Result<NonIid, DetectError> {
    let (n, k) = neighbours.index.dim();
    if let Some(bad) = neighbours.index.iter().find(|j| **j as usize >= n) {
        let rule = "there is no such row";
        return Err(DetectError::Param { name: "a neighbour", value: f64::from(*bad), rule });
    }
    if n < 3 || k == 0 {
        return Ok(NonIid { p_value: 1.0, statistic: 0.0, score: vec![1.0; n] });
    }
    let mut r = rng(seed);
    let rows: Vec<usize> =
        if n <= TESTED_ROWS { (0..n).collect() } else { index::sample(&mut r, n, TESTED_ROWS).into_vec() };
    let pairs: Vec<(u32, u32)> = rows
        .iter()
        .flat_map(|&i| neighbours.index.row(i).to_vec().into_iter().map(move |j| (i as u32, j)))
        .collect();
    let own: Vec<u32> = (0..n as u32).collect();
    let reached = statistic(&pairs, &own);
    let as_far = (0..RENUMBERINGS as u64)
        .into_par_iter()
        .filter(|t| {
            let mut numbers = own.clone();
            // A generator each, so that threads do not change the draw; spread by an odd constant.
            numbers.shuffle(&mut rng(seed ^ (t + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            statistic(&pairs, &numbers) >= reached
        })
        .count();
    let score = (neighbours.index.rows().into_iter().enumerate())
        .map(|(i, row)| {
            let mut apart: Vec<f64> = row.iter().map(|&j| (i as f64 - f64::from(j)).abs()).collect();
            apart.sort_unstable_by(f64::total_cmp);
            row_score(i, n, &apart)
        })
        .collect();
    Ok(NonIid { p_value: (as_far + 1) as f64 / (RENUMBERINGS + 1) as f64, statistic: reached, score })
}

/// Largest difference between the distribution of |number i - number j| over the pairs and that over all
/// pairs of different rows, where a distance t has the weight 2 (N - t) / (N (N - 1)).
fn statistic(pairs: &[(u32, u32)], numbers: &[u32]) -> f64 {
    let n = numbers.len();
    let mut counts = vec![0u32; n];
    for &(i, j) in pairs {
        counts[numbers[i as usize].abs_diff(numbers[j as usize]) as usize] += 1;
    }
    let (each, all) = (1.0 / pairs.len() as f64, 2.0 / (n as f64 * (n - 1) as f64));
    let (mut found, mut random, mut most) = (0u64, 0f64, 0f64);
    for (t, &count) in counts.iter().enumerate() {
        found += u64::from(count);
        random += if t > 0 { (n - t) as f64 * all } else { 0.0 };
        most = most.max((found as f64 * each - random).abs());
    }
    most.min(1.0)
}

/// 1 - tanh(area / span): the area between the distribution of a row's ascending distances to its
/// neighbours and that of its distances to all rows, taken on each stretch between two neighbours, over
/// the farthest that a row can be. Row `i` of `n`.
fn row_score(i: usize, n: usize, apart: &[f64]) -> f32 {
    let last = (n - 1) as f64;
    // Up to `two` there is a row on either side at every distance, from there to `one` on one side.
    let two = i.min(n - 1 - i) as f64;
    let one = last - two;
    // Integral of the distribution of distances to all rows from 0 to t.
    let area = |t: f64| {
        if t <= two {
            t * t / last
        } else if t <= one {
            (two * two + (t + 3.0 * two) * (t - two) / 2.0) / last
        } else {
            (two * two + (one + 3.0 * two) * (one - two) / 2.0) / last + (t - one)
        }
    };
    let k = apart.len() as f64;
    let (mut from, mut sum) = (0f64, 0f64);
    for (c, &to) in apart.iter().chain([&last]).enumerate() {
        sum += (c as f64 / k * (to - from) - (area(to) - area(from))).abs();
        from = to;
    }
    let span = i.max(n - i) as f64;
    (1.0 - (sum / span).tanh()) as f32
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::neighbours::nearest;
    use super::*;
    use crate::arrays::gaussian_matrix;
    use ndarray::{Array2, Axis};
    use proptest::prelude::*;

    fn go(x: &Array2<f32>, k: usize) -> NonIid {
        non_iid(&nearest(x.view(), k, &mut |_, _| true).unwrap(), 1).unwrap()
    }

    /// 400 rows of four classes, sorted by class.
    fn sorted() -> Array2<f32> {
        let noise = gaussian_matrix(400, 16, &mut rng(6));
        Array2::from_shape_fn((400, 16), |(i, j)| 2.0 * f32::from(j % 4 == i / 100) + noise[[i, j]])
    }

    #[test]
    fn an_order_by_class_shows_and_a_shuffled_one_does_not() {
        let found = go(&sorted(), 10);
        assert!(found.p_value < 0.01 && found.statistic > 0.2, "{} {}", found.p_value, found.statistic);
        let mut order: Vec<usize> = (0..400).collect();
        order.shuffle(&mut rng(2));
        let found = go(&sorted().select(Axis(0), &order), 10);
        assert!(found.p_value > 0.05 && found.statistic < 0.05, "{} {}", found.p_value, found.statistic);
    }

    #[test]
    fn the_p_value_is_uniform_without_order() {
        // 60 sets of random rows: about a tenth below 0.1.
        let low =
            (0..60).filter(|&s| go(&gaussian_matrix(60, 5, &mut rng(100 + s)), 4).p_value <= 0.1).count();
        assert!((1..=13).contains(&low), "{low}");
    }

    #[test]
    fn scores_are_datalabs() {
        let found = go(&golden::features(), 5);
        for (i, (ours, theirs)) in found.score.iter().zip(golden::NON_IID).enumerate() {
            assert!((ours - theirs).abs() < 1e-5, "{i}: {ours} {theirs}");
        }
        assert!((found.statistic - golden::NON_IID_KS).abs() < 0.03, "{}", found.statistic);
    }

    #[test]
    fn statistic_by_hand() {
        // Distances 1, 1, 2 of three rows; all pairs: 1 has 2/3, 2 has 1/3. No difference.
        let pairs = [(0, 1), (1, 2), (0, 2)];
        assert!(statistic(&pairs, &[0, 1, 2]) < 1e-12);
        assert!((statistic(&pairs[..1], &[0, 1, 2]) - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn threads_and_degenerate_input() {
        let nn = nearest(sorted().view(), 3, &mut |_, _| true).unwrap();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| non_iid(&nn, 9).unwrap())
        };
        assert_eq!(with(1), with(3));
        for n in 0..3 {
            let few = go(&Array2::ones((n, 2)), 10);
            assert_eq!((few.p_value, few.score), (1.0, vec![1.0; n]));
        }
        for x in [Array2::<f32>::ones((40, 3)), Array2::zeros((40, 3))] {
            let found = go(&x, 5);
            assert!((0.0..=1.0).contains(&found.p_value));
            assert!(found.score.iter().all(|s| (0.0..=1.0).contains(s)));
        }
        let mut bad = nn;
        bad.index[[0, 0]] = 400;
        assert!(non_iid(&bad, 1).is_err());
    }

    proptest! {
        #[test]
        fn in_range(n in 3usize..40, k in 1usize..8, seed: u64) {
            let found = go(&gaussian_matrix(n, 3, &mut rng(seed)), k);
            prop_assert!(found.p_value > 0.0 && found.p_value <= 1.0);
            prop_assert!((0.0..=1.0).contains(&found.statistic));
            prop_assert!(found.score.iter().all(|s| (0.0..=1.0).contains(s)));
        }
    }
}
