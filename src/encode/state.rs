//! The fitted state of the built-in text encoder as bytes: a header, the vocabulary as LEB128
//! numbers and the projection in half precision. The same corpus gives the same bytes.

use half::f16;

use super::{EncodeError, Result};

const MAGIC: &[u8; 8] = b"TAMISTF2";

/// What a corpus teaches.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) dimension: u32,
    /// Texts counted.
    pub(crate) texts: u64,
    /// Buckets in ascending order, each with the number of texts that have it.
    pub(crate) vocabulary: Vec<(u32, u32)>,
    /// Columns of the projection, at most `dimension`.
    pub(crate) rank: u32,
    /// `vocabulary.len() x rank`, row by row.
    pub(crate) projection: Vec<f16>,
}

impl State {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let (dimension, rank) = (u64::from(self.dimension), u64::from(self.rank));
        for number in [dimension, self.texts, self.vocabulary.len() as u64, rank] {
            write_number(number, &mut out);
        }
        let mut next = 0;
        for (bucket, count) in &self.vocabulary {
            write_number(u64::from(bucket - next), &mut out);
            write_number(u64::from(*count), &mut out);
            next = bucket + 1;
        }
        out.extend(self.projection.iter().flat_map(|v| v.to_le_bytes()));
        out
    }

    /// # Errors
    /// [`EncodeError::State`] for anything that [`Self::to_bytes`] did not make with buckets below
    /// `buckets`.
    pub(crate) fn from_bytes(bytes: &[u8], buckets: u32) -> Result<Self> {
        let broken = |what: &str| EncodeError::State(what.to_owned());
        let mut rest =
            bytes.strip_prefix(MAGIC).ok_or_else(|| broken("made by another version of the encoder"))?;
        let mut number = || read_number(&mut rest).ok_or_else(|| broken("ends early"));
        let dimension = u32::try_from(number()?).map_err(|_| broken("dimension"))?;
        let (texts, words, rank) = (number()?, number()?, number()?);
        if !(1..=65_536).contains(&dimension) || rank > u64::from(dimension) || words > u64::from(buckets) {
            return Err(broken("sizes that cannot be"));
        }
        let mut vocabulary = Vec::new();
        let mut next = 0u32;
        for _ in 0..words {
            let bucket = u32::try_from(number()?).ok().and_then(|skip| next.checked_add(skip));
            let bucket = bucket.filter(|b| *b < buckets).ok_or_else(|| broken("a bucket is too large"))?;
            let count = u32::try_from(number()?).map_err(|_| broken("a count is too large"))?;
            vocabulary.push((bucket, count));
            next = bucket + 1;
        }
        if rest.len() as u64 != 2 * words * rank {
            return Err(broken("the projection has another size"));
        }
        let projection: Vec<f16> = rest.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
        if projection.iter().any(|v| !v.is_finite()) {
            return Err(broken("the projection holds no numbers"));
        }
        Ok(Self { dimension, texts, vocabulary, rank: rank as u32, projection })
    }
}

fn write_number(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        n |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn states_survive_their_bytes(words in proptest::collection::btree_map(0u32..1000, any::<u32>(), 0..50), rank in 0u32..4) {
            let vocabulary: Vec<(u32, u32)> = words.into_iter().collect();
            let n = vocabulary.len() * rank as usize;
            let projection = (0..n).map(|i| f16::from_f32(i as f32 / 7.0)).collect();
            let state = State { dimension: 64, texts: 70_000, vocabulary, rank, projection };
            let bytes = state.to_bytes();
            prop_assert_eq!(State::from_bytes(&bytes, 1000).unwrap(), state);
            prop_assert!(State::from_bytes(&bytes[..bytes.len() - 1], 1000).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut with_magic = MAGIC.to_vec();
            with_magic.extend(bytes);
            let _ = State::from_bytes(&with_magic, 1000);
        }
    }

    #[test]
    fn buckets_out_of_range_and_other_versions_are_refused() {
        let state = State { dimension: 8, texts: 1, vocabulary: vec![(9, 1)], rank: 0, projection: vec![] };
        assert!(State::from_bytes(&state.to_bytes(), 10).is_ok());
        assert!(State::from_bytes(&state.to_bytes(), 9).is_err());
        assert!(State::from_bytes(b"TAMISTF1", 10).is_err());
    }
}
