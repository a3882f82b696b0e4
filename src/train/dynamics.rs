//! How each sample fared while a linear softmax head was trained on all samples with a constant step
//! size: labels that the head learns late, or only by heart, are likely wrong. In-sample, seeded, the
//! same bytes for any number of threads.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::error::{TrainError, check_labels, check_length};
use super::linear::softmax::max;
use super::linear::stochastic::Trainer;
use crate::arrays::{Standardizer, first_not_finite};

/// Hyper-parameters of [`dynamics`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DynamicsParams {
    /// Passes over the samples, >= 1. Twice as many find no more wrong labels (AUROC of the area under
    /// the margin within 0.0003), and fewer where noise goes to one class: the head learns it by heart.
    pub epochs: usize,
    /// Adam's step size, constant, > 0.
    pub rate: f32,
    /// Weight of |W|^2 / 2 against the mean loss, >= 0.
    pub l2: f32,
    pub seed: u64,
}

impl Default for DynamicsParams {
    fn default() -> Self {
        Self { epochs: 6, rate: 1e-3, l2: 0.0, seed: 0 }
    }
}

/// Epochs that [`Dynamics::el2n`] averages.
const EL2N_EPOCHS: usize = 5;

/// One value per sample, in the order of the rows. Each epoch counts a sample once, at the moment its
/// batch is drawn, before the step that learns from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dynamics {
    /// Area under the margin (Pleiss et al. 2020): mean over epochs of the given class's logit less
    /// the largest other logit. Low: suspect.
    pub aum: Vec<f32>,
    /// Epoch-mean probability of the given class less the largest other; in [-1, 1]. Low: suspect.
    pub margin: Vec<f32>,
    /// Mean and standard deviation over epochs of the given class's probability (Swayamdipta et al.
    /// 2020). Low mean and low deviation: suspect.
    pub confidence: Vec<f32>,
    pub variability: Vec<f32>,
    /// Times that the sample was right in one epoch and wrong in the next (Toneva et al. 2019); NaN for
    /// a sample that was never right.
    pub forgetting: Vec<f32>,
    /// |p - onehot(given)|_2 averaged over the first five epochs (Paul et al. 2021). High: suspect.
    pub el2n: Vec<f32>,
    /// Class of the largest epoch-mean probability, the first of equals.
    pub predicted: Vec<usize>,
}

impl Dynamics {
    /// The sample's given class was never the head's first choice.
    pub fn never_learned(&self, row: usize) -> bool {
        self.forgetting[row].is_nan()
    }
}

/// Sums over epochs, one per sample.
#[derive(Clone, Copy, Default)]
struct Sums {
    logit_margin: f32,
    p: f32,
    p_squared: f32,
    el2n: f32,
    forgotten: u16,
    learned: bool,
    right: bool,
}

/// Trains on features `x` (N, d; standardised here) and given labels `y` (N) in 0..`n_classes`. `tick` is
/// told the epoch and cancels by returning false. Cost: two products of (N, d) with (d, k) per epoch;
/// memory N x (d + k). Errors: see [`TrainError`].
pub fn dynamics(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    params: &DynamicsParams,
    tick: &dyn Fn(usize) -> bool,
) -> Result<Dynamics, TrainError> {
    check(x, y, n_classes, params)?;
    let n = y.len();
    let (_, z) = Standardizer::fit_transform(x);
    let weights = vec![1.0 / n as f32; n];
    let mut trainer = Trainer::new(z.view(), y, &weights, vec![0.0; n_classes]);
    let mut sums = vec![Sums::default(); n];
    let mut mean_p = Array2::<f32>::zeros((n, n_classes));
    let mean = mean_p.as_slice_mut().expect("owned, standard layout");
    for epoch in 0..params.epochs {
        if !tick(epoch) {
            return Err(TrainError::Cancelled);
        }
        let seed = params.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(epoch as u64);
        trainer.pass(seed, params.l2, &|_| params.rate, &mut |rows, logits, probabilities| {
            let seen = logits.chunks_exact(n_classes).zip(probabilities.chunks_exact(n_classes));
            for (&row, (z, p)) in rows.iter().zip(seen) {
                observe(&mut sums[row], z, p, y[row], epoch);
                let mean = &mut mean[row * n_classes..(row + 1) * n_classes];
                mean.iter_mut().zip(p).for_each(|(m, p)| *m += p);
            }
        });
    }
    Ok(gather(&sums, mean, y, n_classes, params.epochs))
}

