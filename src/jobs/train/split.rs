//! Who is trained on, who stops the training, and who is measured on. Never the same sample, nor
//! near-duplicates of one another, nor gold.

use crate::domain::Split;
use crate::jobs::JobError;
use crate::jobs::scan::Labelled;
use crate::train::Recipe;
use crate::train::split::Held;
use crate::train::{holdout_split, stratified_folds};

/// What is known of the samples beside their labels: the labelled ones first, then those without.
pub(super) struct Known {
    /// (labelled)
    pub(super) parts: Vec<Option<Split>>,
    pub(super) gold: Vec<bool>,
    pub(super) verified: Vec<bool>,
    /// Group of near-duplicates, (labelled + unlabelled).
    pub(super) group: Vec<Option<u32>>,
}

/// Rows of the samples.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    /// What is measured on: `test`, `validation`, or a `random` share.
    pub(super) how: &'static str,
    pub(super) train: Vec<usize>,
    /// Stops networks and weighs the members of an ensemble; empty where there is neither.
    pub(super) valid: Vec<usize>,
    pub(super) held: Vec<usize>,
    /// Without labels, none of them a near-duplicate of what is measured on.
    pub(super) unlabelled: Vec<usize>,
    /// Samples left out because a near-duplicate of them is measured on.
    pub(super) left_out: usize,
}

