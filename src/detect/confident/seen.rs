//! The one pass that reads every probability: per row its largest value, its sum, the classes that reach
//! their cut; from these the class guessed and whether the given label wins.
//!
//! Rows of few classes are turned, eight at a time, so that each vector instruction serves eight rows and
//! no step depends on what a row holds; longer rows fill the vectors themselves. Both are compiled for
//! AVX2 as well, chosen at run time; the answers are the same to the last bit.

use super::{ABOVE_ONE, BELOW_ZERO, NO_GUESS, ROW_SUM_TOLERANCE, SLACK};
use crate::arrays::Real;
use crate::detect::error::DetectError;

/// Running values side by side in the inner loops. (Part of the result: sums are formed in this order.)
const LANES: usize = 8;
/// Rows of at most so many classes are turned.
const NARROW: usize = 32;
/// Turned at once: what was just stored lane by lane is not yet to be had as a vector.
const GROUPS: usize = 4;
/// Sums this near to 1 are right however they are formed.
const SURE_OF_SUM: f64 = ROW_SUM_TOLERANCE * 0.99;

/// Judges the rows of `block` (n, k) against their `labels` (n), each in 0..k: the class guessed, and
/// whether the arg-max is the label. `first` is the number of the block's first row.
///
/// # Errors
/// The first row whose probabilities are not finite, not in [0, 1] or do not sum to 1.
pub(super) fn judge<T: Real>(
    block: &[T],
    labels: &[u32],
    cuts: &[T],
    first: usize,
    guesses: &mut [u32],
    wins: &mut [bool],
) -> Result<(), DetectError> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked.
        return unsafe { judge_avx2(block, labels, cuts, first, guesses, wins) };
    }
    judge_any(block, labels, cuts, first, guesses, wins)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn judge_avx2<T: Real>(
    block: &[T],
    labels: &[u32],
    cuts: &[T],
    first: usize,
    guesses: &mut [u32],
    wins: &mut [bool],
) -> Result<(), DetectError> {
    judge_any(block, labels, cuts, first, guesses, wins)
}

#[inline(always)]
fn judge_any<T: Real>(
    block: &[T],
    labels: &[u32],
    cuts: &[T],
    first: usize,
    guesses: &mut [u32],
    wins: &mut [bool],
) -> Result<(), DetectError> {
    let k = cuts.len();
    let mut done = 0;
    if k <= NARROW {
        let mut turned = [[[T::ZERO; LANES]; NARROW]; GROUPS];
        for rows in block.chunks_exact(GROUPS * LANES * k) {
            for (group, columns) in rows.chunks_exact(LANES * k).zip(&mut turned) {
                for (l, row) in group.chunks_exact(k).enumerate() {
                    for (column, &v) in columns.iter_mut().zip(row) {
                        column[l] = v;
                    }
                }
            }
            for (group, columns) in rows.chunks_exact(LANES * k).zip(&turned) {
                let at = done..done + LANES;
                let (labels, guesses, wins) = (&labels[at.clone()], &mut guesses[at.clone()], &mut wins[at]);
                eight(group, &columns[..k], labels, cuts, first + done, guesses, wins)?;
                done += LANES;
            }
        }
    }
    for (i, row) in block.chunks_exact(k).enumerate().skip(done) {
        (guesses[i], wins[i]) = one(row, labels[i] as usize, cuts, first + i)?;
    }
    Ok(())
}

/// One row as it lies.
#[inline(always)]
fn one<T: Real>(row: &[T], y: usize, cuts: &[T], at: usize) -> Result<(u32, bool), DetectError> {
    let seen = Seen::of(row, cuts);
    seen.check(row, at)?;
    Ok((seen.guess(row, y, cuts), argmax_is(row, y, seen.max)))
}

/// Eight rows, `rows` as they lie and `columns` (k, 8) turned.
#[inline(always)]
fn eight<T: Real>(
    rows: &[T],
    columns: &[[T; LANES]],
    labels: &[u32],
    cuts: &[T],
    first: usize,
    guesses: &mut [u32],
    wins: &mut [bool],
) -> Result<(), DetectError> {
    let k = cuts.len();
    let mut max = [T::NEG_INFINITY; LANES];
    let mut min = [T::INFINITY; LANES];
    let mut sum = [T::ZERO; LANES];
    let mut argmax = [0u32; LANES];
    let mut confident = [0u32; LANES];
    let mut last = [0u32; LANES];
    for ((j, column), &cut) in (0u32..).zip(columns).zip(cuts) {
        for l in 0..LANES {
            let v = column[l];
            argmax[l] = if v > max[l] { j } else { argmax[l] };
            max[l] = if v > max[l] { v } else { max[l] };
            min[l] = if v < min[l] { v } else { min[l] };
            sum[l] = sum[l] + v;
            confident[l] += u32::from(v >= cut);
            last[l] = if v >= cut { j } else { last[l] };
        }
    }
    let (low, high) = (T::of_f64(1.0 - SURE_OF_SUM), T::of_f64(1.0 + SURE_OF_SUM));
    let one_and_all = T::of_f64(1.0);
    let (slack, mut sure) = (T::of_f64(SLACK), true);
    for l in 0..LANES {
        let given = rows[l * k + labels[l] as usize] + slack;
        sure &= sum[l] >= low && sum[l] <= high && min[l] >= T::ZERO && max[l] <= one_and_all;
        sure &= given != max[l];
        let several = if confident[l] == 1 { last[l] } else { argmax[l] };
        guesses[l] = if confident[l] == 0 { NO_GUESS } else { several };
        wins[l] = given > max[l];
    }
    if !sure {
        // a fault, a sum or a value on the edge, an exact tie: one row at a time
        for (l, row) in rows.chunks_exact(k).enumerate() {
            (guesses[l], wins[l]) = one(row, labels[l] as usize, cuts, first + l)?;
        }
    }
    Ok(())
}

