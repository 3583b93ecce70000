use proptest::prelude::*;
use strikewire_chain::{Band, Error, Width, Window, at_the_money};
use strikewire_registry::{Ladder, LoadOptions, Registry};
use strikewire_types::{OptionType, Price};

use crate::fixture::{Legs, even, ladder, price, registry};

/// What the contract says of one ladder and price, by linear search in exact
/// integers.
#[derive(Debug, PartialEq, Eq)]
struct Naive {
    atm: usize,
    start: usize,
    end: usize,
    outside: bool,
    cut: bool,
    step: Option<i64>,
    lower: Option<i64>,
    upper: Option<i64>,
}

/// `strikes`: raw strike, has both legs.
fn naive(strikes: &[(i64, bool)], price: i64, width: usize) -> Naive {
    let some_are_complete = strikes.iter().any(|(_, both)| *both);
    let eligible = |i: usize| strikes[i].1 || !some_are_complete;
    let mut atm = None;
    for i in 0..strikes.len() {
        let is_better =
            |best: usize| (strikes[i].0 - price).abs() <= (strikes[best].0 - price).abs();
        if eligible(i) && atm.is_none_or(is_better) {
            atm = Some(i);
        }
    }
    let atm = atm.unwrap();
    let mut window = Vec::new();
    for i in 0..strikes.len() {
        if i + width / 2 >= atm && i <= atm + width / 2 {
            window.push(i);
        }
    }
    let (start, end) = (window[0], window[window.len() - 1] + 1);
    let gaps: Vec<i64> = (start + 1..end)
        .map(|i| strikes[i].0 - strikes[i - 1].0)
        .collect();
    let mut candidates = gaps.clone();
    candidates.sort_unstable();
    let mut step = None;
    let count = |gap: i64| gaps.iter().filter(|other| **other == gap).count();
    for gap in candidates {
        if step.is_none_or(|best| count(gap) > count(best)) {
            step = Some(gap);
        }
    }
    let next = (atm + 1..strikes.len()).find(|i| eligible(*i));
    let previous = (0..atm).rev().find(|i| eligible(*i));
    Naive {
        atm,
        start,
        end,
        outside: price < strikes[0].0 || price > strikes[strikes.len() - 1].0,
        cut: end - start < width,
        step,
        lower: previous.map(|i| price - (strikes[atm].0 - strikes[i].0)),
        upper: next.map(|i| price + (strikes[i].0 - strikes[atm].0)),
    }
}

fn seen(ladder: Ladder<'_>, price: Price, width: u32) -> Naive {
    let window = Window::new(ladder, price, Width::new(width).unwrap()).unwrap();
    let span = window.span();
    assert_eq!(Some(span.atm as usize), at_the_money(ladder.rungs(), price));
    assert_eq!(window.rungs(), span.rungs(ladder.registry()));
    assert_eq!(
        window.atm_strike(),
        ladder.rungs()[span.atm as usize].strike
    );
    let again = span.window(ladder.registry(), price);
    assert_eq!(
        (again.band(), again.cut(), again.outside()),
        (window.band(), window.cut(), window.outside())
    );
    let Band { lower, upper } = window.band();
    Naive {
        atm: span.atm as usize,
        start: span.start as usize,
        end: span.end as usize,
        outside: window.outside(),
        cut: window.cut(),
        step: window.strike_step().map(Price::raw),
        lower: lower.map(Price::raw),
        upper: upper.map(Price::raw),
    }
}

fn strikes_of(ladder: Ladder<'_>) -> Vec<(i64, bool)> {
    let both = |rung: &strikewire_registry::Rung| rung.call().is_some() && rung.put().is_some();
    ladder
        .rungs()
        .iter()
        .map(|rung| (rung.strike.raw(), both(rung)))
        .collect()
}

fn legs() -> impl Strategy<Value = Legs> {
    prop_oneof![4 => Just(Legs::Both), 1 => Just(Legs::Call), 1 => Just(Legs::Put)]
}

/// Ladders with steps of a few sizes, of which a part may have one leg only, all or
/// none.
fn strikes() -> impl Strategy<Value = Vec<(u32, Legs)>> {
    let gap = prop_oneof![Just(250_u32), Just(500), Just(500), Just(1000), 1_u32..3000];
    let rung = (gap, legs(), prop_oneof![Just(Legs::Call), Just(Legs::Put)]);
    (prop::collection::vec(rung, 1..40), 1_u32..20_000, 0..5).prop_map(|(rungs, first, mood)| {
        let mut strike = first;
        let mut strikes = Vec::new();
        for (gap, mixed, one) in rungs {
            let legs = match mood {
                0 => one,
                1 | 2 => Legs::Both,
                _ => mixed,
            };
            strikes.push((strike, legs));
            strike += gap;
        }
        strikes
    })
}

