//! Where a training stands, as bytes: a JSON header of known length, then all arrays as 32-bit floats, little
//! endian, in order of their names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::FitError;
use crate::fit::Trainer;
use crate::names::Weights;
use crate::optimiser::Gradients;

#[derive(Serialize, Deserialize)]
struct Header {
    /// What it belongs to.
    of: String,
    epoch: usize,
    steps: u64,
    best: Option<(f64, f32)>,
    stale: usize,
    arrays: Vec<(String, usize)>,
}

/// The arrays of a trainer by name, each group with a prefix.
fn arrays<'t>(t: &'t Trainer<'_, '_>) -> BTreeMap<String, &'t Vec<f32>> {
    let mut all = BTreeMap::new();
    for (group, w) in
        [("weights", Some(&t.weights)), ("shadow", t.shadow.as_ref()), ("best", t.best_weights.as_ref())]
    {
        for (name, w) in w.into_iter().flatten() {
            all.insert(format!("{group}/{name}"), &w.values);
        }
    }
    for (group, g) in [("first", &t.adam.first), ("second", &t.adam.second)] {
        for (name, v) in g {
            all.insert(format!("{group}/{name}"), v);
        }
    }
    all.insert("memory".into(), &t.memory);
    all
}

pub(crate) fn write(t: &Trainer<'_, '_>) -> Vec<u8> {
    let arrays = arrays(t);
    let header = Header {
        of: t.identity(),
        epoch: t.epoch,
        steps: t.adam.steps,
        best: t.best,
        stale: t.stale,
        arrays: arrays.iter().map(|(name, v)| (name.clone(), v.len())).collect(),
    };
    let header = serde_json::to_vec(&header).expect("numbers and strings");
    let floats: usize = arrays.values().map(|v| v.len()).sum();
    let mut out = Vec::with_capacity(8 + header.len() + 4 * floats);
    out.extend((header.len() as u64).to_le_bytes());
    out.extend(header);
    for v in arrays.values().flat_map(|v| v.iter()) {
        out.extend(v.to_le_bytes());
    }
    out
}

/// Puts a trainer where the checkpoint was written.
pub(crate) fn read(t: &mut Trainer<'_, '_>, bytes: &[u8]) -> Result<(), FitError> {
    let (header, mut values) = split(bytes).ok_or(FitError::Checkpoint)?;
    let floats: usize = header.arrays.iter().map(|a| a.1).sum();
    if header.of != t.identity() || values.len() != 4 * floats {
        return Err(FitError::Checkpoint);
    }
    let mut groups = BTreeMap::<String, Gradients>::new();
    for (name, len) in &header.arrays {
        let (these, rest) = values.split_at(4 * len);
        values = rest;
        let floats = these.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let (group, name) = name.split_once('/').unwrap_or((name, ""));
        groups.entry(group.to_owned()).or_default().insert(name.to_owned(), floats);
    }
    let mut fill = |group: &str| -> Result<Weights, FitError> {
        let mut from = groups.remove(group).ok_or(FitError::Checkpoint)?;
        let mut weights = t.weights.clone();
        for (name, w) in &mut weights {
            let values =
                from.remove(name).filter(|v| v.len() == w.values.len()).ok_or(FitError::Checkpoint)?;
            w.values = values;
        }
        Ok(weights)
    };
    let weights = fill("weights")?;
    let shadow = t.shadow.is_some().then(|| fill("shadow")).transpose()?;
    let best_weights = header.best.is_some().then(|| fill("best")).transpose()?;
    (t.weights, t.shadow, t.best_weights) = (weights, shadow, best_weights);
    t.adam.first = groups.remove("first").unwrap_or_default();
    t.adam.second = groups.remove("second").unwrap_or_default();
    t.memory = groups.remove("memory").and_then(|mut g| g.remove("")).unwrap_or_default();
    (t.epoch, t.adam.steps, t.best, t.stale) = (header.epoch, header.steps, header.best, header.stale);
    Ok(())
}

fn split(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
    let header = serde_json::from_slice(rest.get(..len)?).ok()?;
    Some((header, &rest[len..]))
}
