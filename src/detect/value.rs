//! What reviewing is worth: whom to ask about first, what the next hundred answers will change, when
//! answers break more labels than they mend, and how many wrong labels are left.

mod left;
mod people;

pub(crate) use left::wilson_of_share;
pub use left::{Left, Stratum, labels_left, wilson};
pub use people::Known;

use super::error::DetectError;

/// 1 - entropy of the probabilities of the other classes than the given one, normalised: 1 = a single
/// candidate, 0 = all as likely. `p` (K) of one sample; 0 where nothing is left to the others, 1 for two
/// classes. O(K).
pub fn unambiguity(p: &[f32], given: u32) -> f64 {
    let others = || {
        let known = |v: f32| if v.is_finite() { f64::from(v).max(0.0) } else { 0.0 };
        p.iter().enumerate().filter(|(j, _)| *j != given as usize).map(move |(_, v)| known(*v))
    };
    let (n, total) = (others().count(), others().sum::<f64>());
    if total <= 0.0 {
        return 0.0;
    }
    if n < 2 {
        return 1.0;
    }
    let entropy: f64 = others().map(|v| v / total).filter(|q| *q > 0.0).map(|q| -q * q.ln()).sum();
    (1.0 - entropy / (n as f64).ln()).clamp(0.0, 1.0)
}

/// A sample that could be reviewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// P(the given label is wrong), in [0, 1].
    pub p_wrong: f64,
    /// In [0, 1]; see [`unambiguity`].
    pub unambiguity: f64,
    pub given: u32,
    pub suggested: u32,
    /// The two lie under different level-1 nodes: such an error hurts both levels.
    pub cross_parent: bool,
}

/// Expected gain of reviewing each candidate (n), in [0, 2]:
/// P(wrong) x unambiguity x rarity x (2 if cross-parent). Rarity is sqrt(smallest class / class), of the
/// smaller of given and suggested: one label weighs more in a small class. `class_counts` (K). O(n + K).
///
/// # Errors
/// A class out of range; a probability or unambiguity outside [0, 1].
pub fn priorities(candidates: &[Candidate], class_counts: &[usize]) -> Result<Vec<f64>, DetectError> {
    let k = class_counts.len();
    let smallest = class_counts.iter().filter(|c| **c > 0).min().copied().unwrap_or(1);
    let one = |(row, c): (usize, &Candidate)| {
        for (name, value) in [("P(wrong)", c.p_wrong), ("unambiguity", c.unambiguity)] {
            check_share(name, value)?;
        }
        let size = |class: u32| {
            let missing = DetectError::Label { row, label: class as usize, n_classes: k };
            // an empty class counts as the smallest: the first sample of it is no less rare
            class_counts.get(class as usize).map(|n| (*n).max(smallest)).ok_or(missing)
        };
        let rarer = size(c.given)?.min(size(c.suggested)?);
        let rarity = (smallest as f64 / rarer as f64).sqrt();
        Ok(c.p_wrong * c.unambiguity * rarity * if c.cross_parent { 2.0 } else { 1.0 })
    };
    candidates.iter().enumerate().map(one).collect()
}

fn check_share(name: &'static str, value: f64) -> Result<(), DetectError> {
    let rule = "it must lie in [0, 1]";
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(DetectError::Param { name, value, rule }) }
}

/// How well a person decides; shares in [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reviewer {
    /// P(gives the right class | the label is wrong).
    pub corrects: f64,
    /// P(keeps the label | it is right).
    pub keeps: f64,
}

/// What going on will bring.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// So many reviews are looked at: those asked for, or what the queue has.
    pub next: usize,
    /// Expected labels corrected, and right labels broken, by them.
    pub corrected: f64,
    pub broken: f64,
    /// So many more reviews pay: with them the corrected exceed the broken by most. 0 = stop.
    pub pays: usize,
    /// Expected corrected and broken labels up to there.
    pub corrected_until: f64,
    pub broken_until: f64,
    /// Share of wrong labels below which a further review does harm:
    /// (1 - keeps) / (1 - keeps + corrects), 0 for who never errs.
    pub break_even: f64,
    /// (reviews made, labels expected to be wrong then), from none to all in about [`POINTS`] steps.
    pub left: Vec<(usize, f64)>,
}

