//! One thing at a time.

use core::time::Duration;

use strikewire_broker::Interval;
use strikewire_indicators::Study;
use strikewire_leases::LeaseKey;
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{InstrumentKey, Utc};

use super::truth::{Truth, trading_days};
use super::world::{Faults, INDEX, SECOND, SOUND, World, at, equity, settings, spec};
use crate::indicators::engine::machine::Settings;
use crate::indicators::engine::{ComputeState, Latest};
use crate::owner::OwnerEvent;

/// A world with an index and a liquid share, at a time of Monday, 2026-02-09.
pub(super) fn world(time: &str, faults: Faults) -> World {
    with(time, faults, settings())
}

fn with(time: &str, faults: Faults, settings: Settings) -> World {
    let mut world = World::with(1, &format!("2026-02-09T{time}"), faults, settings);
    let days = trading_days("2026-02-10".parse().unwrap(), 60);
    for (key, has_volume) in [(INDEX, false), (equity(1), true)] {
        let truth = Truth::new(&mut world.rng, &days, 20, 0, has_volume);
        world.truth.insert(key, truth);
    }
    world
}

pub(super) const STEP: Duration = Duration::from_millis(100);

/// Steps until a key is warm; how long that took.
pub(super) fn until_warm(world: &mut World, key: &LeaseKey, most: Duration) -> Duration {
    let begin = world.now.mono;
    loop {
        let took = world.now.mono.since(begin);
        if world.computing.latest(key).is_some_and(|it| it.warm) {
            return took;
        }
        assert!(took < most, "{key:?} is not warm");
        world.step(STEP);
    }
}

#[test]
fn the_first_value_is_right_soon_after_the_first_tick() {
    let mut world = world("10:03:27", SOUND);
    let rsi = spec(INDEX, "5min", "RSI_14", true);
    world.want(rsi.clone());
    // Prices are known from the candle that had not ended and the ticks after it; the world
    // holds every value against all trades.
    let took = until_warm(&mut world, &rsi.key, 10 * SECOND);
    assert!(took < 8 * SECOND, "{took:?}");
    let latest = world.latest(&rsi).unwrap();
    assert!(latest.is_final || latest.bar_time == at("2026-02-09T10:00:00"));
    // Volume counts what came between tick and candle twice: it waits for the minute's end.
    let vwap = spec(equity(1), "5min", "VWAP", true);
    let atr = spec(equity(1), "5min", "ATR_14", true);
    world.want(vwap.clone());
    world.want(atr.clone());
    until_warm(&mut world, &atr.key, 10 * SECOND);
    assert!(!world.latest(&vwap).unwrap().warm);
    until_warm(&mut world, &vwap.key, 70 * SECOND);
    assert!(world.now.utc > at("2026-02-09T10:04:03"));
    world.run(400 * SECOND, STEP);
    world.check_settled();
    assert!(world.seen.warm_forming > 3, "{:?}", world.seen);
}

#[test]
fn what_many_want_is_asked_for_once() {
    let mut world = world("10:03:27", SOUND);
    for id in 3..60 {
        for timeframe in ["5min", "7min", "1min"] {
            let id = format!("SMA_{id}");
            world.want(spec(INDEX, timeframe, &id, id.ends_with('0')));
        }
    }
    world.run(20 * SECOND, STEP);
    world.check_settled();
    let asked: Vec<Interval> = world.requests.iter().map(|it| it.interval).collect();
    let count = |interval| asked.iter().filter(|it| **it == interval).count();
    assert_eq!(count(Interval::Minutes(5)), 1);
    // Once more if the first tick came after the first call.
    let minutes = count(Interval::Minutes(1));
    assert!(
        (1..=2).contains(&minutes) && asked.len() == 1 + minutes,
        "{asked:?}"
    );
    // Who comes within the minute shares the answers.
    world.want(spec(INDEX, "5min", "WMA_30", false));
    world.run(10 * SECOND, STEP);
    assert_eq!(world.requests.len(), asked.len());
    // Two minutes later the candles are asked for again, and those that know what they need
    // are left alone.
    world.run(120 * SECOND, STEP);
    let before = world.requests.len();
    world.want(spec(INDEX, "5min", "EMA_9", false));
    world.run(10 * SECOND, STEP);
    world.check_settled();
    assert_eq!(world.requests.len(), before + 2);
}

