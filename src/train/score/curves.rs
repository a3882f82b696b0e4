//! Precision and recall of each class at every threshold on its probability, average precision, and the
//! threshold that meets a wish.

use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::train::error::{TrainError, check_labels, check_length};

/// What calling a sample "of the class" from `threshold` on gives. All in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurvePoint {
    pub threshold: f32,
    pub precision: f64,
    pub recall: f64,
}

impl CurvePoint {
    /// Harmonic mean of precision and recall; 0 where both are.
    pub fn f1(&self) -> f64 {
        let sum = self.precision + self.recall;
        if sum > 0.0 { 2.0 * self.precision * self.recall / sum } else { 0.0 }
    }
}

/// One class against the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassCurve {
    pub class: usize,
    /// Samples whose true class it is; without any the curve is empty.
    pub support: u64,
    /// Sum over the points of (recall less the recall before) x precision, as scikit-learn's
    /// `average_precision_score`; 0 without support.
    pub average_precision: f64,
    /// Thresholds falling, so recall rising. Only thresholds at which recall rises: between them precision
    /// only falls, so no wish is met better there.
    pub points: Vec<CurvePoint>,
}

impl ClassCurve {
    /// The threshold of the best F1; of equals the highest. None without support.
    pub fn best_f1(&self) -> Option<CurvePoint> {
        self.points.iter().copied().reduce(|best, p| if p.f1() > best.f1() { p } else { best })
    }

    /// The most recall at a precision of at least `least`; None where no threshold gives it.
    pub fn with_precision(&self, least: f64) -> Option<CurvePoint> {
        self.points.iter().copied().rfind(|p| p.precision >= least)
    }

    /// The best precision at a recall of at least `least`; of equals the highest threshold. None without
    /// support.
    pub fn with_recall(&self, least: f64) -> Option<CurvePoint> {
        let enough = self.points.iter().copied().filter(|p| p.recall >= least);
        enough.reduce(|best, p| if p.precision > best.precision { p } else { best })
    }

    /// At most `most` (>= 2) of the points for drawing, evenly spread along the curve, both ends among them.
    pub fn thinned(&self, most: usize) -> Vec<CurvePoint> {
        let (n, most) = (self.points.len(), most.max(2));
        if n <= most {
            return self.points.clone();
        }
        (0..most).map(|i| self.points[i * (n - 1) / (most - 1)]).collect()
    }
}

/// The curve of every class, from probabilities `p` (N, K) and true classes (N). Memory for one class a
/// thread besides the result, whose points are at most N in all. O(K N log N).
///
/// # Errors
/// Not one class in 0..K a row; a probability that is not finite.
pub fn class_curves(p: ArrayView2<'_, f32>, truth: &[usize]) -> Result<Vec<ClassCurve>, TrainError> {
    check_length("true classes", p.nrows(), truth.len())?;
    check_labels(truth, p.ncols())?;
    if let Some(bad) = crate::arrays::first_not_finite(p) {
        return Err(bad.into());
    }
    Ok((0..p.ncols()).into_par_iter().map(|class| curve(class, p.column(class), truth)).collect())
}

