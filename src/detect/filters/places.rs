//! Pruning by noise rate: for each pair (given i, other j) the samples labelled i with the largest
//! p_j - p_i, as many as there are places.
//!
//! One pass keeps the best so far for each pair, and most rows need not be read in it: with p_i about
//! known from counting, no other class can be more than about 1 - p_i, so that the margins of a row with a
//! large p_i are all below what a place takes by now.

use std::ops::Range;

use rayon::prelude::*;

use crate::arrays::rows::lanes::{self, Kernel, LANES, Lanes};
use crate::arrays::{Real, Rows, block_rows};
use crate::detect::confident::{Cells, Counted};
use crate::detect::error::DetectError;

/// A class whose pairs are this part of the classes at least is compared as a whole row.
const DENSE: usize = 16;
/// Two probabilities of a row sum to no more than this, and this for each class (rounding and the
/// tolerance of the checks, generously).
const MOST: f64 = 1.02;
const MOST_PER_CLASS: f64 = 1e-5;
/// One run of rows in so many is looked at first, to know about what a place takes.
const SAMPLE: usize = 16;
const RUN: usize = 64;
/// Pairs of fewer places are not worth it.
const SAMPLED_PLACES: usize = 64;
/// Up to so many candidates are kept in order.
const FEW: usize = 16;

/// The pairs that have places. A cell is a pair; those of a class lie together, by rising other class.
struct Pairs {
    k: usize,
    /// (k + 1) the first cell of each class.
    starts: Vec<usize>,
    /// The other class of each cell.
    columns: Vec<u32>,
    places: Vec<usize>,
    /// (k) index of the class among those compared as whole rows, or `NONE`.
    dense: Vec<usize>,
    /// (classes compared as whole rows, k) the cell, or anything where there is none.
    cell_of: Vec<u32>,
}

const NONE: usize = usize::MAX;

impl Pairs {
    fn of(prune: &Cells, members: &[usize]) -> Self {
        let k = prune.classes();
        let mut out = Self {
            k,
            starts: vec![0],
            columns: Vec::new(),
            places: Vec::new(),
            dense: vec![NONE; k],
            cell_of: Vec::new(),
        };
        for (i, &members) in members.iter().enumerate() {
            for c in prune.starts[i]..prune.starts[i + 1] {
                let (j, n) = (prune.columns[c], prune.counts[c]);
                if j as usize != i && n > 0 && members > 1 {
                    out.columns.push(j);
                    out.places.push(usize::try_from(n).unwrap_or(usize::MAX).min(members));
                }
            }
            let from = out.starts[i];
            let cells = out.columns.len() - from;
            if cells > 0 && (k <= 4 * LANES || cells * DENSE >= k) {
                let row = out.cell_of.len();
                out.dense[i] = row / k;
                out.cell_of.resize(row + k, 0);
                for (&j, c) in out.columns[from..].iter().zip(from..) {
                    out.cell_of[row + j as usize] = c as u32;
                }
            }
            out.starts.push(out.columns.len());
        }
        out
    }

    fn cells(&self, class: usize) -> Range<usize> {
        self.starts[class]..self.starts[class + 1]
    }
}

/// The best so far of each pair, of one range of rows.
struct Best<'a, T: Real> {
    pairs: &'a Pairs,
    /// Places of each cell here.
    room: &'a [usize],
    /// Candidates of all cells, one cell after the other; the best among them. Few are kept in order, of
    /// more there may be twice as many as there is room for.
    lists: Vec<T::Place>,
    /// (cells + 1) where each cell begins in `lists`.
    starts: Vec<usize>,
    /// Candidates of each cell by now.
    lengths: Vec<u32>,
    /// What a margin must exceed to get a place, by cell.
    bars: Vec<T>,
    /// The same as rows of all classes, for the dense ones; infinite where there is no cell.
    rows: Vec<T>,
    /// (k) the lowest bar of each class.
    floor: Vec<T>,
    /// (k) a row whose label has 256 p of at least this cannot get a place.
    safe: Vec<u16>,
}

impl<'a, T: Real> Best<'a, T> {
    fn new(pairs: &'a Pairs, room: &'a [usize], bars: Vec<T>) -> Self {
        let mut starts = vec![0];
        starts.extend(room.iter().scan(0, |end, &n| {
            *end += if n <= FEW { n } else { 2 * n };
            Some(*end)
        }));
        let mut out = Self {
            pairs,
            room,
            lists: vec![T::Place::default(); starts[room.len()]],
            starts,
            lengths: vec![0; room.len()],
            bars,
            rows: vec![T::INFINITY; pairs.cell_of.len()],
            floor: vec![T::INFINITY; pairs.k],
            safe: vec![0; pairs.k],
        };
        for y in 0..pairs.k {
            if pairs.dense[y] != NONE {
                for c in pairs.cells(y) {
                    out.rows[pairs.dense[y] * pairs.k + pairs.columns[c] as usize] = out.bars[c];
                }
            }
            out.lower(y);
        }
        out
    }

