//! Quotes of many instruments at once: `POST /v2/marketfeed/quote`.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::DateTime;
use serde::Deserialize;
use strikewire_broker::{DayPrices, DepthLevel, ReferenceError, Snapshot};
use strikewire_types::{ExchangeTime, IST_OFFSET_SECONDS, InstrumentKey, PriceStep, Segment};

use super::failure::{self, Answer, NOT_SENT, glimpse};
use super::number::{List, Num, Object, Text};

pub(super) const CALL: &str = "quotes";

/// Instruments in one request, by the DhanHQ documentation.
pub const QUOTES_PER_CALL: usize = 1_000;

/// The ids that are asked for, by segment.
pub(super) type Request = BTreeMap<&'static str, BTreeSet<u32>>;

pub(super) fn request(wanted: &[(InstrumentKey, PriceStep)]) -> Result<Request, ReferenceError> {
    if wanted.len() > QUOTES_PER_CALL {
        return Err(ReferenceError::Rejected {
            call: CALL,
            code: NOT_SENT.to_owned(),
            detail: format!(
                "{} instruments; expected at most {QUOTES_PER_CALL}",
                wanted.len()
            ),
        });
    }
    let mut ids = Request::new();
    for (key, _) in wanted {
        let ids = ids.entry(key.segment.as_str()).or_default();
        ids.insert(key.id.0);
    }
    Ok(ids)
}

type BySegment = HashMap<String, Object<HashMap<String, Object<Raw>>>>;

#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Raw {
    average_price: Num,
    buy_quantity: Num,
    depth: Object<RawDepth>,
    last_price: Num,
    last_quantity: Num,
    last_trade_time: Text,
    ohlc: Object<RawOhlc>,
    oi: Num,
    oi_day_high: Num,
    oi_day_low: Num,
    sell_quantity: Num,
    volume: Num,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawDepth {
    buy: List<Object<RawLevel>>,
    sell: List<Object<RawLevel>>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(default)]
struct RawLevel {
    quantity: Num,
    orders: Num,
    price: Num,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawOhlc {
    open: Num,
    close: Num,
    high: Num,
    low: Num,
}

/// The quotes in an answer, of the instruments in `wanted` and in its order. Those that
/// the broker left out, or said nothing readable of, are missing.
///
/// # Errors
///
/// When the answer is a failure, or not as documented.
pub fn quotes(
    answer: Answer<'_>,
    wanted: &[(InstrumentKey, PriceStep)],
) -> Result<Vec<Snapshot>, ReferenceError> {
    let unexpected = |detail: fmt::Arguments<'_>| ReferenceError::Unexpected {
        call: CALL,
        detail: detail.to_string(),
    };
    let data = failure::data(CALL, &answer)?;
    let by_segment: BySegment = serde_json::from_slice(data)
        .map_err(|error| unexpected(format_args!("{error}, in {}", glimpse(data))))?;
    // Unknown instruments are left out, with or without their segment. A body without
    // `data` must at least speak of segments.
    let mut segments = HashMap::new();
    for (name, quotes) in by_segment {
        if let (Ok(segment), Some(quotes)) = (name.parse::<Segment>(), quotes.0) {
            segments.insert(segment, quotes);
        }
    }
    if segments.is_empty() && data.len() == answer.body.len() {
        return Err(unexpected(format_args!(
            "neither data nor a segment in {}",
            glimpse(answer.body)
        )));
    }
    let take = |(key, step): &(InstrumentKey, PriceStep)| {
        let quote = segments
            .get_mut(&key.segment)?
            .remove(key.id.to_string().as_str())?;
        quote.0.map(|raw| raw.snapshot(*key, *step))
    };
    Ok(wanted.iter().filter_map(take).collect())
}

