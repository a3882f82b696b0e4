//! Golden values from scikit-learn, equivalence of the two coordinate systems, edge cases.

use super::*;
use crate::arrays::{gaussian_matrix, rng};

/// x[i][j] = ((7 i + 3 j) mod 11 - 5) / 2 + j, 12 rows of 3; y[i] = (i * i + i / 5) mod 3.
fn small() -> (Array2<f32>, Vec<usize>) {
    let x = Array2::from_shape_fn((12, 3), |(i, j)| ((7 * i + 3 * j) % 11) as f32 / 2.0 - 2.5 + j as f32);
    (x, (0..12).map(|i| (i * i + i / 5) % 3).collect())
}

const TIGHT: LinearParams = LinearParams { l2: 0.0, max_iterations: 500, tolerance: 1e-6 };

#[test]
fn agrees_with_scikit_learn() {
    // StandardScaler + LogisticRegression(C=0.5, tol=1e-10, max_iter=10000), scikit-learn 1.9.1, f64.
    let (x, y) = small();
    assert_eq!(y, [0, 1, 1, 0, 1, 2, 1, 2, 2, 1, 0, 0]);
    let head = LinearHead::fit(x.view(), &y, 3, None, &TIGHT.with_c(0.5, 12), &|_| true).unwrap();
    let p = head.predict_proba(x.view());
    for (row, want) in
        [(0, [0.462_708_53, 0.183_590_46, 0.353_701_02]), (7, [0.118_813_32, 0.567_140_82, 0.314_045_85])]
    {
        for c in 0..3 {
            assert!(
                (f64::from(p[[row, c]]) - want[c]).abs() < 2e-5,
                "{row} {c}: {} {}",
                p[[row, c]],
                want[c]
            );
        }
    }
    assert!((f64::from(head.weights[[1, 2]]) - 0.177_456_46).abs() < 2e-5, "{}", head.weights[[1, 2]]);
    // sample_weight = 1, 2, 3, 1, 2, 3, ..: C scales their sum.
    let weights: Vec<f32> = (0..12).map(|i| (1 + i % 3) as f32).collect();
    let head = LinearHead::fit(x.view(), &y, 3, Some(&weights), &TIGHT.with_c(0.5, 24), &|_| true).unwrap();
    let p = head.predict_proba(x.view());
    for c in 0..3 {
        let want = [0.415_822_15, 0.111_183_20, 0.472_994_65][c];
        assert!((f64::from(p[[0, c]]) - want).abs() < 2e-5, "{c}: {}", p[[0, c]]);
    }
}

#[test]
fn dual_and_primal_end_at_the_same_head() {
    let mut r = rng(21);
    let (n, d, k) = (40, 90, 4);
    let x = gaussian_matrix(n, d, &mut r);
    let y: Vec<usize> = (0..n).map(|i| (i * 5 + i / 7) % k).collect();
    let weights = vec![1.0 / n as f32; n];
    let solve = |problem: &Problem<'_>| {
        let mut state = State::start(problem);
        let stop = Stop { max_iterations: 300, tolerance: 1e-6, tick: &|_| true };
        minimize(problem, 0.05, &stop, &mut state).unwrap();
        (problem.head(&state.point), state.iterations)
    };
    let ((dual, dual_bias), steps) = solve(&Problem::new(x.view(), &y, k, &weights));
    let ((primal, bias), primal_steps) = solve(&Problem::primal(x.view(), &y, k, &weights));
    let far = dual.iter().zip(&primal).chain(dual_bias.iter().zip(&bias)).map(|(a, b)| (a - b).abs());
    let far = far.fold(0f32, f32::max);
    assert!(far < 1e-4, "{far}; {steps} and {primal_steps} iterations");
}

#[test]
fn threads_do_not_change_a_bit() {
    let mut r = rng(22);
    for d in [20, 900] {
        let x = gaussian_matrix(600, d, &mut r);
        let y: Vec<usize> = (0..600).map(|i| (i * 11 + i / 13) % 7).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                LinearHead::fit(x.view(), &y, 7, None, &LinearParams::default(), &|_| true).unwrap()
            })
        };
        assert_eq!(with(1), with(2));
    }
}

