//! What the fuzz targets do with their bytes. Each function panics when something
//! does not hold; `fuzz/run` calls them with bytes that libFuzzer makes up.
//!
//! The property tests of the crates hold the same with far fewer, but better shaped
//! inputs, in every run of the tests.

mod frames;
mod requests;
mod rest;
mod script;

pub use frames::frames;
pub use requests::requests;
pub use rest::rest;
pub use script::script;
