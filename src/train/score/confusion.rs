//! Which classes are taken for which, at both levels: errors within a level-1 node apart from errors across
//! nodes, which cost all four parts of the score.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::train::metrics::ConfusionCount;

/// Samples of class `truth` that were predicted as class `predicted`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfusedPair {
    pub truth: usize,
    pub predicted: usize,
    pub count: u64,
    /// Of all samples of `truth`, in (0, 1].
    pub share: f64,
    /// The other way round.
    pub reverse: u64,
    /// Both classes lie under one level-1 node.
    pub within_parent: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TwoLevelConfusion {
    pub right: u64,
    /// Wrong class, right level-1 node.
    pub within_parent: u64,
    /// Wrong level-1 node.
    pub cross_parent: u64,
    /// Non-zero cells between level-1 nodes, by truth, then prediction.
    pub nodes: Vec<ConfusionCount>,
    /// Largest count first, of equals the lower classes.
    pub pairs: Vec<ConfusedPair>,
}

/// Both levels of the `cells` of [`super::super::Metrics`]; `class_roots[c]` is the level-1 node of class
/// `c`. O(cells log cells).
///
/// # Panics
/// When a cell's class has no root.
pub fn two_level_confusion(cells: &[ConfusionCount], class_roots: &[usize]) -> TwoLevelConfusion {
    let counts: BTreeMap<(usize, usize), u64> =
        cells.iter().map(|c| ((c.truth, c.predicted), c.count)).collect();
    let mut nodes = BTreeMap::<(usize, usize), u64>::new();
    let mut support = vec![0u64; class_roots.len()];
    let mut out = TwoLevelConfusion::default();
    for c in cells {
        let (truth, predicted) = (class_roots[c.truth], class_roots[c.predicted]);
        *nodes.entry((truth, predicted)).or_default() += c.count;
        support[c.truth] += c.count;
        match (c.truth == c.predicted, truth == predicted) {
            (true, _) => out.right += c.count,
            (false, true) => out.within_parent += c.count,
            (false, false) => out.cross_parent += c.count,
        }
    }
    out.nodes = nodes
        .into_iter()
        .map(|((truth, predicted), count)| ConfusionCount { truth, predicted, count })
        .collect();
    out.pairs = cells
        .iter()
        .filter(|c| c.truth != c.predicted && c.count > 0)
        .map(|c| ConfusedPair {
            truth: c.truth,
            predicted: c.predicted,
            count: c.count,
            share: c.count as f64 / support[c.truth] as f64,
            reverse: counts.get(&(c.predicted, c.truth)).copied().unwrap_or(0),
            within_parent: class_roots[c.truth] == class_roots[c.predicted],
        })
        .collect();
    out.pairs.sort_by_key(|p| (std::cmp::Reverse(p.count), p.truth, p.predicted));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluate;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        // classes 0 and 1 under node 0, class 2 under node 1
        let m = evaluate(&[0, 0, 0, 1, 1, 2, 2], &[0, 1, 1, 0, 1, 2, 0], &[0, 0, 1], 3);
        let c = two_level_confusion(&m.confusion, &[0, 0, 1]);
        assert_eq!((c.right, c.within_parent, c.cross_parent), (3, 3, 1));
        let node = |truth, predicted, count| ConfusionCount { truth, predicted, count };
        assert_eq!(c.nodes, [node(0, 0, 5), node(1, 0, 1), node(1, 1, 1)]);
        let first = ConfusedPair {
            truth: 0,
            predicted: 1,
            count: 2,
            share: 2.0 / 3.0,
            reverse: 1,
            within_parent: true,
        };
        assert_eq!(c.pairs[0], first);
        assert_eq!((c.pairs[2].truth, c.pairs[2].predicted, c.pairs[2].within_parent), (2, 0, false));
        assert_eq!(two_level_confusion(&[], &[0]), TwoLevelConfusion::default());
    }

    proptest! {
        #[test]
        fn agrees_with_the_micro_scores(rows in prop::collection::vec((0usize..6, 0usize..6), 1..80)) {
            let (t, p): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let roots = [0, 0, 1, 1, 1, 2];
            let m = evaluate(&t, &p, &roots, 6);
            let c = two_level_confusion(&m.confusion, &roots);
            let n = t.len() as f64;
            prop_assert_eq!(c.right + c.within_parent + c.cross_parent, t.len() as u64);
            prop_assert!((c.right as f64 / n - m.l2_micro_f1).abs() < 1e-12);
            prop_assert!(((c.right + c.within_parent) as f64 / n - m.l1_micro_f1).abs() < 1e-12);
            prop_assert_eq!(c.nodes.iter().map(|c| c.count).sum::<u64>(), t.len() as u64);
        }
    }
}
