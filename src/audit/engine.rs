//! The audit itself, in two steps: what can be known before a label is judged (places, probabilities out
//! of fold where none were given, training dynamics), and the judgement.

use ndarray::{ArrayView2, Axis, concatenate};

use super::input::Input;
use crate::arrays::{Rows, Span, balanced};
use crate::detect::imbalance::groups::{GroupParams, GroupScore, group_scores};
use crate::detect::imbalance::{Balance, balance};
use crate::detect::value::{Candidate, Outlook, Reviewer, outlook, priorities};
use crate::detect::{DetectError, Places, PlacesParams, ScanInput, ScanOutput, Stage, scan};
use crate::train::selection::DEFAULT_GRID;
use crate::train::{
    Dynamics, DynamicsParams, FoldPath, LinearParams, Selection, TrainError, dynamics, fit_fold_path,
    grid_for_fold, possible_folds, select,
};

/// How to audit. One fixed default for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditParams {
    pub seed: u64,
    /// Folds of the head, >= 2.
    pub folds: usize,
    /// Neighbours that vote, 1 to 1000.
    pub neighbours: usize,
}

impl Default for AuditParams {
    fn default() -> Self {
        Self { seed: 0, folds: 5, neighbours: 30 }
    }
}

/// What an audit is doing, in this order; those that need features only with features, heads only without
/// given probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Neighbours,
    Clusters,
    OutOfFold,
    Dynamics,
    Fusion,
}

/// Told (part, done, total); cancels by returning false.
pub type Progress<'a> = dyn FnMut(Part, usize, usize) -> bool + 'a;

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("neither probabilities nor features: there is nothing to judge labels by")]
    Nothing,
    #[error(transparent)]
    Detect(#[from] DetectError),
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Known before a label is judged.
#[derive(Debug)]
pub struct Prepared {
    pub places: Option<Places>,
    /// Own heads, where no probabilities were given.
    pub heads: Option<Selection>,
    pub dynamics: Option<Dynamics>,
}

/// Finds places, fits heads out of fold (stratified, near-duplicates in one fold, C and temperature by the
/// noisy log-loss) where the input has no probabilities, and records training dynamics.
///
/// # Errors
/// No features and no probabilities, too few samples, cancelled.
pub fn prepare(
    input: &Input,
    params: &AuditParams,
    progress: &mut Progress<'_>,
) -> Result<Prepared, AuditError> {
    if input.features.is_empty() {
        if input.probabilities.is_none() {
            return Err(AuditError::Nothing);
        }
        return Ok(Prepared { places: None, heads: None, dynamics: None });
    }
    let views: Vec<ArrayView2<'_, f32>> = input.features.iter().map(|(_, x)| x.view()).collect();
    let joined;
    let x = if let [one] = views[..] {
        one
    } else {
        joined = concatenate(Axis(1), &views).unwrap_or_default();
        joined.view()
    };
    let k = input.taxonomy.n_classes();
    let mut start = 0;
    let spans: Vec<Span> = views
        .iter()
        .map(|v| {
            let span = Span { start, dimension: v.ncols(), weight: 1.0 };
            start += v.ncols();
            span
        })
        .collect();
    let present = k - input.missing_classes.len();
    let place = PlacesParams { k_neighbours: params.neighbours, ..PlacesParams::new(present, params.seed) };
    let places = Places::find(balanced(x, &spans).view(), &place, &mut |stage, done, total| {
        let part = if stage == Stage::Clusters { Part::Clusters } else { Part::Neighbours };
        progress(part, done, total)
    })?;
    let y: Vec<usize> = input.labels.iter().map(|&y| y as usize).collect();
    let heads = match &input.probabilities {
        Some(_) => None,
        None => Some(heads(x, &y, k, &places.fold_groups(), params, progress)?),
    };
    let settings = DynamicsParams { seed: params.seed, ..DynamicsParams::default() };
    let go_on = std::cell::RefCell::new(progress);
    let dynamics =
        dynamics(x, &y, k, &settings, &|epoch| (go_on.borrow_mut())(Part::Dynamics, epoch, settings.epochs))?;
    Ok(Prepared { places: Some(places), heads, dynamics: Some(dynamics) })
}

fn heads(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    k: usize,
    groups: &[u32],
    params: &AuditParams,
    progress: &mut Progress<'_>,
) -> Result<Selection, AuditError> {
    let (folds, n_folds) = possible_folds(y, k, params.folds, groups, params.seed);
    let mut paths: Vec<FoldPath> = Vec::with_capacity(n_folds);
    for fold in 0..n_folds {
        if !progress(Part::OutOfFold, fold, n_folds) {
            return Err(TrainError::Cancelled.into());
        }
        let grid = grid_for_fold(&paths, &DEFAULT_GRID);
        let linear = LinearParams::for_folds();
        paths.push(fit_fold_path(x, y, k, &folds, fold, &grid, &linear, &|_| true)?);
    }
    progress(Part::OutOfFold, n_folds, n_folds);
    Ok(select(&paths, k)?)
}

/// The judgement and what it says of the data set.
pub struct Audit<'a> {
    pub scan: ScanOutput<'a>,
    pub dynamics: Option<&'a Dynamics>,
    pub balance: Balance,
    /// Clusters by the mean confidence in their labels, where there are features.
    pub groups: Vec<GroupScore>,
    /// (N) what a review of the sample is expected to gain, in [0, 1]; the order to review in.
    pub priority: Vec<f32>,
    /// The next hundred reviews by a person who is right in 95 of 100 decisions.
    pub outlook: Outlook,
}

