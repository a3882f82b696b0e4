//! How labels come about, from how often neighbours agree: if a sample and its nearest neighbour are of
//! the same true class, the pair of their labels is drawn twice from the same row of T = P(given | true),
//! so that C[i, j] = P(labels i and j) = sum over y of prior_y T[y, i] T[y, j] and its margin is
//! P(label i) = sum over y of prior_y T[y, i].
//!
//! Source: Zhu, Song, Liu, "Clusterability as an alternative to anchor points when learning with noisy
//! labels", ICML 2021 (HOC), first and second order. These leave T undetermined up to a rotation; taken is
//! the solution with sqrt(prior_y) T[y, i] symmetric, which is the true one where as many samples of y are
//! given i as of i are given y, but for the root of the ratio of their numbers: sqrt(prior) T is then the
//! positive square root of C. Where neighbours are often of another class, too many errors are counted.

use ndarray::Array2;

use super::error::{DetectError, check_length};
use super::neighbours::Neighbours;
use crate::arrays::symmetric_eigen;

/// More classes are not decomposed: O(k^3).
const MOST_CLASSES: usize = 256;

/// Priors and noise by the labels of nearest neighbours; absent classes have prior 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Consensus {
    /// (k) shares of the true classes.
    pub prior: Vec<f64>,
    /// (k, k) [true, given], rows sum to 1.
    pub transition: Array2<f64>,
}

impl Consensus {
    /// Of `labels` (N) and each sample's nearest neighbour. None without neighbours, and of more than 256
    /// classes. O(N + k^3).
    ///
    /// # Errors
    /// Lengths.
    pub fn of(
        neighbours: &Neighbours,
        labels: &[u32],
        n_classes: usize,
    ) -> Result<Option<Self>, DetectError> {
        let n = labels.len();
        check_length("labels", neighbours.index.nrows(), n)?;
        if neighbours.k() == 0 || n_classes > MOST_CLASSES {
            return Ok(None);
        }
        let mut pairs = Array2::<f64>::zeros((n_classes, n_classes));
        for (&j, &y) in neighbours.index.column(0).iter().zip(labels) {
            let (a, b) = (y as usize, labels[j as usize] as usize);
            pairs[[a, b]] += 0.5 / n as f64;
            pairs[[b, a]] += 0.5 / n as f64;
        }
        Ok(Some(Self::from_pairs(pairs)))
    }

    /// From the symmetric (k, k) shares of pairs of labels.
    fn from_pairs(pairs: Array2<f64>) -> Self {
        let root = square_root(pairs);
        let mut transition = root.mapv(|v| v.max(0.0));
        let mut prior: Vec<f64> = root.outer_iter().map(|r| r.sum().max(0.0).powi(2)).collect();
        let whole: f64 = prior.iter().sum();
        prior.iter_mut().for_each(|p| *p /= whole.max(f64::MIN_POSITIVE));
        for (y, mut row) in transition.outer_iter_mut().enumerate() {
            let sum = row.sum();
            if sum > 0.0 {
                row.mapv_inplace(|v| v / sum);
            } else {
                row[y] = 1.0;
            }
        }
        Self { prior, transition }
    }

    /// Share of the labels that are wrong: 1 - sum over y of prior_y T[y, y].
    pub fn error_rate(&self) -> f64 {
        let kept: f64 = self.prior.iter().zip(self.transition.diag()).map(|(p, t)| p * t).sum();
        (1.0 - kept).clamp(0.0, 1.0)
    }

    /// P(true class is c | given c); 1 for a class that is never given.
    pub fn trusted(&self, class: usize) -> f64 {
        let given: f64 = self.prior.iter().zip(self.transition.column(class)).map(|(p, t)| p * t).sum();
        if given > 0.0 { (self.prior[class] * self.transition[[class, class]] / given).min(1.0) } else { 1.0 }
    }
}

/// The positive semi-definite square root of the symmetric `a` (k, k), its negative eigenvalues (noise of
/// counting) taken as 0.
fn square_root(a: Array2<f64>) -> Array2<f64> {
    let (values, v) = symmetric_eigen(a);
    let scaled = Array2::from_shape_fn(v.dim(), |(i, j)| v[[i, j]] * values[j].max(0.0).sqrt());
    scaled.dot(&v.t())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::golden_detectors::Golden;
    use ndarray::{Array1, array};

    #[test]
    fn as_scipy() {
        let golden = Golden::read();
        let found = Consensus::of(&golden.neighbours(), &golden.labels, 3).unwrap().unwrap();
        assert!((found.error_rate() - golden.error_rate).abs() < 1e-5);
        for y in 0..3 {
            assert!((found.prior[y] - golden.prior[y]).abs() < 1e-5);
            for i in 0..3 {
                assert!((found.transition[[y, i]] - golden.transition[y][i]).abs() < 1e-5);
            }
        }
    }

    /// C = sum over y of prior_y T[y, :]' T[y, :].
    fn pairs(prior: &Array1<f64>, t: &Array2<f64>) -> Array2<f64> {
        let k = prior.len();
        Array2::from_shape_fn((k, k), |(i, j)| (0..k).map(|y| prior[y] * t[[y, i]] * t[[y, j]]).sum())
    }

    #[test]
    fn the_noise_that_made_the_pairs_is_found() {
        // sqrt(prior_y) T[y, i] is symmetric: 0.6 x 0.2 = 0.3 x 0.4
        let prior = array![0.36, 0.09, 0.55];
        let t = array![[0.8, 0.2, 0.0], [0.4, 0.6, 0.0], [0.0, 0.0, 1.0]];
        let found = Consensus::from_pairs(pairs(&prior, &t));
        assert!(found.prior.iter().zip(&prior).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        assert!(found.transition.iter().zip(&t).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
        assert!((found.error_rate() - (0.36 * 0.2 + 0.09 * 0.4)).abs() < 1e-9);
        assert!((found.trusted(0) - 0.36 * 0.8 / (0.36 * 0.8 + 0.09 * 0.4)).abs() < 1e-9);
        // noise that goes one way only is counted too low, but seen
        let next = array![[0.7, 0.3, 0.0], [0.0, 0.7, 0.3], [0.3, 0.0, 0.7]];
        let found = Consensus::from_pairs(pairs(&Array1::from_elem(3, 1.0 / 3.0), &next));
        assert!((0.2..0.3).contains(&found.error_rate()), "{}", found.error_rate());
    }

    #[test]
    fn absent_classes_and_what_cannot_be_counted() {
        let golden = Golden::read();
        let neighbours = golden.neighbours();
        let more = Consensus::of(&neighbours, &golden.labels, 7).unwrap().unwrap();
        assert!((more.error_rate() - golden.error_rate).abs() < 1e-5);
        assert_eq!((more.prior[5], more.trusted(5), more.transition[[5, 5]]), (0.0, 1.0, 1.0));
        assert_eq!(Consensus::of(&neighbours, &golden.labels, 300).unwrap(), None);
        assert!(Consensus::of(&neighbours, &golden.labels[1..], 3).is_err());
        let one_class = Consensus::of(&neighbours, &vec![1; golden.labels.len()], 3).unwrap().unwrap();
        assert!(one_class.error_rate() < 1e-9);
    }
}