fn curve(class: usize, scores: ArrayView1<'_, f32>, truth: &[usize]) -> ClassCurve {
    let support = truth.iter().filter(|t| **t == class).count() as u64;
    let mut curve = ClassCurve { class, support, average_precision: 0.0, points: Vec::new() };
    if support == 0 {
        return curve;
    }
    let mut ranked: Vec<(f32, bool)> =
        scores.iter().zip(truth).map(|(&score, &t)| (score, t == class)).collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut called, mut hits) = (0u64, 0u64);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let more = tied.iter().filter(|(_, of_class)| *of_class).count() as u64;
        called += tied.len() as u64;
        hits += more;
        if more > 0 {
            let precision = hits as f64 / called as f64;
            curve.average_precision += more as f64 / support as f64 * precision;
            curve.points.push(CurvePoint {
                threshold: tied[0].0,
                precision,
                recall: hits as f64 / support as f64,
            });
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    fn binary(scores: &[f32], truth: &[usize]) -> ClassCurve {
        let p = Array2::from_shape_fn((scores.len(), 2), |(i, c)| if c == 1 { scores[i] } else { 0.0 });
        class_curves(p.view(), truth).unwrap().remove(1)
    }

    #[test]
    fn agrees_with_scikit_learn() {
        // average_precision_score and precision_recall_curve of scikit-learn 1.9
        let truth = [1, 0, 1, 1, 0, 0, 1, 0, 0, 0];
        let scores = [0.9, 0.8, 0.8, 0.7, 0.6, 0.55, 0.55, 0.3, 0.2, 0.1];
        let c = binary(&scores, &truth);
        assert!((c.average_precision - 0.747_023_809_523_809_5).abs() < 1e-12, "{}", c.average_precision);
        let want = [(0.9, 1.0, 0.25), (0.8, 2.0 / 3.0, 0.5), (0.7, 0.75, 0.75), (0.55, 4.0 / 7.0, 1.0)];
        assert_eq!(c.points.len(), want.len());
        for (p, (threshold, precision, recall)) in c.points.iter().zip(want) {
            assert_eq!(p.threshold, threshold);
            assert!((p.precision - precision).abs() < 1e-12 && (p.recall - recall).abs() < 1e-12, "{p:?}");
        }
        let p = array![
            [0.7f32, 0.2, 0.1],
            [0.1, 0.8, 0.1],
            [0.3, 0.4, 0.3],
            [0.05, 0.05, 0.9],
            [0.6, 0.3, 0.1],
            [0.2, 0.5, 0.3]
        ];
        let curves = class_curves(p.view(), &[0, 1, 0, 2, 1, 1]).unwrap();
        for (c, want) in curves.iter().zip([0.833_333_333_333_333_3, 0.916_666_666_666_666_5, 1.0]) {
            assert!((c.average_precision - want).abs() < 1e-12, "{c:?}");
        }
    }

    #[test]
    fn wishes_by_hand() {
        let c = binary(&[0.9, 0.8, 0.7, 0.6, 0.5], &[1, 1, 0, 1, 0]);
        // points: (0.9, 1, 1/3), (0.8, 1, 2/3), (0.6, 3/4, 1)
        assert_eq!(c.with_precision(0.9).unwrap().threshold, 0.8);
        assert_eq!(c.with_precision(0.7).unwrap().threshold, 0.6);
        assert_eq!(c.with_recall(0.3).unwrap().threshold, 0.9);
        assert_eq!(c.with_recall(0.9).unwrap().threshold, 0.6);
        assert_eq!(c.best_f1().unwrap().threshold, 0.6); // 6/7 beats 4/5
        assert_eq!(binary(&[0.9, 0.8], &[0, 1]).with_precision(0.6), None);
        let none = binary(&[0.9, 0.8], &[0, 0]);
        assert_eq!((none.support, none.average_precision, none.best_f1()), (0, 0.0, None));
        assert_eq!(c.thinned(2), [c.points[0], c.points[2]]);
        assert_eq!(c.thinned(9), c.points);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let p = array![[0.5f32, 0.5]];
        assert!(class_curves(p.view(), &[]).is_err() && class_curves(p.view(), &[2]).is_err());
        assert!(class_curves(array![[f32::NAN, 0.5]].view(), &[0]).is_err());
    }

    proptest! {
        #[test]
        fn rising_recall_up_to_one(rows in prop::collection::vec((0u8..20, 0usize..2), 1..80)) {
            let (scores, truth): (Vec<f32>, Vec<usize>) =
                rows.into_iter().map(|(s, t)| (f32::from(s) / 20.0, t)).unzip();
            let c = binary(&scores, &truth);
            prop_assert!(c.points.windows(2).all(|w| w[0].recall < w[1].recall));
            prop_assert!(c.points.windows(2).all(|w| w[0].threshold > w[1].threshold));
            prop_assert!((0.0..=1.0 + 1e-12).contains(&c.average_precision));
            if let Some(last) = c.points.last() {
                prop_assert!((last.recall - 1.0).abs() < 1e-12);
            }
        }
    }
}
