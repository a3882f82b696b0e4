//! A recipe's switches: each option that can be turned off, turned on or set otherwise, one at a time.

use toml::{Table, Value};

use super::Recipe;
use super::keys::applying;
use super::parts::{Family, TokensFrom};

/// A recipe that differs in one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Switch {
    /// `section.key`; `member` for a model left out of an ensemble.
    pub key: String,
    /// As TOML writes them.
    pub from: String,
    pub to: String,
    pub recipe: Recipe,
}

/// Section, key, the value that is off, and the one that is on (where the recipe has it off). What a setting is
/// worth when on follows the challenge's teams and the papers of the techniques.
const TOGGLES: &[(&str, &str, f64, f64)] = &[
    ("network", "dropout", 0.0, 0.1),
    ("text", "field_dropout", 0.0, 0.1),
    ("loss", "smoothing", 0.0, 0.1),
    ("loss", "level1_weight", 0.0, 0.2),
    ("regularise", "ema", 0.0, 0.999),
    ("regularise", "fgm", 0.0, 0.5),
    ("regularise", "r_drop", 0.0, 1.0),
    ("regularise", "weight_decay", 0.0, 0.01),
    ("auxiliary", "mlm", 0.0, 0.5),
    ("auxiliary", "mfm", 0.0, 0.5),
    ("auxiliary", "vtm", 0.0, 0.25),
    ("auxiliary", "contrastive", 0.0, 0.1),
    ("balance", "damped", 0.0, 0.5),
    ("balance", "prior_boost", 0.0, 10.0),
];
/// Inputs that can be left out, not put in: how much of them is a matter of size.
const INPUTS: &[(&str, &str)] = &[("frames", "count"), ("text", "title"), ("text", "asr"), ("text", "ocr")];
const FLAGS: &[(&str, &str)] = &[("loss", "sample_weights"), ("balance", "oversample")];
/// Keys that only one loss reads.
const OF_LOSSES: [&str; 4] = ["q", "alpha", "beta", "lambda"];

impl Recipe {
    /// Everything that can be set otherwise one at a time, in a fixed order; what would make no sense in this
    /// recipe is left out. Of a recipe of members: each member left out. None for a recipe of stages.
    pub fn switches(&self) -> Vec<Switch> {
        if !self.stage.is_empty() {
            return Vec::new();
        }
        if !self.member.is_empty() {
            return self.without_a_member();
        }
        let table = applying(self);
        let mut found = Vec::new();
        for &(section, key, off, on) in TOGGLES {
            let Some(now) = number(&table, section, key) else { continue };
            let to = if now == off { on } else { off };
            found.extend(set(&table, section, key, Value::Float(to)));
        }
        for &(section, key) in FLAGS {
            let Some(now) = get(&table, section, key).and_then(Value::as_bool) else { continue };
            found.extend(set(&table, section, key, Value::Boolean(!now)));
        }
        for &(section, key) in INPUTS {
            if number(&table, section, key).is_some_and(|n| n > 0.0) {
                found.extend(set(&table, section, key, Value::Integer(0)));
            }
        }
        if let Some(unit) = get(&table, "text", "unit").and_then(Value::as_str) {
            let other = if unit == "char" { "word" } else { "char" };
            found.extend(set(&table, "text", "unit", Value::String(other.into())));
        }
        // not the other way round: not every machine has the encoder, and one run without it would end them all
        if self.text.tokens_from == TokensFrom::Encoder {
            found.extend(set(&table, "text", "tokens_from", Value::String("random".into())));
        }
        if let Some(kind) = get(&table, "loss", "kind").and_then(Value::as_str) {
            let others: &[&str] = if kind == "ce" { &["gce", "sce", "elr"] } else { &["ce"] };
            found.extend(
                others.iter().filter_map(|o| set(&table, "loss", "kind", Value::String((*o).into()))),
            );
        }
        if !matches!(self.network.family, Family::Single | Family::Dual) && self.fields.len() > 1 {
            found.extend(self.fields.iter().filter_map(|left_out| {
                let rest = self.fields.iter().filter(|f| *f != left_out);
                let rest: Vec<Value> = rest.map(|f| Value::String(f.as_str().into())).collect();
                set(&table, "", "fields", Value::Array(rest))
            }));
        }
        found
    }

