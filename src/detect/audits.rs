//! Random audits: samples drawn without regard to any score, so that what reviewers say of them estimates
//! what nobody has looked at. They are slipped into the order of review unmarked.
//!
//! Audit number t of a seeded random order of all samples stands at place t * every, unless the ranking
//! brought that sample up before; then it counts from there and the place is free. So once the places up to
//! t * every are reviewed, audits 1..t are, a simple random sample without replacement: shares of it are
//! unbiased whatever the ranking does, also when it is learnt anew meanwhile.

use rand::Rng;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::wilson;
use crate::arrays::rng;

/// Standard deviations of the intervals: 95 %.
const Z: f64 = 1.96;
/// The most that one audit may weigh against a review by rank: the exact weight is unbiased and so variable
/// that one audit would decide.
const HEAVIEST: f64 = 5.0;

/// The rows of audits 1, 2, … among `n` samples, for an order of review in which `queued` samples come up by
/// rank and every `every`-th place is an audit's. Empty when `every` is below 2 or there is room for none.
pub fn draw(n: usize, queued: usize, every: usize, seed: u64) -> Vec<u32> {
    if every < 2 {
        return Vec::new();
    }
    let wanted = (n / every).min(queued / (every - 1) + 1);
    let mut rows: Vec<u32> = (0..n as u32).collect();
    let mut rng = rng(seed ^ 0x0061_7564_6974);
    for i in 0..wanted {
        let j = rng.gen_range(i..n);
        rows.swap(i, j);
    }
    rows.truncate(wanted);
    rows
}

/// Places 1..=N of review: `ranked` are all rows, worst first; `fixed[row]` is the place of a row that has
/// been reviewed and stays. Every `every`-th place is an audit's. Linear.
///
/// # Panics
/// When `ranked` is no permutation of the rows.
pub fn places(ranked: &[u32], draw: &[u32], every: usize, fixed: &[Option<u32>]) -> Vec<u32> {
    let mut place: Vec<u32> = fixed.iter().map(|p| p.unwrap_or(0)).collect();
    let mut taken = vec![false; ranked.len() + 1];
    fixed.iter().flatten().for_each(|&p| taken[p as usize] = true);
    let mut next = ranked.iter();
    let mut audits = draw.iter().enumerate().peekable();
    for at in (1..=ranked.len()).filter(|&p| !taken[p]) {
        while audits.next_if(|(_, row)| place[**row as usize] != 0).is_some() {}
        // its place, or one behind it that is free where somebody went ahead
        let audit = audits.next_if(|(t, _)| every > 0 && (t + 1) * every <= at).map(|(_, row)| row);
        let row = audit.or_else(|| next.find(|row| place[**row as usize] == 0));
        if let Some(&row) = row {
            place[row as usize] = at as u32;
        }
    }
    place
}

/// What each reviewed row stands for when the model learns: 1 for those that the ranking brought up; those
/// that came up only by audit share what is left, at most five each. `by_audit` and `by_rank` count reviewed
/// rows, `n` all.
pub fn audit_weight(n: usize, by_rank: usize, by_audit: usize) -> f64 {
    (n.saturating_sub(by_rank) as f64 / by_audit.max(1) as f64).clamp(1.0, HEAVIEST)
}

/// One audit, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Somebody has looked at the sample, and at the one that stands at this audit's place.
    pub reached: bool,
    /// `None`: looked at without a decision on its label.
    pub wrong: Option<bool>,
    /// The scan had flagged it.
    pub flagged: bool,
}

/// Shares in [0, 1] with 95 % intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// Audits it rests on, and those of them that count.
    pub n: usize,
    pub hits: usize,
    pub low: f64,
    pub high: f64,
}

impl Share {
    fn of(outcomes: impl Iterator<Item = bool>) -> Self {
        let (n, hits) = outcomes.fold((0, 0), |(n, hits), wrong| (n + 1, hits + usize::from(wrong)));
        let (low, high) = if n == 0 { (0.0, 1.0) } else { wilson(hits, n, Z) };
        Self { n, hits, low, high }
    }
}

/// What audits say without bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Audited {
    /// Wrong labels among all samples.
    pub wrong: Share,
    /// Wrong labels among the flagged: the precision at the cut.
    pub precision: Share,
}

