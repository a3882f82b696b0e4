use proptest::prelude::*;
use rand::Rng;

use super::*;
use crate::arrays::rng;
use crate::detect::annotators::Vote;

/// Votes of people (rows) on samples (columns); 0: none, classes from 1.
fn table(rows: &[&[u32]], n_classes: usize) -> Votes {
    let votes: Vec<Vote> = (0u32..)
        .zip(rows)
        .flat_map(|(annotator, row)| {
            (0u32..).zip(*row).filter(|(_, c)| **c > 0).map(move |(sample, c)| Vote {
                sample,
                annotator,
                class: c - 1,
            })
        })
        .collect();
    Votes::new(&votes, rows[0].len(), rows.len(), n_classes).unwrap()
}

/// Four people, twelve units, votes missing: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011,
/// section C; published nominal alpha .743.
fn krippendorff_c() -> Votes {
    table(
        &[
            &[1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            &[1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            &[0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            &[1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ],
        5,
    )
}

#[track_caller]
fn is(found: Agreement, want: [f64; 3]) {
    let got = found.interval.unwrap();
    for (a, b) in [got.value, got.low, got.high].into_iter().zip(want) {
        assert!((a - b).abs() < 1e-9, "{found:?}");
    }
}

/// Values by an implementation of the definitions in Python, apart from this one: coincidence matrix, all
/// pairs, and a jackknife that leaves each sample out in turn.
#[test]
fn krippendorffs_example() {
    let votes = krippendorff_c();
    is(krippendorff(&votes), [0.743421052631579, 0.3852309552271391, 0.9184025310676203]);
    is(fleiss(&votes), [0.7607655502392345, 0.407965201291422, 0.9250885484286135]);
    is(raw(&votes), [0.8181818181818182, 0.5619169218593013, 0.9404313569998101]);
    assert_eq!(raw(&votes).samples, 11, "the last unit has one vote");
    // scikit-learn 1.9 cohen_kappa_score on the units that both labelled
    let (first, last) = (cohen(&votes, 0, 1), cohen(&votes, 2, 3));
    assert!((first.interval.unwrap().value - 0.8448275862068966).abs() < 1e-12 && first.samples == 9);
    assert!((last.interval.unwrap().value - 0.6153846153846154).abs() < 1e-12 && last.samples == 10);
}

/// Ten subjects, fourteen raters, five classes: the example of Fleiss 1971 as reference works print it; 0.210.
#[test]
fn fleiss_example() {
    const COUNTS: [[usize; 5]; 10] = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ];
    let mut votes = Vec::new();
    for (sample, counts) in (0u32..).zip(COUNTS) {
        let classes = (0u32..).zip(counts).flat_map(|(class, n)| std::iter::repeat_n(class, n));
        votes.extend((0u32..).zip(classes).map(|(annotator, class)| Vote { sample, annotator, class }));
    }
    let votes = Votes::new(&votes, 10, 14, 5).unwrap();
    let (kappa, agree) = (fleiss(&votes).interval.unwrap(), raw(&votes).interval.unwrap());
    assert!(
        (kappa.value - 0.20993070442195522).abs() < 1e-12 && (agree.value - 0.378021978021978).abs() < 1e-12
    );
    assert!(kappa.low < kappa.value && kappa.value < kappa.high);
}

/// Fifty proposals, two readers: 20 both yes, 15 both no, 5 and 10 apart; kappa 0.4 in every textbook.
#[test]
fn cohens_example() {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for (first, second, n) in [(1, 1, 20), (1, 2, 5), (2, 1, 10), (2, 2, 15)] {
        a.extend(std::iter::repeat_n(first, n));
        b.extend(std::iter::repeat_n(second, n));
    }
    let found = cohen(&table(&[&a, &b], 2), 0, 1).interval.unwrap();
    assert!((found.value - 0.4).abs() < 1e-12, "{found:?}");
    // Fleiss, Cohen, Everitt (Psychological Bulletin 1969): standard error 0.127, so 0.15 to 0.65; Wilson's
    // is as wide and nearer to the middle
    assert!(((found.high - found.low) / 2.0 - 1.96 * 0.127).abs() < 0.01, "{found:?}");
    assert!((found.low - 0.15).abs() < 0.04 && (found.high - 0.65).abs() < 0.04, "{found:?}");
}

#[test]
fn what_cannot_be_told() {
    let apart = table(&[&[1, 0], &[0, 2]], 2);
    for found in [raw(&apart), fleiss(&apart), krippendorff(&apart), cohen(&apart, 0, 1)] {
        assert_eq!((found.interval, found.undefined, found.samples), (None, Some(Undefined::NoOverlap), 0));
    }
    let same = table(&[&[1, 1, 1], &[1, 1, 1]], 2);
    for found in [fleiss(&same), krippendorff(&same), cohen(&same, 0, 1)] {
        assert_eq!((found.interval, found.undefined, found.samples), (None, Some(Undefined::OneClass), 3));
    }
    let agreed = raw(&same).interval.unwrap();
    // Wilson of 3 of 3: 1 / (1 + 1.96² / 3)
    assert!(agreed.value == 1.0 && (agreed.low - 0.438_47).abs() < 1e-4 && agreed.high == 1.0, "{agreed:?}");
}

#[test]
fn class_by_class() {
    let votes = krippendorff_c();
    let classes = class_agreement(&votes);
    // by the Python above: votes that another one joins, over votes
    let want =
        [(1, 0.7692307692307693, 5), (0, 0.7777777777777778, 4), (2, 0.8, 4), (3, 0.8, 2), (4, 1.0, 1)];
    for (got, (class, share, samples)) in classes.iter().zip(want) {
        assert!(got.class == class && got.samples == samples && (got.share - share).abs() < 1e-12, "{got:?}");
        assert!(got.low <= got.share && got.share <= got.high);
    }
    let pairs: Vec<(u32, u32, usize)> =
        class_pairs(&votes, 9).iter().map(|p| (p.a, p.b, p.samples)).collect();
    assert_eq!(pairs, [(0, 1, 2), (1, 2, 2), (0, 2, 1), (0, 3, 1), (1, 3, 1), (2, 3, 1)]);
    // 1 or 2 is said of seven units (1, 2, 5, 6, 8, 9, 11), both of two
    let first = class_pairs(&votes, 1)[0];
    assert_eq!((first.of, first.samples), (7, 2));
}

/// Two people who are right with a known chance: the kappa that follows is known, and the interval should
/// hold it nineteen times of twenty.
#[test]
fn the_interval_covers_the_truth() {
    for (samples, right) in [(60, 0.8), (200, 0.8), (30, 0.99)] {
        let classes = 4.0;
        let agree = right * right + (1.0 - right) * (1.0 - right) / (classes - 1.0);
        let truth = (agree - 1.0 / classes) / (1.0 - 1.0 / classes);
        let runs = 400;
        let mut covered = [0; 3];
        for run in 0..runs {
            let mut rng = rng(run);
            let mut votes = Vec::new();
            for sample in 0..samples {
                let class = rng.gen_range(0..4);
                for annotator in 0..2 {
                    let wrong = rng.r#gen::<f64>() >= right;
                    let class = if wrong { (class + rng.gen_range(1..4)) % 4 } else { class };
                    votes.push(Vote { sample, annotator, class });
                }
            }
            let votes = Votes::new(&votes, samples as usize, 2, 4).unwrap();
            for (n, found) in
                covered.iter_mut().zip([cohen(&votes, 0, 1), fleiss(&votes), krippendorff(&votes)])
            {
                let i = found.interval.unwrap();
                *n += u32::from(i.low <= truth && truth <= i.high);
            }
        }
        for n in covered {
            let share = f64::from(n) / runs as f64;
            assert!((0.92..=1.0).contains(&share), "{samples} samples, {right}: {covered:?} of {runs}");
        }
    }
}

fn any_votes() -> impl Strategy<Value = Vec<Vec<u32>>> {
    (2usize..5, 2usize..12).prop_flat_map(|(people, samples)| {
        prop::collection::vec(prop::collection::vec(0u32..5, samples), people)
    })
}

fn all(rows: &[Vec<u32>]) -> Option<Vec<Agreement>> {
    if rows.iter().flatten().all(|c| *c == 0) {
        return None;
    }
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let votes = table(&rows, 4);
    let mut out = vec![raw(&votes), fleiss(&votes), krippendorff(&votes)];
    let last = rows.len() as u32 - 1;
    out.push(cohen(&votes, 0, last));
    Some(out)
}

fn same(a: &[Agreement], b: &[Agreement]) -> bool {
    let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
    a.iter().zip(b).all(|(a, b)| match (a.interval, b.interval) {
        (Some(x), Some(y)) => near(x.value, y.value) && near(x.low, y.low) && near(x.high, y.high),
        (None, None) => a.undefined == b.undefined,
        _ => false,
    })
}

proptest! {
    #[test]
    fn names_do_not_matter(rows in any_votes()) {
        if let Some(found) = all(&rows) {
            let renamed: Vec<Vec<u32>> =
                rows.iter().map(|r| r.iter().map(|c| if *c == 0 { 0 } else { 5 - c }).collect()).collect();
            prop_assert!(same(&found, &all(&renamed).unwrap()), "classes");
            // Cohen's is of the first and the last, which change places
            let turned: Vec<Vec<u32>> = rows.iter().rev().cloned().collect();
            prop_assert!(same(&found, &all(&turned).unwrap()), "people");
            let reordered: Vec<Vec<u32>> = rows.iter().map(|r| r.iter().rev().copied().collect()).collect();
            prop_assert!(same(&found, &all(&reordered).unwrap()), "samples");
            for i in found.iter().filter_map(|a| a.interval) {
                prop_assert!(-1.0 <= i.low && i.low <= i.value + 1e-12 && i.value <= i.high + 1e-12 && i.high <= 1.0 + 1e-12, "{:?}", i);
            }
        }
    }

    #[test]
    fn perfect_agreement_is_one(one in prop::collection::vec(1u32..5, 3..30), people in 2usize..5) {
        let rows = vec![one.clone(); people];
        let found = all(&rows).unwrap();
        let several = one.iter().any(|c| *c != one[0]);
        prop_assert!(found.iter().skip(1).all(|a| a.interval.is_some() == several));
        for i in found.iter().filter_map(|a| a.interval) {
            prop_assert!((i.value - 1.0).abs() < 1e-12 && i.low < 1.0 && (i.high - 1.0).abs() < 1e-12, "{:?}", i);
        }
    }

    /// Alpha is Fleiss' kappa corrected for few votes: 1 - (1 - kappa) (n - 1) / n, for equally many votes.
    #[test]
    fn alpha_and_kappa_meet(rows in prop::collection::vec(prop::collection::vec(1u32..4, 8), 2..5)) {
        let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let votes = table(&rows, 3);
        if let (Some(alpha), Some(kappa)) = (krippendorff(&votes).interval, fleiss(&votes).interval) {
            let n = votes.len() as f64;
            prop_assert!((1.0 - alpha.value - (1.0 - kappa.value) * (n - 1.0) / n).abs() < 1e-9);
        }
    }
}
