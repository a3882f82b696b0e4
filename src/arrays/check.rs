//! Finds the first NaN or infinity of a matrix, so that an error can name its row and column.

use ndarray::ArrayView2;

/// The place of a value that is NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("value at row {row}, column {column} is {value}, not a finite number")]
pub struct NotFinite {
    pub row: usize,
    pub column: usize,
    pub value: f32,
}

/// The first (row by row) value of `x` that is not finite, if any. O(N x D).
pub fn first_not_finite(x: ArrayView2<'_, f32>) -> Option<NotFinite> {
    for (row, values) in x.rows().into_iter().enumerate() {
        // A sum with a NaN or infinity in it is never finite: one cheap pass before the exact one.
        let sum = values.iter().fold(0f64, |s, &v| s + f64::from(v));
        if !sum.is_finite()
            && let Some((column, &value)) = values.iter().enumerate().find(|(_, v)| !v.is_finite())
        {
            return Some(NotFinite { row, column, value });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn names_the_first_bad_place() {
        let mut x = Array2::<f32>::zeros((4, 3));
        assert_eq!(first_not_finite(x.view()), None);
        x[[2, 1]] = f32::INFINITY;
        x[[3, 0]] = f32::NAN;
        let found = first_not_finite(x.view()).unwrap();
        assert_eq!((found.row, found.column), (2, 1));
        x[[2, 2]] = f32::NEG_INFINITY; // the two infinities must not cancel
        assert_eq!(first_not_finite(x.view()).unwrap().column, 1);
        let huge = Array2::from_elem((1, 8), f32::MAX);
        assert_eq!(first_not_finite(huge.view()), None);
    }
}
