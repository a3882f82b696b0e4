use super::net::{Batch, Net, Work, backward, split_mix};
use super::*;
use crate::arrays::gaussian_matrix;
use crate::train::linear::argmax_rows;
use crate::train::stratified_folds;

#[test]
fn gradient_agrees_with_finite_differences() {
    let (n, d, h, k, smoothing) = (150, 5, 7, 4, 0.1f32);
    let x = gaussian_matrix(n, d, &mut rng(51));
    let y: Vec<usize> = (0..n).map(|i| (i * 7 + i / 3) % k).collect();
    let mut net = Net::random(d, h, k, 1);
    net.parts[1] = (0..h).map(|i| 0.1 * i as f32 - 0.3).collect();
    net.parts[3] = (0..k).map(|i| 0.2 - 0.1 * i as f32).collect();
    let rows: Vec<usize> = (0..n).rev().collect();
    let mut work = Work {
        x: vec![0.0; n * d],
        hidden: vec![0.0; n * h],
        by_hidden: vec![0.0; n * h],
        by_logits: vec![0.0; n * k],
    };
    let mut gradient = Net::zero(d, h, k);
    let batch = Batch { x: x.view(), y: &y, rows: &rows, smoothing, dropout: 0.0, seed: 9 };
    backward(&net, &batch, &mut work, &mut gradient);
    // An independent loss in f64, by the definition.
    let loss = |parts: &[Vec<f64>; 4]| -> f64 {
        let mut total = 0.0;
        for i in 0..n {
            let a: Vec<f64> = (0..h)
                .map(|u| {
                    let z: f64 = (0..d).map(|j| parts[0][u * d + j] * f64::from(x[[i, j]])).sum();
                    (z + parts[1][u]).max(0.0)
                })
                .collect();
            let z: Vec<f64> = (0..k)
                .map(|c| parts[3][c] + (0..h).map(|u| parts[2][c * h + u] * a[u]).sum::<f64>())
                .collect();
            let log_sum = z.iter().map(|v| v.exp()).sum::<f64>().ln();
            let s = f64::from(smoothing);
            let mean = z.iter().sum::<f64>() / k as f64;
            total += log_sum - (1.0 - s) * z[y[i]] - s * mean;
        }
        total / n as f64
    };
    let wide = net.parts.each_ref().map(|p| p.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
    for part in 0..4 {
        for j in 0..wide[part].len() {
            let moved = |by: f64| {
                let mut parts = wide.clone();
                parts[part][j] += by;
                loss(&parts)
            };
            let want = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let got = f64::from(gradient.parts[part][j]);
            assert!((got - want).abs() < 1e-5, "part {part}, {j}: {got} against {want}");
        }
    }
}

#[test]
fn learns_what_no_linear_head_can() {
    // Class = whether two signs agree.
    let n = 1200;
    let x = gaussian_matrix(n, 2, &mut rng(52));
    let y: Vec<usize> = x.rows().into_iter().map(|r| usize::from((r[0] > 0.0) == (r[1] > 0.0))).collect();
    let folds = stratified_folds(&y, 2, 4, None, 0);
    let params = MlpParams { hidden: 32, epochs: 60, rate: 1e-2, ema: 0.9, ..MlpParams::default() };
    let (rows, p) = mlp_fold(x.view(), &y, 2, &folds, 0, &params, &|_| true).unwrap();
    let right = rows.iter().zip(argmax_rows(p.view())).filter(|(row, c)| y[**row] == *c).count();
    assert!(right as f64 > 0.93 * rows.len() as f64, "{right} of {}", rows.len());
    assert!(p.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-5));
}

#[test]
fn threads_do_not_change_a_bit_and_dropout_silences_its_share() {
    let x = gaussian_matrix(700, 150, &mut rng(53));
    let y: Vec<usize> = (0..700).map(|i| (i * 11 + i / 13) % 5).collect();
    let folds = stratified_folds(&y, 5, 2, None, 0);
    let params = MlpParams { hidden: 20, epochs: 2, ..MlpParams::default() };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| mlp_fold(x.view(), &y, 5, &folds, 1, &params, &|_| true).unwrap())
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(8));
    let mut state = 3;
    let small = (0..4000).filter(|_| (split_mix(&mut state) as u8) < 64).count();
    assert!((900..1100).contains(&small), "{small}");
}

#[test]
fn mistakes_are_named_and_cancel_works() {
    let x = Array2::<f32>::zeros((4, 2));
    let ok = MlpParams::default();
    let run = |p: MlpParams, tick: &dyn Fn(usize) -> bool| {
        mlp_fold(x.view(), &[0, 1, 0, 1], 2, &[0, 0, 1, 1], 0, &p, tick)
    };
    for bad in [
        MlpParams { hidden: 0, ..ok },
        MlpParams { epochs: 0, ..ok },
        MlpParams { rate: 0.0, ..ok },
        MlpParams { decay: f32::NAN, ..ok },
        MlpParams { dropout: 1.0, ..ok },
        MlpParams { smoothing: -0.1, ..ok },
        MlpParams { ema: 1.0, ..ok },
    ] {
        assert!(matches!(run(bad, &|_| true), Err(TrainError::Param { .. })), "{bad:?}");
    }
    assert_eq!(run(ok, &|e| e < 1).unwrap_err(), TrainError::Cancelled);
}
