//! How many labels are wrong: several sources that err in different ways, the count that follows and an
//! interval; and the probability that goes with a place in the ranking.
//!
//! A weak head doubts everything, so the sum of its doubts is too large; where it is surest it is mostly
//! right, and what it contradicts there is noise, but noise that sits at the borders of classes is not
//! seen there. What head and neighbours say in unison is seen anywhere, but is too little when both are
//! weak. Hence the larger of the last two, and no more than the first.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit::Audited;

/// Share of the samples guessed to be of a class, the surest, that stand for its noise.
const SURE: f64 = 0.25;
/// The same without features to cross-check.
const SURE_ALONE: f64 = 1.0 / 3.0;
const FEWEST: usize = 5;
/// Probabilities closer than this are equal: in the last bits they differ by the order of summation alone, and
/// that goes with whether the label is contradicted.
const EQUAL: f32 = 1e-6;

/// Estimates of the number of wrong labels, each in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorCount {
    /// The one to go by; 0 when the evidence is not `informative`.
    pub estimate: usize,
    /// The evidence predicts the given labels better than always naming the commonest class. If not, nothing
    /// can be judged by it: features without content, or rows or columns that belong to other samples or
    /// classes.
    #[serde(default)]
    pub informative: bool,
    /// Where the truth should lie: the least and the most that the sources allow, widened by two standard
    /// deviations of a count.
    pub low: usize,
    pub high: usize,
    /// Sum over all samples of the posterior that the label is wrong.
    pub posterior: f64,
    /// The share contradicted among the surest quarter of each class, times its size.
    pub surest: f64,
    /// Head and neighbours name the same other class. Without features 0.
    pub corroborated: f64,
    /// Off the diagonal of the calibrated confident joint of the pool.
    pub confident_joint: f64,
    /// The pool's arg-max is not the label: rarely too few.
    pub argmax: f64,
    /// Sum over the samples of P(low component) of the mixture over prototype margins
    /// (`detect/prototype_margin.rs`). None without features.
    #[serde(default)]
    pub mixture: Option<f64>,
    /// By how often the labels of nearest neighbours agree, second order (`detect/consensus.rs`). Too many
    /// where classes overlap. None without features and with very many classes.
    #[serde(default)]
    pub consensus: Option<f64>,
    /// A random audit, where there was one.
    #[serde(default)]
    pub audit: Option<Audited>,
}

/// What [`ErrorCount::of`] weighs.
pub(super) struct Sources<'a> {
    /// (N, width) the pool's first opinion, slot 0 the given label, and its classes.
    pub(super) first: &'a [f32],
    pub(super) classes: &'a super::candidates::Candidates,
    pub(super) n_classes: usize,
    pub(super) posterior: f64,
    /// None without features.
    pub(super) corroborated: Option<usize>,
    pub(super) consensus: Option<f64>,
    pub(super) confident_joint: f64,
    pub(super) argmax: usize,
}

impl ErrorCount {
    pub(super) fn of(sources: &Sources<'_>) -> Self {
        let n = sources.first.len() / sources.classes.width;
        let corroborated = sources.corroborated.map(|c| c as f64);
        let surest = contradicted(sources, if corroborated.is_some() { SURE } else { SURE_ALONE });
        let estimate = match corroborated {
            Some(both) => surest.max(both).min(sources.posterior),
            None => surest.min(sources.argmax as f64),
        };
        let all = [sources.posterior, surest, sources.confident_joint];
        let low = all.iter().copied().chain(corroborated);
        let low = low.fold(estimate, f64::min);
        let high = all.into_iter().fold(estimate, f64::max).max(sources.argmax as f64 * 0.5);
        let whole = |v: f64| v.round().clamp(0.0, n as f64) as usize;
        let informative = informative(sources);
        Self {
            informative,
            estimate: if informative { whole(estimate) } else { 0 },
            low: if informative { whole(low - 2.0 * low.sqrt()) } else { 0 },
            high: whole(high + 2.0 * high.sqrt()),
            posterior: sources.posterior,
            surest,
            corroborated: corroborated.unwrap_or(0.0),
            consensus: sources.consensus,
            confident_joint: sources.confident_joint,
            argmax: sources.argmax as f64,
            ..Self::default()
        }
    }
}