proptest! {
    #[test]
    fn a_window_is_the_naive_one(strikes in strikes(), at in 0.0_f64..1.2, odd in 0_u32..30, exact: bool) {
        let registry = registry(&strikes);
        let ladder = ladder(&registry);
        let raw: Vec<(i64, bool)> =
            strikes.iter().map(|(paise, legs)| (i64::from(*paise) * 100, *legs == Legs::Both)).collect();
        prop_assert_eq!(&strikes_of(ladder), &raw);
        let last = raw[raw.len() - 1].0;
        let mut price = ((last as f64 * at) as i64).max(1);
        if exact {
            // On a midpoint, or on a strike.
            let i = price as usize % raw.len();
            let next = raw[(i + 1).min(raw.len() - 1)].0;
            price = (raw[i].0 + next) / 2;
        }
        let width = 2 * odd + 1;
        prop_assert_eq!(seen(ladder, Price::from_raw(price), width), naive(&raw, price, width as usize));
    }

    #[test]
    fn a_band_is_left_at_its_bounds(strikes in strikes(), at in 0.0_f64..1.2, steps in prop::collection::vec(-1.0_f64..1.0, 1..20)) {
        let registry = registry(&strikes);
        let ladder = ladder(&registry);
        let raw = strikes_of(ladder);
        let price = Price::from_raw(((raw[raw.len() - 1].0 as f64 * at) as i64).max(1));
        let window = Window::new(ladder, price, Width::new(3).unwrap()).unwrap();
        let band = window.band();
        for step in steps {
            let moved = Price::from_raw((price.raw() as f64 * (1.0 + step)) as i64);
            let inside = band.lower.is_none_or(|lower| moved > lower) && band.upper.is_none_or(|upper| moved < upper);
            prop_assert_eq!(band.leaves(moved), !inside);
        }
        prop_assert!(!band.leaves(price));
        for bound in band.lower.into_iter().chain(band.upper) {
            prop_assert!(band.leaves(bound));
        }
    }

    #[test]
    fn bands_intersect_to_the_tightest(bands in prop::collection::vec((prop::option::of(1_i64..100), prop::option::of(100_i64..200)), 0..6), price in 0_i64..220) {
        let bands: Vec<Band> = bands
            .into_iter()
            .map(|(lower, upper)| Band { lower: lower.map(Price::from_raw), upper: upper.map(Price::from_raw) })
            .collect();
        let price = Price::from_raw(price);
        let all = Band::intersect(bands.clone());
        prop_assert_eq!(all.leaves(price), bands.iter().any(|band| band.leaves(price)));
    }

    #[test]
    fn any_price_is_answered(strikes in strikes(), raw: i64, odd in 0_u32..=500) {
        let registry = registry(&strikes);
        let result = Window::new(ladder(&registry), Price::from_raw(raw), Width::new(2 * odd + 1).unwrap());
        prop_assert_eq!(result.is_ok(), raw > 0);
        if let Ok(window) = result {
            prop_assert!(!window.rungs().is_empty());
            let _ = (window.band(), window.strike_step(), window.outside());
        }
    }
}

#[test]
fn on_an_even_ladder_it_is_rounding() {
    let registry = even((2600..=2700).step_by(5));
    let ladder = ladder(&registry);
    let atm = |text| {
        let window = Window::new(ladder, price(text), Width::new(25).unwrap()).unwrap();
        window.atm_strike().to_string()
    };
    for (ltp, expected) in [
        ("2641.5", "2640"),
        ("2640", "2640"),
        ("2642.4999", "2640"),
        ("2642.5", "2645"),
        ("2643", "2645"),
        ("2637.5", "2640"),
        ("1", "2600"),
        ("99999", "2700"),
    ] {
        assert_eq!(atm(ltp), expected, "{ltp}");
    }
}

#[test]
fn a_price_must_be_above_0() {
    let registry = even([100]);
    for bad in ["0", "-0.0001", "-100"] {
        let error = Window::new(ladder(&registry), price(bad), Width::new(1).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Price { .. }));
        assert_eq!(
            error.to_string(),
            format!("price {bad} of RELIANCE is not above 0")
        );
    }
}

