use strikewire_types::{ExchangeTime, Price, PriceStep};

use crate::{DayPrices, DepthLevel, Full, Oi, Quote, Ticker, Update};

/// A packet with prices in 32 bits: what an adapter may hand over where prices fit, because
/// it is stored faster than an [`Update`]. It says no more and no less.
///
/// A price is an integer of [`PriceStep::unit`], rounded as all prices are; 0 is none. A
/// time is in Unix seconds, 0 for none.
///
/// ```
/// use strikewire_broker::{Packed, PackedTicker, Update};
/// use strikewire_types::PriceStep;
///
/// let packed = Packed::Ticker(PackedTicker { ltp: 2_337_835, ltt: 1_781_065_197 });
/// let Update::Ticker(ticker) = packed.to_update(PriceStep::PAISA) else { panic!() };
/// assert_eq!(ticker.ltp, Some("23378.35".parse()?));
/// # Ok::<(), strikewire_types::ParseError>(())
/// ```
// On the stack, as an update.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    /// Last price and its time.
    Ticker(PackedTicker),
    /// The day's figures without depth.
    Quote(PackedQuote),
    /// The day's figures with depth and open interest.
    Full(PackedFull),
}

/// Last price and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedTicker {
    /// Last traded price.
    pub ltp: i32,
    /// When it traded, by the exchange.
    pub ltt: u32,
}

/// The day's figures without depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedQuote {
    /// Last price and its time.
    pub ticker: PackedTicker,
    /// Quantity of the last trade.
    pub ltq: u32,
    /// Average price of the day.
    pub atp: i32,
    /// Quantity traded today.
    pub volume: u32,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: u32,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: u32,
    /// First price of the day.
    pub open: i32,
    /// Highest price of the day.
    pub high: i32,
    /// Lowest price of the day.
    pub low: i32,
    /// Close of the previous day.
    pub prev_close: i32,
}

/// The day's figures with depth and open interest. Of a level the bid's number comes first,
/// then the ask's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedFull {
    /// As in a quote.
    pub quote: PackedQuote,
    /// Open interest, its highest and its lowest of the day; those two 0 for none.
    pub oi: [u32; 3],
    /// The prices of the levels, the best first.
    pub prices: [[i32; 2]; 5],
    /// Their quantities.
    pub quantities: [[u32; 2]; 5],
    /// Their numbers of orders.
    pub orders: [[u16; 2]; 5],
}

impl Packed {
    /// The same, unpacked. `step` is the one it was packed with.
    #[must_use]
    pub fn to_update(&self, step: PriceStep) -> Update {
        match self {
            Self::Ticker(packed) => Update::Ticker(ticker(packed, step)),
            Self::Quote(packed) => Update::Quote(quote(packed, step)),
            Self::Full(packed) => Update::Full(full(packed, step)),
        }
    }
}

fn price(packed: i32, step: PriceStep) -> Option<Price> {
    (packed != 0).then(|| Price::from_raw(i64::from(packed) * step.unit()))
}

fn ticker(packed: &PackedTicker, step: PriceStep) -> Ticker {
    Ticker {
        ltp: price(packed.ltp, step),
        ltt: (packed.ltt != 0).then(|| ExchangeTime::from_seconds(packed.ltt.into())),
    }
}

fn quote(packed: &PackedQuote, step: PriceStep) -> Quote {
    Quote {
        ticker: ticker(&packed.ticker, step),
        ltq: packed.ltq,
        atp: price(packed.atp, step),
        volume: packed.volume,
        total_sell_qty: packed.total_sell_qty,
        total_buy_qty: packed.total_buy_qty,
        day: DayPrices {
            open: price(packed.open, step),
            high: price(packed.high, step),
            low: price(packed.low, step),
            prev_close: price(packed.prev_close, step),
        },
    }
}

fn full(packed: &PackedFull, step: PriceStep) -> Full {
    let [oi, high, low] = packed.oi;
    Full {
        quote: quote(&packed.quote, step),
        oi: Oi {
            oi,
            high: Some(high).filter(|&oi| oi != 0),
            low: Some(low).filter(|&oi| oi != 0),
        },
        depth: core::array::from_fn(|index| {
            let [bid, ask] = packed.prices[index];
            let [bid_qty, ask_qty] = packed.quantities[index];
            let [bid_orders, ask_orders] = packed.orders[index];
            DepthLevel {
                bid: price(bid, step),
                bid_qty,
                bid_orders,
                ask: price(ask, step),
                ask_qty,
                ask_orders,
            }
        }),
    }
}
