//! Real answers, where they are to be had (`STRIKEWIRE_REAL_DATA`). The figures were
//! computed from the files by other means: decimal arithmetic in Python.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use strikewire_broker::{Candle, ChainLeg, ReferenceError};
use strikewire_dhan::rest::parse::{Answer, candles, expiries, option_chain, quotes};
use strikewire_types::{InstrumentKey, Price, Segment};

use crate::support::STEP;

/// The body in a file; none when there are no files.
fn body(name: &str) -> Option<Vec<u8>> {
    let Some(root) = std::env::var_os("STRIKEWIRE_REAL_DATA") else {
        eprintln!("skipped: STRIKEWIRE_REAL_DATA is not set");
        return None;
    };
    let path = PathBuf::from(root).join("rest").join(name);
    let mut body = Vec::new();
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    GzDecoder::new(file).read_to_end(&mut body).unwrap();
    Some(body)
}

/// In units of 1e-4 rupee.
fn sum(prices: impl Iterator<Item = Option<Price>>) -> i64 {
    prices.flatten().map(Price::raw).sum()
}

#[test]
fn an_option_chain() {
    let Some(body) = body("optionchain_nifty_exp2025-01-30_at_2025-01-28T0933Z.json.gz") else {
        return;
    };
    let chain = option_chain(Answer::ok(&body), Segment::IdxI).unwrap();
    assert_eq!(chain.underlying_ltp, Some(Price::from_raw(229_529_500)));
    assert_eq!(chain.strikes.len(), 249);
    let strikes: i64 = chain.strikes.iter().map(|row| row.strike.raw()).sum();
    assert_eq!(strikes, 5_926_200 * 10_000);
    assert!(chain.strikes.is_sorted_by_key(|row| row.strike));
    let calls: Vec<ChainLeg> = chain.strikes.iter().filter_map(|row| row.call).collect();
    let puts: Vec<ChainLeg> = chain.strikes.iter().filter_map(|row| row.put).collect();
    let figures = |legs: &[ChainLeg]| {
        let whole = |number: fn(&ChainLeg) -> Option<u32>| -> u64 {
            legs.iter().filter_map(number).map(u64::from).sum()
        };
        (
            (
                legs.len(),
                legs.iter().filter(|leg| leg.ltp.is_some()).count(),
                legs.iter()
                    .filter(|leg| leg.implied_volatility.is_some())
                    .count(),
            ),
            [
                sum(legs.iter().map(|leg| leg.ltp)),
                sum(legs.iter().map(|leg| leg.prev_close)),
                sum(legs.iter().map(|leg| leg.bid)),
                sum(legs.iter().map(|leg| leg.ask)),
            ],
            [
                whole(|leg| leg.oi),
                whole(|leg| leg.prev_oi),
                whole(|leg| leg.volume),
                whole(|leg| leg.prev_volume),
                whole(|leg| leg.bid_qty),
                whole(|leg| leg.ask_qty),
            ],
        )
    };
    assert_eq!(
        figures(&calls),
        (
            (249, 106, 170),
            [378_907_500, 450_323_000, 371_762_000, 382_155_500],
            [
                158_629_850,
                167_130_475,
                1_562_101_325,
                60_994_146,
                3_042_625,
                2_006_325
            ]
        )
    );
    assert_eq!(
        figures(&puts),
        (
            (249, 109, 138),
            [1_233_664_500, 1_313_807_500, 1_260_620_000, 1_277_428_500],
            [
                144_141_850,
                110_704_175,
                1_454_606_025,
                55_568_679,
                5_230_325,
                2_103_250
            ]
        )
    );
    let close = |legs: &[ChainLeg], greek: fn(&ChainLeg) -> Option<f64>, expected: f64| {
        let sum: f64 = legs.iter().filter_map(greek).sum();
        assert!((sum - expected).abs() < 1e-9, "{sum} {expected}");
    };
    close(&calls, |leg| leg.implied_volatility, 5_159.367_040_591_977);
    close(&calls, |leg| leg.delta, 26.480_72);
    close(&calls, |leg| leg.theta, -2_799.913_22);
    close(&puts, |leg| leg.implied_volatility, 2_857.415_175_964_943_5);
    close(&puts, |leg| leg.gamma, 0.020_58);
    close(&puts, |leg| leg.vega, 146.951_21);
}

