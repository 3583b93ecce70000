//! Ticks and chains as one would write them first: structs with `serde`, prices as `f64`.
//! Times are texts already, which spares the baseline their formatting.

use std::collections::BTreeMap;

use serde::Serialize;
use strikewire_chain::ChainView;
use strikewire_quotes::Quote;
use strikewire_types::{ExchangeTime, Price, Utc};

/// A tick of fourteen fields, its token among them, and for full packets the book.
#[derive(Debug, Clone, Serialize)]
pub struct Tick {
    /// Left out where a tick is the value of its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    ltp: Option<f64>,
    ltt: Option<String>,
    recv: String,
    ltq: Option<u32>,
    atp: Option<f64>,
    volume: Option<u32>,
    oi: Option<u32>,
    open: Option<f64>,
    high: Option<f64>,
    low: Option<f64>,
    prev_close: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bid_qty: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ask_qty: Option<u32>,
    total_buy_qty: Option<u32>,
    total_sell_qty: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<Vec<Level>>,
}

#[derive(Debug, Clone, Serialize)]
struct Level {
    bid: Option<f64>,
    bid_qty: u32,
    bid_orders: u16,
    ask: Option<f64>,
    ask_qty: u32,
    ask_orders: u16,
}

fn rupees(price: Option<Price>) -> Option<f64> {
    price.map(Price::as_f64)
}

impl Tick {
    /// The same as a quote says.
    #[must_use]
    pub fn new(token: Option<&str>, quote: &Quote) -> Self {
        Self {
            token: token.map(str::to_owned),
            ltp: rupees(quote.ltp),
            ltt: quote.ltt.map(|time| time.to_string()),
            recv: quote.recv.to_string(),
            ltq: quote.ltq,
            atp: rupees(quote.atp),
            volume: quote.volume,
            oi: quote.oi,
            open: rupees(quote.open),
            high: rupees(quote.high),
            low: rupees(quote.low),
            prev_close: rupees(quote.prev_close),
            bid: rupees(quote.bid()),
            ask: rupees(quote.ask()),
            bid_qty: quote.bid_qty(),
            ask_qty: quote.ask_qty(),
            total_buy_qty: quote.total_buy_qty,
            total_sell_qty: quote.total_sell_qty,
            depth: quote.depth.map(|levels| {
                levels
                    .iter()
                    .map(|level| Level {
                        bid: rupees(level.bid),
                        bid_qty: level.bid_qty,
                        bid_orders: level.bid_orders,
                        ask: rupees(level.ask),
                        ask_qty: level.ask_qty,
                        ask_orders: level.ask_orders,
                    })
                    .collect()
            }),
        }
    }
}

/// The same tick without a book, with the types of this workspace, which write themselves:
/// prices by way of `f64`, times with the calendar's own formatting.
#[derive(Debug, Clone, Serialize)]
pub struct TypedTick<'a> {
    token: &'a str,
    ltp: Option<Price>,
    ltt: Option<ExchangeTime>,
    recv: Utc,
    ltq: Option<u32>,
    atp: Option<Price>,
    volume: Option<u32>,
    oi: Option<u32>,
    open: Option<Price>,
    high: Option<Price>,
    low: Option<Price>,
    prev_close: Option<Price>,
    total_buy_qty: Option<u32>,
    total_sell_qty: Option<u32>,
}

impl<'a> TypedTick<'a> {
    /// The same as a quote says.
    #[must_use]
    pub const fn new(token: &'a str, quote: &Quote) -> Self {
        Self {
            token,
            ltp: quote.ltp,
            ltt: quote.ltt,
            recv: quote.recv,
            ltq: quote.ltq,
            atp: quote.atp,
            volume: quote.volume,
            oi: quote.oi,
            open: quote.open,
            high: quote.high,
            low: quote.low,
            prev_close: quote.prev_close,
            total_buy_qty: quote.total_buy_qty,
            total_sell_qty: quote.total_sell_qty,
        }
    }
}

/// A snapshot of a chain.
#[derive(Debug, Serialize)]
pub struct Snapshot<'a> {
    /// `snapshot`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `chain`.
    pub channel: &'static str,
    /// The subscription.
    pub sub: u64,
    /// Of the sequence.
    pub epoch: String,
    /// The number in the sequence.
    pub seq: u64,
    /// The chain.
    pub chain: &'a ChainView,
    /// The quotes by token.
    pub quotes: BTreeMap<&'a str, Tick>,
}