/// The first chunk of eight in which `f` holds somewhere is looked at closely.
#[inline(always)]
fn position<T: Real>(row: &[T], cuts: &[T], f: impl Fn(T, T) -> bool) -> Option<usize> {
    let (chunks, _) = row.as_chunks::<LANES>();
    let (cut_chunks, _) = cuts.as_chunks::<LANES>();
    let mut from = 0;
    for (chunk, cut) in chunks.iter().zip(cut_chunks) {
        let mut any = false;
        for l in 0..LANES {
            any |= f(chunk[l], cut[l]);
        }
        if any {
            break;
        }
        from += LANES;
    }
    row[from..].iter().zip(&cuts[from..]).position(|(&v, &cut)| f(v, cut)).map(|at| from + at)
}

/// A row's sum, checked: `min` and `max` are its least and largest value. A NaN anywhere makes the sum
/// one.
///
/// # Errors
/// The first value outside [0, 1], else the sum.
#[inline(always)]
pub(in crate::detect) fn check_row<T: Real>(
    row: &[T],
    at: usize,
    (min, max, sum): (T, T, T),
) -> Result<(), DetectError> {
    let off = (sum.to_f64() - 1.0).abs();
    if off <= ROW_SUM_TOLERANCE && min.to_f64() >= BELOW_ZERO && max.to_f64() <= ABOVE_ONE {
        return Ok(());
    }
    Err(fault(row, at, sum))
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
    fn of(row: &[T], cuts: &[T]) -> Self {
        let mut max = [T::NEG_INFINITY; LANES];
        let mut min = [T::INFINITY; LANES];
        let mut sum = [T::ZERO; LANES];
        let mut confident = [0u32; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        let (cut_chunks, cut_rest) = cuts.as_chunks::<LANES>();
        for (chunk, cut) in chunks.iter().zip(cut_chunks) {
            for l in 0..LANES {
                let v = chunk[l];
                max[l] = if v > max[l] { v } else { max[l] };
                min[l] = if v < min[l] { v } else { min[l] };
                sum[l] = sum[l] + v;
                confident[l] += u32::from(v >= cut[l]);
            }
        }
        let mut out = Self { max: T::NEG_INFINITY, min: T::INFINITY, sum: T::ZERO, confident: 0 };
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

    #[inline(always)]
    fn check(&self, row: &[T], at: usize) -> Result<(), DetectError> {
        check_row(row, at, (self.min, self.max, self.sum))
    }

    #[inline(always)]
    fn guess(&self, row: &[T], y: usize, cuts: &[T]) -> u32 {
        let first = match self.confident {
            0 => return NO_GUESS,
            // most often it is the given label
            1 if row[y] >= cuts[y] => return y as u32,
            1 => position(row, cuts, |v, cut| v >= cut),
            _ => position(row, cuts, |v, _| v == self.max),
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

    /// The kernel compiled for any processor, that for this one, and one row at a time give the same.
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
                let run =
                    |f: fn(&[T], &[u32], &[T], usize, &mut [u32], &mut [bool]) -> Result<(), DetectError>,
                     block: &[T]| {
                        let (mut guesses, mut wins) = (vec![0; n], vec![false; n]);
                        f(block, &labels, &cuts, 5, &mut guesses, &mut wins).map(|()| (guesses, wins))
                    };
                let want: (Vec<u32>, Vec<bool>) = block
                    .chunks_exact(k)
                    .zip(&labels)
                    .map(|(row, &y)| one(row, y as usize, &cuts, 0).unwrap())
                    .unzip();
                assert_eq!(run(judge, &block).unwrap(), want);
                assert_eq!(run(judge_any, &block).unwrap(), want);
                // two rows at fault: the first is named
                for row in [n - 1, n / 2] {
                    block[row * k + 1] = T::of_f64(-0.1);
                }
                assert_eq!(run(judge, &block), run(judge_any, &block));
                let fault = run(judge, &block).unwrap_err();
                assert!(matches!(fault, DetectError::Value { row, column: 1, .. } if row == 5 + n / 2));
            }
        }
        check::<f32>(1);
        check::<f64>(2);
    }
}
