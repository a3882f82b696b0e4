//! Tamis gets the labels of short-video datasets right.
//!
//! The map of the house (see `docs/architecture.md`). Data flows one way:
//! bytes -> blobs -> frames -> embeddings -> probabilities -> scores -> findings -> reviews ->
//! snapshot -> model. Who may know whom is checked by `tests/it/rooms.rs`.

pub mod arrays;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod demo;
pub mod detect;
pub mod domain;
pub mod encode;
pub mod exchange;
pub mod jobs;
pub mod media;
pub mod messages;
pub mod native;
pub mod store;
pub mod train;
pub mod web;
