//! What the clock, the account and silence do to calls and values.

use core::time::Duration;

use strikewire_broker::Interval;
use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::Fill;

use super::single::{STEP, until_warm, world};
use super::truth::{Truth, trading_days};
use super::world::{Faults, INDEX, SECOND, SOUND, at, equity, spec};
use crate::indicators::engine::history::Want;

#[test]
fn a_minute_that_missed_ticks_is_asked_for() {
    let mut world = world("10:03:27", SOUND);
    let sma = spec(INDEX, "1min", "SMA_5", true);
    world.want(sma.clone());
    world.run(305 * SECOND, STEP);
    world.check_settled();
    let (calls, now) = (world.seen.calls, world.now.utc);
    assert_eq!(now, at("2026-02-09T10:08:32"));
    world.lost.push((INDEX, at("2026-02-09T10:07:00")));
    world.step(STEP);
    assert!(!world.latest(&sma).unwrap().warm);
    world.run(3 * SECOND, STEP);
    world.check_settled();
    assert_eq!(world.seen.calls, calls + 1);
    // One that is beyond repair: all begins again.
    world.lost.push((INDEX, at("2026-02-09T10:04:00")));
    world.run(100 * SECOND, STEP);
    world.check_settled();
    assert!(world.seen.calls > calls + 1);
    // One from before ticks came is known from candles.
    let calls = world.seen.calls;
    world.lost.push((INDEX, at("2026-02-09T09:20:00")));
    world.run(2 * SECOND, STEP);
    world.check_settled();
    assert_eq!(world.seen.calls, calls);
}

#[test]
fn what_does_not_trade_is_hardly_asked_for() {
    for (claims, most) in [(0, 4), (100, 14)] {
        let mut world = world("09:20:00", Faults { claims, ..SOUND });
        let today = at("2026-02-09T00:00:00").as_seconds();
        let truth = world.truth.get_mut(&equity(1)).unwrap();
        truth.trades.retain(|trade| trade.at < today);
        let sma = spec(equity(1), "5min", "SMA_5", false);
        world.want(sma.clone());
        world.run(6 * 3_600 * SECOND, SECOND);
        assert!(world.latest(&sma).unwrap().warm);
        // Two for the past.
        let calls = world.seen.calls;
        assert!((3..=most).contains(&calls), "{calls} with {claims}");
    }
}

#[test]
fn thousands_that_are_silent_are_looked_after_one_at_a_time() {
    let mut world = world(
        "10:03:27",
        Faults {
            claims: 100,
            ..SOUND
        },
    );
    let specs: Vec<_> = (10..60)
        .map(|id| {
            let truth = world.truth[&equity(1)].clone();
            world.truth.insert(equity(id), truth);
            spec(equity(id), "1min", "SMA_5", false)
        })
        .collect();
    for spec in &specs {
        world.want(spec.clone());
    }
    world.run(240 * SECOND, STEP);
    let calls = world.seen.calls;
    world.run(70 * SECOND, STEP);
    // Fifty were due 34 s ago.
    let more = world.seen.calls - calls;
    assert!((30..=36).contains(&more), "{more}");
    world.run(30 * SECOND, STEP);
    assert!(world.seen.calls - calls >= 50);
}

#[test]
fn a_clock_that_is_set_makes_all_begin_again() {
    let mut world = world("10:03:27", SOUND);
    let (rsi, day) = (
        spec(INDEX, "1min", "RSI_3", true),
        spec(equity(1), "5min", "SMA_5", false),
    );
    world.want(rsi.clone());
    world.want(day.clone());
    world.run(200 * SECOND, STEP);
    world.check_settled();
    world.ahead = 900 * SECOND;
    world.run(100 * SECOND, STEP);
    world.ahead = Duration::ZERO;
    world.step(STEP);
    // Every value that is called warm is checked from here on.
    world.run(130 * SECOND, STEP);
    world.check_settled();
    for spec in [&rsi, &day] {
        let latest = world.latest(spec).unwrap();
        assert!(latest.warm && latest.bar_time < world.now.utc, "{latest:?}");
    }
    // Bars close when they did before.
    let finals = world.seen.warm_finals;
    world.run(300 * SECOND, STEP);
    assert!(world.seen.warm_finals >= finals + 5);
}

