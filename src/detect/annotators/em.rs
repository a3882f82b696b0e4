//! Dawid and Skene's model: a person shows a true class j as class l with a probability of his own; the
//! true classes and these probabilities are found together, by expectation and maximisation, no model of
//! the samples needed.
//!
//! Source: Dawid, Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm",
//! Applied Statistics 1979. The one-coin variant: Zhang, Chen, Zhou, Jordan, JMLR 2016.

use ndarray::{Array1, Array2, Array3};

use super::{Votes, arg_max};
use crate::detect::error::DetectError;

/// How a person is described.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skill {
    /// A confusion matrix each: K (K - 1) numbers, for people with many labels.
    #[default]
    Confusion,
    /// One number each, the chance to be right; mistakes fall on all other classes alike.
    OneCoin,
}

#[derive(Clone, Copy, Debug)]
pub struct EmParams {
    pub skill: Skill,
    /// Imagined labels added to every row of a confusion matrix, spread over the classes evenly (Laplace);
    /// > 0. Keeps rare classes from chances of 0.
    pub smoothing: f64,
    /// Stops when the mean over the samples of the largest change of a probability is below this.
    pub tolerance: f64,
    /// At most so many rounds.
    pub max_rounds: usize,
}

impl Default for EmParams {
    fn default() -> Self {
        Self { skill: Skill::Confusion, smoothing: 1.0, tolerance: 1e-6, max_rounds: 200 }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct DawidSkene {
    /// (N) likeliest class, the lowest of equals.
    pub labels: Vec<u32>,
    /// (N, K) rows sum to 1; for a sample without votes the shares of the classes.
    pub posterior: Array2<f64>,
    /// (K) shares of the classes; sum to 1.
    pub shares: Vec<f64>,
    /// (M, K, K) [person][true][given]; rows sum to 1. With [`Skill::OneCoin`] the two numbers spread out.
    pub confusion: Array3<f64>,
    /// (M) expected share of right labels; `None` without labels.
    pub accuracy: Vec<Option<f64>>,
    pub rounds: usize,
    /// The last round changed less than the tolerance.
    pub converged: bool,
}

/// Fits the model to the votes, starting from their shares. O(rounds (votes K + N K + M K^2)).
///
/// # Errors
/// Smoothing or tolerance that is not positive and finite.
pub fn dawid_skene(votes: &Votes, params: EmParams) -> Result<DawidSkene, DetectError> {
    for (name, value) in [("smoothing", params.smoothing), ("tolerance", params.tolerance)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(DetectError::Param { name, value, rule: "it must be greater than 0" });
        }
    }
    let mut posterior = vote_shares(votes);
    let (mut rounds, mut converged) = (0, false);
    let (mut shares, mut by_given) = maximise(votes, &posterior, params);
    while rounds < params.max_rounds && !converged {
        let change = expect(votes, &shares, &by_given, &mut posterior);
        (shares, by_given) = maximise(votes, &posterior, params);
        rounds += 1;
        converged = change < params.tolerance;
    }
    let labels = posterior.rows().into_iter().map(|r| arg_max(r.iter().copied()) as u32).collect();
    let mut right = vec![0.0; votes.n_annotators];
    for v in &votes.sorted {
        right[v.annotator as usize] += posterior[[v.sample as usize, v.class as usize]];
    }
    let accuracy =
        right.iter().zip(votes.per_annotator()).map(|(r, n)| (n > 0).then(|| r / n as f64)).collect();
    let confusion = by_given.permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
    Ok(DawidSkene { labels, posterior, shares: shares.to_vec(), confusion, accuracy, rounds, converged })
}

/// Where to start: each sample's shares of votes; without votes the shares among all votes.
fn vote_shares(votes: &Votes) -> Array2<f64> {
    let (n, _, k) = votes.shape();
    let mut overall = Array1::<f64>::zeros(k);
    votes.sorted.iter().for_each(|v| overall[v.class as usize] += 1.0 / votes.len() as f64);
    let mut out = Array2::zeros((n, k));
    for (i, mut row) in out.rows_mut().into_iter().enumerate() {
        let of = votes.of(i);
        of.iter().for_each(|v| row[v.class as usize] += 1.0 / of.len() as f64);
        if of.is_empty() {
            row.assign(&overall);
        }
    }
    out
}

/// Shares (K) and chances (M, K, K) as [person][given][true]: the inner loops run over the true class.
fn maximise(votes: &Votes, posterior: &Array2<f64>, params: EmParams) -> (Array1<f64>, Array3<f64>) {
    let (n, m, k) = votes.shape();
    let even = params.smoothing / k as f64;
    let mut shares = Array1::from_elem(k, even);
    let mut counts = vec![0.0f64; m * k * k];
    for (i, row) in posterior.rows().into_iter().enumerate() {
        let of = votes.of(i);
        // samples without votes say nothing about the shares
        if of.is_empty() {
            continue;
        }
        shares += &row;
        let Some(row) = row.as_slice() else { continue };
        for v in of {
            let at = (v.annotator as usize * k + v.class as usize) * k;
            counts[at..at + k].iter_mut().zip(row).for_each(|(c, p)| *c += p);
        }
    }
    debug_assert!(n > 0);
    let total = shares.sum();
    shares /= total;
    for person in counts.chunks_exact_mut(k * k) {
        match params.skill {
            Skill::Confusion => {
                let mut sums = vec![params.smoothing; k];
                person.chunks_exact(k).for_each(|r| sums.iter_mut().zip(r).for_each(|(s, c)| *s += c));
                for given in person.chunks_exact_mut(k) {
                    given.iter_mut().zip(&sums).for_each(|(c, s)| *c = (*c + even) / s);
                }
            }
            Skill::OneCoin => {
                let right: f64 = (0..k).map(|j| person[j * k + j]).sum();
                let chance = (right + even) / (person.iter().sum::<f64>() + params.smoothing);
                let other = (1.0 - chance) / (k - 1) as f64;
                person
                    .iter_mut()
                    .enumerate()
                    .for_each(|(at, c)| *c = if at / k == at % k { chance } else { other });
            }
        }
    }
    let by_given = Array3::from_shape_fn((m, k, k), |(a, l, j)| counts[(a * k + l) * k + j]);
    (shares, by_given)
}

/// Renews the posterior; returns the mean over the samples of the largest change.
fn expect(votes: &Votes, shares: &Array1<f64>, by_given: &Array3<f64>, posterior: &mut Array2<f64>) -> f64 {
    let (n, _, k) = votes.shape();
    let (Some(shares), Some(chances)) = (shares.as_slice(), by_given.as_slice()) else { return 0.0 };
    let mut fresh = vec![0.0f64; k];
    let mut changed = 0.0;
    for (i, mut row) in posterior.rows_mut().into_iter().enumerate() {
        fresh.copy_from_slice(shares);
        for (seen, v) in votes.of(i).iter().enumerate() {
            let at = (v.annotator as usize * k + v.class as usize) * k;
            fresh.iter_mut().zip(&chances[at..at + k]).for_each(|(f, c)| *f *= c);
            // a product of very many chances would fall to 0
            if seen % 8 == 7 {
                normalise(&mut fresh);
            }
        }
        normalise(&mut fresh);
        let mut largest = 0.0f64;
        for (old, new) in row.iter_mut().zip(&fresh) {
            largest = largest.max((*old - new).abs());
            *old = *new;
        }
        changed += largest;
    }
    changed / n as f64
}

fn normalise(values: &mut [f64]) {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        values.iter_mut().for_each(|v| *v /= sum);
    } else {
        let even = 1.0 / values.len() as f64;
        values.fill(even);
    }
}
