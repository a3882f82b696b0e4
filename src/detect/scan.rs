//! The composition: from labels, out-of-fold probabilities and the samples' places to a ranking, and the
//! evidence of every row that a person can check.
//!
//! Without places (no features) only what follows from the probabilities is computed.

use ndarray::ArrayView2;

use super::clusters::ClusterLabels;
use super::confident::Counted;
use super::consensus::Consensus;
use super::error::{DetectError, check_length};
use super::fields::{FieldReport, field_report};
use super::fine::{Fine, fine};
use super::fusion::{Evidence, Fused, Space, fuse};
use super::hierarchy::{Levels, is_cross_parent};
use super::neighbours::Vote;
use super::noise::{NoiseReport, noise_report};
use super::places::Places;
use super::prototype_margin::{PrototypeMargins, prototype_margins};
use super::quality::{self, Quality};
use super::simifeat::{SimiFeat, simifeat};
use crate::arrays::Rows;
use crate::domain::Detector;

/// Neighbours vote against a label when the best other class has at least this share and leads.
pub const VOTE_AGAINST: f32 = 0.5;
/// A cluster speaks against a label whose share is below the first number when another class holds
/// more than the second.
pub const CLUSTER_MINORITY: f32 = 0.2;
pub const CLUSTER_MAJORITY: f32 = 0.5;
/// Neighbours that a row lists; more may have voted.
pub const LISTED: usize = 12;
/// Neighbours whose agreement decides where the prototype margin is unclear.
const LOCAL: usize = 20;

/// The labelled samples of one scan.
pub struct ScanInput<'a, 'p> {
    /// `None`: only probabilities are known.
    pub places: Option<&'a Places>,
    /// (N) given labels.
    pub labels: &'a [u32],
    /// (k) level-1 node of each class.
    pub class_roots: &'a [usize],
    /// The raw features by field, (name, (N, d)), zeros where missing; with two or more each is asked on
    /// its own.
    pub fields: &'p [(String, ArrayView2<'p, f32>)],
    /// (N, k) out of fold; rows sum to 1.
    pub probabilities: &'p dyn Rows<f32>,
    /// How many candidates of each sample to keep; 0: none.
    pub candidates: usize,
}

/// What a scan is doing, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Neighbours,
    Clusters,
    Fusion,
}

/// Columns (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanOutput<'a> {
    pub fused: Fused,
    /// p(given).
    pub self_confidence: Vec<f32>,
    /// In [0, 1], higher = better label.
    pub normalized_margin: Vec<f32>,
    /// Higher = worse label; above 0 when another class is likelier.
    pub log_margin: Vec<f32>,
    pub levels: Levels,
    pub places: Option<&'a Places>,
    pub space: Option<SpaceOutput>,
    pub fields: Option<FieldReport>,
    pub noise: NoiseReport,
    labels: &'a [u32],
    class_roots: &'a [usize],
}

/// What the places say of the labels.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceOutput {
    /// (N) the neighbours' vote on each sample by their given labels.
    pub votes: Vec<Vote>,
    /// (N) share of the neighbours that carry the given label.
    pub agreement: Vec<f32>,
    pub cluster_labels: ClusterLabels,
    /// (N) the sample's group of near-duplicates carries different labels.
    pub conflicting: Vec<bool>,
    pub prototypes: PrototypeMargins,
    pub fine: Fine,
    pub simifeat: SimiFeat,
}

