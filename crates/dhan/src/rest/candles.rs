//! Candles: `POST /v2/charts/intraday` and `/v2/charts/historical`.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use strikewire_broker::{Candle, CandleRequest, InstrumentClass, Interval, ReferenceError};
use strikewire_types::{ExchangeTime, IST_OFFSET_SECONDS, PriceStep};

use super::failure::{self, Answer, NOT_SENT, glimpse};
use super::number::{List, Num, Object};

pub(super) const CALL: &str = "candles";

/// Minutes of the candles that there are, by the DhanHQ documentation.
const MINUTES: [u16; 5] = [1, 5, 15, 25, 60];

/// Days in one request for candles within the day, by the DhanHQ documentation.
const DAYS_PER_REQUEST: i64 = 90;

/// Requests that one call may become: more than fifteen years, of which five exist.
const MOST_REQUESTS: usize = 64;

/// One request, and where it goes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    #[serde(skip)]
    pub(super) path: &'static str,
    security_id: String,
    exchange_segment: &'static str,
    instrument: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    oi: bool,
    from_date: String,
    to_date: String,
}

/// The requests that make up a call, in order of time; none when its span is empty.
pub(super) fn requests(wanted: &CandleRequest) -> Result<Vec<Request>, ReferenceError> {
    let rejected = |detail: String| ReferenceError::Rejected {
        call: CALL,
        code: NOT_SENT.to_owned(),
        detail,
    };
    if wanted.from >= wanted.to {
        return Ok(Vec::new());
    }
    let civil = |time: ExchangeTime| {
        let time = wall_clock(time).filter(|time| (1980..=9000).contains(&time.year()));
        time.ok_or_else(|| rejected("a time outside of the years 1980 to 9000".to_owned()))
    };
    let from = civil(wanted.from)?;
    // The last second that is wanted.
    let last = civil(ExchangeTime::from_seconds(wanted.to.as_seconds() - 1))?;
    let (instrument, oi) = words(wanted.class);
    let request = |path, interval, from_date, to_date| Request {
        path,
        security_id: wanted.key.id.to_string(),
        exchange_segment: wanted.key.segment.as_str(),
        instrument,
        interval,
        oi,
        from_date,
        to_date,
    };
    let minutes = match wanted.interval {
        Interval::Day => {
            // Without the last date, by the documentation.
            let to = days_after(last.date(), 1);
            let (from, to) = (from.date().to_string(), to.to_string());
            return Ok(vec![request("v2/charts/historical", None, from, to)]);
        }
        Interval::Minutes(minutes) if MINUTES.contains(&minutes) => minutes,
        Interval::Minutes(other) => {
            return Err(rejected(format!(
                "candles of {other} minutes; expected 1, 5, 15, 25 or 60"
            )));
        }
    };
    let text = |time: DateTime| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut requests = Vec::new();
    let mut begin = from;
    while begin <= last {
        if requests.len() == MOST_REQUESTS {
            return Err(rejected(format!(
                "a span of more than {} days",
                MOST_REQUESTS as i64 * DAYS_PER_REQUEST
            )));
        }
        let next = days_after(begin.date(), DAYS_PER_REQUEST).at(0, 0, 0, 0);
        let end = last.min(next.saturating_sub(1.second()));
        requests.push(request(
            "v2/charts/intraday",
            Some(minutes.to_string()),
            text(begin),
            text(end),
        ));
        begin = next;
    }
    Ok(requests)
}

fn days_after(date: Date, days: i64) -> Date {
    date.saturating_add(days.days())
}

/// What the clocks of India show.
fn wall_clock(time: ExchangeTime) -> Option<DateTime> {
    let timestamp = Timestamp::from_second(time.as_seconds()).ok()?;
    let india = Offset::from_seconds(IST_OFFSET_SECONDS).ok()?;
    Some(india.to_datetime(timestamp))
}

