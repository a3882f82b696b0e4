//! What each field of a sample says on its own - frames, title, speech, on-screen text. Where fields agree on
//! another class than the label, the label is wrong; where one field disagrees with the rest, it is that
//! field that does not fit: a click-bait title, a transcript of something else.
//!
//! A field's opinion is the softmax of its cosines to the class means of that field (without the sample
//! itself, each sample weighing what its label is trusted); missing fields have none. After the votes
//! across fields of LEMoN (Zhang et al. 2024), with frozen features of one field at a time.

use ndarray::ArrayView2;

use super::error::{DetectError, check_features, check_length};
use super::fusion::Prototypes;
use crate::arrays::{Span, balanced};

/// A field speaks when its likeliest class has at least this much, and twice the label's.
const SPEAKS: f32 = 0.5;
const TWICE: f32 = 2.0;

/// One field's opinions; (N) each.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldVotes {
    pub name: String,
    /// Likeliest class, the given one included; `None` where the field is missing.
    pub best: Vec<Option<u32>>,
    pub p_best: Vec<f32>,
    /// Probability of the given class.
    pub p_given: Vec<f32>,
}

/// All fields together; (N) each.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldReport {
    pub votes: Vec<FieldVotes>,
    /// Fields that speak for one and the same other class, where these are the most.
    pub against: Vec<u8>,
    /// The one field that speaks against the label while at least two others have it as their likeliest.
    pub odd: Vec<Option<u8>>,
}

/// Asks each field (name, (N, d)), a row of zeros being a missing one. `trust` (N) in (0, 1]: how far each
/// label is believed. O(N d k) a field.
///
/// # Errors
/// Lengths, features that are not finite.
pub fn field_report(
    fields: &[(String, ArrayView2<'_, f32>)],
    labels: &[u32],
    trust: &[f32],
    n_classes: usize,
) -> Result<FieldReport, DetectError> {
    check_length("trust", labels.len(), trust.len())?;
    let mut votes = Vec::with_capacity(fields.len());
    for (name, x) in fields {
        check_length("features", labels.len(), x.nrows())?;
        check_features(*x)?;
        let unit = balanced(*x, &[Span { start: 0, dimension: x.ncols(), weight: 1.0 }]);
        let prototypes = Prototypes::of(unit.view(), labels, trust, n_classes);
        let opinions = prototypes.opinions(unit.view(), labels, trust);
        let present: Vec<bool> = x.outer_iter().map(|row| row.iter().any(|v| *v != 0.0)).collect();
        votes.push(FieldVotes {
            name: name.clone(),
            best: opinions.iter().zip(&present).map(|(o, p)| p.then_some(o.best)).collect(),
            p_best: opinions.iter().map(|o| o.p_best).collect(),
            p_given: opinions.iter().map(|o| o.p_given).collect(),
        });
    }
    let n = labels.len();
    let (mut against, mut odd) = (vec![0u8; n], vec![None; n]);
    for i in 0..n {
        let speaking: Vec<(usize, u32)> = votes
            .iter()
            .enumerate()
            .filter_map(|(f, v)| {
                let best = v.best[i].filter(|&c| c != labels[i])?;
                (v.p_best[i] >= SPEAKS && v.p_best[i] >= TWICE * v.p_given[i]).then_some((f, best))
            })
            .collect();
        let same = |class: u32| speaking.iter().filter(|s| s.1 == class).count();
        against[i] = speaking.iter().map(|s| same(s.1)).max().unwrap_or(0) as u8;
        let agreeing = votes.iter().filter(|v| v.best[i] == Some(labels[i])).count();
        if let [(field, _)] = speaking[..]
            && agreeing >= 2
        {
            odd[i] = Some(field as u8);
        }
    }
    Ok(FieldReport { votes, against, odd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::Array2;

    /// Three fields of 300 samples in five classes: sample 7's label is wrong, sample 11's title is of
    /// another class, sample 20 has no title.
    #[test]
    fn a_wrong_label_and_a_wrong_title_are_told_apart() {
        let (n, k, d) = (300, 5, 16);
        let mut r = rng(5);
        let mut labels: Vec<u32> = (0..n).map(|i| (i % k) as u32).collect();
        let fields: Vec<Array2<f32>> = (0..3)
            .map(|f| {
                let centres = gaussian_matrix(k, d, &mut r);
                let noise = gaussian_matrix(n, d, &mut r);
                Array2::from_shape_fn((n, d), |(i, j)| {
                    let class = if f == 1 && i == 11 { 3 } else { i % k };
                    let missing = f == 1 && i == 20;
                    if missing { 0.0 } else { centres[[class, j]] + 0.3 * noise[[i, j]] }
                })
            })
            .collect();
        labels[7] = 4;
        let named: Vec<(String, ArrayView2<'_, f32>)> = ["frames", "title", "asr"]
            .iter()
            .zip(&fields)
            .map(|(n, x)| ((*n).to_owned(), x.view()))
            .collect();
        let report = field_report(&named, &labels, &vec![1.0; n], k).unwrap();
        assert_eq!((report.against[7], report.odd[7]), (3, None));
        assert_eq!((report.against[11], report.odd[11]), (1, Some(1)));
        assert_eq!((report.votes[1].best[20], report.against[20], report.odd[20]), (None, 0, None));
        assert_eq!(report.against.iter().filter(|a| **a > 0).count(), 2);
        assert_eq!(report.odd.iter().flatten().count(), 1);
        assert!(field_report(&named, &labels[1..], &vec![1.0; n - 1], k).is_err());
    }
}