#[test]
fn an_expiry_list() {
    let Some(body) = body("expirylist_nifty_at_2025-01-28T0931Z.json.gz") else {
        return;
    };
    let expiries = expiries(Answer::ok(&body)).unwrap();
    assert_eq!(expiries.len(), 18);
    assert_eq!(expiries[0].to_string(), "30JAN2025");
    assert_eq!(expiries[17].to_string(), "27DEC2029");
}

/// Number, sums of the prices, of the volume and of the times.
fn figures(candles: &[Candle]) -> (usize, [i64; 4], u64, i64) {
    (
        candles.len(),
        [
            sum(candles.iter().map(|candle| Some(candle.open))),
            sum(candles.iter().map(|candle| Some(candle.high))),
            sum(candles.iter().map(|candle| Some(candle.low))),
            sum(candles.iter().map(|candle| Some(candle.close))),
        ],
        candles.iter().map(|candle| candle.volume).sum(),
        candles.iter().map(|candle| candle.at.as_seconds()).sum(),
    )
}

#[test]
fn candles_of_minutes() {
    let Some(body) = body("intraday_nse_eq_1333_1min_from2024-09-11.json.gz") else {
        return;
    };
    let candles = candles(Answer::ok(&body), STEP).unwrap();
    assert_eq!(
        figures(&candles),
        (
            1_125,
            [
                18_620_120_000,
                18_625_960_000,
                18_613_335_500,
                18_619_919_500
            ],
            38_592_416,
            1_941_889_410_000
        )
    );
    assert_eq!(candles[0].at.to_string(), "2024-09-11T09:15:00+05:30");
    assert_eq!(candles[1_124].at.to_string(), "2024-09-13T15:29:00+05:30");
    assert!(candles.is_sorted_by_key(|candle| candle.at));
}

#[test]
fn candles_of_days() {
    let Some(body) = body("historical_daily_nse_eq_1333_from2022-01-08.json.gz") else {
        return;
    };
    let candles = candles(Answer::ok(&body), STEP).unwrap();
    assert_eq!(
        figures(&candles),
        (
            20,
            [303_565_500, 306_493_000, 299_614_000, 302_889_500],
            161_428_831,
            32_857_696_800
        )
    );
    assert_eq!(candles[0].at.to_string(), "2022-01-10T00:00:00+05:30");
    assert_eq!(candles[19].close.to_string(), "1468.15");
}

#[test]
fn a_quote_of_what_never_traded() {
    let Some(body) = body("marketfeed_quote_nse_fno_49081_untraded.json.gz") else {
        return;
    };
    let key = InstrumentKey::new(Segment::NseFno, 49_081);
    let found = quotes(Answer::ok(&body), &[(key, STEP)]).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].ltp, found[0].ltt, found[0].day.prev_close),
        (None, None, None)
    );
    assert_eq!(
        (found[0].volume, found[0].oi, found[0].oi_high),
        (Some(0), Some(0), None)
    );
    assert!(
        found[0]
            .depth
            .unwrap()
            .iter()
            .all(|level| level.bid.is_none() && level.ask.is_none())
    );
}

#[test]
fn errors() {
    let Some(body_806) = body("error_806_http200.json.gz") else {
        return;
    };
    let error = expiries(Answer::ok(&body_806)).unwrap_err();
    assert!(
        matches!(error, ReferenceError::NotEntitled { .. }),
        "{error}"
    );
    let body_904 = body("error_DH-904_http429.json.gz").unwrap();
    let answer = Answer {
        status: 429,
        ..Answer::ok(&body_904)
    };
    let error = expiries(answer).unwrap_err();
    let ReferenceError::Limited { code, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(code, "DH-904");
}
