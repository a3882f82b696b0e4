//! Nearly all nearest rows where all pairs would take too long: the same search as the exact one, of the
//! most promising tiles only, until a sample of rows whose true neighbours are known says that enough
//! of them are found.
//!
//! Rows are brought into blocks of similar ones; a tile is promising when the centre of one of its blocks
//! is among the nearest to rows of the other. After each helping of tiles every row looks at the
//! neighbours of its neighbours, in either direction, as often as that pays (NN-descent: Dong, Moses, Li
//! 2011; all rows at once from the lists as they were, so that their order does not matter). Helpings
//! double until the sampled recall is reached, at worst when no tile is left, which is the exact answer:
//! no data can make the recall low, only the search long. The similarities are the exact ones of the
//! rows found. The same bytes for any number of threads.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rand::seq::index;
use rayon::prelude::*;

use super::exact::{BLOCK, Search, tiles, worth_coding};
use crate::arrays::{l2_normalize_rows, product, rng};
use crate::detect::clusters;

/// Recall of the sampled rows at which the search ends: above the 0.98 that is promised by more than
/// the sample's error, which is below 0.003.
const ENOUGH: f64 = 0.985;
/// Rows whose true neighbours are found.
const SAMPLED: usize = 1000;
const SEED: u64 = 0;
/// Rows of a cell on average: a quarter of a block, so that a block holds whole ones.
const CELL_ROWS: usize = 128;
/// Most centres by which rows are ordered: their mutual similarities take 64 MiB.
const MOST_CELLS: usize = 4096;
/// Every so-many-th row of a block says which blocks are near.
const ASKED_EVERY: usize = 8;
/// Blocks that a row names, nearest first.
const NAMED: usize = 32;
/// Tiles of the first helping for each block; a tile serves two blocks.
const FIRST_TILES: usize = 6;
/// Neighbours of neighbours that are looked at, and neighbours in the other direction.
const LINKS: usize = 12;
/// While this share of what was missing, or less, is missing after a look at neighbours' neighbours, another
/// look finds more than tiles of the same cost.
const WORTHWHILE: f64 = 0.7;
/// Similarities of the sample are f32 products: they are off by rounding.
const ROUNDING: f32 = 2e-6;

/// Searches nearly all of the `k` nearest rows of `x` (N, D), standard layout, of unit length or zero; `k` in
/// 1..N. Returns the search and the share of the true neighbours that [`SAMPLED`] rows have found (`None`: all
/// pairs were visited after all), or `None` when `progress(rows done, N)` said so. N D (N / 128 + 1000) operations (4096 for N / 128 from
/// 500,000 rows on) and those of the tiles.
pub(super) fn search<'a>(
    x: ArrayView2<'a, f32>,
    k: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Option<(Search<'a>, Option<f64>)> {
    let n = x.nrows();
    let order = order(x);
    let mut place = vec![0u32; n];
    order.iter().zip(0..).for_each(|(&row, p)| place[row as usize] = p);
    let mut sampled = index::sample(&mut rng(SEED), n, SAMPLED.min(n)).into_vec();
    sampled.sort_unstable();
    let least = least_similarities(x, &sampled, k);
    let promising = promising(x, &order);
    let search = Search::new(x, order, k, worth_coding(x.ncols()));
    let recall = |search: &Search<'_>| {
        let of = |(&row, &least): (&usize, &f32)| {
            search.reaching(place[row] as usize, least - ROUNDING).min(k) as f64 / k as f64
        };
        sampled.iter().zip(&least).map(of).sum::<f64>() / sampled.len() as f64
    };
    let (mut from, mut helping) = (0, (FIRST_TILES + k / BLOCK) * search.blocks());
    // Nobody knows how many helpings it takes: each is told as half of what is left.
    let mut told = 0;
    'search: while from < promising.len() {
        let part = &promising[from..(from + helping).min(promising.len())];
        let half = (n - told) / 2;
        if !search.visit(part, &mut |done| progress(told + half * done / part.len(), n)) {
            return None;
        }
        told += half;
        from += part.len();
        helping = from;
        let mut found = recall(&search);
        while from < promising.len() && found < ENOUGH {
            descend(&search, &place);
            let missing = 1.0 - found;
            found = recall(&search);
            if 1.0 - found > WORTHWHILE * missing {
                continue 'search;
            }
        }
        if found >= ENOUGH {
            break;
        }
    }
    // Rows of a small last block may still have too few.
    search.look(&|i, found, list| {
        if found < k {
            list.extend((0..n as u32).filter(|&j| j as usize != i));
        }
    });
    let recall = (from < promising.len()).then(|| recall(&search));
    progress(n, n).then_some((search, recall))
}