#[test]
fn a_start_by_mini_batches_ends_at_the_same_head_with_any_threads() {
    let mut r = rng(24);
    let (n, d, k) = (WARM_ROWS + 77, 140, 9);
    let mut x = gaussian_matrix(n, d, &mut r);
    let y: Vec<usize> = (0..n).map(|i| (i * 11 + i / 13) % k).collect();
    for i in 0..n {
        x[[i, y[i]]] += 1.0;
        x[[i, 20]] = 3.0 * x[[i, 21]] + 0.1 * x[[i, 20]];
    }
    let weights: Vec<f32> = (0..n).map(|i| (1 + i % 3) as f32).collect();
    let params = LinearParams { l2: 0.01, max_iterations: 300, tolerance: 1e-5 };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| LinearHead::fit(x.view(), &y, k, Some(&weights), &params, &|_| true).unwrap())
    };
    let head = with(1);
    assert_eq!(head, with(2));
    assert_eq!(head, with(8));
    let (_, z) = Standardizer::fit_transform(x.view());
    let shares = normalized_weights(Some(&weights), n).unwrap();
    let problem = Problem::new(z.view(), &y, k, &shares);
    let mut cold = State::start(&problem);
    minimize(&problem, 0.01, &Stop { max_iterations: 300, tolerance: 1e-5, tick: &|_| true }, &mut cold)
        .unwrap();
    let (w, b) = problem.head(&cold.point);
    let far = w.iter().zip(&head.weights).chain(b.iter().zip(&head.bias)).map(|(a, b)| (a - b).abs());
    let far = far.fold(0f32, f32::max);
    assert!(far < 2e-4, "{far}");
}

#[test]
fn absent_classes_constant_and_duplicate_features() {
    let mut r = rng(23);
    let mut x = gaussian_matrix(30, 4, &mut r);
    let y: Vec<usize> = (0..30).map(|i| if i % 2 == 0 { 1 } else { 4 }).collect();
    for i in 0..30 {
        x[[i, 0]] = 3.25; // constant
        x[[i, 1]] = x[[i, 2]]; // duplicate
        x[[i, 3]] += y[i] as f32;
    }
    let head = LinearHead::fit(x.view(), &y, 6, None, &LinearParams::default(), &|_| true).unwrap();
    let p = head.predict_proba(x.view());
    assert_eq!(p.dim(), (30, 6));
    for row in p.rows() {
        assert!((row.sum() - 1.0).abs() < 1e-5);
        assert_eq!((row[0], row[2], row[3], row[5]), (0.0, 0.0, 0.0, 0.0));
    }
    assert!((head.weights[[1, 1]] - head.weights[[2, 1]]).abs() < 1e-5);
    let right = argmax_rows(p.view()).iter().zip(&y).filter(|(a, b)| a == b).count();
    assert!(right >= 26, "{right} of 30");
}

#[test]
fn folding_the_standardiser_keeps_the_logits() {
    let (x, y) = small();
    let head = LinearHead::fit(x.view(), &y, 3, None, &LinearParams::default(), &|_| true).unwrap();
    let (w, b) = head.folded();
    let logits = matmul(x.view(), w.view()) + &b;
    let p = head.predict_proba(x.view());
    for (z, p) in logits.rows().into_iter().zip(p.rows()) {
        let mut z = z.to_vec();
        softmax_row(&mut z);
        assert!(z.iter().zip(p).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn mistakes_are_named_and_cancel_works() {
    let (mut x, y) = small();
    let fit = |x: &Array2<f32>, y: &[usize], w: Option<&[f32]>, p: LinearParams| {
        LinearHead::fit(x.view(), y, 3, w, &p, &|_| true).unwrap_err()
    };
    let ok = LinearParams::default();
    assert!(matches!(fit(&x, &y[..5], None, ok), TrainError::Length { found: 5, .. }));
    assert_eq!(fit(&x, &[0; 12], None, ok), TrainError::OneClass);
    assert_eq!(fit(&x, &[9; 12], None, ok), TrainError::Label { row: 0, label: 9, n_classes: 3 });
    assert_eq!(fit(&Array2::zeros((0, 3)), &[], None, ok), TrainError::Empty);
    assert!(matches!(fit(&x, &y, Some(&[-1.0; 12]), ok), TrainError::Weight { row: 0, .. }));
    assert!(matches!(fit(&x, &y, Some(&[0.0; 12]), ok), TrainError::Weight { .. }));
    for bad in [
        LinearParams { l2: 0.0, ..ok },
        LinearParams { l2: f32::NAN, ..ok },
        LinearParams { max_iterations: 0, ..ok },
        LinearParams { tolerance: 1.0, ..ok },
    ] {
        assert!(matches!(fit(&x, &y, None, bad), TrainError::Param { .. }), "{bad:?}");
    }
    let cancelled = LinearHead::fit(x.view(), &y, 3, None, &ok, &|i| i < 2);
    assert_eq!(cancelled.unwrap_err(), TrainError::Cancelled);
    x[[4, 1]] = f32::NAN;
    let message = fit(&x, &y, None, ok).to_string();
    assert!(message.contains("row 4") && message.contains("column 1"), "{message}");
}
