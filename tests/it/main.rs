//! The integration tests: one binary, a database per test, the real router.

mod postgres;
