//! Eight values side by side, for inner loops that a compiler does not make vector code of by itself (it
//! gives up on loops that compare and choose). On processors with AVX2 and FMA a [`Kernel`] runs with vector
//! instructions, elsewhere with arrays; each operation rounds the same way in both, so the results have
//! the same bits.

use super::Real;

/// Values side by side.
pub const LANES: usize = 8;

/// Eight values of `T`. What compares gives a mask, to be used with [`Lanes::select`] and the like only.
pub trait Lanes<T>: Copy {
    fn splat(value: T) -> Self;
    fn load(values: &[T; LANES]) -> Self;
    fn store(self) -> [T; LANES];
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    /// `self` where it is greater, else `other`.
    fn max(self, other: Self) -> Self;
    /// `self` where it is less, else `other`.
    fn min(self, other: Self) -> Self;
    /// Mask: self > other.
    fn above(self, other: Self) -> Self;
    /// Mask: self >= other.
    fn at_least(self, other: Self) -> Self;
    /// With `self` a mask: `yes` where it is true, else `no`.
    fn select(self, yes: Self, no: Self) -> Self;
    /// With `self` a mask: bit l is lane l.
    fn bits(self) -> u32;
    /// `self` + x ln x in single precision, x not below 0 and 0 ln 0 = 0.
    fn plus_x_ln_x(self, x: Self) -> Self;
    /// The largest of the eight, none of which is NaN.
    fn highest(self) -> T;
    /// The sum of the eight; the order is no part of the contract.
    fn total(self) -> T;
    /// Rounded towards zero, of values from -1 (as the largest) to 2^24.
    fn whole(self) -> [u32; LANES];
}

/// Work that is written for any kind of lanes. `run` must be `#[inline(always)]`, and so must all that it
/// calls with lanes.
pub trait Kernel<T> {
    type Out;
    fn run<L: Lanes<T>>(self) -> Self::Out;
}

/// Runs `kernel` with the best instructions that this processor has.
pub fn run<T: Real, K: Kernel<T>>(kernel: K) -> K::Out {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA, as was just asked.
        return unsafe { run_avx2::<T, K>(kernel) };
    }
    kernel.run::<Plain<T>>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<T: Real, K: Kernel<T>>(kernel: K) -> K::Out {
    kernel.run::<T::Avx2>()
}

/// Natural logarithm in single precision: m 2^e with m in [0.78125, 1.5625) and near one of eight centres
/// c, ln = e ln 2 + ln c + ln(1 + r) with r = m / c - 1, |r| <= 1/16. Where x is near 1 both first terms are
/// zero, so that the error is relative to the logarithm there too. (The library's takes a third of an audit.)
mod logarithm {
    /// Bits of 0.78125; from there the three bits after the exponent number the centres.
    pub(super) const ORIGIN: u32 = 0x3f48_0000;
    pub(super) const EXPONENT: u32 = 0xff80_0000;
    pub(super) const CENTRE_BITS: i32 = 20;
    /// 1 / c, rounded, for c = 13/16, 14/16, 15/16, 1, 9/8, 10/8, 11/8, 12/8.
    pub(super) const INVERSES: [f32; 8] =
        [1.230_769_2, 1.142_857_2, 1.066_666_7, 1.0, 0.888_888_9, 0.8, 0.727_272_75, 0.666_666_7];
    /// - ln of those.
    pub(super) const CENTRES: [f32; 8] = [
        -0.207_639_4,
        -0.133_531_44,
        -0.064_538_576,
        0.0,
        0.117_783_025,
        0.223_143_53,
        0.318_453_7,
        0.405_465_07,
    ];
    /// ln 2 of one step of the exponent as it lies in the bits.
    pub(super) const LN_2: f32 = 8.262_958e-8;
    /// (ln(1 + r) / r - 1) / r, highest power first: minimax of the relative error of ln(1 + r), 1.0e-8.
    pub(super) const POLYNOMIAL: [f32; 4] = [0.200_925_42, -0.250_812_05, 0.333_331_9, -0.499_999_23];
}
use logarithm::*;

