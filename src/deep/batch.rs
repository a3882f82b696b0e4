//! Rows of examples as padded arrays: what one pass of a network reads.

use rand_xoshiro::Xoshiro256Plus as Rng;
use tamis_core::train::Recipe;
use tamis_core::train::frames::{random_frames, uniform_frames};

use crate::FitError;
use crate::data::{Examples, Task, is_sequence, text_budget};
use rand::Rng as _;

/// The field's number in `kind.weight`: 0 frames, then 1 + `Tokens::kinds`.
pub(crate) const FRAMES: i64 = 0;
pub(crate) const TITLE: i64 = 1;

#[derive(Clone, Default)]
pub(crate) struct Batch {
    pub(crate) n: usize,
    /// (n, D) pooled vectors, or (n, F, D) frames with zeros where there is none.
    pub(crate) input: Vec<f32>,
    /// (n, F), 1 where there is a frame.
    pub(crate) frame_live: Vec<f32>,
    /// Tokens a row, the longest row's.
    pub(crate) length: usize,
    /// (n, length) each.
    pub(crate) ids: Vec<i64>,
    pub(crate) kinds: Vec<i64>,
    pub(crate) text_live: Vec<f32>,
    /// Whether the input is the tape's leaf rather than the numbers above.
    pub(crate) tracked: bool,
}

/// Which frames are read: an even spread, or in training random ones by seed and epoch.
#[derive(Clone, Copy)]
pub(crate) enum Sampling {
    Even,
    Random { seed: u64, epoch: u64 },
}

impl Batch {
    /// Gathers `rows`. O(rows x what is read of one).
    pub(crate) fn gather(
        recipe: &Recipe,
        task: &Task,
        from: &Examples<'_>,
        rows: &[usize],
        sampling: Sampling,
    ) -> Result<Self, FitError> {
        let n = rows.len();
        let mut batch = Self { n, ..Self::default() };
        if !is_sequence(recipe) {
            let dense = from.dense.ok_or(FitError::Missing("pooled vectors"))?;
            batch.input.reserve(n * task.dense_dim);
            for &row in rows {
                match dense.row(row).as_slice() {
                    Some(values) => batch.input.extend_from_slice(values),
                    None => batch.input.extend(dense.row(row)),
                }
            }
            return Ok(batch);
        }
        let (count, dim) = (recipe.frames.count, task.frame_dim);
        if let Some(source) = from.frames.filter(|_| count > 0) {
            batch.input = vec![0.0; n * count * dim];
            batch.frame_live = vec![0.0; n * count];
            let mut all = Vec::new();
            for (i, &row) in rows.iter().enumerate() {
                all.clear();
                source.load(row, &mut all).map_err(|why| FitError::Frames { row, why })?;
                if !all.len().is_multiple_of(dim) {
                    return Err(FitError::Frames { row, why: format!("not of {dim} numbers each") });
                }
                let there = all.len() / dim;
                let picked = match sampling {
                    Sampling::Even => uniform_frames(there, count),
                    Sampling::Random { seed, epoch } => random_frames(there, count, seed, epoch, row as u64),
                };
                for (slot, f) in picked.into_iter().enumerate() {
                    let at = (i * count + slot) * dim;
                    batch.input[at..at + dim].copy_from_slice(&all[f * dim..(f + 1) * dim]);
                    batch.frame_live[i * count + slot] = 1.0;
                }
            }
        }
        let budget = text_budget(recipe);
        if let Some(tokens) = from.tokens.filter(|_| budget > 0) {
            let length = rows.iter().map(|&r| tokens[r].ids.len().min(budget)).max().unwrap_or(0).max(1);
            batch.length = length;
            batch.ids = vec![0; n * length];
            batch.kinds = vec![TITLE; n * length];
            batch.text_live = vec![0.0; n * length];
            for (i, &row) in rows.iter().enumerate() {
                for (j, (id, kind)) in tokens[row].ids.iter().zip(&tokens[row].kinds).take(budget).enumerate()
                {
                    batch.ids[i * length + j] = i64::from(*id);
                    batch.kinds[i * length + j] = TITLE + i64::from(*kind);
                    batch.text_live[i * length + j] = 1.0;
                }
            }
        }
        Ok(batch)
    }

    /// These rows, then those of another batch.
    pub(crate) fn with(mut self, other: Self) -> Self {
        if self.n == 0 {
            return other;
        }
        let length = self.length.max(other.length);
        let wide = |of: &Self| {
            let mut wide = Self { n: of.n, length, ..Self::default() };
            for i in 0..of.n {
                let row = i * of.length..(i + 1) * of.length;
                let fill = length - of.length;
                wide.ids.extend(of.ids[row.clone()].iter().copied().chain(std::iter::repeat_n(0, fill)));
                wide.kinds
                    .extend(of.kinds[row.clone()].iter().copied().chain(std::iter::repeat_n(TITLE, fill)));
                wide.text_live
                    .extend(of.text_live[row].iter().copied().chain(std::iter::repeat_n(0.0, fill)));
            }
            wide
        };
        let mut both = wide(&self);
        let rest = wide(&other);
        both.n += rest.n;
        both.ids.extend(rest.ids);
        both.kinds.extend(rest.kinds);
        both.text_live.extend(rest.text_live);
        self.input.extend(other.input);
        self.frame_live.extend(other.frame_live);
        Self { input: self.input, frame_live: self.frame_live, ..both }
    }

    /// Hides whole fields of samples, each by chance; never the last one that a sample has.
    pub(crate) fn drop_fields(&mut self, share: f32, rng: &mut Rng) {
        let count = self.frame_live.len() / self.n.max(1);
        for i in 0..self.n {
            let text = i * self.length..(i + 1) * self.length;
            let has = |batch: &Self, field: i64| match field {
                FRAMES => batch.frame_live[i * count..(i + 1) * count].contains(&1.0),
                _ => text.clone().any(|j| batch.text_live[j] > 0.0 && batch.kinds[j] == field),
            };
            for field in FRAMES..=3 {
                let drop = rng.r#gen::<f32>() < share;
                if drop && has(self, field) && (FRAMES..=3).any(|other| other != field && has(self, other)) {
                    if field == FRAMES {
                        self.frame_live[i * count..(i + 1) * count].fill(0.0);
                    } else {
                        text.clone()
                            .filter(|&j| self.kinds[j] == field)
                            .for_each(|j| self.text_live[j] = 0.0);
                    }
                }
            }
        }
    }
}