#[test]
fn a_gap_is_repaired_and_told_again() {
    let mut world = world("10:03:27", SOUND);
    let atr = spec(equity(1), "5min", "ATR_14", true);
    world.want(atr.clone());
    world.run(300 * SECOND, STEP);
    world.check_settled();
    // 10:08:27: over the end of a bar.
    world.run(60 * SECOND, STEP);
    world.fall(90 * SECOND);
    world.run(40 * SECOND, STEP);
    let cut = world.latest(&atr).unwrap();
    assert!(!cut.warm, "{cut:?}");
    world.run(160 * SECOND, STEP);
    world.check_settled();
    let id = world.computing.value_id(&atr.key);
    let bar = "\"bar_time\":\"2026-02-09T10:05:00.000+05:30\",\"final\":true";
    let finals: Vec<&String> = world.messages[&id]
        .iter()
        .filter(|message| message.contains(bar))
        .collect();
    assert_eq!(finals.len(), 2, "{finals:?}");
    assert!(finals[0].contains("\"warm\":false"));
    assert!(finals[1].contains("\"warm\":true"));
}

#[test]
fn without_candles_time_makes_it_right() {
    let faults = Faults {
        unsupported: true,
        ..SOUND
    };
    let mut world = world("10:03:27", faults);
    let sma = spec(INDEX, "1min", "SMA_5", false);
    world.want(sma.clone());
    let took = until_warm(&mut world, &sma.key, 600 * SECOND);
    // The minute that was under way does not count, but five after it.
    assert!((330 * SECOND..340 * SECOND).contains(&took), "{took:?}");
    assert_eq!(world.requests.len(), 1);
    assert_eq!(world.computing.state(&sma.key), Some(ComputeState::Warm));
    // A gap cannot be repaired either.
    world.fall(10 * SECOND);
    world.run(65 * SECOND, STEP);
    assert!(!world.latest(&sma).unwrap().warm);
    until_warm(&mut world, &sma.key, 400 * SECOND);
    assert_eq!(world.requests.len(), 1);
}

#[test]
fn candles_that_do_not_fit_are_made_of_minutes() {
    for faults in [
        Faults {
            misaligned: true,
            ..SOUND
        },
        Faults {
            without: Some(60),
            ..SOUND
        },
    ] {
        let mut world = world("10:03:27", faults);
        let sma = spec(INDEX, "1h", "SMA_20", false);
        world.want(sma.clone());
        until_warm(&mut world, &sma.key, 10 * SECOND);
        let asked: Vec<Interval> = world.requests.iter().map(|it| it.interval).collect();
        assert_eq!(
            asked
                .iter()
                .filter(|it| **it == Interval::Minutes(60))
                .count(),
            1
        );
        world.check_settled();
    }
}

#[test]
fn calls_that_fail_are_made_again_later_each_time() {
    let faults = Faults {
        calls: 100,
        ..SOUND
    };
    let mut world = world("10:03:27", faults);
    let rsi = spec(INDEX, "1min", "RSI_3", false);
    world.want(rsi.clone());
    world.run(300 * SECOND, STEP);
    let calls = world.seen.calls;
    assert!((6..14).contains(&calls), "{calls}");
    assert!(!world.latest(&rsi).unwrap().warm);
    world.faults.calls = 0;
    until_warm(&mut world, &rsi.key, 130 * SECOND);
    world.run(120 * SECOND, STEP);
    world.check_settled();
}

