//! Whatever is sent, there is an answer.

use std::sync::LazyLock;

use parking_lot::{Mutex, MutexGuard};
use proptest::prelude::*;

use super::*;

const PATHS: [&str; 9] = [
    "/v2/marketfeed/ltp",
    "/v2/marketfeed/quote",
    "/v2/marketfeed/ohlc",
    "/v2/optionchain",
    "/v2/optionchain/expirylist",
    "/v2/charts/intraday",
    "/v2/charts/historical",
    "/api-scrip-master.csv",
    "/",
];

/// Values that are a request here and there.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("IDX_I".to_owned()),
        Just("NSE_FNO".to_owned()),
        Just("13".to_owned()),
        Just("2026-02-10".to_owned()),
        Just("2026-02-10 09:15:00".to_owned()),
        Just("-9999-01-01".to_owned()),
        Just("9999-12-31 23:59:59".to_owned()),
        Just("INDEX".to_owned()),
        Just("60".to_owned()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::from(13)),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop_oneof![
            Just("IDX_I"),
            Just("NSE_FNO"),
            Just("UnderlyingScrip"),
            Just("UnderlyingSeg"),
            Just("Expiry"),
            Just("securityId"),
            Just("exchangeSegment"),
            Just("instrument"),
            Just("interval"),
            Just("fromDate"),
            Just("toDate"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner, 0..11)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// One for all cases: making a market takes a while, and what was asked before does not
/// matter.
fn bench() -> MutexGuard<'static, Bench> {
    static BENCH: LazyLock<Mutex<Bench>> = LazyLock::new(|| {
        let mut bench = Bench::new();
        bench.state.limits.config.patience = 0;
        Mutex::new(bench)
    });
    BENCH.lock()
}

/// Also when it is refused it is an answer of the broker's.
fn check(answer: &Answer, path: &str) {
    assert!((200..600).contains(&answer.status), "{answer:?}");
    if path.ends_with(".csv") {
        return;
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    if answer.status != 200 {
        assert!(
            body["errorCode"].is_string() || body["status"] == "failed",
            "{body}"
        );
    }
}

proptest! {
    #[test]
    fn bytes_do_not_hurt(
        body in prop::collection::vec(any::<u8>(), 0..200),
        path in prop::sample::select(&PATHS),
        method in prop::sample::select(&["GET", "POST", "BREW"]),
    ) {
        let answer = bench().ask(&Request { method, ..post(path, &body) });
        check(&answer, path);
    }

    #[test]
    fn json_does_not_hurt(body in value(), path in prop::sample::select(&PATHS)) {
        let body = body.to_string();
        check(&bench().ask(&post(path, body.as_bytes())), path);
    }

    #[test]
    fn paths_and_headers_do_not_hurt(path in "/.{0,40}", header in ".{0,20}") {
        let request = Request {
            access_token: Some(&header),
            client_id: Some(&header),
            ..post(&path, b"{}")
        };
        let mut bench = bench();
        check(&bench.ask(&request), &path);
        // What does not exist does not fill the counters.
        let mut counted = bench.state.counters.calls.keys();
        prop_assert!(counted.all(|path| path == "other" || PATHS.contains(&path.as_str())));
    }

    #[test]
    fn charts_of_any_time_do_not_hurt(
        years in (-9_999_i16..=9_999, -9_999_i16..=9_999),
        days in (1_u16..=365, 1_u16..=365),
        interval in prop::sample::select(&["1", "5", "15", "25", "60"]),
    ) {
        let date = |year, day: u16| {
            let first = jiff::civil::Date::new(year, 1, 1).unwrap();
            first.saturating_add(jiff::Span::new().days(day)).to_string()
        };
        let (from, to) = (date(years.0, days.0), date(years.1, days.1));
        let body = minutes_of(key(NIFTY), "INDEX", interval, &from, &to).to_string();
        let mut bench = bench();
        for path in ["/v2/charts/intraday", "/v2/charts/historical"] {
            check(&bench.ask(&post(path, body.as_bytes())), path);
        }
    }
}

#[test]
fn nesting_and_length_do_not_hurt() {
    let mut bench = bench();
    let deep = "[".repeat(MOST_BYTES);
    let long = format!("{{\"NSE_EQ\":[{}1]}}", "1,".repeat(MOST_BYTES / 2 - 20));
    for body in [deep, long] {
        for path in PATHS {
            check(&bench.ask(&post(path, body.as_bytes())), path);
        }
    }
    assert!(bench.state.counters.largest_body >= MOST_BYTES - 40);
}
