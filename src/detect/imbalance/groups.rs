//! Groups of similar samples on which the model does far worse than on the rest.
//!
//! Source: the rule of cleanlab 2.9's Datalab, `underperforming_group`: the mean self-confidence of a
//! cluster against that of all clusters.

use std::collections::BTreeMap;

use super::{DetectError, check_length};

/// A sample of no group.
pub const NO_GROUP: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
pub struct GroupParams {
    /// Smaller groups are left out.
    pub min_samples: usize,
    /// A group whose ratio is below this underperforms.
    pub ratio: f64,
}

impl Default for GroupParams {
    fn default() -> Self {
        Self { min_samples: 5, ratio: 0.5 }
    }
}

/// One group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupScore {
    pub group: u32,
    pub n: usize,
    /// Mean self-confidence, in [0, 1].
    pub mean: f64,
    /// The group's mean / the mean over all groups' samples; 1 where that is 0.
    pub ratio: f64,
    /// Standard errors by which the mean lies below that of the other groups; 0 where it cannot be told.
    pub deviations: f64,
    pub underperforms: bool,
}

/// Every group that is large enough, worst first. `groups` (N) with [`NO_GROUP`] for none,
/// `self_confidence` (N): out-of-fold probability of the given label. O(N log groups).
///
/// # Errors
/// Lengths; a confidence that is not in [0, 1].
pub fn group_scores(
    groups: &[u32],
    self_confidence: &[f32],
    params: GroupParams,
) -> Result<Vec<GroupScore>, DetectError> {
    check_length("self-confidences", groups.len(), self_confidence.len())?;
    if let Some((row, &value)) =
        self_confidence.iter().enumerate().find(|(_, v)| !(-1e-6..=1.0 + 1e-5).contains(*v))
    {
        let rule = "a probability lies in [0, 1]";
        return Err(DetectError::Value { array: "self-confidences", row, column: 0, value, rule });
    }
    // samples, sum, sum of squares
    let mut sums: BTreeMap<u32, (usize, f64, f64)> = BTreeMap::new();
    for (&group, &v) in groups.iter().zip(self_confidence).filter(|(g, _)| **g != NO_GROUP) {
        let s = sums.entry(group).or_default();
        *s = (s.0 + 1, s.1 + f64::from(v), s.2 + f64::from(v).powi(2));
    }
    sums.retain(|_, s| s.0 >= params.min_samples.max(1));
    let all = sums.values().fold((0, 0.0, 0.0), |a, s| (a.0 + s.0, a.1 + s.1, a.2 + s.2));
    let overall = all.1 / all.0.max(1) as f64;
    let error = |(n, sum, squares): (usize, f64, f64)| {
        let n = n.max(1) as f64;
        (squares / n - (sum / n).powi(2)).max(0.0) / n
    };
    let score = |(&group, &(n, sum, squares)): (&u32, &(usize, f64, f64))| {
        let mean = sum / n as f64;
        let ratio = if overall > 0.0 { mean / overall } else { 1.0 };
        let rest = (all.0 - n, all.1 - sum, all.2 - squares);
        let spread = (error((n, sum, squares)) + error(rest)).sqrt();
        let below = rest.1 / rest.0.max(1) as f64 - mean;
        let deviations = if rest.0 > 0 && spread > 1e-9 { below / spread } else { 0.0 };
        GroupScore { group, n, mean, ratio, deviations, underperforms: ratio < params.ratio }
    };
    let mut scores: Vec<GroupScore> = sums.iter().map(score).collect();
    scores.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let groups: Vec<u32> = [(0, 10), (7, 6), (3, 4), (NO_GROUP, 5)]
            .iter()
            .flat_map(|&(g, n)| std::iter::repeat_n(g, n))
            .collect();
        let confidence: Vec<f32> = (0..25)
            .map(|i| match i {
                0..10 => 0.9,
                10..16 => 0.1 + 0.01 * (i - 10) as f32,
                _ => 0.0,
            })
            .collect();
        let found = group_scores(&groups, &confidence, GroupParams::default()).unwrap();
        assert_eq!(found.len(), 2);
        // group 3 is too small, so the overall mean is (9 + 0.75) / 16
        assert_eq!((found[0].group, found[0].n, found[0].underperforms), (7, 6, true));
        assert!((found[0].ratio - 0.125 / (9.75 / 16.0)).abs() < 1e-6 && found[0].deviations > 10.0);
        assert!(!found[1].underperforms && found[1].deviations < 0.0);
        assert!(group_scores(&[0], &[f32::NAN], GroupParams::default()).is_err());
        assert!(group_scores(&[0], &[], GroupParams::default()).is_err());
        assert!(group_scores(&[], &[], GroupParams::default()).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_order_of_samples(rows in prop::collection::vec((0u32..6, 0.0f32..=1.0), 0..200)) {
            let run = |rows: &[(u32, f32)]| {
                let (g, c): (Vec<u32>, Vec<f32>) = rows.iter().copied().unzip();
                let mut found = group_scores(&g, &c, GroupParams::default()).unwrap();
                found.sort_by_key(|s| s.group);
                found
            };
            let back: Vec<(u32, f32)> = rows.iter().rev().copied().collect();
            for (a, b) in run(&rows).iter().zip(run(&back)) {
                prop_assert!(a.group == b.group && a.n == b.n && (a.ratio - b.ratio).abs() < 1e-9);
                prop_assert!(a.ratio >= 0.0 && (0.0..=1.0 + 1e-6).contains(&a.mean));
            }
        }
    }
}
