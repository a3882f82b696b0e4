//! The models of a training as ONNX files, each run and compared with what it was made of.

use std::path::Path;

use ndarray::Array2;
use serde_json::json;

use super::material::Material;
use super::model::Member;
use super::school::{Graduates, School};
use crate::encode::{Runtime, TrainedModel};
use crate::jobs::JobError;
use crate::jobs::inputs::PORTS;
use crate::train::linear::argmax_rows;

/// Held-out rows on which an exported model is compared with the trained one.
const COMPARED: usize = 1000;

/// The exported files beside the models they were made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parity {
    pub(super) n: usize,
    pub(super) max_difference: f32,
    pub(super) same_argmax: bool,
}

/// Runs an exported file in ONNX Runtime on the first 1,000 of `rows`, whose probabilities by the model itself are
/// `expected`.
pub(super) fn parity(
    dylib: &Path,
    file: &[u8],
    member: &Member,
    material: &Material,
    rows: &[usize],
    expected: &Array2<f32>,
    scratch: &Path,
) -> Result<Parity, JobError> {
    let failed = |e: crate::encode::EncodeError| JobError::broke("doing.onnx", e);
    let n = rows.len().min(COMPARED);
    let runtime = Runtime::load(dylib, 1, &[]).map_err(failed)?;
    let model = TrainedModel::load(&runtime, file, PORTS).map_err(failed)?;
    let inputs = material.inputs(&member.recipe, &rows[..n], scratch)?;
    let all: Vec<usize> = (0..n).collect();
    let got = inputs.run(&model, &all)?;
    let expected = expected.slice(ndarray::s![..n, ..]);
    let max_difference = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    Ok(Parity { n, max_difference, same_argmax: argmax_rows(got.view()) == argmax_rows(expected) })
}

/// The files of the members, and how far each is from its member.
pub(super) fn exported(
    g: &Graduates,
    school: &School<'_>,
    about: &[(String, String)],
    dylib: Option<&Path>,
    scratch: &Path,
) -> Result<(Vec<Vec<u8>>, Option<Parity>), JobError> {
    let mut files = Vec::new();
    let mut all: Option<Parity> = None;
    for (i, member) in g.members.iter().enumerate() {
        let mut about = about.to_vec();
        if g.members.len() > 1 {
            let place = json!({"member": i, "of": g.members.len(), "weight": g.weights[i]});
            about.push(("ensemble".to_owned(), place.to_string()));
        }
        let file = member.onnx(school.material, &about)?;
        if let Some(dylib) = dylib {
            let (rows, expected) = (&school.rows.held, &g.held[i]);
            let p = parity(dylib, &file, member, school.material, rows, expected, scratch)?;
            all = Some(match all {
                None => p,
                Some(a) => Parity {
                    n: a.n.min(p.n),
                    max_difference: a.max_difference.max(p.max_difference),
                    same_argmax: a.same_argmax && p.same_argmax,
                },
            });
        }
        files.push(file);
    }
    Ok((files, all))
}
