//! Is a condition true of a record?

use super::ast::{Expr, Number, Order, Text};
use super::schema::{FieldType, Record};

impl Expr {
    /// Missing values make comparisons false. O(size of the condition + text read).
    pub fn matches<R: Record + ?Sized>(&self, record: &R) -> bool {
        match self {
            Self::Or(parts) => parts.iter().any(|p| p.matches(record)),
            Self::And(parts) => parts.iter().all(|p| p.matches(record)),
            Self::Not(inner) => !inner.matches(record),
            Self::Always(value) => *value,
            Self::Compare { left, order, right } => {
                let (left, right) = (left.value(record), right.value(record));
                left.zip(right).is_some_and(|(l, r)| order.holds(l, r))
            }
            Self::SameText { left, equal, right } => both(left, right, record, |l, r| (l == r) == *equal),
            Self::Flag { field, is } => record.flag(field) == Some(*is),
            Self::Matches { text, pattern } => text.with(record, |t| pattern.is_match(t)),
            Self::Contains { text, part } => both(text, part, record, |t, p| t.contains(p)),
            Self::TextIn { text, list } => text.with(record, |t| list.iter().any(|l| l == t)),
            Self::NumberIn { number, list } => number.value(record).is_some_and(|n| list.contains(&n)),
            Self::Under { field, ids, .. } => {
                record.text(field).is_some_and(|t| ids.binary_search_by(|id| id.as_str().cmp(t)).is_ok())
            }
            Self::Missing { field, of: FieldType::Text } => {
                record.text(field).is_none_or(|t| t.trim().is_empty())
            }
            Self::Missing { field, of: FieldType::Number } => record.number(field).is_none_or(f64::is_nan),
            Self::Missing { field, of: FieldType::Flag } => record.flag(field).is_none(),
        }
    }
}

fn both<R: Record + ?Sized>(a: &Text, b: &Text, record: &R, test: impl Fn(&str, &str) -> bool) -> bool {
    a.with(record, |a| b.with(record, |b| test(a, b)))
}

impl Text {
    /// Tests the text; false where it is missing.
    fn with<R: Record + ?Sized>(&self, record: &R, test: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Field(field) => record.text(field).is_some_and(test),
            Self::Lower(field) => record.text(field).is_some_and(|t| test(&t.to_lowercase())),
            Self::Literal(text) => test(text),
        }
    }
}

impl Number {
    fn value<R: Record + ?Sized>(&self, record: &R) -> Option<f64> {
        let value = match self {
            Self::Field(field) => record.number(field),
            Self::Len(field) => record.text(field).map(|t| t.chars().count() as f64),
            Self::Literal(value) => Some(*value),
        };
        value.filter(|v| !v.is_nan())
    }
}

impl Order {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
        }
    }
}