/// The broker's word for a class (annexure of the documentation), and whether it has
/// open interest.
const fn words(class: InstrumentClass) -> (&'static str, bool) {
    match class {
        InstrumentClass::Index => ("INDEX", false),
        InstrumentClass::Equity => ("EQUITY", false),
        InstrumentClass::IndexFuture => ("FUTIDX", true),
        InstrumentClass::StockFuture => ("FUTSTK", true),
        InstrumentClass::CommodityFuture => ("FUTCOM", true),
        InstrumentClass::CurrencyFuture => ("FUTCUR", true),
        InstrumentClass::IndexOption => ("OPTIDX", true),
        InstrumentClass::StockOption => ("OPTSTK", true),
        InstrumentClass::CommodityOption => ("OPTFUT", true),
        InstrumentClass::CurrencyOption => ("OPTCUR", true),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    open: List<Num>,
    high: List<Num>,
    low: List<Num>,
    close: List<Num>,
    volume: List<Num>,
    timestamp: List<Num>,
    open_interest: List<Num>,
}

/// The candles in an answer, as they come. Those in which nothing traded (a price is
/// missing or 0) are left out.
///
/// # Errors
///
/// When the answer is a failure, or not as documented: the parallel arrays must be of
/// one length, and every time must be there.
pub fn candles(answer: Answer<'_>, step: PriceStep) -> Result<Vec<Candle>, ReferenceError> {
    let unexpected = |detail| ReferenceError::Unexpected { call: CALL, detail };
    let data = failure::data(CALL, &answer)?;
    let Object(raw) = serde_json::from_slice::<Object<Raw>>(data)
        .map_err(|error| unexpected(format!("{error}, in {}", glimpse(data))))?;
    let raw = raw.unwrap_or_default();
    let named = [
        ("open", raw.open.0),
        ("high", raw.high.0),
        ("low", raw.low.0),
        ("close", raw.close.0),
        ("volume", raw.volume.0),
        ("timestamp", raw.timestamp.0),
    ];
    if named.iter().all(|(_, list)| list.is_none()) {
        return Err(ReferenceError::NoData {
            call: CALL,
            detail: format!("no arrays in {}", glimpse(data)),
        });
    }
    let oi = raw.open_interest.0.filter(|list| !list.is_empty());
    let lengths: Vec<(&str, Option<usize>)> = named
        .iter()
        .map(|(name, list)| (*name, list.as_ref().map(Vec::len)))
        .chain(oi.iter().map(|list| ("open_interest", Some(list.len()))))
        .collect();
    if lengths.iter().any(|(_, length)| *length != lengths[0].1) {
        let told: Vec<String> = lengths
            .iter()
            .map(|(name, length)| match length {
                Some(length) => format!("{name} {length}"),
                None => format!("{name} missing"),
            })
            .collect();
        return Err(unexpected(format!(
            "arrays of different lengths: {}",
            told.join(", ")
        )));
    }
    let [open, high, low, close, volume, timestamp] =
        named.map(|(_, list)| list.unwrap_or_default());
    let mut candles = Vec::with_capacity(timestamp.len());
    for (at, time) in timestamp.iter().enumerate() {
        let Some(seconds) = time.seconds() else {
            return Err(unexpected(format!(
                "timestamp[{at}] is no number of seconds"
            )));
        };
        let prices = [&open, &high, &low, &close].map(|list| list[at].price(step));
        if let [Some(open), Some(high), Some(low), Some(close)] = prices {
            candles.push(Candle {
                at: ExchangeTime::from_seconds(seconds),
                open,
                high,
                low,
                close,
                volume: volume[at].total().unwrap_or(0),
                oi: oi.as_ref().and_then(|list| list[at].total()),
            });
        }
    }
    Ok(candles)
}

/// Those of a call, of the answers to all its requests: in order, each once, and none
/// that was not asked for.
pub(super) fn of_span(mut candles: Vec<Candle>, wanted: &CandleRequest) -> Vec<Candle> {
    candles.retain(|candle| {
        let begins_in_time = match wanted.interval {
            Interval::Minutes(_) => candle.at >= wanted.from,
            Interval::Day => date(candle.at) >= date(wanted.from),
        };
        begins_in_time && candle.at < wanted.to
    });
    if !words(wanted.class).1 {
        // Where there is none, some answers have zeros for it.
        for candle in &mut candles {
            candle.oi = None;
        }
    }
    candles.sort_by_key(|candle| candle.at);
    candles.dedup_by_key(|candle| candle.at);
    candles
}

fn date(time: ExchangeTime) -> Option<Date> {
    wall_clock(time).map(DateTime::date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use strikewire_types::{InstrumentKey, Segment};

    const STEP: PriceStep = PriceStep::from_raw(500);

    /// 2024-09-11T09:15:00+05:30, the first bar of a real answer.
    const OPEN: i64 = 1_726_026_300;

    fn span(interval: Interval, from: i64, to: i64) -> CandleRequest {
        CandleRequest {
            key: InstrumentKey::new(Segment::NseEq, 1333),
            class: InstrumentClass::Equity,
            step: STEP,
            interval,
            from: ExchangeTime::from_seconds(from),
            to: ExchangeTime::from_seconds(to),
        }
    }

    fn spans(wanted: &CandleRequest) -> Vec<(String, String)> {
        let requests = requests(wanted).unwrap();
        let dates = |request: Request| (request.from_date, request.to_date);
        requests.into_iter().map(dates).collect()
    }

    #[test]
    fn requests_are_the_documented_ones() {
        let mut wanted = span(Interval::Minutes(5), OPEN, OPEN + 3_600);
        wanted.class = InstrumentClass::IndexOption;
        assert_eq!(
            serde_json::to_string(&requests(&wanted).unwrap()).unwrap(),
            r#"[{"securityId":"1333","exchangeSegment":"NSE_EQ","instrument":"OPTIDX","interval":"5","oi":true,"fromDate":"2024-09-11 09:15:00","toDate":"2024-09-11 10:14:59"}]"#
        );
        let wanted = span(Interval::Day, OPEN, OPEN + 86_400);
        let daily = requests(&wanted).unwrap();
        assert_eq!(daily[0].path, "v2/charts/historical");
        assert_eq!(
            serde_json::to_string(&daily).unwrap(),
            r#"[{"securityId":"1333","exchangeSegment":"NSE_EQ","instrument":"EQUITY","oi":false,"fromDate":"2024-09-11","toDate":"2024-09-13"}]"#
        );
    }

    #[test]
    fn the_last_date_of_daily_ones_is_one_too_many() {
        let midnight = OPEN - 9 * 3_600 - 900;
        let day = |to| spans(&span(Interval::Day, OPEN, to))[0].1.clone();
        assert_eq!(day(midnight + 86_400), "2024-09-12");
        assert_eq!(day(midnight + 86_401), "2024-09-13");
        assert_eq!(requests(&span(Interval::Day, OPEN, OPEN)).unwrap(), []);
    }

    #[test]
    fn long_spans_are_split_at_midnights() {
        let days = 86_400;
        assert_eq!(
            spans(&span(Interval::Minutes(1), OPEN, OPEN + 200 * days)),
            [
                ("2024-09-11 09:15:00", "2024-12-09 23:59:59"),
                ("2024-12-10 00:00:00", "2025-03-09 23:59:59"),
                ("2025-03-10 00:00:00", "2025-03-30 09:14:59"),
            ]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
        );
        let midnight = OPEN - 9 * 3_600 - 900;
        let wanted = |to| span(Interval::Minutes(60), midnight, to);
        assert_eq!(spans(&wanted(midnight + 90 * days)).len(), 1);
        assert_eq!(spans(&wanted(midnight + 90 * days + 1)).len(), 2);
        assert_eq!(requests(&wanted(midnight)).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_asked_for_is_not() {
        for wanted in [
            span(Interval::Minutes(3), OPEN, OPEN + 60),
            span(Interval::Minutes(0), OPEN, OPEN + 60),
            span(Interval::Minutes(1), 0, OPEN),
            span(Interval::Minutes(1), OPEN, i64::MAX),
            span(Interval::Day, i64::MIN, OPEN),
            span(Interval::Minutes(1), OPEN, OPEN + 6_000 * 86_400),
        ] {
            let error = requests(&wanted).unwrap_err();
            assert!(matches!(error, ReferenceError::Rejected { .. }), "{error}");
        }
    }

    #[test]
    fn candles_are_read_by_position() {
        let body = br#"{"open":[1650.4,1648.55,0],"high":[1651,1649.0,0],"low":["1650",1648.4,0],
            "close":[1650.65,1648.6499,0],"volume":[1.0542765E7,2000.0,0.0],
            "timestamp":[1726026300.0,1.72602636E9,1726026420],"open_interest":[]}"#;
        let found = candles(Answer::ok(body), STEP).unwrap();
        let price = |text: &str| text.parse().unwrap();
        let candle = Candle {
            at: ExchangeTime::from_seconds(OPEN),
            open: price("1650.4"),
            high: price("1651"),
            low: price("1650"),
            close: price("1650.65"),
            volume: 10_542_765,
            oi: None,
        };
        let second = Candle {
            at: ExchangeTime::from_seconds(OPEN + 60),
            open: price("1648.55"),
            high: price("1649"),
            low: price("1648.4"),
            close: price("1648.65"),
            volume: 2_000,
            oi: None,
        };
        assert_eq!(found, [candle, second]);
        let body =
            br#"{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[null],"timestamp":[60],
            "open_interest":[11760060.0]}"#;
        let found = candles(Answer::ok(body), STEP).unwrap();
        assert_eq!((found[0].oi, found[0].volume), (Some(11_760_060), 0));
        let body = br#"{"open":[],"high":[],"low":[],"close":[],"volume":[],"timestamp":[]}"#;
        assert_eq!(candles(Answer::ok(body), STEP).unwrap(), []);
    }

    #[test]
    fn arrays_must_agree() {
        let told = |body: &[u8]| candles(Answer::ok(body), STEP).unwrap_err().to_string();
        assert_eq!(
            told(br#"{"open":[1,2],"high":[1,2],"low":[1],"close":[1,2],"volume":[1,2],"timestamp":[1,2]}"#),
            "candles: unexpected answer: arrays of different lengths: open 2, high 2, low 1, \
             close 2, volume 2, timestamp 2"
        );
        let error = told(br#"{"open":[1],"high":[1],"low":[1],"close":[1],"timestamp":[1]}"#);
        assert!(error.contains("volume missing"), "{error}");
        let error = told(
            br#"{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[1],"open_interest":[1,2]}"#,
        );
        assert!(error.contains("open_interest 2"), "{error}");
        let error = told(
            br#"{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[null]}"#,
        );
        assert!(error.contains("timestamp[0]"), "{error}");
        for body in [r#"{"data":{}}"#, r#"{"data":""}"#, "{}"] {
            let error = candles(Answer::ok(body.as_bytes()), STEP).unwrap_err();
            assert!(matches!(error, ReferenceError::NoData { .. }), "{error}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_kept() {
        let at = |seconds| Candle {
            at: ExchangeTime::from_seconds(seconds),
            open: "1".parse().unwrap(),
            high: "1".parse().unwrap(),
            low: "1".parse().unwrap(),
            close: "1".parse().unwrap(),
            volume: 0,
            oi: Some(0),
        };
        let kept = |interval, from, to, times: &[i64]| -> Vec<i64> {
            let candles = times.iter().map(|&time| at(time)).collect();
            let kept = of_span(candles, &span(interval, from, to));
            // A share has no open interest.
            assert!(kept.iter().all(|candle| candle.oi.is_none()));
            kept.iter().map(|candle| candle.at.as_seconds()).collect()
        };
        let times = [OPEN + 60, OPEN, OPEN - 60, OPEN + 120, OPEN];
        assert_eq!(
            kept(Interval::Minutes(1), OPEN, OPEN + 120, &times),
            [OPEN, OPEN + 60]
        );
        // Daily ones are stamped with the midnight in India that begins their day.
        let midnight = OPEN - 9 * 3_600 - 900;
        let days = [midnight - 86_400, midnight, midnight + 86_400];
        assert_eq!(
            kept(Interval::Day, OPEN, OPEN + 86_400, &days),
            [midnight, midnight + 86_400]
        );
        assert_eq!(
            kept(Interval::Day, OPEN, midnight + 86_400, &days),
            [midnight]
        );
        let mut future = span(Interval::Day, OPEN, OPEN + 1);
        future.class = InstrumentClass::StockFuture;
        assert_eq!(of_span(vec![at(midnight)], &future)[0].oi, Some(0));
    }
}