#[test]
fn a_thousand_cycles_leave_nothing() {
    let mut world = world("10:03:27", SOUND);
    for cycle in 0..1_000 {
        let key = [INDEX, equity(1)][cycle % 2];
        let spec = spec(
            key,
            ["1min", "5min", "1d"][cycle % 3],
            "SMA_5",
            cycle % 4 == 0,
        );
        world.want(spec.clone());
        let steps = [0, 1, 3, 30][cycle % 4];
        for _ in 0..steps {
            world.step(STEP);
        }
        world.unwant(&spec.key);
        world.step(STEP);
    }
    assert_eq!((world.held.len(), world.watched()), (0, 0));
    // Six values, their numbers, and answers for a minute.
    assert!(
        world.engine.remembered() < 40,
        "{}",
        world.engine.remembered()
    );
    world.run(86_500 * SECOND, 60 * SECOND);
    assert_eq!(world.engine.remembered(), 0);
    assert_eq!(world.calls_under_way(), 0);
    // In a quarter of an hour the candles of the past were asked for once a minute at most;
    // only where a tick came the minute that forms was.
    let longer = (world.requests.iter()).filter(|it| it.interval != Interval::Minutes(1));
    assert!(longer.count() < 2 * 20);
    assert!(world.seen.calls < 500, "{}", world.seen.calls);
}

#[test]
fn a_value_stays_as_long_as_its_timeframe() {
    for (mock, kept) in [(false, 60), (true, 300)] {
        let settings = Settings { mock, ..settings() };
        let mut world = with("10:03:27", SOUND, settings);
        let sma = spec(INDEX, "1min", "SMA_5", true);
        let id = world.computing.value_id(&sma.key);
        world.want(sma.clone());
        world.run(100 * SECOND, STEP);
        assert_eq!(world.latest(&sma).unwrap().mock, mock);
        world.unwant(&sma.key);
        // From when it was written, as it is kept elsewhere, and a minute at least.
        world.run((kept - 20).max(59) * SECOND, STEP);
        assert!(world.latest(&sma).is_some());
        // Who comes back in time finds it, by the same number.
        world.want(sma.clone());
        world.step(STEP);
        assert_eq!(world.computing.value_id(&sma.key), id);
        assert_eq!(world.messages[&id].len(), 1);
        world.unwant(&sma.key);
        world.run((kept + 1) * SECOND, STEP);
        assert!(world.latest(&sma).is_none());
        world.run(61 * SECOND, STEP);
        assert_ne!(world.computing.value_id(&sma.key), id);
        // A number that is told keeps, and one that nobody uses is forgotten.
        world.run(150 * SECOND, STEP);
        assert_eq!(world.engine.remembered(), 0);
    }
}

#[test]
fn values_of_a_whole_day_are_those_of_a_batch() {
    let mut world = world("09:10:00", SOUND);
    let specs: Vec<_> = ["RSI_14", "MACD_12_26_9", "BB_20_2"]
        .iter()
        .flat_map(|id| {
            [
                spec(INDEX, "5min", id, false),
                spec(INDEX, "15min", id, false),
            ]
        })
        .collect();
    for spec in &specs {
        world.want(spec.clone());
    }
    world.run(Duration::from_secs(6 * 3_600 + 25 * 60), SECOND / 2);
    world.check_settled();
    // Each of 75 and 25 bars of the day, and one of the day before.
    assert!(world.seen.warm_finals >= 3 * (76 + 26), "{:?}", world.seen);
    for spec in &specs {
        let latest = world.latest(spec).unwrap();
        let last = if spec.timeframe.to_string() == "5min" {
            "2026-02-09T15:25:00"
        } else {
            "2026-02-09T15:15:00"
        };
        assert_eq!((latest.bar_time, latest.is_final), (at(last), true));
    }
    // Over night the market is closed; the next day goes on.
    let (key, at) = (INDEX, world.now.utc);
    world.tell(OwnerEvent::Suspended { key, at });
    world.run(Duration::from_secs(17 * 3_600 + 20 * 60), 10 * SECOND);
    for spec in &specs {
        assert_eq!(
            world.computing.state(&spec.key),
            Some(ComputeState::OffWire)
        );
        assert!(world.latest(spec).unwrap().warm);
    }
    world.tell(OwnerEvent::Resumed { key: INDEX });
    world.run(3_600 * SECOND, SECOND / 2);
    world.check_settled();
    assert!(
        world.seen.warm_finals >= 3 * (76 + 26 + 7 + 2),
        "{:?}",
        world.seen
    );
}