/// The share of labels that the first pool's arg-max names beats that of the commonest class by two standard
/// errors.
fn informative(sources: &Sources<'_>) -> bool {
    let width = sources.classes.width;
    let n = sources.first.len() / width;
    let mut counts = vec![0usize; sources.n_classes];
    (0..n).for_each(|i| counts[sources.classes.row(i)[0] as usize] += 1);
    let commonest = counts.iter().max().copied().unwrap_or(0) as f64 / n as f64;
    let right = sources.first.chunks_exact(width).filter(|r| r[1..].iter().all(|v| *v < r[0])).count();
    let error = (commonest * (1.0 - commonest) / n as f64).sqrt();
    // all labels the same: nothing to predict, and nothing to contradict
    commonest >= 1.0 || right as f64 / n as f64 > commonest + 2.0 * error
}

/// For each class guessed: of the surest `share` of its samples those labelled otherwise, scaled to all.
fn contradicted(sources: &Sources<'_>, share: f64) -> f64 {
    let width = sources.classes.width;
    let mut guessed: Vec<Vec<(f32, bool)>> = vec![Vec::new(); sources.n_classes];
    for (i, row) in sources.first.chunks_exact(width).enumerate() {
        let classes = sources.classes.row(i);
        let best = (1..width).fold(0, |b, slot| if row[slot] > row[b] { slot } else { b });
        guessed[classes[best] as usize].push((row[best], best != 0));
    }
    guessed
        .iter_mut()
        .filter(|of| !of.is_empty())
        .map(|of| {
            of.sort_by(|a, b| b.0.total_cmp(&a.0));
            let sure = ((of.len() as f64 * share) as usize).max(FEWEST).min(of.len());
            // of equals at the border each counts in part: which comes first says nothing
            let border = of[sure - 1].0;
            let surer = of.partition_point(|g| g.0 > border + EQUAL);
            let equal = of[surer..].iter().take_while(|g| g.0 >= border - EQUAL).count();
            let wrong = |of: &[(f32, bool)]| of.iter().filter(|g| g.1).count() as f64;
            let part = (sure - surer) as f64 / equal as f64;
            let wrong = wrong(&of[..surer]) + part * wrong(&of[surer..surer + equal]);
            wrong / sure as f64 * of.len() as f64
        })
        .sum()
}