/// Natural logarithm of a positive normal number.
fn ln(x: f32) -> f32 {
    let shifted = x.to_bits().wrapping_sub(ORIGIN);
    let exponent = shifted & EXPONENT;
    let centre = (shifted >> CENTRE_BITS & 7) as usize;
    let r = f32::from_bits(x.to_bits().wrapping_sub(exponent)).mul_add(INVERSES[centre], -1.0);
    let y = POLYNOMIAL[1..].iter().fold(POLYNOMIAL[0], |y, c| y.mul_add(r, *c)).mul_add(r, 1.0);
    r.mul_add(y, (exponent as i32 as f32).mul_add(LN_2, CENTRES[centre]))
}

fn plus_x_ln_x(sum: f32, x: f32) -> f32 {
    x.mul_add(ln(x.max(f32::MIN_POSITIVE)), sum)
}

/// Lanes on any processor.
#[derive(Clone, Copy)]
pub struct Plain<T>([T; LANES]);

impl<T: Real> Plain<T> {
    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        Self(std::array::from_fn(|l| f(self.0[l], other.0[l])))
    }
}

impl<T: Real> Lanes<T> for Plain<T> {
    #[inline(always)]
    fn splat(value: T) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    fn load(values: &[T; LANES]) -> Self {
        Self(*values)
    }
    #[inline(always)]
    fn store(self) -> [T; LANES] {
        self.0
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.with(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn above(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { T::INFINITY } else { T::ZERO })
    }
    #[inline(always)]
    fn at_least(self, other: Self) -> Self {
        self.with(other, |a, b| if a >= b { T::INFINITY } else { T::ZERO })
    }
    #[inline(always)]
    fn select(self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] > T::ZERO { yes.0[l] } else { no.0[l] }))
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        (0..LANES).fold(0, |bits, l| bits | u32::from(self.0[l] > T::ZERO) << l)
    }
    #[inline(always)]
    fn plus_x_ln_x(self, x: Self) -> Self {
        let single = |v: T| v.to_f64() as f32;
        self.with(x, |sum, x| T::of_f64(plus_x_ln_x(single(sum), single(x)).into()))
    }
    #[inline(always)]
    fn highest(self) -> T {
        self.0.into_iter().fold(T::NEG_INFINITY, |m, v| if v > m { v } else { m })
    }
    #[inline(always)]
    fn total(self) -> T {
        self.0.into_iter().fold(T::ZERO, |sum, v| sum + v)
    }
    #[inline(always)]
    fn whole(self) -> [u32; LANES] {
        self.0.map(|v| v.to_f64() as i32 as u32)
    }
}

#[cfg(target_arch = "x86_64")]
pub use avx2::{Doubles, Singles};

