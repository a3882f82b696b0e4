//! What is wrong with a rule, and where.

/// One fault. Lines and columns count from 1; columns are characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    pub line: usize,
    pub column: usize,
    pub expected: String,
    pub found: String,
    /// The known name nearest to the one found.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, column, expected, found, suggestion } = self;
        write!(f, "line {line}, column {column}: expected {expected}, found {found}")?;
        match suggestion {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RuleError {}

/// Names longer than this are not compared.
const LONGEST: usize = 64;

/// The known name with the fewest letters changed, if not more than a third of them are.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wanted: Vec<char> = name.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if wanted.len() > LONGEST {
        return None;
    }
    let close = |k: &'a str| {
        let letters: Vec<char> = k.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
        let limit = (wanted.len().max(letters.len()) / 3).max(1);
        // a change of one letter of one is no resemblance
        (letters.len().abs_diff(wanted.len()) <= limit && wanted.len() > 1)
            .then(|| (distance(&wanted, &letters), k))
            .filter(|(d, _)| *d <= limit)
    };
    known.into_iter().filter_map(close).min().map(|(_, k)| k.to_owned())
}

/// Letters inserted, left out, replaced, or swapped with the next (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// At most 40 characters of what was found.
pub(super) fn shortened(text: &str) -> String {
    let mut out: String = text.chars().take(40).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_recognised() {
        let known = ["title", "label", "duration_ms", "asr"];
        assert_eq!(nearest("titel", known), Some("title".into()));
        assert_eq!(nearest("Duration", known), Some("duration_ms".into()));
        assert_eq!(nearest("sra", known), None);
        assert_eq!(nearest("as", known), Some("asr".into()));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"x".repeat(5000), known), None);
    }
}
