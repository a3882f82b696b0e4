//! The pieces that a network knows and their ids: the most frequent ones of the training texts. The same
//! texts give the same ids in whatever order they were counted.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{ASR, Budget, Cut, OCR, TITLE, Tokens, Unit};

/// Fills rows to one length; never attended to.
pub const PAD: u32 = 0;
/// A piece that is not in the vocabulary.
pub const UNKNOWN: u32 = 1;
/// Stands for the whole sample, first of a row.
pub const CLS: u32 = 2;
/// Between frames and text.
pub const SEP: u32 = 3;
/// In place of a token that is to be guessed.
pub const MASK: u32 = 4;
/// The ids below are the special ones above, in their order.
pub const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A stored vocabulary that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VocabularyError {
    #[error("a vocabulary starts with {}", SPECIALS.join(" "))]
    Specials,
    #[error("the vocabulary has {0:?} twice")]
    Twice(String),
}

/// Counts pieces, one text at a time. Memory for the distinct pieces.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    counts: HashMap<String, u64>,
}

impl Counter {
    /// Counts the pieces of one sample. O(pieces).
    pub fn add(&mut self, cut: &Cut) {
        for piece in cut.iter().flatten() {
            match self.counts.get_mut(piece) {
                Some(n) => *n += 1,
                None => {
                    self.counts.insert(piece.clone(), 1);
                }
            }
        }
    }

    /// The at most `most` pieces that were counted at least `least` times, most frequent first, equals in
    /// the order of their letters; ids from 5 on. O(distinct pieces log).
    pub fn vocabulary(self, unit: Unit, least: u64, most: usize) -> Vocabulary {
        let mut counted: Vec<(String, u64)> = self.counts.into_iter().filter(|(_, n)| *n >= least).collect();
        counted.retain(|(piece, _)| !SPECIALS.contains(&piece.as_str()));
        counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counted.truncate(most);
        let specials = SPECIALS.iter().map(|s| (*s).to_owned());
        Vocabulary::numbered(unit, specials.chain(counted.into_iter().map(|(piece, _)| piece)).collect())
    }
}

/// Pieces and their ids, the special ones first. Serialised as the unit and the list of pieces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Vocabulary {
    unit: Unit,
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    unit: Unit,
    pieces: Vec<String>,
}

impl From<Vocabulary> for Stored {
    fn from(v: Vocabulary) -> Self {
        Self { unit: v.unit, pieces: v.pieces }
    }
}

impl TryFrom<Stored> for Vocabulary {
    type Error = VocabularyError;

    fn try_from(stored: Stored) -> Result<Self, VocabularyError> {
        if stored.pieces.len() < SPECIALS.len() || stored.pieces.iter().zip(SPECIALS).any(|(a, b)| a != b) {
            return Err(VocabularyError::Specials);
        }
        let vocabulary = Self::numbered(stored.unit, stored.pieces);
        if vocabulary.ids.len() < vocabulary.pieces.len() {
            let twice = vocabulary.pieces.iter().enumerate().find(|(i, p)| vocabulary.id(p) != *i as u32);
            return Err(VocabularyError::Twice(twice.map_or_else(String::new, |(_, p)| p.clone())));
        }
        Ok(vocabulary)
    }
}

impl Vocabulary {
    fn numbered(unit: Unit, pieces: Vec<String>) -> Self {
        let ids = pieces.iter().enumerate().map(|(i, p)| (p.clone(), i as u32)).collect();
        Self { unit, pieces, ids }
    }

    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Ids are 0..size, the 5 special ones included.
    pub fn size(&self) -> usize {
        self.pieces.len()
    }

    /// The piece of each id.
    pub fn pieces(&self) -> &[String] {
        &self.pieces
    }

    /// [`UNKNOWN`] for a piece that is not known.
    pub fn id(&self, piece: &str) -> u32 {
        self.ids.get(piece).copied().unwrap_or(UNKNOWN)
    }