/// Rows in the order of their cells, and cells so that each is followed by the most similar one left.
fn order(x: ArrayView2<'_, f32>) -> Vec<u32> {
    let n = x.nrows();
    let (of, centres) = clusters::rough(x, (n / CELL_ROWS).clamp(1, MOST_CELLS));
    let k = centres.nrows();
    let alike = crate::arrays::matmul(centres.view(), centres.t());
    let (mut rank, mut last) = (vec![u32::MAX; k], 0);
    for r in 0..k as u32 {
        rank[last] = r;
        let left = alike.row(last).into_iter().enumerate().filter(|(c, _)| rank[*c] == u32::MAX);
        last = left.fold((last, f32::NEG_INFINITY), |b, (c, &v)| if v > b.1 { (c, v) } else { b }).0;
    }
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_by_key(|&i| rank[of[i as usize] as usize]); // stable: by row within a cell
    order
}

/// All tiles, most promising first: those of a block with itself, then by the sum of 1 / (1 + place) over the
/// places at which rows of one block name the other.
fn promising(x: ArrayView2<'_, f32>, order: &[u32]) -> Vec<(usize, usize)> {
    let blocks: Vec<&[u32]> = order.chunks(BLOCK).collect();
    let mut centres = Array2::<f32>::zeros((blocks.len(), x.ncols()));
    let sums = centres.as_slice_mut().expect("owned, standard layout");
    sums.par_chunks_mut(x.ncols().max(1)).zip(&blocks).for_each(|(centre, rows)| {
        rows.iter().for_each(|&i| centre.iter_mut().zip(x.row(i as usize)).for_each(|(c, v)| *c += v));
    });
    l2_normalize_rows(&mut centres);
    let named: Vec<Vec<f32>> = blocks
        .par_iter()
        .map(|rows| {
            let asked: Vec<usize> = rows.iter().step_by(ASKED_EVERY).map(|&i| i as usize).collect();
            let mut alike = Array2::zeros((asked.len(), blocks.len()));
            product::tile(alike.view_mut(), x.select(Axis(0), &asked).view(), centres.t());
            let mut weights = vec![0f32; blocks.len()];
            let mut nearest: Vec<usize> = (0..blocks.len()).collect();
            for row in alike.rows() {
                let better = |a: &usize, b: &usize| row[*b].total_cmp(&row[*a]).then(a.cmp(b));
                let most = NAMED.min(nearest.len());
                if most < nearest.len() {
                    nearest.select_nth_unstable_by(most, better);
                }
                nearest[..most].sort_unstable_by(better);
                for (place, &block) in nearest[..most].iter().enumerate() {
                    weights[block] += 1.0 / (1.0 + place as f32);
                }
            }
            weights
        })
        .collect();
    let weight = |(a, b): (usize, usize)| if a == b { f32::INFINITY } else { named[a][b] + named[b][a] };
    let mut weighed: Vec<(f32, (usize, usize))> =
        tiles(blocks.len()).into_iter().map(|t| (weight(t), t)).collect();
    weighed.par_sort_by(|a, b| b.0.total_cmp(&a.0)); // stable: equals in the exact search's order
    weighed.into_iter().map(|(_, t)| t).collect()
}

