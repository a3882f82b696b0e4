//! Matrices read by blocks of rows, wherever they lie: in memory, or in a mapped file of another element
//! type or order. What walks a matrix once should ask for this instead of the whole in memory.

pub mod lanes;

use ndarray::ArrayView2;

/// Single or double precision; comparisons and differences are done in the type itself.
pub trait Real:
    Copy
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + Send
    + Sync
    + 'static
{
    const ZERO: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    fn to_f64(self) -> f64;
    /// Rounded to nearest.
    fn of_f64(value: f64) -> Self;
    /// `self / n`, rounded once.
    fn over(self, n: usize) -> Self;
    /// The smallest value of the type that is at least `value`.
    fn at_least(value: f64) -> Self;
    /// The largest value of the type below this one.
    fn next_down(self) -> Self;
    /// Eight values on a processor with AVX2.
    #[cfg(target_arch = "x86_64")]
    type Avx2: lanes::Lanes<Self>;
    /// A value with its row as one integer: the larger value first, then the earlier row. (Sorting
    /// integers needs no branch.) The value is not NaN; both zeros count as one.
    type Place: Ord + Copy + Default + Send + Sync + std::fmt::Debug;
    fn place(self, row: u32) -> Self::Place;
    /// Value and row of a place.
    fn of_place(place: Self::Place) -> (Self, u32);
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const INFINITY: Self = f32::INFINITY;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn of_f64(value: f64) -> Self {
        value as f32
    }
    fn over(self, n: usize) -> Self {
        self / n as f32
    }
    fn at_least(value: f64) -> Self {
        let near = value as f32;
        if f64::from(near) < value { near.next_up() } else { near }
    }
    fn next_down(self) -> Self {
        f32::next_down(self)
    }
    #[cfg(target_arch = "x86_64")]
    type Avx2 = lanes::Singles;
    type Place = u64;
    #[inline(always)]
    fn place(self, row: u32) -> u64 {
        // adding 0 makes -0 into 0
        let bits = (self + 0.0).to_bits();
        let rising = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        u64::from(!rising) << 32 | u64::from(row)
    }
    #[inline(always)]
    fn of_place(place: u64) -> (Self, u32) {
        let rising = !((place >> 32) as u32);
        let bits = if rising >> 31 == 0 { !rising } else { rising & !(1 << 31) };
        (f32::from_bits(bits), place as u32)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const INFINITY: Self = f64::INFINITY;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    fn to_f64(self) -> f64 {
        self
    }
    fn of_f64(value: f64) -> Self {
        value
    }
    fn over(self, n: usize) -> Self {
        self / n as f64
    }
    fn at_least(value: f64) -> Self {
        value
    }
    fn next_down(self) -> Self {
        f64::next_down(self)
    }
    #[cfg(target_arch = "x86_64")]
    type Avx2 = lanes::Doubles;
    type Place = u128;
    #[inline(always)]
    fn place(self, row: u32) -> u128 {
        // adding 0 makes -0 into 0
        let bits = (self + 0.0).to_bits();
        let rising = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
        u128::from(!rising) << 32 | u128::from(row)
    }
    #[inline(always)]
    fn of_place(place: u128) -> (Self, u32) {
        let rising = !((place >> 32) as u64);
        let bits = if rising >> 63 == 0 { !rising } else { rising & !(1 << 63) };
        (f64::from_bits(bits), place as u32)
    }
}

/// A matrix of `T`, row by row.
pub trait Rows<T>: Sync {
    /// (rows, columns)
    fn shape(&self) -> (usize, usize);

    /// Rows `start..start + n`, row-major: borrowed where they lie so, else copied into `buffer`.
    ///
    /// # Panics
    /// When there are no such rows.
    fn block<'a>(&'a self, start: usize, n: usize, buffer: &'a mut Vec<T>) -> &'a [T];
}

impl<T: Copy + Sync> Rows<T> for ArrayView2<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.dim()
    }

    fn block<'a>(&'a self, start: usize, n: usize, buffer: &'a mut Vec<T>) -> &'a [T] {
        let k = self.ncols();
        if let Some(all) = self.as_slice() {
            return &all[start * k..(start + n) * k];
        }
        buffer.clear();
        for i in start..start + n {
            buffer.extend(self.row(i));
        }
        buffer
    }
}

/// Rows of one block for a matrix of `columns` columns: about 256 KiB of f32, so that a block stays in
/// the cache between the steps of one pass. Depends on the shape only.
pub fn block_rows(columns: usize) -> usize {
    ((1 << 16) / columns.max(1)).clamp(16, 1 << 14)
}