/// Splits by the dataset's own test split, else its validation split, else a random share of near-duplicate
/// groups. `validated`: some of the training is set aside to stop it, the dataset's validation split where that
/// is not measured on, else the recipe's first fold.
///
/// # Errors
/// Nothing to measure or train on.
pub(super) fn split(
    labelled: &Labelled,
    known: &Known,
    recipe: &Recipe,
    validated: bool,
) -> Result<Rows, JobError> {
    let n = labelled.ids.len();
    let all = known.group.len();
    let of = |part: Split| (0..n).filter(|&i| known.parts[i] == Some(part)).collect::<Vec<_>>();
    // samples without near-duplicates are groups of their own, numbered behind the others
    let groups: Vec<u32> = (0..n).map(|i| known.group[i].unwrap_or_else(|| (all + i) as u32)).collect();
    let seed = recipe.seeds[0];
    let (mut how, mut held, mut aside) = ("test", of(Split::Test), of(Split::Validation));
    if held.is_empty() {
        (how, held, aside) = ("validation", aside, Vec::new());
    }
    if held.is_empty() {
        let drawn =
            holdout_split(&labelled.ids, &labelled.y, labelled.n_classes, &groups, recipe.holdout, seed);
        (how, held) = ("random", (0..n).filter(|&i| drawn[i]).collect());
    }
    if held.is_empty() {
        return Err(JobError::failed("no_holdout", &[]));
    }
    let rows = |wanted: Vec<usize>, away: &[usize]| -> Result<(Vec<usize>, usize), JobError> {
        let mut test = vec![false; all];
        away.iter().for_each(|&i| test[i] = true);
        let mut gold = known.gold.clone();
        gold.resize(all, false);
        // gold and the splits were left out before; what goes here is near-duplicates
        let wanted: Vec<u32> = wanted.into_iter().map(|i| i as u32).collect();
        let held = Held { test: &test, gold: &gold, group: &known.group };
        let kept = held.allowed(&wanted).map_err(|e| JobError::broke("stage.split", e))?;
        let left_out = wanted.len() - kept.len();
        Ok((kept.into_iter().map(|i| i as usize).collect(), left_out))
    };
    let drawn: Vec<bool> = (0..n).map(|i| held.binary_search(&i).is_ok()).collect();
    let mine: Vec<usize> =
        (0..n).filter(|&i| known.parts[i].is_none() && !drawn[i] && !known.gold[i]).collect();
    let (mut train, left_out) = rows(mine, &held)?;
    let mut valid = Vec::new();
    if validated {
        valid = rows(aside.into_iter().filter(|&i| !known.gold[i]).collect(), &held)?.0;
        if valid.is_empty() {
            let y: Vec<usize> = train.iter().map(|&i| labelled.y[i]).collect();
            let of: Vec<u32> = train.iter().map(|&i| groups[i]).collect();
            let folds = stratified_folds(&y, labelled.n_classes, recipe.folds, Some(&of), seed);
            let (rest, first): (Vec<_>, Vec<_>) = train.iter().zip(folds).partition(|(_, fold)| *fold > 0);
            let rows = |part: Vec<(&usize, usize)>| part.into_iter().map(|(i, _)| *i).collect::<Vec<_>>();
            (train, valid) = (rows(rest), rows(first));
        } else {
            train = rows(train, &valid)?.0;
        }
    }
    if train.is_empty() {
        return Err(JobError::failed("nothing_to_train_on", &[]));
    }
    let away: Vec<usize> = held.iter().chain(&valid).copied().collect();
    let unlabelled = rows((n..all).collect(), &away)?.0;
    Ok(Rows { how, train, valid, held, unlabelled, left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labelled(y: Vec<usize>) -> Labelled {
        Labelled { ids: (0..y.len() as i64).collect(), y, n_classes: 2, class_roots: vec![0, 1] }
    }

    fn known(parts: Vec<Option<Split>>, gold: Vec<bool>, group: Vec<Option<u32>>) -> Known {
        Known { verified: vec![false; parts.len()], parts, gold, group }
    }

    #[test]
    fn a_dataset_is_measured_on_its_own_test_split_and_never_trained_on_it() {
        let of = labelled(vec![0, 1, 0, 1, 0, 1]);
        let recipe = Recipe::default();
        let rows = |parts: &[Option<Split>], validated| {
            let k = known(parts.to_vec(), vec![false; 6], vec![None; 8]);
            split(&of, &k, &recipe, validated).unwrap()
        };
        let (test, validation) = (Some(Split::Test), Some(Split::Validation));
        let got = rows(&[None, None, test, validation, None, test], false);
        assert_eq!((got.how, got.train, got.held), ("test", vec![0, 1, 4], vec![2, 5]));
        assert_eq!((got.valid, got.unlabelled), (vec![], vec![6, 7]));
        let got = rows(&[None, None, test, validation, None, test], true);
        assert_eq!((got.train, got.valid), (vec![0, 1, 4], vec![3]), "its own validation split stops it");
        let got = rows(&[None, None, validation, None, None, None], false);
        assert_eq!((got.how, got.train, got.held), ("validation", vec![0, 1, 3, 4, 5], vec![2]));
        let got = rows(&[None; 6], false);
        assert_eq!((got.how, got.train.len() + got.held.len()), ("random", 6));
        let gold = known(vec![None; 6], vec![true, false, false, false, true, false], vec![None; 6]);
        let again = split(&of, &gold, &recipe, false).unwrap();
        assert_eq!(again.held, got.held, "what is held out does not depend on gold");
        assert!(again.train.iter().all(|&i| !gold.gold[i]));
        let nothing = known(vec![test; 6], vec![false; 6], vec![None; 6]);
        assert!(split(&of, &nothing, &recipe, false).is_err());
    }

    proptest! {
        /// No sample, near-duplicate or gold sample of what is measured on is trained on, stopped by, or taught.
        #[test]
        fn nothing_is_given_away(
            rows in prop::collection::vec((0usize..2, 0u32..20, 0u8..6, any::<bool>()), 20..120),
            extra in prop::collection::vec(0u32..20, 0..30),
            validated: bool,
            own: bool,
        ) {
            let of = labelled(rows.iter().map(|r| r.0).collect());
            let part = |p: u8| match p { 0 if own => Some(Split::Test), 1 if own => Some(Split::Validation), _ => None };
            // groups above 15 are samples on their own
            let group = |g: u32| (g < 16).then_some(g);
            let k = known(
                rows.iter().map(|r| part(r.2)).collect(),
                rows.iter().map(|r| r.3 && r.2 > 3).collect(),
                rows.iter().map(|r| group(r.1)).chain(extra.iter().map(|g| group(*g))).collect(),
            );
            let Ok(got) = split(&of, &k, &Recipe { holdout: 0.3, ..Recipe::default() }, validated) else { return Ok(()) };
            let apart = |a: &[usize], b: &[usize]| a.iter().all(|i| b.iter().all(|j| {
                i != j && (k.group[*i].is_none() || k.group[*i] != k.group[*j])
            }));
            prop_assert!(apart(&got.train, &got.held) && apart(&got.valid, &got.held) && apart(&got.train, &got.valid));
            prop_assert!(apart(&got.unlabelled, &got.held) && apart(&got.unlabelled, &got.valid));
            prop_assert!(got.train.iter().chain(&got.valid).all(|&i| !k.gold[i]));
            prop_assert!(got.train.iter().all(|&i| k.parts[i].is_none()));
            prop_assert!(got.unlabelled.iter().all(|&i| i >= rows.len()));
        }
    }
}
