//! The two levels of a label: its quality at level 1 and within its node, joints summed to level 1, and whether two classes lie
//! under different level-1 nodes. `class_roots[c]` is the level-1 node of class `c`, numbered from 0.

use ndarray::Array2;
use rayon::prelude::*;

use super::error::{DetectError, check_length};
use crate::arrays::{Rows, block_rows};

/// Number of level-1 nodes.
pub fn n_roots(class_roots: &[usize]) -> usize {
    class_roots.iter().max().map_or(0, |m| m + 1)
}

/// The quality of each label at level 1, and among its siblings alone: (N) each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    /// p of the given label's level-1 node: the sum over its classes.
    pub level1_self_confidence: Vec<f32>,
    /// ln of the best other node's p less ln of the given one's; higher = worse, above 0 where another
    /// node is likelier.
    pub level1_log_margin: Vec<f32>,
    /// p(given) / p(its node): the probability were the node known to be right.
    pub within_self_confidence: Vec<f32>,
    /// ln of the best sibling's p less ln p(given); higher = worse. Without siblings the label cannot be
    /// wrong within its node: [`NO_SIBLING`].
    pub within_log_margin: Vec<f32>,
}

/// Margin of a label without siblings, and least of any margin.
pub const NO_SIBLING: f32 = -30.0;
/// Least p of a margin.
const LEAST: f32 = 1e-13;

impl Levels {
    /// One pass over `p` (N, k), rows summing to 1.
    ///
    /// # Errors
    /// `class_roots` has not one entry a class, `labels` not one a row.
    pub fn of(p: &dyn Rows<f32>, labels: &[u32], class_roots: &[usize]) -> Result<Self, DetectError> {
        let (n, k) = p.shape();
        check_length("class roots", k, class_roots.len())?;
        check_length("labels", n, labels.len())?;
        let roots = n_roots(class_roots);
        let mut all = vec![[0f32; 4]; n];
        let rows = block_rows(k);
        all.par_chunks_mut(rows).enumerate().for_each_init(
            || (Vec::new(), vec![0f32; roots]),
            |(buffer, sums), (b, out)| {
                let block = p.block(b * rows, out.len(), buffer);
                for ((out, row), &y) in out.iter_mut().zip(block.chunks_exact(k)).zip(&labels[b * rows..]) {
                    *out = levels_of(row, y as usize, class_roots, sums);
                }
            },
        );
        let column = |c: usize| all.iter().map(|v| v[c]).collect();
        Ok(Self {
            level1_self_confidence: column(0),
            level1_log_margin: column(1),
            within_self_confidence: column(2),
            within_log_margin: column(3),
        })
    }
}

fn levels_of(row: &[f32], y: usize, class_roots: &[usize], sums: &mut [f32]) -> [f32; 4] {
    sums.fill(0.0);
    let root = class_roots[y];
    let mut sibling = 0f32;
    for (c, (&v, &r)) in row.iter().zip(class_roots).enumerate() {
        sums[r] += v;
        if r == root && c != y {
            sibling = sibling.max(v);
        }
    }
    let own = sums[root];
    let other = sums.iter().enumerate().filter(|(r, _)| *r != root).fold(0f32, |m, (_, v)| m.max(*v));
    let margin = |other: f32, own: f32| (other.max(LEAST).ln() - own.max(LEAST).ln()).max(NO_SIBLING);
    let alone = class_roots.iter().filter(|r| **r == root).nth(1).is_none();
    let within = if alone { NO_SIBLING } else { margin(sibling, row[y]) };
    let share = if own > 0.0 { (row[y] / own).min(1.0) } else { 0.0 };
    [own.min(1.0), margin(other, own), share, within]
}

/// Counts (level-1, level-1) of a joint [given, true] of classes.
pub(crate) fn level1_joint(joint: &Array2<u64>, class_roots: &[usize]) -> Array2<u64> {
    let n = n_roots(class_roots);
    let mut out = Array2::zeros((n, n));
    joint.indexed_iter().for_each(|((i, j), v)| out[[class_roots[i], class_roots[j]]] += v);
    out
}

/// Do the classes lie under different level-1 nodes? Such errors hurt all four parts of the score.
pub fn is_cross_parent(a: usize, b: usize, class_roots: &[usize]) -> bool {
    class_roots[a] != class_roots[b]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn sums_by_hand() {
        let p = array![[0.1f32, 0.2, 0.3, 0.4]];
        let levels = |y, roots: &[usize]| Levels::of(&p.view(), &[y], roots).unwrap();
        // nodes {0, 2} and {1, 3}: 0.4 and 0.6
        let l = levels(2, &[0, 1, 0, 1]);
        let near = |a: &[f32], b: f32| (a[0] - b).abs() < 1e-6;
        assert!(near(&l.level1_self_confidence, 0.4) && near(&l.level1_log_margin, 1.5f32.ln()));
        assert!(near(&l.within_self_confidence, 0.75) && near(&l.within_log_margin, (1f32 / 3.0).ln()));
        let l = levels(0, &[0, 1, 1, 1]);
        assert!(near(&l.level1_log_margin, 9f32.ln()) && l.within_log_margin == [NO_SIBLING]);
        let joint = Array2::from_shape_fn((4, 4), |(i, j)| (4 * i + j) as u64);
        assert_eq!(level1_joint(&joint, &[0, 1, 0, 1]), array![[20u64, 24], [36, 40]]);
        assert!(is_cross_parent(0, 1, &[0, 1, 0]) && !is_cross_parent(0, 2, &[0, 1, 0]));
        assert!(Levels::of(&p.view(), &[0], &[0]).is_err());
    }
}
