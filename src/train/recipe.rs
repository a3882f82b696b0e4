//! A training recipe: what head, which fields, which seed and regularisation, in TOML where each
//! switch is one line. Missing keys take the defaults; an unknown key or a broken rule is an error
//! that names the key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::linear::LinearParams;
use super::selection::{DEFAULT_GRID, check_grid};
use crate::domain::Field;

/// Names accepted by [`Recipe::preset`].
pub const PRESETS: [&str; 1] = ["quick"];

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum RecipeError {
    #[error("recipe is not TOML: {0}")]
    Syntax(String),
    #[error("recipe: unknown key {key:?}; known keys are {known}")]
    UnknownKey { key: String, known: String },
    #[error("recipe: {key} {rule}")]
    Rule { key: &'static str, rule: String },
    #[error("no recipe is called {0:?}; there is: quick")]
    UnknownPreset(String),
}

/// Which family of head is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// Multinomial logistic regression on the concatenated, standardised fields.
    #[default]
    Linear,
}

/// A checked recipe: made by [`Recipe::parse`], [`Recipe::preset`] or `Default`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub head: HeadKind,
    pub seed: u64,
    /// Cross-validation folds, 2 to 100; they pick `c` and give the out-of-fold probabilities.
    pub folds: usize,
    /// Share of the labelled samples kept for measuring, in [0, 0.9].
    pub holdout: f32,
    /// Inverse regularisation in scikit-learn's convention on standardised features, ascending. With
    /// several values the lowest out-of-fold log-loss on the given (noisy) labels decides.
    pub c: Vec<f32>,
    /// Fields that are concatenated, each once.
    pub fields: Vec<Field>,
    /// L-BFGS iterations per fit, >= 1.
    pub max_iterations: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            head: HeadKind::Linear,
            seed: 0,
            folds: 5,
            holdout: 0.2,
            c: DEFAULT_GRID.to_vec(),
            fields: Field::ALL.to_vec(),
            max_iterations: 200,
        }
    }
}

const KEYS: [&str; 7] = ["head", "seed", "folds", "holdout", "c", "fields", "max_iterations"];

impl Recipe {
    /// A recipe by name: `quick` is the default.
    pub fn preset(name: &str) -> Result<Self, RecipeError> {
        match name {
            "quick" => Ok(Self::default()),
            _ => Err(RecipeError::UnknownPreset(name.to_owned())),
        }
    }

    /// Reads and checks a TOML recipe.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| RecipeError::Syntax(e.message().to_owned()))?;
        let mut recipe = Self::default();
        for (key, value) in &table {
            recipe.set(key, value)?;
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// The recipe as TOML that [`parse`](Self::parse) reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a flat table of numbers and strings")
    }

    /// What the linear head's solver is told; `l2` is set per fit from `c`.
    pub fn linear_params(&self) -> LinearParams {
        LinearParams { max_iterations: self.max_iterations, ..LinearParams::default() }
    }

    fn set(&mut self, key: &str, value: &toml::Value) -> Result<(), RecipeError> {
        let whole = |key, rule: &str| {
            value.as_integer().and_then(|v| u64::try_from(v).ok()).ok_or_else(|| broken(key, rule))
        };
        let list = |value: &toml::Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        match key {
            "head" => {
                if value.as_str() != Some("linear") {
                    return Err(broken("head", "must be \"linear\""));
                }
                self.head = HeadKind::Linear;
            }
            "seed" => self.seed = whole("seed", "must be a whole number >= 0")?,
            "folds" => {
                let folds = whole("folds", FOLDS_RULE)?;
                self.folds = usize::try_from(folds).map_err(|_| broken("folds", FOLDS_RULE))?;
            }
            "max_iterations" => {
                let n = whole("max_iterations", ITERATIONS_RULE)?;
                self.max_iterations =
                    usize::try_from(n).map_err(|_| broken("max_iterations", ITERATIONS_RULE))?;
            }
            "holdout" => self.holdout = number(value).ok_or_else(|| broken("holdout", HOLDOUT_RULE))?,
            "c" => {
                self.c =
                    list(value).iter().map(number).collect::<Option<_>>().ok_or_else(|| {
                        broken("c", "must be a number or a list of numbers > 0 that ascend")
                    })?;
            }
            "fields" => {
                let known = || broken("fields", "must be a list of \"frames\", \"title\", \"asr\", \"ocr\"");
                self.fields = list(value)
                    .iter()
                    .map(|v| v.as_str().and_then(Field::parse))
                    .collect::<Option<_>>()
                    .ok_or_else(known)?;
            }
            _ => return Err(RecipeError::UnknownKey { key: key.to_owned(), known: KEYS.join(", ") }),
        }
        Ok(())
    }

