//! UMAP's layout: neighbours attract each other, everything else repels. Each round goes over the samples block
//! by block; within a block every sample moves by what was there before the block began, so that the result does
//! not depend on the threads.

use ndarray::Array2;
use rayon::prelude::*;

use super::graph::Graph;
use crate::detect::error::DetectError;

/// The similarity of two points at distance d is 1 / (1 + A d^2). UMAP fits A and an exponent B to points that
/// are alike up to `min_dist`; at 0.197 the best exponent is 1, which saves the powers.
const A: f32 = 1.270_135;
/// Samples that one attraction is held against.
const REPELLED: usize = 5;
/// A reference run moves both ends of an edge, and meets each edge from both of its ends.
const PULLS: usize = 2;
/// No step is longer, in either direction.
const STEP: f32 = 4.0;
/// The first positions span twice this.
const REACH: f32 = 10.0;
const BLOCKS: usize = 64;

type Point = [f32; 2];

/// From `start` (N, 2). `round(done, epochs)` cancels by returning false.
pub(super) fn layout(
    graph: &Graph,
    start: Array2<f32>,
    epochs: usize,
    seed: u64,
    round: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Array2<f32>, DetectError> {
    let n = start.nrows();
    let furthest = start.iter().fold(0.0f32, |m, v| m.max(v.abs())).max(f32::MIN_POSITIVE);
    let mut points: Vec<Point> = (0..n)
        .map(|i| {
            // samples that are exactly alike must be able to part
            let mut draw = Draw::of(seed, u64::MAX, i);
            [0, 1].map(|c| start[[i, c]] / furthest * REACH + (draw.unit() - 0.5) * 1e-3)
        })
        .collect();
    let length = n.div_ceil(BLOCKS).max(1);
    for epoch in 0..epochs {
        if !round(epoch, epochs) {
            return Err(DetectError::Cancelled);
        }
        let rate = 1.0 - epoch as f32 / epochs as f32;
        for from in (0..n).step_by(length) {
            let block = from..(from + length).min(n);
            let moved: Vec<Point> = block
                .clone()
                .into_par_iter()
                .with_min_len(256)
                .map(|i| step(graph, &points, i, epoch, rate, Draw::of(seed, epoch as u64, i)))
                .collect();
            points[block].copy_from_slice(&moved);
        }
    }
    if !round(epochs, epochs) {
        return Err(DetectError::Cancelled);
    }
    Ok(Array2::from_shape_fn((n, 2), |(i, c)| points[i][c]))
}

/// Where sample `i` goes in this round.
fn step(graph: &Graph, points: &[Point], i: usize, epoch: usize, rate: f32, mut draw: Draw) -> Point {
    let mut at = points[i];
    for edge in graph.start[i]..graph.start[i + 1] {
        // an edge of weight w acts in that share of the rounds
        let w = f64::from(graph.weight[edge]);
        if ((epoch + 1) as f64 * w).floor() <= (epoch as f64 * w).floor() {
            continue;
        }
        let other = points[graph.to[edge] as usize];
        for _ in 0..PULLS {
            let d = [at[0] - other[0], at[1] - other[1]];
            let pull = -2.0 * A / (1.0 + A * (d[0] * d[0] + d[1] * d[1]));
            go(&mut at, d, pull, rate);
        }
        for _ in 0..REPELLED {
            let k = draw.below(points.len());
            if k == i {
                continue;
            }
            let d = [at[0] - points[k][0], at[1] - points[k][1]];
            let apart = d[0] * d[0] + d[1] * d[1];
            if apart > 0.0 {
                go(&mut at, d, 2.0 / ((0.001 + apart) * (1.0 + A * apart)), rate);
            }
        }
    }
    at
}

fn go(at: &mut Point, along: Point, force: f32, rate: f32) {
    for c in 0..2 {
        at[c] += rate * (force * along[c]).clamp(-STEP, STEP);
    }
}

/// Random numbers of one sample in one round (SplitMix64).
struct Draw(u64);

impl Draw {
    fn of(seed: u64, epoch: u64, sample: usize) -> Self {
        let mut draw = Self(seed ^ epoch.wrapping_mul(0xd1b5_4a32_d192_ed03));
        draw.0 = draw.next() ^ (sample as u64).wrapping_mul(0xaef1_7502_108e_f2d9);
        draw.next();
        draw
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which fits 32 bits.
    fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }

    /// In [0, 1).
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}
