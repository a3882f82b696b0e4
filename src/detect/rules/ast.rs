//! A rule's condition, typed: only what makes sense can be held.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::MAX_PATTERN_BYTES;
use super::schema::{Field, FieldType};

/// A condition. Made by [`super::parse_expr`]; printing it gives a source with the same tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// Two or more, none of them `Or`.
    Or(Vec<Expr>),
    /// Two or more, none of them `And`.
    And(Vec<Expr>),
    Not(Box<Expr>),
    Always(bool),
    Compare {
        left: Number,
        order: Order,
        right: Number,
    },
    SameText {
        left: Text,
        equal: bool,
        right: Text,
    },
    /// A yes-no field has this value.
    Flag {
        field: Field,
        is: bool,
    },
    Matches {
        text: Text,
        pattern: Pattern,
    },
    Contains {
        text: Text,
        part: Text,
    },
    TextIn {
        text: Text,
        list: Vec<String>,
    },
    NumberIn {
        number: Number,
        list: Vec<f64>,
    },
    /// `ids`: the node and all below it, sorted.
    Under {
        field: Field,
        node: String,
        ids: Vec<String>,
    },
    /// The type says how the field is asked for.
    Missing {
        field: Field,
        of: FieldType,
    },
}

impl Expr {
    /// Adds the indices of the fields that the condition reads.
    pub(super) fn fields(&self, into: &mut BTreeSet<usize>) {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|p| p.fields(into)),
            Self::Not(inner) => inner.fields(into),
            Self::Always(_) => {}
            Self::Compare { left, right, .. } => {
                into.extend([left, right].into_iter().filter_map(Number::field))
            }
            Self::SameText { left, right, .. } | Self::Contains { text: left, part: right } => {
                into.extend([left, right].into_iter().filter_map(Text::field));
            }
            Self::Matches { text, .. } | Self::TextIn { text, .. } => into.extend(text.field()),
            Self::NumberIn { number, .. } => into.extend(number.field()),
            Self::Flag { field, .. } | Self::Under { field, .. } | Self::Missing { field, .. } => {
                into.insert(field.index);
            }
        }
    }
}

impl Text {
    fn field(&self) -> Option<usize> {
        match self {
            Self::Field(f) | Self::Lower(f) => Some(f.index),
            Self::Literal(_) => None,
        }
    }
}

impl Number {
    fn field(&self) -> Option<usize> {
        match self {
            Self::Field(f) | Self::Len(f) => Some(f.index),
            Self::Literal(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    Field(Field),
    Lower(Field),
    Literal(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    Field(Field),
    /// Characters (Unicode scalar values) of a text.
    Len(Field),
    /// Finite.
    Literal(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Order {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }
}

/// A compiled regular expression; equal to another of the same source.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// Why the expression cannot be used: its syntax, or its size when compiled.
    pub fn new(source: &str) -> Result<Self, String> {
        let mut builder = RegexBuilder::new(source);
        builder.size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES).nest_limit(64);
        builder.build().map(Self).map_err(|e| match e {
            regex::Error::CompiledTooBig(_) => "one that is too big".to_owned(),
            // the last line of the message says what; those before it draw where
            e => e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