#[test]
fn a_closed_market_has_its_last_values() {
    let mut world = world("08:00:00", SOUND);
    let (rsi, day) = (
        spec(INDEX, "15min", "RSI_14", false),
        spec(equity(1), "1d", "SMA_20", false),
    );
    world.want(rsi.clone());
    world.want(day.clone());
    until_warm(&mut world, &rsi.key, 10 * SECOND);
    until_warm(&mut world, &day.key, 10 * SECOND);
    assert_eq!(
        world.latest(&rsi).unwrap().bar_time,
        at("2026-02-06T15:15:00")
    );
    assert_eq!(
        world.latest(&day).unwrap().bar_time,
        at("2026-02-06T09:15:00")
    );
    world.run(6_000 * SECOND, SECOND);
    world.check_settled();
    assert_eq!(
        world.latest(&rsi).unwrap().bar_time,
        at("2026-02-09T09:15:00")
    );
}

#[test]
fn a_refused_claim_is_made_again_and_the_state_says_so() {
    let faults = Faults {
        claims: 100,
        ..SOUND
    };
    let mut world = world("10:03:27", faults);
    let sma = spec(INDEX, "5min", "SMA_5", false);
    world.want(sma.clone());
    world.run(60 * SECOND, STEP);
    assert_eq!(world.computing.state(&sma.key), Some(ComputeState::OffWire));
    let refused = world.seen.refused_claims;
    assert!((4..=6).contains(&refused), "{refused}");
    // Candles serve meanwhile.
    assert!(world.latest(&sma).unwrap().warm);
    world.run(600 * SECOND, SECOND);
    let latest = world.latest(&sma).unwrap();
    assert!(
        latest.warm || latest.bar_time == at("2026-02-09T10:10:00"),
        "{latest:?}"
    );
    world.faults.claims = 0;
    world.run(180 * SECOND, STEP);
    assert_eq!(world.computing.state(&sma.key), Some(ComputeState::Warm));
    world.check_settled();
    world.evict(INDEX);
    world.run(2 * SECOND, STEP);
    assert_eq!(world.computing.state(&sma.key), Some(ComputeState::OffWire));
    world.run(180 * SECOND, STEP);
    world.check_settled();
}

fn registry(rows: &[(u32, &str)]) -> std::sync::Arc<Registry> {
    let mut text = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
        SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
        SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,\
        SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME\n"
        .to_owned();
    for (id, symbol) in rows {
        text +=
            &format!("NSE,E,{id},EQUITY,0,{symbol},1.0,{symbol},,,,10.0000,NA,ES,EQ,{symbol}\n");
    }
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    std::sync::Arc::new(Registry::from_reader(text.as_bytes(), &options).unwrap())
}

#[test]
fn another_master_moves_what_is_computed_and_ends_what_is_not_listed() {
    let mut world = world("10:03:27", SOUND);
    let (one, two): (InstrumentKey, InstrumentKey) = (equity(1), equity(2));
    let other = world.truth[&one].clone();
    world.truth.insert(two, other);
    let stays = spec(one, "5min", "SMA_5", true);
    let ends = spec(two, "5min", "SMA_5", true);
    world.want(stays.clone());
    world.want(ends.clone());
    world.run(100 * SECOND, STEP);
    world.check_settled();
    // The first one has another id now, the second is gone.
    let three = equity(3);
    let moved = world.truth[&one].clone();
    world.truth.insert(three, moved);
    world.forget_watches();
    world.tell(OwnerEvent::MasterChanged {
        number: 1,
        before: registry(&[(1, "ONE"), (2, "TWO")]),
        registry: registry(&[(3, "ONE")]),
    });
    world.move_held(&[(one, three)]);
    world.run(STEP, STEP);
    assert_eq!(world.gone, core::slice::from_ref(&ends.key));
    assert_eq!(world.computing.state(&ends.key), Some(ComputeState::Gone));
    world.unwant(&ends.key);
    // One who comes with the old number finds it too, and so does one with a number that
    // the engine hears of later.
    let late = spec(one, "15min", "SMA_5", false);
    world.want(late.clone());
    let mut early = spec(three, "7min", "SMA_5", false);
    early.master = 1;
    world.want(early.clone());
    world.wanted.get_mut(&late.key).unwrap().instrument = three;
    world.run(200 * SECOND, STEP);
    world.check_settled();
    for key in [&stays.key, &late.key, &early.key] {
        assert_eq!(world.computing.state(key), Some(ComputeState::Warm));
    }
    assert_eq!(world.watched(), 1);
}

