//! How well a text's neighbouring characters are known from the other texts.

use std::collections::HashMap;

/// Weight of chance against the pairs counted.
const PRIOR: f64 = 2.0;
/// Counted for every character, seen or not.
const HALF: f64 = 0.5;
/// Stands before the first and after the last character.
const EDGE: u32 = u32::MAX;
/// Fewer pairs say nothing.
const LEAST_PAIRS: usize = 4;

/// Counts over all texts of a field.
#[derive(Clone, Debug, Default)]
pub(super) struct Corpus {
    pairs: HashMap<u64, u32>,
    /// As second, and as first of a pair.
    seconds: HashMap<u32, u32>,
    firsts: HashMap<u32, u32>,
    total: f64,
}

fn key(a: u32, b: u32) -> u64 {
    u64::from(a) << 32 | u64::from(b)
}

fn pairs(text: &[char]) -> impl Iterator<Item = (u32, u32)> + '_ {
    let inner = text.iter().map(|c| u32::from(*c));
    let before = std::iter::once(EDGE).chain(inner.clone());
    before.zip(inner.chain(std::iter::once(EDGE)))
}

impl Corpus {
    pub(super) fn learn(&mut self, text: &[char]) {
        if text.is_empty() {
            return;
        }
        for (a, b) in pairs(text) {
            *self.pairs.entry(key(a, b)).or_default() += 1;
            *self.seconds.entry(b).or_default() += 1;
            *self.firsts.entry(a).or_default() += 1;
            self.total += 1.0;
        }
    }

    /// Mean over the text's pairs of log P(second) / P(second | first), from the other texts' counts (it was learnt too): below
    /// 0 for a text whose pairs are known, above for one whose characters are but whose pairs are not.
    /// `None` for very short texts.
    pub(super) fn excess(&self, text: &[char]) -> Option<f64> {
        if text.len() + 1 < LEAST_PAIRS {
            return None;
        }
        let mut own: Vec<(u32, u32)> = pairs(text).collect();
        own.sort_unstable();
        let mut seconds: HashMap<u32, u32> = HashMap::new();
        let mut firsts: HashMap<u32, u32> = HashMap::new();
        for (a, b) in &own {
            *firsts.entry(*a).or_default() += 1;
            *seconds.entry(*b).or_default() += 1;
        }
        let others = |all: &HashMap<u32, u32>, mine: &HashMap<u32, u32>, c: u32| {
            f64::from(all.get(&c).copied().unwrap_or(0).saturating_sub(mine.get(&c).copied().unwrap_or(0)))
        };
        let rest = self.total - own.len() as f64 + HALF * self.seconds.len() as f64;
        let mut sum = 0.0;
        for run in own.chunk_by(|x, y| x == y) {
            let ((a, b), times) = (run[0], run.len());
            let all = self.pairs.get(&key(a, b)).copied().unwrap_or(0);
            let seen = f64::from(all.saturating_sub(times as u32));
            let chance = (others(&self.seconds, &seconds, b) + HALF) / rest.max(1.0);
            let before = others(&self.firsts, &firsts, a);
            let follows = (seen + PRIOR * chance) / (before + PRIOR);
            sum += times as f64 * (chance / follows).ln();
        }
        Some(sum / own.len() as f64)
    }
}