/// (N) Probability that the label is wrong, strictly falling with the rank and above 1/2 for exactly the
/// first `flagged` ranks: a logistic function of the score through 1/2 at the cut, as steep as agrees best
/// with the `posterior` (N) that the label is wrong (least log-loss), in (0, 1). And how steep that is.
pub(super) fn suspicions(
    scores: &[f32],
    ranks: &[u32],
    posterior: &[f32],
    flagged: usize,
) -> (Vec<f32>, f32) {
    let n = scores.len();
    let mut order = vec![0usize; n];
    ranks.iter().enumerate().for_each(|(i, r)| order[*r as usize - 1] = i);
    let at = |rank: usize| f64::from(scores[order[rank]]);
    let cut = match flagged {
        0 => at(0) + 1.0,
        f if f >= n => at(n - 1) - 1.0,
        f => (at(f - 1) + at(f)) / 2.0,
    };
    let step = n.div_ceil(20_000).max(1);
    let loss = |slope: f64| -> f64 {
        (0..n)
            .step_by(step)
            .map(|i| {
                let z = slope * (f64::from(scores[i]) - cut);
                // ln(1 + e^z) - t z, without overflow
                z.max(0.0) + (-z.abs()).exp().ln_1p() - f64::from(posterior[i]) * z
            })
            .sum()
    };
    // convex in the slope: bisect its derivative's sign by golden section on the logarithm
    let slopes: Vec<f64> = (0..=40).map(|s| 0.02 * 1.25f64.powi(s)).collect();
    let slope = slopes
        .into_iter()
        .map(|s| (loss(s), s))
        .fold((f64::INFINITY, 1.0), |b, c| if c.0 < b.0 { c } else { b })
        .1;
    let mut out = vec![0f32; n];
    // scores may be equal and f32 saturates: each rank stays below the one before and on its side of 1/2
    let mut above = 1.0f32;
    for (rank, &i) in order.iter().enumerate() {
        let wanted = (1.0 / (1.0 + (-slope * (f64::from(scores[i]) - cut)).exp())) as f32;
        let side = if rank < flagged { wanted.max(0.5f32.next_up()) } else { wanted.min(0.5) };
        let left = (n - rank) as u32;
        let floor = if rank < flagged {
            f32::from_bits(0.5f32.to_bits() + (flagged - rank) as u32)
        } else {
            f32::from_bits(left)
        };
        above = side.max(floor).min(above.next_down());
        out[i] = above;
    }
    (out, slope as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fusion::candidates::Candidates;
    use proptest::prelude::*;

    #[test]
    fn the_surest_stand_for_their_class() {
        // 100 samples guessed to be of class 0, the surer the earlier; of the surest 25 three are labelled 1
        let mut first = Vec::new();
        let mut classes = Vec::new();
        for i in 0..100 {
            let p = 0.99 - 0.004 * i as f32;
            let wrong = !(3..60).contains(&i);
            first.extend(if wrong { [1.0 - p, p] } else { [p, 1.0 - p] });
            classes.extend(if wrong { [1, 0] } else { [0, 1] });
        }
        let with = |first: &[f32], classes: &[u32], corroborated| {
            ErrorCount::of(&Sources {
                first,
                classes: &Candidates { width: 2, classes: classes.to_vec() },
                n_classes: 2,
                posterior: 40.0,
                corroborated: Some(corroborated),
                consensus: None,
                confident_joint: 30.0,
                argmax: 43,
            })
        };
        let of = |first: &[f32], classes: &[u32]| with(first, classes, 10);
        // who always says 0 knows nothing
        let count = of(&first, &classes);
        assert_eq!((count.estimate, count.low, count.informative), (0, 0, false));
        // 60 more of class 1, all as they should be
        first.extend([0.9, 0.1].repeat(60));
        classes.extend([1, 0].repeat(60));
        let count = of(&first, &classes);
        assert_eq!((count.estimate, count.surest), (12, 12.0));
        // corroborated beyond that, and no more than the doubts
        assert_eq!(with(&first, &classes, 20).estimate, 20);
        assert_eq!(with(&first, &classes, 50).estimate, 40);
        assert!(count.low < 10 && count.high > 40 && count.high < 60, "{count:?}");
    }

    proptest! {
        #[test]
        fn suspicion_falls_with_the_rank_and_halves_at_the_cut(
            scores in prop::collection::vec(prop_oneof![Just(0f32), -50f32..50.0], 1..60), share in 0.0f64..=1.0,
        ) {
            let n = scores.len();
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            let mut ranks = vec![0u32; n];
            order.iter().zip(1..).for_each(|(&i, r)| ranks[i] = r);
            let flagged = (share * n as f64) as usize;
            let posterior: Vec<f32> = scores.iter().map(|s| 1.0 / (1.0 + (-s).exp())).collect();
            let (out, _) = suspicions(&scores, &ranks, &posterior, flagged);
            for (rank, &i) in order.iter().enumerate() {
                prop_assert!(out[i] > 0.0 && out[i] < 1.0);
                prop_assert_eq!(out[i] > 0.5, rank < flagged);
                prop_assert!(rank == 0 || out[i] < out[order[rank - 1]]);
            }
        }
    }
}
