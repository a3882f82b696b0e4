//! All pairs, each once: exact nearest rows by tiles of pairs.
//!
//! A tile is 512 x 512 pairs. For each pair something cheaper than its similarity, an upper bound,
//! is compared with the worst similarity that either row still keeps; only what passes gets the one
//! and fixed [`similarity`], so that results depend neither on the order of the tiles, nor on how
//! many threads there are, nor on which bound was used. The bound is of small integers ([`Codes`])
//! or, where that lets too much pass, of a plain f32 product with the most it can be off by rounding.
//!
//! Rows are visited cluster by cluster, tiles near the diagonal first: good neighbours turn up early
//! and the rest is filtered by high bars. What passes the coarse codes is looked at by finer ones first.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::codes::{self, Coded, Codes, Unsigned};
use super::similarity::similarity;
use crate::arrays::product;

/// Rows of one side of a tile: 512 x 512 codes are 256 KiB, half of a second-level cache.
pub(super) const BLOCK: usize = 512;
/// Rows of a tile that are filtered at a time; as many as a mask has bits.
const STRIP: usize = 32;
/// Tiles between two reports of progress.
const REPORT_TILES: usize = 128;
/// Blocks on a side of the squares in which tiles are visited: 2 x 8 blocks of codes are 4 MiB.
const SQUARE: usize = 8;
/// Below this many columns an f32 product costs no more than the filter's bookkeeping.
const CODED_COLUMNS: usize = 64;
/// Above this many the integer products of fine codes could overflow.
const MOST_CODED_COLUMNS: usize = 1 << 16;
/// Share of pairs that may pass the coarse codes: an f32 product costs about 3 products of coarse
/// codes in a tile, a look at one pair's fine codes about 10.
const MOST_PASSING: f64 = 0.2;

/// The k best so far: by descending similarity, equals by row.
#[derive(Clone)]
pub(super) struct Best {
    k: usize,
    pub(super) entries: Vec<(f32, u32)>,
}

impl Best {
    /// What is less does not enter.
    fn bar(&self) -> f32 {
        if self.entries.len() < self.k { f32::NEG_INFINITY } else { self.entries[self.k - 1].0 }
    }

    fn insert(&mut self, value: f32, row: u32) {
        let at = self.entries.partition_point(|e| e.0 > value || (e.0 == value && e.1 < row));
        if at < self.k {
            self.entries.truncate(self.k - 1);
            self.entries.insert(at, (value, row));
        }
    }
}

/// Whether rows of `d` values are worth coding.
pub(super) fn worth_coding(d: usize) -> bool {
    (CODED_COLUMNS..=MOST_CODED_COLUMNS).contains(&d)
}

/// How a tile's pairs are filtered.
#[derive(Clone, Copy, PartialEq)]
enum Filter {
    Codes,
    Products,
}

pub(super) struct Search<'a> {
    x: ArrayView2<'a, f32>,
    /// Row at each position.
    order: Vec<u32>,
    zero: Vec<bool>,
    codes: Option<Codes>,
    /// Most that a filter's value can be below the similarity because of rounding.
    slack: [f32; 2],
    found: Vec<Mutex<Vec<Best>>>,
    /// Bits of every position's bar, which only rises: a stale value lets more pass, never less.
    bars: Vec<AtomicU32>,
    tested: AtomicU64,
    passed: AtomicU64,
}

/// Per-thread memory.
#[derive(Default)]
struct Scratch {
    unsigned: Vec<Unsigned>,
    products: Vec<i32>,
    tile: Vec<f32>,
    left: Vec<f32>,
    right: Vec<f32>,
    columns: Columns,
    masks: Vec<u32>,
    pairs: Vec<(u32, u32, f32)>,
}

/// What the bound needs of a tile's columns, one array each so that eight are done at a time.
#[derive(Default)]
struct Columns {
    scale: Vec<f32>,
    lost: Vec<f32>,
    reach: Vec<f32>,
    offset: Vec<f32>,
    bar: Vec<f32>,
}

