//! Texts to features for the built-in encoder: words (jieba for Chinese, Unicode words otherwise)
//! and character n-grams, each as a stable 64-bit hash. The hash never changes with the compiler or
//! the machine, since stored vectors depend on it.

use std::sync::LazyLock;

use jieba_rs::Jieba;

use crate::arrays::mix;

/// About 0.3 s and 30 MB when first used.
static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// Texts are cut after this many characters: a 10 MB title must not cost minutes.
const MAX_CHARS: usize = 20_000;

/// Features of one text, with repetitions, in a fixed order.
#[derive(Debug, Default)]
pub(crate) struct Features {
    pub(crate) words: Vec<u64>,
    pub(crate) grams: Vec<u64>,
}

/// Words are jieba's for Han runs and whole runs of letters and digits otherwise; n-grams are 1 to
/// 3 characters over Han runs, 2 and 3 over other runs with their borders marked (single Latin
/// letters tell nothing). Case and full-width forms are folded.
pub(crate) fn features(text: &str) -> Features {
    let mut features = Features::default();
    for run in runs(text) {
        if run.han {
            for token in JIEBA.cut(&run.text, true) {
                features.words.push(hash(b'w', token.word));
            }
            grams(&run.text, 1, &mut features.grams);
        } else {
            features.words.push(hash(b'w', &run.text));
            grams(&format!(" {} ", run.text), 2, &mut features.grams);
        }
    }
    features
}

/// The words of a text that can name what it is about, in order, with repetitions: as in the features, but
/// without single characters and numbers, which occur anywhere.
pub fn words(text: &str) -> Vec<String> {
    let mut words = cut_words(text);
    words.retain(|w| w.chars().nth(1).is_some() && !w.chars().all(char::is_numeric));
    words
}

/// All words of a text, in order, with repetitions: jieba's for Han runs, whole runs of letters and digits
/// otherwise. Case and full-width forms are folded, everything else separates; only the first 20,000
/// characters are read. The first call also loads jieba's dictionary.
pub fn cut_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for run in runs(text) {
        if run.han {
            words.extend(JIEBA.cut(&run.text, true).into_iter().map(|token| token.word.to_owned()));
        } else {
            words.push(run.text);
        }
    }
    words
}

/// All letters and digits of a text one by one, folded as by [`cut_words`]. Inside a run that is not Han all
/// but the first carry the mark `##` of BERT's word pieces, so that word borders are not lost.
pub fn cut_characters(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for run in runs(text) {
        for (at, c) in run.text.chars().enumerate() {
            pieces.push(if run.han || at == 0 { c.to_string() } else { format!("##{c}") });
        }
    }
    pieces
}

struct Run {
    han: bool,
    text: String,
}

/// Maximal runs of Han characters and of other letters and digits; everything else separates.
fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut open = false;
    for c in text.chars().take(MAX_CHARS).map(fold).flat_map(char::to_lowercase) {
        if !c.is_alphanumeric() {
            open = false;
            continue;
        }
        let han = is_han(c);
        match runs.last_mut() {
            Some(run) if open && run.han == han => run.text.push(c),
            _ => runs.push(Run { han, text: c.to_string() }),
        }
        open = true;
    }
    runs
}

/// Full-width Latin letters, digits and signs to their plain forms.
fn fold(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Hashes of all n-grams of `shortest` to 3 characters.
fn grams(text: &str, shortest: usize, out: &mut Vec<u64>) {
    let mut starts: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
    starts.push(text.len());
    for n in shortest..=3 {
        for ends in starts.windows(n + 1) {
            out.push(hash(b'c', &text[ends[0]..ends[n]]));
        }
    }
}

/// FNV-1a over the kind and the bytes, then SplitMix64's finaliser, since FNV mixes its high bits
/// poorly.
fn hash(kind: u8, text: &str) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for byte in std::iter::once(kind).chain(text.bytes()) {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Computed with a few lines of Python.
        assert_eq!(hash(b'w', "a"), 0x42e7_8891_7d42_d3e2);
        assert_eq!(hash(b'c', "滑板"), 0x70b7_a92b_f798_7809);
    }

    #[test]
    fn chinese_and_latin_are_cut_each_in_their_own_way() {
        let f = features("滑板教学 Ollie，第3期");
        let has = |word: &str| f.words.contains(&hash(b'w', word));
        assert!(has("滑板") && has("教学") && has("ollie") && has("3"));
        assert!(!has("滑板教学ollie"));
        let gram = |g: &str| f.grams.contains(&hash(b'c', g));
        assert!(gram("滑") && gram("滑板教") && gram(" ol") && gram("ie "));
        assert!(!gram("o") && !gram("学o"));
    }

    #[test]
    fn words_that_can_name_something() {
        assert_eq!(words("滑板教学 Ollie，第3期的2024 a"), ["滑板", "教学", "ollie"]);
        assert!(words("！？ 7").is_empty());
    }

    #[test]
    fn every_piece_in_its_order() {
        assert_eq!(
            cut_words("滑板教学 Ollie，第3期 a 滑板"),
            ["滑板", "教学", "ollie", "第", "3", "期", "a", "滑板"]
        );
        assert_eq!(cut_characters("滑板 Ｏk，3期"), ["滑", "板", "o", "##k", "3", "期"]);
        assert!(cut_words("！？").is_empty() && cut_characters(" …!\n").is_empty());
    }

    #[test]
    fn case_width_and_punctuation_do_not_matter() {
        let a = features("ＡＢＣ!!滑板");
        let b = features("abc 滑板");
        assert_eq!((a.words, a.grams), (b.words, b.grams));
        assert!(features(" …!\n").words.is_empty());
    }
}