    /// Every rule of the fields; for recipes that came another way than [`parse`](Self::parse).
    pub fn check(&self) -> Result<(), RecipeError> {
        if i64::try_from(self.seed).is_err() {
            return Err(broken("seed", "must be below 2^63"));
        }
        if !(2..=100).contains(&self.folds) {
            return Err(broken("folds", FOLDS_RULE));
        }
        if !(0.0..=0.9).contains(&self.holdout) {
            return Err(broken("holdout", HOLDOUT_RULE));
        }
        check_grid(&self.c).map_err(|e| broken("c", &format!("is not a grid: {e}")))?;
        if self.fields.is_empty() {
            return Err(broken("fields", "must name at least one field"));
        }
        if (1..self.fields.len()).any(|i| self.fields[..i].contains(&self.fields[i])) {
            return Err(broken("fields", "must name each field once"));
        }
        if !(1..=100_000).contains(&self.max_iterations) {
            return Err(broken("max_iterations", ITERATIONS_RULE));
        }
        Ok(())
    }
}

const FOLDS_RULE: &str = "must be a whole number from 2 to 100";
const HOLDOUT_RULE: &str = "must be a number from 0 to 0.9";
const ITERATIONS_RULE: &str = "must be a whole number from 1 to 100000";

fn broken(key: &'static str, rule: &str) -> RecipeError {
    RecipeError::Rule { key, rule: rule.to_owned() }
}

fn number(value: &toml::Value) -> Option<f32> {
    value.as_float().or_else(|| value.as_integer().map(|v| v as f64)).map(|v| v as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_key_and_keeps_defaults() {
        let r = Recipe::parse(
            "head = \"linear\"\nseed = 7\nc = 0.05\nfields = [\"title\", \"frames\"]\nholdout = 0\n",
        )
        .unwrap();
        let want = Recipe {
            seed: 7,
            c: vec![0.05],
            fields: vec![Field::Title, Field::Frames],
            holdout: 0.0,
            ..Recipe::default()
        };
        assert_eq!(r, want);
        assert_eq!(Recipe::parse("").unwrap(), Recipe::preset("quick").unwrap());
        assert_eq!(Recipe::parse(&want.to_toml()).unwrap(), want);
        assert_eq!(Recipe::parse(&Recipe::default().to_toml()).unwrap(), Recipe::default());
        assert!(Recipe::default().check().is_ok());
    }

    #[test]
    fn errors_name_the_key() {
        for (text, needle) in [
            ("fold = 5", "\"fold\""),
            ("folds = 1", "folds"),
            ("folds = 2.5", "folds"),
            ("holdout = 1.0", "holdout"),
            ("holdout = nan", "holdout"),
            ("seed = -1", "seed"),
            ("c = [0.1, 0.01]", "c is not a grid"),
            ("c = []", "c is not a grid"),
            ("c = \"auto\"", "c must be"),
            ("fields = []", "fields"),
            ("fields = [\"asr\", \"asr\"]", "fields"),
            ("fields = [\"video\"]", "fields"),
            ("head = \"mlp\"", "head"),
            ("max_iterations = 0", "max_iterations"),
            ("seed = ", "not TOML"),
        ] {
            let message = Recipe::parse(text).unwrap_err().to_string();
            assert!(message.contains(needle), "{text}: {message}");
        }
        assert!(Recipe::preset("best").is_err());
    }
}
