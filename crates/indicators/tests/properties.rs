//! What holds for every indicator of the catalogue.

mod common;

use common::Market;
use proptest::prelude::*;
use strikewire_indicators::{Entry, IndicatorId, Ohlcv, Study, catalog};

/// An id of short periods, so that a few bars are enough.
fn id_of(entry: &Entry, picks: [f64; 4], trading_view: bool) -> Option<IndicatorId> {
    let mut text = entry.name.to_owned();
    for (parameter, pick) in entry.parameters.iter().zip(picks) {
        let most = parameter.most.min(parameter.least + 11.0);
        let number = parameter.least + pick * (most - parameter.least);
        let decimals = usize::from(parameter.decimals);
        text += &format!("_{number:.decimals$}");
    }
    if trading_view && entry.trading_view {
        text += "_TV";
    }
    // Some do not go together: a fast period above the slow one.
    text.parse().ok()
}

fn ids() -> impl Strategy<Value = IndicatorId> {
    let picks = prop::array::uniform4(0.0..=1.0);
    (prop::sample::select(catalog()), picks, any::<bool>())
        .prop_filter_map("does not go together", |(entry, picks, trading_view)| {
            id_of(&entry, picks, trading_view)
        })
}

fn price() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 26_000.0..27_000.0_f64,
        2 => -1e15..1e15_f64,
        1 => prop::sample::select(vec![
            0.0, -0.0, 1e15, -1e15, 2e15, f64::MAX, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY,
        ]),
    ]
}

/// Any bar at all: its low may be above its high.
fn any_bar() -> impl Strategy<Value = Ohlcv> {
    let volume = prop_oneof![0.0..1e9_f64, price()];
    (price(), price(), price(), price(), volume, price(), 0..4i32).prop_map(
        |(open, high, low, close, volume, oi, day)| Ohlcv {
            open,
            high,
            low,
            close,
            volume,
            oi,
            day,
        },
    )
}

/// Everything that a study knows, to the last bit.
fn state(study: &impl core::fmt::Debug) -> String {
    format!("{study:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_peek_is_what_an_update_would_say_and_changes_nothing(
        id in ids(),
        seed in any::<u64>(),
        strange in prop::collection::vec((0usize..90, any_bar()), 0..12),
    ) {
        let mut study = id.build();
        let mut bars: Vec<_> = Market::new(26_500.0, seed).take(90).collect();
        for (nth, bar) in &strange {
            bars[*nth] = *bar;
        }
        for (nth, bar) in bars.iter().enumerate() {
            let before = state(&study);
            for other in strange.iter().map(|(_, bar)| bar).chain([bar, &bars[89 - nth]]) {
                let mut twin = study.clone();
                twin.update(other);
                prop_assert_eq!(study.peek(other), twin.value(), "{} at bar {}", id, nth);
            }
            prop_assert_eq!(state(&study), before);
            study.update(bar);
            if let Some(value) = study.value() {
                prop_assert_eq!(value.as_slice().len(), id.outputs().len());
                prop_assert!(value.as_slice().iter().all(|number| number.is_finite()));
            }
        }
    }

    #[test]
    fn a_bar_that_is_not_sound_is_as_if_it_had_not_been(
        id in ids(),
        seed in any::<u64>(),
        bad in prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16]),
        which in 0..4,
        every in 1usize..5,
    ) {
        let (mut study, mut other) = (id.build(), id.build());
        for (nth, bar) in Market::new(26_500.0, seed).take(60).enumerate() {
            study.update(&bar);
            other.update(&bar);
            if nth % every == 0 {
                let mut bad_bar = Ohlcv { day: bar.day + 1, ..bar };
                *[&mut bad_bar.open, &mut bad_bar.high, &mut bad_bar.low, &mut bad_bar.close]
                    [which as usize] = bad;
                prop_assert_eq!(study.peek(&bad_bar), study.value());
                study.update(&bad_bar);
            }
            prop_assert_eq!(state(&study), state(&other), "{} at bar {}", id, nth);
        }
    }

    #[test]
    fn the_first_value_comes_when_it_is_said(id in ids(), seed in any::<u64>()) {
        if id.anchored() {
            return Ok(());
        }
        let mut study = id.build();
        let first = id.first_value();
        for (nth, bar) in Market::new(26_500.0, seed).take(first + 20).enumerate() {
            study.update(&bar);
            prop_assert_eq!(study.value().is_some(), nth + 1 >= first, "{} at bar {}", id, nth);
        }
    }
}

/// Without volume or open interest those that need it say nothing, and the others do not care.
#[test]
fn what_is_unknown_is_not_made_up() {
    for entry in catalog() {
        let id: IndicatorId = entry.name.parse().expect(entry.name);
        let (mut known, mut unknown) = (id.build(), id.build());
        for bar in Market::new(500.0, 7).take(400) {
            known.update(&bar);
            unknown.update(&Ohlcv {
                volume: f64::NAN,
                oi: f64::NAN,
                ..bar
            });
            if entry.needs_volume || entry.needs_oi {
                assert_eq!(unknown.value(), None, "{id}");
            } else {
                assert_eq!(unknown.value(), known.value(), "{id}");
            }
        }
        assert!(known.value().is_some(), "{id}");
    }
}

/// A market that does not move, without volume: no division by zero comes through.
#[test]
fn nothing_moves_and_nothing_is_traded() {
    for entry in catalog() {
        let id: IndicatorId = entry.name.parse().expect(entry.name);
        let mut study = id.build();
        let bar = |day| Ohlcv {
            volume: 0.0,
            oi: 0.0,
            day,
            ..Ohlcv::at(26_500.05)
        };
        for nth in 0..400 {
            study.update(&bar(nth / 75));
            assert_eq!(study.peek(&bar(nth / 75)), {
                let mut next = study.clone();
                next.update(&bar(nth / 75));
                next.value()
            });
        }
        if let Some(value) = study.value() {
            for number in value.as_slice() {
                // An average is the price, everything else nothing, a limit or a direction.
                let expected = [26_500.05, 0.0, 1.0, -1.0, 50.0, 100.0, -50.0, -100.0];
                assert!(
                    expected
                        .iter()
                        .any(|expected| (number - expected).abs() < 1e-8),
                    "{id} says {number}"
                );
            }
        }
    }
}

/// After its warm-up a study says what one says that began long before. Bars in which nothing
/// moves are not counted: the ratios of which RSI and ADX are made do not change in them.
#[test]
fn the_warm_up_is_long_enough() {
    for entry in catalog() {
        let id: IndicatorId = entry.name.parse().expect(entry.name);
        // Begin anew with a day; a total of all bars; those that agree from a turn of the trend on.
        if entry.anchored || ["OBV", "PSAR", "SUPERTREND"].contains(&entry.name) {
            continue;
        }
        let warm_up = id.warm_up();
        for seed in 0..8 {
            let market = Market::new(26_500.0, seed).filter(|bar| bar.high > bar.low);
            let bars: Vec<_> = market.take(warm_up + 3_000).collect();
            let (mut long, mut short) = (id.build(), id.build());
            for (nth, bar) in bars.iter().enumerate() {
                long.update(bar);
                if nth >= 3_000 {
                    short.update(bar);
                }
            }
            let (long, short) = (long.value().expect("warm"), short.value().expect("warm"));
            for (long, short) in long.as_slice().iter().zip(short.as_slice()) {
                assert!(
                    (long - short).abs() <= 1e-9 * long.abs().max(1.0),
                    "{id}, seed {seed}: {short} after {warm_up} bars, {long} after many"
                );
            }
        }
    }
}
