//! What was tried to make a model better: each training is one line of the ledger.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What is new in a training against the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// There is none before it.
    First,
    Labels,
    Recipe,
    /// Labels and recipe.
    Both,
    /// Nothing.
    Repeat,
    /// An experiment that was run elsewhere and written down.
    Elsewhere,
    /// One switch of a recipe set to another value, with several seeds.
    Ablation,
}

impl Step {
    pub const ALL: [Self; 7] =
        [Self::First, Self::Labels, Self::Recipe, Self::Both, Self::Repeat, Self::Elsewhere, Self::Ablation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Labels => "labels",
            Self::Recipe => "recipe",
            Self::Both => "both",
            Self::Repeat => "repeat",
            Self::Elsewhere => "elsewhere",
            Self::Ablation => "ablation",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// What the interval of a gain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Both models on the same samples, drawn anew (paired bootstrap).
    Samples,
    /// The same comparison with several seeds (Student's t).
    Seeds,
}

impl Over {
    pub const ALL: [Self; 2] = [Self::Samples, Self::Seeds];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Seeds => "seeds",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// A switch of a recipe that was set to another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Named as in the recipe, sections with dots.
    #[schema(example = "fields")]
    pub key: String,
    #[schema(example = "[\"frames\"]")]
    pub from: String,
    #[schema(example = "[\"frames\",\"title\"]")]
    pub to: String,
}

/// Gain in mean F1, with a 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Gain {
    /// What it starts from: mean F1 of the training before on the same samples, in [0, 1]. Null for a gain over
    /// seeds and in lines of older versions.
    pub before: Option<f64>,
    pub gain: f64,
    pub low: f64,
    pub high: f64,
    pub over: Over,
    /// Samples or seeds.
    pub n: i64,
}

/// The settings of a recipe in the order in which it holds them, those of sections with dots, lists with
/// commas.
pub fn settings(recipe: &Value) -> Vec<(String, String)> {
    fn walk(prefix: &str, v: &Value, into: &mut Vec<(String, String)>) {
        match v {
            Value::Object(map) => {
                for (k, v) in map {
                    walk(&if prefix.is_empty() { k.clone() } else { format!("{prefix}.{k}") }, v, into);
                }
            }
            other => into.push((prefix.to_owned(), plain(other))),
        }
    }
    // settings are f32: in JSON they carry digits that nobody wrote (0.2 as 0.20000000298)
    fn plain(v: &Value) -> String {
        match v {
            Value::String(s) => s.clone(),
            Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
            Value::Number(n) if n.is_f64() => {
                n.as_f64().map_or_else(|| n.to_string(), |f| (f as f32).to_string())
            }
            other => other.to_string(),
        }
    }
    let mut lines = Vec::new();
    walk("", recipe, &mut lines);
    lines
}

/// What is new in `after`: settings with another value, and those that only one of them has.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (before, after) = (settings(before), settings(after));
    let value = |of: &[(String, String)], key: &str| {
        of.iter().find(|(k, _)| k == key).map_or_else(String::new, |(_, v)| v.clone())
    };
    let keys = after.iter().chain(before.iter().filter(|(k, _)| !after.iter().any(|(a, _)| a == k)));
    keys.map(|(key, _)| Change { key: key.clone(), from: value(&before, key), to: value(&after, key) })
        .filter(|c| c.from != c.to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_read_as_they_were_written() {
        let recipe = json!({"c": [f64::from(0.01_f32), 1.0], "holdout": f64::from(0.2_f32),
            "fields": ["frames", "title"], "head": {"kind": "linear"}, "seed": 7});
        let lines = settings(&recipe);
        let line = |key: &str| lines.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        assert_eq!(line("c"), Some("0.01, 1"));
        assert_eq!(line("holdout"), Some("0.2"));
        assert_eq!(line("fields"), Some("frames, title"));
        assert_eq!(line("head.kind"), Some("linear"));
        assert_eq!(line("seed"), Some("7"));
    }

    #[test]
    fn what_is_new_in_a_recipe() {
        let before = json!({"fields": ["frames"], "seed": 1, "ema": true});
        let after = json!({"fields": ["frames", "title"], "seed": 1, "loss": {"kind": "gce"}});
        let change =
            |key: &str, from: &str, to: &str| Change { key: key.into(), from: from.into(), to: to.into() };
        let mut found = changes(&before, &after);
        found.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(
            found,
            [
                change("ema", "true", ""),
                change("fields", "frames", "frames, title"),
                change("loss.kind", "", "gce")
            ]
        );
        assert!(changes(&after, &after).is_empty());
    }
}