fn check(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    params: &DynamicsParams,
) -> Result<(), TrainError> {
    let bad = |name, value, rule| Err(TrainError::Param { name, value, rule });
    if !(1..=usize::from(u16::MAX)).contains(&params.epochs) {
        return bad("epochs", params.epochs as f64, "it must be between 1 and 65535");
    }
    if !(params.rate > 0.0 && params.rate.is_finite()) {
        return bad("rate", f64::from(params.rate), "it must be a finite number > 0");
    }
    if !(params.l2 >= 0.0 && params.l2.is_finite()) {
        return bad("l2", f64::from(params.l2), "it must be a finite number >= 0");
    }
    check_length("labels", x.nrows(), y.len())?;
    if y.is_empty() {
        return Err(TrainError::Empty);
    }
    check_labels(y, n_classes)?;
    if n_classes < 2 {
        return Err(TrainError::OneClass);
    }
    first_not_finite(x).map_or(Ok(()), |bad| Err(bad.into()))
}

/// The largest value but that of `class`.
fn largest_other(row: &[f32], class: usize) -> f32 {
    max(&row[..class]).max(max(&row[class + 1..]))
}

fn observe(sums: &mut Sums, logits: &[f32], p: &[f32], label: usize, epoch: usize) {
    let margin = logits[label] - largest_other(logits, label);
    sums.logit_margin += margin;
    let given = p[label];
    sums.p += given;
    sums.p_squared += given * given;
    if epoch < EL2N_EPOCHS {
        let squares = super::linear::softmax::dot(p, p) - given * given + (1.0 - given) * (1.0 - given);
        sums.el2n += squares.max(0.0).sqrt();
    }
    let right = margin > 0.0;
    sums.forgotten += u16::from(sums.right && !right);
    sums.learned |= right;
    sums.right = right;
}

