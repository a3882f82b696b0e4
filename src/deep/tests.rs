//! Whole trainings on small made-up sets.

mod learning;
mod parity;
mod sequences;

use ndarray::Array2;
use rand::Rng;
use tamis_core::arrays::{gaussian_matrix, rng};
use tamis_core::train::Recipe;
use tamis_core::train::linear::argmax_rows;
use tamis_core::train::text::Tokens;

use crate::{Curve, Data, Examples, FitError, Fitted, FrameSource, Hooks, Targets, Task, fit};

/// Frames in memory.
pub(crate) struct Clips(pub(crate) Vec<Vec<f32>>);

impl FrameSource for Clips {
    fn load(&self, row: usize, out: &mut Vec<f32>) -> Result<(), String> {
        out.extend(self.0.get(row).ok_or("no such row")?);
        Ok(())
    }
}

/// Keeps what it is told; cancels before epoch `until`.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) curves: Vec<Curve>,
    pub(crate) kept: Option<Vec<u8>>,
    pub(crate) until: Option<usize>,
}

impl Hooks for Notes {
    fn epoch_done(&mut self, curve: &Curve) {
        self.curves.push(curve.clone());
    }
    fn checkpoint(&mut self, bytes: Vec<u8>) {
        self.kept = Some(bytes);
    }
    fn last_checkpoint(&mut self) -> Option<Vec<u8>> {
        self.kept.clone()
    }
    fn cancelled(&self) -> bool {
        self.until.is_some_and(|until| self.curves.len() >= until)
    }
}

/// A set of `n` samples of `k` classes with everything that a network reads.
pub(crate) struct Set {
    pub(crate) y: Vec<u32>,
    pub(crate) dense: Array2<f32>,
    pub(crate) clips: Clips,
    pub(crate) tokens: Vec<Tokens>,
    pub(crate) task: Task,
}

pub(crate) const DIM: usize = 12;
pub(crate) const VOCABULARY: usize = 40;

/// Class centres plus noise in vectors and frames (0 to 6 of them), and a word of the class among random ones
/// in the title, where there is one. The same `world` gives the same centres.
pub(crate) fn set(n: usize, k: usize, noise: f32, world: u64, seed: u64) -> Set {
    let centres = gaussian_matrix(k, DIM, &mut rng(world));
    let mut r = rng(seed);
    let y: Vec<u32> = (0..n).map(|i| (i % k) as u32).collect();
    let around = |c: u32, r: &mut _| {
        let jitter = gaussian_matrix(1, DIM, r);
        (0..DIM).map(|d| centres[[c as usize, d]] + noise * jitter[[0, d]]).collect::<Vec<f32>>()
    };
    let mut dense = Array2::zeros((n, DIM));
    let (mut clips, mut tokens) = (Vec::new(), Vec::new());
    for (i, &c) in y.iter().enumerate() {
        dense.row_mut(i).assign(&ndarray::Array1::from(around(c, &mut r)));
        // every sample has frames or a title
        let frames = if i % 5 == 4 { 0 } else { r.gen_range(1..6) };
        clips.push((0..frames).flat_map(|_| around(c, &mut r)).collect());
        let mut t = Tokens::default();
        if i % 5 != 3 {
            for j in 0..r.gen_range(1..4) {
                t.ids.push(if j == 0 { 6 + c } else { r.gen_range(20..VOCABULARY as u32) });
                t.kinds.push(0);
            }
            t.ids.push(r.gen_range(20..VOCABULARY as u32));
            t.kinds.push(2);
        }
        tokens.push(t);
    }
    let task = Task {
        roots: (0..k).map(|c| c / 2).collect(),
        dense_dim: DIM,
        frame_dim: DIM,
        vocabulary: VOCABULARY,
        noise: None,
    };
    Set { y, dense, clips: Clips(clips), tokens, task }
}

impl Set {
    pub(crate) fn examples(&self) -> Examples<'_> {
        self.with(&self.y)
    }

    pub(crate) fn with<'a>(&'a self, y: &'a [u32]) -> Examples<'a> {
        Examples {
            frames: Some(&self.clips),
            dense: Some(self.dense.view()),
            tokens: Some(&self.tokens),
            targets: Targets::Hard(y),
            weights: None,
            states: None,
        }
    }

    /// Nothing to stop by.
    pub(crate) fn alone(&self) -> Data<'_> {
        Data {
            train: self.examples(),
            valid: self.with(&[]),
            unlabelled: None,
            start: None,
            token_vectors: None,
        }
    }
}

