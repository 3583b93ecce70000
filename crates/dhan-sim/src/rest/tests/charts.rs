//! Candles.

use super::*;

pub(super) fn minutes_of(
    key: InstrumentKey,
    instrument: &str,
    interval: &str,
    from: &str,
    to: &str,
) -> Value {
    json!({
        "securityId": key.id.0.to_string(),
        "exchangeSegment": key.segment.as_str(),
        "instrument": instrument,
        "interval": interval,
        "oi": false,
        "fromDate": from,
        "toDate": to,
    })
}

fn column(answer: &Value, name: &str) -> Vec<f64> {
    let array = answer[name].as_array().unwrap();
    array.iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn charts_show_the_past_of_the_market() {
    let mut bench = Bench::new();
    let share = key("RELIANCE");
    let (from, to) = ("2026-02-06 09:15:00", "2026-02-06 15:29:00");
    let ask = minutes_of(share, "EQUITY", "1", from, to);
    let answer = bench.ok("/v2/charts/intraday", &ask);
    let times = column(&answer, "timestamp");
    assert_eq!(times.len(), 375);
    // 09:15 and 15:29 in India on 6 February 2026.
    assert_eq!((times[0], times[374]), (1_770_349_500.0, 1_770_371_940.0));
    assert_eq!(answer.as_object().unwrap().len(), 6);
    let utc = |seconds: i64| strikewire_types::Utc::from_nanos(seconds * 1_000_000_000);
    let candles = market()
        .minutes(share, utc(1_770_349_500), utc(1_770_371_941))
        .unwrap();
    let lows: Vec<f64> = candles.iter().map(|candle| candle.low.as_f64()).collect();
    assert_eq!(column(&answer, "low"), lows);

    // The same in quarters of an hour.
    let ask = minutes_of(share, "EQUITY", "15", from, to);
    let quarters = bench.ok("/v2/charts/intraday", &ask);
    let (highs, volumes) = (column(&answer, "high"), column(&answer, "volume"));
    let of_quarter = |values: &[f64], join: fn(f64, f64) -> f64| {
        let quarters = values
            .chunks(15)
            .map(|part| part.iter().copied().reduce(join).unwrap());
        quarters.collect::<Vec<f64>>()
    };
    assert_eq!(column(&quarters, "high"), of_quarter(&highs, f64::max));
    assert_eq!(
        column(&quarters, "volume"),
        of_quarter(&volumes, |a, b| a + b)
    );

    // A year of days, the last date excluded.
    let call = option(NIFTY, 0, true);
    let mut ask = minutes_of(call, "OPTIDX", "1", "2025-02-09", "2026-02-09");
    ask["oi"] = json!(true);
    let days = bench.ok("/v2/charts/historical", &ask);
    let times = column(&days, "timestamp");
    assert_eq!(times.len(), 365);
    // Midnight in India.
    assert!(times.iter().all(|time| (time + 19_800.0) % 86_400.0 == 0.0));
    assert_eq!(times[364], 1_770_489_000.0);
    assert!(column(&days, "open_interest").iter().all(|oi| *oi > 0.0));
    // Today, as far as it has come.
    let ask = minutes_of(share, "EQUITY", "60", "2026-02-09", "2026-02-09");
    let today = bench.ok("/v2/charts/intraday", &ask);
    let last = *column(&today, "close").last().unwrap();
    assert_eq!(last, market().quote(share).unwrap().ltp.as_f64());
}

#[test]
fn charts_that_cannot_be_are_refused() {
    let mut bench = Bench::new();
    let share = key("RELIANCE");
    let good = minutes_of(share, "EQUITY", "1", "2026-02-06", "2026-02-06");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, code) in [
        (with("interval", json!("7")), "DH-905"),
        (with("interval", json!([])), "DH-905"),
        (with("fromDate", json!("06/02/2026")), "DH-905"),
        (with("fromDate", json!("2025-11-01")), "DH-905"),
        (with("instrument", json!("INDEX")), "DH-905"),
        (with("exchangeSegment", json!("NSE")), "DH-905"),
        (with("securityId", json!("NIFTY")), "DH-905"),
        (with("securityId", json!("4000000000")), "DH-907"),
        (with("fromDate", json!("2026-02-07")), "DH-907"),
        (json!(null), "DH-905"),
    ] {
        let (status, answer) = bench.post("/v2/charts/intraday", &body);
        assert_eq!(
            (status, &answer["errorCode"]),
            (400, &json!(code)),
            "{body}"
        );
    }
    for number in [json!(share.id.0), json!(share.id.0.to_string())] {
        bench.ok("/v2/charts/intraday", &with("securityId", number));
    }
    bench.ok("/v2/charts/intraday", &with("interval", json!(5)));
}