    /// Finds the lowest bar of class `y` anew.
    fn lower(&mut self, y: usize) {
        let bars = self.bars[self.pairs.cells(y)].iter();
        let floor = bars.fold(T::INFINITY, |m, &b| if b < m { b } else { m });
        let most = MOST + MOST_PER_CLASS * self.pairs.k as f64;
        self.floor[y] = floor;
        self.safe[y] = (256.0 * (most - floor.to_f64()) / 2.0).ceil() as u16;
    }

    /// Candidates of a cell.
    fn of(&mut self, cell: usize) -> &mut [T::Place] {
        &mut self.lists[self.starts[cell]..][..self.lengths[cell] as usize]
    }

    /// Row number `at`, labelled `y` of probability `given`.
    #[inline(always)]
    fn see_dense<L: Lanes<T>>(&mut self, row: &[T], y: usize, given: T, at: u32) {
        let k = self.pairs.k;
        let from = self.pairs.dense[y] * k;
        let (chunks, rest) = row.as_chunks::<LANES>();
        for (c, chunk) in chunks.iter().enumerate() {
            let (bars, _) = self.rows[from..from + k].as_chunks::<LANES>();
            let mut over = L::load(chunk).sub(L::splat(given)).above(L::load(&bars[c])).bits();
            while over != 0 {
                let l = over.trailing_zeros() as usize;
                over &= over - 1;
                let cell = self.pairs.cell_of[from + c * LANES + l] as usize;
                self.admit(y, cell, chunk[l] - given, at);
            }
        }
        for (j, &v) in (k - rest.len()..).zip(rest) {
            if v - given > self.rows[from + j] {
                self.admit(y, self.pairs.cell_of[from + j] as usize, v - given, at);
            }
        }
    }

    /// When a long list is full its better half stays, and the bar rises to the worst of those: each
    /// candidate costs O(1) on average, which a heap does not.
    #[inline(never)]
    fn admit(&mut self, y: usize, cell: usize, margin: T, at: u32) {
        let room = self.room[cell];
        let list = &mut self.lists[self.starts[cell]..self.starts[cell + 1]];
        let length = &mut self.lengths[cell];
        let place = margin.place(at);
        let last = if room <= FEW {
            // the last falls out when there is no more room
            let mut i = (*length as usize).min(room - 1);
            *length = (*length + 1).min(room as u32);
            while i > 0 && place < list[i - 1] {
                list[i] = list[i - 1];
                i -= 1;
            }
            list[i] = place;
            if (*length as usize) < room {
                return;
            }
            list[room - 1]
        } else {
            list[*length as usize] = place;
            *length += 1;
            if (*length as usize) < list.len() {
                return;
            }
            *length = room as u32;
            *list.select_nth_unstable(room - 1).1
        };
        let (bar, _) = T::of_place(last);
        let old = std::mem::replace(&mut self.bars[cell], bar);
        if self.pairs.dense[y] != NONE {
            self.rows[self.pairs.dense[y] * self.pairs.k + self.pairs.columns[cell] as usize] = bar;
        }
        if old <= self.floor[y] {
            self.lower(y);
        }
    }
}

/// Looks at the rows of `block`, the first of them number `first`, which must come in rising order.
/// 256 p of the labels is `least` or more.
struct See<'a, 'b, T: Real> {
    best: &'a mut Best<'b, T>,
    block: &'a [T],
    labels: &'a [u32],
    least: &'a [u8],
    first: usize,
}

impl<T: Real> Kernel<T> for See<'_, '_, T> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let best = self.best;
        let pairs = best.pairs;
        let k = pairs.k;
        for (i, (&y, &least)) in self.labels.iter().zip(self.least).enumerate() {
            let y = y as usize;
            if u16::from(least) >= best.safe[y] {
                continue;
            }
            let row = &self.block[i * k..(i + 1) * k];
            let given = row[y];
            let at = (self.first + i) as u32;
            if pairs.dense[y] != NONE {
                best.see_dense::<L>(row, y, given, at);
                continue;
            }
            for c in pairs.cells(y) {
                let margin = row[pairs.columns[c] as usize] - given;
                if margin > best.bars[c] {
                    best.admit(y, c, margin, at);
                }
            }
        }
    }
}

