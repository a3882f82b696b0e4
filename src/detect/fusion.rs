//! Fuses detectors by the mean of their ranks - of those that have an opinion - and turns the fused rank into a suspicion.

/// Rank of each score among `scores`, 1 = highest = worst; equals share their average rank (so a
/// coarse score neither gains nor loses by its ties). NaN = no opinion, and has no rank (NaN); the
/// others' ranks are stretched over 1..N all the same. O(N log N).
pub fn average_ranks(scores: &[f64]) -> Vec<f64> {
    let n = scores.len();
    let mut order: Vec<usize> = (0..n).filter(|&i| !scores[i].is_nan()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let stretch = n as f64 / order.len().max(1) as f64;
    let mut ranks = vec![f64::NAN; n];
    let mut start = 0;
    while start < order.len() {
        let value = scores[order[start]];
        let len = order[start..].iter().take_while(|&&i| scores[i] == value).count();
        let rank = (start as f64 + (len as f64 + 1.0) / 2.0 - 0.5) * stretch + 0.5;
        order[start..start + len].iter().for_each(|&i| ranks[i] = rank);
        start += len;
    }
    ranks
}

/// Mean of each sample's [`average_ranks`] over the detectors that have an opinion of it; the middle
/// rank (N + 1) / 2 where none has. Lower = worse. Empty without detectors.
///
/// # Panics
/// When detectors judged different numbers of samples.
pub fn mean_ranks(detectors: &[&[f64]]) -> Vec<f64> {
    let n = detectors.first().map_or(0, |d| d.len());
    let mut sums = vec![(0.0, 0.0); n];
    for scores in detectors {
        assert_eq!(scores.len(), n, "scores of one detector");
        for (sum, rank) in sums.iter_mut().zip(average_ranks(scores)).filter(|(_, r)| !r.is_nan()) {
            *sum = (sum.0 + rank, sum.1 + 1.0);
        }
    }
    let middle = (n as f64 + 1.0) / 2.0;
    sums.into_iter().map(|(sum, heard)| if heard > 0.0 { sum / heard } else { middle }).collect()
}

/// Rank (1 = worst) of each sample by `fused` (lower = worse), equals by `tie_breaker` (higher =
/// worse), then by row.
pub fn final_ranks(fused: &[f64], tie_breaker: &[f64]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..fused.len()).collect();
    order.sort_by(|&a, &b| {
        fused[a].total_cmp(&fused[b]).then(tie_breaker[b].total_cmp(&tie_breaker[a])).then(a.cmp(&b))
    });
    let mut ranks = vec![0; fused.len()];
    order.into_iter().zip(1..).for_each(|(i, rank)| ranks[i] = rank);
    ranks
}

/// Suspicion of the sample of rank `rank` (1..=`n`) when the worst `flagged` are flagged: falls in a
/// straight line from 1 to 1/2 over the flagged and from 1/2 to 0 over the rest, so above 1/2 means
/// flagged, whatever the data set. 1 - (rank - 1/2) / (2 flagged), or (n - rank + 1/2) / (2 (n - flagged)).
pub fn suspicion(rank: u32, n: usize, flagged: usize) -> f32 {
    let (rank, n, flagged) = (f64::from(rank), n as f64, flagged as f64);
    let value = if rank <= flagged {
        1.0 - (rank - 0.5) / (2.0 * flagged)
    } else {
        (n - rank + 0.5) / (2.0 * (n - flagged))
    };
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_by_hand() {
        // scipy.stats.rankdata(-x, "average") gives the same.
        assert_eq!(average_ranks(&[0.5, 2.0, 0.5, 0.5, 9.0]), [4.0, 2.0, 4.0, 4.0, 1.0]);
        let some = average_ranks(&[f64::NAN, 1.0, 3.0]);
        assert!(some[0].is_nan() && some[1..] == [2.75, 1.25], "{some:?}");
        assert_eq!(mean_ranks(&[&[3.0, 2.0, 1.0], &[0.0, 0.0, 0.0]]), [1.5, 2.0, 2.5]);
        let silent = f64::NAN;
        assert_eq!(mean_ranks(&[&[3.0, silent, 1.0], &[silent, silent, 5.0]]), [1.25, 2.0, 2.375]);
        assert_eq!(final_ranks(&[1.5, 1.5, 1.0, 1.5], &[0.0, 4.0, 0.0, 0.0]), [3, 2, 1, 4]);
    }

    #[test]
    fn suspicion_by_hand() {
        let all: Vec<f32> = (1..=4).map(|r| suspicion(r, 4, 1)).collect();
        assert_eq!(all, [0.75, 2.5 / 6.0, 1.5 / 6.0, 0.5 / 6.0]);
        assert!(suspicion(1, 10, 0) < 0.5 && suspicion(10, 10, 10) > 0.5);
    }

    proptest! {
        #[test]
        fn ranks_keep_their_sum_and_suspicion_its_order(
            scores in prop::collection::vec(0u8..6, 1..50), share in 0.0f64..1.0,
        ) {
            let n = scores.len();
            let ranks = average_ranks(&scores.iter().map(|s| f64::from(*s)).collect::<Vec<_>>());
            prop_assert!((ranks.iter().sum::<f64>() - (n * (n + 1)) as f64 / 2.0).abs() < 1e-6);
            let flagged = (share * n as f64) as usize;
            for r in 1..=n as u32 {
                let s = suspicion(r, n, flagged);
                prop_assert!((0.0..=1.0).contains(&s));
                prop_assert_eq!(s > 0.5, r as usize <= flagged);
                prop_assert!(r == 1 || s < suspicion(r - 1, n, flagged));
            }
        }
    }
}
