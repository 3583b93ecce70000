mod day;
mod history;
mod shape;

use proptest::prelude::*;
use strikewire_registry::Kind;
use strikewire_types::{Exchange, OptionType, SCALE, Segment, Strike};

use super::*;
use crate::fixture::{NIFTY, at, key, option, registry};

fn market() -> Market {
    Market::new(registry(), MarketConfig::default(), at(0.0).utc)
}

/// One of every kind, and some that follow each other.
fn some_of_all() -> Vec<InstrumentKey> {
    vec![
        key(NIFTY),
        key("BSE:SENSEX"),
        key("INDIA VIX"),
        key("RELIANCE"),
        key("BSE:RELIANCE"),
        key("NIFTY_24FEB2026_FUT"),
        key("RELIANCE_24FEB2026_FUT"),
        key("CRUDEOIL_19FEB2026_FUT"),
        key("CRUDEOIL_19MAR2026_FUT"),
        key("GOLD_03APR2026_FUT"),
        key("USDINR_25FEB2026_FUT"),
        option(NIFTY, 0, true),
        option(NIFTY, 2, false),
        option("RELIANCE", -1, true),
        option("ITC", 2, false),
    ]
}

#[test]
fn ticks_do_not_depend_on_who_looked() {
    let keys = some_of_all();
    let (mut eager, mut late) = (market(), market());
    for second in 0..600 {
        eager.advance(at(f64::from(second) * 0.5));
        for &key in &keys {
            eager.quote(key).unwrap();
            eager.next_trade(key).unwrap();
        }
    }
    eager.advance(at(300.0));
    late.advance(at(300.0));
    for &key in keys.iter().rev() {
        assert_eq!(late.quote(key), eager.quote(key), "{key}");
        assert_eq!(late.next_trade(key), eager.next_trade(key), "{key}");
    }
    let mut other = Market::new(
        registry(),
        MarketConfig {
            seed: 2,
            ..MarketConfig::default()
        },
        at(0.0).utc,
    );
    other.advance(at(300.0));
    assert_ne!(other.quote(key(NIFTY)), late.quote(key(NIFTY)));
}

#[test]
fn underlyings_start_in_the_middle_of_the_nearest_ladder() {
    let registry = registry();
    let mut market = market();
    for (symbol, token) in [
        (NIFTY, NIFTY),
        ("NIFTYNXT50", "NIFTY NEXT 50"),
        ("RELIANCE", "RELIANCE"),
    ] {
        let expiry = registry.option_expiries(Exchange::Nse, symbol)[0];
        let rungs = registry
            .ladder(Exchange::Nse, symbol, expiry)
            .unwrap()
            .rungs();
        let start = market.quote(key(token)).unwrap().ltp;
        assert_eq!(start.raw(), rungs[rungs.len() / 2].strike.raw(), "{symbol}");
    }
    // BSE's share of a company costs what NSE's does.
    let (nse, bse) = (
        market.quote(key("RELIANCE")).unwrap(),
        market.quote(key("BSE:RELIANCE")).unwrap(),
    );
    assert_eq!(nse.ltp, bse.ltp);

    let given = HashMap::from([
        (key(NIFTY), Price::from_rupees(24_000)),
        (key("INDIA VIX"), Price::from_rupees(15)),
    ]);
    let config = MarketConfig {
        prices: given,
        ..MarketConfig::default()
    };
    let mut market = Market::new(registry, config, at(0.0).utc);
    assert_eq!(
        market.quote(key(NIFTY)).unwrap().ltp,
        Price::from_rupees(24_000)
    );
    assert_eq!(
        market.quote(key("INDIA VIX")).unwrap().ltp,
        Price::from_rupees(15)
    );
}

fn check_quote(quote: &Quote) {
    check_quote_in(&registry(), quote);
}