/// The sum of `values` as NumPy's `add.reduce` forms it (pairwise, in blocks of 128 with eight running
/// sums), so that thresholds have the bits that NumPy gives them. Source: numpy/_core/src/umath
/// `pairwise_sum`; error O(log n) ulps.
pub fn pairwise_sum<T: Real>(values: &[T]) -> T {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(T::ZERO, |s, &v| s + v);
    }
    if n <= LEAF {
        let (chunks, rest) = values.as_chunks::<8>();
        let mut r = chunks[0];
        for chunk in &chunks[1..] {
            for (sum, &v) in r.iter_mut().zip(chunk) {
                *sum = *sum + v;
            }
        }
        let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        return rest.iter().fold(sum, |s, &v| s + v);
    }
    let half = half(n);
    pairwise_sum(&values[..half]) + pairwise_sum(&values[half..])
}

/// So many values are summed without being halved.
const LEAF: usize = 128;

fn half(n: usize) -> usize {
    n / 2 - (n / 2) % 8
}

/// [`pairwise_sum`] of values that come one by one: the same bits, without their ever being in one place.
/// Memory: 128 values.
#[derive(Debug)]
pub struct Running<T> {
    leaf: Vec<T>,
    /// Values of the leaf under way when it is whole.
    whole: usize,
    /// Left to do, the last first.
    steps: Vec<Step>,
    sums: Vec<T>,
}

#[derive(Debug)]
enum Step {
    /// So many values.
    Sum(usize),
    /// The last two sums to one.
    Join,
}

impl<T: Real> Running<T> {
    /// Of `n` values.
    pub fn of(n: usize) -> Self {
        let leaf = Vec::with_capacity(n.min(LEAF));
        let mut out = Self { leaf, whole: 0, steps: vec![Step::Sum(n)], sums: Vec::new() };
        out.advance();
        out
    }

    pub fn add(&mut self, value: T) {
        self.leaf.push(value);
        if self.leaf.len() == self.whole {
            self.sums.push(pairwise_sum(&self.leaf));
            self.leaf.clear();
            self.advance();
        }
    }

    /// To the next leaf.
    fn advance(&mut self) {
        while let Some(step) = self.steps.pop() {
            match step {
                Step::Sum(n) if n <= LEAF => {
                    self.whole = n;
                    return;
                }
                Step::Sum(n) => {
                    let half = half(n);
                    self.steps.extend([Step::Join, Step::Sum(n - half), Step::Sum(half)]);
                }
                Step::Join => {
                    if let (Some(b), Some(a)) = (self.sums.pop(), self.sums.pop()) {
                        self.sums.push(a + b);
                    }
                }
            }
        }
    }

    /// The sum, once all values have come.
    pub fn total(&self) -> T {
        self.sums.first().copied().unwrap_or(T::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn blocks_of_any_layout() {
        let x = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let mut buffer = Vec::new();
        assert_eq!(x.view().block(1, 2, &mut buffer), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(x.t().block(1, 1, &mut buffer), [2.0, 5.0, 8.0]);
        assert_eq!(x.view().block(3, 0, &mut buffer), [0.0f32; 0]);
    }

    #[test]
    fn sums_have_numpys_bits() {
        // np.add.reduce(np.float32(1) / np.arange(1, n + 1, dtype=np.float32)), NumPy 2.4
        let reciprocal = |n: usize| (1..=n).map(|i| 1.0f32 / i as f32).collect::<Vec<_>>();
        for (n, bits) in PAIRWISE {
            assert_eq!(pairwise_sum(&reciprocal(n)).to_bits(), bits, "{n}");
            let mut running = Running::of(n);
            reciprocal(n).into_iter().for_each(|v| running.add(v));
            assert_eq!(running.total().to_bits(), bits, "{n}");
        }
        assert_eq!(Running::<f32>::of(0).total(), 0.0);
    }

    const PAIRWISE: [(usize, u32); 5] = [
        (7, 0x4025_f160),
        (100, 0x40a5_ff01),
        (129, 0x40ae_1bda),
        (1000, 0x40ef_88fc),
        (123_457, 0x4144_d05d),
    ];

    #[test]
    fn places_are_in_order_of_falling_values_and_rising_rows() {
        fn check<T: Real + From<f32>>() {
            let values: Vec<T> =
                [2.0f32, 1.5, 1e-30, 0.0, -1e-30, -1.5, -2.0].into_iter().map(T::from).collect();
            let mut places: Vec<T::Place> =
                values.iter().flat_map(|v| [v.place(0), v.place(7), v.place(u32::MAX)]).collect();
            assert!(places.is_sorted());
            places.reverse();
            let back: Vec<(T, u32)> = places.into_iter().rev().step_by(3).map(T::of_place).collect();
            assert_eq!(back, values.iter().map(|v| (*v, 0)).collect::<Vec<_>>());
            assert_eq!(T::from(-0.0).place(3), T::from(0.0).place(3));
            assert!(T::from(0.5).next_down() < T::from(0.5));
        }
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn the_smallest_f32_above_a_double() {
        assert_eq!(f32::at_least(0.5), 0.5);
        let x = 0.1f64;
        assert!(f64::from(f32::at_least(x)) >= x && f64::from(f32::at_least(x).next_down()) < x);
    }
}