/// (N) the samples that get a place in any pair. `prune` says how many places each pair has.
pub(super) fn by_noise_rate<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    counted: &Counted,
    prune: &Cells,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<bool>, DetectError> {
    let least = &counted.least[..];
    let pairs = Pairs::of(prune, &counted.members);
    let mut bars = sampled(p, labels, least, &pairs, pace)?;
    let mut out = vec![false; labels.len()];
    // told of the rows once only
    let again = |_| pace(0);
    let mut told = pace;
    loop {
        let mut walked = walk(p, labels, least, &pairs, &bars, told)?;
        let mut short = false;
        for (cell, &places) in pairs.places.iter().enumerate() {
            let mut all: Vec<T::Place> =
                walked.iter_mut().flat_map(|best| best.of(cell).iter().copied()).collect();
            // a bar taken from the sample may have been too high; then the pair is done again without
            if all.len() < places && bars[cell] > T::NEG_INFINITY && bars[cell] < T::INFINITY {
                bars[cell] = T::NEG_INFINITY;
                short = true;
                continue;
            }
            bars[cell] = T::INFINITY;
            if places < all.len() {
                all.select_nth_unstable(places - 1);
                all.truncate(places);
            }
            all.into_iter().for_each(|c| out[T::of_place(c).1 as usize] = true);
        }
        if !short {
            return Ok(out);
        }
        told = &again;
    }
}

/// The best of all rows above `bars`, those of each range of rows.
fn walk<'a, T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    least: &[u8],
    pairs: &'a Pairs,
    bars: &[T],
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<Best<'a, T>>, DetectError> {
    let (n, k) = p.shape();
    let rows = block_rows(k);
    // one range a thread; who gets a place does not depend on where the ranges end
    let threads = rayon::current_num_threads().max(1);
    let ranges: Vec<Range<usize>> = (0..threads).map(|t| n * t / threads..n * (t + 1) / threads).collect();
    let walked: Vec<Option<_>> = ranges
        .into_par_iter()
        .map(|range| {
            let mut best = Best::new(pairs, &pairs.places, bars.to_vec());
            let mut buffer = Vec::new();
            let mut start = range.start;
            while start < range.end {
                let take = rows.min(range.end - start);
                let block = p.block(start, take, &mut buffer);
                let (labels, least) = (&labels[start..start + take], &least[start..start + take]);
                lanes::run(See { best: &mut best, block, labels, least, first: start });
                start += take;
                if !pace(take) {
                    return None;
                }
            }
            Some(best)
        })
        .collect();
    walked.into_iter().collect::<Option<_>>().ok_or(DetectError::Cancelled)
}

/// For each cell a margin that is probably exceeded by enough samples, but not by many more: that of the
/// sample's candidate at a place where chance would have to miss by four deviations. So the lists are
/// filled about once and not over and over. Infinitely low for pairs of few places.
fn sampled<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    least: &[u8],
    pairs: &Pairs,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<T>, DetectError> {
    let low = |n: &usize| if *n < SAMPLED_PLACES { T::INFINITY } else { T::NEG_INFINITY };
    let bars: Vec<T> = pairs.places.iter().map(low).collect();
    let none = vec![T::NEG_INFINITY; bars.len()];
    if !bars.contains(&T::NEG_INFINITY) {
        return Ok(none);
    }
    let room = |n: &usize| {
        let mean = *n as f64 / SAMPLE as f64;
        (mean + 4.0 * mean.sqrt() + 2.0) as usize
    };
    let room: Vec<usize> = pairs.places.iter().map(room).collect();
    let mut best = Best::new(pairs, &room, bars);
    let mut buffer = Vec::new();
    for start in (0..labels.len()).step_by(SAMPLE * RUN) {
        let take = RUN.min(labels.len() - start);
        let block = p.block(start, take, &mut buffer);
        let (labels, least) = (&labels[start..start + take], &least[start..start + take]);
        lanes::run(See { best: &mut best, block, labels, least, first: start });
        if !pace(0) {
            return Err(DetectError::Cancelled);
        }
    }
    let bar = |(cell, &room): (usize, &usize)| {
        let list = best.of(cell);
        if list.len() < room {
            return T::NEG_INFINITY;
        }
        let (_, last, _) = list.select_nth_unstable(room - 1);
        T::of_place(*last).0.next_down()
    };
    Ok(room.iter().enumerate().map(bar).collect())
}
