use super::*;
use crate::train::evaluate;
use ndarray::array;

#[test]
fn errors_are_sorted_by_cause_and_cells_know_their_samples() {
    let probabilities =
        array![[0.9f32, 0.1, 0.0], [0.2, 0.8, 0.0], [0.55, 0.45, 0.0], [0.0, 0.1, 0.9], [0.6, 0.0, 0.4]];
    let truth = [0, 0, 1, 2, 2];
    let predicted = argmax_rows(probabilities.view());
    let roots = [0, 0, 1];
    let metrics = evaluate(&truth, &predicted, &roots, 3);
    let classes: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let answers = Answers {
        ids: &[10, 11, 12, 13, 14],
        truth: &truth,
        probabilities,
        verified: vec![true, false, false, true, true],
        groups: vec![0, 1, 2, 3, 4],
        duplicate_across_split: vec![false, false, false, false, true],
        metrics: &metrics,
        classes: &classes,
        roots: &roots,
        nodes: &["x".to_owned(), "y".to_owned()],
        support: vec![50, 40, 5],
    };
    let mut known = Knowledge { rate: Some(0.2), ..Knowledge::default() };
    // the scan agrees with the model on sample 11
    known.samples.insert(11, Scanned { suggested: Some(1), ..Scanned::default() });
    let judged = judge(&answers, &known).unwrap();
    let cells: Vec<_> =
        judged.cells.iter().map(|(c, s)| (c.truth.as_str(), c.predicted.as_str(), s.clone())).collect();
    assert_eq!(cells, [("a", "b", vec![11]), ("b", "a", vec![12]), ("c", "a", vec![14])]);
    let nodes: Vec<_> = judged
        .nodes
        .iter()
        .map(|(c, s)| (c.truth.as_str(), c.predicted.as_str(), c.count, c.wrong, s.clone()))
        .collect();
    assert_eq!(
        nodes,
        [("x", "x", 3, 2, vec![11, 12]), ("y", "x", 1, 1, vec![14]), ("y", "y", 1, 0, vec![])],
        "within a node the wrong ones only"
    );
    let cases: Vec<_> =
        judged.cases.iter().filter(|(c, _)| c.any > 0).map(|(c, s)| (c.case, c.main, s.clone())).collect();
    // class c has fewer samples than a third of the classes' sizes allow
    assert_eq!(
        cases,
        [
            (BadCase::LabelError, 1, vec![11]),
            (BadCase::NearDuplicateAcrossSplit, 1, vec![14]),
            (BadCase::TailClass, 0, vec![14]),
        ]
    );
    assert_eq!(judged.report.unexplained, 1, "sample 12");
    let r = &judged.report;
    assert_eq!((r.confusion.right, r.confusion.within_parent, r.confusion.cross_parent), (2, 2, 1));
    assert!(r.verified.is_some() && r.noise.as_deref() == Some("rate"));
    let width = |i: &Option<ScoreIntervals>| i.as_ref().map(|i| i.mean_f1.high - i.mean_f1.low).unwrap();
    assert!(width(&r.unverified) > 0.0);
    assert_eq!(r.curves[2].support, 2);
}
