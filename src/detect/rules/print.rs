//! The one way in which a rule is written: parsing it gives the same rule.

use std::fmt::{Display, Formatter, Result};

use super::ast::{Expr, Number, Pattern, Text};
use super::file::{Action, Rule};
use super::lexer::{is_word, is_word_start};
use super::parser::is_keyword;
use super::schema::Field;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Or(parts) => joined(f, parts, " or ", |_| false),
            Self::And(parts) => joined(f, parts, " and ", |p| matches!(p, Self::Or(_))),
            Self::Not(inner) if matches!(**inner, Self::Or(_) | Self::And(_)) => write!(f, "not ({inner})"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Always(value) => write!(f, "{value}"),
            Self::Compare { left, order, right } => write!(f, "{left} {} {right}", order.as_str()),
            Self::SameText { left, equal, right } => {
                write!(f, "{left} {} {right}", if *equal { "=" } else { "!=" })
            }
            Self::Flag { field, is: true } => write!(f, "{field}"),
            Self::Flag { field, is: false } => write!(f, "{field} = false"),
            Self::Matches { text, pattern } => write!(f, "{text} ~ {pattern}"),
            Self::Contains { text, part } => write!(f, "{text} contains {part}"),
            Self::TextIn { text, list } => {
                write!(f, "{text} in ")?;
                listed(f, list, |f, t| quoted(f, t))
            }
            Self::NumberIn { number, list } => {
                write!(f, "{number} in ")?;
                listed(f, list, |f, n| plain_number(f, *n))
            }
            Self::Under { field, node, .. } => {
                write!(f, "under({field}, ")?;
                quoted(f, node)?;
                f.write_str(")")
            }
            Self::Missing { field, .. } => write!(f, "missing({field})"),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], with: &str, in_brackets: impl Fn(&Expr) -> bool) -> Result {
    for (i, part) in parts.iter().enumerate() {
        f.write_str(if i > 0 { with } else { "" })?;
        if in_brackets(part) { write!(f, "({part})")? } else { write!(f, "{part}")? }
    }
    Ok(())
}

fn listed<T>(f: &mut Formatter<'_>, list: &[T], one: impl Fn(&mut Formatter<'_>, &T) -> Result) -> Result {
    f.write_str("(")?;
    for (i, value) in list.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        one(f, value)?;
    }
    f.write_str(")")
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Field(field) => write!(f, "{field}"),
            Self::Lower(field) => write!(f, "lower({field})"),
            Self::Literal(text) => quoted(f, text),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Field(field) => write!(f, "{field}"),
            Self::Len(field) => write!(f, "len({field})"),
            Self::Literal(value) => plain_number(f, *value),
        }
    }
}

/// Shortest digits that give the same number; very large and small ones with an exponent.
fn plain_number(f: &mut Formatter<'_>, value: f64) -> Result {
    if value == 0.0 || (1e-5..1e16).contains(&value.abs()) {
        write!(f, "{value}")
    } else {
        write!(f, "{value:e}")
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if is_plain(&self.name) { f.write_str(&self.name) } else { write!(f, "`{}`", self.name) }
    }
}

/// Words, joined by dots, the first no keyword.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(is_word_start)
        && name.split('.').all(|part| !part.is_empty() && part.chars().all(is_word))
        && !is_keyword(name)
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("/")?;
        let mut chars = self.as_str().chars();
        while let Some(c) = chars.next() {
            match c {
                '/' => f.write_str("\\/")?,
                '\\' => write!(f, "\\{}", chars.next().map_or(String::new(), String::from))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("/")
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Exclude => f.write_str("exclude"),
            Self::Relabel(class) => {
                f.write_str("relabel ")?;
                quoted(f, class)
            }
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        quoted(f, &self.name)?;
        write!(f, ": {} when {}", self.action, self.when)
    }
}
