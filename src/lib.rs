//! Tamis gets the labels of short-video datasets right.
//!
//! The map of the house (see `docs/architecture.md`). Data flows one way:
//! bytes -> blobs -> frames -> embeddings -> probabilities -> scores -> findings -> reviews ->
//! snapshot -> model. Who may know whom is checked by `tests/it/rooms.rs`.

pub mod blobs;
pub mod cli;
pub mod config;
pub mod demo;
pub mod jobs;
pub mod messages;
pub mod native;
pub mod outbound;
pub mod store;
pub mod web;

// The rooms that know no database, no web and no async are a package of their own (see `core.rs`);
// here they are under the same names as all others.
pub use tamis_core::{arrays, audit, detect, domain, encode, exchange, media, train};
