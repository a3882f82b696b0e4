//! Seeded, stratified splits - k folds, optionally keeping groups (near-duplicates) together, and a
//! held-out share - and out-of-fold probabilities: every sample judged by a head that never saw it.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;

use super::error::{TrainError, check_length};
use super::linear::{LinearHead, LinearParams, present_classes};
use crate::arrays::rng;
use crate::domain::policy::chance;

/// As many folds as the samples allow, at most `n_folds`: [`stratified_folds`] of groups, or of single samples
/// where there are too few groups for that many folds. Gives the folds and their number.
pub fn possible_folds(
    y: &[usize],
    n_classes: usize,
    n_folds: usize,
    groups: &[u32],
    seed: u64,
) -> (Vec<usize>, usize) {
    let n_folds = n_folds.min(y.len());
    let grouped = stratified_folds(y, n_classes, n_folds, Some(groups), seed);
    if (0..n_folds).all(|f| grouped.contains(&f)) {
        return (grouped, n_folds);
    }
    (stratified_folds(y, n_classes, n_folds, None, seed), n_folds)
}

/// Fold of each sample, in 0..`n_folds`. Per class the folds differ by at most one sample, and sizes
/// of whole folds stay close too. With `groups` all samples of a group share a fold, so the balance
/// is as good as the groups allow. A class with fewer samples than folds is simply missing from some
/// folds. `n_folds` below 2 gives one fold. Same input and seed, same folds. O(N log N), with groups
/// O(N + groups x folds).
pub fn stratified_folds(
    y: &[usize],
    n_classes: usize,
    n_folds: usize,
    groups: Option<&[u32]>,
    seed: u64,
) -> Vec<usize> {
    if n_folds < 2 {
        return vec![0; y.len()];
    }
    match groups {
        None => deal_samples(y, n_classes, n_folds, seed),
        Some(groups) => deal_groups(y, n_classes, n_folds, groups, seed),
    }
}

fn deal_samples(y: &[usize], n_classes: usize, n_folds: usize, seed: u64) -> Vec<usize> {
    let mut r = rng(seed);
    let mut folds = vec![0; y.len()];
    // Dealing goes on where the last class stopped, so the left-overs spread over all folds.
    let mut next = 0;
    for mut members in members_of_classes(y, n_classes) {
        members.shuffle(&mut r);
        for i in members {
            folds[i] = next;
            next = (next + 1) % n_folds;
        }
    }
    folds
}

fn deal_groups(y: &[usize], n_classes: usize, n_folds: usize, groups: &[u32], seed: u64) -> Vec<usize> {
    let mut by_group = BTreeMap::<u32, Vec<usize>>::new();
    for (i, &g) in groups.iter().enumerate().take(y.len()) {
        by_group.entry(g).or_default().push(i);
    }
    let mut units: Vec<Vec<usize>> = by_group.into_values().collect();
    units.shuffle(&mut rng(seed));
    units.sort_by_key(|u| std::cmp::Reverse(u.len())); // stable: equals stay shuffled
    let mut per_class = vec![vec![0usize; n_folds]; n_classes];
    let mut sizes = vec![0usize; n_folds];
    let mut folds = vec![0; y.len()];
    for unit in units {
        // The fold that holds fewest of this unit's classes, then the smallest fold.
        let best = (0..n_folds)
            .min_by_key(|&f| (unit.iter().map(|&i| per_class[y[i]][f]).sum::<usize>(), sizes[f]))
            .unwrap_or(0);
        for i in unit {
            folds[i] = best;
            per_class[y[i]][best] += 1;
            sizes[best] += 1;
        }
    }
    folds
}

