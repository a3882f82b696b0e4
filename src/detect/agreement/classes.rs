//! Agreement class by class, and which two classes are taken for each other.

use std::collections::HashMap;

use super::{Z, counted};
use crate::detect::annotators::Votes;
use crate::detect::value::{wilson, wilson_of_share};

/// Agreement on one class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassAgreement {
    pub class: u32,
    /// Samples, of those with two votes or more, for which somebody said the class.
    pub samples: usize,
    /// Chance that another person says the class too when one does, in [0, 1] (Cicchetti, Feinstein, Journal
    /// of Clinical Epidemiology 1990), with Wilson's 95 % interval for so many samples.
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// Two classes that people take for each other; `a` < `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassPair {
    pub a: u32,
    pub b: u32,
    /// Samples for which one person said `a` and another `b`.
    pub samples: usize,
    /// Samples, of those with two votes or more, for which somebody said `a` or `b`.
    pub of: usize,
    /// `samples / of` in [0, 1] with Wilson's 95 % interval.
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

/// Votes by class of each sample with two votes or more.
fn shared(votes: &Votes) -> impl Iterator<Item = Vec<(u32, i64)>> {
    let (n, _, _) = votes.shape();
    (0..n).filter(|&i| votes.of(i).len() > 1).map(|i| counted(votes.of(i).iter().map(|v| v.class)))
}

/// Every class that somebody said of a sample with two votes or more, least agreed first, then by class.
/// O(votes).
pub fn class_agreement(votes: &Votes) -> Vec<ClassAgreement> {
    let (_, _, k) = votes.shape();
    // samples, votes, and votes that another one joins
    let mut sums = vec![(0usize, 0.0, 0.0); k];
    for counts in shared(votes) {
        let m: i64 = counts.iter().map(|(_, n)| n).sum();
        for (class, n) in counts {
            let sum = &mut sums[class as usize];
            *sum = (sum.0 + 1, sum.1 + n as f64, sum.2 + (n * (n - 1)) as f64 / (m - 1) as f64);
        }
    }
    let mut out: Vec<ClassAgreement> = (0..)
        .zip(sums)
        .filter(|(_, (samples, _, _))| *samples > 0)
        .map(|(class, (samples, said, joined))| {
            let share = (joined / said).clamp(0.0, 1.0);
            let (low, high) = wilson_of_share(share, samples as f64, Z);
            ClassAgreement { class, samples, share, low, high }
        })
        .collect();
    out.sort_by(|x, y| x.share.total_cmp(&y.share).then(x.class.cmp(&y.class)));
    out
}

/// The pairs of classes that people disagree between, most samples first, at most `most` of them.
/// O(votes + pairs).
pub fn class_pairs(votes: &Votes, most: usize) -> Vec<ClassPair> {
    let (_, _, k) = votes.shape();
    let mut said = vec![0usize; k];
    let mut both = HashMap::<(u32, u32), usize>::new();
    for counts in shared(votes) {
        for (i, (a, _)) in counts.iter().enumerate() {
            said[*a as usize] += 1;
            counts[i + 1..].iter().for_each(|(b, _)| *both.entry((*a, *b)).or_default() += 1);
        }
    }
    let mut out: Vec<ClassPair> = both
        .into_iter()
        .map(|((a, b), samples)| {
            let of = said[a as usize] + said[b as usize] - samples;
            let (low, high) = wilson(samples, of, Z);
            ClassPair { a, b, samples, of, share: samples as f64 / of as f64, low, high }
        })
        .collect();
    out.sort_by_key(|p| (std::cmp::Reverse(p.samples), p.a, p.b));
    out.truncate(most);
    out
}
