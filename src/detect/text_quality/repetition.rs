//! The share of a text that is the same again.

use std::collections::HashMap;

use super::MOST_CHARS;

/// Longest unit, in words, whose immediate repetition is looked for.
const LONGEST_UNIT: usize = 24;
/// So often a unit must come.
const TIMES: usize = 3;
/// A text of at least so many characters but at most [`FEW`] different ones is monotonous.
const LONG: usize = 12;
const FEW: usize = 4;

/// In [0, 1]: the largest of the share covered by a run of one unit (three times or more without a break),
/// the share covered by triples of words that come three times anywhere, and, of a long text of at most
/// four different characters, the share that is no news. O(24 words).
pub(super) fn repetition(text: &str) -> f64 {
    let words = words(text);
    // one word repeated twice is emphasis
    if words.len() < TIMES + 1 {
        return 0.0;
    }
    run(&words).max(triples(&words)).max(monotony(text))
}

/// A run of letters and digits of an alphabet is a word; every other visible character is one of its own,
/// as Chinese has no blanks.
fn words(text: &str) -> Vec<u64> {
    let mut out: Vec<u64> = Vec::new();
    let mut open = false;
    for c in text.chars().filter(|c| !c.is_control()).take(MOST_CHARS) {
        if c.is_whitespace() {
            open = false;
        } else if is_alphabetic_script(c) {
            let c = u64::from(u32::from(c.to_lowercase().next().unwrap_or(c)));
            match out.last_mut() {
                // FNV-1a: a chance collision of two words only makes a text a little more repetitive
                Some(word) if open => *word = (*word ^ c).wrapping_mul(0x0100_0000_01b3),
                _ => out.push((0xcbf2_9ce4_8422_2325 ^ c).wrapping_mul(0x0100_0000_01b3)),
            }
            open = true;
        } else {
            out.push(u64::from(u32::from(c)));
            open = false;
        }
    }
    out
}

/// Letters and digits written together to words: all but Chinese, Japanese and Korean.
pub(super) fn is_alphabetic_script(c: char) -> bool {
    c.is_alphanumeric() && u32::from(c) < 0x2e80
}

fn run(words: &[u64]) -> f64 {
    let mut longest = 0;
    for unit in 1..=LONGEST_UNIT.min(words.len() / TIMES) {
        let mut same = 0;
        for i in unit..words.len() {
            same = if words[i] == words[i - unit] { same + 1 } else { 0 };
            if same + unit >= TIMES * unit {
                longest = longest.max(same + unit);
            }
        }
    }
    longest as f64 / words.len() as f64
}

fn triples(words: &[u64]) -> f64 {
    let mut counts: HashMap<&[u64], usize> = HashMap::new();
    words.windows(3).for_each(|w| *counts.entry(w).or_default() += 1);
    let (mut covered, mut until) = (0, 0);
    for (i, w) in words.windows(3).enumerate() {
        if counts.get(w).is_some_and(|n| *n >= TIMES) {
            covered += i + 3 - until.max(i);
            until = i + 3;
        }
    }
    covered as f64 / words.len() as f64
}

fn monotony(text: &str) -> f64 {
    let visible = text.chars().filter(|c| !c.is_whitespace() && !c.is_numeric()).take(MOST_CHARS);
    let (mut different, mut n) = (Vec::with_capacity(FEW), 0usize);
    for c in visible {
        n += 1;
        if !different.contains(&c) {
            if different.len() == FEW {
                return 0.0;
            }
            different.push(c);
        }
    }
    if n < LONG { 0.0 } else { 1.0 - different.len() as f64 / n as f64 }
}
