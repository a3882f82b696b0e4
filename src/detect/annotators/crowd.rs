//! CROWDLAB: consensus of people and a model, each weighed by how much better than always saying the
//! commonest class it is.
//!
//! Source: Goh, Tkachenko, Mueller, "CROWDLAB: Supervised learning to infer consensus labels and quality
//! scores for data with multiple annotators", 2022; the answers are those of cleanlab 2.9's
//! `get_label_quality_multiannotator`, but for samples without labels, which it refuses.

use ndarray::{Array2, ArrayView2};

use super::{Votes, arg_max, check_predictions, majority};
use crate::detect::error::DetectError;

/// Weights and the error of the commonest class are at least this, as in cleanlab.
const LEAST: f64 = 1e-6;

/// Consensus and quality. All scores lie in [0, 1], higher = better.
#[derive(Clone, Debug, PartialEq)]
pub struct Crowd {
    /// (N) consensus; for a sample without labels the model's choice.
    pub labels: Vec<u32>,
    /// (N) probability that the consensus is right.
    pub quality: Vec<f64>,
    /// (N) share of the sample's votes that agree with the consensus; `None` without votes.
    pub agreement: Vec<Option<f64>>,
    /// (N, K) probabilities from model and votes together.
    pub posterior: Array2<f64>,
    /// (votes, in the order given to [`Votes::new`]) probability that the vote is right.
    pub vote_quality: Vec<f64>,
    /// (M)
    pub annotators: Vec<AnnotatorStats>,
    pub model_weight: f64,
    /// (M) a person's weight; 1 = never wrong, 1e-6 = no better than the commonest class.
    pub annotator_weights: Vec<f64>,
}

/// One person's record.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatorStats {
    pub n_labels: usize,
    /// Overall quality in [0, 1]; `None` for a person without labels. For one who shares no sample with
    /// others only the model speaks.
    pub quality: Option<f64>,
    /// Share of the person's labels that are the consensus.
    pub agreement: Option<f64>,
    /// The class of the person's labels that the consensus confirms least often.
    pub worst_class: Option<u32>,
}

/// Consensus of `votes` and out-of-fold predictions `p` (N, K). O(N K + votes).
///
/// # Errors
/// Predictions of another shape or outside [0, 1]; no sample with two labels, so that nothing says whom
/// to trust.
pub fn crowdlab(votes: &Votes, p: ArrayView2<'_, f32>) -> Result<Crowd, DetectError> {
    let p = p.mapv(f64::from);
    crowdlab_of(votes, &p)
}

/// The same with probabilities in f64, which the caller may have tempered.
pub(super) fn crowdlab_of(votes: &Votes, p: &Array2<f64>) -> Result<Crowd, DetectError> {
    let single = p.mapv(|v| v as f32);
    check_predictions(votes, single.view())?;
    if votes.starts.windows(2).all(|w| w[1] - w[0] < 2) {
        return Err(DetectError::NoOverlap);
    }
    let best: Vec<u32> = p.rows().into_iter().map(|r| arg_max(r.iter().copied()) as u32).collect();
    let plain = majority(votes, Some(single.view()))?;
    let first: Vec<u32> = plain.labels.iter().zip(&best).map(|(l, b)| l.unwrap_or(*b)).collect();
    let (posterior, _) = mix(votes, p, &best, &first);
    let labels: Vec<u32> =
        posterior.rows().into_iter().zip(&first).map(|(row, f)| likeliest(row, *f)).collect();
    let (posterior, trust) = mix(votes, p, &best, &labels);
    let quality = labels.iter().enumerate().map(|(i, &l)| posterior[[i, l as usize]]).collect::<Vec<_>>();
    let mut vote_quality = vec![0.0; votes.len()];
    for (v, &at) in votes.sorted.iter().zip(&votes.origin) {
        vote_quality[at as usize] = posterior[[v.sample as usize, v.class as usize]];
    }
    let annotators = stats(votes, &labels, &quality, &posterior, &trust);
    let agreement = agreement(votes, &labels);
    let Trust { model: model_weight, people: annotator_weights } = trust;
    Ok(Crowd {
        labels,
        quality,
        agreement,
        posterior,
        vote_quality,
        annotators,
        model_weight,
        annotator_weights,
    })
}

/// The single likeliest class; `otherwise` when several are.
fn likeliest(row: ndarray::ArrayView1<'_, f64>, otherwise: u32) -> u32 {
    let best = arg_max(row.iter().copied());
    if row.iter().filter(|v| **v == row[best]).count() == 1 { best as u32 } else { otherwise }
}

struct Trust {
    model: f64,
    people: Vec<f64>,
}

/// (N) share of votes for the consensus.
fn agreement(votes: &Votes, consensus: &[u32]) -> Vec<Option<f64>> {
    let share = |(i, c): (usize, &u32)| {
        let of = votes.of(i);
        let yes = of.iter().filter(|v| v.class == *c).count();
        (!of.is_empty()).then(|| yes as f64 / of.len() as f64)
    };
    consensus.iter().enumerate().map(share).collect()
}

