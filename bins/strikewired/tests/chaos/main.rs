//! Chaos, machine against machine: the book of subscriptions and the connection machine
//! against the stand-in's core, in one thread, on an explicit clock, with nothing in
//! between but delays. Everything goes wrong at random while users come and go; then it
//! is quiet for as long as it takes, and everything has to be right again.
//!
//! Judged from outside: what is desired by plain sets of claims, what is on the wire by
//! the broker's own account, the attempts by a naive bucket, gaps by what arrived.
//!
//! The scenarios that the stand-in ships are played the same way, see `scenarios`.
//!
//! A failing seed prints itself and the last events; `STRIKEWIRE_CHAOS_SEED=n` runs
//! that one alone and prints all of them. `STRIKEWIRE_CHAOS_SEEDS=n` runs another number
//! of seeds.

mod broker;
mod checks;
mod client;
mod judges;
mod mishaps;
mod owner;
mod scenarios;
mod seen;
mod users;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use seen::Seen;
use world::{Log, World};

const SEEDS: u64 = 100;
/// Events shown of a seed that fails.
const SHOWN: usize = 150;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Runs a seed; what happened, and the events if they are kept.
fn run(seed: u64, log: Log) -> (Seen, Log) {
    let mut world = World::new(seed, log);
    let driven = catch_unwind(AssertUnwindSafe(|| world.drive()));
    if let Err(panic) = driven {
        if world.log.is_kept() {
            world.log.show(SHOWN);
        } else {
            // The same again, with its events.
            eprintln!("failed with STRIKEWIRE_CHAOS_SEED={seed}");
            let _ = catch_unwind(AssertUnwindSafe(|| run(seed, Log::kept(false))));
        }
        resume_unwind(panic);
    }
    (world.seen, world.log)
}

#[test]
fn whatever_happens_the_wire_becomes_what_is_desired() {
    if let Some(seed) = number("STRIKEWIRE_CHAOS_SEED") {
        let (seen, _) = run(seed, Log::kept(true));
        eprintln!("seed {seed}: {seen:?}");
        return;
    }
    let seeds = number("STRIKEWIRE_CHAOS_SEEDS").unwrap_or(SEEDS);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        seen.add(&run(seed, Log::default()).0);
    }
    eprintln!("{seeds} seeds: {seen:?}");
    let never = seen.never();
    assert!(
        never.is_empty(),
        "never happened in {seeds} seeds: {never:?}"
    );
}

#[test]
fn a_seed_replays() {
    let (first, second) = (run(3, Log::kept(false)), run(3, Log::kept(false)));
    assert_eq!(first.0, second.0);
    assert!(first.1.events.len() > 1_000);
    for (first, second) in first.1.events.iter().zip(&second.1.events) {
        assert_eq!(first, second);
    }
    assert_eq!(first.1.events.len(), second.1.events.len());
}
