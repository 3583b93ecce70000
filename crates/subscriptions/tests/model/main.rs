//! Random operations on a tiny book, judged from outside.
//!
//! Three judges look at every step and share no code with the book: a naive model
//! (plain sets, linear search) says what is desired and who is evicted; a naive
//! broker takes the messages in arrival order and counts caps, duplicates and sizes;
//! a mirror, fed with nothing but effects, says what a reader of them believes.
//!
//! A failing seed is printed. `STRIKEWIRE_SEED=n` runs that one alone, and
//! `STRIKEWIRE_RUNS=n` runs another number of them.

mod broker;
mod checks;
mod driver;
mod mirror;
mod naive;
mod run;
mod seen;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use run::Run;
use seen::Seen;

const RUNS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn run_one(seed: u64, seen: &mut Seen) {
    let run = AssertUnwindSafe(|| Run::new(seed).drive(seen));
    if let Err(panic) = catch_unwind(run) {
        eprintln!("failed with STRIKEWIRE_SEED={seed}");
        resume_unwind(panic);
    }
}

#[test]
fn any_sequence_of_operations_keeps_the_invariants() {
    let mut seen = Seen::default();
    if let Some(seed) = number("STRIKEWIRE_SEED") {
        run_one(seed, &mut seen);
        return;
    }
    let runs = number("STRIKEWIRE_RUNS").unwrap_or(RUNS);
    for seed in 0..runs {
        run_one(seed, &mut seen);
    }
    eprintln!("{runs} runs: {seen:?}");
    let never = seen.never();
    assert!(never.is_empty(), "never happened in {runs} runs: {never:?}");
}
