//! FINE: a label is trusted by how well its sample lies along the main direction of its class.
//!
//! Source: Kim, Ko, Cho, Choi and Yun, "FINE samples for learning with noisy labels", NeurIPS 2021.

use ndarray::{Array1, ArrayView2};
use rayon::prelude::*;

use super::confident::by_class;
use super::error::{DetectError, check_length};
use super::mixture::Mixture;
use crate::arrays::{gaussian_matrix, rng};

/// Steps of the power iteration at most, and the change of direction that ends it.
const STEPS: usize = 100;
const TOLERANCE: f32 = 2e-7;
/// Where the iteration starts, the same for every class.
const START: u64 = 1;

/// Columns (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct Fine {
    /// <u, h>^2 in [0, 1], u the first eigenvector of the Gram matrix (sum of h h^T) of the rows that carry
    /// the same label; higher = better label.
    pub alignment: Vec<f32>,
    /// P(clean): the high component of a mixture of two Gaussians over the alignments of the class, in
    /// [0, 1]; 1/2 where a class has too few samples for one or all are aligned alike.
    pub p_clean: Vec<f32>,
}

/// Judges `labels` (N) by `unit` (N, D), rows of unit length or zero. Power iteration, so O(N D) a step and
/// no matrix of (D, D). Weak where more than half of a class is wrong: then the direction is the noise's.
///
/// # Errors
/// Lengths.
pub fn fine(unit: ArrayView2<'_, f32>, labels: &[u32], n_classes: usize) -> Result<Fine, DetectError> {
    check_length("features", labels.len(), unit.nrows())?;
    let start = gaussian_matrix(1, unit.ncols(), &mut rng(START)).row(0).to_owned();
    let (rows, starts) = by_class(labels, n_classes);
    let classes: Vec<Vec<(u32, f32, f32)>> = (0..n_classes)
        .into_par_iter()
        .map(|c| {
            let members = &rows[starts[c]..starts[c + 1]];
            let u = main_direction(unit, members, start.clone());
            let along = |&i: &u32| unit.row(i as usize).dot(&u).powi(2).min(1.0);
            let alignment: Vec<f32> = members.iter().map(along).collect();
            let mixture = Mixture::fit(&alignment);
            let clean = |a: f32| mixture.map_or(0.5, |m| 1.0 - m.low(a));
            members.iter().zip(alignment).map(|(&i, a)| (i, a, clean(a))).collect()
        })
        .collect();
    let n = labels.len();
    let mut out = Fine { alignment: vec![0.0; n], p_clean: vec![0.5; n] };
    for (i, alignment, p_clean) in classes.into_iter().flatten() {
        (out.alignment[i as usize], out.p_clean[i as usize]) = (alignment, p_clean);
    }
    Ok(out)
}

/// First eigenvector of the sum of h h^T over `members`, of unit length; zero where there is none.
fn main_direction(unit: ArrayView2<'_, f32>, members: &[u32], mut u: Array1<f32>) -> Array1<f32> {
    let normalized = |v: Array1<f32>| {
        let length = v.dot(&v).sqrt();
        if length > 0.0 { v / length } else { v }
    };
    u = normalized(u);
    for _ in 0..STEPS {
        let mut next = Array1::<f32>::zeros(u.len());
        for &i in members {
            let row = unit.row(i as usize);
            next.scaled_add(row.dot(&u), &row);
        }
        next = normalized(next);
        // the matrix is positive semi-definite: the direction never turns round
        let same = 1.0 - next.dot(&u) < TOLERANCE;
        u = next;
        if same {
            break;
        }
    }
    u
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::golden_detectors::{Golden, close};
    use ndarray::{Array2, Axis};

    #[test]
    fn as_numpy_and_scikit_learn() {
        let golden = Golden::read();
        let out = fine(golden.unit().view(), &golden.labels, golden.classes).unwrap();
        close(&out.alignment, &golden.alignment, 2e-3);
        close(&out.p_clean, &golden.p_clean, 0.02);
    }

    #[test]
    fn the_main_direction_decides() {
        // class 0 lies along the first axis, either way; one of its rows along the second
        let mut x = Array2::<f32>::zeros((12, 3));
        (0..12).for_each(|i| x[[i, 0]] = if i % 2 == 0 { 1.0 } else { -1.0 });
        x.row_mut(5).assign(&ndarray::array![0.0, 1.0, 0.0]);
        x.row_mut(6).fill(0.0);
        let out = fine(x.view(), &[0; 12], 2).unwrap();
        assert!((out.alignment[0] - 1.0).abs() < 1e-5 && out.alignment[5] < 1e-5 && out.alignment[6] == 0.0);
        assert!(out.p_clean[0] > 0.9 && out.p_clean[5] < 0.1, "{:?}", out.p_clean);
        assert!(fine(x.view(), &[0; 3], 2).is_err());
    }

    #[test]
    fn permutations_and_degenerate_sets() {
        let golden = Golden::read();
        let unit = golden.unit();
        let out = fine(unit.view(), &golden.labels, golden.classes).unwrap();
        let n = golden.labels.len();
        let order: Vec<usize> = (0..n).map(|i| (i * 7 + 3) % n).collect();
        // classes are renumbered too
        let labels: Vec<u32> = order.iter().map(|&i| (golden.labels[i] + 1) % 3).collect();
        let turned = fine(unit.select(Axis(0), &order).view(), &labels, golden.classes).unwrap();
        let expected = |v: &[f32]| order.iter().map(|&i| v[i]).collect::<Vec<_>>();
        close(&turned.alignment, &expected(&out.alignment), 2e-3);
        close(&turned.p_clean, &expected(&out.p_clean), 0.02);
        // one sample a class, more classes than samples, constant features
        let lone = fine(unit.view(), &(0..n as u32).collect::<Vec<_>>(), 2 * n).unwrap();
        assert!(lone.p_clean.iter().all(|p| *p == 0.5) && lone.alignment.iter().all(|a| *a > 0.999));
        let same = Array2::<f32>::zeros((n, 4));
        assert!(fine(same.view(), &golden.labels, 3).unwrap().p_clean.iter().all(|p| *p == 0.5));
    }
}