#[test]
fn two_masters_later_a_key_is_still_the_same() {
    let mut world = world("10:03:27", SOUND);
    let first = spec(equity(1), "5min", "SMA_5", true);
    world.want(first.clone());
    world.run(100 * SECOND, STEP);
    for (number, old, new) in [(1, 1, 3), (2, 3, 5)] {
        let moved = world.truth[&equity(old)].clone();
        world.truth.insert(equity(new), moved);
        world.forget_watches();
        world.tell(OwnerEvent::MasterChanged {
            number,
            before: registry(&[(old, "ONE")]),
            registry: registry(&[(new, "ONE")]),
        });
        world.move_held(&[(equity(old), equity(new))]);
        world.wanted.get_mut(&first.key).unwrap().instrument = equity(new);
        world.run(100 * SECOND, STEP);
    }
    // Nobody streams it any more, which is said by the number of the first hold.
    for streamed in [false, true, false] {
        let mut toggled = first.clone();
        toggled.streamed = streamed;
        world.computing.want(toggled);
        world.run(10 * SECOND, STEP);
    }
    world.run(100 * SECOND, STEP);
    assert_eq!(world.gone, []);
    assert_eq!(world.watched(), 1);
    world.check_settled();
    world.unwant(&first.key);
    world.run(2 * SECOND, STEP);
    assert_eq!((world.held.len(), world.watched()), (0, 0));
    world.run(400 * SECOND, SECOND);
    assert_eq!(world.engine.remembered(), 0);
}

#[test]
fn an_expired_contract_ends() {
    let mut world = world("10:03:27", SOUND);
    let sma = spec(equity(1), "5min", "SMA_5", true);
    world.want(sma.clone());
    world.run(30 * SECOND, STEP);
    let (key, now) = (equity(1), world.now.utc);
    world.tell(OwnerEvent::Gone { key, at: now });
    world.step(STEP);
    assert_eq!(world.gone, core::slice::from_ref(&sma.key));
    assert_eq!(world.watched(), 0);
    // Its last value can still be read.
    assert!(world.latest(&sma).is_some());
    world.unwant(&sma.key);
    world.run(400 * SECOND, SECOND);
    assert_eq!(world.engine.remembered(), 0);
}

#[test]
fn values_are_written_as_the_contract_says() {
    let key = LeaseKey::new("BSE:M&M", "5min", "MACD_12_26_9");
    let id: strikewire_indicators::IndicatorId = "MACD_12_26_9".parse().unwrap();
    let mut study = id.build();
    for price in 0..40 {
        study.update(&strikewire_indicators::Ohlcv::at(f64::from(price)));
    }
    let mut latest = Latest {
        key,
        value: study.value(),
        outputs: id.outputs(),
        bar_time: at("2026-02-09T10:05:00"),
        is_final: true,
        warm: false,
        mock: true,
        at: Utc::default(),
    };
    let json: serde_json::Value = serde_json::from_str(&latest.to_json()).unwrap();
    let numbers = latest.value.unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "symbol": "BSE:M&M", "timeframe": "5min", "indicator_id": "MACD_12_26_9",
            "outputs": {
                "macd": numbers.as_slice()[0],
                "signal": numbers.as_slice()[1],
                "histogram": numbers.as_slice()[2],
            },
            "bar_time": "2026-02-09T10:05:00.000+05:30",
            "final": true, "warm": false, "mock": true,
        })
    );
    latest.value = None;
    let message: serde_json::Value = serde_json::from_str(&latest.to_message()).unwrap();
    assert_eq!(message["type"], "indicator");
    assert_eq!(message["outputs"]["signal"], serde_json::Value::Null);
    latest.outputs = &["value"];
    let text = latest.to_json();
    assert!(text.contains("\"value\":null"), "{text}");
}