fn check_quote_in(registry: &Registry, quote: &Quote) {
    let Quote {
        ltp,
        open,
        high,
        low,
        atp,
        tick,
        ..
    } = *quote;
    let what = format!("{quote:?}");
    for price in [ltp, open, high, low, quote.prev_close] {
        assert!(
            price > Price::ZERO && price.raw() % i64::from(tick.raw().max(1)) == 0,
            "{what}"
        );
    }
    assert!(
        low <= ltp && ltp <= high && low <= open && open <= high,
        "{what}"
    );
    for level in &quote.depth {
        assert!(u32::from(level.bid_orders) <= level.bid_qty, "{what}");
        assert!(u32::from(level.ask_orders) <= level.ask_qty, "{what}");
    }
    if quote.key.segment == Segment::IdxI {
        assert_eq!((quote.volume, quote.ltq, quote.interest), (0, 0, None));
        assert_eq!(quote.depth, [Level::default(); 5]);
        return;
    }
    assert!(low <= atp && atp <= high, "{what}");
    let lot = registry.by_key(quote.key).unwrap().lot_size();
    assert!(
        quote.ltq > 0 && quote.ltq.is_multiple_of(lot) && quote.volume.is_multiple_of(lot),
        "{what}"
    );
    let bids: Vec<Price> = quote
        .depth
        .iter()
        .map(|level| level.bid)
        .filter(|bid| *bid > Price::ZERO)
        .collect();
    assert!(bids.is_sorted_by(|a, b| a > b), "{what}");
    assert!(quote.depth.is_sorted_by(|a, b| a.ask < b.ask), "{what}");
    assert!(
        bids.first().is_none_or(|bid| *bid <= ltp) && ltp <= quote.depth[0].ask,
        "{what}"
    );
    assert!(
        bids.first().is_none_or(|bid| *bid < quote.depth[0].ask),
        "{what}"
    );
    let sum = |quantity: fn(&Level) -> u32| quote.depth.iter().map(quantity).sum::<u32>();
    assert!(quote.total_buy_qty >= sum(|level| level.bid_qty), "{what}");
    assert!(
        quote.total_sell_qty >= sum(|level| level.ask_qty) && sum(|level| level.ask_qty) > 0,
        "{what}"
    );
    if let Some(interest) = quote.interest {
        assert!(
            interest.low <= interest.now && interest.now <= interest.high,
            "{what}"
        );
    }
}

#[test]
fn every_quote_of_every_instrument_makes_sense() {
    let registry = registry();
    let mut market = market();
    for seconds in [0.0, 0.25, 3_600.0] {
        market.advance(at(seconds));
        for instrument in registry.instruments() {
            let quote = market.quote(instrument.key()).unwrap();
            check_quote(&quote);
            let age = at(seconds).utc.as_seconds() - quote.traded_at;
            assert!((0..=120).contains(&age), "traded {age} s ago: {quote:?}");
        }
    }
    assert_eq!(market.quote(InstrumentKey::new(Segment::NseFno, 1)), None);
    assert_eq!(
        market.next_trade(InstrumentKey::new(Segment::NseFno, 1)),
        None
    );
}

#[test]
fn the_real_master_has_a_market_too() {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return;
    };
    let path = std::path::Path::new(&folder).join("api-scrip-master.compact.2026-02.csv.gz");
    let options = strikewire_registry::LoadOptions::new("2026-02-09".parse().unwrap());
    let registry = Arc::new(Registry::from_path(&path, &options).unwrap());
    let mut market = Market::new(Arc::clone(&registry), MarketConfig::default(), at(0.0).utc);
    market.advance(at(100.0));
    for instrument in registry.instruments() {
        check_quote_in(&registry, &market.quote(instrument.key()).unwrap());
    }
    // Read off the nearest ladder, 19,600 to 31,450 in steps of 50: 238 strikes.
    let nifty = market.quote(key(NIFTY)).unwrap();
    let away = (nifty.ltp.raw() - 25_550 * SCALE).abs();
    assert!(away < 200 * SCALE, "{nifty:?}");
}

