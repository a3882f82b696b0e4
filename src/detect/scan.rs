//! The composition: neighbours, clusters and out-of-fold margins, each a rank; their mean, a ranking;
//! what head and neighbours agree on, how many of it to flag. Every row keeps the evidence that a person can check.

use ndarray::ArrayView2;

use super::clusters::{ClusterLabels, cluster, default_clusters};
use super::confident::Counted;
use super::error::{DetectError, check_features, check_length};
use super::fusion::{final_ranks, mean_ranks, suspicion};
use super::hierarchy::is_cross_parent;
use super::neighbours::{Neighbours, Vote, nearest_of_unit_rows};
use super::noise::{NoiseReport, noise_report};
use super::quality::{self, Quality};
use crate::arrays::l2_normalized_rows;
use crate::domain::Detector;

/// Neighbours vote against a label when the best other class has at least this share and leads.
pub const VOTE_AGAINST: f32 = 0.5;
/// A cluster speaks against a label whose share is below the first number when another class holds
/// more than the second.
pub const CLUSTER_MINORITY: f32 = 0.2;
pub const CLUSTER_MAJORITY: f32 = 0.5;

/// The labelled samples of one scan.
pub struct ScanInput<'a> {
    /// (N, D) joined, standardised fields.
    pub features: ArrayView2<'a, f32>,
    /// (N) given labels.
    pub labels: &'a [usize],
    /// (k) level-1 node of each class.
    pub class_roots: &'a [usize],
    pub n_classes: usize,
    /// (N, k) out of fold; rows sum to 1.
    pub probabilities: ArrayView2<'a, f32>,
}

/// Settings of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanParams {
    /// Neighbours per sample, 1 to 1000.
    pub k_neighbours: usize,
    pub seed: u64,
    /// `None`: [`default_clusters`].
    pub clusters: Option<usize>,
}

impl Default for ScanParams {
    fn default() -> Self {
        Self { k_neighbours: 10, seed: 0, clusters: None }
    }
}

/// What a scan is doing, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Neighbours,
    Clusters,
    Fusion,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScanOutput {
    /// (N) in input order.
    pub rows: Vec<ScanRow>,
    pub noise: NoiseReport,
}

/// What the scan says of one sample. Neighbours are rows of the input; probabilities are out of fold.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanRow {
    /// 1 = most suspicious; a permutation of 1..=N over the rows.
    pub rank: u32,
    /// In (0, 1), strictly falling with the rank; above 1/2 exactly when flagged.
    /// See [`super::fusion::suspicion`].
    pub suspicion: f32,
    /// Among the worst `noise.estimated_errors`.
    pub flagged: bool,
    /// The class other than the given one with the largest mean of p and the neighbours' vote.
    pub suggested: usize,
    pub p_suggested: f32,
    pub p_given: f32,
    /// p(given).
    pub self_confidence: f32,
    /// In [0, 1], higher = better label.
    pub normalized_margin: f32,
    /// Higher = worse label; above 0 when another class is likelier.
    pub log_margin: f32,
    /// (row, cosine similarity), nearest first.
    pub neighbours: Vec<(u32, f32)>,
    /// Neighbours with the given and with the suggested label.
    pub neighbours_agree: u16,
    pub neighbours_suggested: u16,
    pub cluster: u32,
    /// Share of the cluster that carries the given label, itself included.
    pub cluster_share: f32,
    /// The cluster's most frequent label.
    pub cluster_class: usize,
    /// Given and suggested class lie under different level-1 nodes.
    pub cross_parent: bool,
    /// Detectors that on their own speak against the label: log-margin above 0; neighbours, when
    /// another class leads with [`VOTE_AGAINST`]; cluster, by [`CLUSTER_MINORITY`] and
    /// [`CLUSTER_MAJORITY`].
    pub detectors: Vec<Detector>,
}

