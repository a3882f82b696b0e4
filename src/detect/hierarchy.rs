//! The two levels of a label: probabilities and joints summed to level 1, and whether two classes lie
//! under different level-1 nodes. `class_roots[c]` is the level-1 node of class `c`, numbered from 0.

use ndarray::{Array2, ArrayView2};

use super::error::{DetectError, check_length};

/// Number of level-1 nodes.
pub fn n_roots(class_roots: &[usize]) -> usize {
    class_roots.iter().max().map_or(0, |m| m + 1)
}

/// Probabilities (N, level-1 nodes): p summed over each node's classes.
pub fn level1_probabilities(
    p: ArrayView2<'_, f32>,
    class_roots: &[usize],
) -> Result<Array2<f32>, DetectError> {
    check_length("class roots", p.ncols(), class_roots.len())?;
    let mut out = Array2::zeros((p.nrows(), n_roots(class_roots)));
    for (row, mut to) in p.rows().into_iter().zip(out.rows_mut()) {
        row.iter().zip(class_roots).for_each(|(v, &root)| to[root] += v);
    }
    Ok(out)
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
        let level1 = level1_probabilities(p.view(), &[0, 1, 0, 1]).unwrap();
        assert!((level1[[0, 0]] - 0.4).abs() < 1e-6 && (level1[[0, 1]] - 0.6).abs() < 1e-6);
        let joint = Array2::from_shape_fn((4, 4), |(i, j)| (4 * i + j) as u64);
        assert_eq!(level1_joint(&joint, &[0, 1, 0, 1]), array![[20u64, 24], [36, 40]]);
        assert!(is_cross_parent(0, 1, &[0, 1, 0]) && !is_cross_parent(0, 2, &[0, 1, 0]));
        assert!(level1_probabilities(p.view(), &[0]).is_err());
    }
}
