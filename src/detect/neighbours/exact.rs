//! All pairs, each once: exact nearest rows by tiles of pairs.
//!
//! A tile is 512 x 512 pairs. For each pair something cheaper than its similarity, an upper bound,
//! is compared with the worst similarity that either row still keeps; only what passes gets the one
//! and fixed [`similarity`], so that results depend neither on the order of the tiles, nor on how
//! many threads there are, nor on which bound was used. The bound is of small integers ([`Codes`])
//! or, where that lets too much pass, of a plain f32 product with the most it can be off by rounding.
//!
//! Rows are visited cluster by cluster, tiles near the diagonal first: good neighbours turn up early
//! and the rest is filtered by high bars. A block's tile with itself sets its rows' first bars at once.
//! What passes the coarse codes is looked at by finer ones first.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::codes::{self, Codes, Unsigned};
use super::marks::{Columns, mark, mark_coded};
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

    /// A row that is in already changes nothing.
    fn insert(&mut self, value: f32, row: u32) {
        let at = self.entries.partition_point(|e| e.0 > value || (e.0 == value && e.1 < row));
        if at < self.k && self.entries.get(at) != Some(&(value, row)) {
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
    k: usize,
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
            k,
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
        let n = self.order.len();
        let tiles = tiles(self.blocks());
        self.visit(&tiles, &mut |done| {
            let rows =
                if done == tiles.len() { n } else { (n as f64 * done as f64 / tiles.len() as f64) as usize };
            progress(rows, n)
        })
    }

    /// Visits the pairs of some tiles. False when `progress`, told how many are done, said so.
    pub(super) fn visit(&self, tiles: &[(usize, usize)], progress: &mut dyn FnMut(usize) -> bool) -> bool {
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
            if !progress(done) {
                return false;
            }
        }
        true
    }

    pub(super) fn blocks(&self) -> usize {
        self.found.len()
    }

    /// Positions of the best of each position so far, best first, at most `most`: (N, `most`) flat, N
    /// where there are fewer.
    pub(super) fn links(&self, place: &[u32], most: usize) -> Vec<u32> {
        let mut out = vec![self.order.len() as u32; self.order.len() * most];
        let blocks = out.par_chunks_mut(BLOCK * most).zip(&self.found);
        blocks.for_each(|(out, found)| {
            let found = found.lock().unwrap_or_else(PoisonError::into_inner);
            for (out, best) in out.chunks_exact_mut(most).zip(found.iter()) {
                out.iter_mut().zip(&best.entries).for_each(|(o, e)| *o = place[e.1 as usize]);
            }
        });
        out
    }

    /// Looks at the positions that `others(i, found so far, &mut list)` gives for each position i, and
    /// enters those that are good enough for i (not i for them).
    pub(super) fn look(&self, others: &(dyn Fn(usize, usize, &mut Vec<u32>) + Sync)) {
        self.found.par_iter().enumerate().for_each_init(Vec::new, |list, (block, found)| {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            for (i, best) in self.rows(block).zip(found.iter_mut()) {
                list.clear();
                others(i, best.entries.len(), list);
                for &j in list.iter() {
                    let j = j as usize;
                    let coarse = |c: &Codes| c.fine_bound(i, j) + self.slack[0] < best.bar();
                    if self.codes.as_ref().is_some_and(coarse) {
                        continue;
                    }
                    let value = self.similarity(i, j);
                    if value >= best.bar() {
                        best.insert(value, self.order[j]);
                    }
                }
                self.bars[i].store(best.bar().max(self.bar(i)).to_bits(), Ordering::Relaxed);
            }
        });
    }

    /// How many of the best of row `order[position]` are at least `least` similar to it.
    pub(super) fn reaching(&self, position: usize, least: f32) -> usize {
        let found = self.found[position / BLOCK].lock().unwrap_or_else(PoisonError::into_inner);
        found[position % BLOCK].entries.iter().filter(|e| e.0 >= least).count()
    }

    fn similarity(&self, i: usize, j: usize) -> f32 {
        if self.zero[i] || self.zero[j] { 0.0 } else { similarity(self.row(i), self.row(j)) }
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
        let codes = self.codes.as_ref().filter(|_| filter == Filter::Codes && a != b);
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
                if a == b {
                    self.raise(left.clone(), &scratch.tile, &mut scratch.left);
                }
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

    /// Raises the bars of `rows` to what they are known to find among themselves by `products`, before
    /// any of that is entered: else the first of them would pass whatever they are.
    fn raise(&self, rows: std::ops::Range<usize>, products: &[f32], others: &mut Vec<f32>) {
        let width = rows.len();
        if width <= self.k {
            return;
        }
        for (t, i) in rows.enumerate() {
            others.clear();
            others.extend_from_slice(&products[t * width..][..width]);
            others.swap_remove(t);
            let (_, least, _) = others.select_nth_unstable_by(self.k - 1, |a, b| b.total_cmp(a));
            // A product may be off in the other direction too, and similarities are cut to 1.
            self.bars[i].store((*least - 2.0 * self.slack[1]).to_bits(), Ordering::Relaxed);
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
                let value = self.similarity(i, j);
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
                let bar = best.bar().max(self.bar(own as usize));
                self.bars[own as usize].store(bar.to_bits(), Ordering::Relaxed);
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

/// Pairs of blocks (a, b), a <= b < `blocks`: first those of a block with itself, then by squares of
/// [`SQUARE`] x [`SQUARE`], the nearest to the diagonal first. A square's rows stay in the last-level
/// cache while it is worked on.
pub(super) fn tiles(blocks: usize) -> Vec<(usize, usize)> {
    let own = (0..blocks).map(|b| (b, b));
    let squares = blocks.div_ceil(SQUARE);
    let others = (0..squares).flat_map(|d| (0..squares - d).map(move |s| (s, s + d))).flat_map(|(s, t)| {
        let of = |s: usize| s * SQUARE..((s + 1) * SQUARE).min(blocks);
        of(t).flat_map(move |b| of(s).map(move |a| (a, b))).filter(|(a, b)| a < b)
    });
    own.chain(others).collect()
}

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
