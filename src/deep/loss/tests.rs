use tamis_core::arrays::rng;

use super::*;
use rand::Rng;

const K: usize = 5;
const ROOTS: [usize; K] = [0, 0, 1, 1, 2];

/// The loss straight from its formula, in f64.
fn formula(spec: &Loss, z: &[f64], t: &[f64], state: State, memory: &[f64], noise: &Array2<f32>) -> f64 {
    let sum: f64 = z.iter().map(|v| v.exp()).sum();
    let p: Vec<f64> = z.iter().map(|v| v.exp() / sum).collect();
    let e = f64::from(spec.smoothing);
    let s: Vec<f64> = t.iter().map(|t| t * (1.0 - e) + e / K as f64).collect();
    let ce = |t: &[f64]| -t.iter().zip(&p).map(|(t, p)| t * p.ln()).sum::<f64>();
    let q = f64::from(spec.q);
    let gce = || t.iter().zip(&p).map(|(t, p)| t * (1.0 - p.powf(q)) / q).sum::<f64>();
    let main = match spec.kind {
        LossKind::Ce => ce(&s),
        LossKind::Gce => gce(),
        LossKind::Sce => {
            let reverse: f64 = s.iter().zip(&p).map(|(t, p)| -(1e-4_f64.ln()) * t * (1.0 - p)).sum();
            f64::from(spec.alpha) * ce(&s) + f64::from(spec.beta) * reverse
        }
        LossKind::Elr => {
            let agree: f64 = p.iter().zip(memory).map(|(p, m)| p * m).sum();
            ce(&s) + f64::from(spec.lambda) * (1.0 - agree).ln()
        }
        LossKind::Forward => -(0..K)
            .map(|j| t[j] * (0..K).map(|i| p[i] * f64::from(noise[[i, j]])).sum::<f64>().ln())
            .sum::<f64>(),
        LossKind::ThreeState => match state {
            State::Clean => ce(&s),
            State::Unclear => gce(),
            State::Wrong => ce(t),
        },
    };
    let level1: f64 = (0..3)
        .map(|r| {
            let of = |v: &[f64]| (0..K).filter(|&c| ROOTS[c] == r).map(|c| v[c]).sum::<f64>();
            -of(t) * of(&p).ln()
        })
        .sum();
    main + f64::from(spec.level1_weight) * level1
}

#[test]
fn every_loss_and_its_gradient_agree_with_the_formula_and_finite_differences() {
    let mut r = rng(11);
    let noise = Array2::from_shape_fn((K, K), |(i, j)| if i == j { 0.6 } else { 0.1 });
    for kind in
        [LossKind::Ce, LossKind::Gce, LossKind::Sce, LossKind::Elr, LossKind::Forward, LossKind::ThreeState]
    {
        for state in [State::Clean, State::Unclear, State::Wrong] {
            for (smoothing, level1_weight, soft) in [(0.0, 0.0, false), (0.1, 0.3, false), (0.2, 0.5, true)] {
                if state != State::Clean && kind != LossKind::ThreeState {
                    continue;
                }
                let spec =
                    Loss { kind, smoothing, level1_weight, alpha: 0.3, lambda: 2.0, ..Loss::default() };
                let z: Vec<f64> = (0..K).map(|_| r.gen_range(-2.0..2.0)).collect();
                let mut draw = || {
                    let v: Vec<f64> = (0..K).map(|_| r.gen_range(0.01..1.0)).collect();
                    let sum: f64 = v.iter().sum();
                    v.iter().map(|v| v / sum).collect::<Vec<_>>()
                };
                let t = if soft { draw() } else { vec![0.0, 0.0, 1.0, 0.0, 0.0] };
                let memory = draw();
                let f32s = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
                let mut p = f32s(&z);
                softmax(&mut p);
                let against = Against { loss: &spec, roots: &ROOTS, noise: Some(&noise) };
                let (target, memory32) = (f32s(&t), f32s(&memory));
                let row = Row { target: &target, weight: 1.5, state, memory: &memory32 };
                let mut gradient = vec![0.0; K];
                let loss = against.row(&p, &row, &mut gradient);
                let want = |z: &[f64]| 1.5 * formula(&spec, z, &t, state, &memory, &noise);
                assert!((f64::from(loss) - want(&z)).abs() < 1e-4, "{kind:?} {state:?}: {loss}");
                for c in 0..K {
                    let (mut up, mut down) = (z.clone(), z.clone());
                    up[c] += 1e-5;
                    down[c] -= 1e-5;
                    let slope = (want(&up) - want(&down)) / 2e-5;
                    assert!(
                        (f64::from(gradient[c]) - slope).abs() < 1e-4,
                        "{kind:?} {state:?} {c}: {} {slope}",
                        gradient[c]
                    );
                }
            }
        }
    }
}

#[test]
fn r_drop_by_hand_and_by_finite_differences() {
    let (z1, z2) = ([0.2_f64, -1.0, 0.7], [0.0_f64, 0.5, 0.1]);
    let p = |z: &[f64; 3]| {
        let s: f64 = z.iter().map(|v| v.exp()).sum();
        z.map(|v| v.exp() / s)
    };
    let formula = |z1: &[f64; 3], z2: &[f64; 3]| {
        let (p, q) = (p(z1), p(z2));
        (0..3).map(|c| p[c] * (p[c] / q[c]).ln() + q[c] * (q[c] / p[c]).ln()).sum::<f64>() * 0.8 / 2.0
    };
    let (mut g1, mut g2) = ([0.0_f32; 3], [0.0_f32; 3]);
    let loss = r_drop(&p(&z1).map(|v| v as f32), &p(&z2).map(|v| v as f32), 0.8, &mut g1, &mut g2);
    assert!((f64::from(loss) - formula(&z1, &z2)).abs() < 1e-6);
    for c in 0..3 {
        let moved = |z: &[f64; 3], by: f64| {
            let mut z = *z;
            z[c] += by;
            z
        };
        let d1 = (formula(&moved(&z1, 1e-6), &z2) - formula(&moved(&z1, -1e-6), &z2)) / 2e-6;
        let d2 = (formula(&z1, &moved(&z2, 1e-6)) - formula(&z1, &moved(&z2, -1e-6))) / 2e-6;
        assert!((f64::from(g1[c]) - d1).abs() < 1e-5 && (f64::from(g2[c]) - d2).abs() < 1e-5);
    }
    // by hand: (p - q) ln(p/q) summed over p = (1/2, 1/2), q = (1/4, 3/4); two equal passes cost nothing
    let (p, q) = ([0.5_f32, 0.5], [0.25_f32, 0.75]);
    let by_hand = 0.25 * (2.0_f32.ln()) + -0.25 * (0.5_f32 / 0.75).ln();
    assert!((r_drop(&p, &q, 2.0, &mut [0.0; 2], &mut [0.0; 2]) - by_hand).abs() < 1e-6);
    assert_eq!(r_drop(&p, &p, 2.0, &mut [0.0; 2], &mut [0.0; 2]), 0.0);
}

#[test]
fn picking_a_column_by_hand() {
    // logits 0, 0 with the first right: loss ln 2, gradient (-1/2, 1/2); the second row does not count
    let mut logits = [0.0_f32, 0.0, 3.0, 4.0];
    let loss = pick(&mut logits, 2, &[Some(0), None], 2.0);
    assert!((loss - 2.0 * 2.0_f32.ln()).abs() < 1e-6);
    assert_eq!(logits, [-1.0, 1.0, 0.0, 0.0]);
}