impl Raw {
    fn snapshot(self, key: InstrumentKey, step: PriceStep) -> Snapshot {
        let ohlc = self.ohlc.0.unwrap_or_default();
        Snapshot {
            key,
            ltp: self.last_price.price(step),
            ltt: self.last_trade_time.0.as_deref().and_then(trade_time),
            ltq: self.last_quantity.quantity(),
            atp: self.average_price.average(step),
            volume: self.volume.quantity(),
            total_buy_qty: self.buy_quantity.quantity(),
            total_sell_qty: self.sell_quantity.quantity(),
            day: DayPrices {
                open: ohlc.open.price(step),
                high: ohlc.high.price(step),
                low: ohlc.low.price(step),
                prev_close: ohlc.close.average(step),
            },
            oi: self.oi.quantity(),
            // Only NSE_FNO has them; 0 elsewhere.
            oi_high: self.oi_day_high.positive(),
            oi_low: self.oi_day_low.positive(),
            depth: self.depth.0.and_then(|depth| depth.levels(step)),
        }
    }
}

impl RawDepth {
    /// Five levels; what is missing of them is empty. None when there is no level.
    fn levels(self, step: PriceStep) -> Option<[DepthLevel; 5]> {
        let (buy, sell) = match (self.buy.0, self.sell.0) {
            (None, None) => return None,
            (buy, sell) => (buy.unwrap_or_default(), sell.unwrap_or_default()),
        };
        let at = |side: &[Object<RawLevel>], level: usize| {
            side.get(level)
                .and_then(|level| level.0)
                .unwrap_or_default()
        };
        // `as` saturates.
        let orders = |number: Num| number.quantity().map_or(0, |n| n.min(0xffff) as u16);
        Some(core::array::from_fn(|level| {
            let (bid, ask) = (at(&buy, level), at(&sell, level));
            DepthLevel {
                bid: bid.price.price(step),
                bid_qty: bid.quantity.quantity().unwrap_or(0),
                bid_orders: orders(bid.orders),
                ask: ask.price.price(step),
                ask_qty: ask.quantity.quantity().unwrap_or(0),
                ask_orders: orders(ask.orders),
            }
        }))
    }
}