fn gather(sums: &[Sums], mean: &[f32], y: &[usize], k: usize, epochs: usize) -> Dynamics {
    let share = 1.0 / epochs as f32;
    let by_row = |f: &(dyn Fn(&Sums) -> f32 + Sync)| sums.iter().map(f).collect::<Vec<f32>>();
    let (margin, predicted) = mean
        .par_chunks(k)
        .zip(y)
        .map(|(p, &label)| {
            let top = max(p);
            let class = p.iter().position(|v| *v == top).unwrap_or(label);
            ((p[label] - largest_other(p, label)) * share, class)
        })
        .unzip();
    Dynamics {
        aum: by_row(&|s| s.logit_margin * share),
        margin,
        confidence: by_row(&|s| s.p * share),
        variability: by_row(&|s| (s.p_squared * share - (s.p * share).powi(2)).max(0.0).sqrt()),
        forgetting: by_row(&|s| if s.learned { f32::from(s.forgotten) } else { f32::NAN }),
        el2n: by_row(&|s| s.el2n / epochs.min(EL2N_EPOCHS) as f32),
        predicted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use rand::Rng;

    /// Area under the ROC curve of "low score = wrong label".
    fn auroc(scores: &[f32], wrong: &[bool]) -> f64 {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let (mut seen, mut pairs) = (0usize, 0usize);
        for i in order {
            if wrong[i] { seen += 1 } else { pairs += seen }
        }
        pairs as f64 / (seen * (scores.len() - seen)) as f64
    }

    /// Gaussian classes, 20 % of the labels moved to another class at random.
    fn noisy(n: usize, d: usize, k: usize, seed: u64) -> (Array2<f32>, Vec<usize>, Vec<bool>) {
        let mut r = rng(seed);
        let means = gaussian_matrix(k, d, &mut r);
        let mut x = gaussian_matrix(n, d, &mut r);
        let (mut y, mut wrong) = (Vec::new(), Vec::new());
        for (i, mut row) in x.rows_mut().into_iter().enumerate() {
            row.scaled_add(0.8, &means.row(i % k));
            let moved = r.r#gen::<f64>() < 0.2;
            wrong.push(moved);
            y.push(if moved { (i + 1 + r.gen_range(0..k - 1)) % k } else { i % k });
        }
        (x, y, wrong)
    }

    #[test]
    fn the_margin_separates_wrong_labels() {
        let (x, y, wrong) = noisy(3000, 32, 8, 3);
        let d = dynamics(x.view(), &y, 8, &DynamicsParams::default(), &|_| true).unwrap();
        let minus_el2n: Vec<f32> = d.el2n.iter().map(|v| -v).collect();
        for (name, scores) in
            [("aum", &d.aum), ("margin", &d.margin), ("confidence", &d.confidence), ("el2n", &minus_el2n)]
        {
            let a = auroc(scores, &wrong);
            assert!(a > 0.95, "{name}: {a}");
        }
        let never: Vec<usize> = (0..3000).filter(|&i| d.never_learned(i)).collect();
        let right = never.iter().filter(|&&i| wrong[i]).count();
        assert!(never.len() > 300 && right as f64 > 0.85 * never.len() as f64, "{right} of {}", never.len());
        let agree = (0..3000).filter(|&i| d.predicted[i] == i % 8).count();
        assert!(agree > 2700, "{agree}");
    }

    #[test]
    fn one_sample_by_hand() {
        let mut s = Sums::default();
        // right, wrong, right, wrong: forgotten twice
        for (epoch, z) in
            [[2.0f32, 1.0, 0.0], [0.0, 1.0, 0.5], [3.0, 1.0, 0.0], [0.0, 0.0, 4.0]].iter().enumerate()
        {
            observe(&mut s, z, &[0.6, 0.3, 0.1], 0, epoch);
        }
        let d = gather(&[s], &[2.4, 1.2, 0.4], &[0], 3, 4);
        assert!((d.aum[0] - (1.0 - 1.0 + 2.0 - 4.0) / 4.0).abs() < 1e-6);
        assert_eq!((d.forgetting[0], d.predicted[0]), (2.0, 0));
        assert!((d.margin[0] - 0.3).abs() < 1e-6 && (d.confidence[0] - 0.6).abs() < 1e-6);
        assert!(d.variability[0] < 1e-3);
        let want = (0.16f32 + 0.09 + 0.01).sqrt();
        assert!((d.el2n[0] - want).abs() < 1e-6, "{} {want}", d.el2n[0]);
        let mut never = Sums::default();
        observe(&mut never, &[1.0, 1.0], &[0.5, 0.5], 0, 0);
        assert!(gather(&[never], &[0.5, 0.5], &[0], 2, 1).never_learned(0));
    }

    #[test]
    fn threads_do_not_change_a_bit_but_the_seed_does() {
        let (x, y, _) = noisy(900, 150, 5, 4);
        let run = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let params = DynamicsParams { epochs: 3, seed, ..DynamicsParams::default() };
            pool.install(|| dynamics(x.view(), &y, 5, &params, &|_| true).unwrap())
        };
        let one = run(1, 0);
        assert_eq!(one.aum, run(2, 0).aum);
        assert_eq!(one.margin, run(8, 0).margin);
        assert_ne!(one.aum, run(1, 1).aum);
    }

    #[test]
    fn mistakes_are_named_and_cancel_works() {
        let x = Array2::<f32>::zeros((4, 2));
        let ok = DynamicsParams::default();
        let run = |y: &[usize], k, p: DynamicsParams| dynamics(x.view(), y, k, &p, &|_| true).unwrap_err();
        assert!(matches!(run(&[0, 1], 2, ok), TrainError::Length { .. }));
        assert!(matches!(run(&[0, 1, 2, 0], 2, ok), TrainError::Label { row: 2, .. }));
        assert_eq!(run(&[0; 4], 1, ok), TrainError::OneClass);
        for bad in [
            DynamicsParams { epochs: 0, ..ok },
            DynamicsParams { rate: f32::NAN, ..ok },
            DynamicsParams { l2: -1.0, ..ok },
        ] {
            assert!(matches!(run(&[0, 1, 0, 1], 2, bad), TrainError::Param { .. }));
        }
        let cancelled = dynamics(x.view(), &[0, 1, 0, 1], 2, &ok, &|e| e < 2);
        assert_eq!(cancelled.unwrap_err(), TrainError::Cancelled);
    }
}