/// Weights given a consensus, and the weighted mean of model and votes.
fn mix(votes: &Votes, p: &Array2<f64>, best: &[u32], consensus: &[u32]) -> (Array2<f64>, Trust) {
    let (n, m, k) = votes.shape();
    let mut shared = 0usize; // samples with two labels or more: only they tell people apart
    let mut agreed = 0.0;
    let mut class_counts = vec![0usize; k];
    let mut model_wrong = 0usize;
    let (mut same, mut others) = (vec![0usize; m], vec![0usize; m]);
    let mut counts = vec![0usize; k];
    for i in 0..n {
        let of = votes.of(i);
        if of.len() < 2 {
            continue;
        }
        of.iter().for_each(|v| counts[v.class as usize] += 1);
        shared += 1;
        agreed += counts[consensus[i] as usize] as f64 / of.len() as f64;
        class_counts[consensus[i] as usize] += 1;
        model_wrong += usize::from(best[i] != consensus[i]);
        for v in of {
            same[v.annotator as usize] += counts[v.class as usize] - 1;
            others[v.annotator as usize] += of.len() - 1;
        }
        of.iter().for_each(|v| counts[v.class as usize] = 0);
    }
    let shared = shared as f64;
    let likely = agreed / shared; // P(a vote is the consensus)
    let unlikely = (1.0 - likely) / (k - 1) as f64;
    let commonest = class_counts.iter().max().copied().unwrap_or(0) as f64;
    let baseline = (1.0 - commonest / shared).max(LEAST);
    let trusted = |error: f64| (1.0 - error / baseline).max(LEAST);
    let agreements: Vec<Option<f64>> =
        same.iter().zip(&others).map(|(s, o)| (*o > 0).then(|| *s as f64 / *o as f64)).collect();
    // who shares no sample with others counts as average
    let known: Vec<f64> = agreements.iter().flatten().copied().collect();
    let average = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let people: Vec<f64> = agreements.iter().map(|a| trusted(1.0 - a.unwrap_or(average))).collect();
    let model = trusted(model_wrong as f64 / shared) * votes.mean_per_labelled().sqrt();
    let mut posterior = p * model;
    for i in 0..n {
        let mut row = posterior.row_mut(i);
        let mut total = 0.0;
        for v in votes.of(i) {
            let weight = people[v.annotator as usize];
            total += weight;
            row[v.class as usize] += weight * (likely - unlikely);
        }
        row.mapv_inplace(|v| (v + total * unlikely) / (total + model));
    }
    (posterior, Trust { model, people })
}

/// What is summed up of one person's labels of one class.
#[derive(Clone, Copy, Default)]
struct OfClass {
    n: usize,
    right: usize,
    quality: f64,
}

fn stats(
    votes: &Votes,
    consensus: &[u32],
    quality: &[f64],
    posterior: &Array2<f64>,
    trust: &Trust,
) -> Vec<AnnotatorStats> {
    let (n, m, k) = votes.shape();
    let mut by_class = Array2::from_elem((m, k), OfClass::default());
    let mut mean_quality = vec![0.0; m];
    let (mut shared, mut shared_right) = (vec![0usize; m], vec![0usize; m]);
    for i in 0..n {
        let of = votes.of(i);
        for v in of {
            let (person, class) = (v.annotator as usize, v.class as usize);
            let right = usize::from(v.class == consensus[i]);
            let cell = &mut by_class[[person, class]];
            cell.n += 1;
            cell.right += right;
            cell.quality += quality[i];
            mean_quality[person] += posterior[[i, class]];
            if of.len() > 1 {
                shared[person] += 1;
                shared_right[person] += right;
            }
        }
    }
    let labels = votes.per_annotator();
    let people = labels.iter().filter(|l| **l > 0).count().max(1) as f64;
    let weights: f64 = trust.people.iter().zip(&labels).filter(|(_, l)| **l > 0).map(|(w, _)| w).sum();
    let model_share = trust.model / (trust.model + weights * votes.mean_per_labelled() / people);
    let one = |a: usize| {
        let n_labels = labels[a];
        let some = |v: f64| (n_labels > 0).then_some(v);
        let of_votes = mean_quality[a] / n_labels as f64;
        let overall = match shared[a] {
            0 => of_votes,
            s => model_share * of_votes + (1.0 - model_share) * shared_right[a] as f64 / s as f64,
        };
        let right: usize = by_class.row(a).iter().map(|c| c.right).sum();
        let worst_class = worst(by_class.row(a).iter());
        AnnotatorStats {
            n_labels,
            quality: some(overall),
            agreement: some(right as f64 / n_labels as f64),
            worst_class,
        }
    };
    (0..m).map(one).collect()
}

/// Least often right; of equals the one given most, then the one of the surest samples, then the lowest.
fn worst<'a>(classes: impl Iterator<Item = &'a OfClass>) -> Option<u32> {
    let mut worst: Option<(u32, OfClass)> = None;
    for (j, c) in classes.enumerate().filter(|(_, c)| c.n > 0) {
        let is_worse = worst.is_none_or(|(_, w)| {
            // right / n compared without rounding
            let order = (c.right * w.n).cmp(&(w.right * c.n)).then(w.n.cmp(&c.n));
            let surest = (c.quality / c.n as f64).partial_cmp(&(w.quality / w.n as f64));
            order.is_lt() || (order.is_eq() && surest.is_some_and(std::cmp::Ordering::is_gt))
        });
        if is_worse {
            worst = Some((j as u32, *c));
        }
    }
    worst.map(|(j, _)| j)
}
