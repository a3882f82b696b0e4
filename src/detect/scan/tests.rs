//! The whole scan on generated blobs with planted label noise, and its properties. Probabilities come
//! from a leave-one-out nearest-mean classifier, so that this room needs no other.

use super::*;
use crate::arrays::{gaussian_matrix, rng};
use crate::detect::places::PlacesParams;
use crate::detect::prototype_margin::LabelState;
use ndarray::{Array2, Axis};
use proptest::prelude::*;
use rand::Rng;
use rand::seq::SliceRandom;

struct Planted {
    x: Array2<f32>,
    labels: Vec<u32>,
    truth: Vec<u32>,
    roots: Vec<usize>,
    p: Array2<f32>,
}

/// `n` samples of `k` Gaussian blobs in `d` dimensions, a share `rate` of the labels replaced by a
/// uniformly drawn other class; two classes per level-1 node.
fn planted(n: usize, d: usize, k: usize, spread: f32, rate: f64, seed: u64) -> Planted {
    let mut r = rng(seed);
    let centres = gaussian_matrix(k, d, &mut r);
    let noise = gaussian_matrix(n, d, &mut r);
    let truth: Vec<u32> = (0..n).map(|i| (i % k) as u32).collect();
    let x = Array2::from_shape_fn((n, d), |(i, j)| centres[[truth[i] as usize, j]] + spread * noise[[i, j]]);
    let labels: Vec<u32> = truth
        .iter()
        .map(|&y| if r.r#gen::<f64>() < rate { (y + r.gen_range(1..k as u32)) % k as u32 } else { y })
        .collect();
    let p = leave_one_out(&x, &labels, k);
    Planted { x, labels, truth, roots: (0..k).map(|c| c / 2).collect(), p }
}

/// softmax over classes of -|x - mean of the class's other members|^2 / d.
fn leave_one_out(x: &Array2<f32>, labels: &[u32], k: usize) -> Array2<f32> {
    let (n, d) = x.dim();
    let mut sums = Array2::<f32>::zeros((k, d));
    let mut counts = vec![0f32; k];
    for i in 0..n {
        let mut row = sums.row_mut(labels[i] as usize);
        row += &x.row(i);
        counts[labels[i] as usize] += 1.0;
    }
    let mut p = Array2::zeros((n, k));
    for i in 0..n {
        for c in 0..k {
            let own = if labels[i] as usize == c { 1.0 } else { 0.0 };
            let others = (counts[c] - own).max(1.0);
            let far: f32 =
                (0..d).map(|j| (x[[i, j]] - (sums[[c, j]] - own * x[[i, j]]) / others).powi(2)).sum();
            p[[i, c]] = (-far / d as f32).exp();
        }
        let sum = p.row(i).sum();
        p.row_mut(i).mapv_inplace(|v| v / sum);
    }
    p
}

fn all(out: &ScanOutput<'_>) -> Vec<ScanRow> {
    (0..out.len()).map(|i| out.row(i)).collect()
}

impl Planted {
    fn places(&self) -> Result<Places, DetectError> {
        Places::find(self.x.view(), &PlacesParams::new(self.roots.len(), 0), &mut |_, _, _| true)
    }

    /// What `read` makes of the scan.
    fn scan<T>(&self, read: impl FnOnce(&ScanOutput<'_>) -> T) -> T {
        read(&self.scan_in(&self.places().unwrap()).unwrap())
    }

    fn scan_in<'a>(&'a self, places: &'a Places) -> Result<ScanOutput<'a>, DetectError> {
        let p = self.p.view();
        let input = ScanInput {
            places: Some(places),
            labels: &self.labels,
            class_roots: &self.roots,
            fields: &[],
            probabilities: &p,
            candidates: 0,
        };
        scan(&input, &mut |_, _, _| true)
    }

    fn rows(&self) -> Vec<ScanRow> {
        self.scan(all)
    }

    /// Area under the ROC curve of the ranking against the planted errors.
    fn auroc(&self, rows: &[ScanRow]) -> f64 {
        let wrong = |i: usize| self.labels[i] != self.truth[i];
        let bad: Vec<u32> = (0..rows.len()).filter(|&i| wrong(i)).map(|i| rows[i].rank).collect();
        let good: Vec<u32> = (0..rows.len()).filter(|&i| !wrong(i)).map(|i| rows[i].rank).collect();
        let above: usize = bad.iter().map(|b| good.iter().filter(|g| *g > b).count()).sum();
        above as f64 / (bad.len() * good.len()) as f64
    }
}

#[test]
fn finds_planted_noise_and_counts_it() {
    let data = planted(900, 24, 12, 1.0, 0.15, 51);
    let places = data.places().unwrap();
    let out = data.scan_in(&places).unwrap();
    let rows = all(&out);
    let auroc = data.auroc(&rows);
    assert!(auroc > 0.97, "{auroc}");
    let wrong = (0..900).filter(|&i| data.labels[i] != data.truth[i]).count() as f64;
    let estimate = out.noise.estimated_errors as f64;
    assert!((estimate / wrong - 1.0).abs() < 0.25, "{estimate} of {wrong}");
    let flagged: Vec<usize> = (0..900).filter(|&i| rows[i].flagged).collect();
    assert_eq!(flagged.len(), out.noise.estimated_errors);
    let hits = flagged.iter().filter(|&&i| data.labels[i] != data.truth[i]).count() as f64;
    assert!(hits / flagged.len() as f64 > 0.85, "{hits} of {}", flagged.len());
    // The suggestion mends what it finds.
    let mended = flagged.iter().filter(|&&i| rows[i].suggested as u32 == data.truth[i]).count() as f64;
    assert!(mended > 0.9 * hits, "{mended} of {hits}");
    let agree = flagged.iter().filter(|&&i| rows[i].detectors.len() == 3).count();
    assert!(agree * 2 > flagged.len(), "all three agree on {agree} of {}", flagged.len());
}

#[test]
fn single_detectors_and_sources_of_the_count_speak_for_themselves() {
    let data = planted(900, 24, 12, 0.8, 0.15, 64);
    let places = data.places().unwrap();
    let out = data.scan_in(&places).unwrap();
    let space = out.space.as_ref().unwrap();
    let wrong = |i: usize| data.labels[i] != data.truth[i];
    let errors = (0..900).filter(|&i| wrong(i)).count() as f64;
    // of a wrong and a right label drawn at random, how often the wrong one has the lower score
    let separated = |better: &[f32]| {
        let (bad, good): (Vec<usize>, Vec<usize>) = (0..900).partition(|&i| wrong(i));
        let below = |b: &usize| good.iter().filter(|g| better[**g] > better[*b]).count();
        bad.iter().map(below).sum::<usize>() as f64 / (bad.len() * good.len()) as f64
    };
    for (name, better, least) in [
        ("margin", &space.prototypes.margin, 0.97),
        ("fine", &space.fine.alignment, 0.9),
        ("simifeat", &space.simifeat.quality, 0.95),
        ("agreement", &space.agreement, 0.95),
    ] {
        let area = separated(better);
        assert!(area > least, "{name}: {area}");
    }
    let said = space.prototypes.state.iter().filter(|s| **s == LabelState::Wrong).count() as f64;
    assert!((said / errors - 1.0).abs() < 0.2, "{said} of {errors}");
    let count = out.noise.count;
    for source in [count.mixture, count.consensus, Some(count.surest), Some(count.corroborated)] {
        let source = source.unwrap();
        assert!((source / errors - 1.0).abs() < 0.3, "{source} of {errors}: {count:?}");
    }
    // scripts read them by these names
    let json = serde_json::to_value(&out.noise).unwrap();
    for name in
        ["posterior", "surest", "corroborated", "confident_joint", "argmax", "mixture", "consensus", "audit"]
    {
        assert!(json["count"].get(name).is_some(), "{name}");
    }
}

#[test]
fn clean_labels_raise_little_suspicion() {
    let estimate = planted(600, 24, 6, 0.5, 0.0, 52).scan(|out| out.noise.estimated_errors);
    assert!(estimate <= 6, "{estimate}");
}

#[test]
fn evidence_fits_together() {
    let data = planted(300, 10, 6, 1.2, 0.2, 53);
    let rows = data.rows();
    let mut ranks: Vec<u32> = rows.iter().map(|r| r.rank).collect();
    ranks.sort_unstable();
    assert_eq!(ranks, (1..=300).collect::<Vec<u32>>());
    for (i, r) in rows.iter().enumerate() {
        let given = data.labels[i] as usize;
        assert_ne!(r.suggested, given);
        assert_eq!(r.cross_parent, given / 2 != r.suggested / 2);
        assert_eq!(r.self_confidence, data.p[[i, given]]);
        let with = |class| {
            r.neighbours.iter().filter(|(j, _)| data.labels[*j as usize] as usize == class).count() as u16
        };
        assert!(r.neighbours_agree >= with(given) && r.neighbours_suggested >= with(r.suggested));
        assert!(
            r.neighbours.len() == LISTED
                && r.n_neighbours == 30
                && r.neighbours.iter().all(|(j, _)| *j as usize != i)
        );
        assert_eq!(r.flagged, r.suspicion > 0.5);
        assert_eq!(r.detectors.contains(&Detector::LogMargin), r.normalized_margin < 0.5);
        assert!(r.cluster_share > 0.0 && r.cluster_share <= 1.0);
        for other in &rows {
            assert_eq!(r.rank < other.rank, r.suspicion > other.suspicion);
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let data = planted(700, 80, 10, 1.5, 0.2, 54);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| data.scan(|out| (out.fused.clone(), out.levels.clone(), out.noise.clone())))
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn odd_shapes() {
    // Two classes; one sample a class; more classes than samples; duplicates; constant features.
    let two = planted(60, 8, 2, 0.6, 0.1, 55);
    assert!(two.auroc(&two.rows()) > 0.95);
    let each_alone = planted(5, 4, 5, 1.0, 0.0, 56);
    assert_eq!(each_alone.scan(|out| out.len()), 5);
    let few = planted(6, 4, 20, 1.0, 0.5, 57);
    assert!(few.rows().iter().all(|r| r.neighbours.len() == 5));
    let mut same = planted(40, 4, 4, 1.0, 0.2, 58);
    same.x.fill(1.0);
    same.p = leave_one_out(&same.x, &same.labels, 4);
    assert_eq!(same.scan(|out| out.len()), 40);
    same.x.fill(0.0);
    assert!(same.rows().iter().all(|r| r.neighbours.iter().all(|(_, s)| *s == 0.0)));
    let one = planted(1, 4, 3, 1.0, 0.0, 59);
    let rows = one.rows();
    assert!(rows[0].rank == 1 && rows[0].neighbours.is_empty());
}

#[test]
fn a_lone_sample_of_its_class_is_not_judged() {
    let mut data = planted(121, 8, 4, 0.5, 0.0, 60);
    data.roots = vec![0; 5];
    let mut p = Array2::zeros((121, 5));
    p.slice_mut(ndarray::s![.., ..4]).assign(&data.p);
    data.p = p;
    data.labels[7] = 4; // a class nothing else has: probability 0, no neighbour, no cluster mate
    let rank = data.rows()[7].rank;
    assert!((50..=72).contains(&rank), "{rank}");
}

#[test]
fn mistakes_are_named() {
    let message = |change: &dyn Fn(&mut Planted)| {
        let places = planted(20, 3, 4, 1.0, 0.1, 61).places().unwrap();
        let mut data = planted(20, 3, 4, 1.0, 0.1, 61);
        change(&mut data);
        data.scan_in(&places).unwrap_err().to_string()
    };
    for (text, needle) in [
        (message(&|d| d.p[[4, 1]] = f32::INFINITY), "probabilities: value at row 4, column 1 is inf"),
        (message(&|d| d.p[[4, 1]] = -0.5), "row 4, column 1"),
        (message(&|d| d.p.row_mut(6).fill(0.1)), "row 6 sums to 0.4"),
        (message(&|d| d.labels[9] = 4), "label of row 9 is 4"),
        (message(&|d| d.labels.truncate(5)), "labels has 5 entries"),
        (message(&|d| d.roots.truncate(3)), "class roots has 3 entries"),
    ] {
        assert!(text.contains(needle), "{text:?} lacks {needle:?}");
    }
    let mut data = planted(20, 3, 4, 1.0, 0.1, 61);
    data.x[[3, 2]] = f32::NAN;
    let text = data.places().unwrap_err().to_string();
    assert!(text.contains("features: value at row 3, column 2 is NaN"), "{text}");
    data.x = Array2::zeros((0, 3));
    assert_eq!(data.places(), Err(DetectError::Empty));
    let refused = |change: &dyn Fn(&mut PlacesParams)| {
        let mut params = PlacesParams::new(4, 0);
        change(&mut params);
        Places::find(Array2::ones((3, 2)).view(), &params, &mut |_, _, _| true).is_err()
    };
    assert!(refused(&|p| p.k_neighbours = 0) && refused(&|p| p.clusters = Some(0)));
}

#[test]
fn any_stage_can_cancel() {
    let data = planted(50, 3, 4, 1.0, 0.1, 62);
    for at in [Stage::Neighbours, Stage::Clusters] {
        let found = Places::find(data.x.view(), &PlacesParams::new(4, 0), &mut |s, _, _| s != at);
        assert_eq!(found, Err(DetectError::Cancelled), "{at:?}");
    }
    let p = data.p.view();
    let input = ScanInput {
        places: None,
        labels: &data.labels,
        class_roots: &data.roots,
        fields: &[],
        probabilities: &p,
        candidates: 0,
    };
    assert_eq!(scan(&input, &mut |_, _, _| false), Err(DetectError::Cancelled));
    assert!(scan(&input, &mut |_, _, _| true).unwrap().row(0).neighbours.is_empty());
}

#[test]
fn duplicates_share_a_fold_and_their_conflicts_are_called_out() {
    let mut data = planted(60, 8, 3, 1.0, 0.0, 63);
    let copy = data.x.row(10).to_owned();
    data.x.row_mut(40).assign(&copy);
    let places = data.places().unwrap();
    let groups = places.fold_groups();
    assert_eq!(groups[10], groups[40]);
    assert_eq!(groups.iter().filter(|g| **g == groups[10]).count(), 2);
    let mut seen = groups.clone();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 59);
    data.labels[40] = (data.labels[10] + 1) % 3;
    let out = data.scan_in(&places).unwrap();
    let conflicting = &out.space.as_ref().unwrap().conflicting;
    assert!(conflicting[10] && conflicting[40] && conflicting.iter().filter(|c| **c).count() == 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn permuting_samples_permutes_the_result(seed in 0u64..1000) {
        let data = planted(70, 6, 5, 1.0, 0.2, seed);
        let mut order: Vec<usize> = (0..70).collect();
        order.shuffle(&mut rng(seed + 1));
        let moved = Planted {
            x: data.x.select(Axis(0), &order),
            p: data.p.select(Axis(0), &order),
            labels: order.iter().map(|&i| data.labels[i]).collect(),
            truth: order.iter().map(|&i| data.truth[i]).collect(),
            roots: data.roots.clone(),
        };
        let (here, there) = (data.places().unwrap(), moved.places().unwrap());
        let (a, b) = (data.scan_in(&here).unwrap(), moved.scan_in(&there).unwrap());
        prop_assert_eq!(&a.noise.noise_matrix, &b.noise.noise_matrix);
        for (to, &from) in order.iter().enumerate() {
            prop_assert!((a.fused.score[from] - b.fused.score[to]).abs() < 0.05 * a.fused.score[from].abs().max(1.0));
        }
    }
}
