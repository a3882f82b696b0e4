//! What the latest scan says of the samples to be trained on, for recipes that trust some labels less.

use std::collections::{HashMap, HashSet};

use ndarray::Array2;
use serde::Deserialize;
use tamis_deep::State;
use uuid::Uuid;

use super::material::Evidence;
use crate::exchange::columnar::{Column, read_table};
use crate::jobs::{JobError, Services};
use crate::train::Recipe;
use crate::train::recipe::LossKind;

/// Whether a recipe reads it.
pub(super) fn is_read(recipe: &Recipe) -> bool {
    recipe.loss.sample_weights || matches!(recipe.loss.kind, LossKind::Forward | LossKind::ThreeState)
}

#[derive(Deserialize)]
struct Summary {
    noise: Noise,
}

#[derive(Deserialize)]
struct Noise {
    /// [given][true]
    noise_matrix: Vec<Vec<f32>>,
}

/// Of the rows `ids`: weight 1 - suspicion, and the state of the label. A label that somebody verified is clean and
/// weighs 1, whatever the scan said of the one before it; a sample that the scan did not see weighs 1 and is
/// unclear if it has a label, clean if it is to be taught by others.
///
/// # Errors
/// No scan, or one of other classes.
pub(super) async fn of(
    services: &Services,
    dataset: Uuid,
    ids: &[i64],
    labelled: usize,
    verified: &[bool],
    classes: usize,
) -> Result<Evidence, JobError> {
    let missing = || JobError::failed("recipe_needs_scan", &[]);
    let scan = services.store.latest_scan(dataset).await?.ok_or_else(missing)?;
    let summary: Summary = serde_json::from_value(scan.summary).map_err(|_| missing())?;
    let noise = transition(&summary.noise.noise_matrix, classes).ok_or_else(missing)?;
    let bytes = services.blobs.get(&scan.scores_blob).await?;
    let known = tokio::task::spawn_blocking(move || scores(bytes)).await?;
    let known = known.ok_or_else(missing)?;
    let verified: HashSet<usize> = (0..labelled).filter(|&i| verified[i]).collect();
    let (mut weights, mut states) = (vec![1.0; ids.len()], vec![State::Clean; ids.len()]);
    for (i, id) in ids.iter().enumerate().take(labelled).filter(|(i, _)| !verified.contains(i)) {
        match known.get(id) {
            Some(&(suspicion, state)) => (weights[i], states[i]) = ((1.0 - suspicion).clamp(0.0, 1.0), state),
            None => states[i] = State::Unclear,
        }
    }
    // nobody can learn when nothing counts
    if weights.iter().take(labelled).all(|w| *w == 0.0) {
        weights.fill(1.0);
    }
    Ok(Evidence { weights: Some(weights), states: Some(states), noise: Some(noise) })
}

/// Suspicion and state by sample.
fn scores(bytes: Vec<u8>) -> Option<HashMap<i64, (f32, State)>> {
    // a scan without embeddings has no states
    let names = ["sample_id", "suspicion", "prototype_state"];
    let read = |names: &[&str]| read_table(bytes::Bytes::from(bytes.clone()), Some(names)).ok();
    let table = read(&names).or_else(|| read(&names[..2]))?;
    let column = |name: &str| table.iter().find(|(n, _)| n == name).map(|(_, c)| c);
    let (Some(Column::I64(ids)), Some(Column::F32(suspicion))) = (column(names[0]), column(names[1])) else {
        return None;
    };
    let state = |i: usize| match column(names[2]) {
        Some(Column::Utf8(s)) => match s.get(i).map(String::as_str) {
            Some("clean") => State::Clean,
            Some("wrong") => State::Wrong,
            _ => State::Unclear,
        },
        _ => State::Unclear,
    };
    Some(ids.iter().zip(suspicion).enumerate().map(|(i, (&id, &s))| (id, (s, state(i)))).collect())
}

/// P(given = j | true = i), (K, K), from [given][true]. A class to which nothing is estimated to belong is given as
/// it is.
fn transition(given_true: &[Vec<f32>], classes: usize) -> Option<Array2<f32>> {
    let fits = given_true.len() == classes && given_true.iter().all(|row| row.len() == classes);
    if !fits {
        return None;
    }
    let mut t = Array2::from_shape_fn((classes, classes), |(i, j)| given_true[j][i]);
    for (i, mut row) in t.rows_mut().into_iter().enumerate() {
        let sum = row.sum();
        if sum > 0.0 {
            row /= sum;
        } else {
            row[i] = 1.0;
        }
    }
    Some(t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_noise_matrix_is_turned_and_empty_classes_stay_themselves() {
        let given_true = [vec![0.8, 0.5, 0.0], vec![0.2, 0.5, 0.0], vec![0.0, 0.0, 0.0]];
        let t = transition(&given_true, 3).unwrap();
        assert_eq!(t, array![[0.8f32, 0.2, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]);
        assert!(transition(&given_true, 4).is_none() && transition(&given_true[..2], 3).is_none());
    }
}
