//! The plainest head: a class is the mean direction of its samples, a sample's probability the
//! softmax of its cosines. It cannot learn single wrong labels by heart.

use ndarray::{Array2, ArrayView2, Axis};

use super::error::TrainError;
use super::folds::Split;
use super::linear::softmax::softmax_row;
use super::temperature::{apply_temperature, fit_temperature};
use crate::arrays::{l2_normalize_rows, matmul};

/// Divisor of the cosines when it is not fitted.
pub const TAU: f32 = 0.1;

/// The rows of fold `fold` and their probabilities (rows, `n_classes`) by prototypes of the other
/// folds: rows are centred by the training rows' mean (embeddings crowd into a cone) and brought to
/// length 1; a prototype is the mean of its class's rows, brought to length 1; probabilities are
/// softmax(cosine / tau). `tau` `None` fits it by the log-loss of the fold's given labels, between
/// [`TAU`] / 20 and [`TAU`] * 20.
///
/// Classes without training samples are treated, and errors are, as in [`super::fit_fold`]. Cost: one
/// product of (rows, d) with (d, k) and a few passes over `x`.
pub fn prototype_fold(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    folds: &[usize],
    fold: usize,
    tau: Option<f32>,
) -> Result<(Vec<usize>, Array2<f32>), TrainError> {
    if let Some(value) = tau.filter(|t| !(*t > 0.0 && t.is_finite())) {
        let rule = "it must be a finite number > 0";
        return Err(TrainError::Param { name: "tau", value: f64::from(value), rule });
    }
    let mut split = Split::new(x, y, n_classes, folds, fold)?;
    let mean = split.train_x.mean_axis(Axis(0)).ok_or(TrainError::Empty)?;
    split.train_x -= &mean;
    split.held_x -= &mean;
    l2_normalize_rows(&mut split.train_x);
    l2_normalize_rows(&mut split.held_x);
    let mut p = split.judge(n_classes, |labels, k| {
        let mut prototypes = Array2::zeros((k, x.ncols()));
        for (row, &c) in split.train_x.rows().into_iter().zip(labels) {
            let mut to = prototypes.row_mut(c);
            to += &row;
        }
        l2_normalize_rows(&mut prototypes);
        let mut p = matmul(split.held_x.view(), prototypes.t());
        for mut row in p.rows_mut() {
            row.mapv_inplace(|v| v / tau.unwrap_or(TAU));
            softmax_row(row.as_slice_mut().expect("a product is in standard layout"));
        }
        Ok(p)
    })?;
    if tau.is_none() {
        let labels: Vec<usize> = split.held.iter().map(|&row| y[row]).collect();
        let t = fit_temperature(p.view(), &labels);
        apply_temperature(&mut p, t);
    }
    Ok((split.held, p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use crate::train::linear::argmax_rows;
    use crate::train::stratified_folds;

    #[test]
    fn by_hand() {
        // Training rows (0, 1), (0, -1), mean (0, 0): prototypes up and down. Held out: (3, 4).
        let x = ndarray::array![[0.0f32, 1.0], [0.0, -1.0], [3.0, 4.0]];
        let (rows, p) = prototype_fold(x.view(), &[0, 1, 0], 2, &[0, 0, 1], 1, Some(0.5)).unwrap();
        assert_eq!(rows, [2]);
        let want = 1.0 / (1.0 + (-2.0f32 * 0.8 / 0.5).exp());
        assert!((p[[0, 0]] - want).abs() < 1e-6 && (p.sum() - 1.0).abs() < 1e-6, "{p}");
    }

    #[test]
    fn finds_classes_in_spite_of_noise_and_an_offset() {
        let (n, d, k) = (600, 24, 6);
        let mut r = rng(41);
        let means = gaussian_matrix(k, d, &mut r);
        let mut x = gaussian_matrix(n, d, &mut r) + 7.0;
        for (i, mut row) in x.rows_mut().into_iter().enumerate() {
            row += &means.row(i % k);
        }
        let y: Vec<usize> = (0..n).map(|i| if i % 5 == 0 { (i + 1) % k } else { i % k }).collect();
        let folds = stratified_folds(&y, k, 3, None, 0);
        for tau in [None, Some(TAU)] {
            let (rows, p) = prototype_fold(x.view(), &y, k, &folds, 1, tau).unwrap();
            let found = argmax_rows(p.view());
            let right = rows.iter().zip(&found).filter(|(row, c)| *row % k == **c).count();
            assert!(right as f64 > 0.95 * rows.len() as f64, "{right} of {}", rows.len());
            assert!(p.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-5));
        }
        assert!(prototype_fold(x.view(), &y, k, &folds, 1, Some(0.0)).is_err());
    }

    #[test]
    fn classes_without_training_samples_get_little() {
        let x = Array2::from_shape_fn((5, 2), |(i, j)| (i * 2 + j) as f32);
        let folds = [0, 0, 1, 1, 1];
        let (_, p) = prototype_fold(x.view(), &[0, 1, 0, 1, 2], 4, &folds, 1, Some(TAU)).unwrap();
        for row in p.rows() {
            assert!((row.sum() - 1.0).abs() < 1e-5 && (row[2] - 1.0 / 6.0).abs() < 1e-6, "{row}");
        }
        let (_, p) = prototype_fold(x.view(), &[0, 0, 0, 1, 1], 4, &folds, 1, None).unwrap();
        assert!(p.iter().all(|v| *v > 0.0));
    }
}
