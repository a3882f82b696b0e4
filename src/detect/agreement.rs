//! How far people agree on the same samples, beyond what chance would bring, and on which classes they do
//! not: raw agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha, and agreement class by class.
//!
//! Votes may be missing anywhere; a sample with fewer than two votes says nothing and is passed over. What
//! cannot be told is [`Undefined`], never a number.
//!
//! Intervals (95 %): the delete-one jackknife over samples gives the standard error (Efron, Stein, Annals of
//! Statistics 1981), which says how many independent samples the observed agreement is worth; Wilson's
//! interval for so many is carried over to the coefficient at its chance agreement (as Korn, Graubard, Survey
//! Methodology 1998, do for shares). So it stays honest where everybody agrees and an error of zero would
//! not, and has no random part.

mod classes;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

pub use classes::{ClassAgreement, ClassPair, class_agreement, class_pairs};

use super::annotators::Votes;
use super::value::wilson_of_share;

/// Standard deviations of the intervals: 95 %.
const Z: f64 = 1.96;

/// Why there is no coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undefined {
    /// No sample has votes of two people.
    NoOverlap,
    /// Everybody always says the same one class, so chance would agree as well.
    OneClass,
}

impl Undefined {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoOverlap => "no_overlap",
            Self::OneClass => "one_class",
        }
    }
}

/// A coefficient with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Interval {
    /// 1 = perfect agreement; for kappa and alpha 0 = as chance would have it, and less is possible.
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// A coefficient, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Agreement {
    /// Samples with two votes or more.
    pub samples: usize,
    pub interval: Option<Interval>,
    pub undefined: Option<Undefined>,
}

/// The mean over samples of the share of pairs of people who say the same, in [0, 1]. O(votes).
pub fn raw(votes: &Votes) -> Agreement {
    Units::of(votes).agreement(Kind::Raw)
}

/// Fleiss' kappa, in [-1, 1]. Numbers of votes may differ between samples; where they do not it is Fleiss'
/// own (Psychological Bulletin 1971). O(votes).
pub fn fleiss(votes: &Votes) -> Agreement {
    Units::of(votes).agreement(Kind::Fleiss)
}

/// Krippendorff's alpha for nominal data (Computing Krippendorff's Alpha-Reliability, 2011), in [-1, 1]: as
/// Fleiss' kappa, corrected for few votes, each sample weighed by its votes. O(votes).
pub fn krippendorff(votes: &Votes) -> Agreement {
    Units::of(votes).agreement(Kind::Alpha)
}

/// Cohen's kappa of two people over the samples that both labelled (Educational and Psychological
/// Measurement 1960), in [-1, 1]. O(votes).
pub fn cohen(votes: &Votes, a: u32, b: u32) -> Agreement {
    let (n, _, _) = votes.shape();
    let mut both: Vec<(u32, u32)> = Vec::new();
    for sample in 0..n {
        let of = |who: u32| votes.of(sample).iter().find(|v| v.annotator == who).map(|v| v.class);
        both.extend(of(a).zip(of(b)));
    }
    let (mut first, mut second) = (HashMap::<u32, i64>::new(), HashMap::<u32, i64>::new());
    for (x, y) in &both {
        *first.entry(*x).or_default() += 1;
        *second.entry(*y).or_default() += 1;
    }
    let at = |map: &HashMap<u32, i64>, class: u32| map.get(&class).copied().unwrap_or(0);
    let matched: i64 = first.iter().map(|(c, n)| n * at(&second, *c)).sum();
    let differ = both.iter().filter(|(x, y)| x != y).count() as f64;
    let whole = Sums {
        samples: both.len(),
        weight: both.len() as f64,
        differ,
        votes: both.len() as i64,
        squares: matched,
    };
    let without = |&(x, y): &(u32, u32)| {
        // products of the margins without one sample: those of its two classes change
        let less = at(&second, x) + at(&first, y) - i64::from(x == y);
        Sums {
            samples: whole.samples - 1,
            weight: whole.weight - 1.0,
            differ: whole.differ - f64::from(u8::from(x != y)),
            votes: whole.votes - 1,
            squares: whole.squares - less,
        }
    };
    agreement(Kind::Fleiss, &whole, both.iter().map(without))
}

/// Votes by class, in order of the classes.
fn counted(classes: impl Iterator<Item = u32>) -> Vec<(u32, i64)> {
    let mut sorted: Vec<u32> = classes.collect();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as i64)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Raw,
    Fleiss,
    Alpha,
}

/// One sample with two votes or more.
struct Unit {
    counts: Vec<(u32, i64)>,
    votes: i64,
    /// Share of its pairs of votes that differ.
    differ: f64,
}

