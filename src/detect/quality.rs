//! Label-quality scores of one sample from its out-of-fold probabilities p and given label y
//! (anchors D2; the first two are cleanlab's). One pass, computed in f64.

use ndarray::{ArrayView1, ArrayView2};

/// Probabilities below this count as this, so that logarithms stay finite.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// p_y: in [0, 1], higher = better label.
pub fn self_confidence(p: ArrayView2<'_, f32>, labels: &[usize]) -> Vec<f64> {
    each(p, labels, |row, y| f64::from(row[y]))
}

/// (p_y - max over k != y of p_k + 1) / 2: in [0, 1], higher = better label; below 1/2 when another
/// class is likelier.
pub fn normalized_margin(p: ArrayView2<'_, f32>, labels: &[usize]) -> Vec<f64> {
    each(p, labels, |row, y| (f64::from(row[y]) - f64::from(best_other(row, y).1) + 1.0) / 2.0)
}

/// max over k != y of ln p_k, less ln p_y: higher = **worse** label; above 0 when another class is
/// likelier. Probabilities are floored at the smallest normal f32.
pub fn log_margin(p: ArrayView2<'_, f32>, labels: &[usize]) -> Vec<f64> {
    each(p, labels, |row, y| {
        let ln = |v: f32| f64::from(v).max(TINY).ln();
        ln(best_other(row, y).1) - ln(row[y])
    })
}

/// The likeliest class other than `y` (the first of equals) and its probability.
pub(crate) fn best_other(row: ArrayView1<'_, f32>, y: usize) -> (usize, f32) {
    let others = row.iter().enumerate().filter(|(k, _)| *k != y);
    others.fold((usize::from(y == 0), f32::NEG_INFINITY), |b, (k, &v)| if v > b.1 { (k, v) } else { b })
}

fn each(p: ArrayView2<'_, f32>, labels: &[usize], f: impl Fn(ArrayView1<'_, f32>, usize) -> f64) -> Vec<f64> {
    p.rows().into_iter().zip(labels).map(|(row, &y)| f(row, y)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let p = array![[0.7f32, 0.2, 0.1], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]];
        let y = [0, 2, 1, 0];
        let near = |a: Vec<f64>, b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(self_confidence(p.view(), &y), [0.7, 0.1, 0.0, 0.5]));
        // cleanlab 2.9 get_normalized_margin_for_each_label gives the same four.
        assert!(near(normalized_margin(p.view(), &y), [0.75, 0.2, 0.0, 0.5]));
        let lm = log_margin(p.view(), &y);
        assert!((lm[0] - (0.2f64 / 0.7).ln()).abs() < 1e-6 && (lm[1] - 7f64.ln()).abs() < 1e-6);
        assert!((lm[2] - 87.336_544).abs() < 1e-3 && lm[3] == 0.0, "{lm:?}");
    }

    proptest! {
        #[test]
        fn ranges_and_agreement(raw in prop::collection::vec(0.001f32..1.0, 4), y in 0usize..4) {
            let sum: f32 = raw.iter().sum();
            let p = ndarray::Array2::from_shape_fn((1, 4), |(_, j)| raw[j] / sum);
            let (sc, nm) = (self_confidence(p.view(), &[y])[0], normalized_margin(p.view(), &[y])[0]);
            prop_assert!((0.0..=1.0).contains(&sc) && (0.0..=1.0).contains(&nm));
            // The two margins always agree on which side of the boundary a label lies.
            prop_assert_eq!(log_margin(p.view(), &[y])[0] > 0.0, nm < 0.5);
        }
    }
}
