//! What a training begins with: first weights, the inputs' mean and scale, weights of rows, rows of an epoch.

use ndarray::{Array1, ArrayView2};
use rand::Rng as _;
use tamis_core::arrays::rng;
use tamis_core::train::balance::{TIERS, boosts, damped_weights, oversampled};
use tamis_core::train::recipe::{Loss, LossKind, Recipe, TokensFrom};

use super::Trainer;
use crate::FitError;
use crate::data::{Data, Examples, State, Task, is_sequence};
use crate::fitted::Fitted;
use crate::names::{First, Weight, Weights, layout};
use crate::optimiser::AdamW;

/// Rows that the frames' mean and scale are taken from at most, evenly spread.
const MEASURED: usize = 4096;

impl<'a, 'd> Trainer<'a, 'd> {
    pub(super) fn new(recipe: &'a Recipe, task: &'a Task, data: &'a Data<'d>) -> Result<Self, FitError> {
        let n = data.train.rows();
        if n == 0 {
            return Err(FitError::Missing("training rows"));
        }
        data.train.check(recipe, task)?;
        if data.valid.rows() > 0 {
            let plain = Recipe { loss: Loss::default(), ..recipe.clone() };
            data.valid.check(&plain, task)?;
        }
        let k = task.classes();
        match (&task.noise, recipe.loss.kind) {
            (None, LossKind::Forward) => return Err(FitError::Missing("the estimated noise matrix")),
            (Some(t), LossKind::Forward) if t.dim() != (k, k) => {
                return Err(FitError::Shape { what: "rows of the noise matrix", got: t.nrows(), want: k });
            }
            _ => {}
        }
        let weights = match data.start {
            Some(start) => Fitted::from_weights(recipe, task, start.clone())?.weights().clone(),
            None => first_weights(recipe, task, data)?,
        };
        let (labels, counts) = labels(&data.train, k);
        let mut trainer = Self {
            recipe,
            task,
            data,
            shadow: (recipe.regularise.ema > 0.0).then(|| weights.clone()),
            weights,
            adam: AdamW::default(),
            memory: if recipe.loss.kind == LossKind::Elr { vec![0.0; n * k] } else { Vec::new() },
            epoch: 0,
            best: None,
            best_weights: None,
            stale: 0,
            row_weights: row_weights(recipe, &data.train, &labels, &counts)?,
            epoch_rows: epoch_rows(recipe, &labels, &counts),
        };
        if recipe.balance.prior_boost > 0.0 {
            let boost = boosts(&counts, f64::from(recipe.balance.prior_boost));
            let boost = boost.into_iter().map(|f| f as f32).collect();
            trainer.weights.insert("output.boost".into(), Weight { shape: vec![k], values: boost });
            if let Some(shadow) = &mut trainer.shadow {
                shadow.insert("output.boost".into(), trainer.weights["output.boost"].clone());
            }
        }
        Ok(trainer)
    }

    /// What a checkpoint must be of to go on from.
    pub(crate) fn identity(&self) -> String {
        let t = self.task;
        let rest = self.data.unlabelled.as_ref().map_or(0, Examples::rows);
        format!(
            "{}\nrows {} {rest} {}\nwidths {} {} {} {}\nstart {}{}",
            self.recipe.to_toml(),
            self.data.train.rows(),
            self.data.valid.rows(),
            t.classes(),
            t.dense_dim,
            t.frame_dim,
            t.vocabulary,
            self.data.start.is_some(),
            token_mark(self.recipe, self.data),
        )
    }

    pub(super) fn state_of(&self, row: usize) -> State {
        match self.data.train.states {
            Some(states) if self.recipe.loss.kind == LossKind::ThreeState => states[row],
            _ => State::Clean,
        }
    }

    pub(super) fn weight_of(&self, row: usize) -> f32 {
        self.row_weights[row]
    }

    pub(super) fn rows_of_an_epoch(&self, pretraining: bool) -> Vec<usize> {
        if !pretraining {
            return self.epoch_rows.clone();
        }
        let unlabelled = self.data.unlabelled.as_ref().map_or(0, Examples::rows);
        (0..self.data.train.rows() + unlabelled).collect()
    }
}

/// The class of each row, and the rows of each class.
fn labels(train: &Examples<'_>, k: usize) -> (Vec<usize>, Vec<u64>) {
    let labels: Vec<usize> = (0..train.rows()).map(|i| train.targets.class(i)).collect();
    let mut counts = vec![0; k];
    labels.iter().for_each(|&c| counts[c] += 1);
    (labels, counts)
}

/// The scan's weight times the damped weight of the class, scaled to a mean of 1.
fn row_weights(
    recipe: &Recipe,
    train: &Examples<'_>,
    labels: &[usize],
    counts: &[u64],
) -> Result<Vec<f32>, FitError> {
    let given = train.weights.filter(|_| recipe.loss.sample_weights);
    let of_class = damped_weights(counts, f64::from(recipe.balance.damped))?;
    let of = |(i, &c): (usize, &usize)| of_class[c] * given.map_or(1.0, |w| w[i]);
    let mut all: Vec<f32> = labels.iter().enumerate().map(of).collect();
    let mean = all.iter().map(|&w| f64::from(w)).sum::<f64>() / all.len() as f64;
    if mean > 0.0 {
        all.iter_mut().for_each(|w| *w = (f64::from(*w) / mean) as f32);
    }
    Ok(all)
}

