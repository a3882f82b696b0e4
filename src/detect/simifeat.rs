//! SimiFeat: the labels of a sample's neighbours vote on its own, by majority or by rank.
//!
//! Source: Zhu, Dong, Liu, "Detecting corrupted labels without training a model to predict", ICML 2022.
//! Re-derived. Its rounds on random subsets of the samples are left out: they would make the verdict
//! depend on the order of the rows.

use super::confident::by_class;
use super::consensus::Consensus;
use super::error::{DetectError, check_length};
use super::neighbours::Neighbours;

/// Voters, the sample itself among them.
const VOTERS: usize = 10;

/// Columns (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct SimiFeat {
    /// The given label's entry of the vote, a histogram of unit Euclidean length, in [0, 1]; higher =
    /// better label.
    pub quality: Vec<f32>,
    /// SimiFeat-V: another label leads the vote.
    pub outvoted: Vec<bool>,
    /// SimiFeat-R: among the share 1 - P(true c | given c) of class c with the lowest quality.
    pub low_ranked: Vec<bool>,
}

/// Votes on `labels` (N): each of the nearest nine weighs its cosine similarity (none below 0), the sample
/// itself 1 - (2 d_1 - d_2) with d the distances (1 - cosine) of the nearest two. `consensus` says how far
/// the labels of each class are to be trusted; without it (None) nothing is ranked low. Of samples with
/// equal quality the earlier are taken. O(N log N).
///
/// # Errors
/// Lengths.
pub fn simifeat(
    neighbours: &Neighbours,
    labels: &[u32],
    n_classes: usize,
    consensus: Option<&Consensus>,
) -> Result<SimiFeat, DetectError> {
    let n = labels.len();
    check_length("labels", neighbours.index.nrows(), n)?;
    let voters = neighbours.k().min(VOTERS - 1);
    let mut out = SimiFeat { quality: vec![1.0; n], outvoted: vec![false; n], low_ranked: vec![false; n] };
    let mut votes: Vec<(u32, f32)> = Vec::with_capacity(VOTERS);
    for (i, &given) in labels.iter().enumerate() {
        let (index, similarity) = (neighbours.index.row(i), neighbours.similarity.row(i));
        let own = match (similarity.get(0), similarity.get(1)) {
            // 1 - (2 (1 - s_1) - (1 - s_2))
            (Some(first), Some(second)) => 2.0 * first - second,
            _ => 1.0,
        };
        votes.clear();
        votes.push((given, own.clamp(0.0, 1.0)));
        for (&j, &s) in index.iter().zip(similarity).take(voters) {
            let (class, weight) = (labels[j as usize], s.max(0.0));
            match votes.iter_mut().find(|v| v.0 == class) {
                Some(v) => v.1 += weight,
                None => votes.push((class, weight)),
            }
        }
        let length = votes.iter().map(|v| v.1 * v.1).sum::<f32>().sqrt();
        // nothing is similar to it: nobody speaks against the label
        out.quality[i] = if length > 0.0 { votes[0].1 / length } else { 1.0 };
        out.outvoted[i] = votes[1..].iter().any(|v| v.1 > votes[0].1);
    }
    if let Some(consensus) = consensus {
        let (rows, starts) = by_class(labels, n_classes);
        for class in 0..n_classes {
            let mut members = rows[starts[class]..starts[class + 1]].to_vec();
            let wrong = (1.0 - consensus.trusted(class)) * members.len() as f64;
            members.sort_by(|&a, &b| {
                out.quality[a as usize].total_cmp(&out.quality[b as usize]).then(a.cmp(&b))
            });
            for i in members.into_iter().take(wrong.round() as usize) {
                out.low_ranked[i as usize] = true;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::golden_detectors::{Golden, close};
    use ndarray::array;

    #[test]
    fn as_scikit_learns_neighbours_vote() {
        let golden = Golden::read();
        let neighbours = golden.neighbours();
        let consensus = Consensus::of(&neighbours, &golden.labels, 3).unwrap();
        let out = simifeat(&neighbours, &golden.labels, 3, consensus.as_ref()).unwrap();
        close(&out.quality, &golden.quality, 1e-4);
        assert_eq!(out.outvoted, golden.outvoted);
        assert_eq!(out.low_ranked, golden.low_ranked);
        let alone = simifeat(&neighbours, &golden.labels, 3, None).unwrap();
        assert_eq!(alone.outvoted, golden.outvoted);
        assert!(alone.low_ranked.iter().all(|r| !r));
        assert!(simifeat(&neighbours, &golden.labels[1..], 3, None).is_err());
    }

    #[test]
    fn by_hand() {
        // sample 0: own weight 2 x 0.9 - 0.8 = 1, one neighbour for it with 0.8, two against with 0.9 + 0.7
        let neighbours = Neighbours {
            index: array![[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 2, 1]],
            similarity: array![[0.9, 0.8, 0.7], [0.0, 0.0, 0.0], [0.5, -0.5, -0.9], [0.6, 0.6, 0.1]],
            recall: None,
        };
        let out = simifeat(&neighbours, &[0, 1, 0, 1], 2, None).unwrap();
        assert!((out.quality[0] - 1.8 / (1.8f32.powi(2) + 1.6f32.powi(2)).sqrt()).abs() < 1e-6);
        assert!(!out.outvoted[0] && out.outvoted[3]);
        // nothing is similar to sample 1, only one that agrees to sample 2
        assert_eq!((out.quality[1], out.quality[2], out.outvoted[1]), (1.0, 1.0, false));
    }
}
