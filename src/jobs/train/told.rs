//! A training's recipe as it is told: the keys that do something in it. Kept whole, it also holds those of other
//! kinds of networks and losses.

use serde_json::Value;

use crate::domain::Change;
use crate::domain::ledger;
use crate::train::Recipe;

/// A kept recipe; one of an older version, whose keys were others, is not read, and all of it is told.
struct Kept(Option<Recipe>);

impl Kept {
    fn of(recipe: &Value) -> Self {
        let mut own = recipe.clone();
        // stands beside the recipe, see `TrainArgs`
        if let Some(map) = own.as_object_mut() {
            map.remove("distillation");
        }
        Self(serde_json::from_value(own).ok())
    }

    fn knows(&self, key: &str) -> bool {
        self.0.as_ref().is_none_or(|r| r.knows(key) || key.starts_with("distillation."))
    }
}

/// Whether a key (`section.key`) does something in a kept recipe. O(keys).
pub fn applies(recipe: &Value, key: &str) -> bool {
    Kept::of(recipe).knows(key)
}

/// The settings of a kept recipe that do something in it, as [`ledger::settings`].
pub fn settings(recipe: &Value) -> Vec<(String, String)> {
    let kept = Kept::of(recipe);
    ledger::settings(recipe).into_iter().filter(|(key, _)| kept.knows(key)).collect()
}

/// What is new in `after`, as [`ledger::changes`]; a side in which the key does nothing is empty, and a key that does
/// nothing in either is left out.
pub fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let (old, new) = (Kept::of(before), Kept::of(after));
    let side = |kept: &Kept, key: &str, value: String| if kept.knows(key) { value } else { String::new() };
    ledger::changes(before, after)
        .into_iter()
        .map(|c| Change { from: side(&old, &c.key, c.from), to: side(&new, &c.key, c.to), key: c.key })
        .filter(|c| c.from != c.to)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kept(text: &str) -> Value {
        serde_json::to_value(Recipe::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn a_logistic_head_is_told_without_transformers() {
        let mut logistic = kept("");
        logistic["distillation"] = json!({"teachers": ["t"]});
        let told = settings(&logistic);
        let has = |key: &str| told.iter().any(|(k, _)| k == key);
        assert!(has("logistic.c") && has("fields") && has("distillation.teachers"), "{told:?}");
        assert!(!["network.heads", "text.title", "loss.q", "member"].into_iter().any(has), "{told:?}");
        assert!(settings(&json!({"preset": "quick", "ema": true})).len() == 2, "older ones are told whole");
    }

    #[test]
    fn a_change_names_no_value_that_does_nothing() {
        let of = |before: &str, after: &str| {
            let mut found = changes(&kept(before), &kept(after));
            found.sort_by(|a, b| a.key.cmp(&b.key));
            found.into_iter().map(|c| (c.key, c.from, c.to)).collect::<Vec<_>>()
        };
        let line = |key: &str, from: &str, to: &str| (key.to_owned(), from.to_owned(), to.to_owned());
        let mlp = "[network]\nfamily = \"mlp\"\n";
        let single = "[network]\nfamily = \"single\"\n";
        assert_eq!(of("", mlp), [line("network.family", "logistic", "mlp")]);
        assert_eq!(
            of("", single),
            [
                line("network.family", "logistic", "single"),
                line("network.layers", "", "2"),
                line("optimise.batch", "", "64"),
                line("optimise.learning_rate", "", "0.0005"),
            ]
        );
        assert_eq!(of(mlp, mlp), []);
        let q = |q: f32| format!("{mlp}[loss]\nkind = \"gce\"\nq = {q}\n");
        assert_eq!(of(&q(0.5), &q(0.6)), [line("loss.q", "0.5", "0.6")]);
        assert_eq!(of(&q(0.5), mlp), [line("loss.kind", "gce", "ce"), line("loss.q", "0.5", "")]);
    }
}
