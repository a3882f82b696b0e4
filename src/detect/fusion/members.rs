//! What each member of the pool says of each candidate, as logarithms of probabilities: the head, the
//! neighbours, the class prototypes. The last two are asked again whenever the labels are better known.

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use super::candidates::{Candidates, NONE, PROTOTYPES, best};
use crate::arrays::{Rows, block_rows, matmul};
use crate::detect::confident::by_class;
use crate::detect::neighbours::Neighbours;

/// No member is surer than this that a class is wrong: a pool of logarithms must not be ruled by one zero.
pub(super) const FLOOR: f32 = 1e-4;
/// Neighbours' beliefs below this are passed over.
const FAINT: f32 = 0.02;
/// Rows on which a temperature is fitted.
const TEMPERATURE_ROWS: usize = 4096;
/// Range of the temperature of cosines.
const COLDEST: f64 = 0.01;
const HOTTEST: f64 = 5.0;
const ROWS: usize = 1024;

/// (N, width) like the candidates.
pub(super) type Logs = Vec<f32>;

/// ln p of the head.
pub(super) fn head(p: &dyn Rows<f32>, candidates: &Candidates) -> Logs {
    let k = p.shape().1;
    let width = candidates.width;
    let rows = block_rows(k);
    let mut out = vec![f32::NEG_INFINITY; candidates.classes.len()];
    out.par_chunks_mut(rows * width).enumerate().for_each_init(Vec::new, |buffer, (b, out)| {
        let start = b * rows;
        let block = p.block(start, out.len() / width, buffer);
        for (i, (out, row)) in out.chunks_exact_mut(width).zip(block.chunks_exact(k)).enumerate() {
            for (v, &c) in out.iter_mut().zip(candidates.row(start + i)).filter(|(_, c)| **c != NONE) {
                *v = row[c as usize].max(FLOOR).ln();
            }
        }
    });
    out
}

/// ln of the neighbours' vote: each neighbour gives its similarity to what it believes to be its class
/// (`belief`, like the candidates; `None`: its given label), one more vote is spread over all classes.
pub(super) fn votes(
    neighbours: &Neighbours,
    candidates: &Candidates,
    belief: Option<&[f32]>,
    n_classes: usize,
) -> Logs {
    let width = candidates.width;
    let mut out = vec![f32::NEG_INFINITY; candidates.classes.len()];
    out.par_chunks_mut(width).enumerate().for_each(|(i, out)| {
        let own = candidates.row(i);
        let mut votes = [0f32; super::candidates::SLOTS];
        let mut total = 1f32;
        for (&j, &similarity) in neighbours.index.row(i).iter().zip(neighbours.similarity.row(i)) {
            let j = j as usize;
            let weight = similarity.max(1e-6);
            total += weight;
            let theirs = candidates.row(j);
            let mut give = |class: u32, share: f32| {
                if let Some(slot) = own.iter().position(|&c| c == class) {
                    votes[slot] += weight * share;
                }
            };
            match belief {
                None => give(theirs[0], 1.0),
                Some(belief) => {
                    let shares = &belief[j * width..(j + 1) * width];
                    for (&class, &share) in theirs.iter().zip(shares).filter(|(_, s)| **s > FAINT) {
                        give(class, share);
                    }
                }
            }
        }
        for ((v, vote), _) in out.iter_mut().zip(votes).zip(own).filter(|(_, c)| **c != NONE) {
            *v = ((vote + 1.0 / n_classes as f32) / total).max(FLOOR).ln();
        }
    });
    out
}

/// What the prototypes think of one row.
pub(crate) struct Opinion {
    pub(crate) best: u32,
    pub(crate) p_best: f32,
    pub(crate) p_given: f32,
}

/// Class means of unit rows, each sample weighing what its label is trusted.
pub(crate) struct Prototypes {
    /// (k, D) sums of weighted rows.
    sums: Array2<f32>,
    /// (k) their lengths.
    lengths: Vec<f32>,
}