impl<'a> Search<'a> {
    /// `x` (N, D) standard layout with finite rows of about unit length or zero; `k` in 1..N.
    pub(super) fn new(x: ArrayView2<'a, f32>, order: Vec<u32>, k: usize, coded: bool) -> Self {
        let (n, d) = x.dim();
        let centre: Vec<f64> =
            x.mean_axis(Axis(0)).map_or_else(Vec::new, |m| m.iter().map(|v| f64::from(*v)).collect());
        let codes = (coded && codes::supported()).then(|| Codes::new(x, &order, &centre));
        let square = |r: ndarray::ArrayView1<'_, f32>| r.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        let squares: Vec<f64> = x.axis_iter(Axis(0)).map(square).collect();
        let longest = squares.iter().fold(0f64, |m, s| m.max(*s));
        // Summation error of a product of rows is at most depth x 2^-24 x |x||y| (Higham 2002, 3.1);
        // the bound itself is half a dozen f32 operations on values below 8 x `longest`.
        let ulp = f64::from(f32::EPSILON);
        let own = longest * ulp * (d as f64 / 32.0 + 8.0);
        let slack = [(own + longest * ulp * 64.0) as f32, (own + longest * ulp * (d as f64 + 8.0)) as f32];
        Self {
            x,
            zero: order.iter().map(|&i| squares[i as usize] == 0.0).collect(),
            codes,
            slack,
            found: (0..n)
                .step_by(BLOCK)
                .map(|s| Mutex::new(vec![Best { k, entries: Vec::with_capacity(k + 1) }; BLOCK.min(n - s)]))
                .collect(),
            bars: (0..n).map(|_| AtomicU32::new(f32::NEG_INFINITY.to_bits())).collect(),
            tested: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            order,
        }
    }

    /// Visits all pairs. False when `progress` said so.
    pub(super) fn run(&self, progress: &mut dyn FnMut(usize, usize) -> bool) -> bool {
        let (n, blocks) = (self.order.len(), self.found.len());
        let tiles = tiles(blocks);
        let mut done = 0;
        // Groups of f32 products to sit out before the integer filter is tried again, doubling.
        let (mut wait, mut patience) = (0usize, 1usize);
        for group in tiles.chunks(REPORT_TILES) {
            let filter = if self.codes.is_some() && wait == 0 { Filter::Codes } else { Filter::Products };
            group
                .par_iter()
                .with_max_len(1)
                .for_each_init(Scratch::default, |scratch, &(a, b)| self.tile(a, b, filter, scratch));
            done += group.len();
            let (tested, passed) =
                (self.tested.swap(0, Ordering::Relaxed), self.passed.swap(0, Ordering::Relaxed));
            if filter == Filter::Products {
                wait = wait.saturating_sub(1);
            } else if tested > 0 && passed as f64 > MOST_PASSING * tested as f64 {
                (wait, patience) = (patience, patience * 2);
            }
            let rows =
                if done == tiles.len() { n } else { (n as f64 * done as f64 / tiles.len() as f64) as usize };
            if !progress(rows, n) {
                return false;
            }
        }
        true
    }

    /// (row, its best) of every row, in the order of visit.
    pub(super) fn into_best(self) -> impl Iterator<Item = (u32, Best)> {
        let found =
            self.found.into_iter().flat_map(|b| b.into_inner().unwrap_or_else(PoisonError::into_inner));
        self.order.into_iter().zip(found)
    }

    fn rows(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(self.order.len())
    }

    fn bar(&self, position: usize) -> f32 {
        f32::from_bits(self.bars[position].load(Ordering::Relaxed))
    }

