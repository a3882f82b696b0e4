//! Golden values from cleanlab 2.9 (`cleanlab.count`) on a generated matrix with an empty class.

use super::*;
use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;

/// 60 samples, 5 classes (class 4 never given); every fifth sample leans to another class.
fn generated() -> (Array2<f32>, Vec<u32>) {
    let y: Vec<u32> = (0..60u32).map(|i| (i * i + i / 3) % 4).collect();
    let raw = Array2::from_shape_fn((60, 5), |(i, j)| {
        let leans = if i % 5 == 0 { (y[i] as usize + 1 + i / 5) % 4 } else { y[i] as usize };
        ((i * i * 3 + 7 * i * j + 5 * j + 1) % 23 + 1 + if j == leans { 18 } else { 0 }) as f64
    });
    let p = Array2::from_shape_fn((60, 5), |(i, j)| (raw[[i, j]] / raw.row(i).sum()) as f32);
    (p, y)
}

fn counted(p: ArrayView2<'_, f32>, y: &[u32]) -> Counted {
    Counted::of(&p, y, &|_| true).unwrap()
}

#[test]
fn agrees_with_cleanlab() {
    let (p, y) = generated();
    let c = counted(p.view(), &y);
    let want = [0.329_337_500_1, 0.310_286_037_6, 0.417_950_704_9, 0.409_107_118_8, 2.0];
    for (got, want) in c.thresholds.iter().zip(want) {
        assert!((got - want).abs() < 1e-7, "{got} {want}");
    }
    let joint = c.joint(&y);
    let want = array![[9u64, 1, 0, 1, 0], [0, 7, 0, 0, 0], [1, 1, 9, 0, 0], [0, 0, 1, 4, 0], [0, 0, 0, 0, 1]];
    assert_eq!(joint, want);
    let calibrated = calibrated_joint(&joint, &y);
    let want =
        array![[16u64, 2, 0, 2, 0], [0, 10, 0, 0, 0], [2, 2, 16, 0, 0], [0, 0, 2, 8, 0], [0, 0, 0, 0, 0]];
    assert_eq!(calibrated, want);
    assert_eq!((c.off_diagonal(), c.predicted_neq_given()), (5, 11));
    assert_eq!(off_diagonal_calibrated(&calibrated), 10);
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
    let c = counted(p.view(), &y);
    let t = &c.thresholds;
    assert!((t[0] - 0.45).abs() < 1e-6 && (t[1] - 0.35).abs() < 1e-6 && t[2] == 2.0);
    assert_eq!(c.guesses(&y).collect::<Vec<_>>(), [Some(0), None, Some(1), None]);
}

#[test]
fn ties_go_to_the_given_label() {
    // np.argmax takes the first of equals; the given label is helped by 1e-6.
    let p = array![[0.5f32, 0.5], [0.5, 0.5], [0.5 + 1e-6, 0.5 - 1e-6], [0.5 + 5e-6, 0.5 - 5e-6]];
    let wins: Vec<bool> = counted(p.view(), &[0, 1, 1, 1]).given_wins().collect();
    assert_eq!(wins, [true, true, false, false]);
}

#[test]
fn the_first_fault_is_named_whatever_the_threads_do() {
    let mut p = Array2::<f32>::from_elem((40_000, 4), 0.25);
    let y = vec![0u32; 40_000];
    let fault = |p: &Array2<f32>, y: &[u32]| Counted::of(&p.view(), y, &|_| true).unwrap_err();
    p[[39_000, 2]] = f32::NAN;
    let DetectError::Value { row: 39_000, column: 2, .. } = fault(&p, &y) else { panic!() };
    p[[12, 3]] = 0.5;
    assert_eq!(fault(&p, &y), DetectError::RowSum { row: 12, sum: 1.25 });
    p[[12, 3]] = 1.25;
    p[[12, 1]] = -0.75;
    let DetectError::Value { row: 12, column: 1, .. } = fault(&p, &y) else { panic!() };
    assert_eq!(fault(&p, &y[1..]), DetectError::Length { what: "labels", expected: 40_000, found: 39_999 });
    assert_eq!(fault(&p.slice(ndarray::s![..0, ..]).to_owned(), &[]), DetectError::Empty);
    assert_eq!(
        fault(&p.slice(ndarray::s![.., ..1]).to_owned(), &y),
        DetectError::TooFewClasses { n_classes: 1 }
    );
    let mut high = y.clone();
    high[7] = 4;
    assert_eq!(fault(&p, &high), DetectError::Label { row: 7, label: 4, n_classes: 4 });
    let cancelled = Counted::of(&Array2::<f32>::from_elem((9, 2), 0.5).view(), &[0; 9], &|_| false);
    assert_eq!(cancelled.unwrap_err(), DetectError::Cancelled);
}

#[test]
fn rounding_keeps_sums() {
    // cleanlab.internal.util.round_preserving_sum of the same lists.
    use joint::round_preserving_sum;
    assert_eq!(round_preserving_sum(&[1.3, 1.3, 1.4]), [1, 1, 2]);
    assert_eq!(round_preserving_sum(&[1.6, 1.7, 1.7]), [1, 2, 2]);
    assert_eq!(round_preserving_sum(&[0.5, 0.5, 0.5, 0.5]), [0, 0, 1, 1]);
    assert_eq!(round_preserving_sum(&[]), Vec::<u64>::new());
}

/// Rows of random probabilities with labels.
fn judged() -> impl Strategy<Value = (Array2<f32>, Vec<u32>)> {
    (2usize..20, 1usize..60).prop_flat_map(|(k, n)| {
        let rows = prop::collection::vec(0.001f32..1.0, n * k);
        let labels = prop::collection::vec(0u32..k as u32, n);
        (rows, labels).prop_map(move |(raw, y)| {
            let mut p = Array2::from_shape_vec((n, k), raw).unwrap();
            p.rows_mut().into_iter().for_each(|mut r| {
                let sum = r.sum();
                r.mapv_inplace(|v| v / sum);
            });
            (p, y)
        })
    })
}

proptest! {
    #[test]
    fn any_layout_and_precision_counts_the_same((p, y) in judged()) {
        let c = counted(p.view(), &y);
        let fortran = p.t().as_standard_layout().into_owned();
        prop_assert_eq!(&c, &counted(fortran.t(), &y));
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        prop_assert_eq!(&c, &one.install(|| counted(p.view(), &y)));
        let doubles = Counted::of(&p.mapv(f64::from).view(), &y, &|_| true).unwrap();
        for (a, b) in c.thresholds.iter().zip(&doubles.thresholds) {
            prop_assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn calibration_keeps_row_totals(
        cells in prop::collection::vec(0u64..9, 16), labels in prop::collection::vec(0u32..4, 1..80),
    ) {
        let mut joint = Array2::from_shape_vec((4, 4), cells).unwrap();
        joint.diag_mut().mapv_inplace(|v| v.max(1));
        let calibrated = calibrated_joint(&joint, &labels);
        for c in 0..4u32 {
            let given = labels.iter().filter(|&&y| y == c).count();
            prop_assert_eq!(calibrated.row(c as usize).sum() as usize, given);
        }
        let noise = noise_matrix(&calibrated);
        for c in 0..4 {
            let sum = noise.column(c).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9 || sum == 0.0);
        }
    }
}