/// Lanes on processors with AVX2 and FMA. Values of these types are made by kernels only, and [`run`] gives
/// these types to a kernel only where there are both: that is what every `unsafe` here rests on.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{LANES, Lanes};

    #[derive(Clone, Copy)]
    pub struct Singles(__m256);

    #[derive(Clone, Copy)]
    pub struct Doubles(__m256d, __m256d);

    impl Lanes<f32> for Singles {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_set1_ps(value) })
        }
        #[inline(always)]
        fn load(values: &[f32; LANES]) -> Self {
            // SAFETY: there is AVX2 (see the module); the array has the eight values that are read.
            Self(unsafe { _mm256_loadu_ps(values.as_ptr()) })
        }
        #[inline(always)]
        fn store(self) -> [f32; LANES] {
            let mut out = [0.0; LANES];
            // SAFETY: there is AVX2 (see the module); the array has room for eight values.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), self.0) };
            out
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_min_ps(self.0, other.0) })
        }
        #[inline(always)]
        fn above(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_cmp_ps::<_CMP_GT_OQ>(self.0, other.0) })
        }
        #[inline(always)]
        fn at_least(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_cmp_ps::<_CMP_GE_OQ>(self.0, other.0) })
        }
        #[inline(always)]
        fn select(self, yes: Self, no: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            Self(unsafe { _mm256_blendv_ps(no.0, yes.0, self.0) })
        }
        #[inline(always)]
        fn bits(self) -> u32 {
            // SAFETY: there is AVX2 (see the module).
            unsafe { _mm256_movemask_ps(self.0) as u32 }
        }
        #[inline(always)]
        fn plus_x_ln_x(self, x: Self) -> Self {
            use super::logarithm::*;
            // SAFETY: there are AVX2 and FMA (see the module); the tables have the eight values that are read.
            unsafe {
                let bits = _mm256_castps_si256(_mm256_max_ps(x.0, _mm256_set1_ps(f32::MIN_POSITIVE)));
                let shifted = _mm256_sub_epi32(bits, _mm256_set1_epi32(ORIGIN as i32));
                let exponent = _mm256_and_si256(shifted, _mm256_set1_epi32(EXPONENT as i32));
                let mantissa = _mm256_castsi256_ps(_mm256_sub_epi32(bits, exponent));
                // only the lowest three bits of each count
                let centre = _mm256_srli_epi32::<CENTRE_BITS>(shifted);
                let inverse = _mm256_permutevar8x32_ps(_mm256_loadu_ps(INVERSES.as_ptr()), centre);
                let r = _mm256_fmsub_ps(mantissa, inverse, _mm256_set1_ps(1.0));
                let mut y = _mm256_set1_ps(POLYNOMIAL[0]);
                for c in &POLYNOMIAL[1..] {
                    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(*c));
                }
                let y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0));
                let centre = _mm256_permutevar8x32_ps(_mm256_loadu_ps(CENTRES.as_ptr()), centre);
                let rough = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exponent), _mm256_set1_ps(LN_2), centre);
                Self(_mm256_fmadd_ps(x.0, _mm256_fmadd_ps(r, y, rough), self.0))
            }
        }
        #[inline(always)]
        fn highest(self) -> f32 {
            // SAFETY: there is AVX2 (see the module).
            unsafe {
                let half = _mm_max_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_max_ps(half, _mm_movehl_ps(half, half));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
        #[inline(always)]
        fn total(self) -> f32 {
            // SAFETY: there is AVX2 (see the module).
            unsafe {
                let half = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
                let two = _mm_add_ps(half, _mm_movehl_ps(half, half));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
            }
        }
        #[inline(always)]
        fn whole(self) -> [u32; LANES] {
            let mut out = [0; LANES];
            // SAFETY: there is AVX2 (see the module); the array has room for eight integers.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_cvttps_epi32(self.0)) };
            out
        }
    }

    impl Lanes<f64> for Doubles {
        #[inline(always)]
        fn splat(value: f64) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe { Self(_mm256_set1_pd(value), _mm256_set1_pd(value)) }
        }
        #[inline(always)]
        fn load(values: &[f64; LANES]) -> Self {
            // SAFETY: there is AVX2 (see the module); the array has the eight values that are read.
            unsafe { Self(_mm256_loadu_pd(values.as_ptr()), _mm256_loadu_pd(values[4..].as_ptr())) }
        }
        #[inline(always)]
        fn store(self) -> [f64; LANES] {
            let mut out = [0.0; LANES];
            // SAFETY: there is AVX2 (see the module); the array has room for eight values.
            unsafe {
                _mm256_storeu_pd(out.as_mut_ptr(), self.0);
                _mm256_storeu_pd(out[4..].as_mut_ptr(), self.1);
            }
            out
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe { Self(_mm256_add_pd(self.0, other.0), _mm256_add_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe { Self(_mm256_sub_pd(self.0, other.0), _mm256_sub_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe { Self(_mm256_max_pd(self.0, other.0), _mm256_max_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn min(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe { Self(_mm256_min_pd(self.0, other.0), _mm256_min_pd(self.1, other.1)) }
        }
        #[inline(always)]
        fn above(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe {
                Self(
                    _mm256_cmp_pd::<_CMP_GT_OQ>(self.0, other.0),
                    _mm256_cmp_pd::<_CMP_GT_OQ>(self.1, other.1),
                )
            }
        }
        #[inline(always)]
        fn at_least(self, other: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe {
                Self(
                    _mm256_cmp_pd::<_CMP_GE_OQ>(self.0, other.0),
                    _mm256_cmp_pd::<_CMP_GE_OQ>(self.1, other.1),
                )
            }
        }
        #[inline(always)]
        fn select(self, yes: Self, no: Self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe { Self(_mm256_blendv_pd(no.0, yes.0, self.0), _mm256_blendv_pd(no.1, yes.1, self.1)) }
        }
        #[inline(always)]
        fn bits(self) -> u32 {
            // SAFETY: there is AVX2 (see the module).
            unsafe { (_mm256_movemask_pd(self.0) | _mm256_movemask_pd(self.1) << 4) as u32 }
        }
        #[inline(always)]
        fn plus_x_ln_x(self, x: Self) -> Self {
            let (sums, x) = (self.store(), x.store());
            let one = |l: usize| f64::from(super::plus_x_ln_x(sums[l] as f32, x[l] as f32));
            Self::load(&std::array::from_fn(one))
        }
        #[inline(always)]
        fn highest(self) -> f64 {
            self.store().into_iter().fold(f64::NEG_INFINITY, |m, v| if v > m { v } else { m })
        }
        #[inline(always)]
        fn total(self) -> f64 {
            self.store().into_iter().sum()
        }
        #[inline(always)]
        fn whole(self) -> [u32; LANES] {
            self.store().map(|v| v as i32 as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::rng;
    use rand::Rng;

    /// Everything that lanes can do, as numbers.
    struct All<'a, T>(&'a [T; LANES], &'a [T; LANES]);

    impl<T: Real> Kernel<T> for All<'_, T> {
        type Out = (Vec<[T; LANES]>, [u32; 3], [u32; LANES]);
        #[inline(always)]
        fn run<L: Lanes<T>>(self) -> Self::Out {
            let (a, b) = (L::load(self.0), L::load(self.1));
            let chosen = |mask: L| mask.select(a, b).store();
            let values = vec![
                a.add(b).store(),
                a.sub(b).store(),
                a.max(b).store(),
                a.min(b).store(),
                chosen(a.above(b)),
                chosen(a.at_least(b)),
                a.plus_x_ln_x(b.max(L::splat(T::ZERO))).store(),
                [a.highest(); LANES],
            ];
            let exact: f64 = self.0.iter().map(|v| v.to_f64()).sum();
            assert!((a.total().to_f64() - exact).abs() < 1e-5 || exact.is_nan());
            let one = L::splat(T::of_f64(1.0));
            let whole = a.above(b).select(L::splat(T::of_f64(-1.0)), one.add(one)).whole();
            (values, [a.above(b).bits(), a.at_least(b).bits(), b.above(a).bits()], whole)
        }
    }

    #[test]
    fn the_same_with_and_without_avx2() {
        fn check<T: Real>() {
            let mut r = rng(3);
            for _ in 0..1000 {
                let mut values = || std::array::from_fn(|_| T::of_f64(f64::from(r.gen_range(-3..4)) / 3.0));
                let (a, b): ([T; LANES], [T; LANES]) = (values(), values());
                let (values, bits, whole) = run(All(&a, &b));
                assert_eq!((values.clone(), bits, whole), All(&a, &b).run::<Plain<T>>());
                for l in 0..LANES {
                    assert!(values[0][l] == a[l] + b[l] && values[1][l] == a[l] - b[l]);
                    assert_eq!((bits[0] >> l & 1 == 1, bits[1] >> l & 1 == 1), (a[l] > b[l], a[l] >= b[l]));
                    assert_eq!(whole[l], if a[l] > b[l] { u32::MAX } else { 2 });
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn the_logarithm_is_that_of_the_library() {
        for i in 1..200_000u32 {
            let x = f32::from_bits(i * 5000 + 0x0080_0000);
            if x > 2.0 {
                break;
            }
            let (got, want) = (f64::from(ln(x)), f64::from(x).ln());
            assert!((got - want).abs() <= 1.5e-7 * want.abs(), "{x}: {got} {want}");
            let (values, ..) = run(All(&[0.25; LANES], &[x; LANES]));
            assert_eq!(values[6][7].to_bits(), plus_x_ln_x(0.25, x).to_bits());
        }
        assert_eq!((plus_x_ln_x(0.0, 0.0), plus_x_ln_x(0.0, 1.0)), (0.0, 0.0));
    }

    #[test]
    fn what_is_not_a_number_loses() {
        let values = [f32::NAN; LANES];
        let (found, bits, _) = run(All(&values, &[1.0; LANES]));
        assert!(found[0][0].is_nan() && found[2] == [1.0; LANES] && found[3] == [1.0; LANES]);
        assert_eq!(bits, [0; 3]);
    }
}