    /// The ids of what `budget` lets through of a sample's pieces: all of the title, then of ASR the head
    /// and the tail, then of OCR the tail; see [`Budget`]. O(pieces).
    pub fn tokens(&self, cut: &Cut, budget: &Budget) -> Tokens {
        let [title, asr, ocr] = cut;
        let room = budget.shared([title.len(), asr.len(), ocr.len()]);
        let (head, tail) = (room[1].div_ceil(2), room[1] / 2);
        let parts: [(u8, &[String]); 4] = [
            (TITLE, &title[..room[0]]),
            (ASR, &asr[..head]),
            (ASR, &asr[asr.len() - tail..]),
            (OCR, &ocr[ocr.len() - room[2]..]),
        ];
        let mut tokens = Tokens::default();
        for (kind, part) in parts {
            tokens.ids.extend(part.iter().map(|p| self.id(p)));
            tokens.kinds.extend(std::iter::repeat_n(kind, part.len()));
        }
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(title: &str, asr: &str, ocr: &str) -> Cut {
        [title, asr, ocr].map(|t| t.chars().map(String::from).collect())
    }

    fn counted(texts: &[Cut]) -> Counter {
        let mut counter = Counter::default();
        texts.iter().for_each(|t| counter.add(t));
        counter
    }

    #[test]
    fn frequent_pieces_come_first_and_rare_ones_are_unknown() {
        let texts = [cut("bba", "c", ""), cut("ab", "", "d")];
        let v = counted(&texts).vocabulary(Unit::Char, 1, 3);
        assert_eq!(v.pieces()[5..], ["b", "a", "c"]); // c and d once each, by their letters
        assert_eq!((v.id("b"), v.id("d"), v.size()), (5, UNKNOWN, 8));
        assert_eq!(counted(&texts).vocabulary(Unit::Char, 2, 9).pieces()[5..], ["b", "a"]);
        let turned = [texts[1].clone(), texts[0].clone()];
        assert_eq!(counted(&turned).vocabulary(Unit::Char, 1, 3), v);
    }

    #[test]
    fn asr_keeps_both_ends_and_ocr_its_tail() {
        let v = counted(&[cut("abc", "0123456789", "uvwxyz")]).vocabulary(Unit::Char, 1, 99);
        let t = v.tokens(&cut("abc", "0123456789", "uvwxyz"), &Budget { title: 3, asr: 5, ocr: 2 });
        let text: String = t.ids.iter().map(|&i| v.pieces()[i as usize].as_str()).collect();
        assert_eq!(text, "abc01289yz");
        assert_eq!(t.kinds, [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]);
        assert_eq!(v.tokens(&Cut::default(), &Budget::default()), Tokens::default());
    }

    #[test]
    fn comes_back_from_json_and_refuses_what_is_none() {
        let v = counted(&[cut("滑板a", "", "")]).vocabulary(Unit::Word, 1, 99);
        let json = serde_json::to_string(&v).unwrap();
        assert_eq!(serde_json::from_str::<Vocabulary>(&json).unwrap(), v);
        let error = |pieces: &str| {
            let json = format!("{{\"unit\":\"char\",\"pieces\":[{pieces}]}}");
            serde_json::from_str::<Vocabulary>(&json).unwrap_err().to_string()
        };
        let specials = SPECIALS.map(|s| format!("{s:?}")).join(",");
        assert!(error("\"a\"").contains("[PAD]") && error("").contains("[PAD]"));
        assert!(error(&format!("{specials},\"x\",\"y\",\"x\"")).contains("\"x\" twice"));
    }

    #[test]
    fn a_text_cannot_speak_in_special_tokens() {
        let mut texts = cut("a", "", "");
        texts[0].extend(["[CLS]".to_owned(), "[CLS]".to_owned()]);
        let v = counted(&[texts]).vocabulary(Unit::Word, 1, 99);
        assert_eq!(v.pieces()[5..], ["a"]);
    }

    proptest! {
        #[test]
        fn as_many_tokens_as_the_budget_shares_out(
            lengths in prop::array::uniform3(0usize..40),
            budget in prop::array::uniform3(0usize..20),
        ) {
            let v = counted(&[cut("x", "", "")]).vocabulary(Unit::Char, 1, 9);
            let budget = Budget { title: budget[0], asr: budget[1], ocr: budget[2] };
            let cut = lengths.map(|n| vec!["x".to_owned(); n]);
            let t = v.tokens(&cut, &budget);
            prop_assert_eq!(t.ids.len(), t.kinds.len());
            prop_assert!(t.kinds.is_sorted());
            let room = budget.shared(lengths);
            for kind in 0..3u8 {
                let n = t.kinds.iter().filter(|k| **k == kind).count();
                prop_assert_eq!(n, room[usize::from(kind)]);
            }
        }
    }
}
