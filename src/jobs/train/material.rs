//! Everything that the models of a training read, loaded once for all of them: pooled vectors in memory, frame
//! vectors in a scratch file, texts as tokens.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Axis};
use tamis_deep::{Examples, FrameSource, State, Targets};
use uuid::Uuid;

use super::token_vectors;
use crate::exchange::frame_file::{FrameFile, FrameFileWriter};
use crate::jobs::inputs::{self, Inputs, TextReads};
use crate::jobs::progress::Progress;
use crate::jobs::vectors::{self, Block, Features};
use crate::jobs::{JobError, Services};
use crate::train::recipe::{Family, TokensFrom};
use crate::train::text::{Tokens, start_vectors};
use crate::train::{Budget, Recipe, Unit};

/// Rows are samples in the order of `ids`.
pub(super) struct Material {
    pub(super) ids: Vec<i64>,
    pub(super) pooled: Features,
    frames: Option<(Block, FrameFile)>,
    texts: Vec<Text>,
    /// Of the vocabulary of each unit that starts from them, see `token_vectors`.
    token_vectors: Vec<(Unit, Array2<f32>)>,
    pub(super) evidence: Evidence,
}

/// What the latest scan says of each row; read by recipes that weigh samples or trust them less.
#[derive(Default)]
pub(super) struct Evidence {
    pub(super) weights: Option<Vec<f32>>,
    pub(super) states: Option<Vec<State>>,
    /// P(given = j | true = i), (K, K).
    pub(super) noise: Option<Array2<f32>>,
}

struct Text {
    unit: Unit,
    reads: Arc<TextReads>,
    tokens: Vec<Tokens>,
}

/// Whether a recipe reads frames and tokens rather than pooled vectors.
pub(super) fn is_sequence(recipe: &Recipe) -> bool {
    matches!(recipe.network.family, Family::Single | Family::Dual)
}

pub(super) fn budget(recipe: &Recipe) -> Budget {
    Budget { title: recipe.text.title, asr: recipe.text.asr, ocr: recipe.text.ocr }
}

impl Material {
    /// Loads what `recipes` read of `ids` beside their pooled vectors. `seen`: whose texts the vocabularies are made of. Frame vectors wait in
    /// `scratch`.
    pub(super) async fn load(
        services: &Services,
        dataset: Uuid,
        ids: Vec<i64>,
        pooled: Features,
        seen: &[i64],
        recipes: &[&Recipe],
        scratch: &Path,
    ) -> Result<Self, JobError> {
        let mut frames = None;
        if recipes.iter().any(|r| is_sequence(r) && r.frames.count > 0)
            && let Some(block) = vectors::frame_block(services, dataset).await?
        {
            let file = inputs::frame_vectors(services, dataset, &ids, &block, scratch).await?;
            frames = Some((block, file));
        }
        let mut texts: Vec<Text> = Vec::new();
        for recipe in recipes.iter().filter(|r| is_sequence(r)) {
            let (unit, budget) = (recipe.text.unit, budget(recipe));
            if budget.total() == 0 || texts.iter().any(|t| t.unit == unit && t.reads.budget == budget) {
                continue;
            }
            let vocabulary = match texts.iter().find(|t| t.unit == unit) {
                Some(same) => same.reads.vocabulary.clone(),
                None => inputs::vocabulary(services, dataset, seen, unit).await?,
            };
            let reads = Arc::new(TextReads { budget, vocabulary });
            let tokens = inputs::tokens(services, dataset, &ids, &reads).await?;
            texts.push(Text { unit, reads, tokens });
        }
        Ok(Self { ids, pooled, frames, texts, token_vectors: Vec::new(), evidence: Evidence::default() })
    }

    /// Asks the text encoder for what the recipes' tokens start as.
    pub(super) async fn ask_tokens(
        &mut self,
        services: &Services,
        dataset: Uuid,
        recipes: &[&Recipe],
        progress: &Progress,
    ) -> Result<(), JobError> {
        let wanted = |unit| {
            let reads = |r: &&&Recipe| is_sequence(r) && r.text.unit == unit;
            recipes.iter().filter(reads).any(|r| r.text.tokens_from == TokensFrom::Encoder)
        };
        for unit in [Unit::Char, Unit::Word].into_iter().filter(|u| wanted(*u)) {
            // budgets share the vocabulary of their unit
            if let Some(text) = self.texts.iter().find(|t| t.unit == unit) {
                let vectors = token_vectors::of(services, dataset, &text.reads.vocabulary, progress).await?;
                self.token_vectors.push((unit, vectors));
            }
        }
        Ok(())
    }

    /// What the recipe's tokens start as, (vocabulary, network.dim); none for recipes that draw them.
    pub(super) fn first_tokens(&self, recipe: &Recipe) -> Option<Array2<f32>> {
        if !is_sequence(recipe) || recipe.text.tokens_from == TokensFrom::Random {
            return None;
        }
        let (_, encoded) = self.token_vectors.iter().find(|(unit, _)| *unit == recipe.text.unit)?;
        Some(start_vectors(encoded.view(), recipe.network.dim, recipe.seeds[0]))
    }

    /// Bytes held for all rows.
    pub(super) fn bytes(&self) -> u64 {
        let encoded: usize = self.token_vectors.iter().map(|(_, v)| v.len()).sum();
        let tokens: usize = self.texts.iter().flat_map(|t| &t.tokens).map(|t| 48 + 5 * t.ids.len()).sum();
        (4 * (self.pooled.matrix.len() + encoded) + tokens + 20 * self.ids.len()) as u64
    }

