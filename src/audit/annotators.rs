//! What several people's labels come to: a consensus, its quality, the quality of each person, and where one
//! more label helps most. The names of the columns are those of cleanlab's `multiannotator`.

use serde_json::{Value, json};

use super::votes::VoteInput;
use crate::detect::DetectError;
use crate::detect::annotators::{
    Active, Crowd, DawidSkene, EmParams, Majority, active_scores, crowdlab, dawid_skene, majority,
};
use crate::exchange::columnar::Column;

/// Larger confusion matrices are left out of the summary.
const MATRIX_CLASSES: usize = 50;

/// How the consensus is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// People and a model, each weighed by how far it can be trusted.
    Crowdlab,
    /// People alone, by their confusion matrices.
    DawidSkene,
    /// The plain vote.
    Majority,
}

impl Method {
    pub const ALL: [Self; 3] = [Self::Crowdlab, Self::DawidSkene, Self::Majority];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crowdlab => "crowdlab",
            Self::DawidSkene => "dawid-skene",
            Self::Majority => "majority",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == name)
    }
}

/// Everything that was found.
#[derive(Debug)]
pub struct Agreement {
    pub method: Method,
    pub plain: Majority,
    pub skill: DawidSkene,
    /// With predictions only.
    pub crowd: Option<Crowd>,
    pub active: Option<Active>,
    /// (N) by `method`; `None` for a sample without labels of which no model speaks.
    pub labels: Vec<Option<u32>>,
    /// (N) probability that the consensus is right; for the plain vote the share that gave it.
    pub quality: Vec<Option<f64>>,
    /// (N) share of the sample's labels that are the consensus.
    pub agreement: Vec<Option<f64>>,
    /// (N), (M) labels given.
    pub per_sample: Vec<usize>,
    pub people: Vec<Person>,
}

/// One person's record against the consensus.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub n_labels: usize,
    /// In [0, 1], by the method; `None` without labels.
    pub quality: Option<f64>,
    /// Share of the labels that are the consensus.
    pub agreement: Option<f64>,
    /// The class of this person's labels that the consensus confirms least often.
    pub worst_class: Option<u32>,
}

/// Finds the consensus. O(rounds of Dawid-Skene x (labels K + N K + M K^2)).
///
/// # Errors
/// CROWDLAB without predictions or where nobody shares a sample; predictions outside [0, 1].
pub fn agree(input: &VoteInput, method: Method) -> Result<Agreement, DetectError> {
    let votes = &input.votes;
    let p = input.probabilities.as_ref().map(|p| p.view());
    let plain = majority(votes, p)?;
    let skill = dawid_skene(votes, EmParams::default())?;
    let crowd = match (p, method) {
        (Some(p), Method::Crowdlab) => Some(crowdlab(votes, p)?),
        // beside another method it is only told where it can be
        (Some(p), _) => crowdlab(votes, p).ok(),
        (None, Method::Crowdlab) => return Err(DetectError::NoPredictions),
        (None, _) => None,
    };
    let active = p.map(|p| active_scores(votes, p)).transpose()?;
    let (n, _, k) = votes.shape();
    let per_sample = votes.per_sample();
    let (labels, quality): (Vec<Option<u32>>, Vec<Option<f64>>) = match (&crowd, method) {
        (Some(c), Method::Crowdlab) => {
            c.labels.iter().zip(&c.quality).map(|(l, q)| (Some(*l), Some(*q))).unzip()
        }
        (_, Method::Majority) => (plain.labels.clone(), plain.agreement.clone()),
        _ => (0..n)
            .map(|i| {
                let label = (per_sample[i] > 0).then(|| skill.labels[i]);
                (label, label.map(|l| skill.posterior[[i, l as usize]]))
            })
            .unzip(),
    };
    let mut yes = vec![0usize; n];
    let mut record = vec![vec![(0usize, 0usize); k]; votes.shape().1];
    for v in votes.iter() {
        let confirmed = labels[v.sample as usize] == Some(v.class);
        yes[v.sample as usize] += usize::from(confirmed);
        let cell = &mut record[v.annotator as usize][v.class as usize];
        cell.0 += 1;
        cell.1 += usize::from(confirmed);
    }
    let agreement =
        (0..n).map(|i| (per_sample[i] > 0).then(|| yes[i] as f64 / per_sample[i] as f64)).collect();
    let person = |(a, classes): (usize, &Vec<(usize, usize)>)| {
        let (given, right) = classes.iter().fold((0, 0), |s, c| (s.0 + c.0, s.1 + c.1));
        let agreement = (given > 0).then(|| right as f64 / given as f64);
        match (&crowd, method) {
            (Some(c), Method::Crowdlab) => {
                let s = &c.annotators[a];
                Person {
                    n_labels: given,
                    quality: s.quality,
                    agreement: s.agreement,
                    worst_class: s.worst_class,
                }
            }
            _ => {
                let quality = if method == Method::Majority { agreement } else { skill.accuracy[a] };
                Person { n_labels: given, quality, agreement, worst_class: worst(classes) }
            }
        }
    };
    let people = record.iter().enumerate().map(person).collect();
    Ok(Agreement { method, plain, skill, crowd, active, labels, quality, agreement, per_sample, people })
}

/// (given, confirmed) by class: the class confirmed least often; of equals the one given most, then the lowest.
fn worst(classes: &[(usize, usize)]) -> Option<u32> {
    let given = classes.iter().enumerate().filter(|(_, c)| c.0 > 0);
    // confirmed / given compared without rounding
    let order = |a: &(usize, usize), b: &(usize, usize)| (a.1 * b.0).cmp(&(b.1 * a.0)).then(b.0.cmp(&a.0));
    given.min_by(|a, b| order(a.1, b.1).then(a.0.cmp(&b.0))).map(|(class, _)| class as u32)
}