#[test]
fn at_the_end_it_is_cut_not_shifted() {
    let registry = even((100..=1000).step_by(100));
    let window = |text, width| {
        Window::new(ladder(&registry), price(text), Width::new(width).unwrap()).unwrap()
    };
    let strikes = |text, width| {
        window(text, width)
            .rungs()
            .iter()
            .map(|rung| rung.strike.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(strikes("210", 5), ["100", "200", "300", "400"]);
    assert_eq!(strikes("90", 5), ["100", "200", "300"]);
    assert_eq!(strikes("500", 5), ["300", "400", "500", "600", "700"]);
    assert_eq!(strikes("1000.05", 3), ["900", "1000"]);
    let at = |text| (window(text, 5).cut(), window(text, 5).outside());
    assert_eq!(at("90"), (true, true));
    assert_eq!(at("100"), (true, false));
    assert_eq!(at("500"), (false, false));
    assert_eq!(at("1000"), (true, false));
    assert_eq!(at("1000.05"), (true, true));
}

#[test]
fn the_step_is_the_most_common_one_and_the_smaller_on_a_tie() {
    let step = |strikes: &[u32]| {
        let registry = even(strikes.iter().copied());
        let window =
            Window::new(ladder(&registry), price("300"), Width::new(1001).unwrap()).unwrap();
        window.strike_step().map(|step| step.to_string())
    };
    assert_eq!(step(&[300]), None);
    assert_eq!(step(&[300, 310]).as_deref(), Some("10"));
    assert_eq!(step(&[300, 310, 315, 325]).as_deref(), Some("10"));
    assert_eq!(step(&[300, 310, 315, 320, 330]).as_deref(), Some("5"));
    assert_eq!(step(&[300, 320, 325, 331, 351]).as_deref(), Some("20"));
}

#[test]
fn legs_say_how_far_from_the_money_they_are() {
    let registry = registry(&[
        (10_000, Legs::Both),
        (11_000, Legs::Call),
        (12_000, Legs::Both),
        (13_000, Legs::Put),
    ]);
    let window = Window::new(ladder(&registry), price("121"), Width::new(5).unwrap()).unwrap();
    let legs: Vec<_> = window
        .legs()
        .map(|(leg, option_type, distance)| {
            (registry.instrument(leg).token(), option_type, distance)
        })
        .collect();
    let expected = [
        ("RELIANCE_24FEB2026_100CE", OptionType::Call, 2),
        ("RELIANCE_24FEB2026_100PE", OptionType::Put, 2),
        ("RELIANCE_24FEB2026_110CE", OptionType::Call, 1),
        ("RELIANCE_24FEB2026_120CE", OptionType::Call, 0),
        ("RELIANCE_24FEB2026_120PE", OptionType::Put, 0),
        ("RELIANCE_24FEB2026_130PE", OptionType::Put, 1),
    ];
    assert_eq!(
        legs,
        expected.map(|(token, option_type, distance)| (token.to_owned(), option_type, distance))
    );
    let again: Vec<_> = window.span().legs(&registry).collect();
    assert_eq!(again, window.legs().collect::<Vec<_>>());
}

#[test]
fn every_real_ladder_agrees_with_the_model() {
    let Some(folder) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return;
    };
    let path = std::path::Path::new(&folder).join("api-scrip-master.compact.2026-02.csv.gz");
    let options = LoadOptions::new("2026-02-09".parse().unwrap());
    let registry = Registry::from_path(&path, &options).unwrap();
    for ladder in registry.ladders() {
        let strikes = strikes_of(ladder);
        let width = Width::default_for(ladder.kind()).get();
        let (first, last) = (strikes[0].0, strikes[strikes.len() - 1].0);
        let near = |i: usize| {
            let (strike, next) = (strikes[i].0, strikes[(i + 1).min(strikes.len() - 1)].0);
            [
                strike,
                strike + 1,
                (strike + next) / 2,
                (strike + next) / 2 - 1,
            ]
        };
        let places = [
            0,
            1,
            strikes.len() / 3,
            strikes.len() / 2,
            strikes.len() - 1,
        ]
        .map(|i| i.min(strikes.len() - 1));
        let prices = places
            .into_iter()
            .flat_map(near)
            .chain([1, first - 1, last + 1, 2 * last]);
        for price in prices.filter(|price| *price > 0) {
            let expected = naive(&strikes, price, usize::from(width));
            assert_eq!(
                seen(ladder, Price::from_raw(price), u32::from(width)),
                expected,
                "{ladder:?} at {price}"
            );
        }
    }
}
