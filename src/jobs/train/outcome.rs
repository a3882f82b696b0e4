//! What a training's figures are: the average of its models on what is held out, on the verified samples and the
//! others apart, and what happened on the way.

use std::collections::{HashMap, HashSet};

use ndarray::{Array2, ArrayView2};
use serde_json::{Value, json};

use super::Ground;
use super::files::Parity;
use super::model::{Classes, Member};
use super::school::Graduates;
use super::split::{Known, Rows};
use crate::jobs::JobError;
use crate::jobs::judge::{Answers, Judged, Knowledge, judge};
use crate::jobs::ledger::HeldOut;
use crate::train::ensemble::blend;
use crate::train::linear::argmax_rows;
use crate::train::{Metrics, evaluate};

/// What is held out, what the models say of it, and the figures as the training keeps them.
pub(super) struct Outcome {
    pub(super) judged: Judged,
    pub(super) held: HeldOut,
    pub(super) metrics: Value,
}

/// The challenge's score and its parts on some of the held-out samples.
fn scores(m: &Metrics) -> Value {
    json!({"mean_f1": m.mean_f1, "l1_micro_f1": m.l1_micro_f1, "l1_macro_f1": m.l1_macro_f1,
        "l2_micro_f1": m.l2_micro_f1, "l2_macro_f1": m.l2_macro_f1, "n": m.n})
}

/// The challenge's score of the average of the models on what is held out.
pub(super) fn mean_f1(g: &Graduates, rows: &Rows, y: &[usize], classes: &Classes) -> Result<f64, JobError> {
    let truth: Vec<usize> = rows.held.iter().map(|&i| y[i]).collect();
    let predicted = argmax_rows(mean(g)?.view());
    Ok(evaluate(&truth, &predicted, &classes.roots, classes.ids.len()).mean_f1)
}

fn mean(g: &Graduates) -> Result<Array2<f32>, JobError> {
    let views: Vec<ArrayView2<'_, f32>> = g.held.iter().map(|p| p.view()).collect();
    blend(&views, &g.weights).map_err(|e| JobError::broke("stage.train", e))
}

/// Samples without near-duplicates are groups of their own, numbered behind the others.
fn group(known: &Known, row: usize) -> u32 {
    known.group[row].unwrap_or_else(|| (known.group.len() + row) as u32)
}

/// Which held-out rows have a near-duplicate elsewhere whose label is another.
fn across(rows: &Rows, y: &[usize], known: &Known) -> Vec<bool> {
    let held: HashSet<usize> = rows.held.iter().copied().collect();
    let mut elsewhere = HashMap::<u32, HashSet<usize>>::new();
    for (row, &class) in y.iter().enumerate().filter(|(row, _)| !held.contains(row)) {
        if let Some(g) = known.group[row] {
            elsewhere.entry(g).or_default().insert(class);
        }
    }
    let other = |row: &usize| {
        let labels = known.group[*row].and_then(|g| elsewhere.get(&g));
        labels.is_some_and(|l| l.iter().any(|class| *class != y[*row]))
    };
    rows.held.iter().map(other).collect()
}

fn support(rows: &Rows, y: &[usize], k: usize) -> Vec<u64> {
    let mut counts = vec![0; k];
    rows.train.iter().for_each(|&i| counts[y[i]] += 1);
    counts
}

pub(super) fn of(
    g: &Graduates,
    ground: &Ground,
    parity: Option<Parity>,
    scanned: &Knowledge,
) -> Result<Outcome, JobError> {
    let Ground { rows, known, classes, labelled, .. } = ground;
    let y = &labelled.y;
    let failed = |e: &dyn std::fmt::Display| JobError::broke("stage.train", e);
    let mean = mean(g)?;
    let (k, roots) = (classes.ids.len(), &classes.roots);
    let truth: Vec<usize> = rows.held.iter().map(|&i| y[i]).collect();
    let predicted = argmax_rows(mean.view());
    let all = evaluate(&truth, &predicted, roots, k);
    let part = |verified: bool| {
        let of = |all: &[usize]| -> Vec<usize> {
            let kept = rows.held.iter().zip(all).filter(|(row, _)| known.verified[**row] == verified);
            kept.map(|(_, class)| *class).collect()
        };
        scores(&evaluate(&of(&truth), &of(&predicted), roots, k))
    };
    let members: Vec<Value> = g
        .members
        .iter()
        .zip(&g.weights)
        .zip(&g.held)
        .map(|((m, weight), p)| {
            let own = evaluate(&truth, &argmax_rows(p.view()), roots, k);
            json!({"name": Member::name(&m.recipe), "weight": weight, "mean_f1": own.mean_f1})
        })
        .collect();
    let held: Vec<i64> = rows.held.iter().map(|&i| labelled.ids[i]).collect();
    let answers = Answers {
        ids: &held,
        truth: &truth,
        probabilities: mean,
        verified: rows.held.iter().map(|&i| known.verified[i]).collect(),
        groups: rows.held.iter().map(|&i| group(known, i)).collect(),
        duplicate_across_split: across(rows, y, known),
        metrics: &all,
        classes: &classes.ids,
        roots,
        nodes: &classes.nodes,
        support: support(rows, y, k),
    };
    let judged = judge(&answers, scanned).map_err(|e| failed(&e))?;
    let mut metrics = serde_json::to_value(&all).map_err(|e| failed(&e))?;
    if let Some(m) = metrics.as_object_mut() {
        m.insert("n_train".into(), json!(rows.train.len()));
        m.insert("n_validation".into(), json!(rows.valid.len()));
        m.insert("n_pseudo_labels".into(), json!(g.pseudo_labels));
        m.insert("n_left_out".into(), json!(rows.left_out));
        m.insert("held_out".into(), json!(rows.how));
        m.insert("verified".into(), part(true));
        m.insert("unverified".into(), part(false));
        m.insert("c".into(), json!(g.members.first().and_then(Member::c)));
        m.insert("members".into(), json!(members));
        m.insert("diversity".into(), g.diversity.clone());
        m.insert("stages".into(), json!(g.stages));
        m.insert("onnx_max_difference".into(), json!(parity.map(|p| p.max_difference)));
        m.insert("onnx_same_argmax".into(), json!(parity.map(|p| p.same_argmax)));
        m.insert("onnx_compared".into(), json!(parity.map(|p| p.n)));
        m.insert("classes".into(), json!(classes.ids));
    }
    Ok(Outcome { judged, held: HeldOut { ids: held, truth, predicted }, metrics })
}
