//! Classes and figures as pages show them.

use crate::domain::Taxonomy;
use crate::messages::Lang;

/// A class in the reader's language: its own name, its path, and the path above it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClassName {
    pub(crate) id: String,
    pub(crate) name: String,
    /// `Sports / Ollie`
    pub(crate) path: String,
    /// `Sports`; empty for a root.
    pub(crate) above: String,
}

impl ClassName {
    /// An id that the taxonomy does not know reads as itself.
    pub(crate) fn of(taxonomy: &Taxonomy, id: &str, lang: Lang) -> Self {
        let tag = lang.tag();
        let path = taxonomy.path(id);
        let above = path.len().checked_sub(2).map(|last| taxonomy.path_name(path[last], tag));
        let name = taxonomy.name(id, tag).to_owned();
        Self {
            id: id.to_owned(),
            path: if path.is_empty() { name.clone() } else { taxonomy.path_name(id, tag) },
            name,
            above: above.unwrap_or_default(),
        }
    }
}

/// A probability or share with the width of its bar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    pub(crate) text: String,
    /// For an SVG attribute: `43.2%`.
    pub(crate) width: String,
}

impl Share {
    pub(crate) fn of(value: f32, lang: Lang) -> Self {
        Self { text: lang.percent(value), width: width(f64::from(value)) }
    }
}

/// `part` as a bar width of `whole`; a part that is there is at least a hair wide.
pub(crate) fn bar(part: i64, whole: i64) -> String {
    if part <= 0 || whole <= 0 {
        return "0%".into();
    }
    width((part as f64 / whole as f64).max(0.006))
}

fn width(share: f64) -> String {
    format!("{:.1}%", if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 })
}

/// First twelve digits of a snapshot's id.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// Three decimals, as scores are read.
pub(crate) fn score(value: f64) -> String {
    format!("{value:.3}")
}

/// A figure of any size: three decimals, or its first digit where they would show nothing.
pub(crate) fn figure(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.000_5 { format!("{value:.0e}") } else { score(value) }
}

/// A signed change of a score: `+0.012`, `−0.004`, `±0`.
pub(crate) fn delta(value: f64) -> String {
    let thousandths = (value * 1000.0).round() / 1000.0;
    if thousandths == 0.0 {
        "±0".into()
    } else if thousandths > 0.0 {
        format!("+{thousandths:.3}")
    } else {
        format!("−{:.3}", -thousandths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_figures_keep_their_size() {
        assert_eq!(figure(0.0), "0.000");
        assert_eq!(figure(0.916_2), "0.916");
        assert_eq!(figure(-2.4e-7), "-2e-7");
    }
}
