//! Two texts line by line: what went, what came, what stayed.

/// One line of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffLine<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// Beyond so many cells of the table everything between the first and the last change counts as changed.
const MOST_CELLS: usize = 4_000_000;

/// The shortest way from `before` to `after` by whole lines (longest common subsequence), removed lines
/// before added ones. O(a b) for a and b lines between the first and the last change.
pub fn lines<'a>(before: &'a str, after: &'a str) -> Vec<DiffLine<'a>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (from, to) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut out: Vec<DiffLine<'a>> = a[..head].iter().map(|l| DiffLine::Same(l)).collect();
    if from.len().saturating_mul(to.len()) > MOST_CELLS {
        out.extend(from.iter().map(|l| DiffLine::Removed(l)));
        out.extend(to.iter().map(|l| DiffLine::Added(l)));
    } else {
        middle(from, to, &mut out);
    }
    out.extend(a[a.len() - tail..].iter().map(|l| DiffLine::Same(l)));
    out
}

fn middle<'a>(from: &[&'a str], to: &[&'a str], out: &mut Vec<DiffLine<'a>>) {
    // longest[i][j]: common lines of from[i..] and to[j..]
    let width = to.len() + 1;
    let mut longest = vec![0u32; (from.len() + 1) * width];
    for i in (0..from.len()).rev() {
        for j in (0..to.len()).rev() {
            longest[i * width + j] = if from[i] == to[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        if i < from.len() && j < to.len() && from[i] == to[j] {
            out.push(DiffLine::Same(from[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < from.len()
            && (j == to.len() || longest[(i + 1) * width + j] >= longest[i * width + j + 1])
        {
            out.push(DiffLine::Removed(from[i]));
            i += 1;
        } else {
            out.push(DiffLine::Added(to[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use DiffLine::{Added, Removed, Same};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(
            lines("a\nb\nc", "a\nx\nc\nd"),
            [Same("a"), Removed("b"), Added("x"), Same("c"), Added("d")]
        );
        assert_eq!(lines("", "a"), [Added("a")]);
        assert_eq!(lines("a\nb", "b\na"), [Removed("a"), Same("b"), Added("a")]);
        let (long, other) = ("a\n".repeat(3000), "b\n".repeat(3000));
        assert_eq!(lines(&long, &other).len(), 6000);
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_from_it(a in "[ab\n]{0,40}", b in "[ab\n]{0,40}") {
            let diff = lines(&a, &b);
            let side = |keep: fn(&DiffLine<'_>) -> bool| -> Vec<String> {
                diff.iter().filter(|l| keep(l)).map(|l| match l { Same(t) | Removed(t) | Added(t) => (*t).to_owned() }).collect()
            };
            prop_assert_eq!(side(|l| !matches!(l, Added(_))), a.lines().collect::<Vec<_>>());
            prop_assert_eq!(side(|l| !matches!(l, Removed(_))), b.lines().collect::<Vec<_>>());
        }
    }
}
