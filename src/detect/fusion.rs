//! Fuses what is known of a label into one ranking, one count and one probability, with one fixed setting
//! and no clean label anywhere.
//!
//! Head (out-of-fold probabilities), neighbours and class prototypes are pooled ([`pool`]): weights by the
//! log-loss of the given labels, so that a member that knows little is left out by itself. From the pool
//! the noise matrix is counted, and with it the posterior of each sample's true class
//! ([`transition`]). Neighbours and prototypes are then asked again, each sample now counting as what it is
//! believed to be; [`ROUNDS`] times. The score is the margin of the last pool, corrected by half for the
//! noise matrix.
//!
//! On generated and public features with symmetric, pair, sibling, matrix and instance-dependent noise
//! this ranks better than its members, their mean of ranks, or the margin of the head alone, above all
//! where noise has a direction (docs/benchmarks.md). Without features the head is the only member.

mod audit;
mod candidates;
mod count;
mod members;
mod pool;
mod ranked;
mod transition;

use ndarray::ArrayView2;

use self::candidates::Candidates;
use self::count::Sources;
use self::transition::Transition;
use super::consensus::Consensus;
use super::error::{DetectError, check_length};
use super::neighbours::Neighbours;
use crate::arrays::Rows;

pub use self::audit::Audited;
pub use self::count::ErrorCount;
pub(crate) use self::members::Prototypes;
pub use self::ranked::Ranked;

/// How often neighbours and prototypes are asked again.
const ROUNDS: usize = 3;
/// Least trust in a label: none is left out for good.
const LEAST_TRUST: f32 = 1e-3;

/// What is fused. Every row of every array is the same sample.
pub struct Evidence<'a> {
    /// (N) class columns.
    pub labels: &'a [u32],
    /// (N, k) out of fold, rows sum to 1; checked by who made or counted them.
    pub probabilities: &'a dyn Rows<f32>,
    pub space: Option<Space<'a>>,
    /// How many candidates of each sample to keep; 0: none.
    pub candidates: usize,
}

/// The samples' places among each other.
#[derive(Clone, Copy)]
pub struct Space<'a> {
    /// (N, D) rows of unit length (or zero).
    pub unit: ArrayView2<'a, f32>,
    pub neighbours: &'a Neighbours,
}

/// The verdict; all (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused {
    /// Higher = worse; above 0 where another class explains the sample better.
    pub score: Vec<f32>,
    /// 1 = most suspicious; a permutation of 1..=N.
    pub rank: Vec<u32>,
    /// In (0, 1), strictly falling with the rank, above 1/2 exactly for the first `count.estimate` ranks.
    pub suspicion: Vec<f32>,
    /// The class, other than the given one, that explains the sample best.
    pub suggested: Vec<u32>,
    /// Posterior of the suggested class and of the given one.
    pub p_suggested: Vec<f32>,
    pub p_given: Vec<f32>,
    /// The likeliest classes, as many as were asked for, with probabilities for people.
    pub candidates: Ranked,
    pub count: ErrorCount,
    /// What nearest neighbours' labels say of the noise; None without features and with too many classes.
    pub consensus: Option<Consensus>,
    /// Weights of head, neighbours and prototypes in the last pool.
    pub weights: Vec<f64>,
}

/// Fuses the evidence. `go_on()` is asked between rounds and cancels by returning false.
/// O([`ROUNDS`] N (D k + neighbours)); memory about 300 bytes a sample, and 8 for each candidate
/// kept. The same bytes for any number of
/// threads.
///
/// # Errors
/// Lengths, fewer than two classes, cancelled.
pub fn fuse(evidence: &Evidence<'_>, go_on: &dyn Fn() -> bool) -> Result<Fused, DetectError> {
    let (n, k) = evidence.probabilities.shape();
    let labels = evidence.labels;
    check_length("labels", n, labels.len())?;
    if n == 0 {
        return Err(DetectError::Empty);
    }
    if k < 2 {
        return Err(DetectError::TooFewClasses { n_classes: k });
    }
    if let Some(space) = evidence.space {
        check_length("features", n, space.unit.nrows())?;
        check_length("neighbours", n, space.neighbours.index.nrows())?;
    }
    let space = evidence.space;
    let mut trust = vec![1f32; n];
    let prototypes = space.map(|s| Prototypes::of(s.unit, labels, &trust, k));
    let near = space.zip(prototypes.as_ref()).map(|(s, p)| p.nearest(s.unit, labels, &trust));
    let candidates =
        Candidates::of(evidence.probabilities, labels, space.map(|s| s.neighbours), near.as_deref());
    let width = candidates.width;
    let head = members::head(evidence.probabilities, &candidates);

    let mut first = Vec::new();
    let mut corroborated = None;
    let mut belief: Option<Vec<f32>> = None;
    let mut last = None;
    for round in 0..=ROUNDS {
        if !go_on() {
            return Err(DetectError::Cancelled);
        }
        let (p, weights) = match space {
            Some(space) => {
                let votes = members::votes(space.neighbours, &candidates, belief.as_deref(), k);
                let prototypes = Prototypes::of(space.unit, labels, &trust, k);
                let nearness = prototypes.logs(space.unit, labels, &trust, &candidates);
                if round == 0 {
                    corroborated = Some(agreeing(&head, &votes, width));
                }
                pool::pool(&[&head, &votes, &nearness], width, &trust)
            }
            None => pool::pool(&[&head], width, &trust),
        };
        let transition = Transition::count(&p, &candidates, k);
        let posterior = transition.posterior(&p, &candidates);
        trust.iter_mut().zip(posterior.chunks_exact(width)).for_each(|(t, r)| *t = r[0].max(LEAST_TRUST));
        if round == 0 {
            first.clone_from(&p);
        }
        belief = Some(posterior);
        last = Some((p, weights, transition));
        // alone the head has nothing to be asked again
        if space.is_none() {
            break;
        }
    }
    let Some(((p, weights, transition), belief)) = last.zip(belief) else { return Err(DetectError::Empty) };
    let neighbours = space.map(|s| Consensus::of(s.neighbours, labels, k)).transpose()?;
    let consensus = neighbours.flatten();
    let most = evidence.candidates;
    Ok(verdict(&p, weights, &transition, &belief, &candidates, k, &first, corroborated, consensus, most))
}

