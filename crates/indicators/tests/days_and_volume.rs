//! What follows the trading day, the volume and the open interest: by hand, and beside naive
//! models.

mod common;

use common::Market;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use strikewire_indicators::{IndicatorId, Ohlcv, Study};

fn build(id: &str) -> impl Study {
    id.parse::<IndicatorId>().expect(id).build()
}

fn bar(day: i32, [open, high, low, close]: [f64; 4], volume: f64) -> Ohlcv {
    Ohlcv {
        open,
        high,
        low,
        close,
        volume,
        oi: f64::NAN,
        day,
    }
}

fn flat(day: i32, price: f64, volume: f64) -> Ohlcv {
    bar(day, [price; 4], volume)
}

/// What the study says after each bar.
fn said(id: &str, bars: &[Ohlcv]) -> Vec<Option<f64>> {
    let mut study = build(id);
    let mut values = Vec::new();
    for bar in bars {
        study.update(bar);
        values.push(study.value().map(|value| value.first()));
    }
    values
}

#[test]
fn vwap_begins_anew_with_the_day() {
    let unknown = f64::NAN;
    let bars = [
        flat(7, 100.0, 0.0),
        // (102 + 99 + 99) / 3
        bar(7, [99.0, 102.0, 99.0, 99.0], 10.0),
        flat(7, 110.0, 30.0),
        flat(7, 90.0, unknown),
        flat(7, 90.0, 0.0),
        flat(8, 200.0, 0.0),
        flat(8, 200.0, 5.0),
        flat(8, 100.0, -1.0),
        flat(8, 100.0, 5.0),
        // Whatever else is another day.
        flat(3, 50.0, 1.0),
    ];
    assert_eq!(
        said("VWAP", &bars),
        [
            None,
            Some(100.0),
            Some(107.5),
            None,
            Some(107.5),
            None,
            Some(200.0),
            None,
            Some(150.0),
            Some(50.0),
        ]
    );
    // Day 0 is a day like others.
    assert_eq!(said("VWAP", &[flat(0, 50.0, 1.0)]), [Some(50.0)]);
}

#[test]
fn obv_goes_on_after_a_bar_of_unknown_volume() {
    let bars = [
        flat(7, 100.0, 10.0),
        flat(7, 101.0, 5.0),
        flat(7, 102.0, f64::NAN),
        flat(7, 101.0, 3.0),
        flat(8, 101.0, 100.0),
        flat(8, 102.0, f64::INFINITY),
        flat(8, 103.0, 1.0),
    ];
    assert_eq!(
        said("OBV", &bars),
        [
            Some(10.0),
            Some(15.0),
            None,
            Some(12.0),
            Some(12.0),
            None,
            Some(13.0)
        ]
    );
}

#[test]
fn mfi_waits_until_an_unknown_volume_has_left() {
    let volumes = [1.0, 1.0, 1.0, f64::NAN, 1.0, 1.0, 1.0];
    let bars: Vec<Ohlcv> = volumes
        .iter()
        .zip([100.0, 101.0, 100.0, 101.0, 100.0, 103.0, 103.0])
        .map(|(volume, price)| flat(7, price, *volume))
        .collect();
    // Up 101, down 100; then down 100, up 103; then up 103 alone.
    assert_eq!(
        said("MFI_2", &bars),
        [
            None,
            None,
            Some(100.0 * (101.0 / 201.0)),
            None,
            None,
            Some(100.0 * (103.0 / 203.0)),
            Some(100.0),
        ]
    );
}

/// Volumes from one to a thousand million: what a great one leaves behind is not seen in the
/// small ones after it.
#[test]
fn mfi_does_not_drift() {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let mut study = build("MFI_14");
    let mut bars: Vec<Ohlcv> = Vec::new();
    let mut worst = 0.0_f64;
    for (nth, mut bar) in Market::new(26_500.0, 1).take(200_000).enumerate() {
        bar.volume = 10_f64.powi(rng.random_range(0..10)).round();
        if nth % 1_000 > 900 {
            bar.volume = 1.0;
        }
        study.update(&bar);
        bars.push(bar);
        if bars.len() > 15 {
            bars.remove(0);
        }
        if bars.len() < 15 {
            continue;
        }
        let typical = |bar: &Ohlcv| (bar.high + bar.low + bar.close) / 3.0;
        let flow = |rises: bool| -> f64 {
            bars.windows(2)
                .filter(|pair| {
                    let (one, next) = (typical(&pair[0]), typical(&pair[1]));
                    if rises { next > one } else { next < one }
                })
                .map(|pair| typical(&pair[1]) * pair[1].volume)
                .sum()
        };
        let (up, down) = (flow(true), flow(false));
        let expected = if up + down < 1.0 {
            0.0
        } else {
            100.0 * up / (up + down)
        };
        let value = study.value().expect("warm").first();
        worst = worst.max((value - expected).abs());
    }
    assert!(worst < 1e-9, "{worst}");
}