/// True = held out. Stratified: about `fraction` of each class, rounded, but a class keeps at least one group in
/// training. Whole groups of near-duplicates (`groups`, (N), one number a group) are held out together and count
/// for the class of their member with the lowest id. Who is held out of a class hangs on the samples' `ids` and
/// the seed alone: when some labels change, nearly the same samples stay held out, so that two models can be
/// compared on them. O(N log N).
///
/// # Panics
/// When lengths differ or a class is out of range.
pub fn holdout_split(
    ids: &[i64],
    y: &[usize],
    n_classes: usize,
    groups: &[u32],
    fraction: f32,
    seed: u64,
) -> Vec<bool> {
    assert!(ids.len() == y.len() && ids.len() == groups.len(), "one id, label and group a sample");
    let mut by_group = BTreeMap::<u32, Vec<usize>>::new();
    groups.iter().enumerate().for_each(|(i, &g)| by_group.entry(g).or_default().push(i));
    let mut of_class = vec![Vec::new(); n_classes];
    for mut members in by_group.into_values() {
        members.sort_by_key(|&i| ids[i]);
        of_class[y[members[0]]].push((chance(seed.cast_signed(), ids[members[0]], "held out"), members));
    }
    let mut held = vec![false; y.len()];
    for mut units in of_class {
        units.sort_by(|(a, m), (b, n)| a.total_cmp(b).then(ids[m[0]].cmp(&ids[n[0]])));
        let samples: usize = units.iter().map(|(_, m)| m.len()).sum();
        let want = (samples as f64 * f64::from(fraction)).round() as usize;
        let mut taken = 0;
        let most = units.len().saturating_sub(1);
        for (_, members) in units.into_iter().take(most).take_while(|_| want > 0) {
            if taken + members.len() > want {
                continue;
            }
            taken += members.len();
            members.into_iter().for_each(|i| held[i] = true);
        }
    }
    held
}

fn members_of_classes(y: &[usize], n_classes: usize) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); n_classes];
    for (i, &c) in y.iter().enumerate() {
        members[c].push(i);
    }
    members
}

/// The rows of fold `fold` and their probabilities (rows, `n_classes`) by a head fitted on the other
/// folds. A job that checkpoints calls this once per fold.
///
/// A class that has no sample outside the fold cannot be judged: it gets probability
/// 1 / (training samples + classes), the rest is scaled so that rows sum to 1.
pub fn fit_fold(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    folds: &[usize],
    fold: usize,
    params: &LinearParams,
) -> Result<(Vec<usize>, Array2<f32>), TrainError> {
    let split = Split::new(x, y, n_classes, folds, fold)?;
    let mut out = None;
    split.path(n_classes, &[params.l2], params, &|_| true, &mut |_, p| {
        out = Some(p);
        true
    })?;
    let probabilities = out.ok_or(TrainError::Empty)?;
    Ok((split.held, probabilities))
}

/// Out-of-fold probabilities (N, `n_classes`) of all samples; rows sum to 1. `progress(done, folds)`
/// is called after each fold and cancels by returning false. See [`fit_fold`].
pub fn out_of_fold(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    folds: &[usize],
    params: &LinearParams,
    progress: &dyn Fn(usize, usize) -> bool,
) -> Result<Array2<f32>, TrainError> {
    let n_folds = folds.iter().max().map_or(0, |m| m + 1);
    let mut out = Array2::zeros((y.len(), n_classes));
    for fold in 0..n_folds {
        let (rows, p) = fit_fold(x, y, n_classes, folds, fold, params)?;
        for (row, p) in rows.into_iter().zip(p.rows()) {
            out.row_mut(row).assign(&p);
        }
        if !progress(fold + 1, n_folds) {
            return Err(TrainError::Cancelled);
        }
    }
    Ok(out)
}

/// One fold against the rest.
pub(super) struct Split {
    pub(super) held: Vec<usize>,
    pub(super) train_x: Array2<f32>,
    pub(super) train_y: Vec<usize>,
    pub(super) held_x: Array2<f32>,
}