#[test]
fn highs_lows_and_volumes_only_grow_within_a_day() {
    let keys = some_of_all();
    let mut market = market();
    let mut before: HashMap<InstrumentKey, Quote> = HashMap::new();
    for step in 0..2_000 {
        market.advance(at(f64::from(step) * 1.75));
        for &key in &keys {
            let now = market.quote(key).unwrap();
            check_quote(&now);
            if let Some(before) = before.insert(key, now) {
                assert!(now.volume >= before.volume, "{now:?} after {before:?}");
                assert!(
                    now.high >= before.high && now.low <= before.low,
                    "{now:?} after {before:?}"
                );
                assert_eq!((now.open, now.prev_close), (before.open, before.prev_close));
                assert!(now.traded_at >= before.traded_at);
            }
        }
    }
    assert!(before[&option(NIFTY, 0, true)].volume > 0);
}

#[test]
fn chains_do_not_contradict_themselves() {
    let registry = registry();
    let mut market = market();
    market.advance(at(1_234.0));
    let price =
        |market: &mut Market, leg| market.quote(registry.instrument(leg).key()).unwrap().ltp;
    for ladder in registry.ladders() {
        let source = ladder.price_source().unwrap();
        let on_cash = !source.kind().is_future();
        let source = market.quote(source.key()).unwrap().ltp;
        // What waiting for the strike costs, at 6 % a year.
        let days = Date::constant(2026, 2, 9).until(ladder.expiry().date());
        let money = 1.0 + 0.06 * f64::from(days.unwrap().get_days()) / 365.0;
        for side in [OptionType::Call, OptionType::Put] {
            let prices: Vec<(Strike, Price)> = ladder
                .rungs()
                .iter()
                .filter_map(|rung| Some((rung.strike, price(&mut market, rung.leg(side)?))))
                .collect();
            let ordered = match side {
                OptionType::Call => prices.is_sorted_by(|a, b| a.1 >= b.1),
                OptionType::Put => prices.is_sorted_by(|a, b| a.1 <= b.1),
            };
            assert!(ordered, "{ladder:?} {side}: {prices:?}");
            for (strike, price) in prices {
                let paid = strike.as_f64() / money;
                let held = source.as_f64() / if on_cash { 1.0 } else { money };
                let inside = match side {
                    OptionType::Call => held - paid,
                    OptionType::Put => paid - held,
                };
                // Less than exercising it brings only by what rounding to ticks loses.
                assert!(
                    price.as_f64() + 1.0 >= inside,
                    "{ladder:?} {strike}{side} {price}, {source}"
                );
            }
        }
    }
}

#[test]
fn what_follows_an_underlying_moves_with_it() {
    let mut market = market();
    let (index, future) = (key(NIFTY), key("NIFTY_24FEB2026_FUT"));
    let (call, put) = (option(NIFTY, 0, true), option(NIFTY, 0, false));
    let look =
        |market: &mut Market| [index, future, call, put].map(|key| market.quote(key).unwrap().ltp);
    let before = look(&mut market);
    let target = Price::from_raw(before[0].raw() + 200 * SCALE);
    assert!(market.set_price(index, target));
    let after = look(&mut market);
    assert_eq!(after[0], target);
    assert!(
        (after[1].raw() - before[1].raw() - 200 * SCALE).abs() < 2 * SCALE,
        "{after:?}"
    );
    assert!(
        after[2] > before[2] && after[3] < before[3],
        "{before:?} {after:?}"
    );
    check_quote(&market.quote(index).unwrap());
    // It goes on from there.
    market.advance(at(60.0));
    let later = market.quote(index).unwrap();
    assert!(
        (later.ltp.raw() - target.raw()).abs() < 200 * SCALE,
        "{later:?}"
    );
    assert!(later.high >= target);

    for (what, key, price) in [
        ("a future", future, target),
        ("an option", call, target),
        ("nothing", InstrumentKey::new(Segment::IdxI, 9_999), target),
        ("to zero", index, Price::ZERO),
    ] {
        assert!(!market.set_price(key, price), "{what}");
    }

    // The futures of a commodity move together, in proportion.
    let (near, far) = (key("CRUDEOIL_19FEB2026_FUT"), key("CRUDEOIL_19MAR2026_FUT"));
    let ltp = |market: &mut Market, key| market.quote(key).unwrap().ltp.raw() as f64;
    let ratio = ltp(&mut market, far) / ltp(&mut market, near);
    assert!(market.set_price(far, Price::from_rupees(7_000)));
    assert_eq!(market.quote(far).unwrap().ltp, Price::from_rupees(7_000));
    assert!((ltp(&mut market, far) / ltp(&mut market, near) - ratio).abs() < 0.001);
}

