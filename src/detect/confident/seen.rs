//! The one pass that reads every probability: per row its largest value, its sum, the classes that reach
//! their cut; from these the class guessed and whether the given label wins.
//!
//! Rows of few classes are turned, eight at a time, so that each vector instruction serves eight rows and
//! no step depends on what a row holds; longer rows fill the vectors themselves. The answers
//! are the same to the last bit.

use super::{ABOVE_ONE, BELOW_ZERO, ROW_SUM_TOLERANCE, SLACK};
use crate::arrays::Real;
use crate::arrays::rows::lanes::{self, Kernel, LANES, Lanes, Plain};
use crate::detect::error::DetectError;

/// Rows of at most so many classes are turned.
const NARROW: usize = 32;
/// Turned at once: what was just stored lane by lane is not yet to be had as a vector.
const GROUPS: usize = 4;
/// Sums this near to 1 are right however they are formed.
pub(in crate::detect) const SURE_OF_SUM: f64 = ROW_SUM_TOLERANCE * 0.99;

/// Verdict: the arg-max is the label.
pub(super) const WINS: u8 = 1;
/// Verdict: the class guessed is the label.
pub(super) const LABEL: u8 = 2;
/// Verdict: the class guessed is another.
pub(super) const OTHER: u8 = 4;

/// No class is confident.
const NO_GUESS: u32 = u32::MAX;

/// Judges the rows of `block` (n, k) against their `labels` (n), each in 0..k: into `verdicts` what is so,
/// into `least` (n) 256 p of the label, rounded down, and behind `others` the classes guessed where they
/// are not the label. `first` is the number of the block's first row.
pub(super) struct Judge<'a, T> {
    pub(super) block: &'a [T],
    pub(super) labels: &'a [u32],
    pub(super) cuts: &'a [T],
    pub(super) first: usize,
    pub(super) verdicts: &'a mut [u8],
    pub(super) least: &'a mut [u8],
    pub(super) others: Vec<u32>,
}

impl<T: Real> Judge<'_, T> {
    /// # Errors
    /// The first row whose probabilities are not finite, not in [0, 1] or do not sum to 1.
    pub(super) fn run(self) -> Result<Vec<u32>, DetectError> {
        lanes::run(self)
    }
}

impl<T: Real> Kernel<T> for Judge<'_, T> {
    type Out = Result<Vec<u32>, DetectError>;

    #[inline(always)]
    fn run<L: Lanes<T>>(mut self) -> Self::Out {
        let k = self.cuts.len();
        let mut done = 0;
        if k <= NARROW {
            let mut turned = [[[T::ZERO; LANES]; NARROW]; GROUPS];
            for rows in self.block.chunks_exact(GROUPS * LANES * k) {
                for (group, columns) in rows.chunks_exact(LANES * k).zip(&mut turned) {
                    turn(group, k, columns);
                }
                for (group, columns) in rows.chunks_exact(LANES * k).zip(&turned) {
                    self.eight::<L>(group, &columns[..k], done)?;
                    done += LANES;
                }
            }
        }
        for (i, row) in self.block.chunks_exact(k).enumerate().skip(done) {
            self.one::<L>(row, i)?;
        }
        Ok(self.others)
    }
}

#[inline(always)]
fn turn<T: Real>(rows: &[T], k: usize, columns: &mut [[T; LANES]; NARROW]) {
    for (l, row) in rows.chunks_exact(k).enumerate() {
        for (column, &v) in columns.iter_mut().zip(row) {
            column[l] = v;
        }
    }
}