impl Split {
    pub(super) fn new(
        x: ArrayView2<'_, f32>,
        y: &[usize],
        n_classes: usize,
        folds: &[usize],
        fold: usize,
    ) -> Result<Self, TrainError> {
        check_length("labels", x.nrows(), y.len())?;
        check_length("folds", y.len(), folds.len())?;
        super::error::check_labels(y, n_classes)?;
        if let Some(bad) = crate::arrays::first_not_finite(x) {
            return Err(bad.into());
        }
        let n_folds = folds.iter().max().map_or(0, |m| m + 1);
        if fold >= n_folds {
            return Err(TrainError::Fold { fold, n_folds });
        }
        let (held, train): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|&i| folds[i] == fold);
        if train.is_empty() {
            return Err(TrainError::Empty);
        }
        Ok(Self {
            train_x: x.select(Axis(0), &train),
            train_y: train.iter().map(|&i| y[i]).collect(),
            held_x: x.select(Axis(0), &held),
            held,
        })
    }

    pub(super) fn n_train(&self) -> usize {
        self.train_y.len()
    }

    /// Probabilities (held-out rows, `n_classes`) by any head: `judge(labels, k)` trains on `train_x`
    /// and labels in 0..k, the classes that have training samples counted through, and gives
    /// (held-out rows, k). What it did not see is treated as in [`fit_fold`].
    pub(super) fn judge(
        &self,
        n_classes: usize,
        judge: impl FnOnce(&[usize], usize) -> Result<Array2<f32>, TrainError>,
    ) -> Result<Array2<f32>, TrainError> {
        let present = present_classes(&self.train_y, n_classes);
        let mut p = Array2::zeros((self.held.len(), n_classes));
        if let [only] = present[..] {
            p.column_mut(only).fill(1.0);
        } else {
            let mut index = vec![0; n_classes];
            present.iter().enumerate().for_each(|(i, &c)| index[c] = i);
            let labels: Vec<usize> = self.train_y.iter().map(|&c| index[c]).collect();
            let judged = judge(&labels, present.len())?;
            for (from, &to) in judged.columns().into_iter().zip(&present) {
                p.column_mut(to).assign(&from);
            }
        }
        smooth_absent(&mut p, &present, self.n_train());
        Ok(p)
    }

    /// Probabilities of the held-out rows for each penalty in turn; see [`LinearHead::fit_path`].
    pub(super) fn path(
        &self,
        n_classes: usize,
        l2s: &[f32],
        params: &LinearParams,
        tick: &dyn Fn(usize) -> bool,
        each: &mut dyn FnMut(usize, Array2<f32>) -> bool,
    ) -> Result<(), TrainError> {
        let present = present_classes(&self.train_y, n_classes);
        if let [only] = present[..] {
            // Nothing to tell apart: all mass on the one class seen, less what the unseen ones get.
            let mut p = Array2::zeros((self.held.len(), n_classes));
            p.column_mut(only).fill(1.0);
            smooth_absent(&mut p, &present, self.n_train());
            for i in 0..l2s.len() {
                if !each(i, p.clone()) {
                    break;
                }
            }
            return Ok(());
        }
        let x = self.train_x.view();
        LinearHead::fit_path(x, &self.train_y, n_classes, None, l2s, params, tick, &mut |i, head| {
            let mut p = head.predict_proba(self.held_x.view());
            smooth_absent(&mut p, &present, self.n_train());
            each(i, p)
        })
    }
}

