//! Whether a probability means what it says: expected calibration error and the reliability plot of Guo et
//! al. (2017), Brier score, log-loss.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::train::error::{TrainError, check_labels, check_length};

/// Samples whose arg-max probability lies in (low, high].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibrationBin {
    pub low: f64,
    pub high: f64,
    pub n: u64,
    /// Mean of their arg-max probabilities; 0 without samples.
    pub confidence: f64,
    /// Share of them whose arg-max is the true class; 0 without samples.
    pub accuracy: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Calibration {
    pub n: u64,
    /// Expected calibration error: mean over the samples of their bin's |accuracy - confidence|. [0, 1].
    pub ece: f64,
    /// The largest such gap of a bin with samples. [0, 1].
    pub largest_gap: f64,
    /// Mean over all samples of confidence - accuracy: above 0 too sure, below 0 too unsure. [-1, 1].
    pub overconfidence: f64,
    /// Mean over the samples of the squared distance to the truth, summed over the classes. [0, 2].
    pub brier: f64,
    /// Mean of -ln p(true class), p at least 1e-15. >= 0.
    pub log_loss: f64,
    /// Of equal width over [0, 1], ascending.
    pub bins: Vec<CalibrationBin>,
}

/// Calibration of probabilities `p` (N, K), rows summing to 1, against true classes (N), in `n_bins` (15 is
/// usual). O(N K).
///
/// # Errors
/// No rows, no bins, not one class in 0..K a row, a probability that is not finite.
pub fn calibration(
    p: ArrayView2<'_, f32>,
    truth: &[usize],
    n_bins: usize,
) -> Result<Calibration, TrainError> {
    check_length("true classes", p.nrows(), truth.len())?;
    check_labels(truth, p.ncols())?;
    if truth.is_empty() {
        return Err(TrainError::Empty);
    }
    if n_bins == 0 {
        return Err(TrainError::Param { name: "bins", value: 0.0, rule: "there must be at least one" });
    }
    if let Some(bad) = crate::arrays::first_not_finite(p) {
        return Err(bad.into());
    }
    let n = truth.len() as f64;
    // (samples, sum of confidences, hits) of each bin
    let mut sums = vec![(0u64, 0f64, 0u64); n_bins];
    let (mut brier, mut log_loss) = (0f64, 0f64);
    for (row, &t) in p.rows().into_iter().zip(truth) {
        let best = (1..row.len()).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        let confidence = f64::from(row[best]);
        let bin = ((confidence * n_bins as f64).ceil() as usize).clamp(1, n_bins) - 1;
        sums[bin].0 += 1;
        sums[bin].1 += confidence;
        sums[bin].2 += u64::from(best == t);
        brier += row
            .iter()
            .enumerate()
            .map(|(c, &v)| (f64::from(v) - f64::from(u8::from(c == t))).powi(2))
            .sum::<f64>();
        log_loss -= f64::from(row[t]).max(1e-15).ln();
    }
    let bins: Vec<CalibrationBin> = sums
        .iter()
        .enumerate()
        .map(|(b, &(n, confidence, hits))| CalibrationBin {
            low: b as f64 / n_bins as f64,
            high: (b + 1) as f64 / n_bins as f64,
            n,
            confidence: confidence / n.max(1) as f64,
            accuracy: hits as f64 / n.max(1) as f64,
        })
        .collect();
    let gap = |b: &CalibrationBin| b.confidence - b.accuracy;
    Ok(Calibration {
        n: truth.len() as u64,
        ece: bins.iter().map(|b| b.n as f64 / n * gap(b).abs()).sum(),
        largest_gap: bins.iter().map(|b| gap(b).abs()).fold(0.0, f64::max),
        overconfidence: bins.iter().map(|b| b.n as f64 / n * gap(b)).sum(),
        brier: brier / n,
        log_loss: log_loss / n,
        bins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn agrees_with_scikit_learn_and_with_hand() {
        let p = array![
            [0.7f32, 0.2, 0.1],
            [0.1, 0.8, 0.1],
            [0.3, 0.4, 0.3],
            [0.05, 0.05, 0.9],
            [0.6, 0.3, 0.1],
            [0.2, 0.5, 0.3]
        ];
        let c = calibration(p.view(), &[0, 1, 0, 2, 1, 1], 5).unwrap();
        // sklearn.metrics.log_loss 1.9; Brier by NumPy
        assert!((c.log_loss - 0.631_045_300_020_431).abs() < 1e-7, "{}", c.log_loss);
        assert!((c.brier - 0.365_833_333_333_333_3).abs() < 1e-7, "{}", c.brier);
        // (0.2, 0.4]: 0.4, wrong; (0.4, 0.6]: 0.6 wrong and 0.5 right; (0.6, 0.8]: 0.7 and 0.8, right;
        // (0.8, 1]: 0.9, right. (0.4 + 0.1 + 0.5 + 0.1) / 6. f32's 0.6 and 0.8 lie above 0.6 and 0.8.
        let n: Vec<u64> = c.bins.iter().map(|b| b.n).collect();
        assert_eq!(n.iter().sum::<u64>(), 6);
        let by_bins: f64 = c.bins.iter().map(|b| b.n as f64 * (b.confidence - b.accuracy).abs()).sum();
        assert!((c.ece - by_bins / 6.0).abs() < 1e-12);
        // mean confidence 3.9/6, accuracy 4/6
        assert!((c.overconfidence - (3.9 - 4.0) / 6.0).abs() < 1e-7);
        assert!(calibration(p.view(), &[0; 6], 0).is_err());
        assert_eq!(calibration(p.slice(ndarray::s![..0, ..]), &[], 5).unwrap_err(), TrainError::Empty);
    }

    #[test]
    fn expected_error_by_hand() {
        // one bin (0.5, 0.75]: confidence 0.625, 1 of 2 right; one bin (0.75, 1]: 1.0, right
        let p = array![[0.625f32, 0.375], [0.375, 0.625], [1.0, 0.0], [1.0, 0.0]];
        let c = calibration(p.view(), &[0, 0, 0, 0], 4).unwrap();
        assert_eq!((c.bins[2].n, c.bins[2].confidence, c.bins[2].accuracy), (2, 0.625, 0.5));
        assert_eq!((c.bins[3].n, c.bins[3].accuracy, c.ece, c.largest_gap), (2, 1.0, 0.0625, 0.125));
        assert_eq!((c.bins[0].low, c.bins[3].high, c.overconfidence), (0.0, 1.0, 0.0625));
    }
}