/// What the scan says of one sample. Neighbours are rows of the input.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanRow {
    /// 1 = most suspicious; a permutation of 1..=N over the rows.
    pub rank: u32,
    /// In (0, 1), strictly falling with the rank; above 1/2 exactly when flagged.
    pub suspicion: f32,
    /// Among the worst `noise.estimated_errors`.
    pub flagged: bool,
    /// The class other than the given one that explains the sample best.
    pub suggested: usize,
    /// Posteriors of [`Fused`].
    pub p_suggested: f32,
    pub p_given: f32,
    pub self_confidence: f32,
    pub normalized_margin: f32,
    pub log_margin: f32,
    /// (row, cosine similarity), nearest first, at most [`LISTED`].
    pub neighbours: Vec<(u32, f32)>,
    /// Neighbours that voted, and those of them with the given and with the suggested label.
    pub n_neighbours: u16,
    pub neighbours_agree: u16,
    pub neighbours_suggested: u16,
    pub cluster: u32,
    /// Share of the cluster that carries the given label, itself included.
    pub cluster_share: f32,
    /// The cluster's most frequent label.
    pub cluster_class: usize,
    /// Given and suggested class lie under different level-1 nodes.
    pub cross_parent: bool,
    /// See [`ScanOutput::detectors`].
    pub detectors: Vec<Detector>,
}

/// Scans labelled samples. `stage` is told when [`Stage::Fusion`] begins and how far it is, and cancels
/// by returning false.
///
/// Rank, suspicion, suggestion and count are those of [`fuse`]; flagged are as many of the worst as it
/// counts errors. Linear in N. Errors name array, row and column.
pub fn scan<'a>(
    input: &ScanInput<'a, '_>,
    stage: &mut dyn FnMut(Stage, usize, usize) -> bool,
) -> Result<ScanOutput<'a>, DetectError> {
    let n = check(input)?;
    let (p, labels) = (input.probabilities, input.labels);
    let counted = Counted::of(p, labels, &|_| true)?;
    let mut report =
        |which, done, total| if stage(which, done, total) { Ok(()) } else { Err(DetectError::Cancelled) };
    report(Stage::Fusion, 0, n)?;
    let evidence = Evidence {
        labels,
        probabilities: p,
        space: input.places.map(|p| Space { unit: p.unit.view(), neighbours: &p.neighbours }),
        candidates: input.candidates,
    };
    let mut fused = fuse(&evidence, &|| true)?;
    let k = p.shape().1;
    let space = input.places.map(|places| SpaceOutput::of(places, labels, k, fused.consensus.as_ref()));
    let space = space.transpose()?;
    fused.count.mixture = space.as_ref().map(|s| s.prototypes.errors());
    report(Stage::Fusion, n / 2, n)?;
    let wanted = [Quality::SelfConfidence, Quality::NormalizedMargin, Quality::LogMargin];
    let mut scores = quality::scores(p, labels, &wanted, None, &|_| true)?.into_iter();
    let [self_confidence, normalized_margin, log_margin] = std::array::from_fn(|_| {
        scores.next().unwrap_or_default().into_iter().map(|v| v as f32).collect::<Vec<f32>>()
    });
    let levels = Levels::of(p, labels, input.class_roots)?;
    let fields = match input.fields {
        [] | [_] => None,
        fields => Some(field_report(fields, labels, &fused.p_given, p.shape().1)?),
    };
    let noise = noise_report(&counted, labels, input.class_roots, fused.count)?;
    report(Stage::Fusion, n, n)?;
    Ok(ScanOutput {
        fused,
        self_confidence,
        normalized_margin,
        // higher = worse, like the fused score
        log_margin: log_margin.into_iter().map(|m| -m).collect(),
        levels,
        places: input.places,
        space,
        fields,
        noise,
        labels,
        class_roots: input.class_roots,
    })
}

impl SpaceOutput {
    fn of(
        places: &Places,
        labels: &[u32],
        n_classes: usize,
        consensus: Option<&Consensus>,
    ) -> Result<Self, DetectError> {
        let columns: Vec<usize> = labels.iter().map(|&y| y as usize).collect();
        let conflicts = places.duplicates.conflicts(&columns)?;
        let conflicting = |g: &Option<u32>| g.is_some_and(|g| conflicts.binary_search(&g).is_ok());
        let unit = places.unit.view();
        let local = places.neighbours.first(LOCAL).agreement(&columns)?;
        Ok(Self {
            prototypes: prototype_margins(unit, labels, n_classes, &local)?,
            fine: fine(unit, labels, n_classes)?,
            simifeat: simifeat(&places.neighbours, labels, n_classes, consensus)?,
            votes: places.neighbours.votes(&columns)?,
            agreement: places.neighbours.agreement(&columns)?,
            cluster_labels: ClusterLabels::count(&places.clusters, &columns)?,
            conflicting: places.duplicates.group.iter().map(conflicting).collect(),
        })
    }
}

