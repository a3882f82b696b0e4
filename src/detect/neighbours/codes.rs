//! Small-integer copies of rows and their products: a filter that says, without rounding errors of its
//! own, which pairs of rows cannot be similar enough to matter.
//!
//! A row `x` less a common centre `m` is written as `s c + e`: a scale, integers `c` in
//! [-[`LEVELS`], [`LEVELS`]], and what is lost, whose length is known. Then, by Cauchy and Schwarz,
//! `(x - m).(y - m) <= s_x s_y c_x.c_y + |s_x c_x||e_y| + |e_x||s_y c_y| + |e_x||e_y|`.
//!
//! The integer products use AVX2's `vpmaddubsw`, which multiplies 32 pairs of bytes and adds
//! neighbours into 16 bits. The codes are so small that 16 such steps cannot overflow the 16 bits,
//! so that nothing is widened in the inner loop: twice the work per instruction of the 8-bit scheme
//! that widens at each step, and three times the measured rate of an f32 product (113 against 36
//! multiply-adds a nanosecond on a 2.4 GHz EPYC core).

use ndarray::ArrayView2;
use rayon::prelude::*;

/// Largest absolute code. A lane of 16 bits gets 2 x [`STEPS`] products of at most
/// LEVELS x 2 LEVELS: 2 x 16 x 22 x 44 = 30,976 < 32,768.
const LEVELS: i32 = 22;
/// Steps of 32 bytes between two widenings.
const STEPS: usize = 16;
/// Bytes of one step; rows of codes are padded with zeros to a multiple.
const LANE: usize = 32;
/// Codes reach this many standard deviations of the row's values; what lies beyond is cut off, which
/// the lost length counts. Wider wastes codes on few values, narrower cuts too much.
const REACH: f64 = 3.0;
/// Largest of the fine codes, which pairs get that pass the coarse ones. Nothing is cut off.
const FINE_LEVELS: i32 = 127;

/// Codes of one step, aligned so that no load straddles two cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Lane([i8; LANE]);

/// As [`Lane`], unsigned.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Unsigned([u8; LANE]);

/// The codes of all rows and what the bound needs of each.
pub(super) struct Codes {
    /// Lanes of one row.
    width: usize,
    codes: Vec<Lane>,
    pub(super) rows: Vec<Coded>,
    fine: Vec<Lane>,
    fine_rows: Vec<Coded>,
}

/// One row's part of the bound on a similarity; see [`Codes`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Coded {
    pub(super) scale: f32,
    /// |s c|, rounded up.
    pub(super) kept: f32,
    /// |e|, rounded up.
    pub(super) lost: f32,
    /// x.m - m.m / 2
    pub(super) offset: f32,
    /// Sum of the codes times LEVELS: what the products of unsigned codes are too large by.
    pub(super) shift: i32,
}

/// Whether this machine can multiply codes.
pub(super) fn supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl Codes {
    /// Codes of the rows of `x` (N, D) in the order `order`. N x D operations.
    pub(super) fn new(x: ArrayView2<'_, f32>, order: &[u32], centre: &[f64]) -> Self {
        let width = x.ncols().div_ceil(LANE);
        let mut codes = vec![Lane([0; LANE]); order.len() * width];
        let mut fine = codes.clone();
        let half = centre.iter().map(|m| m * m).sum::<f64>() / 2.0;
        let (rows, fine_rows) = codes
            .par_chunks_mut(width.max(1))
            .zip(fine.par_chunks_mut(width.max(1)))
            .zip(order)
            .map(|((codes, fine), &i)| {
                let row = x.row(i as usize);
                let row = row.as_slice().expect("rows of a standard matrix are contiguous");
                (
                    encode(row, centre, half, codes, LEVELS, REACH),
                    encode(row, centre, half, fine, FINE_LEVELS, f64::INFINITY),
                )
            })
            .unzip();
        Self { width, codes, rows, fine, fine_rows }
    }

    /// An upper bound on the similarity of two rows by the fine codes, but for rounding.
    ///
    /// # Panics
    /// When the machine has no AVX2 (see [`supported`]).
    pub(super) fn fine_bound(&self, i: usize, j: usize) -> f32 {
        let row = |i: usize| &self.fine[i * self.width..(i + 1) * self.width];
        let (a, b) = (&self.fine_rows[i], &self.fine_rows[j]);
        assert!(supported());
        #[cfg(target_arch = "x86_64")]
        // SAFETY: AVX2 was detected.
        let product = unsafe { avx2::product(row(i), row(j)) };
        #[cfg(not(target_arch = "x86_64"))]
        let product = 0;
        product as f32 * (a.scale * b.scale)
            + a.kept * b.lost
            + a.lost * (b.kept + b.lost)
            + (a.offset + b.offset)
    }

    fn of(&self, rows: std::ops::Range<usize>) -> &[Lane] {
        &self.codes[rows.start * self.width..rows.end * self.width]
    }

    /// The codes of `rows` raised by LEVELS, which makes them unsigned, into `out`.
    pub(super) fn unsigned(&self, rows: std::ops::Range<usize>, out: &mut Vec<Unsigned>) {
        out.clear();
        out.extend(self.of(rows).iter().map(|l| Unsigned(l.0.map(|c| (i32::from(c) + LEVELS) as u8))));
    }

    /// Products of the codes of `rows` with rows of [`Codes::unsigned`] codes, into the row-major
    /// `out`; each too large by the row's `shift`.
    ///
    /// # Panics
    /// When `out` is too short, or the machine has no AVX2 (see [`supported`]).
    pub(super) fn products(&self, rows: std::ops::Range<usize>, unsigned: &[Unsigned], out: &mut [i32]) {
        let a = self.of(rows);
        assert!(supported() && self.width > 0);
        let (m, n) = (a.len() / self.width, unsigned.len() / self.width);
        assert!(a.len() == m * self.width && unsigned.len() == n * self.width && out.len() >= m * n);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: AVX2 was detected; the lengths that the function asks for were asserted above.
        unsafe {
            avx2::products(a, unsigned, self.width, out)
        }
    }
}