/// A careful person; see noisy-label economics in docs/benchmarks.md.
pub const CAREFUL: Reviewer = Reviewer { corrects: 0.95, keeps: 0.95 };
/// Reviews that [`Audit::outlook`] looks ahead.
pub const NEXT: usize = 100;

/// Judges the labels by what was prepared.
///
/// # Errors
/// Probabilities that are not such (row and value are named), cancelled.
pub fn audit<'a>(
    input: &'a Input,
    prepared: &'a Prepared,
    class_roots: &'a [usize],
    progress: &mut Progress<'_>,
) -> Result<Audit<'a>, AuditError> {
    let view = prepared.heads.as_ref().map(|h| h.probabilities.view());
    let probabilities: &dyn Rows<f32> = match (&input.probabilities, &view) {
        (Some(p), _) => p,
        (None, Some(view)) => view,
        (None, None) => return Err(AuditError::Nothing),
    };
    let places = prepared.places.as_ref();
    let fields: Vec<(String, ArrayView2<'_, f32>)> =
        input.features.iter().map(|(name, x)| (name.clone(), x.view())).collect();
    let scan_input = ScanInput { places, labels: &input.labels, class_roots, fields: &fields, probabilities };
    let scan = scan(&scan_input, &mut |_, done, total| progress(Part::Fusion, done, total))?;
    let balance = balance(&input.labels, input.taxonomy.n_classes())?;
    let groups = match places {
        Some(places) => group_scores(&places.clusters, &scan.self_confidence, GroupParams::default())?,
        None => Vec::new(),
    };
    let candidates: Vec<Candidate> = (0..scan.len())
        .map(|i| Candidate {
            p_wrong: f64::from(scan.fused.suspicion[i]),
            unambiguity: f64::from(sureness(&scan, i)),
            given: input.labels[i],
            suggested: scan.fused.suggested[i],
            cross_parent: scan.cross_parent(i),
        })
        .collect();
    let priority = priorities(&candidates, &balance.counts)?;
    let mut order: Vec<usize> = (0..scan.len()).collect();
    order.sort_by(|&a, &b| priority[b].total_cmp(&priority[a]).then(a.cmp(&b)));
    let queue: Vec<f64> = order.iter().map(|&i| candidates[i].p_wrong).collect();
    let outlook = outlook(&queue, CAREFUL, NEXT)?;
    // a cross-parent error counts double
    let priority = priority.into_iter().map(|v| (v / 2.0) as f32).collect();
    Ok(Audit { scan, dynamics: prepared.dynamics.as_ref(), balance, groups, priority, outlook })
}

/// How far the suggestion stands out from what else the sample could be if its label is wrong: its share
/// of the posterior that is not the given label's.
fn sureness(scan: &ScanOutput<'_>, i: usize) -> f32 {
    let rest = 1.0 - scan.fused.p_given[i];
    if rest > 1e-6 { (scan.fused.p_suggested[i] / rest).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use crate::domain::{Node, Taxonomy};
    use ndarray::Array2;

    fn input(n: usize, flip: usize) -> (Input, Vec<bool>) {
        let k = 4;
        let mut r = rng(3);
        let centres = gaussian_matrix(k, 16, &mut r);
        let noise = gaussian_matrix(n, 16, &mut r);
        let x = Array2::from_shape_fn((n, 16), |(i, j)| centres[[i % k, j]] + 0.7 * noise[[i, j]]);
        let wrong: Vec<bool> = (0..n).map(|i| i % flip == 0).collect();
        let labels = (0..n).map(|i| ((i + usize::from(wrong[i])) % k) as u32).collect();
        let node = |c: usize| Node { id: c.to_string(), names: Default::default(), parent: None };
        let input = Input {
            ids: None,
            labels,
            numbered: true,
            taxonomy: Taxonomy::new((0..k).map(node).collect()).unwrap(),
            probabilities: None,
            features: vec![("f".into(), x)],
            missing_classes: vec![],
        };
        (input, wrong)
    }

    #[test]
    fn from_features_alone() {
        let (input, wrong) = input(400, 10);
        let prepared = prepare(&input, &AuditParams::default(), &mut |_, _, _| true).unwrap();
        let roots = input.taxonomy.class_roots();
        let audit = audit(&input, &prepared, &roots, &mut |_, _, _| true).unwrap();
        let found = (0..400).filter(|&i| audit.scan.flagged(i) && wrong[i]).count();
        assert!(found >= 36, "{found} of 40; {:?}", audit.scan.noise.count);
        assert!(audit.outlook.corrected > 25.0 && audit.outlook.pays >= 36, "{:?}", audit.outlook);
        assert!(audit.dynamics.is_some() && audit.priority.iter().all(|p| (0.0..=1.0).contains(p)));
    }

    #[test]
    fn cancels_anywhere_and_needs_something() {
        let (mut input, _) = input(60, 10);
        for at in [Part::Neighbours, Part::Clusters, Part::OutOfFold, Part::Dynamics] {
            assert!(prepare(&input, &AuditParams::default(), &mut |p, _, _| p != at).is_err(), "{at:?}");
        }
        input.features.clear();
        let error = prepare(&input, &AuditParams::default(), &mut |_, _, _| true).unwrap_err();
        assert!(error.to_string().contains("nothing to judge"));
    }
}
