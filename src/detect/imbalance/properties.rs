//! Properties of the media that give the label away: if the class can be read off the duration or the
//! brightness alone, a model may learn that instead of what is to be seen.
//!
//! cleanlab's Datalab asks the same (`spurious_correlations`) with a Gaussian naive Bayes; here values are
//! put into bins, so that no shape is assumed, and every class counts the same.

use rand::seq::SliceRandom;

use super::{DetectError, check_length, counts};
use crate::arrays::rng;

const FOLDS: usize = 5;
const MOST_BINS: usize = 32;
const LEAST_BINS: usize = 4;
const SEED: u64 = 0x5eed;

/// What one property says of the classes.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyScore {
    /// 0 = no better than chance, 1 = the label can be read off: (accuracy - chance) / (1 - chance), at
    /// least 0. `None` where fewer than two classes have five known values.
    pub score: Option<f64>,
    /// Mean over these classes of the share recognised, in [0, 1].
    pub accuracy: f64,
    /// 1 / these classes.
    pub chance: f64,
    /// (k) share of the class recognised; `None` for a class with fewer than five known values.
    pub recalls: Vec<Option<f64>>,
    /// Samples whose value is known.
    pub known: usize,
}

/// Scores `values` (N), NaN or infinite = unknown and left out, against `labels` (N) in 0..k: each fifth of
/// the samples is predicted from the others, by the class to which a value's bin is most typical. Bins hold
/// as many samples each, or one value each where there are few. The folds are drawn from a fixed seed.
/// O(N log N + bins k).
///
/// # Errors
/// No samples, fewer than two classes, lengths, a label out of range.
pub fn property_score(values: &[f32], labels: &[u32], k: usize) -> Result<PropertyScore, DetectError> {
    check_length("property values", labels.len(), values.len())?;
    counts(labels, k)?;
    let known: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_finite()).collect();
    let edges = edges(known.iter().map(|&i| values[i]).collect());
    let bins = edges.len() + 1;
    let mut order = known.clone();
    order.shuffle(&mut rng(SEED));
    let mut of_class = vec![0usize; k];
    // [fold][bin][class]; each class is dealt to the folds in turn
    let mut table = vec![0u32; FOLDS * bins * k];
    for &i in &order {
        let class = labels[i] as usize;
        let bin = edges.partition_point(|e| *e < values[i]);
        table[((of_class[class] % FOLDS) * bins + bin) * k + class] += 1;
        of_class[class] += 1;
    }
    let judged: Vec<bool> = of_class.iter().map(|n| *n >= FOLDS).collect();
    let classes = judged.iter().filter(|j| **j).count();
    let mut all = vec![0u32; bins * k];
    table.chunks_exact(bins * k).for_each(|f| all.iter_mut().zip(f).for_each(|(a, c)| *a += c));
    let mut right = vec![0u32; k];
    for fold in table.chunks_exact(bins * k) {
        let mut in_fold = vec![0u32; k];
        fold.chunks_exact(k).for_each(|bin| in_fold.iter_mut().zip(bin).for_each(|(s, c)| *s += c));
        for (bin, held) in all.chunks_exact(k).zip(fold.chunks_exact(k)) {
            // share of the class that lies in this bin, among the other folds
            let typical = |c: usize| {
                let others = of_class[c] as f64 - f64::from(in_fold[c]);
                f64::from(bin[c] - held[c]) / others.max(1.0)
            };
            let best = (0..k)
                .filter(|&c| judged[c])
                .map(|c| (c, typical(c)))
                .fold((0, 0.0), |best, one| if one.1 > best.1 { one } else { best });
            if best.1 > 0.0 {
                right[best.0] += held[best.0];
            }
        }
    }
    let recall = |c: usize| judged[c].then(|| f64::from(right[c]) / of_class[c] as f64);
    let recalls: Vec<Option<f64>> = (0..k).map(recall).collect();
    let accuracy = recalls.iter().flatten().sum::<f64>() / classes.max(1) as f64;
    let chance = 1.0 / classes.max(1) as f64;
    let score = (classes > 1).then(|| ((accuracy - chance) / (1.0 - chance)).max(0.0));
    Ok(PropertyScore { score, accuracy, chance, recalls, known: known.len() })
}

/// Values that end the bins but the last: one bin a value if there are at most as many as bins, else
/// quantiles. Bins: 2 n^(1/3), 4 to 32.
fn edges(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let bins = ((2.0 * (values.len() as f64).cbrt()) as usize).clamp(LEAST_BINS, MOST_BINS);
    let mut distinct = values.clone();
    distinct.dedup();
    let mut edges = if distinct.len() <= MOST_BINS {
        distinct
    } else {
        (1..=bins).map(|b| values[(b * values.len() / bins).saturating_sub(1)]).collect()
    };
    edges.dedup();
    edges.pop();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::Rng;

    #[test]
    fn a_telling_property_is_told_from_others() {
        let mut r = rng(1);
        let labels: Vec<u32> = (0..2000).map(|_| r.gen_range(0..10)).collect();
        let telling: Vec<f32> = labels.iter().map(|&c| c as f32 * 3.0 + r.r#gen::<f32>()).collect();
        let chance: Vec<f32> = labels.iter().map(|_| r.r#gen::<f32>()).collect();
        let of_one: Vec<f32> = labels.iter().map(|&c| if c == 4 { 9.0 } else { r.r#gen::<f32>() }).collect();
        let score = |v: &[f32]| property_score(v, &labels, 10).unwrap();
        assert!(score(&telling).score.unwrap() > 0.85, "{:?}", score(&telling));
        assert!(score(&chance).score.unwrap() < 0.03);
        let one = score(&of_one);
        assert!(one.recalls[4].unwrap() > 0.99 && one.score.unwrap() < 0.2);
        // few values: the width of a picture
        let width: Vec<f32> = labels.iter().map(|&c| if c < 5 { 1920.0 } else { 1280.0 }).collect();
        let found = score(&width).score.unwrap();
        assert!((0.05..0.2).contains(&found), "{found}");
    }

    #[test]
    fn the_unknown_is_left_out() {
        let labels: Vec<u32> = (0..100).map(|i| i % 2).collect();
        let mut values: Vec<f32> = labels.iter().map(|&c| c as f32).collect();
        assert_eq!(property_score(&values, &labels, 3).unwrap().score, Some(1.0));
        values[..50].fill(f32::NAN);
        let half = property_score(&values, &labels, 3).unwrap();
        assert_eq!((half.known, half.score, half.recalls[2]), (50, Some(1.0), None));
        values.fill(f32::INFINITY);
        assert_eq!(property_score(&values, &labels, 3).unwrap().score, None);
        assert!(property_score(&values[1..], &labels, 3).is_err());
        assert_eq!(property_score(&[5.0; 100], &labels, 2).unwrap().score, Some(0.0));
    }

    proptest! {
        #[test]
        fn scores_lie_in_their_range(rows in prop::collection::vec((any::<f32>(), 0u32..4), 1..150)) {
            let (values, labels): (Vec<f32>, Vec<u32>) = rows.iter().copied().unzip();
            let a = property_score(&values, &labels, 4).unwrap();
            prop_assert!(a.score.is_none_or(|s| (0.0..=1.0).contains(&s)));
            prop_assert!((0.0..=1.0).contains(&a.accuracy));
            // scale does not matter
            let doubled: Vec<f32> = values.iter().map(|v| v / 2.0).collect();
            if values.iter().all(|v| v.is_normal() && (v / 2.0).is_normal()) {
                prop_assert_eq!(property_score(&doubled, &labels, 4).unwrap(), a);
            }
        }
    }
}