#[test]
fn trades_come_as_often_as_the_instrument_is_liquid() {
    let mut market = market();
    let mut trades = |key| {
        let mut count = 0;
        let mut market_now = Market::new(registry(), MarketConfig::default(), at(0.0).utc);
        let end = step_of(at(600.0).utc);
        while let Some(Step(next)) = market_now.next_trade(key) {
            if next > end {
                break;
            }
            assert!(next > market_now.step && next - market_now.step <= 480);
            market_now.step = next;
            count += 1;
        }
        market.quote(key).unwrap();
        count
    };
    // In ten minutes.
    assert_eq!(trades(key(NIFTY)), 2_400);
    assert_eq!(trades(key("RELIANCE")), 2_400);
    assert!((600..=1_201).contains(&trades(option(NIFTY, 0, true))));
    assert!((600..=1_201).contains(&trades(key("NIFTY_24FEB2026_FUT"))));
    let far = registry()
        .ladders()
        .find(|ladder| ladder.symbol() == "RELIANCE")
        .and_then(|ladder| ladder.rungs().last()?.call())
        .unwrap();
    assert!(trades(registry().instrument(far).key()) < trades(option("RELIANCE", 0, true)));

    let mut fast = Market::new(
        registry(),
        MarketConfig {
            rate: 1e9,
            ..MarketConfig::default()
        },
        at(0.0).utc,
    );
    let step = fast.step();
    assert_eq!(
        fast.next_trade(option(NIFTY, 2, true)).unwrap().since(step),
        1
    );
}

#[test]
fn a_new_day_begins_where_the_old_one_ended() {
    let mut market = market();
    let (index, call) = (key(NIFTY), option(NIFTY, 0, true));
    // 23:59:59.75, then midnight.
    market.advance(at(14.0 * 3600.0 - 0.25));
    let (before, volume) = (
        market.quote(index).unwrap(),
        market.quote(call).unwrap().volume,
    );
    market.advance(at(14.0 * 3600.0));
    let after = market.quote(index).unwrap();
    assert_eq!(after.prev_close, before.ltp);
    assert_eq!(
        (after.open, after.high, after.low),
        (after.ltp, after.ltp, after.ltp)
    );
    assert!(volume > 0);
    assert_eq!(market.quote(call).unwrap().volume, 0);
    check_quote(&market.quote(call).unwrap());
}

#[test]
fn silly_settings_are_survived() {
    for (volatility, rate) in [
        (f64::NAN, f64::NAN),
        (f64::INFINITY, 0.0),
        (50.0, -1.0),
        (-1.0, f64::INFINITY),
    ] {
        let config = MarketConfig {
            volatility,
            rate,
            ..MarketConfig::default()
        };
        let mut market = Market::new(registry(), config, at(0.0).utc);
        market.advance(at(100.0));
        for key in some_of_all() {
            check_quote(&market.quote(key).unwrap());
            assert!(market.next_trade(key).unwrap() > market.step());
        }
    }
}

proptest! {
    #[test]
    fn any_underlying_price_gives_sane_chains(raw in 1_i64..10_000_000_000) {
        let mut market = market();
        prop_assert!(market.set_price(key(NIFTY), Price::from_raw(raw)));
        for (rungs, is_call) in [(-3, true), (0, true), (3, true), (-3, false), (3, false)] {
            check_quote(&market.quote(option(NIFTY, rungs, is_call)).unwrap());
        }
    }
}
