//! Strikewire beside foreign code: what it makes of the feed, in a form that can be compared
//! with what others make of it.

#[cfg(feature = "numbers")]
pub mod feed;
#[cfg(feature = "numbers")]
pub mod plain;
pub mod studies;

use strikewire_broker::{DepthLevel, Quote, Update};
use strikewire_dhan::decode::{decode, decode_packed};
use strikewire_dhan::split::{Piece, split};
use strikewire_types::{InstrumentKey, Price, PriceStep};

/// What a packet says, whoever says it: its kind, its instrument, and numbers by name.
/// Prices are in 1e-4 rupee, times in Unix seconds; none is unknown.
pub type Said = (&'static str, u8, u32, Vec<(String, Option<i64>)>);

fn raw(price: Option<Price>) -> Option<i64> {
    price.map(Price::raw)
}

fn day(quote: &Quote) -> Vec<(&'static str, Option<i64>)> {
    vec![
        ("ltp", raw(quote.ticker.ltp)),
        ("ltt", quote.ticker.ltt.map(|time| time.as_seconds())),
        ("ltq", Some(quote.ltq.into())),
        ("atp", raw(quote.atp)),
        ("volume", Some(quote.volume.into())),
        ("total_sell_qty", Some(quote.total_sell_qty.into())),
        ("total_buy_qty", Some(quote.total_buy_qty.into())),
        ("open", raw(quote.day.open)),
        ("prev_close", raw(quote.day.prev_close)),
        ("high", raw(quote.day.high)),
        ("low", raw(quote.day.low)),
    ]
}

fn level(index: usize, level: &DepthLevel) -> [(String, Option<i64>); 6] {
    [
        ("bid", raw(level.bid)),
        ("bid_qty", Some(level.bid_qty.into())),
        ("bid_orders", Some(level.bid_orders.into())),
        ("ask", raw(level.ask)),
        ("ask_qty", Some(level.ask_qty.into())),
        ("ask_orders", Some(level.ask_orders.into())),
    ]
    .map(|(name, value)| (format!("{name} of level {index}"), value))
}

fn ours(key: InstrumentKey, update: &Update) -> Said {
    let (kind, fields) = match update {
        Update::Ticker(ticker) => (
            "ticker",
            vec![
                ("ltp", raw(ticker.ltp)),
                ("ltt", ticker.ltt.map(|time| time.as_seconds())),
            ],
        ),
        Update::PrevClose(close) => (
            "previous close",
            vec![("prev_close", raw(close.price)), ("oi", Some(close.oi.into()))],
        ),
        Update::Oi(oi) => ("open interest", vec![("oi", Some(oi.oi.into()))]),
        Update::Quote(quote) => ("quote", day(quote)),
        Update::Full(full) => {
            let mut fields = day(&full.quote);
            fields.extend([
                ("oi", Some(full.oi.oi.into())),
                ("oi_high", full.oi.high.map(i64::from)),
                ("oi_low", full.oi.low.map(i64::from)),
            ]);
            ("full", fields)
        }
        other => panic!("no packet of today says this: {other:?}"),
    };
    let mut fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if let Update::Full(full) = update {
        for (index, side) in full.depth.iter().enumerate() {
            fields.extend(level(index, side));
        }
    }
    (kind, key.segment.code(), key.id.0, fields)
}

/// What Strikewire makes of a frame, with prices of these steps. Packets that have two ways
/// through the decoder take both.
///
/// # Panics
///
/// On a frame that is not made of packets about instruments.
pub fn decoded(frame: &[u8], step: impl Fn(InstrumentKey) -> PriceStep) -> Vec<Said> {
    split(frame)
        .map(|piece| {
            let Piece::Packet { packet, .. } = piece else {
                panic!("not decoded: {piece:?}")
            };
            let key = packet.header().key().expect("the stand-in knows its segments");
            let step = step(key);
            let update = decode(&packet, step).expect("only packets of instruments");
            if let Some(packed) = decode_packed(&packet, step) {
                assert_eq!(packed.to_update(step), update);
            }
            ours(key, &update)
        })
        .collect()
}

