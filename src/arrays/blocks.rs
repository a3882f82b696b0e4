//! Fields side by side in one matrix, brought to the same weight.

use ndarray::{Array2, ArrayView2, s};

/// Columns `start..start + dimension` of a matrix, and what they weigh (1 unless several speak for one
/// field).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub start: usize,
    pub dimension: usize,
    pub weight: f32,
}

/// `x` (N, D) with each span centred and its rows brought to the length of its weight, so that every field
/// has the same say in a cosine. Rows that are all zero in a span (nothing known) stay zero there and are
/// left out of its mean. O(N D).
///
/// # Panics
/// When a span reaches beyond the columns.
pub fn balanced(x: ArrayView2<'_, f32>, spans: &[Span]) -> Array2<f32> {
    let mut out = x.as_standard_layout().into_owned();
    for span in spans {
        let mut block = out.slice_mut(s![.., span.start..span.start + span.dimension]);
        let present: Vec<bool> = block.rows().into_iter().map(|r| r.iter().any(|v| *v != 0.0)).collect();
        let mut mean = vec![0f64; span.dimension];
        for (row, _) in block.rows().into_iter().zip(&present).filter(|(_, p)| **p) {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v));
        }
        let n = present.iter().filter(|p| **p).count().max(1) as f64;
        let mean: Vec<f32> = mean.into_iter().map(|m| (m / n) as f32).collect();
        for (mut row, _) in block.rows_mut().into_iter().zip(&present).filter(|(_, p)| **p) {
            let mut squares = 0f64;
            row.iter_mut().zip(&mean).for_each(|(v, m)| {
                *v -= m;
                squares += f64::from(*v) * f64::from(*v);
            });
            let norm = squares.sqrt();
            if norm > 0.0 {
                let scale = (f64::from(span.weight) / norm) as f32;
                row.mapv_inplace(|v| v * scale);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn fields_count_the_same_and_missing_ones_say_nothing() {
        let x = array![[9.0f32, 1.0, 2.0], [7.0, 0.0, 0.0], [5.0, 3.0, 2.0]];
        let spans =
            [Span { start: 0, dimension: 1, weight: 1.0 }, Span { start: 1, dimension: 2, weight: 0.5 }];
        // means 7 and (2, 2) of the rows that have the span
        assert_eq!(
            balanced(x.view(), &spans),
            array![[1.0f32, -0.5, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 0.0]]
        );
    }
}