impl<T: Real> Judge<'_, T> {
    /// Row `i` as it lies.
    #[inline(always)]
    fn one<L: Lanes<T>>(&mut self, row: &[T], i: usize) -> Result<(), DetectError> {
        let y = self.labels[i] as usize;
        let seen = Seen::of::<L>(row, self.cuts);
        seen.check(row, self.first + i)?;
        let guess = seen.guess::<L>(row, y, self.cuts);
        self.verdicts[i] = verdict(guess, self.labels[i], argmax_is(row, y, seen.max));
        if self.verdicts[i] & OTHER != 0 {
            self.others.push(guess);
        }
        self.least[i] = (row[y].to_f64() * 256.0) as u8;
        Ok(())
    }

    /// Rows `at` to `at + 8`, as they lie and turned: `columns` (k, 8).
    #[inline(always)]
    fn eight<L: Lanes<T>>(
        &mut self,
        rows: &[T],
        columns: &[[T; LANES]],
        at: usize,
    ) -> Result<(), DetectError> {
        let k = columns.len();
        let (one, zero) = (L::splat(T::of_f64(1.0)), L::splat(T::ZERO));
        let mut max = L::splat(T::NEG_INFINITY);
        let mut min = L::splat(T::INFINITY);
        let (mut sum, mut argmax, mut confident, mut last, mut j) = (zero, zero, zero, zero, zero);
        for (column, &cut) in columns.iter().zip(self.cuts) {
            let v = L::load(column);
            argmax = v.above(max).select(j, argmax);
            max = v.max(max);
            min = v.min(min);
            sum = sum.add(v);
            let reaches = v.at_least(L::splat(cut));
            confident = confident.add(reaches.select(one, zero));
            last = reaches.select(j, last);
            j = j.add(one);
        }
        let labels = &self.labels[at..at + LANES];
        let p: [T; LANES] = std::array::from_fn(|l| rows[l * k + labels[l] as usize]);
        let given = L::load(&p).add(L::splat(T::of_f64(SLACK)));
        let several = confident.above(one).select(argmax, last);
        let guess = confident.above(zero).select(several, zero.sub(one)).whole();
        let wins = given.above(max).bits();
        let sure = sum.at_least(L::splat(T::of_f64(1.0 - SURE_OF_SUM))).bits()
            & L::splat(T::of_f64(1.0 + SURE_OF_SUM)).at_least(sum).bits()
            & min.at_least(zero).bits()
            & one.at_least(max).bits()
            & (wins | max.above(given).bits());
        if sure != (1 << LANES) - 1 {
            // a fault, a sum or a value on the edge, an exact tie: one row at a time
            for (l, row) in rows.chunks_exact(k).enumerate() {
                self.one::<L>(row, at + l)?;
            }
            return Ok(());
        }
        // 256 p by doubling: exact, as in one()
        let least = (0..8).fold(L::load(&p), |v, _| v.add(v)).whole();
        let verdicts = &mut self.verdicts[at..at + LANES];
        let mut any = 0;
        for l in 0..LANES {
            verdicts[l] = verdict(guess[l], labels[l], wins >> l & 1 == 1);
            any |= verdicts[l];
        }
        if any & OTHER != 0 {
            let others = guess.iter().zip(&*verdicts).filter(|(_, v)| **v & OTHER != 0);
            self.others.extend(others.map(|(guess, _)| *guess));
        }
        self.least[at..at + LANES].iter_mut().zip(least).for_each(|(out, v)| *out = v.min(255) as u8);
        Ok(())
    }
}

#[inline(always)]
fn verdict(guess: u32, label: u32, wins: bool) -> u8 {
    let own = u8::from(guess == label) * LABEL;
    let other = u8::from(guess != label && guess != NO_GUESS) * OTHER;
    (u8::from(wins) * WINS) | own | other
}

/// `NO_GUESS` is -1 as a whole number.
const _: () = assert!(NO_GUESS == -1i32 as u32);

/// The first place in which `f` holds of the value and the cut, looked for in eight at once.
#[inline(always)]
fn position<T: Real, L: Lanes<T>>(
    row: &[T],
    cuts: &[T],
    many: impl Fn(L, L) -> L,
    one: impl Fn(T, T) -> bool,
) -> Option<usize> {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let (cut_chunks, cut_rest) = cuts.as_chunks::<LANES>();
    for (c, (chunk, cut)) in chunks.iter().zip(cut_chunks).enumerate() {
        let bits = many(L::load(chunk), L::load(cut)).bits();
        if bits != 0 {
            return Some(c * LANES + bits.trailing_zeros() as usize);
        }
    }
    let at = rest.iter().zip(cut_rest).position(|(&v, &cut)| one(v, cut))?;
    Some(chunks.len() * LANES + at)
}

/// Checks row number `at` alone.
///
/// # Errors
/// The first value outside [0, 1], else the sum.
#[cold]
pub(in crate::detect) fn check_values<T: Real>(row: &[T], at: usize) -> Result<(), DetectError> {
    Seen::of::<Plain<T>>(row, row).check(row, at)
}

#[cold]
fn fault<T: Real>(row: &[T], at: usize, sum: T) -> DetectError {
    let outside = |v: &T| !(BELOW_ZERO..=ABOVE_ONE).contains(&v.to_f64());
    match row.iter().position(outside) {
        Some(column) => DetectError::Value {
            array: "probabilities",
            row: at,
            column,
            value: row[column].to_f64() as f32,
            rule: "probabilities must lie in [0, 1]",
        },
        None => DetectError::RowSum { row: at, sum: sum.to_f64() },
    }
}

/// One row, read once.
struct Seen<T> {
    max: T,
    min: T,
    sum: T,
    confident: u32,
}

impl<T: Real> Seen<T> {
    #[inline(always)]
    fn of<L: Lanes<T>>(row: &[T], cuts: &[T]) -> Self {
        let (one, zero) = (L::splat(T::of_f64(1.0)), L::splat(T::ZERO));
        let mut max = L::splat(T::NEG_INFINITY);
        let mut min = L::splat(T::INFINITY);
        let (mut sum, mut confident) = (zero, zero);
        let (chunks, rest) = row.as_chunks::<LANES>();
        let (cut_chunks, cut_rest) = cuts.as_chunks::<LANES>();
        for (chunk, cut) in chunks.iter().zip(cut_chunks) {
            let v = L::load(chunk);
            max = v.max(max);
            min = v.min(min);
            sum = sum.add(v);
            confident = confident.add(v.at_least(L::load(cut)).select(one, zero));
        }
        let mut out = Self { max: T::NEG_INFINITY, min: T::INFINITY, sum: T::ZERO, confident: 0 };
        let (max, min, sum, confident) = (max.store(), min.store(), sum.store(), confident.whole());
        for l in 0..LANES {
            out.take(max[l], min[l], sum[l], confident[l]);
        }
        for (&v, &cut) in rest.iter().zip(cut_rest) {
            out.take(v, v, v, u32::from(v >= cut));
        }
        out
    }

