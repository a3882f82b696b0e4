//! How good a model is and how sure that is, beside the challenge's score itself ([`super::evaluate`]):
//! precision-recall curves with thresholds, the confusion of both levels, calibration, and intervals by
//! resampling, also ones that carry the mistakes of the labels that the score was taken on.

mod calibration;
mod confusion;
mod curves;
mod label_noise;
mod resample;

pub use calibration::{Calibration, CalibrationBin, calibration};
pub use confusion::{ConfusedPair, TwoLevelConfusion, two_level_confusion};
pub use curves::{ClassCurve, CurvePoint, class_curves};
pub use label_noise::{LabelNoise, bootstrap_with_noise};
pub use resample::{Gain, Interval, Resampling, ScoreIntervals, bootstrap, bootstrap_gain};
