//! The rooms that know no database, no web and no async: plain types, formats in and out, media,
//! encoders, and numerics. Their files lie beside those of the other rooms; only the crate differs.

pub mod arrays;
pub mod audit;
pub mod detect;
pub mod domain;
pub mod encode;
pub mod exchange;
pub mod media;
pub mod train;