/// `dd/MM/yyyy HH:mm:ss` in India. Contracts that never traded have nothing there, or
/// the beginning of 1980.
fn trade_time(text: &str) -> Option<ExchangeTime> {
    let (date, time) = text.trim().split_once(' ')?;
    let mut date = date.splitn(3, '/');
    let (day, month, year) = (date.next()?, date.next()?, date.next()?);
    let mut time = time.trim().splitn(3, ':');
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    let wall_clock = DateTime::new(
        year.parse().ok()?,
        month.parse().ok()?,
        day.parse().ok()?,
        hour.parse().ok()?,
        minute.parse().ok()?,
        second.parse().ok()?,
        0,
    )
    .ok()?;
    if wall_clock <= DateTime::constant(1980, 1, 1, 0, 0, 0, 0) {
        return None;
    }
    let since_1970 = wall_clock.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Some(ExchangeTime::from_seconds(
        since_1970.as_secs() - i64::from(IST_OFFSET_SECONDS),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use strikewire_types::Price;

    const RELIANCE: InstrumentKey = InstrumentKey::new(Segment::NseEq, 2885);
    const OPTION: InstrumentKey = InstrumentKey::new(Segment::NseFno, 49_081);
    const STEP: PriceStep = PriceStep::from_raw(500);

    fn price(text: &str) -> Option<Price> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn the_request_has_every_id_once() {
        let wanted = [(OPTION, STEP), (RELIANCE, STEP), (OPTION, STEP)];
        assert_eq!(
            serde_json::to_string(&request(&wanted).unwrap()).unwrap(),
            r#"{"NSE_EQ":[2885],"NSE_FNO":[49081]}"#
        );
        let many = [(OPTION, STEP); 1_001];
        assert_eq!(
            request(&many).unwrap_err().to_string(),
            "quotes: the request is refused (not sent: 1001 instruments; expected at most 1000)"
        );
    }

    #[test]
    fn a_quote_is_read_field_by_field() {
        let body = br#"{"data":{"NSE_FNO":{"49081":{"average_price":146.99,"buy_quantity":1825,
            "depth":{"buy":[{"quantity":1800,"orders":1,"price":77},{"quantity":"25","orders":2.0,"price":"50.05"}],
                     "sell":[{"quantity":65,"orders":70000,"price":77.1},null,{"quantity":0,"orders":0,"price":0}]},
            "last_price":368.1499938964844,"last_quantity":75,"last_trade_time":"28/01/2025 15:29:59",
            "lower_circuit_limit":48.25,"net_change":-1.5,"ohlc":{"open":360,"close":368.15,"high":371.2,"low":"355.5"},
            "oi":5000000000,"oi_day_high":120,"oi_day_low":"","sell_quantity":2.0,"upper_circuit_limit":510.85,
            "volume":1.65829495E8,"something_new":{"a":[1]}}}},"status":"success"}"#;
        let wanted = [(RELIANCE, STEP), (OPTION, STEP)];
        let found = quotes(Answer::ok(body), &wanted).unwrap();
        let mut depth = [DepthLevel::default(); 5];
        depth[0] = DepthLevel {
            bid: price("77"),
            bid_qty: 1800,
            bid_orders: 1,
            ask: price("77.1"),
            ask_qty: 65,
            ask_orders: u16::MAX,
        };
        depth[1].bid = price("50.05");
        depth[1].bid_qty = 25;
        depth[1].bid_orders = 2;
        let expected = Snapshot {
            key: OPTION,
            ltp: price("368.15"),
            // 2025-01-28T15:29:59+05:30
            ltt: Some(ExchangeTime::from_seconds(1_738_058_399)),
            ltq: Some(75),
            atp: price("146.99"),
            volume: Some(165_829_495),
            total_buy_qty: Some(1825),
            total_sell_qty: Some(2),
            day: DayPrices {
                open: price("360"),
                high: price("371.2"),
                low: price("355.5"),
                prev_close: price("368.15"),
            },
            oi: Some(u32::MAX),
            oi_high: Some(120),
            oi_low: None,
            depth: Some(depth),
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let body = br#"{"data":{"NSE_FNO":{"49081":{"last_price":0,"last_trade_time":"",
            "ohlc":{"open":0,"close":0,"high":0,"low":0},"volume":0,"oi":0,"oi_day_high":0}},
            "NSE_EQ":{"2885":{"last_trade_time":"01/01/1980 00:00:00","depth":{},"ohlc":null,"last_price":null},
            "1":null,"x":{}},"NOWHERE":{"2885":{"last_price":1}},"IDX_I":""},"status":"success"}"#;
        let wanted = [
            (RELIANCE, STEP),
            (OPTION, STEP),
            (InstrumentKey::new(Segment::NseEq, 1), STEP),
            (InstrumentKey::new(Segment::IdxI, 13), STEP),
        ];
        let found = quotes(Answer::ok(body), &wanted).unwrap();
        let untraded = Snapshot {
            volume: Some(0),
            oi: Some(0),
            ..Snapshot::new(OPTION)
        };
        assert_eq!(found, [Snapshot::new(RELIANCE), untraded]);
    }

    #[test]
    fn nothing_known_is_no_failure() {
        let wanted = [(RELIANCE, STEP)];
        for body in [
            r#"{"data":{"NSE_EQ":{}},"status":"success"}"#,
            r#"{"data":{},"status":"success"}"#,
            r#"{"data":{}}"#,
            r#"{"NSE_EQ":{}}"#,
        ] {
            let found = quotes(Answer::ok(body.as_bytes()), &wanted).unwrap();
            assert_eq!(found, [], "{body}");
        }
        for body in [
            "{}",
            r#"{"status":"success"}"#,
            r#"{"data":"","status":"success"}"#,
        ] {
            let error = quotes(Answer::ok(body.as_bytes()), &wanted).unwrap_err();
            assert!(
                matches!(error, ReferenceError::Unexpected { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn times_are_of_india() {
        // 2026-06-10T09:49:57+05:30, as T1 of docs/DHAN.md.
        let time = ExchangeTime::from_seconds(1_781_065_197);
        assert_eq!(trade_time("10/06/2026 09:49:57"), Some(time));
        assert_eq!(trade_time(" 10/6/2026  9:49:57 "), Some(time));
        for text in [
            "",
            "01/01/1980 00:00:00",
            "31/12/1979 10:00:00",
            "31/02/2025 10:00:00",
            "2025-01-28 10:00:00",
            "28/01/2025",
            "28/01/2025 24:00:00",
            "28/01/99999 10:00:00",
            "28/01/2025 10:00",
        ] {
            assert_eq!(trade_time(text), None, "{text}");
        }
    }
}