fn check(input: &ScanInput<'_, '_>) -> Result<usize, DetectError> {
    let (n, k) = input.probabilities.shape();
    check_length("class roots", k, input.class_roots.len())?;
    check_length("labels", n, input.labels.len())?;
    if let Some(places) = input.places {
        check_length("features", n, places.unit.nrows())?;
    }
    Ok(n)
}

impl ScanOutput<'_> {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub fn flagged(&self, i: usize) -> bool {
        self.fused.rank[i] as usize <= self.noise.estimated_errors
    }

    /// Given and suggested class of sample `i` lie under different level-1 nodes.
    pub fn cross_parent(&self, i: usize) -> bool {
        is_cross_parent(self.labels[i] as usize, self.fused.suggested[i] as usize, self.class_roots)
    }

    /// Sample `i` as a person reads it.
    ///
    /// # Panics
    /// When there is no such sample.
    pub fn row(&self, i: usize) -> ScanRow {
        let given = self.labels[i];
        let suggested = self.fused.suggested[i];
        let mut row = ScanRow {
            rank: self.fused.rank[i],
            suspicion: self.fused.suspicion[i],
            flagged: self.flagged(i),
            suggested: suggested as usize,
            p_suggested: self.fused.p_suggested[i],
            p_given: self.fused.p_given[i],
            self_confidence: self.self_confidence[i],
            normalized_margin: self.normalized_margin[i],
            log_margin: self.log_margin[i],
            neighbours: Vec::new(),
            n_neighbours: 0,
            neighbours_agree: 0,
            neighbours_suggested: 0,
            cluster: 0,
            cluster_share: 1.0,
            cluster_class: given as usize,
            cross_parent: self.cross_parent(i),
            detectors: self.detectors(i),
        };
        if let (Some(space), Some(places)) = (&self.space, self.places) {
            let index = places.neighbours.index.row(i);
            let labelled =
                |class: u32| index.iter().filter(|j| self.labels[**j as usize] == class).count() as u16;
            row.n_neighbours = index.len() as u16;
            row.neighbours_agree = labelled(given);
            row.neighbours_suggested = labelled(suggested);
            let similarity = places.neighbours.similarity.row(i);
            row.neighbours = index.iter().copied().zip(similarity.iter().copied()).take(LISTED).collect();
            row.cluster = places.clusters[i];
            row.cluster_share = space.cluster_labels.share(row.cluster, given as usize);
            let majority = space.cluster_labels.majority(row.cluster);
            row.cluster_class = majority.map_or(given as usize, |(class, _)| class);
        }
        row
    }

    /// The detectors that on their own speak against label `i`: log-margin above 0; neighbours, when
    /// another class leads with [`VOTE_AGAINST`]; cluster, by [`CLUSTER_MINORITY`] and
    /// [`CLUSTER_MAJORITY`].
    pub fn detectors(&self, i: usize) -> Vec<Detector> {
        let given = self.labels[i] as usize;
        let mut found = Vec::new();
        if self.log_margin[i] > 0.0 {
            found.push(Detector::LogMargin);
        }
        if let (Some(space), Some(places)) = (&self.space, self.places) {
            let vote = &space.votes[i];
            let share = vote.share(given);
            if vote.best_other(given).is_some_and(|(_, s)| s >= VOTE_AGAINST && s > share) {
                found.push(Detector::Neighbours);
            }
            let cluster = places.clusters[i];
            let against = |(class, share): (usize, f32)| class != given && share > CLUSTER_MAJORITY;
            let minority = space.cluster_labels.share(cluster, given) < CLUSTER_MINORITY;
            if minority && space.cluster_labels.majority(cluster).is_some_and(against) {
                found.push(Detector::Cluster);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