/// Steps of [`Outlook::left`].
pub const POINTS: usize = 100;

impl Outlook {
    /// Labels expected to be wrong after `reviews`; between two known points on the line that joins them.
    pub fn left_after(&self, reviews: usize) -> f64 {
        let after = self.left.partition_point(|(n, _)| *n < reviews);
        match (after.checked_sub(1).and_then(|b| self.left.get(b)), self.left.get(after)) {
            (Some(&(from, a)), Some(&(to, b))) => a + (b - a) * (reviews - from) as f64 / (to - from) as f64,
            (None, Some(&(_, left))) | (Some(&(_, left)), None) => left,
            (None, None) => 0.0,
        }
    }
}

/// Looks ahead: `p_wrong` (n) of the queue, next first. Where the chances fall along the queue, it pays
/// until P(wrong) = (1 - keeps) / (1 - keeps + corrects); where they rise again, a bad stretch is gone
/// through if what follows makes up for it. O(n).
///
/// # Errors
/// A share outside [0, 1].
pub fn outlook(p_wrong: &[f64], reviewer: Reviewer, next: usize) -> Result<Outlook, DetectError> {
    check_share("P(corrects)", reviewer.corrects)?;
    check_share("P(keeps)", reviewer.keeps)?;
    let next = next.min(p_wrong.len());
    let breaks = 1.0 - reviewer.keeps;
    let even = breaks + reviewer.corrects;
    let wrong: f64 = p_wrong.iter().sum();
    let mut out = Outlook {
        next,
        corrected: 0.0,
        broken: 0.0,
        pays: 0,
        corrected_until: 0.0,
        broken_until: 0.0,
        break_even: if even > 0.0 { breaks / even } else { 1.0 },
        left: vec![(0, wrong)],
    };
    // the next ones, and all in even steps
    let step = p_wrong.len().div_ceil(POINTS - 1).max(1);
    let (mut corrected, mut broken, mut best) = (0.0, 0.0, 0.0);
    for (i, &p) in p_wrong.iter().enumerate() {
        check_share("P(wrong)", p)?;
        corrected += p * reviewer.corrects;
        broken += (1.0 - p) * breaks;
        if i + 1 == next {
            (out.corrected, out.broken) = (corrected, broken);
        }
        if i + 1 == next || (i + 1) % step == 0 || i + 1 == p_wrong.len() {
            out.left.push((i + 1, wrong - corrected + broken));
        }
        if corrected - broken > best {
            best = corrected - broken;
            (out.pays, out.corrected_until, out.broken_until) = (i + 1, corrected, broken);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unambiguity_by_hand() {
        assert!((unambiguity(&[0.5, 0.5, 0.0, 0.0], 0) - 1.0).abs() < 1e-9);
        assert!(unambiguity(&[0.4, 0.2, 0.2, 0.2], 0) < 1e-9);
        assert_eq!(unambiguity(&[1.0, 0.0, 0.0], 0), 0.0);
        assert_eq!(unambiguity(&[0.9, 0.1], 0), 1.0);
        let half = unambiguity(&[0.0, 0.5, 0.5, 0.0, 0.0], 0);
        assert!((half - 0.5).abs() < 1e-9);
        assert_eq!(unambiguity(&[], 0), 0.0);
        assert_eq!(unambiguity(&[f32::NAN, f32::NAN], 7), 0.0);
    }

    #[test]
    fn priorities_by_hand() {
        let c = Candidate { p_wrong: 0.8, unambiguity: 0.5, given: 0, suggested: 1, cross_parent: false };
        let counts = [400, 100, 25, 0];
        let found = priorities(
            &[
                c,
                Candidate { cross_parent: true, ..c },
                Candidate { suggested: 2, ..c },
                Candidate { suggested: 3, ..c },
            ],
            &counts,
        )
        .unwrap();
        for (a, b) in found.iter().zip([0.2, 0.4, 0.4, 0.4]) {
            assert!((a - b).abs() < 1e-9, "{found:?}");
        }
        assert!(priorities(&[Candidate { given: 4, ..c }], &counts).is_err());
        assert!(priorities(&[Candidate { p_wrong: f64::NAN, ..c }], &counts).is_err());
    }

    #[test]
    fn the_break_even_is_found() {
        // pays while p * 0.9 > (1 - p) * 0.1, that is p > 0.1
        let p: Vec<f64> = (0..1000).map(|i| 0.5 * (1.0 - i as f64 / 1000.0)).collect();
        let found = outlook(&p, Reviewer { corrects: 0.9, keeps: 0.9 }, 100).unwrap();
        assert!((799..=801).contains(&found.pays), "{found:?}");
        let first: f64 = p[..100].iter().sum();
        assert!(
            (found.corrected - 0.9 * first).abs() < 1e-9
                && (found.broken - 0.1 * (100.0 - first)).abs() < 1e-9
        );
        let perfect = outlook(&p, Reviewer { corrects: 1.0, keeps: 1.0 }, 5000).unwrap();
        assert_eq!((perfect.pays, perfect.next, perfect.broken), (1000, 1000, 0.0));
        // six of a hundred wrong, and a person who spoils 7 % of the right ones: stop
        let flat = outlook(&[0.06; 300], Reviewer { corrects: 1.0, keeps: 0.93 }, 100).unwrap();
        assert_eq!((flat.corrected.round(), flat.broken.round(), flat.pays), (6.0, 7.0, 0));
        assert!(outlook(&[1.1], Reviewer { corrects: 1.0, keeps: 1.0 }, 1).is_err());
        assert!(outlook(&[], Reviewer { corrects: 1.0, keeps: f64::NAN }, 1).is_err());
        let none = outlook(&[], Reviewer { corrects: 1.0, keeps: 1.0 }, 1).unwrap();
        assert_eq!((none.pays, none.left_after(5)), (0, 0.0));
    }

    /// Two sure errors, then two sure labels; a person who breaks every tenth.
    #[test]
    fn what_is_left_wrong() {
        let found = outlook(&[1.0, 1.0, 0.0, 0.0], Reviewer { corrects: 1.0, keeps: 0.9 }, 3).unwrap();
        let want = [(0, 2.0), (1, 1.0), (2, 0.0), (3, 0.1), (4, 0.2)];
        assert_eq!(found.left.len(), want.len(), "{:?}", found.left);
        for (a, b) in found.left.iter().zip(want) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-9, "{:?}", found.left);
        }
        assert!((found.break_even - 0.1 / 1.1).abs() < 1e-9 && found.pays == 2);
        assert!((found.left_after(9) - 0.2).abs() < 1e-9);
        let many = outlook(&vec![0.5; 100_000], Reviewer { corrects: 1.0, keeps: 1.0 }, 77).unwrap();
        assert!(many.left.len() <= POINTS + 2 && many.left.is_sorted_by_key(|l| l.0));
        assert!((many.left_after(30_000) - 35_000.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn ranges_and_orders(p in prop::collection::vec(0.0f32..1.0, 2..9), given in 0u32..8) {
            let u = unambiguity(&p, given);
            prop_assert!((0.0..=1.0).contains(&u));
            let n = p.len();
            if (given as usize) < n {
                let mut turned = p.clone();
                turned.rotate_right(1);
                prop_assert!((unambiguity(&turned, (given + 1) % n as u32) - u).abs() < 1e-9);
            }
        }

        #[test]
        fn a_better_person_pays_longer(p in prop::collection::vec(0.0f64..=1.0, 0..200), a in 0.0f64..=1.0, b in 0.0f64..=1.0) {
            let of = |keeps: f64| outlook(&p, Reviewer { corrects: 0.9, keeps }, 100).unwrap();
            let (low, high) = (of(a.min(b)), of(a.max(b)));
            prop_assert!(high.pays >= low.pays && high.broken <= low.broken + 1e-9);
            prop_assert!(low.corrected_until >= low.broken_until);
        }
    }
}
