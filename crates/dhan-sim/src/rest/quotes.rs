use serde_json::{Map, Value, json};
use strikewire_types::{InstrumentKey, Price, SCALE, Segment};

use super::numbers::price;
use super::request::{Answer, Failure};
use super::untraded::Untraded;
use crate::market::{Level, Market, Quote};

/// Instruments in one call.
const MOST: usize = 1_000;

/// How much is said of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Ltp,
    Ohlc,
    Quote,
}

/// What is asked for: segments that exist, with their ids.
pub(super) struct Question {
    ids: Vec<(Segment, Vec<u32>)>,
    /// Also those of segments that do not exist.
    pub(super) instruments: usize,
}

impl Question {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        let body: Value = serde_json::from_slice(body).map_err(|_| Failure::BadRequest)?;
        let segments = body.as_object().ok_or(Failure::BadRequest)?;
        let mut question = Self {
            ids: Vec::new(),
            instruments: 0,
        };
        for (name, list) in segments {
            let list = list.as_array().ok_or(Failure::BadRequest)?;
            question.instruments += list.len();
            // What is no segment is not answered, and no failure either.
            let Ok(segment) = name.parse::<Segment>() else {
                continue;
            };
            let id = |id: &Value| u32::try_from(id.as_u64()?).ok();
            let ids = list.iter().map(id).collect::<Option<Vec<u32>>>();
            question
                .ids
                .push((segment, ids.ok_or(Failure::BadRequest)?));
        }
        Ok(question)
    }

    pub(super) fn answer(
        &self,
        detail: Detail,
        market: &mut Market,
        untraded: &Untraded,
    ) -> Result<Answer, Failure> {
        if self.instruments > MOST {
            return Err(Failure::TooMany);
        }
        let mut data = Map::new();
        for (segment, ids) in &self.ids {
            let mut found = Map::new();
            for id in ids {
                let key = InstrumentKey::new(*segment, *id);
                // An id that is not listed is left out.
                if let Some(quote) = market.quote(key) {
                    let seen = match untraded.time_of(key) {
                        Some(time) => never(&quote, time),
                        None => Seen::of(&quote),
                    };
                    found.insert(id.to_string(), seen.show(detail));
                }
            }
            data.insert(segment.as_str().to_owned(), Value::Object(found));
        }
        Ok(Answer::success(&Value::Object(data)))
    }
}

/// A quote, and when it traded in the broker's words.
struct Seen {
    quote: Quote,
    time: String,
    limits: (Price, Price),
}

impl Seen {
    fn of(quote: &Quote) -> Self {
        Self {
            quote: *quote,
            time: super::wall_clock(quote.traded_at),
            limits: circuit(quote),
        }
    }

    fn show(&self, detail: Detail) -> Value {
        let quote = &self.quote;
        let ohlc = json!({
            "open": price(quote.open),
            "close": price(quote.prev_close),
            "high": price(quote.high),
            "low": price(quote.low),
        });
        match detail {
            Detail::Ltp => json!({ "last_price": price(quote.ltp) }),
            Detail::Ohlc => json!({ "last_price": price(quote.ltp), "ohlc": ohlc }),
            Detail::Quote => {
                let interest = quote.interest;
                let change = quote.ltp.raw() - quote.prev_close.raw();
                json!({
                    "average_price": price(quote.atp),
                    "buy_quantity": quote.total_buy_qty,
                    "depth": {
                        "buy": quote.depth.map(|level| row(level.bid_qty, level.bid_orders, level.bid)),
                        "sell": quote.depth.map(|level| row(level.ask_qty, level.ask_orders, level.ask)),
                    },
                    "last_price": price(quote.ltp),
                    "last_quantity": quote.ltq,
                    "last_trade_time": self.time,
                    "lower_circuit_limit": price(self.limits.0),
                    "net_change": price(Price::from_raw(change)),
                    "ohlc": ohlc,
                    "oi": interest.map_or(0, |interest| interest.now),
                    "oi_day_high": interest.map_or(0, |interest| interest.high),
                    "oi_day_low": interest.map_or(0, |interest| interest.low),
                    "sell_quantity": quote.total_sell_qty,
                    "upper_circuit_limit": price(self.limits.1),
                    "volume": quote.volume,
                })
            }
        }
    }
}

fn row(quantity: u32, orders: u16, at: Price) -> Value {
    json!({ "quantity": quantity, "orders": orders, "price": price(at) })
}

/// A share's are a fifth below and above the previous close, those of derivatives are
/// wide, and no price of the day lies beyond them; indices have none.
fn circuit(quote: &Quote) -> (Price, Price) {
    let (tick, close) = (i64::from(quote.tick.raw()), quote.prev_close.raw());
    let (low, high) = match (quote.key.segment, quote.interest) {
        (Segment::IdxI, _) => return (Price::ZERO, Price::ZERO),
        (_, None) => (close / 10 * 8, close / 10 * 12),
        (_, Some(_)) => (tick, 3 * close + 20 * SCALE),
    };
    let limit = |raw| {
        Price::from_raw(raw)
            .round_to(tick)
            .max(Price::from_raw(tick))
    };
    (limit(low).min(quote.low), limit(high).max(quote.high))
}

/// How an instrument looks that never traded: everything is 0 but its limits.
fn never(quote: &Quote, time: &str) -> Seen {
    let mut blank = *quote;
    for price in [
        &mut blank.ltp,
        &mut blank.atp,
        &mut blank.open,
        &mut blank.high,
        &mut blank.low,
        &mut blank.prev_close,
    ] {
        *price = Price::ZERO;
    }
    blank.ltq = 0;
    blank.volume = 0;
    blank.total_sell_qty = 0;
    blank.total_buy_qty = 0;
    blank.interest = None;
    blank.depth = [Level::default(); 5];
    Seen {
        quote: blank,
        time: time.to_owned(),
        limits: circuit(quote),
    }
}
