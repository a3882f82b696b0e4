//! Eight values side by side, for inner loops that a compiler does not make vector code of by itself (it
//! gives up on loops that compare and choose). On processors with AVX2 a [`Kernel`] runs with vector
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
    /// x ln x in single precision (2 ulp), 0 where x is not above 0. (With the library's logarithm this
    /// takes a third of an audit.)
    fn x_ln_x(self) -> Self;
    /// The largest of the eight, none of which is NaN.
    fn highest(self) -> T;
    /// The sum of the eight; the order is no part of the contract.
    fn total(self) -> T;
    /// Whole numbers from -1 (as the largest) to 2^24.
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
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as was just asked.
        return unsafe { run_avx2::<T, K>(kernel) };
    }
    kernel.run::<Plain<T>>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<T: Real, K: Kernel<T>>(kernel: K) -> K::Out {
    kernel.run::<T::Avx2>()
}

/// Parts of the logarithm: square root of 1/2, its polynomial, ln 2 in two parts. Source: Cephes `logf`,
/// S. Moshier.
const ROOT_HALF: u32 = 0x3f35_04f3;
const MANTISSA: u32 = 0x007f_ffff;
const POLYNOMIAL: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_9e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_5e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
const LN_2_LOW: f32 = -2.121_944_4e-4;
const LN_2_HIGH: f32 = 0.693_359_4;

/// Natural logarithm of a positive normal number.
fn ln(x: f32) -> f32 {
    // mantissa in [sqrt(1/2), sqrt(2))
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
    let exponent = (shifted as i32 >> 23) as f32;
    let x = f32::from_bits((shifted & MANTISSA).wrapping_add(ROOT_HALF)) - 1.0;
    let z = x * x;
    let y = POLYNOMIAL[1..].iter().fold(POLYNOMIAL[0], |y, c| y * x + c);
    let y = y * x * z + exponent * LN_2_LOW - 0.5 * z;
    x + y + exponent * LN_2_HIGH
}

fn x_ln_x(x: f32) -> f32 {
    x * ln(x.max(f32::MIN_POSITIVE))
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
    fn x_ln_x(self) -> Self {
        Self(self.0.map(|v| T::of_f64(x_ln_x(v.to_f64() as f32).into())))
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

/// Lanes on processors with AVX2. Values of these types are made by kernels only, and [`run`] gives these
/// types to a kernel only where there is AVX2: that is what every `unsafe` here rests on.
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
        fn x_ln_x(self) -> Self {
            // SAFETY: there is AVX2 (see the module).
            unsafe {
                let value = _mm256_max_ps(self.0, _mm256_set1_ps(f32::MIN_POSITIVE));
                let root = _mm256_set1_epi32(super::ROOT_HALF as i32);
                let shifted = _mm256_sub_epi32(_mm256_castps_si256(value), root);
                let exponent = _mm256_cvtepi32_ps(_mm256_srai_epi32::<23>(shifted));
                let mantissa = _mm256_and_si256(shifted, _mm256_set1_epi32(super::MANTISSA as i32));
                let mantissa = _mm256_castsi256_ps(_mm256_add_epi32(mantissa, root));
                let x = _mm256_sub_ps(mantissa, _mm256_set1_ps(1.0));
                let z = _mm256_mul_ps(x, x);
                let mut y = _mm256_set1_ps(super::POLYNOMIAL[0]);
                for c in &super::POLYNOMIAL[1..] {
                    y = _mm256_add_ps(_mm256_mul_ps(y, x), _mm256_set1_ps(*c));
                }
                let low = _mm256_mul_ps(exponent, _mm256_set1_ps(super::LN_2_LOW));
                let y = _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(y, x), z), low);
                let y = _mm256_sub_ps(y, _mm256_mul_ps(_mm256_set1_ps(0.5), z));
                let high = _mm256_mul_ps(exponent, _mm256_set1_ps(super::LN_2_HIGH));
                Self(_mm256_mul_ps(self.0, _mm256_add_ps(_mm256_add_ps(x, y), high)))
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
        fn x_ln_x(self) -> Self {
            Self::load(&self.store().map(|v| super::x_ln_x(v as f32).into()))
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
                a.x_ln_x().store(),
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
            assert!((got - want).abs() <= 3e-7 * want.abs().max(0.3), "{x}: {got} {want}");
            let (values, ..) = run(All(&[x; LANES], &[x; LANES]));
            assert_eq!(values[6][7].to_bits(), (x * ln(x)).to_bits());
        }
        assert_eq!((x_ln_x(0.0), x_ln_x(1.0)), (0.0, 0.0));
    }

    #[test]
    fn what_is_not_a_number_loses() {
        let values = [f32::NAN; LANES];
        let (found, bits, _) = run(All(&values, &[1.0; LANES]));
        assert!(found[0][0].is_nan() && found[2] == [1.0; LANES] && found[3] == [1.0; LANES]);
        assert_eq!(bits, [0; 3]);
    }
}
