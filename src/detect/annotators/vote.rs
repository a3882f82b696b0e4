//! The plain vote.

use ndarray::ArrayView2;

use super::{Votes, check_predictions};
use crate::detect::error::DetectError;

/// What most people said. (N) each.
#[derive(Clone, Debug, PartialEq)]
pub struct Majority {
    /// The class with the most votes; `None` without votes.
    pub labels: Vec<Option<u32>>,
    /// Share of the sample's votes for that class, in (0, 1]; `None` without votes.
    pub agreement: Vec<Option<f64>>,
    /// Several classes had the most votes.
    pub tied: Vec<bool>,
}

/// The class with the most votes. Of several, the one that the predictions `p` (N, K) hold likeliest where
/// they are given, else the lowest. O(N K + votes).
///
/// # Errors
/// Predictions of another shape or outside [0, 1].
pub fn majority(votes: &Votes, p: Option<ArrayView2<'_, f32>>) -> Result<Majority, DetectError> {
    if let Some(p) = p {
        check_predictions(votes, p)?;
    }
    let n = votes.n_samples;
    let mut out =
        Majority { labels: Vec::with_capacity(n), agreement: Vec::with_capacity(n), tied: vec![false; n] };
    let mut counts = vec![0u32; votes.n_classes];
    for i in 0..n {
        let of = votes.of(i);
        of.iter().for_each(|v| counts[v.class as usize] += 1);
        let most = of.iter().map(|v| counts[v.class as usize]).max();
        // the classes voted for most, lowest first wins among equals
        let mut best: Option<(u32, f32)> = None;
        for v in of.iter().filter(|v| Some(counts[v.class as usize]) == most) {
            let favour = p.map_or(0.0, |p| p[[i, v.class as usize]]);
            match best {
                Some((class, _)) if class == v.class => {}
                Some((class, f)) => {
                    out.tied[i] = true;
                    if favour > f || (favour == f && v.class < class) {
                        best = Some((v.class, favour));
                    }
                }
                None => best = Some((v.class, favour)),
            }
        }
        out.labels.push(best.map(|b| b.0));
        out.agreement.push(most.map(|m| f64::from(m) / of.len() as f64));
        of.iter().for_each(|v| counts[v.class as usize] = 0);
    }
    Ok(out)
}
