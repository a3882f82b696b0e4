//! What a rule would do, before it does it.

use super::file::{Action, Rule};
use super::schema::{Field, Record};

/// Counts over all records, and the first hits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    pub records: usize,
    pub hits: usize,
    /// hits / records, in [0, 1]; 0 without records.
    pub rate: f64,
    /// Positions of the first hits.
    pub examples: Vec<usize>,
    /// Hits that a `relabel` would give another class than they have, those without one included; 0 for
    /// other actions.
    pub changes: usize,
}

/// Tries a rule; `label` is the field with the class a record has now, `examples` the most hits listed.
/// O(records x condition), nothing kept but the examples.
pub fn preview<'a, R: Record + ?Sized + 'a>(
    rule: &Rule,
    records: impl IntoIterator<Item = &'a R>,
    label: Option<&Field>,
    examples: usize,
) -> Preview {
    let mut out = Preview::default();
    for (at, record) in records.into_iter().enumerate() {
        out.records += 1;
        if !rule.when.matches(record) {
            continue;
        }
        out.hits += 1;
        if out.examples.len() < examples {
            out.examples.push(at);
        }
        if let Action::Relabel(class) = &rule.action {
            let has = label.and_then(|field| record.text(field));
            out.changes += usize::from(has != Some(class.as_str()));
        }
    }
    out.rate = out.hits as f64 / out.records.max(1) as f64;
    out
}
