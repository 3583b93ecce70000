use strikewire_types::{ExchangeTime, Price};

/// What a packet says, in the units of Strikewire, whatever the broker.
///
/// A field that is `None` is unknown, never 0.
// Lives on the stack between decoder and row, one at a time: boxing the large
// variant would cost an allocation per packet.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// Last price and its time.
    Ticker(Ticker),
    /// The day's figures without depth.
    Quote(Quote),
    /// The day's figures with depth and open interest.
    Full(Full),
    /// Open interest alone.
    Oi(Oi),
    /// The previous day's close.
    PrevClose(PrevClose),
}

/// Last price and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticker {
    /// Last traded price; absent when the instrument has not traded.
    pub ltp: Option<Price>,
    /// When it traded, by the exchange.
    pub ltt: Option<ExchangeTime>,
}

/// The day's open, high and low, and the previous day's close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayPrices {
    /// First price of the day.
    pub open: Option<Price>,
    /// Highest price of the day.
    pub high: Option<Price>,
    /// Lowest price of the day.
    pub low: Option<Price>,
    /// Close of the previous day.
    pub prev_close: Option<Price>,
}

/// The day's figures without depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Last price and its time.
    pub ticker: Ticker,
    /// Quantity of the last trade, in units of the exchange.
    pub ltq: u32,
    /// Average price of the day.
    pub atp: Option<Price>,
    /// Quantity traded today.
    pub volume: u32,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: u32,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: u32,
    /// The day's prices.
    pub day: DayPrices,
}

/// One level of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DepthLevel {
    /// Best price bid at this level; absent when the level is empty.
    pub bid: Option<Price>,
    /// Quantity bid.
    pub bid_qty: u32,
    /// Number of orders bidding.
    pub bid_orders: u16,
    /// Best price asked at this level; absent when the level is empty.
    pub ask: Option<Price>,
    /// Quantity asked.
    pub ask_qty: u32,
    /// Number of orders asking.
    pub ask_orders: u16,
}

/// The day's figures with depth and open interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// As in a quote.
    pub quote: Quote,
    /// Open interest and its range.
    pub oi: Oi,
    /// Five levels, the best first.
    pub depth: [DepthLevel; 5],
}

/// Open interest, in units of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Oi {
    /// Now.
    pub oi: u32,
    /// Highest of the day, where the packet has it.
    pub high: Option<u32>,
    /// Lowest of the day, where the packet has it.
    pub low: Option<u32>,
}

/// The previous day's close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrevClose {
    /// The price; absent when there was none.
    pub price: Option<Price>,
    /// Open interest at that close.
    pub oi: u32,
}

/// What a broker says of the state of a segment; not about an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketState {
    /// The broker's number for it; its meaning is not documented by Dhan.
    pub code: u32,
}
