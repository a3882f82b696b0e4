//! How well people decide, from decisions whose right answer is known.

use super::Reviewer;

/// What is assumed before anything is known: right nineteen times of twenty, as `tamis audit` assumes.
const ASSUMED: f64 = 0.95;
/// Known answers that the assumption is worth.
const WORTH: f64 = 20.0;

/// Decisions whose right answer is known, of all people together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Decisions on a wrong label, and those of them that gave the right class.
    pub wrong: usize,
    pub corrected: usize,
    /// Decisions on a right label, and those of them that left it.
    pub right: usize,
    pub kept: usize,
}

impl Reviewer {
    /// The mean of a Beta distribution that begins at 0.95, worth 20 answers, and is updated by what is
    /// known; so it moves to the measured shares as they grow.
    pub fn measured(known: Known) -> Self {
        let share = |hits: usize, n: usize| (ASSUMED * WORTH + hits.min(n) as f64) / (WORTH + n as f64);
        Self { corrects: share(known.corrected, known.wrong), keeps: share(known.kept, known.right) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_what_is_assumed_to_what_is_measured() {
        assert_eq!(Reviewer::measured(Known::default()), Reviewer { corrects: 0.95, keeps: 0.95 });
        // (19 + 60) / (20 + 80), (19 + 980) / (20 + 980)
        let known = Known { wrong: 80, corrected: 60, right: 980, kept: 980 };
        let found = Reviewer::measured(known);
        assert!((found.corrects - 0.79).abs() < 1e-12 && (found.keeps - 0.999).abs() < 1e-12, "{found:?}");
    }
}