impl Prototypes {
    /// O(N D). `weights` (N) in (0, 1].
    pub(crate) fn of(unit: ArrayView2<'_, f32>, labels: &[u32], weights: &[f32], n_classes: usize) -> Self {
        let (rows, starts) = by_class(labels, n_classes);
        let mut sums = Array2::<f32>::zeros((n_classes, unit.ncols()));
        let classes: Vec<_> = sums.outer_iter_mut().enumerate().collect();
        classes.into_par_iter().for_each(|(c, mut sum)| {
            for &i in &rows[starts[c]..starts[c + 1]] {
                sum.scaled_add(weights[i as usize], &unit.row(i as usize));
            }
        });
        let length = |row: ndarray::ArrayView1<'_, f32>| {
            row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt() as f32
        };
        let lengths = sums.outer_iter().map(length).collect();
        Self { sums, lengths }
    }

    /// Cosines of rows `from..to` to the prototypes (to - from, k); to its own class's without itself.
    fn cosines(
        &self,
        unit: ArrayView2<'_, f32>,
        labels: &[u32],
        weights: &[f32],
        rows: &[usize],
    ) -> Array2<f32> {
        let contiguous = rows.windows(2).all(|w| w[1] == w[0] + 1);
        let picked;
        let x = if contiguous && !rows.is_empty() {
            unit.slice(s![rows[0]..rows[0] + rows.len(), ..])
        } else {
            picked = unit.select(ndarray::Axis(0), rows);
            picked.view()
        };
        let mut cosines = matmul(x, self.sums.t());
        for (mut row, &i) in cosines.outer_iter_mut().zip(rows) {
            let (y, w) = (labels[i] as usize, weights[i]);
            let own = row[y];
            for (v, &length) in row.iter_mut().zip(&self.lengths) {
                *v = if length > 0.0 { *v / length } else { -1.0 };
            }
            // |M - w u|^2 = |M|^2 - 2 w M.u + w^2
            let left = self.lengths[y].powi(2) - 2.0 * w * own + w * w;
            row[y] = if left > 1e-6 { ((own - w) / left.sqrt()).clamp(-1.0, 1.0) } else { -1.0 };
        }
        cosines
    }

    /// The [`PROTOTYPES`] nearest of each row, (N, PROTOTYPES).
    pub(super) fn nearest(&self, unit: ArrayView2<'_, f32>, labels: &[u32], weights: &[f32]) -> Vec<u32> {
        let mut out = vec![NONE; labels.len() * PROTOTYPES];
        for (b, out) in out.chunks_mut(ROWS * PROTOTYPES).enumerate() {
            let rows: Vec<usize> = (b * ROWS..b * ROWS + out.len() / PROTOTYPES).collect();
            let cosines = self.cosines(unit, labels, weights, &rows);
            for (out, row) in out.chunks_exact_mut(PROTOTYPES).zip(cosines.outer_iter()) {
                let found = best(row.to_slice().unwrap_or_default(), PROTOTYPES);
                out.iter_mut().zip(found).for_each(|(o, c)| *o = c);
            }
        }
        out
    }

    /// (N) cosine to the prototype of the row's own class, itself left out, less the largest to another's.
    /// O(N k D).
    pub(crate) fn margins(&self, unit: ArrayView2<'_, f32>, labels: &[u32], weights: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(labels.len());
        for start in (0..labels.len()).step_by(ROWS) {
            let rows: Vec<usize> = (start..(start + ROWS).min(labels.len())).collect();
            let cosines = self.cosines(unit, labels, weights, &rows);
            out.extend(cosines.outer_iter().zip(&rows).map(|(row, &i)| {
                let given = labels[i] as usize;
                let others = row.iter().enumerate().filter(|(c, _)| *c != given).map(|(_, v)| *v);
                row[given] - others.fold(-1.0, f32::max)
            }));
        }
        out
    }

    /// The likeliest class of every row and the given one's probability, over all classes.
    pub(crate) fn opinions(
        &self,
        unit: ArrayView2<'_, f32>,
        labels: &[u32],
        weights: &[f32],
    ) -> Vec<Opinion> {
        let t = self.temperature(unit, labels, weights);
        let mut out = Vec::with_capacity(labels.len());
        for start in (0..labels.len()).step_by(ROWS) {
            let rows: Vec<usize> = (start..(start + ROWS).min(labels.len())).collect();
            let cosines = self.cosines(unit, labels, weights, &rows);
            out.extend(cosines.outer_iter().zip(&rows).map(|(row, &i)| {
                let whole = log_sum_exp(row, t);
                // rounding may lift a class that has everything a hair above one
                let p = |c: usize| ((f64::from(row[c]) / t - whole).exp() as f32).min(1.0);
                let best = (1..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b });
                Opinion { best: best as u32, p_best: p(best), p_given: p(labels[i] as usize) }
            }));
        }
        out
    }

    /// That of the least weighted log-loss of the given labels, on some of the rows.
    fn temperature(&self, unit: ArrayView2<'_, f32>, labels: &[u32], weights: &[f32]) -> f64 {
        let n = labels.len();
        let step = n.div_ceil(TEMPERATURE_ROWS).max(1);
        let some: Vec<usize> = (0..n).step_by(step).collect();
        let cosines = self.cosines(unit, labels, weights, &some);
        let loss = |t: f64| -> f64 {
            let of = |(row, &i): (ndarray::ArrayView1<'_, f32>, &usize)| {
                let y = f64::from(row[labels[i] as usize]) / t;
                f64::from(weights[i]) * (log_sum_exp(row, t) - y)
            };
            cosines.outer_iter().zip(&some).map(of).sum()
        };
        golden_minimum(COLDEST.ln(), HOTTEST.ln(), &|l| loss(l.exp())).exp()
    }

    /// ln softmax(cosine / t) of the candidates, t by the weighted log-loss of the given labels.
    pub(super) fn logs(
        &self,
        unit: ArrayView2<'_, f32>,
        labels: &[u32],
        weights: &[f32],
        candidates: &Candidates,
    ) -> Logs {
        let t = self.temperature(unit, labels, weights);
        let width = candidates.width;
        let mut out = vec![f32::NEG_INFINITY; candidates.classes.len()];
        for (b, out) in out.chunks_mut(ROWS * width).enumerate() {
            let rows: Vec<usize> = (b * ROWS..b * ROWS + out.len() / width).collect();
            let cosines = self.cosines(unit, labels, weights, &rows);
            out.par_chunks_exact_mut(width).zip(rows).for_each(|(out, i)| {
                let row = cosines.row(i - b * ROWS);
                let whole = log_sum_exp(row, t);
                for (v, &c) in out.iter_mut().zip(candidates.row(i)).filter(|(_, c)| **c != NONE) {
                    *v = ((f64::from(row[c as usize]) / t - whole) as f32).max(FLOOR.ln());
                }
            });
        }
        out
    }
}

