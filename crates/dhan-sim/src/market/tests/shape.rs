//! Parity, open interest and openings.

use super::*;

const DAY: f64 = 86_400.0;

/// Midnight after the market's first day, at ten.
const MIDNIGHT: f64 = 14.0 * 3600.0;

#[test]
fn calls_and_puts_keep_parity_with_the_forward() {
    let registry = registry();
    let mut market = market();
    let mut compared = 0;
    for seconds in [0.0, 1_234.5, 3.0 * DAY] {
        let now = at(seconds);
        market.advance(now);
        for ladder in registry.ladders() {
            let source = ladder.price_source().unwrap();
            let days = ist_date(now.utc).until(ladder.expiry().date()).unwrap();
            let money = 1.0 + 0.06 * f64::from(days.get_days().max(0)) / 365.0;
            let spot = market.quote(source.key()).unwrap();
            let listed = registry
                .futures(ladder.exchange(), ladder.symbol())
                .find(|future| future.expiry() == Some(ladder.expiry()));
            let forward = match listed {
                Some(future) => market.quote(future.key()).unwrap(),
                None => spot,
            };
            let (forward, tick) = if source.kind().is_future() {
                (spot.ltp.as_f64(), spot.tick)
            } else if listed.is_some() {
                compared += 1;
                (forward.ltp.as_f64(), forward.tick)
            } else {
                (spot.ltp.as_f64() * money, spot.tick)
            };
            for rung in ladder.rungs() {
                let (Some(call), Some(put)) = (rung.call(), rung.put()) else {
                    continue;
                };
                let [call, put] =
                    [call, put].map(|leg| market.quote(registry.instrument(leg).key()).unwrap());
                let parity = (forward - rung.strike.as_f64()) / money;
                let off = call.ltp.as_f64() - put.ltp.as_f64() - parity;
                // Each of the prices is rounded once; none is below a tick.
                let ticks = f64::from(2 * call.tick.raw() + tick.raw()) / 2e4;
                let cheap = f64::from(call.tick.raw()) / 1e4;
                assert!(
                    off.abs() <= ticks + cheap + 1e-6,
                    "{ladder:?} {rung:?} {off}"
                );
            }
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn days_open_with_a_gap() {
    let mut market = market();
    let keys = ["BSE:SENSEX", NIFTY, "RELIANCE", "CRUDEOIL_19FEB2026_FUT"].map(key);
    let mut gaps = Vec::new();
    for night in 0..5 {
        let midnight = MIDNIGHT + f64::from(night) * DAY;
        market.advance(at(midnight - 0.25));
        let closes = keys.map(|key| market.quote(key).unwrap().ltp);
        market.advance(at(midnight));
        for (key, close) in keys.into_iter().zip(closes) {
            let quote = market.quote(key).unwrap();
            assert_eq!(quote.prev_close, close, "{key}");
            assert_eq!(quote.open, quote.ltp);
            let gap = quote.open.as_f64() / close.as_f64() - 1.0;
            assert!((0.001..0.02).contains(&gap.abs()), "{key}: {gap}");
            gaps.push(gap);
        }
    }
    assert!(gaps.iter().any(|gap| *gap > 0.0) && gaps.iter().any(|gap| *gap < 0.0));
}

#[test]
fn a_gap_can_be_said() {
    let tomorrow = Date::constant(2026, 2, 10);
    let (mut plain, mut eager, mut late) = (market(), market(), market());
    for market in [&mut eager, &mut late] {
        // The last one counts.
        assert!(market.gap_at(tomorrow, 0.9) && market.gap_at(tomorrow, 1.03));
        for (day, factor) in [
            (Date::constant(2026, 2, 9), 1.03),
            (Date::constant(1969, 1, 1), 1.03),
            (tomorrow, 0.0),
            (tomorrow, f64::NAN),
        ] {
            assert!(!market.gap_at(day, factor), "{day} {factor}");
        }
        // Something else happens before.
        market.advance(at(60.0));
        assert!(market.move_prices(1.01));
    }
    assert!(plain.move_prices(1.01));
    let (index, future) = (key(NIFTY), key("NIFTY_24FEB2026_FUT"));
    eager.quote(index);
    for market in [&mut plain, &mut eager, &mut late] {
        market.advance(at(MIDNIGHT - 0.25));
    }
    let close = eager.quote(index).unwrap().ltp;
    assert_eq!(plain.quote(index).unwrap().ltp, close, "not before its day");
    for market in [&mut eager, &mut late] {
        market.advance(at(MIDNIGHT));
        let quote = market.quote(index).unwrap();
        let off = quote.open.as_f64() / close.as_f64() - 1.03;
        assert!(off.abs() < 1e-5, "{off}");
        assert_eq!((quote.prev_close, quote.ltp), (close, quote.open));
        let future = market.quote(future).unwrap();
        let rose = future.open.as_f64() / future.prev_close.as_f64();
        assert!((rose - 1.03).abs() < 0.001, "{rose}");
        market.advance(at(MIDNIGHT + 3_600.0));
    }
    assert_eq!(eager.quote(index), late.quote(index));
}

#[test]
fn open_interest_goes_on_where_it_was_and_keeps_its_extremes() {
    let mut market = market();
    let keys = [
        key("NIFTY_24FEB2026_FUT"),
        key("GOLD_03APR2026_FUT"),
        option(NIFTY, 0, true),
        option("RELIANCE", 3, false),
    ];
    let mut last: HashMap<InstrumentKey, Interest> = HashMap::new();
    let mut moves = 0;
    // Three days, every five minutes, and the last moment of each day.
    let mut times: Vec<f64> = (0..864).map(|step| f64::from(step) * 300.0).collect();
    times.extend((0..3).map(|day| MIDNIGHT + f64::from(day) * DAY - 0.25));
    times.sort_by(f64::total_cmp);
    for time in times {
        let now = at(time);
        market.advance(now);
        let begins = (time - MIDNIGHT).rem_euclid(DAY) == 0.0;
        for key in keys {
            let quote = market.quote(key).unwrap();
            let interest = quote.interest.unwrap();
            let lot = registry().by_key(key).unwrap().lot_size();
            assert!(interest.now > 0 && interest.now.is_multiple_of(lot));
            let Some(before) = last.insert(key, interest) else {
                continue;
            };
            if begins {
                // A quarter of a second before, at most a lot or two were missing.
                assert_eq!(interest.prev, interest.now);
                assert_eq!((interest.high, interest.low), (interest.now, interest.now));
                assert!(interest.prev.abs_diff(before.now) <= 2 * lot, "{before:?}");
            } else {
                assert_eq!(interest.prev, before.prev);
                assert!(interest.high >= before.high.max(interest.now));
                assert!(interest.low <= before.low.min(interest.now));
                moves += usize::from(interest.now != before.now);
            }
            let reached = [before.high, interest.now, interest.prev];
            assert!(
                interest.high <= reached.into_iter().max().unwrap() + lot * 50,
                "{interest:?}"
            );
        }
    }
    assert!(moves > 1_000, "{moves}");
    assert_eq!(market.quote(key(NIFTY)).unwrap().interest, None);
}

#[test]
fn volume_starts_at_nothing_and_differs_from_day_to_day() {
    let mut market = market();
    let call = option(NIFTY, 0, true);
    let mut days = Vec::new();
    for day in 0..4 {
        let midnight = MIDNIGHT + f64::from(day) * DAY;
        market.advance(at(midnight - 0.25));
        days.push(market.quote(call).unwrap().volume);
        market.advance(at(midnight));
        assert_eq!(market.quote(call).unwrap().volume, 0);
        market.advance(at(midnight + 600.0));
        assert!(market.quote(call).unwrap().volume > 0);
    }
    days.sort_unstable();
    days.dedup();
    assert_eq!(days.len(), 4);
}

#[test]
fn greeks_are_those_of_options() {
    let mut market = market();
    let (call, put) = (option(NIFTY, 0, true), option(NIFTY, 0, false));
    let (call, put) = (market.greeks(call).unwrap(), market.greeks(put).unwrap());
    assert!((0.4..0.6).contains(&call.delta) && (-0.6..-0.4).contains(&put.delta));
    assert!((call.delta - put.delta - 1.0).abs() < 1e-9);
    for greeks in [call, put] {
        assert!((greeks.implied_volatility - 15.0).abs() < 1e-9);
        assert!(greeks.gamma > 0.0 && greeks.vega > 0.0 && greeks.theta < 0.0);
    }
    assert_eq!(market.greeks(key(NIFTY)), None);
    assert_eq!(market.greeks(key("NIFTY_24FEB2026_FUT")), None);
}