#[expect(clippy::too_many_arguments, reason = "the parts of one verdict")]
fn verdict(
    p: &[f32],
    weights: Vec<f64>,
    transition: &Transition,
    belief: &[f32],
    candidates: &Candidates,
    n_classes: usize,
    first: &[f32],
    corroborated: Option<usize>,
    consensus: Option<Consensus>,
    most: usize,
) -> Fused {
    let width = candidates.width;
    let margins = transition.margins(p, candidates);
    let n = margins.len();
    let wrong: Vec<f32> = belief.chunks_exact(width).map(|r| 1.0 - r[0]).collect();
    let count = ErrorCount::of(&Sources {
        first,
        classes: candidates,
        n_classes,
        posterior: wrong.iter().map(|w| f64::from(*w)).sum(),
        corroborated,
        consensus: consensus.as_ref().map(|c| c.error_rate() * n as f64),
        confident_joint: transition.off_diagonal,
        argmax: p.chunks_exact(width).filter(|r| r[1..].iter().any(|v| *v > r[0])).count(),
    });
    let mut score: Vec<f32> = margins.iter().map(|m| m.0).collect();
    unlearnt(&mut score, candidates, n_classes);
    let rank = ranks(&score, &wrong);
    let (suspicion, slope) = count::suspicions(&score, &rank, &wrong, count.estimate);
    let at = |i: usize| i * width + usize::from(margins[i].1);
    Fused {
        suggested: (0..n).map(|i| candidates.classes[at(i)]).collect(),
        p_suggested: (0..n).map(|i| belief[at(i)]).collect(),
        p_given: (0..n).map(|i| belief[i * width]).collect(),
        candidates: Ranked::of(p, transition, candidates, &suspicion, slope, most),
        score,
        rank,
        suspicion,
        count,
        consensus,
        weights,
    }
}

/// Samples of which both members' best candidate is the same other class than the given.
fn agreeing(a: &[f32], b: &[f32], width: usize) -> usize {
    let best = |row: &[f32]| (1..row.len()).fold(0, |b, s| if row[s] > row[b] { s } else { b });
    a.chunks_exact(width)
        .zip(b.chunks_exact(width))
        .filter(|(a, b)| best(a) != 0 && best(a) == best(b))
        .count()
}

/// Nothing could have learnt a class with a single sample: that one gets the middle score.
fn unlearnt(score: &mut [f32], candidates: &Candidates, n_classes: usize) {
    let given = |i: usize| candidates.row(i)[0] as usize;
    let mut counts = vec![0usize; n_classes];
    (0..score.len()).for_each(|i| counts[given(i)] += 1);
    let lone: Vec<usize> = (0..score.len()).filter(|&i| counts[given(i)] == 1).collect();
    if lone.is_empty() {
        return;
    }
    let mut sorted = score.to_vec();
    sorted.sort_by(f32::total_cmp);
    lone.into_iter().for_each(|i| score[i] = sorted[sorted.len() / 2]);
}

/// 1 = highest score; equals by the posterior, then by row.
fn ranks(score: &[f32], wrong: &[f32]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|&a, &b| score[b].total_cmp(&score[a]).then(wrong[b].total_cmp(&wrong[a])).then(a.cmp(&b)));
    let mut ranks = vec![0; score.len()];
    order.into_iter().zip(1..).for_each(|(i, rank)| ranks[i] = rank);
    ranks
}

#[cfg(test)]
mod tests;
