//! The fitted state of the built-in text encoder as bytes: a short header and the sorted buckets
//! with their document counts, as LEB128 numbers. The same corpus gives the same bytes.

use super::{EncodeError, Result};

const MAGIC: &[u8; 8] = b"TAMISTF1";

/// What a corpus teaches: in how many of its texts each bucket occurs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) dimension: u32,
    pub(crate) texts: u64,
    /// Documents per bucket, indexed by bucket.
    pub(crate) counts: Vec<u32>,
}

impl State {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        let used = self.counts.iter().filter(|n| **n > 0).count();
        for number in [u64::from(self.dimension), self.counts.len() as u64, self.texts, used as u64] {
            write_number(number, &mut out);
        }
        let mut next = 0;
        for (bucket, count) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            write_number((bucket - next) as u64, &mut out);
            write_number(u64::from(*count), &mut out);
            next = bucket + 1;
        }
        out
    }

    pub(crate) fn from_bytes(bytes: &[u8], buckets: usize) -> Result<Self> {
        let broken = |what: &str| EncodeError::State(what.to_owned());
        let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| broken("not one of ours"))?;
        let mut number = || read_number(&mut rest).ok_or_else(|| broken("ends early"));
        let dimension = u32::try_from(number()?).map_err(|_| broken("dimension"))?;
        if number()? != buckets as u64 || !(1..=65_536).contains(&dimension) {
            return Err(broken("made for another version of the encoder"));
        }
        let (texts, used) = (number()?, number()?);
        let mut counts = vec![0; buckets];
        let mut next = 0usize;
        for _ in 0..used {
            let bucket = usize::try_from(number()?).ok().and_then(|skip| next.checked_add(skip));
            let count = u32::try_from(number()?).map_err(|_| broken("a count is too large"))?;
            let bucket = bucket.filter(|b| *b < buckets).ok_or_else(|| broken("a bucket is too large"))?;
            if u64::from(count) > texts {
                return Err(broken("a count exceeds the number of texts"));
            }
            counts[bucket] = count;
            next = bucket + 1;
        }
        if !rest.is_empty() {
            return Err(broken("bytes are left over"));
        }
        Ok(Self { dimension, texts, counts })
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
        fn states_survive_their_bytes(pairs in proptest::collection::vec((0usize..1000, 1u32..=70_000), 0..50)) {
            let mut counts = vec![0; 1000];
            for (bucket, count) in pairs {
                counts[bucket] = count;
            }
            let state = State { dimension: 64, texts: 70_000, counts };
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
    fn another_number_of_buckets_is_refused() {
        let bytes = State { dimension: 8, texts: 1, counts: vec![1; 4] }.to_bytes();
        assert!(State::from_bytes(&bytes, 8).is_err());
    }
}
