//! The table of a recipe's keys: what each may hold and when it does something, and the check of a text
//! against it.

use std::fmt;

use toml::{Table, Value};

use super::Recipe;
use super::parts::{Family, LossKind};
use super::rules::{composition, together};
use crate::train::selection::check_grid;

/// One thing wrong with a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `section.key`.
    pub key: String,
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.rule)
    }
}

pub(super) fn fault(key: &str, rule: impl Into<String>) -> Fault {
    Fault { key: key.to_owned(), rule: rule.into() }
}

/// What a key may hold.
enum Kind {
    Whole(u64, u64),
    /// From, to; whether the first itself is allowed.
    Number(f64, f64, bool),
    Flag,
    OneOf(&'static [&'static str]),
    Wholes,
    Numbers,
    Fields,
}
use Kind::{Fields, Flag, Number, Numbers, OneOf, Whole, Wholes};

/// When a key does something.
#[derive(Clone, Copy)]
enum When {
    Any,
    Network,
    Pooled,
    Logistic,
    Gradient,
    Layered,
    Sequence,
    Loss(LossKind, LossKind),
    Smoothed,
    Staged,
}

impl When {
    /// Why the key does nothing in this recipe.
    fn idle(self, r: &Recipe) -> Option<String> {
        let (family, kind) = (r.network.family, r.loss.kind);
        let sequence = matches!(family, Family::Single | Family::Dual);
        let applies = match self {
            Self::Any => true,
            Self::Staged => !r.stage.is_empty(),
            _ if r.is_composite() => return Some("in a recipe of members or stages".into()),
            Self::Network => true,
            Self::Logistic => family == Family::Logistic,
            Self::Pooled => !sequence,
            Self::Gradient => family != Family::Logistic,
            Self::Layered => sequence || family == Family::Mlp,
            Self::Sequence => sequence,
            _ if family == Family::Logistic => false,
            Self::Loss(a, b) => {
                return (kind != a && kind != b)
                    .then(|| format!("with loss.kind = {}", Value::try_from(kind).unwrap_or(false.into())));
            }
            Self::Smoothed => {
                return matches!(kind, LossKind::Gce | LossKind::Forward)
                    .then(|| format!("with loss.kind = {}", Value::try_from(kind).unwrap_or(false.into())));
            }
        };
        (!applies).then(|| match self {
            Self::Staged => "without stages".into(),
            _ => format!("with network.family = {}", Value::try_from(family).unwrap_or(false.into())),
        })
    }
}

const FAMILIES: &[&str] = &["logistic", "linear", "mlp", "single", "dual"];
const LOSSES: &[&str] = &["ce", "gce", "sce", "elr", "forward", "three_state"];
const MANY: f64 = 1e6;

