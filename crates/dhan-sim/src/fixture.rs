//! A small master for the tests of this crate.

use std::sync::{Arc, OnceLock};

use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{ClockSpec, InstrumentKey, Mono, Now};

use crate::generate::{Spec, generate};

pub(crate) const NIFTY: &str = "NIFTY";

/// 6,000 rows of 2026-02-09, made once.
pub(crate) fn registry() -> Arc<Registry> {
    static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
    Arc::clone(REGISTRY.get_or_init(|| load(&master("2026-02-09"), "2026-02-09")))
}

/// 6,000 rows of a day.
pub(crate) fn master(as_of: &str) -> String {
    let spec = Spec {
        rows: 6_000,
        ..Spec::new(as_of.parse().unwrap())
    };
    let mut master = Vec::new();
    generate(&spec, &mut master).unwrap();
    String::from_utf8(master).unwrap()
}

pub(crate) fn load(master: &str, as_of: &str) -> Arc<Registry> {
    let options = LoadOptions::new(as_of.parse().unwrap());
    Arc::new(Registry::from_reader(master.as_bytes(), &options).unwrap())
}

/// The key behind a token or reference.
pub(crate) fn key(reference: &str) -> InstrumentKey {
    registry()
        .find(reference)
        .unwrap_or_else(|error| panic!("{reference}: {error}"))
        .instrument
        .key()
}

/// The nearest expiry's option of NIFTY, `rungs` above the middle strike.
pub(crate) fn option(symbol: &str, rungs: isize, is_call: bool) -> InstrumentKey {
    let registry = registry();
    let exchange = strikewire_types::Exchange::Nse;
    let expiry = registry.option_expiries(exchange, symbol)[0];
    let ladder = registry.ladder(exchange, symbol, expiry).unwrap();
    let middle = ladder.rungs().len() / 2;
    let rung = ladder.rungs()[middle.checked_add_signed(rungs).unwrap()];
    let leg = if is_call { rung.call() } else { rung.put() };
    registry.instrument(leg.unwrap()).key()
}

/// Monday, 2026-02-09, in India, `seconds` after ten.
pub(crate) fn at(seconds: f64) -> Now {
    let ten: ClockSpec = "2026-02-09T10:00:00+05:30".parse().unwrap();
    let after = core::time::Duration::from_secs_f64(seconds);
    Now {
        mono: Mono::default() + after,
        utc: ten.start + after,
    }
}