/// The similarity of each sampled row's `k`-th nearest other row, but for rounding.
fn least_similarities(x: ArrayView2<'_, f32>, sampled: &[usize], k: usize) -> Vec<f32> {
    const ROWS: usize = 64;
    let parts: Vec<Vec<f32>> = sampled
        .par_chunks(ROWS)
        .map(|rows| {
            let some = x.select(Axis(0), rows);
            let mut best: Vec<Vec<f32>> = vec![Vec::with_capacity(4 * k); rows.len()];
            let mut values = vec![0f32; rows.len() * BLOCK];
            for (b, block) in x.axis_chunks_iter(Axis(0), BLOCK).enumerate() {
                let width = block.nrows();
                let values = &mut values[..rows.len() * width];
                let out = ArrayViewMut2::from_shape((rows.len(), width), &mut *values);
                product::tile(out.expect("cut to this size"), some.view(), block.t());
                for ((values, best), &row) in values.chunks_exact_mut(width).zip(&mut best).zip(rows) {
                    if row / BLOCK == b {
                        values[row % BLOCK] = f32::NEG_INFINITY;
                    }
                    keep(best, values, k);
                }
            }
            best.into_iter()
                .map(|mut best| *best.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1)
                .collect()
        })
        .collect();
    parts.into_iter().flatten().collect()
}

/// Adds to `best` what of `values` can be among the `k` largest.
fn keep(best: &mut Vec<f32>, values: &[f32], k: usize) {
    let mut bar = if best.len() >= k { best[k - 1] } else { f32::NEG_INFINITY };
    for &v in values.iter().filter(|v| v.is_finite()) {
        if v > bar || best.len() < k {
            best.push(v);
            if best.len() == 4 * k {
                best.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
                best.truncate(k);
                bar = best[k - 1];
            }
        }
    }
    if best.len() >= k {
        best.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
        best.truncate(k);
    }
}

/// Every row looks at its neighbours' neighbours and at the rows whose neighbour it is.
fn descend(search: &Search<'_>, place: &[u32]) {
    let n = place.len();
    let links = search.links(place, LINKS);
    let back = reversed(&links, n);
    let of = |i: usize| i * LINKS..(i + 1) * LINKS;
    search.look(&|i, _, list| {
        for &j in links[of(i)].iter().chain(&back[of(i)]).filter(|&&j| (j as usize) < n) {
            list.push(j);
            list.extend_from_slice(&links[of(j as usize)]);
        }
        list.sort_unstable();
        list.dedup();
        list.retain(|&j| (j as usize) < n && j as usize != i);
    });
}

