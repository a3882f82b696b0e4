//! What `detect` and `train` share: matrix products, standardising, row norms, seeded randomness.
//! Everything here is a pure function of its input: the number of threads never changes a bit of
//! the result. Rows are samples throughout.

pub mod blocks;
pub mod check;
pub mod norm;
pub mod product;
pub mod random;
pub mod rows;
pub mod standardizer;
pub mod symmetric;

pub use blocks::{Span, balanced};
pub use check::{NotFinite, first_not_finite};
pub use norm::{dot, l2_normalize_rows, l2_normalized_rows};
pub use product::matmul;
pub use random::{gaussian_matrix, mix, rng};
pub use rows::{Real, Rows, block_rows, pairwise_sum};
pub use standardizer::Standardizer;
pub use symmetric::{orthonormalize, symmetric_eigen};
