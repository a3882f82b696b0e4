//! One model from one recipe: fitted, asked, exported, and the exported file compared with it.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};
use serde_json::json;
use tamis_deep::{Data, FitError, Fitted, Hooks, Targets, Task, Weights};

use super::material::{Material, is_sequence};
use crate::jobs::JobError;
use crate::jobs::progress::Progress;
use crate::train::recipe::{Family, LossKind};
use crate::train::{
    LinearHead, LinearParams, Recipe, TrainError, fit_fold_path, grid_for_fold, onnx, select,
    stratified_folds,
};

/// Rows asked at once: bounds what is copied of the material.
const ASKED: usize = 4096;

/// What the rows should be recognised as.
pub(super) enum Aims<'a> {
    Labels(&'a [usize]),
    /// (rows, K)
    Soft(&'a Array2<f32>),
}

/// The classes, in columns.
#[derive(Clone, Debug)]
pub(in crate::jobs) struct Classes {
    pub(in crate::jobs) ids: Vec<String>,
    /// The level-1 node of each, as its place in `nodes`.
    pub(in crate::jobs) roots: Vec<usize>,
    pub(in crate::jobs) nodes: Vec<String>,
}

/// A fitted model and the recipe that it was fitted by, without what the data do not have.
pub(super) struct Member {
    pub(super) recipe: Recipe,
    model: Model,
}

enum Model {
    Head { head: LinearHead, c: f32 },
    Network { fitted: Box<Fitted>, classes: usize },
}

/// Rows to learn from, and rows that stop a network.
pub(super) struct Lesson<'a> {
    pub(super) rows: &'a [usize],
    pub(super) aims: Aims<'a>,
    pub(super) valid: &'a [usize],
    pub(super) valid_y: &'a [usize],
    /// For pretraining.
    pub(super) unlabelled: &'a [usize],
    /// Weights to go on from.
    pub(super) start: Option<&'a Weights>,
}

fn failed(e: TrainError) -> JobError {
    JobError::broke("stage.train", e)
}

fn task(material: &Material, recipe: &Recipe, classes: &Classes) -> Task {
    let vocabulary = material.reads(recipe).map_or(0, |r| r.vocabulary.size());
    let dense: usize =
        if is_sequence(recipe) { 0 } else { material.blocks(recipe).iter().map(|b| b.dimension).sum() };
    Task {
        roots: classes.roots.clone(),
        dense_dim: dense,
        frame_dim: material.frame_dim(),
        vocabulary,
        noise: material.evidence.noise.clone().filter(|_| recipe.loss.kind == LossKind::Forward),
    }
}

/// About how many bytes fitting a recipe on `rows` rows holds beyond the material.
pub(super) fn memory_needed(material: &Material, recipe: &Recipe, classes: &Classes, rows: usize) -> u64 {
    let width: usize = material.blocks(recipe).iter().map(|b| b.dimension).sum();
    let copied = if is_sequence(recipe) { 0 } else { 4 * (rows * width) as u64 };
    match recipe.network.family {
        // the standardised copy, and the folds' own rows
        Family::Logistic => 3 * copied + 16 * (width * classes.ids.len()) as u64,
        _ => copied + tamis_deep::memory_needed(recipe, &task(material, recipe, classes), rows),
    }
}

impl Member {
    /// Fits the recipe. A logistic head tells its folds to `progress`, a network its epochs to `hooks`.
    ///
    /// # Errors
    /// Cancelled; a recipe that needs what the data do not have; a loss that is no number.
    pub(super) fn fit(
        material: &Material,
        recipe: &Recipe,
        classes: &Classes,
        lesson: &Lesson<'_>,
        progress: &Progress,
        hooks: &mut dyn Hooks,
    ) -> Result<Self, JobError> {
        let recipe = material.fitting(recipe);
        let model = match recipe.network.family {
            Family::Logistic => head(material, &recipe, classes, lesson, progress)?,
            _ => network(material, &recipe, classes, lesson, progress, hooks)?,
        };
        Ok(Self { recipe, model })
    }

    /// Probabilities of `rows`, (rows, K).
    pub(super) fn probabilities(&self, material: &Material, rows: &[usize]) -> Result<Array2<f32>, JobError> {
        let mut all: Option<Array2<f32>> = None;
        for part in rows.chunks(ASKED) {
            let p = match &self.model {
                Model::Head { head, .. } => {
                    head.predict_proba(material.pooled_rows(&self.recipe, part).view())
                }
                Model::Network { fitted, .. } => {
                    let nothing = vec![0; part.len()];
                    let chosen = material.chosen(&self.recipe, part);
                    fitted
                        .probabilities(&chosen.examples(Targets::Hard(&nothing)))
                        .map_err(|e| JobError::broke("stage.train", e))?
                }
            };
            match &mut all {
                None => all = Some(p),
                Some(all) => all.append(Axis(0), p.view()).map_err(|e| JobError::broke("stage.train", e))?,
            }
        }
        Ok(all.unwrap_or_else(|| Array2::zeros((0, self.n_classes()))))
    }

    fn n_classes(&self) -> usize {
        match &self.model {
            Model::Head { head, .. } => head.n_classes(),
            Model::Network { classes, .. } => *classes,
        }
    }

    /// The C that a logistic head's cross-validation chose.
    pub(super) fn c(&self) -> Option<f32> {
        match self.model {
            Model::Head { c, .. } => Some(c),
            Model::Network { .. } => None,
        }
    }