/// For each row the first [`LINKS`] rows that link to it, by the place that it has among their links.
fn reversed(links: &[u32], n: usize) -> Vec<u32> {
    let mut back = vec![n as u32; links.len()];
    let mut filled = vec![0u8; n];
    for place in 0..LINKS {
        for (i, links) in links.chunks_exact(LINKS).enumerate() {
            let j = links[place] as usize;
            if j < n && usize::from(filled[j]) < LINKS {
                back[j * LINKS + usize::from(filled[j])] = i as u32;
                filled[j] += 1;
            }
        }
    }
    back
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, l2_normalized_rows};
    use crate::detect::neighbours::{Neighbours, nearest_of_unit_rows};

    fn blobs(n: usize, d: usize, centres: usize, spread: f32) -> Array2<f32> {
        let (c, noise) = (gaussian_matrix(centres, d, &mut rng(1)), gaussian_matrix(n, d, &mut rng(2)));
        let x = Array2::from_shape_fn((n, d), |(i, j)| c[[i * 7 % centres, j]] + spread * noise[[i, j]]);
        l2_normalized_rows(x.view())
    }

    fn go(x: ArrayView2<'_, f32>, k: usize, exact_below: usize) -> Neighbours {
        nearest_of_unit_rows(x, k, exact_below, &mut |_, _| true).unwrap()
    }

    /// Share of the true neighbours, row by row.
    fn recall(found: &Neighbours, exact: &Neighbours) -> f64 {
        let rows = found.index.rows().into_iter().zip(exact.index.rows());
        let hits: usize = rows.map(|(f, e)| e.iter().filter(|j| f.iter().any(|i| i == *j)).count()).sum();
        hits as f64 / exact.index.len() as f64
    }

    #[test]
    fn recall_is_what_is_promised_and_what_is_reported() {
        // The last has no structure at all.
        for (n, d, centres, spread, k) in
            [(12_000, 64, 100, 0.6, 10), (8000, 24, 30, 1.0, 30), (4000, 70, 1, 9.0, 5)]
        {
            let x = blobs(n, d, centres, spread);
            let (near, exact) = (go(x.view(), k, 0), go(x.view(), k, usize::MAX));
            let found = recall(&near, &exact);
            assert!(found >= 0.98, "{n} x {d}: {found}");
            let told = f64::from(near.recall.unwrap_or(1.0));
            assert!((found - told).abs() < 0.01, "{n} x {d}: {found} {told}");
            assert_eq!(exact.recall, None);
            for (i, (j, s)) in
                near.index.column(0).iter().zip(near.similarity.column(0)).enumerate().step_by(97)
            {
                let want =
                    crate::arrays::dot(x.row(i).as_slice().unwrap(), x.row(*j as usize).as_slice().unwrap());
                assert!((f64::from(*s) - want).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn not_all_pairs_are_looked_at() {
        let x = blobs(15_000, 16, 150, 0.3);
        let order = order(x.view());
        let recall = search(x.view(), 10, &mut |_, _| true).unwrap().1;
        assert!(recall.is_some_and(|r| r >= ENOUGH), "{recall:?}");
        let tiles = promising(x.view(), &order);
        assert_eq!(tiles.len(), 30 * 31 / 2);
        assert!(tiles[..30].iter().all(|(a, b)| a == b));
    }

    #[test]
    fn the_same_for_any_number_of_threads() {
        let x = blobs(9000, 66, 40, 0.8);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| go(x.view(), 8, 0))
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(8));
    }

    #[test]
    fn exact_below_the_switch_and_odd_shapes() {
        let x = blobs(3000, 8, 5, 0.5);
        assert_eq!(go(x.view(), 4, 3001), go(x.view(), 4, usize::MAX));
        for n in [2, 3, 700] {
            for x in [Array2::<f32>::ones((n, 3)), Array2::zeros((n, 3))] {
                let x = l2_normalized_rows(x.view());
                let found = go(x.view(), 5, 0);
                assert_eq!(found.index.dim(), (n, 5.min(n - 1)));
                assert!((0..n).all(|i| found.index.row(i).iter().all(|&j| j as usize != i)));
                assert!(found.recall.is_none_or(|r| r > 0.98), "{n}: {:?}", found.recall);
            }
        }
    }

    #[test]
    fn cancels_and_never_goes_back() {
        let x = blobs(3000, 8, 5, 0.5);
        assert!(search(x.view(), 4, &mut |_, _| false).is_none());
        let mut seen = vec![0];
        search(x.view(), 4, &mut |done, _| {
            seen.push(done);
            true
        });
        assert!(seen.is_sorted() && seen.last() == Some(&3000), "{seen:?}");
    }

    #[test]
    fn largest_of_values_come_through() {
        let mut values: Vec<f32> = (0..500).map(|i| ((i * 37) % 101) as f32).collect();
        let mut best = Vec::new();
        values.chunks(60).for_each(|v| keep(&mut best, v, 7));
        best.sort_by(|a, b| b.total_cmp(a));
        values.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(best, values[..7]);
    }
}