#[test]
fn an_account_without_candles_is_left_alone_for_a_while() {
    let faults = Faults {
        not_entitled: true,
        ..SOUND
    };
    let mut world = world("10:03:27", faults);
    let specs: Vec<_> = [INDEX, equity(1)]
        .into_iter()
        .flat_map(|key| ["1min", "5min", "15min"].map(|it| spec(key, it, "SMA_20", false)))
        .collect();
    for spec in &specs {
        world.want(spec.clone());
    }
    world.run(890 * SECOND, STEP);
    assert!(world.seen.calls <= 2, "{}", world.seen.calls);
    // Minutes do not pile up.
    let tape = world.engine.tape(INDEX);
    assert!(tape.matches("start:").count() < 8, "{tape}");
    world.faults.not_entitled = false;
    world.run(30 * SECOND, STEP);
    world.run(90 * SECOND, STEP);
    world.check_settled();
    for spec in &specs {
        assert!(world.latest(spec).unwrap().warm, "{:?}", spec.key);
    }
}

#[test]
fn too_few_candles_make_nothing_warm_but_for_what_is_new() {
    // Hours of three hundred sessions are wanted, minutes of half a year can be had.
    let faults = Faults {
        without: Some(60),
        ..SOUND
    };
    let mut world = world("10:03:27", faults);
    let days = trading_days("2026-02-10".parse().unwrap(), 140);
    let truth = Truth::new(&mut world.rng, &days, 1, 50, true);
    world.truth.insert(equity(7), truth);
    let old = spec(equity(7), "1h", "EMA_200", false);
    let short = spec(equity(7), "1h", "SMA_20", false);
    // The same, listed sixty sessions ago.
    let new = spec(equity(1), "1h", "EMA_200", false);
    for spec in [&old, &short, &new] {
        world.want(spec.clone());
    }
    until_warm(&mut world, &short.key, 30 * SECOND);
    until_warm(&mut world, &new.key, 30 * SECOND);
    let latest = world.latest(&old).unwrap();
    assert!(latest.value.is_some() && !latest.warm, "{latest:?}");
}

#[test]
fn what_never_traded_is_warm_after_its_own_bars() {
    let mut world = world("10:03:27", SOUND);
    let truth = world.truth.get_mut(&equity(1)).unwrap();
    let now = world.now.utc.as_seconds();
    truth.trades.retain(|trade| trade.at > now + 60);
    let rsi = spec(equity(1), "1min", "RSI_3", false);
    world.want(rsi.clone());
    world.run(600 * SECOND, STEP);
    let latest = world.latest(&rsi).unwrap();
    assert!(latest.value.is_some() && !latest.warm, "{latest:?}");
    until_warm(&mut world, &rsi.key, 6_000 * SECOND);
}

#[test]
fn answers_are_forgotten_before_failures_are() {
    use crate::indicators::engine::calls::{Ask, Calls, Reply, Urgency};
    let world = world("10:03:27", SOUND);
    let (now, mut calls) = (world.now, Calls::default());
    let ask = |id| Ask {
        what: (equity(id), Interval::Day),
        class: strikewire_broker::InstrumentClass::Equity,
        step: strikewire_types::PriceStep::PAISA,
        from: now.utc,
        not_before: now.utc,
        urgency: Urgency::WarmUp,
    };
    let price = strikewire_types::Price::from_raw(1);
    let candle = strikewire_broker::Candle {
        at: strikewire_types::ExchangeTime::from_seconds(0),
        open: price,
        high: price,
        low: price,
        close: price,
        volume: 1,
        oi: None,
    };
    let failed = strikewire_broker::ReferenceError::Unavailable {
        call: "candles",
        detail: String::new(),
    };
    // The failure is to be forgotten before the answer, but not before its time.
    let later = now + 2 * SECOND;
    for (id, at, result) in [(1, now, Err(failed)), (2, later, Ok(vec![candle; 500_001]))] {
        assert!(matches!(calls.ask(at, ask(id)), Reply::Pending));
        let (number, _) = calls.next(at).unwrap();
        calls.answered(at, ask(id).what, number, result);
    }
    calls.expire(later);
    assert!(matches!(calls.ask(later, ask(2)), Reply::Pending));
    calls.drop_waiting(equity(2));
    calls.expire(now + 200 * SECOND);
    assert_eq!(calls.len(), 0);
}

#[test]
fn candles_are_asked_for_from_the_open_of_a_day() {
    let want = Want {
        timeframe: "7min".parse().unwrap(),
        class: Class::NseCash,
        fill: Fill::None,
        bars: 30,
        anchored: false,
        minutes_only: false,
        all: false,
    };
    // Seven bars of Monday, and more than twenty of Friday.
    let need = want.need(&Calendar::builtin(), at("2026-02-09T10:03:27"));
    assert_eq!(need.minutes_from, at("2026-02-06T09:15:00"));
    assert!(!need.is_from_listing(Some(at("2026-02-09T09:15:00"))));
    assert!(!need.is_from_listing(None));
    assert!(need.is_from_listing(Some(at("2026-02-17T09:15:00"))));
}