/// Scans labelled samples. `stage(stage, done, total)` reports progress and cancels by returning false.
///
/// The rank is the mean of up to three average ranks: log-margin, the neighbours' vote margin (share of
/// the best other class less the label's, weighted by similarity), the cluster's margin (the same among
/// the other members of the cluster, in clusters where one class holds the majority). Detectors without
/// an opinion of a sample are left out of its mean; none has one of a class with a single sample, which
/// nothing could have learnt: it comes in the middle. Equal means go by log-margin.
///
/// Flagged are as many of the worst as [`NoiseReport::estimated_errors`] says. Cost: 2 N^2 D for the
/// neighbours, the rest linear in N. Errors name array, row and column.
pub fn scan(
    input: &ScanInput<'_>,
    params: &ScanParams,
    stage: &mut dyn FnMut(Stage, usize, usize) -> bool,
) -> Result<ScanOutput, DetectError> {
    let n = check(input, params)?;
    let given: Vec<u32> = input.labels.iter().map(|&y| y as u32).collect();
    let counted = Counted::of(&input.probabilities, &given, &|_| true)?;
    let (p, labels) = (input.probabilities, input.labels);
    let unit = l2_normalized_rows(input.features);
    let neighbours = nearest_of_unit_rows(unit.view(), params.k_neighbours, &mut |done, n| {
        stage(Stage::Neighbours, done, n)
    })?;
    let votes = neighbours.votes(labels)?;

    let mut report =
        |which, done, total| if stage(which, done, total) { Ok(()) } else { Err(DetectError::Cancelled) };
    report(Stage::Clusters, 0, n)?;
    let mut counts = vec![0usize; input.n_classes];
    labels.iter().for_each(|&y| counts[y] += 1);
    let present = counts.iter().filter(|c| **c > 0).count();
    let n_clusters = params.clusters.unwrap_or_else(|| default_clusters(n, present)).min(n);
    let assignment = cluster(unit.view(), n_clusters, params.seed)?;
    let cluster_labels = ClusterLabels::count(&assignment, labels)?;
    report(Stage::Clusters, n, n)?;

    report(Stage::Fusion, 0, n)?;
    let noise = noise_report(p, &counted, &given, input.class_roots, Some(&votes))?;
    let wanted = [Quality::SelfConfidence, Quality::NormalizedMargin, Quality::LogMargin];
    let mut scores = quality::scores(&p, &given, &wanted, None, &|_| true)?.into_iter();
    let [self_confidence, normalized_margin, log_margin] =
        std::array::from_fn(|_| scores.next().unwrap_or_default());
    // higher = worse, like the other two
    let log_margin: Vec<f64> = log_margin.into_iter().map(|m| -m).collect();
    let heard = |i: usize, score: f64| if counts[labels[i]] < 2 { f64::NAN } else { score };
    let by_margin: Vec<f64> = log_margin.iter().enumerate().map(|(i, &m)| heard(i, m)).collect();
    let by_vote: Vec<f64> = votes.iter().enumerate().map(|(i, v)| heard(i, v.margin(labels[i]))).collect();
    let by_cluster: Vec<f64> =
        (0..n).map(|i| heard(i, cluster_labels.margin(assignment[i], labels[i], CLUSTER_MAJORITY))).collect();
    let ranks = final_ranks(&mean_ranks(&[&by_margin, &by_vote, &by_cluster]), &log_margin);
    let scores = Scores {
        input,
        neighbours: &neighbours,
        votes: &votes,
        assignment: &assignment,
        cluster_labels: &cluster_labels,
        self_confidence: &self_confidence,
        normalized_margin: &normalized_margin,
        log_margin: &log_margin,
    };
    let rows = (0..n).map(|i| scores.row(i, ranks[i], noise.estimated_errors)).collect();
    report(Stage::Fusion, n, n)?;
    Ok(ScanOutput { rows, noise })
}

fn check(input: &ScanInput<'_>, params: &ScanParams) -> Result<usize, DetectError> {
    check_length("probability columns", input.n_classes, input.probabilities.ncols())?;
    check_length("class roots", input.n_classes, input.class_roots.len())?;
    check_length("labels", input.probabilities.nrows(), input.labels.len())?;
    check_length("features", input.labels.len(), input.features.nrows())?;
    check_features(input.features)?;
    let bad = |name, value: usize, rule| Err(DetectError::Param { name, value: value as f64, rule });
    if !(1..=1000).contains(&params.k_neighbours) {
        return bad("k_neighbours", params.k_neighbours, "it must lie between 1 and 1000");
    }
    if params.clusters == Some(0) {
        return bad("clusters", 0, "there must be at least 1");
    }
    Ok(input.labels.len())
}

struct Scores<'a, 'i> {
    input: &'a ScanInput<'i>,
    neighbours: &'a Neighbours,
    votes: &'a [Vote],
    assignment: &'a [u32],
    cluster_labels: &'a ClusterLabels,
    self_confidence: &'a [f64],
    normalized_margin: &'a [f64],
    log_margin: &'a [f64],
}

impl Scores<'_, '_> {
    fn row(&self, i: usize, rank: u32, flagged: usize) -> ScanRow {
        let given = self.input.labels[i];
        let p = self.input.probabilities.row(i);
        let suggested = self.suggested(i, given);
        let neighbours: Vec<(u32, f32)> = self
            .neighbours
            .index
            .row(i)
            .iter()
            .copied()
            .zip(self.neighbours.similarity.row(i).iter().copied())
            .collect();
        let labelled =
            |class| neighbours.iter().filter(|(j, _)| self.input.labels[*j as usize] == class).count() as u16;
        let cluster = self.assignment[i];
        let cluster_share = self.cluster_labels.share(cluster, given);
        let (cluster_class, cluster_majority) = self.cluster_labels.majority(cluster).unwrap_or((given, 1.0));
        let vote = &self.votes[i];
        let voted_out =
            vote.best_other(given).is_some_and(|(_, s)| s >= VOTE_AGAINST && s > vote.share(given));
        let minority =
            cluster_share < CLUSTER_MINORITY && cluster_class != given && cluster_majority > CLUSTER_MAJORITY;
        let detectors = [
            (Detector::LogMargin, self.log_margin[i] > 0.0),
            (Detector::Neighbours, voted_out),
            (Detector::Cluster, minority),
        ];
        ScanRow {
            rank,
            suspicion: suspicion(rank, self.votes.len(), flagged),
            flagged: rank as usize <= flagged,
            suggested,
            p_suggested: p[suggested],
            p_given: p[given],
            self_confidence: self.self_confidence[i] as f32,
            normalized_margin: self.normalized_margin[i] as f32,
            log_margin: self.log_margin[i] as f32,
            neighbours_agree: labelled(given),
            neighbours_suggested: labelled(suggested),
            neighbours,
            cluster,
            cluster_share,
            cluster_class,
            cross_parent: is_cross_parent(given, suggested, self.input.class_roots),
            detectors: detectors.into_iter().filter(|(_, against)| *against).map(|(d, _)| d).collect(),
        }
    }

    /// The best class but the given one by p + vote; equals by class.
    fn suggested(&self, i: usize, given: usize) -> usize {
        let mut mean: Vec<f32> = self.input.probabilities.row(i).to_vec();
        self.votes[i].shares.iter().for_each(|(c, share)| mean[*c] += share);
        quality::best_other(mean.as_slice().into(), given).0
    }
}

#[cfg(test)]
mod tests;
