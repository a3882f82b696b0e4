//! Texts that say nothing: repeated over and over, letters in no order, symbols, nothing at all. For one
//! field (titles, recognised speech, text read off the picture) of a data set, against the data set itself:
//! no dictionary, any language, Chinese and English mixed.
//!
//! A cut lies where few texts of a sound data set lie: some robust standard deviations above the median,
//! and never below a fixed floor. What is usual in a field (half the clips without speech) is no issue.

mod repetition;
mod surprise;
mod symbols;

#[cfg(test)]
mod tests;

use repetition::repetition;
use surprise::Corpus;
use symbols::symbols;

/// Longer texts are judged by so many of their characters.
const MOST_CHARS: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextIssue {
    /// Nothing but blanks, in a field where that is rare.
    Empty,
    /// Far fewer characters than usual in the field.
    Short,
    /// The same again and again.
    Repetition,
    /// Characters in an order that the rest of the data set does not know.
    Gibberish,
    /// Mostly symbols and single letters.
    Symbols,
}

impl TextIssue {
    pub const ALL: [Self; 5] = [Self::Empty, Self::Short, Self::Repetition, Self::Gibberish, Self::Symbols];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Short => "short",
            Self::Repetition => "repetition",
            Self::Gibberish => "gibberish",
            Self::Symbols => "symbols",
        }
    }
}

/// One text. Shares in [0, 1], higher = worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextQuality {
    /// Visible characters, at most 10,000.
    pub chars: u32,
    /// Share of the text covered by a run of one unit, or by word triples that come three times.
    pub repetition: f32,
    /// How little its pairs of neighbouring characters are known from the other texts; 0.5 = no better
    /// than chance. 0 for texts too short to say.
    pub surprise: f32,
    /// Share of symbols and lone letters among its characters.
    pub symbols: f32,
    /// The first that applies, in the order of [`TextIssue`].
    pub issue: Option<TextIssue>,
}

/// The texts of a field, in input order, and from where on they count as bad.
#[derive(Clone, Debug, PartialEq)]
pub struct TextReport {
    pub texts: Vec<TextQuality>,
    /// At least so many characters; 0 where short texts are usual.
    pub short_below: usize,
    pub empty_is_issue: bool,
    pub repetition_cut: f32,
    /// 1 where the data set is too small to know its language.
    pub surprise_cut: f32,
    pub symbols_cut: f32,
}

/// Robust standard deviations above the median.
const DEVIATIONS: f64 = 6.0;
const SURPRISE_DEVIATIONS: f64 = 2.5;
/// Floors of the cuts.
const LEAST_REPETITION: f64 = 0.5;
const LEAST_SYMBOLS: f64 = 0.3;
/// Mean excess (nats) beyond which pairs are unknown in any data set: where the texts are of several kinds
/// the spread is wide, and the cut would leave everything out.
const UNKNOWN: f64 = 1.6;
/// A data set with fewer characters does not know its language.
const LEAST_CORPUS: f64 = 2000.0;
/// More texts than this share are not exceptions.
const RARE: f64 = 0.05;

/// Judges the texts of one field. O(characters).
pub fn text_quality(texts: &[&str]) -> TextReport {
    let mut judge = TextJudge::default();
    for text in texts {
        judge.learn(text);
    }
    texts.iter().enumerate().for_each(|(i, t)| judge.measure(i, t));
    judge.report()
}

/// Judges texts that pass by one at a time: first all are to be learnt, then each is to be measured. Keeps 40
/// bytes a text and the counts of pairs of characters.
#[derive(Clone, Debug, Default)]
pub struct TextJudge {
    corpus: Corpus,
    seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    chars: u32,
    repetition: f64,
    symbols: f64,
    /// Of the characters' order, nats; `None` for very short texts.
    excess: Option<f64>,
}

impl TextJudge {
    /// Takes up one text; its number, from 0.
    pub fn learn(&mut self, text: &str) -> usize {
        let chars = visible(text);
        self.corpus.learn(&chars);
        self.seen.push(Seen {
            chars: chars.len() as u32,
            repetition: repetition(text),
            symbols: symbols(text),
            excess: None,
        });
        self.seen.len() - 1
    }

    /// Holds the text that was learnt as number `at` against all of them.
    pub fn measure(&mut self, at: usize, text: &str) {
        if let Some(seen) = self.seen.get_mut(at) {
            seen.excess = self.corpus.excess(&visible(text));
        }
    }

