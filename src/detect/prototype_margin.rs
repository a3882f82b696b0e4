//! Prototype margin with mixtures: how much nearer a sample is to the mean of its label's class than to
//! any other, and three states by where two Gaussians over these margins part: clean, unclear, wrong.
//!
//! Source: detectors "global" and "global-local" of the FM-SRM authors (repository SenyuHou/FM-SRM);
//! here a sample is left out of its own class's mean, and a class has its own mixture in the last round
//! where that explains its margins better.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::confident::by_class;
use super::error::{DetectError, check_length};
use super::fusion::Prototypes;
use super::mixture::Mixture;

/// P(wrong) from here on decides alone; below 1 - this the label is clean.
const SURE: f32 = 0.8;
/// Of the unclear, P(little local agreement) from here on says wrong.
const LOCAL: f32 = 0.5;
/// How often the class means are taken again from the labels believed by then.
const REFINEMENTS: usize = 3;
/// Weight of a disbelieved label in the means; none is left out for good.
const DISBELIEVED: f32 = 1e-3;
/// Parameters of a mixture, for the choice between one for all and one of a class.
const PARAMETERS: f64 = 5.0;

/// What the margin and the neighbours say of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelState {
    Clean,
    Unclear,
    Wrong,
}

impl LabelState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Unclear => "unclear",
            Self::Wrong => "wrong",
        }
    }
}

/// Columns (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct PrototypeMargins {
    /// cos(h, mean of its label's class without itself) - max over the other classes of cos(h, mean), in
    /// [-2, 2]; higher = better label. 0 where there is nothing to compare with: a class with this sample
    /// only, or no other class.
    pub margin: Vec<f32>,
    /// P(the margin belongs to the low component), in [0, 1]; 1/2 where the margin is not defined, 0 where
    /// all margins are equal.
    pub p_wrong: Vec<f32>,
    pub state: Vec<LabelState>,
}

impl PrototypeMargins {
    /// Wrong labels by this source: the sum of P(wrong) over the samples.
    pub fn errors(&self) -> f64 {
        self.p_wrong.iter().map(|p| f64::from(*p)).sum()
    }
}

/// Judges `labels` (N) by `unit` (N, D), rows of unit length or zero, and `agreement` (N), the share of a
/// sample's neighbours that carry its label. O(N k D) for each of four rounds; memory O(N).
///
/// # Errors
/// Lengths.
pub fn prototype_margins(
    unit: ArrayView2<'_, f32>,
    labels: &[u32],
    n_classes: usize,
    agreement: &[f32],
) -> Result<PrototypeMargins, DetectError> {
    let n = labels.len();
    check_length("features", n, unit.nrows())?;
    check_length("agreement", n, agreement.len())?;
    let (rows, starts) = by_class(labels, n_classes);
    let present = starts.windows(2).filter(|w| w[1] > w[0]).count();
    let defined: Vec<bool> =
        labels.iter().map(|&y| present > 1 && starts[y as usize + 1] - starts[y as usize] > 1).collect();
    let mut weights = vec![1f32; n];
    let (mut margin, mut p_wrong) = (vec![0f32; n], vec![0.5f32; n]);
    for round in 0..=REFINEMENTS {
        margin = Prototypes::of(unit, labels, &weights, n_classes).margins(unit, labels, &weights);
        p_wrong = low(&margin, &defined, &rows, &starts, round == REFINEMENTS);
        for (w, &p) in weights.iter_mut().zip(&p_wrong) {
            *w = if p < SURE { 1.0 } else { DISBELIEVED };
        }
    }
    margin.iter_mut().zip(&defined).filter(|(_, d)| !**d).for_each(|(m, _)| *m = 0.0);
    let state = states(&p_wrong, &defined, agreement);
    Ok(PrototypeMargins { margin, p_wrong, state })
}

/// P(low component) of each margin: by the mixture over all margins; with `by_class` over those of a class
/// where the Bayesian information criterion prefers it.
fn low(margin: &[f32], defined: &[bool], rows: &[u32], starts: &[usize], by_class: bool) -> Vec<f32> {
    let of = |rows: &[u32]| -> Vec<f32> {
        rows.iter().filter(|i| defined[**i as usize]).map(|i| margin[*i as usize]).collect()
    };
    let mut out: Vec<f32> = defined.iter().map(|d| if *d { 0.0 } else { 0.5 }).collect();
    let Some(whole) = Mixture::fit(&of(rows)) else { return out };
    let classes: Vec<Mixture> = starts
        .par_windows(2)
        .map(|w| {
            let own = if by_class { of(&rows[w[0]..w[1]]) } else { Vec::new() };
            let Some(fit) = Mixture::fit(&own) else { return whole };
            let n = own.len() as f64;
            let gain = n * (fit.log_likelihood(&own) - whole.log_likelihood(&own));
            if 2.0 * gain > PARAMETERS * n.ln() { fit } else { whole }
        })
        .collect();
    for (mixture, w) in classes.iter().zip(starts.windows(2)) {
        for &i in rows[w[0]..w[1]].iter().filter(|i| defined[**i as usize]) {
            out[i as usize] = mixture.low(margin[i as usize]);
        }
    }
    out
}

