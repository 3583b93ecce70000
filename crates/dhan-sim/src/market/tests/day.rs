//! Gaps, and a new master.

use super::*;
use crate::fixture::{load, master};

const AFTER: &str = "2026-02-20";

#[test]
fn everything_jumps_at_once_whoever_looked_before() {
    let mut eager = market();
    eager.advance(at(30.0));
    let keys = some_of_all();
    let before: Vec<Quote> = keys.iter().map(|key| eager.quote(*key).unwrap()).collect();
    assert!(eager.move_prices(1.02));
    for (key, before) in keys.iter().zip(&before) {
        let after = eager.quote(*key).unwrap();
        check_quote(&after);
        let side = registry().by_key(*key).unwrap().option_type();
        match side {
            Some(OptionType::Call) => assert!(after.ltp > before.ltp, "{key}"),
            Some(OptionType::Put) => assert!(after.ltp < before.ltp, "{key}"),
            None => {
                let moved = after.ltp.as_f64() - 1.02 * before.ltp.as_f64();
                let tick = f64::from(after.tick.raw()) / 1e4;
                assert!(moved.abs() <= 1.01 * tick, "{key}: off by {moved}");
            }
        }
    }
    let mut late = market();
    late.advance(at(30.0));
    assert!(late.move_prices(1.02));
    eager.advance(at(90.0));
    late.advance(at(90.0));
    for key in keys {
        assert_eq!(late.quote(key), eager.quote(key), "{key}");
    }
}

/// Eleven days later the front futures and many options have expired, and every
/// contract has another id.
#[test]
fn contracts_that_go_on_go_on_from_their_price() {
    let (old, new) = (registry(), load(&master(AFTER), AFTER));
    let mut market = market();
    market.advance(at(11.0 * 86_400.0));
    assert!(market.move_prices(1.05));
    let (mut goes_on, mut other_id) = (Vec::new(), 0);
    for now in new.instruments() {
        let Ok(before) = old.find(&now.token()).map(|found| found.instrument) else {
            continue;
        };
        if before.token() == now.token() {
            other_id += usize::from(before.key() != now.key());
            let quote = market.quote(before.key()).unwrap();
            goes_on.push((now, quote.ltp, quote.open));
        }
    }
    assert!(goes_on.len() > 1_000 && other_id > 500, "{other_id}");
    let is_future = |kind| goes_on.iter().any(|(now, ..)| now.kind() == kind);
    assert!(is_future(Kind::FutureCommodity) && is_future(Kind::FutureStock));

    market.set_registry(Arc::clone(&new));
    for (now, ltp, open) in goes_on {
        let quote = market.quote(now.key()).unwrap();
        assert_eq!((quote.ltp, quote.open), (ltp, open), "{now:?}");
        check_quote_in(&new, &quote);
    }
    for listed in new.instruments() {
        check_quote_in(&new, &market.quote(listed.key()).unwrap());
    }
}
