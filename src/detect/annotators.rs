//! Several people's labels of the same samples: what they agree on, how good each label and each person
//! is, and which samples to have labelled next.
//!
//! - [`majority`]: the plain vote.
//! - [`crowdlab`]: votes and a model's predictions, weighed by how far each can be trusted.
//! - [`dawid_skene`]: no model; every person's confusion matrix and the true classes, found together.
//! - [`active_scores`]: where one more label helps most.
//!
//! Classes are columns 0..K, samples rows 0..N, people numbers 0..M; any sample may have any number of
//! labels, none included. Everything is a pure function of its input, in the order of its input.

mod active;
mod crowd;
mod em;
mod vote;

#[cfg(test)]
mod tests;

use ndarray::ArrayView2;

pub use active::{Active, active_scores};
pub use crowd::{AnnotatorStats, Crowd, crowdlab};
pub use em::{DawidSkene, EmParams, Skill, dawid_skene};
pub use vote::{Majority, majority};

use super::error::{DetectError, check_length};

/// One person's label of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Row, below N.
    pub sample: u32,
    /// Below M.
    pub annotator: u32,
    /// Below K.
    pub class: u32,
}

/// Checked votes, sorted by sample and annotator. Made only by [`Votes::new`].
#[derive(Clone, Debug)]
pub struct Votes {
    n_samples: usize,
    n_annotators: usize,
    n_classes: usize,
    /// (N + 1) votes of sample i lie at `starts[i]..starts[i + 1]`.
    starts: Vec<usize>,
    sorted: Vec<Vote>,
    /// Where each sorted vote stood in the input.
    origin: Vec<u32>,
}

impl Votes {
    /// Checks and sorts. O(votes log votes per sample + N).
    ///
    /// # Errors
    /// No votes, fewer than two classes, a number out of range, a person who labels a sample twice.
    pub fn new(
        votes: &[Vote],
        n_samples: usize,
        n_annotators: usize,
        n_classes: usize,
    ) -> Result<Self, DetectError> {
        if votes.is_empty() || n_samples == 0 {
            return Err(DetectError::Empty);
        }
        if n_classes < 2 {
            return Err(DetectError::TooFewClasses { n_classes });
        }
        let mut starts = vec![0usize; n_samples + 1];
        for v in votes {
            let row = v.sample as usize;
            if row >= n_samples {
                return Err(out_of_range("sample of a vote", v.sample, n_samples));
            }
            if v.annotator as usize >= n_annotators {
                return Err(out_of_range("annotator of a vote", v.annotator, n_annotators));
            }
            if v.class as usize >= n_classes {
                return Err(DetectError::Label { row, label: v.class as usize, n_classes });
            }
            starts[row + 1] += 1;
        }
        for i in 0..n_samples {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut origin = vec![0u32; votes.len()];
        for (at, v) in votes.iter().enumerate() {
            let slot = &mut next[v.sample as usize];
            origin[*slot] = at as u32;
            *slot += 1;
        }
        for pair in starts.windows(2) {
            let part = &mut origin[pair[0]..pair[1]];
            part.sort_unstable_by_key(|&at| votes[at as usize].annotator);
            if let Some(twice) =
                part.windows(2).find(|w| votes[w[0] as usize].annotator == votes[w[1] as usize].annotator)
            {
                let Vote { sample, annotator, .. } = votes[twice[0] as usize];
                return Err(DetectError::VotedTwice {
                    sample: sample as usize,
                    annotator: annotator as usize,
                });
            }
        }
        let sorted = origin.iter().map(|&at| votes[at as usize]).collect();
        Ok(Self { n_samples, n_annotators, n_classes, starts, sorted, origin })
    }

    /// N, M, K.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.n_samples, self.n_annotators, self.n_classes)
    }

    /// Number of votes.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Never true: [`Votes::new`] refuses to make an empty set.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// All votes, by sample and annotator.
    pub fn iter(&self) -> impl Iterator<Item = &Vote> {
        self.sorted.iter()
    }

    /// (N) labels of each sample.
    pub fn per_sample(&self) -> Vec<usize> {
        self.starts.windows(2).map(|w| w[1] - w[0]).collect()
    }

    /// The votes for a sample, by annotator.
    pub(crate) fn of(&self, sample: usize) -> &[Vote] {
        &self.sorted[self.starts[sample]..self.starts[sample + 1]]
    }

    /// (M) labels given by each person.
    fn per_annotator(&self) -> Vec<usize> {
        let mut n = vec![0; self.n_annotators];
        self.sorted.iter().for_each(|v| n[v.annotator as usize] += 1);
        n
    }

    /// Mean number of labels over the samples that have any.
    fn mean_per_labelled(&self) -> f64 {
        let labelled = self.starts.windows(2).filter(|w| w[0] < w[1]).count();
        self.len() as f64 / labelled.max(1) as f64
    }
}

fn out_of_range(name: &'static str, value: u32, end: usize) -> DetectError {
    DetectError::Range { name, value: u64::from(value), end: end as u64 }
}

/// Predictions must be (N, K), finite and not negative; rows need not sum to exactly 1.
fn check_predictions(votes: &Votes, p: ArrayView2<'_, f32>) -> Result<(), DetectError> {
    check_length("prediction rows", votes.n_samples, p.nrows())?;
    check_length("prediction columns", votes.n_classes, p.ncols())?;
    match p.indexed_iter().find(|(_, v)| !(0.0..=1.001).contains(*v)) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(DetectError::Value {
            array: "predictions",
            row,
            column,
            value,
            rule: "a probability lies in [0, 1]",
        }),
    }
}

/// Position of the largest value, the first of equals; 0 for none.
fn arg_max(values: impl IntoIterator<Item = f64>) -> usize {
    let best = values
        .into_iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (j, v)| if v > best.1 { (j, v) } else { best });
    best.0
}