#[test]
fn open_interest_is_compared_with_the_day_before() {
    let bar = |day: i32, oi: f64| Ohlcv {
        oi,
        day,
        ..Ohlcv::at(100.0)
    };
    let mut study = build("OICHANGE");
    for (bar, expected) in [
        (bar(7, 900.0), None),
        (bar(7, 1_000.0), None),
        (bar(8, 1_100.0), Some([100.0, 10.0])),
        (bar(8, f64::NAN), Some([100.0, 10.0])),
        (bar(8, 500.0), Some([-500.0, -50.0])),
        // Nobody said it yet on this day.
        (bar(9, f64::NAN), None),
        (bar(9, 500.0), Some([0.0, 0.0])),
        (bar(10, 0.0), Some([-500.0, -100.0])),
        // A contract that nobody held the day before.
        (bar(11, 50.0), None),
        (bar(12, f64::NAN), None),
        (bar(13, 50.0), None),
    ] {
        study.update(&bar);
        let value = study.value().map(|value| value.as_slice().to_vec());
        assert_eq!(value, expected.map(Vec::from), "{bar:?}");
    }
}

#[test]
fn pivot_points_of_the_day_before() {
    let bars = [
        bar(7, [100.0, 108.0, 99.0, 101.0], 1.0),
        bar(7, [101.0, 104.0, 96.0, 102.0], 1.0),
        bar(8, [105.0, 300.0, 5.0, 50.0], 1.0),
        bar(8, [51.0, 400.0, 1.0, 50.0], 1.0),
    ];
    // High 108, low 96, close 102; the day opens at 105.
    for (id, expected) in [
        ("PIVOT", [102.0, 108.0, 96.0, 114.0, 90.0]),
        ("PIVOTFIB", [102.0, 106.584, 97.416, 109.416, 94.584]),
        ("PIVOTCAM", [102.0, 105.3, 98.7, 108.6, 95.4]),
        ("PIVOTWOODIE", [103.5, 111.0, 99.0, 115.5, 91.5]),
    ] {
        let mut study = build(id);
        for (nth, bar) in bars.iter().enumerate() {
            study.update(bar);
            let value = study.value();
            assert_eq!(value.is_some(), nth >= 2, "{id}");
            let Some(value) = value else { continue };
            assert_eq!(value.as_slice().len(), expected.len());
            for (number, expected) in value.as_slice().iter().zip(expected) {
                assert!((number - expected).abs() < 1e-9, "{id}: {value:?}");
            }
        }
    }
}

#[test]
fn parameters_have_limits() {
    for id in [
        "CCI_1",
        "WILLR_1",
        "MFI_1",
        "OBV_1",
        "VWAP_1",
        "PIVOT_1",
        "OICHANGE_1",
        "SUPERTREND_0",
        "SUPERTREND_10_0",
        "SUPERTREND_10_51",
        "KELTNER_20_2_0",
        "DONCHIAN_1001",
        "PSAR_0.3_0.2",
        "PSAR_0_0.2",
        "PSAR_0.02_1.1",
        "ICHIMOKU_9_1_52",
        "ICHIMOKU_9_26_52_26",
    ] {
        assert!(id.parse::<IndicatorId>().is_err(), "{id}");
    }
    for (id, shown) in [
        ("cci", "CCI_20"),
        ("willr", "WILLR_14"),
        ("mfi", "MFI_14"),
        ("obv", "OBV"),
        ("supertrend_10", "SUPERTREND_10_3"),
        ("keltner_20_2", "KELTNER_20_2_10"),
        ("psar", "PSAR_0.02_0.2"),
        ("PSAR_0.2_0.2", "PSAR_0.2_0.2"),
        ("ichimoku", "ICHIMOKU_9_26_52"),
        ("donchian", "DONCHIAN_20"),
    ] {
        let id: IndicatorId = id.parse().expect(id);
        assert_eq!(id.to_string(), shown);
    }
}

/// Neither stop nor band goes back while the trend lasts. A band may be on the wrong side of the
/// close when the trend has just turned in a wild bar; then it may.
#[test]
fn stops_do_not_go_back() {
    for seed in 0..20 {
        let (mut supertrend, mut sar) = (build("SUPERTREND_10_3"), build("PSAR"));
        let mut last: Option<(f64, f64, bool)> = None;
        let mut last_stop: Option<(f64, bool)> = None;
        let (mut turns, mut wrong) = (0, 0);
        for bar in Market::new(500.0, seed).take(2_000) {
            supertrend.update(&bar);
            sar.update(&bar);
            if let Some(value) = supertrend.value() {
                let [line, direction] = [value.as_slice()[0], value.as_slice()[1]];
                let is_right = (bar.close - line) * direction >= 0.0;
                wrong += usize::from(!is_right);
                if let Some((before, was, was_right)) = last {
                    let lasts = was == direction && was_right;
                    assert!(!lasts || (line - before) * direction >= 0.0, "seed {seed}");
                    turns += usize::from(was != direction);
                }
                last = Some((line, direction, is_right));
            }
            if let Some(value) = sar.value() {
                let stop = value.first();
                assert!(stop <= bar.low || bar.high <= stop, "seed {seed}");
                let is_below = stop <= bar.low;
                let moves = bar.high > bar.low;
                if let Some((before, was)) = last_stop
                    && moves
                    && was == is_below
                {
                    assert!(
                        if is_below {
                            stop >= before
                        } else {
                            stop <= before
                        },
                        "seed {seed}"
                    );
                }
                last_stop = moves.then_some((stop, is_below));
            }
        }
        assert!(turns > 5 && wrong < 5, "seed {seed}: {turns} {wrong}");
    }
}
