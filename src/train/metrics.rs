//! The challenge's score and what it is made of: micro and macro F1 at both levels and their mean,
//! per-class precision, recall and F1, and the confusion counts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One class's figures; 0 where a ratio has no denominator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassMetrics {
    /// Samples whose true class it is.
    pub support: u64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// `count` samples of class `truth` were predicted as class `predicted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfusionCount {
    pub truth: usize,
    pub predicted: usize,
    pub count: u64,
}

/// Scores in [0, 1] on `n` samples; `l1_*` after mapping classes to their level-1 ancestors, `l2_*`
/// on the classes themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    pub l1_macro_f1: f64,
    pub l1_micro_f1: f64,
    pub l2_macro_f1: f64,
    pub l2_micro_f1: f64,
    /// Mean of the four.
    pub mean_f1: f64,
    pub n: u64,
    /// By class index.
    pub per_class: Vec<ClassMetrics>,
    /// Non-zero cells by truth, then prediction.
    pub confusion: Vec<ConfusionCount>,
}

/// The challenge's mean of four F1 scores.
pub fn mean_f1(l1_macro: f64, l1_micro: f64, l2_macro: f64, l2_micro: f64) -> f64 {
    (l1_macro + l1_micro + l2_macro + l2_micro) / 4.0
}

/// Compares `predicted` with `truth` (as many entries, classes in 0..`n_classes`; `class_roots[c]` is
/// the level-1 node of class `c`). Macro F1 as scikit-learn has it: the mean over the classes that
/// occur in truth or prediction; micro F1 of single labels is accuracy. All zero for no samples.
///
/// # Panics
/// When lengths differ or a class is out of range.
pub fn evaluate(truth: &[usize], predicted: &[usize], class_roots: &[usize], n_classes: usize) -> Metrics {
    assert_eq!(truth.len(), predicted.len(), "one prediction per sample");
    assert_eq!(class_roots.len(), n_classes, "one root per class");
    let n_roots = class_roots.iter().max().map_or(0, |m| m + 1);
    let (mut nodes, mut classes) = (Tally::new(n_roots), Tally::new(n_classes));
    for (&t, &p) in truth.iter().zip(predicted) {
        nodes.add(class_roots[t], class_roots[p]);
        classes.add(t, p);
    }
    let (l1_macro_f1, l1_micro_f1) = nodes.f1s();
    let (l2_macro_f1, l2_micro_f1) = classes.f1s();
    let mut cells = std::collections::BTreeMap::<(usize, usize), u64>::new();
    for pair in truth.iter().copied().zip(predicted.iter().copied()) {
        *cells.entry(pair).or_default() += 1;
    }
    let confusion = cells
        .into_iter()
        .map(|((truth, predicted), count)| ConfusionCount { truth, predicted, count })
        .collect();
    Metrics {
        l1_macro_f1,
        l1_micro_f1,
        l2_macro_f1,
        l2_micro_f1,
        mean_f1: mean_f1(l1_macro_f1, l1_micro_f1, l2_macro_f1, l2_micro_f1),
        n: truth.len() as u64,
        per_class: classes.classes(),
        confusion,
    }
}

/// Counts of one level, from which its F1 scores follow.
pub(super) struct Tally {
    hits: Vec<u64>,
    of_truth: Vec<u64>,
    of_prediction: Vec<u64>,
}

impl Tally {
    pub(super) fn new(k: usize) -> Self {
        Self { hits: vec![0; k], of_truth: vec![0; k], of_prediction: vec![0; k] }
    }

    pub(super) fn add(&mut self, truth: usize, predicted: usize) {
        self.of_truth[truth] += 1;
        self.of_prediction[predicted] += 1;
        self.hits[truth] += u64::from(truth == predicted);
    }

    fn classes(&self) -> Vec<ClassMetrics> {
        (0..self.hits.len())
            .map(|c| ClassMetrics {
                support: self.of_truth[c],
                precision: ratio(self.hits[c], self.of_prediction[c]),
                recall: ratio(self.hits[c], self.of_truth[c]),
                f1: self.f1(c),
            })
            .collect()
    }

    fn f1(&self, c: usize) -> f64 {
        ratio(2 * self.hits[c], self.of_truth[c] + self.of_prediction[c])
    }

    /// Macro and micro F1.
    pub(super) fn f1s(&self) -> (f64, f64) {
        let seen: Vec<usize> =
            (0..self.hits.len()).filter(|&c| self.of_truth[c] + self.of_prediction[c] > 0).collect();
        let macro_f1 = seen.iter().map(|&c| self.f1(c)).sum::<f64>() / seen.len().max(1) as f64;
        (macro_f1, ratio(self.hits.iter().sum(), self.of_truth.iter().sum()))
    }
}

fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_scores() {
        // The challenge's baseline and a preliminary-round entry: four parts and their published mean.
        assert!((mean_f1(0.660832, 0.67616, 0.419784, 0.54980) - 0.576644).abs() < 5e-7);
        assert!((mean_f1(0.772157, 0.78468, 0.570596, 0.67516) - 0.700648).abs() < 5e-7);
    }

    #[test]
    fn agrees_with_scikit_learn() {
        // sklearn.metrics.f1_score(average="macro" / "micro") 1.9; class 5 never occurs, class 4 only
        // as a prediction.
        let truth = [0, 0, 0, 1, 1, 2, 2, 3, 3, 3];
        let predicted = [0, 0, 1, 1, 1, 2, 3, 3, 0, 4];
        let m = evaluate(&truth, &predicted, &[0, 0, 1, 1, 2, 2], 6);
        for (got, want) in [
            (m.l2_macro_f1, 0.506_666_666_666_666_6),
            (m.l2_micro_f1, 0.6),
            (m.l1_macro_f1, 0.553_030_303_030_303_1),
            (m.l1_micro_f1, 0.8),
        ] {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
        assert_eq!((m.n, m.per_class[3].support, m.per_class[5]), (10, 3, ClassMetrics::default()));
        assert_eq!(m.confusion.iter().map(|c| c.count).sum::<u64>(), 10);
        assert!(m.confusion.contains(&ConfusionCount { truth: 3, predicted: 0, count: 1 }));
        let json = serde_json::to_string(&m).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), m);
    }

    #[test]
    fn no_samples() {
        assert_eq!(evaluate(&[], &[], &[0, 0], 2).mean_f1, 0.0);
    }

    proptest! {
        #[test]
        fn in_range_and_level_one_is_no_harder(pairs in prop::collection::vec((0usize..6, 0usize..6), 1..60)) {
            let (t, p): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let m = evaluate(&t, &p, &[0, 0, 1, 1, 2, 2], 6);
            for v in [m.l1_macro_f1, m.l1_micro_f1, m.l2_macro_f1, m.l2_micro_f1, m.mean_f1] {
                prop_assert!((0.0..=1.0).contains(&v));
            }
            prop_assert!(m.l1_micro_f1 >= m.l2_micro_f1);
        }
    }
}
