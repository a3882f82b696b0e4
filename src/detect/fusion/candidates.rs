//! The few classes of a sample between which fusion decides. What follows costs the same for ten classes
//! and for ten thousand, and memory is a few numbers a sample instead of a row of probabilities.

use rayon::prelude::*;

use crate::arrays::{Rows, block_rows};
use crate::detect::neighbours::Neighbours;

/// Classes that the head may name, besides the given one, when there are more than [`SLOTS`].
const FROM_HEAD: usize = 8;
/// Classes that the neighbours and the prototypes may each name.
const FROM_OTHERS: usize = 4;
/// Most candidates of a sample.
pub(super) const SLOTS: usize = 1 + FROM_HEAD + 2 * FROM_OTHERS;
/// Marks a slot without a class.
pub(super) const NONE: u32 = u32::MAX;

/// (N, width) classes, row-major; slot 0 is the given label, slots without a class come last.
pub(super) struct Candidates {
    pub(super) width: usize,
    pub(super) classes: Vec<u32>,
}

impl Candidates {
    /// All classes when they are few; else the given label and the likeliest of head, neighbours' labels
    /// and `prototypes` (N, [`FROM_OTHERS`]).
    pub(super) fn of(
        p: &dyn Rows<f32>,
        labels: &[u32],
        neighbours: Option<&Neighbours>,
        prototypes: Option<&[u32]>,
    ) -> Self {
        let (n, k) = p.shape();
        let width = k.min(SLOTS);
        let mut classes = vec![NONE; n * width];
        let rows = block_rows(k);
        classes.par_chunks_mut(rows * width).enumerate().for_each_init(Vec::new, |buffer, (b, out)| {
            let start = b * rows;
            let block = p.block(start, out.len() / width, buffer);
            for (i, (slots, row)) in out.chunks_exact_mut(width).zip(block.chunks_exact(k)).enumerate() {
                let at = start + i;
                let mut set = Set { slots, len: 0 };
                set.add(labels[at]);
                if k <= SLOTS {
                    (0..k as u32).for_each(|c| set.add(c));
                    continue;
                }
                best(row, FROM_HEAD).into_iter().for_each(|c| set.add(c));
                if let Some(neighbours) = neighbours {
                    let votes = neighbours.index.row(at);
                    let mut new = 0;
                    for &j in votes {
                        let before = set.len;
                        if new < FROM_OTHERS {
                            set.add(labels[j as usize]);
                            new += set.len - before;
                        }
                    }
                }
                if let Some(prototypes) = prototypes {
                    prototypes[at * FROM_OTHERS..(at + 1) * FROM_OTHERS].iter().for_each(|&c| set.add(c));
                }
            }
        });
        Self { width, classes }
    }

    pub(super) fn row(&self, i: usize) -> &[u32] {
        &self.classes[i * self.width..(i + 1) * self.width]
    }
}

/// How many of the nearest prototypes [`Candidates::of`] asks for.
pub(super) const PROTOTYPES: usize = FROM_OTHERS;

struct Set<'a> {
    slots: &'a mut [u32],
    len: usize,
}

impl Set<'_> {
    fn add(&mut self, class: u32) {
        if class != NONE && self.len < self.slots.len() && !self.slots[..self.len].contains(&class) {
            self.slots[self.len] = class;
            self.len += 1;
        }
    }
}

/// The `m` largest of `row`, largest first, the first of equals first.
pub(super) fn best(row: &[f32], m: usize) -> Vec<u32> {
    let mut found: Vec<(f32, u32)> = Vec::with_capacity(m + 1);
    for (c, &v) in row.iter().enumerate() {
        if found.len() == m && found.last().is_some_and(|l| l.0 >= v) {
            continue;
        }
        let at = found.partition_point(|f| f.0 >= v);
        found.insert(at, (v, c as u32));
        found.truncate(m);
    }
    found.into_iter().map(|(_, c)| c).collect()
}