/// Section ("" for none), key, what it holds, when it counts.
const KEYS: &[(&str, &str, Kind, When)] = &[
    ("", "seeds", Wholes, When::Network),
    ("", "folds", Whole(2, 100), When::Any),
    ("", "holdout", Number(0.0, 0.9, true), When::Any),
    ("", "fields", Fields, When::Pooled),
    ("network", "family", OneOf(FAMILIES), When::Network),
    ("network", "dim", Whole(4, 4096), When::Sequence),
    ("network", "layers", Whole(1, 48), When::Layered),
    ("network", "heads", Whole(1, 64), When::Sequence),
    ("network", "hidden", Whole(1, 65_536), When::Layered),
    ("network", "dropout", Number(0.0, 0.9, true), When::Gradient),
    ("logistic", "c", Numbers, When::Logistic),
    ("logistic", "max_iterations", Whole(1, 100_000), When::Logistic),
    ("frames", "count", Whole(0, 32), When::Sequence),
    ("text", "unit", OneOf(&["char", "word"]), When::Sequence),
    ("text", "title", Whole(0, 512), When::Sequence),
    ("text", "asr", Whole(0, 512), When::Sequence),
    ("text", "ocr", Whole(0, 512), When::Sequence),
    ("text", "field_dropout", Number(0.0, 0.9, true), When::Sequence),
    ("text", "tokens_from", OneOf(&["random", "encoder"]), When::Sequence),
    ("loss", "kind", OneOf(LOSSES), When::Gradient),
    ("loss", "smoothing", Number(0.0, 0.9, true), When::Smoothed),
    ("loss", "q", Number(0.0, 1.0, false), When::Loss(LossKind::Gce, LossKind::ThreeState)),
    ("loss", "alpha", Number(0.0, MANY, true), When::Loss(LossKind::Sce, LossKind::Sce)),
    ("loss", "beta", Number(0.0, MANY, true), When::Loss(LossKind::Sce, LossKind::Elr)),
    ("loss", "lambda", Number(0.0, MANY, true), When::Loss(LossKind::Elr, LossKind::Elr)),
    ("loss", "level1_weight", Number(0.0, MANY, true), When::Gradient),
    ("loss", "sample_weights", Flag, When::Gradient),
    ("regularise", "ema", Number(0.0, 0.999_999, true), When::Gradient),
    ("regularise", "fgm", Number(0.0, MANY, true), When::Gradient),
    ("regularise", "r_drop", Number(0.0, MANY, true), When::Gradient),
    ("regularise", "weight_decay", Number(0.0, 1.0, true), When::Gradient),
    ("regularise", "patience", Whole(1, 10_000), When::Gradient),
    ("auxiliary", "mlm", Number(0.0, MANY, true), When::Sequence),
    ("auxiliary", "mfm", Number(0.0, MANY, true), When::Sequence),
    ("auxiliary", "vtm", Number(0.0, MANY, true), When::Sequence),
    ("auxiliary", "contrastive", Number(0.0, MANY, true), When::Sequence),
    ("auxiliary", "pretrain_epochs", Whole(0, 10_000), When::Sequence),
    ("balance", "oversample", Flag, When::Gradient),
    ("balance", "damped", Number(0.0, 1.0, true), When::Gradient),
    ("balance", "prior_boost", Number(0.0, MANY, true), When::Gradient),
    ("optimise", "epochs", Whole(1, 10_000), When::Gradient),
    ("optimise", "batch", Whole(1, 65_536), When::Gradient),
    ("optimise", "learning_rate", Number(0.0, 1.0, false), When::Gradient),
    ("optimise", "warmup", Number(0.0, 0.9, true), When::Gradient),
    ("distil", "temperature", Number(0.0, 100.0, false), When::Staged),
    ("distil", "hard_share", Number(0.0, 1.0, true), When::Staged),
    ("distil", "quota", Whole(0, 1_000_000_000), When::Staged),
    ("distil", "rounds", Whole(1, 100), When::Staged),
];
/// Lists of tables; checked by shape, then by [`composition`].
const LISTS: [&str; 2] = ["member", "stage"];

fn whole(v: &Value) -> Option<u64> {
    v.as_integer().and_then(|v| u64::try_from(v).ok())
}

fn number(v: &Value) -> Option<f64> {
    v.as_float().or_else(|| v.as_integer().map(|v| v as f64)).filter(|v| v.is_finite())
}

/// The value as the recipe holds it, or the rule that it breaks.
fn checked(kind: &Kind, v: &Value) -> Result<Value, String> {
    let list = || v.as_array().cloned().unwrap_or_else(|| vec![v.clone()]);
    match kind {
        Whole(from, to) => whole(v)
            .filter(|n| (from..=to).contains(&n))
            .map(|_| v.clone())
            .ok_or_else(|| format!("must be a whole number from {from} to {to}")),
        Number(from, to, with) => number(v)
            .filter(|n| n <= to && (n > from || (*with && n == from)))
            .map(Value::Float)
            .ok_or_else(|| match with {
                true => format!("must be a number from {from} to {to}"),
                false => format!("must be a number above {from}, at most {to}"),
            }),
        Flag => v.as_bool().map(Value::Boolean).ok_or_else(|| "must be true or false".into()),
        OneOf(names) => v
            .as_str()
            .filter(|s| names.contains(s))
            .map(|_| v.clone())
            .ok_or_else(|| format!("must be one of \"{}\"", names.join("\", \""))),
        Wholes => {
            let l = list();
            let distinct = (1..l.len()).all(|i| !l[..i].contains(&l[i]));
            (!l.is_empty() && distinct && l.iter().all(|v| whole(v).is_some()))
                .then_some(Value::Array(l))
                .ok_or_else(|| "must be whole numbers >= 0, each once".into())
        }
        Numbers => {
            let l: Vec<f64> = list().iter().map(number).collect::<Option<_>>().unwrap_or_default();
            let grid: Vec<f32> = l.iter().map(|&v| v as f32).collect();
            check_grid(&grid).map_err(|e| format!("is not a grid: {e}"))?;
            Ok(Value::Array(l.into_iter().map(Value::Float).collect()))
        }
        Fields => {
            let l = list();
            let known = |v: &Value| v.as_str().and_then(crate::domain::Field::parse).is_some();
            let distinct = (1..l.len()).all(|i| !l[..i].contains(&l[i]));
            (!l.is_empty() && distinct && l.iter().all(known))
                .then_some(Value::Array(l))
                .ok_or_else(|| "must be a list of \"frames\", \"title\", \"asr\", \"ocr\", each once".into())
        }
    }
}