/// Class ids, or numbers where the labels came as such: then -1 where there is none.
fn classes(input: &VoteInput, of: &[Option<u32>]) -> Column {
    if input.numbered && input.taxonomy.depth() == 1 {
        return Column::I64(of.iter().map(|c| c.map_or(-1, i64::from)).collect());
    }
    let id = |c: &Option<u32>| c.map_or("", |c| input.taxonomy.class_id(c as usize)).to_owned();
    Column::Utf8(of.iter().map(id).collect())
}

fn scores<'a>(of: impl IntoIterator<Item = &'a Option<f64>>) -> Column {
    Column::F32(of.into_iter().map(|v| v.map_or(f32::NAN, |v| v as f32)).collect())
}

fn counts<'a>(of: impl IntoIterator<Item = &'a usize>) -> Column {
    Column::I32(of.into_iter().map(|v| i32::try_from(*v).unwrap_or(i32::MAX)).collect())
}

/// A row a sample, in input order.
pub fn consensus_columns(input: &VoteInput, found: &Agreement) -> Vec<(&'static str, Column)> {
    let n = found.labels.len();
    let voted = |i: usize| found.per_sample[i] > 0;
    let skill = |i: usize| voted(i).then(|| found.skill.labels[i]);
    let sure = |i: usize| skill(i).map(|l| found.skill.posterior[[i, l as usize]]);
    let mut out = vec![
        ("id", Column::Utf8((0..n).map(|i| input.id(i)).collect())),
        ("consensus_label", classes(input, &found.labels)),
        ("consensus_quality_score", scores(&found.quality)),
        ("annotator_agreement", scores(&found.agreement)),
        ("num_annotations", counts(&found.per_sample)),
        ("majority_label", classes(input, &found.plain.labels)),
        ("is_tied", Column::Bool(found.plain.tied.clone())),
        ("dawid_skene_label", classes(input, &(0..n).map(skill).collect::<Vec<_>>())),
        ("dawid_skene_quality", scores(&(0..n).map(sure).collect::<Vec<_>>())),
    ];
    if let Some(crowd) = &found.crowd {
        out.push((
            "crowdlab_label",
            classes(input, &crowd.labels.iter().copied().map(Some).collect::<Vec<_>>()),
        ));
        out.push(("crowdlab_quality", Column::F32(crowd.quality.iter().map(|q| *q as f32).collect())));
    }
    if let Some(active) = &found.active {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| active.scores[a].total_cmp(&active.scores[b]).then(a.cmp(&b)));
        let mut rank = vec![0i32; n];
        order.into_iter().zip(1..).for_each(|(i, r)| rank[i] = r);
        out.push(("active_learning_score", Column::F32(active.scores.iter().map(|s| *s as f32).collect())));
        out.push(("label_next_rank", Column::I32(rank)));
    }
    out
}

/// A row a person, in the order of the input.
pub fn annotator_columns(input: &VoteInput, found: &Agreement) -> Vec<(&'static str, Column)> {
    let people = &found.people;
    vec![
        ("annotator", Column::Utf8(input.annotators.clone())),
        ("annotator_quality", scores(people.iter().map(|p| &p.quality))),
        ("agreement_with_consensus", scores(people.iter().map(|p| &p.agreement))),
        ("worst_class", classes(input, &people.iter().map(|p| p.worst_class).collect::<Vec<_>>())),
        ("num_examples_labeled", counts(people.iter().map(|p| &p.n_labels))),
        ("dawid_skene_accuracy", scores(&found.skill.accuracy)),
    ]
}

/// For scripts.
pub fn summary(input: &VoteInput, found: &Agreement) -> Value {
    let (n, m, k) = input.votes.shape();
    let known: Vec<f64> = found.agreement.iter().flatten().copied().collect();
    let class = |c: u32| input.taxonomy.class_id(c as usize);
    let changed =
        (0..n).filter(|&i| found.plain.labels[i].is_some() && found.labels[i] != found.plain.labels[i]);
    let confusion = |a: usize| -> Option<Vec<Vec<f64>>> {
        let of = found.skill.confusion.index_axis(ndarray::Axis(0), a);
        (k <= MATRIX_CLASSES).then(|| of.rows().into_iter().map(|r| r.to_vec()).collect())
    };
    let person = |(a, p): (usize, &Person)| {
        json!({
            "annotator": input.annotators[a], "labels": p.n_labels, "quality": p.quality,
            "agreement": p.agreement, "worst_class": p.worst_class.map(class),
            "dawid_skene_accuracy": found.skill.accuracy[a], "confusion": confusion(a),
            "weight": found.crowd.as_ref().map(|c| c.annotator_weights[a]),
        })
    };
    json!({
        "samples": n,
        "annotators": m,
        "classes": k,
        "class_ids": input.taxonomy.class_ids().collect::<Vec<_>>(),
        "labels": input.votes.len(),
        "method": found.method.as_str(),
        "samples_without_labels": found.per_sample.iter().filter(|c| **c == 0).count(),
        "samples_disputed": found.agreement.iter().flatten().filter(|a| **a < 1.0).count(),
        "consensus_not_majority": changed.count(),
        "tied": found.plain.tied.iter().filter(|t| **t).count(),
        "mean_agreement": (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64),
        "model_weight": found.crowd.as_ref().map(|c| c.model_weight),
        "temperature": found.active.as_ref().map(|a| a.temperature),
        "dawid_skene": {
            "rounds": found.skill.rounds, "converged": found.skill.converged, "class_shares": found.skill.shares,
        },
        "people": found.people.iter().enumerate().map(person).collect::<Vec<_>>(),
    })
}
