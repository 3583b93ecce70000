//! What the benchmarks share: the master they run on, made-up traffic, and for
//! everything that is measured a plain baseline, written as one would write it first:
//! `csv` and `serde` into structs of strings, the standard library's maps and sets,
//! tokens made by `format!`. What packets cost is measured in compat/, beside other clients.
//!
//! The benchmarks use the real instrument master where `STRIKEWIRE_REAL_DATA` names its
//! folder, and otherwise one made up here with as many rows as a real one, or as
//! `STRIKEWIRE_BENCH_ROWS` says. Run as tests (`cargo test --benches`) they use a small
//! one and do everything once.

pub mod baseline;
pub mod chains;
pub mod feeder;
pub mod market;
pub mod master;
pub mod product;
pub mod reads;
pub mod scrape;
pub mod wires;
pub mod ws;

use std::time::Duration;

use criterion::Criterion;

/// Whatever goes wrong in a benchmark ends it.
pub type Error = Box<dyn std::error::Error>;

/// Whether this is `cargo bench`, and not the benchmarks run once as tests.
#[must_use]
pub fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// `full` when measuring and `small` in a test.
#[must_use]
pub fn size(full: usize, small: usize) -> usize {
    if is_measuring() { full } else { small }
}

/// Criterion as all benchmarks here want it; flags change it.
#[must_use]
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}

/// The next of `0..len` after `at`, and the first after the last.
#[inline]
#[must_use]
pub const fn next(at: usize, len: usize) -> usize {
    if at + 1 == len { 0 } else { at + 1 }
}