/// Codes of one row less `centre`, padded with zeros, and its part of the bound; `half` is half of the
/// centre's square. Lengths are summed in f64 and against the scale as rounded, so they hold for the codes
/// as they are.
fn encode(x: &[f32], centre: &[f64], half: f64, codes: &mut [Lane], levels: i32, reach: f64) -> Coded {
    assert!(supported());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: AVX2 was detected; the function is safe otherwise.
    return unsafe { avx2::encode(x, centre, half, codes, levels, reach) };
    #[cfg(not(target_arch = "x86_64"))]
    encode_body(x, centre, half, codes, levels, reach)
}

#[inline(always)]
fn encode_body(x: &[f32], centre: &[f64], half: f64, codes: &mut [Lane], levels: i32, reach: f64) -> Coded {
    const WAYS: usize = 8;
    let n = x.len();
    let levels = f64::from(levels);
    // Eight sums each, so that additions need not wait for one another.
    let (mut along, mut square, mut top) = ([0f64; WAYS], [0f64; WAYS], [0f64; WAYS]);
    for (x, m) in x.chunks(WAYS).zip(centre.chunks(WAYS)) {
        for (l, (&v, &m)) in x.iter().zip(m).enumerate() {
            let u = f64::from(v) - m;
            along[l] += f64::from(v) * m;
            square[l] += u * u;
            top[l] = if u.abs() > top[l] { u.abs() } else { top[l] };
        }
    }
    let square: f64 = square.iter().sum();
    let top = top.iter().fold(0f64, |t, v| t.max(*v));
    // The scale is an f32 and everything below is measured against that very number.
    let scale = (top.min(reach * (square / n.max(1) as f64).sqrt()) / levels) as f32;
    let (s, inverse) = (f64::from(scale), if scale > 0.0 { 1.0 / f64::from(scale) } else { 0.0 });
    let (mut kept, mut lost, mut sum) = ([0f64; WAYS], [0f64; WAYS], 0i32);
    for ((x, m), lane) in x.chunks(LANE).zip(centre.chunks(LANE)).zip(codes) {
        for (l, ((&v, &m), code)) in x.iter().zip(m).zip(&mut lane.0).enumerate() {
            let u = f64::from(v) - m;
            let c = (u * inverse).clamp(-levels, levels).round_ties_even();
            *code = c as i8;
            sum += c as i32;
            kept[l % WAYS] += c * c;
            lost[l % WAYS] += (u - s * c) * (u - s * c);
        }
    }
    // Sums of squares in f64 are good to 1e-12; an f32 above them to 1e-6.
    let up = |v: f64| (v * (1.0 + 1e-6)) as f32;
    Coded {
        scale,
        kept: up(s * kept.iter().sum::<f64>().sqrt()),
        lost: up(lost.iter().sum::<f64>().sqrt()),
        offset: (along.iter().sum::<f64>() - half) as f32,
        shift: LEVELS * sum,
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Coded, Lane, STEPS, Unsigned, encode_body};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    pub(super) fn encode(
        x: &[f32],
        centre: &[f64],
        half: f64,
        codes: &mut [Lane],
        levels: i32,
        reach: f64,
    ) -> Coded {
        encode_body(x, centre, half, codes, levels, reach)
    }

    /// a . b of signed codes of any size.
    #[target_feature(enable = "avx2")]
    pub(super) fn product(a: &[Lane], b: &[Lane]) -> i32 {
        let ones = _mm256_set1_epi16(1);
        let mut acc = [_mm256_setzero_si256(); 2];
        for (t, (a, b)) in a.iter().zip(b).enumerate() {
            // SAFETY: a lane is 32 bytes, aligned to 32.
            let (a, b) = unsafe {
                (_mm256_load_si256((&raw const a.0).cast()), _mm256_load_si256((&raw const b.0).cast()))
            };
            // The instruction takes one unsigned side: |a| times b with the sign of a. Two products of
            // at most 127 x 127 fit in 16 bits.
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
            acc[t % 2] = _mm256_add_epi32(acc[t % 2], _mm256_madd_epi16(pairs, ones));
        }
        let acc = _mm256_add_epi32(acc[0], acc[1]);
        let acc = _mm_add_epi32(_mm256_castsi256_si128(acc), _mm256_extracti128_si256::<1>(acc));
        let acc = _mm_hadd_epi32(acc, acc);
        _mm_cvtsi128_si32(_mm_hadd_epi32(acc, acc))
    }

    const A: usize = 2;
    const B: usize = 4;

    /// out[i, j] = a_i . b_j for rows of `width` lanes.
    ///
    /// # Safety
    /// AVX2; a.len() and b.len() multiples of `width`; out.len() >= rows of a x rows of b.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn products(a: &[Lane], b: &[Unsigned], width: usize, out: &mut [i32]) {
        let (m, n) = (a.len() / width, b.len() / width);
        for from in (0..width).step_by(STEPS) {
            let steps = STEPS.min(width - from);
            // Rows of b outside: they stream from the second-level cache, the few rows of a stay in the first.
            for j in (0..n).step_by(B) {
                let mut bs = [b.as_ptr(); B];
                for (t, p) in bs.iter_mut().enumerate() {
                    // The last rows stand in for the missing ones when the number does not divide.
                    *p = b[(j + t).min(n - 1) * width + from..].as_ptr();
                }
                for i in (0..m).step_by(A) {
                    let last = (i + 1).min(m - 1);
                    let rows = [a[i * width + from..].as_ptr(), a[last * width + from..].as_ptr()];
                    // SAFETY: each slice above was cut within its array and `from + steps <= width`.
                    let sums = unsafe {
                        if steps == STEPS {
                            block::<STEPS>(rows, bs, STEPS)
                        } else {
                            block::<0>(rows, bs, steps)
                        }
                    };
                    for (t, &sums) in sums.iter().enumerate().take(m - i) {
                        let row = &mut out[(i + t) * n + j..][..B.min(n - j)];
                        match <&mut [i32; B]>::try_from(&mut *row) {
                            Ok(row) if from == 0 => *row = sums,
                            _ if from == 0 => row.copy_from_slice(&sums[..row.len()]),
                            _ => row.iter_mut().zip(sums).for_each(|(o, s)| *o += s),
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// AVX2; every pointer readable for `steps` lanes; `steps` is FIXED unless that is 0.
    // Plain loops only: a closure handed to `map` is compiled without AVX2 and not inlined.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn block<const FIXED: usize>(
        a: [*const Lane; A],
        b: [*const Unsigned; B],
        steps: usize,
    ) -> [[i32; B]; A] {
        let mut acc = [[_mm256_setzero_si256(); B]; A];
        for s in 0..if FIXED == 0 { steps } else { FIXED } {
            let mut va = [_mm256_setzero_si256(); A];
            for t in 0..A {
                // SAFETY: within the caller's `steps` lanes, which are aligned to 32 bytes.
                va[t] = unsafe { _mm256_load_si256(a[t].add(s).cast()) };
            }
            for t in 0..B {
                // SAFETY: as above.
                let vb = unsafe { _mm256_load_si256(b[t].add(s).cast()) };
                for r in 0..A {
                    acc[r][t] = _mm256_add_epi16(acc[r][t], _mm256_maddubs_epi16(vb, va[r]));
                }
            }
        }
        let ones = _mm256_set1_epi16(1);
        let mut out = [[0i32; B]; A];
        for r in 0..A {
            let p = _mm256_hadd_epi32(_mm256_madd_epi16(acc[r][0], ones), _mm256_madd_epi16(acc[r][1], ones));
            let q = _mm256_hadd_epi32(_mm256_madd_epi16(acc[r][2], ones), _mm256_madd_epi16(acc[r][3], ones));
            let sums = _mm256_hadd_epi32(p, q);
            let sums = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
            // SAFETY: B i32 are 16 bytes.
            unsafe { _mm_storeu_si128(out[r].as_mut_ptr().cast(), sums) };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, l2_normalized_rows, rng};
    use ndarray::Array2;

    fn plain(a: &[Lane], b: &[Lane]) -> i32 {
        let values = |l: &[Lane]| l.iter().flat_map(|l| l.0).map(i32::from).collect::<Vec<_>>();
        values(a).iter().zip(values(b)).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn products_are_those_of_plain_integers() {
        if !supported() {
            return;
        }
        for (n, d) in [(1, 1), (7, 32), (9, 500), (12, 512), (5, 1100)] {
            let x = gaussian_matrix(n, d, &mut rng(d as u64));
            let order: Vec<u32> = (0..n as u32).rev().collect();
            let c = Codes::new(x.view(), &order, &vec![0.01; d]);
            let row = |i: usize| c.of(i..i + 1);
            let (mut unsigned, mut out) = (Vec::new(), vec![0; n * n]);
            c.unsigned(0..n, &mut unsigned);
            for from in 0..n.min(3) {
                c.products(from..n, &unsigned, &mut out);
                for (i, j) in (from..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    assert_eq!(out[(i - from) * n + j] - c.rows[i].shift, plain(row(i), row(j)), "{d}");
                }
            }
        }
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        if !supported() {
            return;
        }
        for sign in [1.0, -1.0] {
            let mut x = Array2::<f32>::ones((4, 1024));
            x.row_mut(1).fill(sign);
            let c = Codes::new(x.view(), &[0, 1, 2, 3], &vec![0.0; 1024]);
            let (mut unsigned, mut out) = (Vec::new(), vec![0; 16]);
            c.unsigned(0..4, &mut unsigned);
            c.products(0..4, &unsigned, &mut out);
            assert_eq!(out[1] - c.rows[0].shift, sign as i32 * 1024 * LEVELS * LEVELS);
            let bound = c.fine_bound(0, 1);
            assert!((bound - sign * 1024.0).abs() < 0.01, "{bound}");
        }
    }

    #[test]
    fn bounds_hold() {
        if !supported() {
            return;
        }
        for (n, d, spread) in [(40, 5, 1.0f32), (40, 64, 0.1), (60, 300, 1.0), (30, 777, 0.01)] {
            let noise = gaussian_matrix(n, d, &mut rng(9));
            let mut x = Array2::from_shape_fn((n, d), |(i, j)| (j as f32).sin() + spread * noise[[i, j]]);
            x.row_mut(3).fill(0.0);
            x.row_mut(4).fill(0.0);
            x[[4, d / 2]] = 1.0;
            let x = l2_normalized_rows(x.view());
            let centre: Vec<f64> = x.columns().into_iter().map(|c| f64::from(c.sum()) / n as f64).collect();
            let order: Vec<u32> = (0..n as u32).collect();
            let c = Codes::new(x.view(), &order, &centre);
            let (mut unsigned, mut out) = (Vec::new(), vec![0; n * n]);
            c.unsigned(0..n, &mut unsigned);
            c.products(0..n, &unsigned, &mut out);
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let value = crate::arrays::dot(x.row(i).as_slice().unwrap(), x.row(j).as_slice().unwrap());
                let (a, b) = (c.rows[i], c.rows[j]);
                let coarse = f64::from(out[i * n + j] - a.shift) * f64::from(a.scale) * f64::from(b.scale)
                    + f64::from(a.kept * b.lost + a.lost * (b.kept + b.lost) + a.offset + b.offset);
                let fine = f64::from(c.fine_bound(i, j));
                assert!(
                    value <= coarse + 1e-6 && value <= fine + 1e-6,
                    "{d} {i} {j}: {value} {coarse} {fine}"
                );
                // The row with one spike and the zero rows lose more.
                assert!(
                    i == 3 || i == 4 || j == 3 || j == 4 || fine - value < 0.05,
                    "{d} {i} {j}: {value} {fine}"
                );
            }
        }
    }
}
