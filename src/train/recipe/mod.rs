//! A training recipe: which network reads what, with which loss and which regularisers, in TOML where each
//! switch is one line. Missing keys take the family's defaults. A recipe is checked whole: every unknown
//! key, broken rule and key that would do nothing is named, all in one error.

mod keys;
mod parts;
mod rules;
mod switches;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::keys::Fault;
pub use self::parts::*;
pub use self::switches::Switch;
use super::linear::LinearParams;
use crate::domain::Field;

/// Names accepted by [`Recipe::preset`]: the files in `recipes/`.
pub const PRESETS: [&str; 5] = ["quick", "single", "dual", "ensemble", "winner"];

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RecipeError {
    #[error("recipe is not TOML: {0}")]
    Syntax(String),
    /// Everything that is wrong, in the order of the text's keys.
    #[error("recipe: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong(Vec<Fault>),
    #[error("no recipe is called {0:?}; there are: {list}", list = PRESETS.join(", "))]
    UnknownPreset(String),
}

/// A checked recipe: made by [`Recipe::parse`], [`Recipe::preset`] or `Default`. One that lists members or
/// stages has no network of its own; the sections that do not apply hold their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One model is trained for each.
    pub seeds: Vec<u64>,
    /// 2 to 100. A logistic head's cross-validation; one of them is what a network is stopped by.
    pub folds: usize,
    /// Share of the labelled samples kept for measuring where the dataset has no test split, in [0, 0.9].
    pub holdout: f32,
    /// Fields whose pooled vectors are concatenated, each once; for the families without a sequence.
    pub fields: Vec<Field>,
    pub network: Network,
    pub logistic: Logistic,
    pub frames: Frames,
    pub text: Text,
    pub loss: Loss,
    pub regularise: Regularise,
    pub auxiliary: Auxiliary,
    pub balance: Balance,
    pub optimise: Optimise,
    pub distil: Distil,
    /// Recipes whose models' probabilities are averaged.
    pub member: Vec<Member>,
    /// Teachers, then students, then perhaps a last training on the labels.
    pub stage: Vec<Stage>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self::of(Family::Logistic)
    }
}

impl Recipe {
    /// The family's defaults.
    pub fn of(family: Family) -> Self {
        let sequence = matches!(family, Family::Single | Family::Dual);
        Self {
            seeds: vec![0],
            folds: 5,
            holdout: 0.2,
            fields: Field::ALL.to_vec(),
            network: Network { family, layers: if sequence { 2 } else { 1 }, ..Network::default() },
            logistic: Logistic::default(),
            frames: Frames::default(),
            text: Text::default(),
            loss: Loss::default(),
            regularise: Regularise::default(),
            auxiliary: Auxiliary::default(),
            balance: Balance::default(),
            optimise: Optimise {
                batch: if sequence { 64 } else { 256 },
                learning_rate: if sequence { 5e-4 } else { 1e-3 },
                ..Optimise::default()
            },
            distil: Distil::default(),
            member: Vec::new(),
            stage: Vec::new(),
        }
    }

    /// A recipe by name.
    pub fn preset(name: &str) -> Result<Self, RecipeError> {
        let text = match name {
            "quick" => include_str!("../../../recipes/quick.toml"),
            "single" => include_str!("../../../recipes/single.toml"),
            "dual" => include_str!("../../../recipes/dual.toml"),
            "ensemble" => include_str!("../../../recipes/ensemble.toml"),
            "winner" => include_str!("../../../recipes/winner.toml"),
            _ => return Err(RecipeError::UnknownPreset(name.to_owned())),
        };
        Self::parse(text)
    }

    /// Reads and checks a TOML recipe.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| RecipeError::Syntax(e.message().to_owned()))?;
        keys::read(&table).map_err(RecipeError::Wrong)
    }

    /// The keys that apply, as TOML that [`parse`](Self::parse) reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(&keys::applying(self)).expect("tables of numbers and strings")
    }

    /// Whether a key, named `section.key` (`folds`, `loss.kind`), does something in this recipe: it is read by its
    /// family of networks, its loss and its stages. False for what is no key.
    pub fn knows(&self, key: &str) -> bool {
        keys::knows(self, key)
    }

    /// What the logistic head's solver is told; `l2` is set per fit from `logistic.c`.
    pub fn linear_params(&self) -> LinearParams {
        LinearParams { max_iterations: self.logistic.max_iterations, ..LinearParams::default() }
    }

    /// Whether it lists members or stages instead of describing a network.
    pub fn is_composite(&self) -> bool {
        !(self.member.is_empty() && self.stage.is_empty())
    }

    /// The models to train, one recipe with one seed each: a plain recipe once for each of its seeds, an
    /// ensemble's members in their order. They share this recipe's folds and holdout. Empty for a recipe of
    /// stages, whose stages name theirs.
    pub fn models(&self) -> Vec<Self> {
        if !self.stage.is_empty() {
            return Vec::new();
        }
        if self.member.is_empty() {
            return self.seeds.iter().map(|&seed| Self { seeds: vec![seed], ..self.clone() }).collect();
        }
        let of = |m: &Member| {
            let named = Self::preset(&m.recipe).expect("checked with the recipe");
            let seeds = if m.seeds.is_empty() { named.seeds.clone() } else { m.seeds.clone() };
            Self { seeds, folds: self.folds, holdout: self.holdout, ..named }.models()
        };
        self.member.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests;