    pub(super) fn weights(&self) -> Option<&Weights> {
        match &self.model {
            Model::Head { .. } => None,
            Model::Network { fitted, .. } => Some(fitted.weights()),
        }
    }

    /// What the recipe is called on pages and in curves: family and seed.
    pub(super) fn name(recipe: &Recipe) -> String {
        let family = serde_json::to_value(recipe.network.family).unwrap_or_default();
        format!("{} {}", family.as_str().unwrap_or_default(), recipe.seeds[0])
    }

    /// The model as an ONNX file; its metadata say what it reads, beside `about`.
    pub(super) fn onnx(&self, material: &Material, about: &[(String, String)]) -> Result<Vec<u8>, JobError> {
        let mut metadata = about.to_vec();
        metadata.push(("recipe".to_owned(), self.recipe.to_toml()));
        metadata.push(("input".to_owned(), json!(material.blocks(&self.recipe)).to_string()));
        if let Some(reads) = material.reads(&self.recipe) {
            metadata.push(("text".to_owned(), json!(**reads).to_string()));
        }
        let fitted = match &self.model {
            Model::Head { head, .. } => return Ok(onnx::write(head, &metadata)),
            Model::Network { fitted, .. } => fitted,
        };
        let net = &self.recipe.network;
        let (family, layers) = match net.family {
            Family::Single => (onnx::Family::Single, net.layers),
            Family::Dual => (onnx::Family::Dual, net.layers),
            Family::Mlp => (onnx::Family::Dense, net.layers),
            Family::Linear | Family::Logistic => (onnx::Family::Dense, 0),
        };
        let weights: BTreeMap<&str, onnx::Weight<'_>> = fitted
            .weights()
            .iter()
            .map(|(name, w)| (name.as_str(), onnx::Weight { shape: &w.shape, values: &w.values }))
            .collect();
        let network = onnx::Network { family, layers, heads: net.heads, weights };
        onnx::write_network(&network, &metadata).map_err(|e| JobError::broke("doing.onnx", e))
    }
}

/// C by cross-validation on the rows, then one fit on all of them.
fn head(
    material: &Material,
    recipe: &Recipe,
    classes: &Classes,
    lesson: &Lesson<'_>,
    progress: &Progress,
) -> Result<Model, JobError> {
    let Aims::Labels(y) = lesson.aims else {
        return Err(JobError::failed("needs_soft", &[]));
    };
    let (x, k) = (material.pooled_rows(recipe, lesson.rows), classes.ids.len());
    let params = recipe.linear_params();
    let go_on = |_: usize| progress.go_on();
    let c = if let [c] = recipe.logistic.c[..] {
        c
    } else {
        let folds = stratified_folds(y, k, recipe.folds, None, recipe.seeds[0]);
        let mut paths = Vec::with_capacity(recipe.folds);
        for fold in 0..recipe.folds {
            let grid = grid_for_fold(&paths, &recipe.logistic.c);
            let params = LinearParams { tolerance: LinearParams::for_folds().tolerance, ..params };
            let path = fit_fold_path(x.view(), y, k, &folds, fold, &grid, &params, &go_on);
            progress.check()?;
            paths.push(path.map_err(failed)?);
            progress.add(1);
        }
        select(&paths, k).map_err(failed)?.c
    };
    let head = LinearHead::fit(x.view(), y, k, None, &params.with_c(c, y.len()), &go_on);
    progress.check()?;
    let head = head.map_err(failed)?;
    progress.add(1);
    Ok(Model::Head { head, c })
}

fn network(
    material: &Material,
    recipe: &Recipe,
    classes: &Classes,
    lesson: &Lesson<'_>,
    progress: &Progress,
    hooks: &mut dyn Hooks,
) -> Result<Model, JobError> {
    let hard = |y: &[usize]| y.iter().map(|&c| c as u32).collect::<Vec<u32>>();
    let (valid_y, none) = (hard(lesson.valid_y), vec![0u32; lesson.unlabelled.len()]);
    let train = material.chosen(recipe, lesson.rows);
    let valid = material.chosen(recipe, lesson.valid);
    let more = (recipe.auxiliary.pretrain_epochs > 0 && !lesson.unlabelled.is_empty())
        .then(|| material.chosen(recipe, lesson.unlabelled));
    let y = match lesson.aims {
        Aims::Labels(y) => hard(y),
        Aims::Soft(_) => Vec::new(),
    };
    let targets = match &lesson.aims {
        Aims::Labels(_) => Targets::Hard(&y),
        Aims::Soft(p) => Targets::Soft(p.view()),
    };
    // a training that goes on has them
    let tokens = if lesson.start.is_some() { None } else { material.first_tokens(recipe) };
    let data = Data {
        train: train.examples(targets),
        valid: valid.examples(Targets::Hard(&valid_y)),
        unlabelled: more.as_ref().map(|m| m.examples(Targets::Hard(&none))),
        start: lesson.start,
        token_vectors: tokens.as_ref().map(|t| t.view()),
    };
    let task = task(material, recipe, classes);
    match tamis_deep::fit(recipe, &task, &data, hooks) {
        Ok(fitted) => Ok(Model::Network { fitted: Box::new(fitted), classes: classes.ids.len() }),
        Err(FitError::Cancelled) => {
            progress.check()?;
            Err(JobError::Cancelled)
        }
        Err(FitError::Missing(what)) => Err(JobError::failed("recipe_needs", &[("what", &what)])),
        Err(e) => Err(JobError::broke("stage.train", e)),
    }
}