    /// The judgement, in the order of learning. O(N).
    pub fn report(self) -> TextReport {
        let seen = self.seen;
        let lengths: Vec<f64> = seen.iter().filter(|s| s.chars > 0).map(|s| f64::from(s.chars)).collect();
        let usual = median(lengths.clone());
        let (middle, limit) = surprise_limit(&seen.iter().filter_map(|s| s.excess).collect::<Vec<_>>());
        // a short text's mean wanders further by chance
        let steadied = |x: f64, n: f64| middle + (x - middle) * (n / usual.max(1.0)).min(1.0).sqrt();
        let surprise = |s: &Seen| s.excess.map_or(0.0, |x| share(steadied(x, f64::from(s.chars))));
        let column = |pick: fn(&Seen) -> f64| seen.iter().map(pick).collect::<Vec<_>>();
        let empty = seen.iter().filter(|s| s.chars == 0).count();
        let short_below = short_cut(&lengths, usual);
        let large = lengths.iter().sum::<f64>() >= LEAST_CORPUS;
        let repetition_cut = cut(column(|s| s.repetition), LEAST_REPETITION);
        let symbols_cut = cut(column(|s| s.symbols), LEAST_SYMBOLS);
        let surprise_cut = if large { share(limit) } else { 1.0 };
        let empty_is_issue = (empty as f64) <= RARE * seen.len() as f64;
        let judged = seen.iter().map(|s| {
            let unknown = surprise(s);
            let issue = match s.chars as usize {
                0 => empty_is_issue.then_some(TextIssue::Empty),
                n if n < short_below => Some(TextIssue::Short),
                _ if s.repetition >= repetition_cut => Some(TextIssue::Repetition),
                _ if s.symbols >= symbols_cut => Some(TextIssue::Symbols),
                _ if unknown >= surprise_cut => Some(TextIssue::Gibberish),
                _ => None,
            };
            TextQuality {
                chars: s.chars,
                repetition: s.repetition as f32,
                surprise: unknown as f32,
                symbols: s.symbols as f32,
                issue,
            }
        });
        TextReport {
            texts: judged.collect(),
            short_below,
            empty_is_issue,
            repetition_cut: repetition_cut as f32,
            surprise_cut: surprise_cut as f32,
            symbols_cut: symbols_cut as f32,
        }
    }
}

/// Characters that are not blank, in lower case, digits all alike: dates and counts are not words.
fn visible(text: &str) -> Vec<char> {
    let fold = |c: char| if c.is_numeric() { '0' } else { c.to_lowercase().next().unwrap_or(c) };
    text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(MOST_CHARS).map(fold).collect()
}

/// Nats above or below chance, to (0, 1).
fn share(excess: f64) -> f64 {
    1.0 / (1.0 + (-excess).exp())
}

/// Median excess, and from where on it counts as bad.
fn surprise_limit(known: &[f64]) -> (f64, f64) {
    let middle = median(known.to_vec());
    let spread = deviation(known, middle);
    // of several kinds of texts the median may be one kind's alone: the upper tenth tells
    let upper = (quantile(known.to_vec(), 0.9) - middle) / 1.2816;
    let strict = middle + SURPRISE_DEVIATIONS * spread;
    let wide = middle + SURPRISE_DEVIATIONS * spread.max(upper);
    (middle, wide.min(strict.max(UNKNOWN)).max(0.0))
}

fn cut(values: Vec<f64>, floor: f64) -> f64 {
    let middle = median(values.clone());
    let spread = deviation(&values, middle);
    // a cut of 1 or more would let a text of nothing but symbols pass
    (middle + DEVIATIONS * spread).clamp(floor, 0.95)
}

/// A seventh of the usual length, from 2 to 10; 0 where more than few are that short.
fn short_cut(lengths: &[f64], usual: f64) -> usize {
    let at = (usual / 7.0).floor().clamp(2.0, 10.0);
    let shorter = lengths.iter().filter(|l| **l < at).count() as f64;
    if shorter > RARE * lengths.len() as f64 { 0 } else { at as usize }
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which a share `q` lies (nearest rank); 0 of none.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let at = ((values.len() - 1) as f64 * q).round() as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

/// Median distance from the middle, scaled to be a normal distribution's standard deviation.
fn deviation(values: &[f64], middle: f64) -> f64 {
    1.4826 * median(values.iter().map(|v| (v - middle).abs()).collect())
}
