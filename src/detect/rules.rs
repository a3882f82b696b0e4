//! Rules over the fields of samples: a small expression language that selects samples, and what is to be
//! done with them. No loops, no arithmetic, no calls out: every rule ends, in time linear in the text it
//! reads (regular expressions included), whoever wrote it.
//!
//! ```text
//! # a file: one rule a line
//! short: flag when len(title) < 4 or missing(asr)
//! "make-up in sport": relabel "beauty" when label = "sport" and neighbours_agree < 0.2 and title ~ /(?i)makeup/
//! exclude when under(label, "street") and not cluster in (3, 7)
//! ```
//!
//! | operator | of | true when |
//! | --- | --- | --- |
//! | `=` `!=` | two texts, numbers, or a yes-no field and `true`/`false` | equal, not equal |
//! | `<` `<=` `>` `>=` | two numbers | |
//! | `~ /re/` | a text | the expression matches somewhere (syntax of the crate `regex`) |
//! | `contains` | two texts | the first holds the second, letter for letter |
//! | `in (a, b)` | a text or number and literals | it is one of them |
//! | `under(field, "node")` | a text | it is the node's id or that of one below it in the taxonomy |
//! | `missing(field)` | any | no value, or text of nothing but blanks |
//! | `len(field)`, `lower(field)` | a text | its characters, counted; its lower case |
//!
//! `and`, `or`, `not`, brackets; `not` binds tighter than `and`, `and` tighter than `or`. A missing value
//! makes every comparison false, `!=` too; so `not x = 1` is true of a sample without `x`, and `x != 1` is
//! not. Names of fields that are not plain words stand in backticks.
//!
//! Types are checked when a rule is read, against a [`Schema`]; errors say line, column, what was expected
//! and the nearest known name.

mod ast;
mod cursor;
mod error;
mod eval;
mod file;
mod lexer;
mod parser;
mod preview;
mod print;
mod schema;

#[cfg(test)]
mod tests;

pub use ast::{Expr, Number, Order, Pattern, Text};
pub use error::RuleError;
pub use file::{Action, Rule, parse_rule, parse_rules};
pub use parser::parse_expr;
pub use preview::{Preview, preview};
pub use schema::{Field, FieldType, Record, Schema};

/// Longest rule, in bytes, as written and as printed.
pub const MAX_RULE_BYTES: usize = 4096;
/// Deepest nesting of brackets and `not`.
pub const MAX_NESTING: usize = 32;
/// Most rules in a file.
pub const MAX_RULES: usize = 1000;
/// Most regular expressions in a rule, and the memory each may take when compiled.
pub const MAX_PATTERNS: usize = 16;
pub const MAX_PATTERN_BYTES: usize = 512 << 10;