struct Units {
    units: Vec<Unit>,
    /// Votes by class over all units.
    classes: Vec<i64>,
}

/// What a coefficient is a function of.
#[derive(Clone, Copy)]
struct Sums {
    samples: usize,
    /// Sum of the samples' weights, and of weight times the share of pairs that differ.
    weight: f64,
    differ: f64,
    votes: i64,
    /// Sum over classes of the square of its votes; for two people the product of theirs.
    squares: i64,
}

impl Sums {
    /// Observed disagreement, and what chance would bring; both in [0, 1].
    fn parts(&self, kind: Kind) -> (f64, f64) {
        let (n, squares) = (self.votes as f64, self.squares as f64);
        let chance = match kind {
            Kind::Raw => 1.0,
            Kind::Fleiss => (n * n - squares) / (n * n),
            Kind::Alpha => (n * n - squares) / (n * (n - 1.0)),
        };
        (self.differ / self.weight, chance)
    }

    fn one_class(&self, kind: Kind) -> bool {
        kind != Kind::Raw && self.squares == self.votes * self.votes
    }

    fn coefficient(&self, kind: Kind) -> f64 {
        // without the one sample that had another class: the limit of ever rarer ones
        if self.one_class(kind) {
            return 1.0;
        }
        let (observed, chance) = self.parts(kind);
        1.0 - observed / chance
    }
}

impl Units {
    fn of(votes: &Votes) -> Self {
        let (n, _, k) = votes.shape();
        let mut classes = vec![0; k];
        let mut units = Vec::new();
        for sample in 0..n {
            let counts = counted(votes.of(sample).iter().map(|v| v.class));
            let m: i64 = counts.iter().map(|(_, n)| n).sum();
            if m < 2 {
                continue;
            }
            counts.iter().for_each(|(c, n)| classes[*c as usize] += n);
            let same: i64 = counts.iter().map(|(_, n)| n * (n - 1)).sum();
            units.push(Unit { votes: m, differ: 1.0 - same as f64 / (m * (m - 1)) as f64, counts });
        }
        Self { units, classes }
    }

    fn agreement(&self, kind: Kind) -> Agreement {
        let weight = |u: &Unit| if kind == Kind::Alpha { u.votes as f64 } else { 1.0 };
        let whole = Sums {
            samples: self.units.len(),
            weight: self.units.iter().map(weight).sum(),
            differ: self.units.iter().map(|u| weight(u) * u.differ).sum(),
            votes: self.units.iter().map(|u| u.votes).sum(),
            squares: self.classes.iter().map(|n| n * n).sum(),
        };
        let without = |u: &Unit| {
            let less: i64 = u.counts.iter().map(|(c, n)| n * (2 * self.classes[*c as usize] - n)).sum();
            Sums {
                samples: whole.samples - 1,
                weight: whole.weight - weight(u),
                differ: whole.differ - weight(u) * u.differ,
                votes: whole.votes - u.votes,
                squares: whole.squares - less,
            }
        };
        agreement(kind, &whole, self.units.iter().map(without))
    }
}

/// The coefficient of `whole`, and its interval from those without each sample.
fn agreement(kind: Kind, whole: &Sums, without: impl Iterator<Item = Sums>) -> Agreement {
    let none = |why| Agreement { samples: whole.samples, interval: None, undefined: Some(why) };
    if whole.samples == 0 {
        return none(Undefined::NoOverlap);
    }
    if whole.one_class(kind) {
        return none(Undefined::OneClass);
    }
    let n = whole.samples as f64;
    let (observed, chance) = whole.parts(kind);
    let agree = (1.0 - observed).clamp(0.0, 1.0);
    let (mut sum, mut squares) = (0.0, 0.0);
    if whole.samples > 1 {
        let centre = whole.coefficient(kind);
        for d in without.map(|s| s.coefficient(kind) - centre) {
            sum += d;
            squares += d * d;
        }
    }
    // of the observed agreement, at the chance agreement that was found
    let variance = (n - 1.0) / n * (squares - sum * sum / n).max(0.0) * chance * chance;
    let worth = if agree * (1.0 - agree) > 0.0 && variance > 0.0 {
        (agree * (1.0 - agree) / variance).clamp(1.0, whole.votes as f64)
    } else {
        n
    };
    let (low, high) = wilson_of_share(agree, worth, Z);
    let coefficient = |agree: f64| (1.0 - (1.0 - agree) / chance).max(-1.0);
    let interval = Interval { value: coefficient(agree), low: coefficient(low), high: coefficient(high) };
    Agreement { samples: whole.samples, interval: Some(interval), undefined: None }
}
