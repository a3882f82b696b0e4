//! The clusters of the samples by what is in them: labels and words.

use std::collections::BTreeMap;

use super::input::Input;
use super::texts::Texts;
use crate::detect::ScanOutput;
use crate::detect::cluster_words::ClusterWords;

/// Labels named of a cluster beside its main one, and words.
const MINORITIES: usize = 3;
const WORDS: usize = 3;

/// One cluster with samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterProfile {
    pub cluster: u32,
    pub size: usize,
    /// The commonest label, the lower of equals, and its share, in (0, 1].
    pub label: u32,
    pub purity: f64,
    /// The next labels by samples.
    pub minorities: Vec<(u32, usize)>,
    /// Samples flagged as wrongly labelled.
    pub flagged: usize,
    /// What tells its texts from the others', at most three; none without texts.
    pub words: Vec<String>,
}

/// All clusters with samples, those with the most samples of other labels than the main one first. Without
/// places there are none. O(N log N + characters).
pub fn profiles(input: &Input, scan: &ScanOutput<'_>, texts: Option<&Texts>) -> Vec<ClusterProfile> {
    let Some(places) = scan.places else { return Vec::new() };
    let of = &places.clusters;
    let n_clusters = of.iter().max().map_or(0, |m| *m as usize + 1);
    let mut labels = vec![BTreeMap::<u32, usize>::new(); n_clusters];
    let mut flagged = vec![0; n_clusters];
    for (i, &c) in of.iter().enumerate() {
        *labels[c as usize].entry(input.labels[i]).or_default() += 1;
        flagged[c as usize] += usize::from(scan.flagged(i));
    }
    let mut words = vec![Vec::new(); n_clusters];
    if let Some(texts) = texts {
        let mut counted = ClusterWords::default();
        texts.words(|i, of_sample| counted.add(of[i], of_sample));
        words.iter_mut().zip(counted.top(WORDS)).for_each(|(to, top)| *to = top);
    }
    let mut out: Vec<ClusterProfile> = Vec::new();
    for (c, (labels, words)) in labels.into_iter().zip(words).enumerate() {
        let size: usize = labels.values().sum();
        let mut ranked: Vec<(u32, usize)> = labels.into_iter().collect();
        ranked.sort_by_key(|(label, n)| (std::cmp::Reverse(*n), *label));
        let Some(&(label, most)) = ranked.first() else { continue };
        out.push(ClusterProfile {
            cluster: c as u32,
            size,
            label,
            purity: most as f64 / size as f64,
            minorities: ranked.into_iter().skip(1).take(MINORITIES).collect(),
            flagged: flagged[c],
            words,
        });
    }
    let others = |p: &ClusterProfile| p.size as f64 * (1.0 - p.purity);
    out.sort_by(|a, b| others(b).total_cmp(&others(a)).then(a.cluster.cmp(&b.cluster)));
    out
}
