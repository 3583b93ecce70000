//! What every store of leases has to do, on memory and on Redis.
//!
//! The tests on Redis want `STRIKEWIRE_TEST_REDIS`, the URL of a server that they may write
//! to under names of their own (`scripts/test` starts one), and say so when they skip. Those
//! that stop and start a server also want the program `redis-server`.

mod memory;
mod mock;
mod model;
mod outage;
mod proxy;
mod redis_store;
mod server;
mod suite;

use strikewire_leases::{LeaseKey, Subscriber};
use strikewire_types::{Mono, Now, Utc};

/// Some seconds after both clocks began to count, at a time that has nothing to do with today.
fn at(seconds: u64) -> Now {
    times(seconds, seconds)
}

/// Seconds of the monotonic clock and of the other one.
fn times(mono: u64, utc: u64) -> Now {
    let nanos = |seconds: u64| seconds * 1_000_000_000;
    Now {
        mono: Mono::from_nanos(nanos(100 + mono)),
        utc: Utc::from_nanos(i64::try_from(nanos(1_770_000_000 + utc)).unwrap()),
    }
}

fn key(text: &str) -> LeaseKey {
    LeaseKey::parse(&format!("indicator_sub:{text}")).unwrap()
}

fn keys(texts: &[&str]) -> Vec<LeaseKey> {
    texts.iter().map(|text| key(text)).collect()
}

fn who(user: u64, session: &str) -> Subscriber {
    Subscriber::new(user, session).unwrap()
}
