//! Texts as numbers for the networks: a vocabulary of characters or words, ids, and how much of title, ASR
//! and OCR is read when not all of it fits.
//!
//! Texts come cut into pieces by whoever knows their language (`encode::cut_characters`,
//! `encode::cut_words`); the order of the fields is title, ASR, OCR everywhere.

mod budget;
mod start;
mod vocabulary;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::budget::Budget;
pub use self::start::start_vectors;
pub use self::vocabulary::{CLS, Counter, MASK, PAD, SEP, SPECIALS, UNKNOWN, Vocabulary, VocabularyError};

/// What one token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A character. Needs no dictionary and knows nearly everything.
    #[default]
    Char,
    /// A word: shorter inputs, and errors unlike those of characters, so that the two blend well.
    Word,
}

/// The pieces of a sample's title, ASR and OCR, in this order; empty = missing.
pub type Cut = [Vec<String>; 3];

/// Numbers of the fields in [`Tokens::kinds`].
pub const TITLE: u8 = 0;
pub const ASR: u8 = 1;
pub const OCR: u8 = 2;

/// What a network reads of a sample's texts: (T) each, T in 0..=budget; no special tokens among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Ids of a [`Vocabulary`].
    pub ids: Vec<u32>,
    /// [`TITLE`], [`ASR`] or [`OCR`] of each; ascending.
    pub kinds: Vec<u8>,
}