    #[inline(always)]
    fn take(&mut self, max: T, min: T, sum: T, confident: u32) {
        self.max = if max > self.max { max } else { self.max };
        self.min = if min < self.min { min } else { self.min };
        self.sum = self.sum + sum;
        self.confident += confident;
    }

    /// A NaN anywhere makes the sum one.
    #[inline(always)]
    fn check(&self, row: &[T], at: usize) -> Result<(), DetectError> {
        let off = (self.sum.to_f64() - 1.0).abs();
        if off <= ROW_SUM_TOLERANCE && self.min.to_f64() >= BELOW_ZERO && self.max.to_f64() <= ABOVE_ONE {
            return Ok(());
        }
        Err(fault(row, at, self.sum))
    }

    #[inline(always)]
    fn guess<L: Lanes<T>>(&self, row: &[T], y: usize, cuts: &[T]) -> u32 {
        let first = match self.confident {
            0 => return NO_GUESS,
            // most often it is the given label
            1 if row[y] >= cuts[y] => return y as u32,
            1 => position(row, cuts, L::at_least, |v, cut| v >= cut),
            _ => position(row, cuts, |v: L, _| v.at_least(L::splat(self.max)), |v, _| v == self.max),
        };
        first.map_or(NO_GUESS, |c| c as u32)
    }
}

/// The arg-max of `row`, the first of equals, is `y` once 1e-6 is added to its value. `max` is the row's.
#[inline(always)]
fn argmax_is<T: Real>(row: &[T], y: usize, max: T) -> bool {
    let given = row[y] + T::of_f64(SLACK);
    given > max || (given == max && !row[..y].contains(&given))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::rng;
    use rand::Rng;

    /// With AVX2 and without, rows turned and one at a time: all the same.
    #[test]
    fn turned_or_not_and_with_or_without_avx2() {
        fn check<T: Real>(seed: u64) {
            let mut r = rng(seed);
            for k in (2..50).chain([200, 257]) {
                let n = r.gen_range(1..140);
                let labels: Vec<u32> = (0..n).map(|_| r.gen_range(0..k as u32)).collect();
                let cuts: Vec<T> = (0..k).map(|_| T::of_f64(r.gen_range(0.01..0.6))).collect();
                let few = r.gen_range(2..2000);
                let mut block = Vec::new();
                for _ in 0..n {
                    let raw: Vec<f64> = (0..k).map(|_| f64::from(r.gen_range(1..=few)).powi(3)).collect();
                    let sum: f64 = raw.iter().sum();
                    block.extend(raw.iter().map(|v| T::of_f64(v / sum)));
                }
                let judge = |block: &[T], first: usize, plain: bool| {
                    let n = block.len() / k;
                    let (mut verdicts, mut least) = (vec![0; n], vec![0; n]);
                    let labels = &labels[first..first + n];
                    let (verdicts_of, least_of) = (&mut verdicts[..], &mut least[..]);
                    let others = Vec::new();
                    let judge = Judge {
                        block,
                        labels,
                        cuts: &cuts,
                        first,
                        verdicts: verdicts_of,
                        least: least_of,
                        others,
                    };
                    let end = if plain { Kernel::run::<Plain<T>>(judge) } else { judge.run() };
                    end.map(|others| (verdicts, least, others))
                };
                let mut want = (Vec::new(), Vec::new(), Vec::new());
                for (i, row) in block.chunks_exact(k).enumerate() {
                    let (verdict, least, others) = judge(row, i, true).unwrap();
                    let given = row[labels[i] as usize].to_f64();
                    assert!(
                        (0.0..1.0 / 256.0).contains(&(given - f64::from(least[0]) / 256.0)) || given == 1.0
                    );
                    assert_eq!(others.len(), usize::from(verdict[0] & OTHER != 0));
                    want.0.extend(verdict);
                    want.1.extend(least);
                    want.2.extend(others);
                }
                assert_eq!(judge(&block, 0, false).unwrap(), want);
                assert_eq!(judge(&block, 0, true).unwrap(), want);
                // two rows at fault: the first is named
                for row in [n - 1, n / 2] {
                    block[row * k + 1] = T::of_f64(-0.1);
                }
                assert_eq!(judge(&block, 0, false), judge(&block, 0, true));
                let fault = judge(&block, 0, false).unwrap_err();
                assert!(matches!(fault, DetectError::Value { row, column: 1, .. } if row == n / 2));
            }
        }
        check::<f32>(1);
        check::<f64>(2);
    }
}
