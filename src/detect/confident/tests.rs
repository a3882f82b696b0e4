//! Golden values from cleanlab 2.9 (`cleanlab.count`) on a generated matrix with an empty class.

use super::*;
use ndarray::array;
use proptest::prelude::*;

/// 60 samples, 5 classes (class 4 never given); every fifth sample leans to another class.
fn generated() -> (Array2<f32>, Vec<usize>) {
    let y: Vec<usize> = (0..60).map(|i| (i * i + i / 3) % 4).collect();
    let raw = Array2::from_shape_fn((60, 5), |(i, j)| {
        let leans = if i % 5 == 0 { (y[i] + 1 + i / 5) % 4 } else { y[i] };
        ((i * i * 3 + 7 * i * j + 5 * j + 1) % 23 + 1 + if j == leans { 18 } else { 0 }) as f64
    });
    let p = Array2::from_shape_fn((60, 5), |(i, j)| (raw[[i, j]] / raw.row(i).sum()) as f32);
    (p, y)
}

#[test]
fn agrees_with_cleanlab() {
    let (p, y) = generated();
    let want = [0.329_337_500_1, 0.310_286_037_6, 0.417_950_704_9, 0.409_107_118_8, 2.0];
    for (got, want) in thresholds(p.view(), &y).iter().zip(want) {
        assert!((got - want).abs() < 1e-9, "{got} {want}");
    }
    let joint = confident_joint(p.view(), &y);
    let want = array![[9u64, 1, 0, 1, 0], [0, 7, 0, 0, 0], [1, 1, 9, 0, 0], [0, 0, 1, 4, 0], [0, 0, 0, 0, 1]];
    assert_eq!(joint, want);
    let calibrated = calibrated_joint(&joint, &y);
    let want =
        array![[16u64, 2, 0, 2, 0], [0, 10, 0, 0, 0], [2, 2, 16, 0, 0], [0, 0, 2, 8, 0], [0, 0, 0, 0, 0]];
    assert_eq!(calibrated, want);
    assert_eq!(off_diagonal(p.view(), &y), 5);
    assert_eq!(off_diagonal_calibrated(&calibrated), 10);
    assert_eq!(predicted_neq_given(p.view(), &y), 11);
    let noise = noise_matrix(&calibrated);
    assert!((noise[[0, 0]] - 8.0 / 9.0).abs() < 1e-12 && (noise[[0, 3]] - 0.2).abs() < 1e-12);
    assert!((noise[[2, 1]] - 1.0 / 7.0).abs() < 1e-12 && noise[[4, 4]] == 0.0);
    let inverse = inverse_noise_matrix(&calibrated);
    assert!((inverse[[3, 0]] - 0.1).abs() < 1e-12 && (inverse[[1, 2]] - 0.1).abs() < 1e-12);
}

#[test]
fn several_confident_classes_take_the_argmax_of_all() {
    // Thresholds by hand: class 0 from rows 0-1: 0.45, class 1 from rows 2-3: 0.35, class 2: none.
    let p = array![[0.5f32, 0.4, 0.1], [0.4, 0.2, 0.4], [0.3, 0.4, 0.3], [0.1, 0.3, 0.6]];
    let y = [0, 0, 1, 1];
    let t = thresholds(p.view(), &y);
    assert!((t[0] - 0.45).abs() < 1e-6 && (t[1] - 0.35).abs() < 1e-6 && t[2] == 2.0);
    assert_eq!(confident_guesses(p.view(), &t), [Some(0), None, Some(1), None]);
}

#[test]
fn rounding_keeps_sums() {
    // cleanlab.internal.util.round_preserving_sum of the same lists.
    assert_eq!(round_preserving_sum(&[1.3, 1.3, 1.4]), [1, 1, 2]);
    assert_eq!(round_preserving_sum(&[1.6, 1.7, 1.7]), [1, 2, 2]);
    assert_eq!(round_preserving_sum(&[0.5, 0.5, 0.5, 0.5]), [0, 0, 1, 1]);
    assert_eq!(round_preserving_sum(&[]), Vec::<u64>::new());
}

proptest! {
    #[test]
    fn calibration_keeps_row_totals(
        cells in prop::collection::vec(0u64..9, 16), labels in prop::collection::vec(0usize..4, 1..80),
    ) {
        let mut joint = Array2::from_shape_vec((4, 4), cells).unwrap();
        joint.diag_mut().mapv_inplace(|v| v.max(1));
        let calibrated = calibrated_joint(&joint, &labels);
        for c in 0..4 {
            prop_assert_eq!(calibrated.row(c).sum() as usize, labels.iter().filter(|&&y| y == c).count());
        }
        let noise = noise_matrix(&calibrated);
        for c in 0..4 {
            let sum = noise.column(c).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9 || sum == 0.0);
        }
    }
}