fn smooth_absent(p: &mut Array2<f32>, present: &[usize], n_train: usize) {
    let n_classes = p.ncols();
    let absent = n_classes - present.len();
    if absent == 0 {
        return;
    }
    let mass = 1.0 / (n_train + n_classes) as f64;
    let rest = (1.0 - mass * absent as f64) as f32;
    for mut row in p.rows_mut() {
        let mut next = present.iter().copied().peekable();
        for (c, v) in row.iter_mut().enumerate() {
            *v = if next.next_if_eq(&c).is_some() { *v * rest } else { mass as f32 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(y: &[usize], folds: &[usize], class: usize, n_folds: usize) -> Vec<usize> {
        (0..n_folds).map(|f| (0..y.len()).filter(|&i| y[i] == class && folds[i] == f).count()).collect()
    }

    proptest! {
        #[test]
        fn folds_are_stratified(y in prop::collection::vec(0usize..6, 1..200), n_folds in 2usize..7, seed: u64) {
            let folds = stratified_folds(&y, 6, n_folds, None, seed);
            for class in 0..6 {
                let c = counts(&y, &folds, class, n_folds);
                prop_assert!(c.iter().max().unwrap() - c.iter().min().unwrap() <= 1, "{c:?}");
            }
            let sizes: Vec<_> = (0..n_folds).map(|f| folds.iter().filter(|&&g| g == f).count()).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }

        #[test]
        fn groups_stay_together(y in prop::collection::vec(0usize..4, 1..120), seed: u64) {
            let groups: Vec<u32> = (0..y.len()).map(|i| (i / 3) as u32).collect();
            let folds = stratified_folds(&y, 4, 5, Some(&groups), seed);
            for i in 1..y.len() {
                if groups[i] == groups[i - 1] {
                    prop_assert_eq!(folds[i], folds[i - 1]);
                }
            }
            prop_assert!(folds.iter().all(|&f| f < 5));
        }

        #[test]
        fn groups_of_any_numbers_and_sizes_stay_together_and_stratified(
            labelled in prop::collection::vec((0usize..4, 0u32..40), 1..200),
            n_folds in 2usize..7,
            seed: u64,
        ) {
            // Group numbers with gaps, members scattered, labels within a group mixed.
            let (y, groups): (Vec<usize>, Vec<u32>) =
                labelled.into_iter().map(|(c, g)| (c, g.wrapping_mul(0x9E37_79B9))).unzip();
            let folds = stratified_folds(&y, 4, n_folds, Some(&groups), seed);
            prop_assert_eq!(&folds, &stratified_folds(&y, 4, n_folds, Some(&groups), seed));
            let mut fold_of = std::collections::BTreeMap::new();
            for (g, f) in groups.iter().zip(&folds) {
                prop_assert_eq!(*fold_of.entry(*g).or_insert(*f), *f);
                prop_assert!(*f < n_folds);
            }
            // A group goes where its classes are fewest, so a class's folds differ by no more than
            // what whole groups bring at once: all its classes together.
            let largest = groups.iter().map(|g| groups.iter().filter(|h| *h == g).count()).max().unwrap();
            for class in 0..4 {
                let c = counts(&y, &folds, class, n_folds);
                let all = c.iter().sum::<usize>();
                let bound = all.div_ceil(n_folds) + 4 * largest;
                prop_assert!(*c.iter().max().unwrap() <= bound, "{c:?} {largest}");
            }
        }

        #[test]
        fn groups_of_one_class_and_of_one_sample_are_stratified(
            y in prop::collection::vec(0usize..5, 1..150),
            pairs: bool,
            n_folds in 2usize..7,
            seed: u64,
        ) {
            // Every sample its own group, or two of the same class a group.
            let mut y = y;
            let size = if pairs { 2 } else { 1 };
            for i in 0..y.len() {
                y[i] = y[i - i % size];
            }
            let groups: Vec<u32> = (0..y.len()).map(|i| (i / size) as u32).collect();
            let folds = stratified_folds(&y, 5, n_folds, Some(&groups), seed);
            for class in 0..5 {
                let c = counts(&y, &folds, class, n_folds);
                prop_assert!(c.iter().max().unwrap() - c.iter().min().unwrap() <= size, "{c:?}");
            }
        }

        #[test]
        fn holdout_keeps_a_training_sample(y in prop::collection::vec(0usize..30, 1..120), seed: u64) {
            let ids: Vec<i64> = (0..y.len() as i64).collect();
            let alone: Vec<u32> = (0..y.len() as u32).collect();
            let held = holdout_split(&ids, &y, 30, &alone, 0.5, seed);
            for class in 0..30 {
                let n = y.iter().filter(|&&c| c == class).count();
                let h = (0..y.len()).filter(|&i| held[i] && y[i] == class).count();
                prop_assert!(n == 0 || h < n);
                prop_assert!(n < 2 || h >= n / 2 || h == n - 1);
            }
        }

        #[test]
        fn near_duplicates_are_held_out_together(
            rows in prop::collection::vec((0usize..5, 0u32..40), 1..150),
            fraction in 0.0f32..0.9,
            seed: u64,
        ) {
            let (y, groups): (Vec<usize>, Vec<u32>) = rows.into_iter().unzip();
            let ids: Vec<i64> = (0..y.len() as i64).collect();
            let held = holdout_split(&ids, &y, 5, &groups, fraction, seed);
            for i in 0..y.len() {
                prop_assert!((0..y.len()).all(|j| groups[i] != groups[j] || held[i] == held[j]));
            }
            let n = held.iter().filter(|h| **h).count() as f64;
            prop_assert!(n <= f64::from(fraction) * y.len() as f64 + 5.0 * 0.5 + 1e-3, "{n}");
        }
    }

    #[test]
    fn a_changed_label_leaves_the_others_held_out() {
        let ids: Vec<i64> = (0..400).map(|i| i * 7 + 3).collect();
        let mut y: Vec<usize> = (0..400).map(|i| i % 4).collect();
        let alone: Vec<u32> = (0..400).collect();
        let before = holdout_split(&ids, &y, 4, &alone, 0.2, 5);
        assert_eq!(before.iter().filter(|h| **h).count(), 80);
        (0..20).for_each(|i| y[i] = (y[i] + 1) % 4);
        let after = holdout_split(&ids, &y, 4, &alone, 0.2, 5);
        let both = before.iter().zip(&after).filter(|(b, a)| **b && **a).count();
        assert!(both >= 70, "{both} of 80");
        assert_ne!(before, holdout_split(&ids, &y, 4, &alone, 0.2, 6));
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let y: Vec<usize> = (0..100).map(|i| i % 4).collect();
        assert_eq!(stratified_folds(&y, 4, 5, None, 1), stratified_folds(&y, 4, 5, None, 1));
        assert_ne!(stratified_folds(&y, 4, 5, None, 1), stratified_folds(&y, 4, 5, None, 2));
        assert_eq!(stratified_folds(&y, 4, 1, None, 2), vec![0; 100]);
    }

    #[test]
    fn single_samples_and_lost_classes_still_sum_to_one() {
        // Class 2 has one sample; with two folds and K = 2 left, one fold trains on a single class.
        let x = Array2::from_shape_fn((5, 2), |(i, j)| (i * 2 + j) as f32);
        let folds = [0, 0, 1, 1, 1];
        for y in [[0usize, 1, 0, 1, 2], [0, 0, 1, 1, 1]] {
            let p = out_of_fold(x.view(), &y, 4, &folds, &LinearParams::default(), &|_, _| true).unwrap();
            for row in p.rows() {
                assert!((row.sum() - 1.0).abs() < 1e-5 && row.iter().all(|v| *v > 0.0), "{row}");
            }
        }
        // Row 4 (class 2): its head saw 2 samples of classes 0 and 1 -> 1 / (2 + 4).
        let y = [0usize, 1, 0, 1, 2];
        let (rows, p) = fit_fold(x.view(), &y, 4, &folds, 1, &LinearParams::default()).unwrap();
        assert_eq!(rows, [2, 3, 4]);
        assert!((p[[2, 2]] - 1.0 / 6.0).abs() < 1e-6);
    }

    #[test]
    fn mistakes_are_named() {
        let x = Array2::<f32>::zeros((3, 1));
        let p = LinearParams::default();
        let fit = |y: &[usize], folds: &[usize], fold| fit_fold(x.view(), y, 2, folds, fold, &p).unwrap_err();
        assert_eq!(fit(&[0, 1], &[0, 1], 0), TrainError::Length { what: "labels", expected: 3, found: 2 });
        assert_eq!(fit(&[0, 5, 1], &[0, 1, 1], 0), TrainError::Label { row: 1, label: 5, n_classes: 2 });
        assert_eq!(fit(&[0, 1, 1], &[0, 1, 1], 2), TrainError::Fold { fold: 2, n_folds: 2 });
        assert_eq!(fit(&[0, 1, 1], &[0, 0, 0], 0), TrainError::Empty);
        let cancelled = out_of_fold(x.view(), &[0, 1, 1], 2, &[0, 1, 1], &p, &|_, _| false);
        assert_eq!(cancelled.unwrap_err(), TrainError::Cancelled);
    }
}