    /// All pairs of one row of block `a` and one of block `b`, `a <= b`.
    fn tile(&self, a: usize, b: usize, filter: Filter, scratch: &mut Scratch) {
        let (left, right) = (self.rows(a), self.rows(b));
        let width = right.len();
        let codes = self.codes.as_ref().filter(|_| filter == Filter::Codes);
        match codes {
            Some(codes) => {
                codes.unsigned(right.clone(), &mut scratch.unsigned);
                scratch.columns.fill(&codes.rows[right.clone()]);
                scratch.products.resize(STRIP * width, 0);
            }
            None => {
                self.gather(right.clone(), &mut scratch.right);
                self.gather(left.clone(), &mut scratch.left);
                scratch.tile.resize(left.len() * width, 0.0);
                let d = self.x.ncols();
                let l = ArrayView2::from_shape((left.len(), d), &scratch.left[..]).expect("gathered rows");
                let r = ArrayView2::from_shape((width, d), &scratch.right[..]).expect("gathered rows");
                let out = ArrayViewMut2::from_shape((left.len(), width), &mut scratch.tile[..]);
                product::tile(out.expect("sized above"), l, r.t());
            }
        }
        let mut passed = 0;
        for start in left.clone().step_by(STRIP) {
            let strip = start..(start + STRIP).min(left.end);
            scratch.columns.bar.clear();
            scratch.columns.bar.extend(right.clone().map(|j| self.bar(j)));
            scratch.masks.clear();
            scratch.masks.resize(width, 0);
            if let Some(codes) = codes {
                codes.products(strip.clone(), &scratch.unsigned, &mut scratch.products);
            }
            for (t, i) in strip.clone().enumerate() {
                // On the diagonal each pair is taken once: from the row that comes first.
                let first = if a == b { i + 1 - right.start } else { 0 };
                if first >= width {
                    continue;
                }
                let bar = self.bar(i);
                match codes {
                    Some(codes) => mark_coded(
                        &scratch.products[t * width..][..width],
                        codes.rows[i],
                        bar,
                        self.slack[0],
                        &scratch.columns,
                        1 << t,
                        first,
                        &mut scratch.masks,
                    ),
                    None => mark(
                        &scratch.tile[(i - left.start) * width..][..width],
                        bar,
                        self.slack[1],
                        &scratch.columns.bar,
                        1 << t,
                        first,
                        &mut scratch.masks,
                    ),
                }
            }
            passed += self.settle(a, b, strip, &scratch.masks, codes, &mut scratch.pairs);
        }
        if a != b {
            self.tested.fetch_add((left.len() * width) as u64, Ordering::Relaxed);
            self.passed.fetch_add(passed, Ordering::Relaxed);
        }
    }

    /// Similarities of the marked pairs, entered on both sides. Returns how many were marked.
    fn settle(
        &self,
        a: usize,
        b: usize,
        strip: std::ops::Range<usize>,
        masks: &[u32],
        codes: Option<&Codes>,
        pairs: &mut Vec<(u32, u32, f32)>,
    ) -> u64 {
        pairs.clear();
        let mut marked = 0;
        let mut bars = [0f32; STRIP];
        bars.iter_mut().zip(strip.clone()).for_each(|(bar, i)| *bar = self.bar(i));
        for (&mask, j) in masks.iter().zip(self.rows(b)) {
            if mask == 0 {
                continue;
            }
            let bar = self.bar(j);
            let mut rest = mask;
            while rest != 0 {
                let t = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let i = strip.start + t;
                marked += 1;
                let least = if bars[t] < bar { bars[t] } else { bar };
                if codes.is_some_and(|c| c.fine_bound(i, j) + self.slack[0] < least) {
                    continue;
                }
                let value =
                    if self.zero[i] || self.zero[j] { 0.0 } else { similarity(self.row(i), self.row(j)) };
                if value >= bars[t] || value >= bar {
                    pairs.push((i as u32, j as u32, value));
                }
            }
        }
        if !pairs.is_empty() {
            self.enter(a, pairs.iter().map(|&(i, j, v)| (i, j, v)));
            self.enter(b, pairs.iter().map(|&(i, j, v)| (j, i, v)));
        }
        marked
    }

    /// Enters (own position, other position, similarity) into the block of the own positions.
    fn enter(&self, block: usize, pairs: impl Iterator<Item = (u32, u32, f32)>) {
        let start = block * BLOCK;
        let mut found = self.found[block].lock().unwrap_or_else(PoisonError::into_inner);
        for (own, other, value) in pairs {
            let best = &mut found[own as usize - start];
            if value >= best.bar() {
                best.insert(value, self.order[other as usize]);
                self.bars[own as usize].store(best.bar().to_bits(), Ordering::Relaxed);
            }
        }
    }

    fn row(&self, position: usize) -> &[f32] {
        let d = self.x.ncols();
        let all = self.x.as_slice().expect("the search is given a standard matrix");
        &all[self.order[position] as usize * d..][..d]
    }