fn states(p_wrong: &[f32], defined: &[bool], agreement: &[f32]) -> Vec<LabelState> {
    let unclear = |i: &usize| defined[*i] && p_wrong[*i] > 1.0 - SURE && p_wrong[*i] < SURE;
    let between: Vec<f32> = (0..p_wrong.len()).filter(unclear).map(|i| agreement[i]).collect();
    let local = Mixture::fit(&between);
    (0..p_wrong.len())
        .map(|i| match p_wrong[i] {
            _ if !defined[i] => LabelState::Unclear,
            p if p >= SURE => LabelState::Wrong,
            p if p <= 1.0 - SURE => LabelState::Clean,
            _ if local.is_some_and(|l| l.low(agreement[i]) >= LOCAL) => LabelState::Wrong,
            _ => LabelState::Unclear,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, l2_normalized_rows, rng};
    use crate::detect::golden_detectors::{Golden, close};
    use ndarray::{Array2, Axis};

    fn of(golden: &Golden) -> PrototypeMargins {
        let columns: Vec<usize> = golden.labels.iter().map(|y| *y as usize).collect();
        let agreement = golden.neighbours().agreement(&columns).unwrap();
        prototype_margins(golden.unit().view(), &golden.labels, golden.classes, &agreement).unwrap()
    }

    #[test]
    fn as_numpy_and_scikit_learn() {
        let golden = Golden::read();
        let out = of(&golden);
        close(&out.margin, &golden.margin, 2e-3);
        close(&out.p_wrong, &golden.p_wrong, 0.02);
        let sum: f32 = golden.p_wrong.iter().sum();
        assert!((out.errors() - f64::from(sum)).abs() < 1.0);
        for (state, p) in out.state.iter().zip(&out.p_wrong) {
            match state {
                LabelState::Clean => assert!(*p <= 0.2),
                LabelState::Unclear => assert!(*p > 0.2 && *p < 0.8),
                LabelState::Wrong => assert!(*p > 0.2),
            }
        }
    }

    /// Unit rows around four centres; every tenth label is wrong, in class 0 every other.
    fn planted() -> (Array2<f32>, Vec<u32>, Vec<bool>) {
        let mut r = rng(11);
        let (centres, noise) = (gaussian_matrix(4, 16, &mut r), gaussian_matrix(400, 16, &mut r));
        let x = Array2::from_shape_fn((400, 16), |(i, j)| centres[[i % 4, j]] + 0.4 * noise[[i, j]]);
        let wrong: Vec<bool> =
            (0..400).map(|i| i % 40 < 4 || (i % 4 == 1 && i % 8 == 1 && i % 3 == 0)).collect();
        let labels = (0..400).map(|i| if wrong[i] { (i + 3) % 4 } else { i % 4 } as u32).collect();
        (l2_normalized_rows(x.view()), labels, wrong)
    }

    #[test]
    fn three_states_of_planted_errors() {
        let (unit, labels, wrong) = planted();
        let out = prototype_margins(unit.view(), &labels, 4, &[0.5; 400]).unwrap();
        let errors = wrong.iter().filter(|w| **w).count();
        let said = |state, is| (0..400).filter(|&i| out.state[i] == state && wrong[i] == is).count();
        assert!(
            said(LabelState::Wrong, true) * 100 >= errors * 95,
            "{} of {errors}",
            said(LabelState::Wrong, true)
        );
        assert!(said(LabelState::Wrong, false) <= 4, "{}", said(LabelState::Wrong, false));
        assert!((out.errors() / errors as f64 - 1.0).abs() < 0.1, "{} of {errors}", out.errors());
    }

    #[test]
    fn permutations_of_samples_and_classes() {
        let (unit, labels, _) = planted();
        let agreement: Vec<f32> = (0..400).map(|i| (i % 11) as f32 / 10.0).collect();
        let out = prototype_margins(unit.view(), &labels, 4, &agreement).unwrap();
        let order: Vec<usize> = (0..400).map(|i| (i * 7 + 5) % 400).collect();
        let pick = |v: &[f32]| order.iter().map(|&i| v[i]).collect::<Vec<_>>();
        let turned = prototype_margins(
            unit.select(Axis(0), &order).view(),
            &order.iter().map(|&i| (labels[i] + 1) % 4).collect::<Vec<_>>(),
            4,
            &pick(&agreement),
        )
        .unwrap();
        close(&turned.margin, &pick(&out.margin), 1e-4);
        close(&turned.p_wrong, &pick(&out.p_wrong), 1e-2);
    }

    #[test]
    fn nothing_to_compare_with() {
        let (unit, labels, _) = planted();
        let all_alone: Vec<u32> = (0..400).collect();
        for (labels, k) in [(all_alone, 500), (vec![2; 400], 4)] {
            let out = prototype_margins(unit.view(), &labels, k, &[0.0; 400]).unwrap();
            assert!(out.state.iter().all(|s| *s == LabelState::Unclear));
            assert!(out.margin.iter().all(|m| *m == 0.0) && out.p_wrong.iter().all(|p| *p == 0.5));
        }
        // constant features say nothing against anyone
        let same = l2_normalized_rows(Array2::<f32>::ones((400, 3)).view());
        let out = prototype_margins(same.view(), &labels, 4, &[0.5; 400]).unwrap();
        assert!(out.p_wrong.iter().all(|p| *p < 0.5), "{:?}", out.p_wrong);
        assert!(prototype_margins(same.view(), &labels, 4, &[0.5; 3]).is_err());
    }
}
