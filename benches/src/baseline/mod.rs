//! The same jobs without any thought given to them: what a first version would do, in
//! Rust and correct, with the standard library's maps, sets and strings.

pub mod book;
pub mod chain;
pub mod json;
pub mod registry;
