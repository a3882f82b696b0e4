//! web

#![allow(dead_code)]

mod assets;
mod pages;
