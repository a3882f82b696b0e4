//! What a job has to say: a code of the message catalogues (`note.…`) with its parameters, so that
//! everyone reads it in their own language and scripts can tell one failure from another.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A sentence not yet worded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// Stable keyword; `note.{code}` of the catalogues.
    pub code: String,
    /// Values of the sentence's `{parameters}`; one that begins with `@` is itself a key of the catalogues.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
}

impl Note {
    pub fn new(code: &str) -> Self {
        Self { code: code.to_owned(), args: BTreeMap::new() }
    }

    /// A parameter as it is. A leading `@` is kept from being taken for a key.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        let value = if value.starts_with('@') { format!("\u{2060}{value}") } else { value };
        self.args.insert(name.to_owned(), value);
        self
    }

    /// A parameter that the catalogues word.
    #[must_use]
    pub fn worded(mut self, name: &str, key: &str) -> Self {
        self.args.insert(name.to_owned(), format!("@{key}"));
        self
    }
}
