//! The studies beside what TA-Lib and talipp make of the same bars; `golden/generate.py` makes
//! the files. A column `MACD_12_26_9.signal` is that output of that id.

use std::fs;
use std::path::{Path, PathBuf};

use strikewire_indicators::{IndicatorId, Ohlcv, Study};

/// Difference that is allowed, of a number that is less than 1; of others as a part of them.
const TOLERANCE: f64 = 1e-9;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Names of the columns, and the rows.
fn table(file: &str) -> (Vec<String>, Vec<Vec<Option<f64>>>) {
    let text = fs::read_to_string(folder().join(file)).expect(file);
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.next().expect("a head").split(',');
    let names = names.map(str::to_owned).collect();
    let cell = |cell: &str| (!cell.is_empty()).then(|| cell.parse().expect("a number"));
    let rows = lines.map(|line| line.split(',').map(cell).collect());
    (names, rows.collect())
}

fn bars(series: &str) -> Vec<Ohlcv> {
    let (names, rows) = table(&format!("{series}.csv"));
    assert_eq!(names.join(","), "open,high,low,close,volume,oi,day");
    let bar = |row: &Vec<Option<f64>>| Ohlcv {
        open: row[0].expect("an open"),
        high: row[1].expect("a high"),
        low: row[2].expect("a low"),
        close: row[3].expect("a close"),
        volume: row[4].unwrap_or(f64::NAN),
        oi: row[5].unwrap_or(f64::NAN),
        day: row[6].expect("a day") as i32,
    };
    rows.iter().map(bar).collect()
}

/// The indicators of a file, and how many values were compared.
fn compare(series: &str, source: &str) -> (Vec<&'static str>, usize) {
    let bars = bars(series);
    let (names, rows) = table(&format!("{series}.{source}.csv"));
    assert_eq!(bars.len(), rows.len());
    let mut indicators = Vec::new();
    let mut compared = 0;
    let mut column = 0;
    while column < names.len() {
        let (text, _) = names[column].rsplit_once('.').expect("ID.OUTPUT");
        let id: IndicatorId = text.parse().expect(text);
        assert_eq!(id.to_string(), text);
        for (nth, output) in id.outputs().iter().enumerate() {
            assert_eq!(names[column + nth], format!("{text}.{output}"));
        }
        let columns = column..column + id.outputs().len();
        column = columns.end;
        indicators.push(id.name());
        let mut study = id.build();
        for (nth, (bar, row)) in bars.iter().zip(&rows).enumerate() {
            let peeked = study.peek(bar);
            study.update(bar);
            let value = study.value();
            assert_eq!(peeked, value, "{text} of {series}, bar {nth}");
            let expected: Option<Vec<f64>> = row[columns.clone()].iter().copied().collect();
            let (Some(value), Some(expected)) = (&value, &expected) else {
                assert!(
                    value.is_none() && expected.is_none(),
                    "{text} of {series}, bar {nth}: {value:?}, {source} says {expected:?}"
                );
                continue;
            };
            for (value, expected) in value.as_slice().iter().zip(expected) {
                let difference = (value - expected).abs();
                assert!(
                    difference <= TOLERANCE * expected.abs().max(1.0),
                    "{text} of {series}, bar {nth}: {value}, {source} says {expected}"
                );
                compared += 1;
            }
        }
    }
    (indicators, compared)
}

#[test]
fn as_ta_lib() {
    for series in ["index", "stock", "option"] {
        let (indicators, compared) = compare(series, "talib");
        for name in [
            "SMA", "EMA", "WMA", "DEMA", "TEMA", "RSI", "MACD", "BB", "ATR", "ADX", "STOCH", "ROC",
            "CCI", "WILLR", "OBV", "MFI", "PSAR",
        ] {
            assert!(indicators.contains(&name), "{name} of {series}");
        }
        assert_eq!(indicators.contains(&"STOCHRSI"), series != "option");
        assert!(compared > 8_000, "{series}: {compared}");
    }
}

#[test]
fn as_talipp() {
    for series in ["index", "stock"] {
        let (indicators, compared) = compare(series, "talipp");
        for name in ["MACD", "ATR", "ADX", "KELTNER", "DONCHIAN"] {
            assert!(indicators.contains(&name), "{name} of {series}");
        }
        assert!(compared > 4_000, "{series}: {compared}");
    }
}

/// What no library has in the convention of the crate.
#[test]
fn as_the_definition() {
    for series in ["index", "stock", "option"] {
        let (indicators, compared) = compare(series, "plain");
        for name in [
            "VWAP",
            "SUPERTREND",
            "ICHIMOKU",
            "PIVOT",
            "PIVOTFIB",
            "PIVOTCAM",
            "PIVOTWOODIE",
            "OICHANGE",
        ] {
            assert!(indicators.contains(&name), "{name} of {series}");
        }
        assert!(compared > 8_000, "{series}: {compared}");
    }
}

/// Both conventions of an indicator end in the same value.
#[test]
fn conventions_agree_once_the_seeds_are_forgotten() {
    for name in ["MACD_12_26_9", "ATR_14", "ADX_14"] {
        let id: IndicatorId = name.parse().expect(name);
        let other: IndicatorId = format!("{name}_TV").parse().expect(name);
        let (mut one, mut two) = (id.build(), other.build());
        let mut differed = false;
        let bars = bars("index");
        let bars = bars.iter().cycle().take(bars.len().max(id.warm_up() + 50));
        for bar in bars {
            one.update(bar);
            two.update(bar);
            differed |= one.value() != two.value();
        }
        assert!(differed, "{name}");
        let (one, two) = (one.value().expect(name), two.value().expect(name));
        for (one, two) in one.as_slice().iter().zip(two.as_slice()) {
            assert!(
                (one - two).abs() <= 1e-9 * one.abs().max(1.0),
                "{name}: {one} {two}"
            );
        }
    }
}