    /// The recipe without what nobody has: frames where there are none, with the objectives that need them.
    pub(super) fn fitting(&self, recipe: &Recipe) -> Recipe {
        let mut recipe = recipe.clone();
        if is_sequence(&recipe) && self.frames.is_none() && recipe.frames.count > 0 {
            recipe.frames.count = 0;
            let a = &mut recipe.auxiliary;
            (a.mfm, a.vtm, a.contrastive) = (0.0, 0.0, 0.0);
            if a.mlm == 0.0 {
                a.pretrain_epochs = 0;
            }
        }
        recipe
    }

    pub(super) fn frame_dim(&self) -> usize {
        self.frames.as_ref().map_or(0, |(_, f)| f.dim())
    }

    fn text(&self, recipe: &Recipe) -> Option<&Text> {
        let budget = budget(recipe);
        self.texts.iter().find(|t| t.unit == recipe.text.unit && t.reads.budget == budget)
    }

    /// How the recipe's texts become tokens; none for recipes that read no text.
    pub(super) fn reads(&self, recipe: &Recipe) -> Option<&Arc<TextReads>> {
        if is_sequence(recipe) { self.text(recipe).map(|t| &t.reads) } else { None }
    }

    /// What the recipe's input is made of, as a model's file says it.
    pub(super) fn blocks(&self, recipe: &Recipe) -> Vec<Block> {
        if is_sequence(recipe) {
            let frames = self.frames.as_ref().filter(|_| recipe.frames.count > 0);
            return frames.map(|(block, _)| block.clone()).into_iter().collect();
        }
        self.pooled.only(&recipe.fields).blocks
    }

    /// What a recipe reads of `rows`.
    pub(super) fn chosen<'a>(&'a self, recipe: &Recipe, rows: &[usize]) -> Chosen<'a> {
        let evidence = &self.evidence;
        let mut chosen = Chosen {
            pooled: None,
            frames: None,
            tokens: None,
            weights: evidence.weights.as_ref().map(|w| rows.iter().map(|&r| w[r]).collect()),
            states: evidence.states.as_ref().map(|s| rows.iter().map(|&r| s[r]).collect()),
        };
        if !is_sequence(recipe) {
            chosen.pooled = Some(self.pooled_rows(recipe, rows));
            return chosen;
        }
        let frames = self.frames.as_ref().filter(|_| recipe.frames.count > 0);
        chosen.frames = frames.map(|(_, file)| FrameRows { file, rows: rows.to_vec() });
        chosen.tokens = self.text(recipe).map(|t| rows.iter().map(|&r| t.tokens[r].clone()).collect());
        chosen
    }

    /// The columns of the recipe's fields, (rows, D).
    pub(super) fn pooled_rows(&self, recipe: &Recipe, rows: &[usize]) -> Array2<f32> {
        let part =
            Features { matrix: self.pooled.matrix.select(Axis(0), rows), blocks: self.pooled.blocks.clone() };
        part.only(&recipe.fields).matrix
    }

    /// `rows` as the recipe's exported model reads them.
    pub(super) fn inputs(&self, recipe: &Recipe, rows: &[usize], scratch: &Path) -> Result<Inputs, JobError> {
        let chosen = self.chosen(recipe, rows);
        if let Some(x) = chosen.pooled {
            return Ok(Inputs::Pooled(x));
        }
        let frames = match chosen.frames {
            None => None,
            Some(from) => {
                let dim = from.file.dim();
                let mut writer = FrameFileWriter::create(scratch, rows.len(), dim)?;
                let mut values = Vec::new();
                for (i, &row) in rows.iter().enumerate() {
                    values.clear();
                    from.file.load(row, &mut values)?;
                    let frames = ndarray::ArrayView2::from_shape((values.len() / dim.max(1), dim), &values)
                        .map_err(|e| JobError::broke("doing.embeddings", e))?;
                    writer.put(i, frames)?;
                }
                Some(writer.finish()?)
            }
        };
        Ok(Inputs::Sequence { n: rows.len(), frames, tokens: chosen.tokens })
    }
}

/// What one recipe reads of some rows.
pub(super) struct Chosen<'a> {
    pooled: Option<Array2<f32>>,
    frames: Option<FrameRows<'a>>,
    tokens: Option<Vec<Tokens>>,
    pub(super) weights: Option<Vec<f32>>,
    pub(super) states: Option<Vec<State>>,
}

struct FrameRows<'a> {
    file: &'a FrameFile,
    rows: Vec<usize>,
}

impl FrameSource for FrameRows<'_> {
    fn load(&self, row: usize, out: &mut Vec<f32>) -> Result<(), String> {
        self.file.load(self.rows[row], out).map_err(|e| e.to_string())
    }
}

impl Chosen<'_> {
    pub(super) fn examples<'c>(&'c self, targets: Targets<'c>) -> Examples<'c> {
        Examples {
            frames: self.frames.as_ref().map(|f| f as &dyn FrameSource),
            dense: self.pooled.as_ref().map(|x| x.view()),
            tokens: self.tokens.as_deref(),
            targets,
            weights: self.weights.as_deref(),
            states: self.states.as_deref(),
        }
    }
}
