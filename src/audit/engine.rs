//! The audit itself, in two steps: what can be known before a label is judged (places, probabilities out
//! of fold where none were given, training dynamics), and the judgement.

use ndarray::{ArrayView2, Axis, concatenate};

use super::heads::{Folded, Head, Heads, judge};
use super::input::Input;
use crate::arrays::{Rows, Span, balanced};
use crate::detect::imbalance::groups::{GroupParams, GroupScore, group_scores};
use crate::detect::imbalance::{Balance, balance};
use crate::detect::value::{Candidate, Outlook, Reviewer, outlook, priorities};
use crate::detect::{DetectError, Places, PlacesParams, ScanInput, ScanOutput, Stage, scan};
use crate::train::{Dynamics, DynamicsParams, TrainError, dynamics, possible_folds};

/// How to audit. One fixed default for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditParams {
    pub seed: u64,
    /// Folds of the heads, >= 2.
    pub folds: usize,
    /// Own heads, at least one; the mean of several counts.
    pub heads: Vec<Head>,
    /// Neighbours that vote, 1 to 1000.
    pub neighbours: usize,
}

impl Default for AuditParams {
    fn default() -> Self {
        Self { seed: 0, folds: 5, heads: vec![Head::Linear], neighbours: 30 }
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
    pub heads: Option<Heads>,
    pub dynamics: Option<Dynamics>,
}

/// Finds places, fits heads out of fold (stratified, near-duplicates in one fold, regularisation and
/// temperature by the noisy log-loss) where the input has no probabilities, and records training dynamics.
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
        None => {
            let groups = places.fold_groups();
            let (folds, n_folds) = possible_folds(&y, k, params.folds, &groups, params.seed);
            let neighbours = &places.neighbours;
            let samples = Folded { x, y: &y, k, folds: &folds, n_folds, neighbours, seed: params.seed };
            let part = &mut |done, total| progress(Part::OutOfFold, done, total);
            Some(judge(samples, &params.heads, part)?)
        }
    };
    let settings = DynamicsParams { seed: params.seed, ..DynamicsParams::default() };
    let go_on = std::cell::RefCell::new(progress);
    let dynamics =
        dynamics(x, &y, k, &settings, &|epoch| (go_on.borrow_mut())(Part::Dynamics, epoch, settings.epochs))?;
    Ok(Prepared { places: Some(places), heads, dynamics: Some(dynamics) })
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
    /// Reviews in that order by `reviewer`.
    pub outlook: Outlook,
    pub reviewer: Reviewer,
}

/// Reviews that [`Audit::outlook`] looks ahead.
pub const NEXT: usize = 100;

/// Judges the labels by what was prepared; `reviewer` is who will look at what was found.
///
/// # Errors
/// Probabilities that are not such (row and value are named), cancelled.
pub fn audit<'a>(
    input: &'a Input,
    prepared: &'a Prepared,
    class_roots: &'a [usize],
    reviewer: Reviewer,
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
    let scan_input = ScanInput {
        places,
        labels: &input.labels,
        class_roots,
        fields: &fields,
        probabilities,
        // nobody reviews here
        candidates: 0,
    };
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
    let outlook = outlook(&queue, reviewer, NEXT)?;
    // a cross-parent error counts double
    let priority = priority.into_iter().map(|v| (v / 2.0) as f32).collect();
    Ok(Audit { scan, dynamics: prepared.dynamics.as_ref(), balance, groups, priority, outlook, reviewer })
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

    const CAREFUL: Reviewer = Reviewer { corrects: 0.95, keeps: 0.95 };

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
        let audit = audit(&input, &prepared, &roots, CAREFUL, &mut |_, _, _| true).unwrap();
        let found = (0..400).filter(|&i| audit.scan.flagged(i) && wrong[i]).count();
        assert!(found >= 36, "{found} of 40; {:?}", audit.scan.noise.count);
        assert!(audit.outlook.corrected > 25.0 && audit.outlook.pays >= 36, "{:?}", audit.outlook);
        assert!(audit.dynamics.is_some() && audit.priority.iter().all(|p| (0.0..=1.0).contains(p)));
    }

    /// Each head finds the planted errors, and so does the mean of all, from the same folds.
    #[test]
    fn heads_alone_and_together() {
        let (input, wrong) = input(400, 10);
        let roots = input.taxonomy.class_roots();
        let mut chosen: Vec<Vec<Head>> = Head::ALL.iter().map(|h| vec![*h]).collect();
        chosen.push(Head::ALL.to_vec());
        let mut singles = Vec::new();
        for heads in chosen {
            let params = AuditParams { heads: heads.clone(), ..AuditParams::default() };
            let prepared = prepare(&input, &params, &mut |_, _, _| true).unwrap();
            let own = prepared.heads.as_ref().unwrap();
            assert!(own.probabilities.rows().into_iter().all(|r| (r.sum() - 1.0).abs() < 1e-4));
            let audit = audit(&input, &prepared, &roots, CAREFUL, &mut |_, _, _| true).unwrap();
            let found = (0..400).filter(|&i| audit.scan.flagged(i) && wrong[i]).count();
            assert!(found >= 36, "{found} of 40 by {heads:?}");
            // guessing among four classes costs ln 4 = 1.39
            assert!(own.of.iter().all(|h| h.log_loss < 0.8), "{:?}", own.of);
            singles.extend(own.of.clone());
        }
        // what a head says does not depend on the others
        assert_eq!(singles[..4], singles[4..]);
        let none = AuditParams { heads: vec![], ..AuditParams::default() };
        assert!(prepare(&input, &none, &mut |_, _, _| true).is_err());
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
