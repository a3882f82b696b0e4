//! What is wrong with one row of a file: where, which field, a stable code and a sentence.
//!
//! The code is the key into the message catalogue; the English message carries the offending value,
//! cut short, and the rule it broke.

use serde::Serialize;

/// Longest part of an offending value that a message repeats, in characters.
pub(crate) const SHOWN_CHARS: usize = 80;

/// Every code that a [`RowError`] of this room can carry.
pub const CODES: &[&str] = &[
    "bad_json",
    "bad_time",
    "column_count",
    "control_character",
    "duplicate_column",
    "duplicate_key",
    "empty_file",
    "level_mismatch",
    "missing_column",
    "missing_id",
    "not_utf8",
    "nul_byte",
    "read_failed",
    "row_too_large",
    "taxonomy_invalid",
    "too_deep",
    "too_long",
    "too_many_lines",
    "trailing_data",
    "truncated_json",
    "unclosed_quote",
    "unknown_field",
    "unknown_split",
    "wrong_type",
];

/// One bad row. `line` counts from 1 and is where the row starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}:{line}: {}{message}", field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default())]
pub struct RowError {
    pub file: String,
    pub line: u64,
    pub field: Option<String>,
    /// Stable snake_case, one of [`CODES`].
    pub code: &'static str,
    pub message: String,
}

/// A [`RowError`] that does not know its file yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) field: Option<&'static str>,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Lines after the first line of the row.
    pub(crate) line_offset: u64,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(CODES.contains(&code), "{code} is not in CODES");
        Self { field: None, code, message: message.into(), line_offset: 0 }
    }

    pub(crate) fn field(code: &'static str, field: &'static str, message: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(code, message) }
    }

    pub(crate) fn at(self, file: &str, line: u64) -> RowError {
        RowError {
            file: file.to_owned(),
            line: line + self.line_offset,
            field: self.field.map(str::to_owned),
            code: self.code,
            message: self.message,
        }
    }
}

/// The first [`SHOWN_CHARS`] characters of a value, quoted, with escapes for what does not print.
pub(crate) fn shown(value: &str) -> String {
    let mut cut: String = value.chars().take(SHOWN_CHARS).collect();
    if cut.len() < value.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique_and_values_are_cut() {
        assert!(CODES.windows(2).all(|w| w[0] < w[1]));
        let long = "类".repeat(500);
        assert_eq!(shown(&long).chars().count(), SHOWN_CHARS + 3);
        assert_eq!(shown("a\u{0}b"), "\"a\\0b\"");
    }

    #[test]
    fn errors_print_like_a_compiler() {
        let e = Fault::field("missing_id", "id", "is missing").at("a.jsonl", 7);
        assert_eq!(e.to_string(), "a.jsonl:7: id: is missing");
        assert_eq!(Fault::new("bad_json", "no").at("a", 1).to_string(), "a:1: no");
    }
}