fn log_sum_exp(row: ndarray::ArrayView1<'_, f32>, t: f64) -> f64 {
    let t = t as f32;
    let most = row.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v)) / t;
    f64::from(most) + row.iter().map(|v| f64::from((v / t - most).exp())).sum::<f64>().ln()
}

/// Where a function with one valley in [a, b] is lowest, to about 1/1000 of the interval.
fn golden_minimum(mut a: f64, mut b: f64, f: &dyn Fn(f64) -> f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut c, mut d) = (b - ratio * (b - a), a + ratio * (b - a));
    let (mut fc, mut fd) = (f(c), f(d));
    for _ in 0..15 {
        if fc <= fd {
            (b, d, fd) = (d, c, fc);
            c = b - ratio * (b - a);
            fc = f(c);
        } else {
            (a, c, fc) = (c, d, fd);
            d = a + ratio * (b - a);
            fd = f(d);
        }
    }
    (a + b) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_valley_is_found() {
        assert!((golden_minimum(-3.0, 5.0, &|x| (x - 1.25).powi(2)) - 1.25).abs() < 0.01);
    }

    #[test]
    fn a_prototype_does_not_know_the_sample_it_is_compared_with() {
        let unit = array![[1.0f32, 0.0], [0.0, 1.0], [0.0, 1.0]];
        let labels = [0, 0, 1];
        let prototypes = Prototypes::of(unit.view(), &labels, &[1.0; 3], 2);
        let cosines = prototypes.cosines(unit.view(), &labels, &[1.0; 3], &[0, 1, 2]);
        // without itself class 0 is the other sample, and class 1 nothing
        assert!(cosines[[0, 0]].abs() < 1e-6 && cosines[[1, 0]].abs() < 1e-6);
        assert_eq!((cosines[[0, 1]], cosines[[1, 1]], cosines[[2, 1]]), (0.0, 1.0, -1.0));
    }
}