/// Share of samples recognised.
pub(crate) fn accuracy(fitted: &Fitted, set: &Set) -> f64 {
    let got = argmax_rows(fitted.probabilities(&set.examples()).unwrap().view());
    let right = got.iter().zip(&set.y).filter(|(g, y)| **g == **y as usize).count();
    right as f64 / set.y.len() as f64
}

pub(crate) fn recipe(text: &str) -> Recipe {
    Recipe::parse(text).unwrap()
}

/// A small recipe of each family.
pub(crate) fn families() -> [Recipe; 4] {
    let sequence = "dim = 16\nheads = 2\nlayers = 1\nhidden = 32\ndropout = 0\n[frames]\ncount = 3\n[text]\ntitle = 4\nasr = 0\nocr = 2\n\
                    [optimise]\nepochs = 60\nbatch = 16\nlearning_rate = 0.005";
    [
        recipe(
            "[network]\nfamily = \"linear\"\ndropout = 0\n[optimise]\nepochs = 60\nbatch = 16\nlearning_rate = 0.02",
        ),
        recipe(
            "[network]\nfamily = \"mlp\"\nhidden = 32\ndropout = 0\n[optimise]\nepochs = 60\nbatch = 16\nlearning_rate = 0.01",
        ),
        recipe(&format!("[network]\nfamily = \"single\"\n{sequence}")),
        recipe(&format!("[network]\nfamily = \"dual\"\n{sequence}")),
    ]
}

#[test]
fn what_the_recipe_cannot_read_is_refused() {
    let s = set(8, 4, 0.1, 1, 2);
    let run =
        |recipe: &Recipe, data: &Data<'_>, task: &Task| fit(recipe, task, data, &mut Notes::default()).err();
    let [linear, _, single, _] = families();
    assert!(matches!(run(&Recipe::default(), &s.alone(), &s.task), Some(FitError::NotOneNetwork)));
    assert!(matches!(
        run(&Recipe::preset("winner").unwrap(), &s.alone(), &s.task),
        Some(FitError::NotOneNetwork)
    ));
    let y = vec![0, 1, 2, 3, 0, 1, 2, 9];
    let data = Data { train: s.with(&y), ..s.alone() };
    assert!(matches!(run(&linear, &data, &s.task), Some(FitError::Range { what: "class", row: 7 })));
    let data = Data { train: Examples { dense: None, ..s.examples() }, ..s.alone() };
    assert!(matches!(run(&linear, &data, &s.task), Some(FitError::Missing("pooled vectors"))));
    let data = Data { train: Examples { tokens: None, ..s.examples() }, ..s.alone() };
    assert!(matches!(run(&single, &data, &s.task), Some(FitError::Missing("tokens"))));
    let small = Task { vocabulary: 7, ..s.task.clone() };
    assert!(matches!(run(&single, &s.alone(), &small), Some(FitError::Range { what: "token", .. })));
    let mut forward = linear.clone();
    forward.loss.kind = tamis_core::train::recipe::LossKind::Forward;
    assert!(matches!(run(&forward, &s.alone(), &s.task), Some(FitError::Missing(_))));
    let short = Clips(vec![vec![0.0; DIM + 1]; 8]);
    let data = Data { train: Examples { frames: Some(&short), ..s.examples() }, ..s.alone() };
    assert!(matches!(run(&single, &data, &s.task), Some(FitError::Frames { .. })));
    let mut wild = linear.clone();
    wild.optimise.learning_rate = f32::MAX;
    assert!(matches!(run(&wild, &s.alone(), &s.task), Some(FitError::Diverged { .. })));
}

#[test]
fn memory_grows_with_what_is_held() {
    let s = set(8, 4, 0.1, 1, 2);
    let [_, mlp, single, dual] = families();
    let of = |r: &Recipe, rows| crate::memory_needed(r, &s.task, rows);
    assert_eq!(of(&mlp, 1_000), of(&mlp, 1_000_000), "rows are borrowed");
    let mut elr = mlp.clone();
    elr.loss.kind = tamis_core::train::recipe::LossKind::Elr;
    assert_eq!(of(&elr, 1_000_000) - of(&mlp, 1_000_000), 4 * 4 * 1_000_000);
    assert!(of(&single, 1_000) > of(&mlp, 1_000) && of(&dual, 1_000) > of(&single, 1_000));
}