    fn without_a_member(&self) -> Vec<Switch> {
        if self.member.len() < 2 {
            return Vec::new();
        }
        let named = |i: usize| format!("{} {:?}", self.member[i].recipe, self.member[i].seeds);
        (0..self.member.len())
            .map(|i| {
                let mut recipe = self.clone();
                recipe.member.remove(i);
                Switch { key: "member".into(), from: named(i), to: "none".into(), recipe }
            })
            .collect()
    }
}

fn get<'t>(table: &'t Table, section: &str, key: &str) -> Option<&'t Value> {
    if section.is_empty() { table.get(key) } else { table.get(section)?.get(key) }
}

fn number(table: &Table, section: &str, key: &str) -> Option<f64> {
    let v = get(table, section, key)?;
    v.as_float().or_else(|| v.as_integer().map(|v| v as f64))
}

/// The recipe with one key set otherwise; nothing where that is no good recipe.
fn set(table: &Table, section: &str, key: &str, to: Value) -> Option<Switch> {
    let from = get(table, section, key)?.clone();
    let mut other = table.clone();
    if key == "kind"
        && let Some(loss) = other.get_mut("loss").and_then(Value::as_table_mut)
    {
        OF_LOSSES.iter().for_each(|k| _ = loss.remove(*k));
        // a loss with smoothing of its own does not take it
        if matches!(to.as_str(), Some("gce")) {
            loss.remove("smoothing");
        }
    }
    let place = if section.is_empty() { Some(&mut other) } else { other.get_mut(section)?.as_table_mut() };
    place?.insert(key.to_owned(), to.clone());
    let recipe = Recipe::parse(&toml::to_string(&other).ok()?).ok()?;
    let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    Some(Switch { key, from: from.to_string(), to: to.to_string(), recipe })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_is_set_otherwise_and_nothing_else_is() {
        let single = Recipe::preset("single").unwrap();
        let switches = single.switches();
        let to = |key: &str| {
            let found = switches.iter().find(|s| s.key == key).unwrap_or_else(|| panic!("{key}"));
            (found.from.as_str(), found.to.as_str())
        };
        let ema = to("regularise.ema");
        assert!(ema.0.starts_with("0.99") && ema.1 == "0.0", "{ema:?}");
        assert_eq!(to("regularise.r_drop"), ("0.0", "1.0"));
        assert_eq!(to("balance.oversample"), ("false", "true"));
        assert_eq!(to("frames.count"), ("8", "0"));
        assert_eq!(to("text.unit"), ("\"char\"", "\"word\""));
        assert_eq!(switches.iter().filter(|s| s.key == "loss.kind").count(), 3);
        for s in &switches {
            // the key back to what it was gives the recipe again, up to what only another loss reads
            assert_ne!(s.recipe, single, "{}", s.key);
            let changed: Vec<_> = applying(&s.recipe)
                .iter()
                .filter(|(k, v)| applying(&single).get(*k) != Some(*v))
                .map(|(k, _)| k.clone())
                .collect();
            assert_eq!(changed, [s.key.split('.').next().unwrap()], "{}", s.key);
        }
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let keys = |text: &str| -> Vec<String> {
            Recipe::parse(text).unwrap().switches().into_iter().map(|s| s.key).collect()
        };
        assert_eq!(keys(""), ["fields"; 4], "a logistic head reads fields and nothing else");
        assert!(keys("fields = [\"title\"]").is_empty());
        // R-Drop lives on dropout
        let r_drop = keys("[network]\nfamily = \"mlp\"\n[regularise]\nr_drop = 1.0");
        assert!(
            !r_drop.contains(&"network.dropout".to_owned()) && !r_drop.iter().any(|k| k.starts_with("text"))
        );
        let gce = Recipe::parse("[network]\nfamily = \"mlp\"\n[loss]\nkind = \"gce\"\nq = 0.5").unwrap();
        let back = gce.switches().into_iter().find(|s| s.key == "loss.kind").unwrap();
        assert_eq!((back.to.as_str(), back.recipe.loss.q), ("\"ce\"", 0.7));
        let text = "[network]\nfamily = \"single\"\n[text]\ntokens_from = ";
        let of = |from: &str| Recipe::parse(&format!("{text}\"{from}\"")).unwrap().switches();
        let tokens = |from: &str| of(from).into_iter().find(|s| s.key == "text.tokens_from").map(|s| s.to);
        assert_eq!((tokens("encoder").as_deref(), tokens("random")), (Some("\"random\""), None));
        assert_eq!(Recipe::preset("ensemble").unwrap().switches().len(), 2);
        assert!(Recipe::preset("winner").unwrap().switches().is_empty());
    }
}