fn name_of(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// The recipe that a table describes, or everything that is wrong with it.
pub(super) fn read(table: &Table) -> Result<Recipe, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut given = Vec::new();
    for (name, value) in table {
        let sub = value.as_table().filter(|_| KEYS.iter().any(|k| k.0 == name));
        if LISTS.contains(&name.as_str()) {
            continue;
        }
        let one = [(name, value)];
        let (section, pairs): (&str, Vec<(&String, &Value)>) = match sub {
            Some(t) => (name, t.iter().collect()),
            None => ("", one.to_vec()),
        };
        for (key, value) in pairs {
            let full = name_of(section, key);
            match KEYS.iter().find(|k| k.0 == section && k.1 == key) {
                None => {
                    let known: Vec<_> = KEYS.iter().filter(|k| k.0 == section).map(|k| k.1).collect();
                    faults.push(fault(&full, format!("is not a key; known are {}", known.join(", "))));
                }
                Some((section, key, kind, when)) => match checked(kind, value) {
                    Ok(v) => given.push((*section, *key, v, *when)),
                    Err(rule) => faults.push(fault(&full, rule)),
                },
            }
        }
    }
    let family = given
        .iter()
        .find(|g| (g.0, g.1) == ("network", "family"))
        .and_then(|g| g.2.clone().try_into::<Family>().ok())
        .unwrap_or_default();
    let mut base = Table::try_from(Recipe::of(family)).expect("tables of numbers and strings");
    for (section, key, value, _) in &given {
        let to = if section.is_empty() { Some(&mut base) } else { base[*section].as_table_mut() };
        to.expect("a section").insert((*key).to_owned(), value.clone());
    }
    for list in LISTS {
        if let Some(value) = table.get(list) {
            let mut alone = Table::try_from(Recipe::default()).expect("tables of numbers and strings");
            alone.insert(list.to_owned(), value.clone());
            match alone.try_into::<Recipe>() {
                Ok(_) => _ = base.insert(list.to_owned(), value.clone()),
                Err(e) => faults.push(fault(list, format!("is not understood: {}", e.message()))),
            }
        }
    }
    let recipe: Recipe = match base.try_into() {
        Ok(recipe) => recipe,
        Err(e) => {
            faults.push(fault("recipe", e.message()));
            return Err(faults);
        }
    };
    for (section, key, _, when) in &given {
        if let Some(why) = when.idle(&recipe) {
            faults.push(fault(&name_of(section, key), format!("does nothing {why}")));
        }
    }
    faults.extend(together(&recipe));
    faults.extend(composition(&recipe));
    if faults.is_empty() { Ok(recipe) } else { Err(faults) }
}

/// Whether `name` (`section.key`) does something in the recipe; a list does where it holds something.
pub(super) fn knows(r: &Recipe, name: &str) -> bool {
    match name {
        "member" => !r.member.is_empty(),
        "stage" => !r.stage.is_empty(),
        _ => {
            KEYS.iter().any(|(section, key, _, when)| name_of(section, key) == name && when.idle(r).is_none())
        }
    }
}

/// The recipe's table without the keys that do nothing in it.
pub(super) fn applying(r: &Recipe) -> Table {
    let mut table = Table::try_from(r).expect("tables of numbers and strings");
    for (section, key, _, when) in KEYS {
        if when.idle(r).is_some() {
            let from = if section.is_empty() { Some(&mut table) } else { table[*section].as_table_mut() };
            from.expect("a section").remove(*key);
        }
    }
    table.retain(|_, v| match v {
        Value::Table(t) => !t.is_empty(),
        Value::Array(l) => !l.is_empty(),
        _ => true,
    });
    table
}
