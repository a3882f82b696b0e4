//! The share of a text that is neither words nor the usual signs between them.

use super::MOST_CHARS;
use super::repetition::is_alphabetic_script;

/// Signs that sound texts have; also written twice or thrice.
const USUAL: &str = ",.!?:;'\"()-/%&+@#·…—–~_*$|\
    ，。！？：；、“”‘’（）《》〈〉【】「」『』［］〔〕～￥〃•丨｜／－＋％＆＠＃’";
/// A sign written more often than this in a row counts as a symbol.
const LONGEST_ROW: usize = 3;

/// In [0, 1]: symbols and lone letters among all visible characters. A lone letter stands between blanks or
/// symbols, as recognised noise does; `A` and `I` are words.
pub(super) fn symbols(text: &str) -> f64 {
    let chars: Vec<char> = text.chars().filter(|c| !c.is_control()).take(MOST_CHARS).collect();
    let at = |i: Option<usize>| i.and_then(|i| chars.get(i)).copied().unwrap_or(' ');
    let (mut bad, mut visible, mut row) = (0usize, 0usize, 0usize);
    for (i, &c) in chars.iter().enumerate() {
        let (before, after) = (at(i.checked_sub(1)), at(Some(i + 1)));
        row = if c == before && i > 0 { row + 1 } else { 1 };
        if c.is_whitespace() {
            continue;
        }
        visible += 1;
        let is_bad = if c.is_alphanumeric() {
            let lone = |other: char| !other.is_alphanumeric() && !"'’.-:/".contains(other);
            is_alphabetic_script(c)
                && !c.is_numeric()
                && !matches!(c, 'A' | 'a' | 'I')
                && lone(before)
                && lone(after)
        } else {
            // of two signs beside each other the second is one too many, but for "……" and "？！"
            let crowded = is_ascii_sign(c) && is_ascii_sign(before) && c != before;
            !USUAL.contains(c) && !is_mark(c) || row > LONGEST_ROW || crowded
        };
        bad += usize::from(is_bad);
    }
    bad as f64 / visible.max(1) as f64
}

fn is_ascii_sign(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '!' | '?' | '"' | '\'' | '(' | ')' | '.' | ',')
}

/// Marks on letters, joiners, variation selectors and emoji: written on purpose.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x900..=0xdff | 0x200b..=0x200f | 0x2600..=0x27bf | 0x3000..=0x303f
        | 0xfe00..=0xfe0f | 0x1f000..=0x1faff)
}