impl Audited {
    /// From the audits up to the first that is not reached: later ones were chosen by somebody.
    pub fn of(audits: impl IntoIterator<Item = Audit>) -> Self {
        let decided: Vec<(bool, bool)> = audits
            .into_iter()
            .take_while(|a| a.reached)
            .filter_map(|a| Some((a.wrong?, a.flagged)))
            .collect();
        Self {
            wrong: Share::of(decided.iter().map(|d| d.0)),
            precision: Share::of(decided.iter().filter(|d| d.1).map(|d| d.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_place_is_an_audits() {
        let n = 200;
        let ranked: Vec<u32> = (0..n as u32).rev().collect();
        let draw = draw(n, 60, 10, 3);
        assert_eq!(draw.len(), 7, "one for each nine by rank");
        let place = places(&ranked, &draw, 10, &vec![None; n]);
        let mut sorted = place.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=n as u32).collect::<Vec<_>>(), "a permutation");
        for (t, &row) in draw.iter().enumerate() {
            let at = place[row as usize] as usize;
            // there, or the ranking had it before
            assert!(at == (t + 1) * 10 || at < (t + 1) * 10 && !at.is_multiple_of(10), "{t}: {at}");
        }
        // the others keep the order of their ranks
        let others: Vec<u32> = ranked.iter().copied().filter(|r| !draw.contains(r)).collect();
        assert!(others.iter().map(|&r| place[r as usize]).is_sorted());
        assert_eq!(super::draw(n, 60, 10, 3), draw);
        assert!(super::draw(n, 60, 0, 3).is_empty() && super::draw(9, 9, 10, 3).is_empty());
        assert_eq!(places(&ranked, &[], 0, &vec![None; n])[199], 1, "no audits: by rank");
    }

    #[test]
    fn what_was_reviewed_stays_where_it_was() {
        let n = 100;
        let ranked: Vec<u32> = (0..n as u32).collect();
        let draw = draw(n, 50, 10, 8);
        let first = places(&ranked, &draw, 10, &vec![None; n]);
        let fixed: Vec<Option<u32>> = first.iter().map(|&p| (p <= 25).then_some(p)).collect();
        let turned: Vec<u32> = (0..n as u32).rev().collect();
        let again = places(&turned, &draw, 10, &fixed);
        for row in 0..n {
            assert!(first[row] > 25 || again[row] == first[row]);
        }
        // audits go on where they stopped; unless they were seen, or the new order brings them up before
        for (t, &row) in draw.iter().enumerate().skip(2) {
            assert!(again[row as usize] as usize <= (t + 1) * 10, "{t}");
        }
        let mut sorted = again.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (1..=n as u32).collect::<Vec<_>>());
        // and the same again changes nothing
        assert_eq!(places(&turned, &draw, 10, &fixed), again);
    }

    #[test]
    fn only_the_run_without_a_gap_counts() {
        let audit = |reached, wrong, flagged| Audit { reached, wrong, flagged };
        let got = Audited::of([
            audit(true, Some(true), true),
            audit(true, None, true),
            audit(true, Some(false), false),
            audit(true, Some(false), true),
            audit(false, Some(true), true),
            audit(true, Some(true), true),
        ]);
        assert_eq!((got.wrong.n, got.wrong.hits), (3, 1));
        assert_eq!((got.precision.n, got.precision.hits), (2, 1));
        // Wilson (1927), by hand for 1 of 3 at 1.96: (0.6402 ± sqrt(...)) / 2.2805
        assert!((got.wrong.low - 0.0615).abs() < 5e-4 && (got.wrong.high - 0.7923).abs() < 5e-4, "{got:?}");
        assert_eq!(Audited::of([]).wrong, Share { n: 0, hits: 0, low: 0.0, high: 1.0 });
    }

    /// Reviews in order of a ranking that finds most of the wrong ones; the audits must not notice.
    #[test]
    fn the_interval_covers_the_truth_in_at_least_nine_of_ten_runs() {
        let (n, runs) = (3000, 200);
        let (mut covered, mut covered_precision, mut sum) = (0, 0, 0.0);
        for run in 0..runs {
            let mut rng = rng(run);
            let wrong: Vec<bool> = (0..n).map(|_| rng.r#gen::<f64>() < 0.12).collect();
            let score: Vec<f64> =
                wrong.iter().map(|&w| rng.r#gen::<f64>() + if w { 0.5 } else { 0.0 }).collect();
            let mut ranked: Vec<u32> = (0..n as u32).collect();
            ranked.sort_by(|&a, &b| score[b as usize].total_cmp(&score[a as usize]));
            let flagged: Vec<bool> = {
                let mut f = vec![false; n];
                ranked[..900].iter().for_each(|&r| f[r as usize] = true);
                f
            };
            let draw = draw(n, 900, 10, 1000 + run);
            let place = places(&ranked, &draw, 10, &vec![None; n]);
            // reviewed in order up to place 850
            let mut at = vec![0u32; n + 1];
            place.iter().enumerate().for_each(|(row, &p)| at[p as usize] = row as u32);
            let seen = |row: u32| place[row as usize] <= 850;
            let audits = draw.iter().enumerate().map(|(t, &row)| Audit {
                reached: seen(row) && seen(at[(t + 1) * 10]),
                wrong: Some(wrong[row as usize]),
                flagged: flagged[row as usize],
            });
            let got = Audited::of(audits);
            assert_eq!(got.wrong.n, 85);
            let truth = wrong.iter().filter(|w| **w).count() as f64 / n as f64;
            covered += usize::from(got.wrong.low <= truth && truth <= got.wrong.high);
            sum += got.wrong.hits as f64 / got.wrong.n as f64 - truth;
            let right = (0..n).filter(|&i| flagged[i] && wrong[i]).count() as f64 / 900.0;
            covered_precision += usize::from(got.precision.low <= right && right <= got.precision.high);
        }
        assert!(covered * 10 >= runs as usize * 9, "{covered} of {runs}");
        assert!(covered_precision * 10 >= runs as usize * 9, "{covered_precision} of {runs}");
        // the mean's standard deviation is sqrt(0.12 * 0.88 / 85 / 200) = 0.0025
        assert!((sum / runs as f64).abs() < 3.0 * 0.0025, "biased by {}", sum / runs as f64);
    }
}