    fn gather(&self, positions: std::ops::Range<usize>, out: &mut Vec<f32>) {
        out.clear();
        for p in positions {
            out.extend_from_slice(self.row(p));
        }
    }
}

impl Columns {
    fn fill(&mut self, rows: &[Coded]) {
        let set = |out: &mut Vec<f32>, f: fn(&Coded) -> f32| {
            out.clear();
            out.extend(rows.iter().map(f));
        };
        set(&mut self.scale, |r| r.scale);
        set(&mut self.lost, |r| r.lost);
        set(&mut self.reach, |r| r.kept + r.lost);
        set(&mut self.offset, |r| r.offset);
    }
}

/// Pairs of blocks (a, b), a <= b < `blocks`: first those of a block with itself, then by squares of
/// [`SQUARE`] x [`SQUARE`], the nearest to the diagonal first. A square's rows stay in the last-level
/// cache while it is worked on.
fn tiles(blocks: usize) -> Vec<(usize, usize)> {
    let own = (0..blocks).map(|b| (b, b));
    let squares = blocks.div_ceil(SQUARE);
    let others = (0..squares).flat_map(|d| (0..squares - d).map(move |s| (s, s + d))).flat_map(|(s, t)| {
        let of = |s: usize| s * SQUARE..((s + 1) * SQUARE).min(blocks);
        of(t).flat_map(move |b| of(s).map(move |a| (a, b))).filter(|(a, b)| a < b)
    });
    own.chain(others).collect()
}

/// Sets `bit` in the mask of every column from `first` on whose product plus `slack` reaches the row's
/// or the column's bar.
#[inline(always)]
fn mark_body(
    products: &[f32],
    bar: f32,
    slack: f32,
    bars: &[f32],
    bit: u32,
    first: usize,
    masks: &mut [u32],
) {
    let n = products.len();
    let (bars, masks) = (&bars[..n], &mut masks[..n]);
    for j in first..n {
        let least = if bars[j] < bar { bars[j] } else { bar };
        masks[j] |= if products[j] + slack >= least { bit } else { 0 };
    }
}

/// [`mark_body`] with the bound of [`Codes`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn mark_coded_body(
    products: &[i32],
    row: Coded,
    bar: f32,
    slack: f32,
    columns: &Columns,
    bit: u32,
    first: usize,
    masks: &mut [u32],
) {
    let n = products.len();
    let (scale, lost, reach) = (&columns.scale[..n], &columns.lost[..n], &columns.reach[..n]);
    let (offset, bars, masks) = (&columns.offset[..n], &columns.bar[..n], &mut masks[..n]);
    let base = row.offset + slack;
    for j in first..n {
        let product = (products[j] - row.shift) as f32 * (row.scale * scale[j]);
        let most = product + row.kept * lost[j] + row.lost * reach[j] + (base + offset[j]);
        let least = if bars[j] < bar { bars[j] } else { bar };
        masks[j] |= if most >= least { bit } else { 0 };
    }
}

/// Compiles a function a second time for AVX2 and takes that one where the machine has it. Both round
/// alike: Rust never merges a multiplication and an addition.
macro_rules! with_avx2 {
    ($name:ident = $body:ident($($arg:ident: $type:ty),* $(,)?)) => {
        #[allow(clippy::too_many_arguments)]
        fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $type),*) {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: AVX2 was just detected; the function is safe otherwise.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

with_avx2!(mark = mark_body(
    products: &[f32], bar: f32, slack: f32, bars: &[f32], bit: u32, first: usize, masks: &mut [u32],
));
with_avx2!(mark_coded = mark_coded_body(
    products: &[i32], row: Coded, bar: f32, slack: f32, columns: &Columns, bit: u32, first: usize,
    masks: &mut [u32],
));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_blocks_once() {
        for blocks in [0, 1, 2, SQUARE, SQUARE + 1, 3 * SQUARE + 5] {
            let mut found = tiles(blocks);
            found.sort_unstable();
            let want: Vec<_> = (0..blocks).flat_map(|a| (a..blocks).map(move |b| (a, b))).collect();
            assert_eq!(found, want);
        }
    }
}