/// The rows once each, or as often as their class is to be seen.
fn epoch_rows(recipe: &Recipe, labels: &[usize], counts: &[u64]) -> Vec<usize> {
    if !recipe.balance.oversample {
        return (0..labels.len()).collect();
    }
    oversampled(labels, counts, &TIERS).into_iter().map(|row| row as usize).collect()
}

/// The vectors that the recipe's tokens start as.
fn token_vectors<'a>(recipe: &Recipe, data: &'a Data<'_>) -> Option<&'a ArrayView2<'a, f32>> {
    let read = recipe.text.tokens_from == TokensFrom::Encoder && is_sequence(recipe) && data.start.is_none();
    data.token_vectors.as_ref().filter(|_| read)
}

/// A checkpoint with other first vectors is of another training (FNV-1a of their bits).
fn token_mark(recipe: &Recipe, data: &Data<'_>) -> String {
    let hash = |v: &ArrayView2<'_, f32>| {
        v.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, x| {
            (h ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3)
        })
    };
    token_vectors(recipe, data).map_or_else(String::new, |v| format!("\ntokens {:x}", hash(v)))
}

fn first_weights(recipe: &Recipe, task: &Task, data: &Data<'_>) -> Result<Weights, FitError> {
    let mut rng = rng(recipe.seeds[0]);
    let mut weights = Weights::new();
    for (name, (shape, first)) in layout(recipe, task) {
        let n: usize = shape.iter().product();
        let reach = match first {
            First::Zero | First::One => 0.0,
            First::Glorot => (6.0 / (shape[0] + shape[1]) as f32).sqrt(),
            First::Embedding => 1.0 / (shape[shape.len() - 1] as f32).sqrt(),
        };
        let values = match first {
            First::Zero => vec![0.0; n],
            First::One => vec![1.0; n],
            First::Glorot | First::Embedding => {
                (0..n).map(|_| (rng.r#gen::<f32>() * 2.0 - 1.0) * reach).collect()
            }
        };
        weights.insert(name, Weight { shape, values });
    }
    if let Some(embed) = weights.get_mut("text.embed.weight")
        && recipe.text.tokens_from == TokensFrom::Encoder
    {
        let given = token_vectors(recipe, data).ok_or(FitError::Missing("first vectors of the tokens"))?;
        let width = recipe.network.dim;
        for (what, got, want) in [
            ("rows of the tokens' vectors", given.nrows(), task.vocabulary),
            ("columns of the tokens' vectors", given.ncols(), width),
        ] {
            if got != want {
                return Err(FitError::Shape { what, got, want });
            }
        }
        // drawn before, and drawn still where nothing is known: so all other weights are those without them
        for (row, own) in given.rows().into_iter().zip(embed.values.chunks_exact_mut(width)) {
            if row.iter().any(|v| *v != 0.0) {
                row.iter().zip(own).for_each(|(v, o)| *o = *v);
            }
        }
    }
    if let Some((mean, scale)) = input_scale(recipe, task, &data.train)? {
        weights.get_mut("input.mean").expect("in the layout").values = mean;
        weights.get_mut("input.scale").expect("in the layout").values = scale;
    }
    Ok(weights)
}

/// By column.
type MeanAndScale = (Vec<f32>, Vec<f32>);

/// Mean and inverse deviation of each column of the inputs; 1 where a column does not vary.
fn input_scale(recipe: &Recipe, task: &Task, train: &Examples<'_>) -> Result<Option<MeanAndScale>, FitError> {
    let dim = if is_sequence(recipe) { task.frame_dim } else { task.dense_dim };
    let (mut n, mut sum, mut squares) = (0_u64, Array1::<f64>::zeros(dim), Array1::<f64>::zeros(dim));
    let mut add = |row: &[f32]| {
        n += 1;
        for ((v, s), q) in row.iter().zip(&mut sum).zip(&mut squares) {
            *s += f64::from(*v);
            *q += f64::from(*v).powi(2);
        }
    };
    match (is_sequence(recipe), train.frames, train.dense) {
        (false, _, Some(dense)) => dense.rows().into_iter().for_each(|r| add(&r.to_vec())),
        (true, Some(source), _) if recipe.frames.count > 0 => {
            let mut frames = Vec::new();
            for row in (0..train.rows()).step_by(train.rows().div_ceil(MEASURED)) {
                frames.clear();
                source.load(row, &mut frames).map_err(|why| FitError::Frames { row, why })?;
                frames.chunks_exact(dim).for_each(&mut add);
            }
        }
        _ => return Ok(None),
    }
    let n = n.max(1) as f64;
    let mean: Vec<f32> = sum.iter().map(|s| (s / n) as f32).collect();
    let scale = sum
        .iter()
        .zip(&squares)
        .map(|(s, q)| {
            let deviation = (q / n - (s / n).powi(2)).max(0.0).sqrt();
            if deviation > 1e-6 { (1.0 / deviation) as f32 } else { 1.0 }
        })
        .collect();
    Ok(Some((mean, scale)))
}
