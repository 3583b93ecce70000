//! What readers get of a row.

use strikewire_types::{ExchangeTime, InstrumentKey, Mode, Price, Utc};

/// Levels of depth in a row.
pub const DEPTH: usize = 5;

/// The latest of everything an instrument said, as it was at one moment.
///
/// A field that is `None` is unknown, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Whose quote it is.
    pub key: InstrumentKey,
    /// Last traded price.
    pub ltp: Option<Price>,
    /// When it traded, by the exchange.
    pub ltt: Option<ExchangeTime>,
    /// When the latest packet was received; 0 when there was none yet and all this is
    /// from a request.
    pub recv: Utc,
    /// The mode of the latest packet that has one: ticker, quote or full.
    pub mode: Option<Mode>,
    /// When the last price was received as the answer to a request; absent when it is
    /// from the feed.
    pub from_rest: Option<Utc>,
    /// Quantity of the last trade, in units of the exchange.
    pub ltq: Option<u32>,
    /// Average price of the day.
    pub atp: Option<Price>,
    /// Quantity traded today.
    pub volume: Option<u32>,
    /// Open interest.
    pub oi: Option<u32>,
    /// Highest open interest of the day.
    pub oi_high: Option<u32>,
    /// Lowest open interest of the day.
    pub oi_low: Option<u32>,
    /// First price of the day.
    pub open: Option<Price>,
    /// Highest price of the day.
    pub high: Option<Price>,
    /// Lowest price of the day.
    pub low: Option<Price>,
    /// Close of the previous day.
    pub prev_close: Option<Price>,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: Option<u32>,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: Option<u32>,
    /// Five levels of the book, the best first.
    pub depth: Option<[DepthLevel; DEPTH]>,
}

impl Quote {
    /// A quote of `key` of which only the time of reception is known.
    #[must_use]
    pub const fn new(key: InstrumentKey, recv: Utc) -> Self {
        Self {
            key,
            ltp: None,
            ltt: None,
            recv,
            mode: None,
            from_rest: None,
            ltq: None,
            atp: None,
            volume: None,
            oi: None,
            oi_high: None,
            oi_low: None,
            open: None,
            high: None,
            low: None,
            prev_close: None,
            total_buy_qty: None,
            total_sell_qty: None,
            depth: None,
        }
    }

    /// When anything was last received, by the feed or as the answer to a request.
    #[must_use]
    pub fn received(&self) -> Utc {
        self.from_rest
            .map_or(self.recv, |asked| asked.max(self.recv))
    }

    /// Best price bid; absent without depth or bids.
    #[must_use]
    pub fn bid(&self) -> Option<Price> {
        self.depth?[0].bid
    }

    /// Best price asked; absent without depth or offers.
    #[must_use]
    pub fn ask(&self) -> Option<Price> {
        self.depth?[0].ask
    }

    /// Quantity at the best bid; absent where that is.
    #[must_use]
    pub fn bid_qty(&self) -> Option<u32> {
        self.bid().and(self.depth).map(|depth| depth[0].bid_qty)
    }

    /// Quantity at the best ask; absent where that is.
    #[must_use]
    pub fn ask_qty(&self) -> Option<u32> {
        self.ask().and(self.depth).map(|depth| depth[0].ask_qty)
    }
}

/// One level of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DepthLevel {
    /// Price bid; absent when nobody bids here.
    pub bid: Option<Price>,
    /// Quantity bid.
    pub bid_qty: u32,
    /// Number of orders bidding.
    pub bid_orders: u16,
    /// Price asked; absent when nobody offers here.
    pub ask: Option<Price>,
    /// Quantity asked.
    pub ask_qty: u32,
    /// Number of orders asking.
    pub ask_orders: u16,
}

/// The last price of an instrument alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPrice {
    /// Last traded price.
    pub ltp: Price,
    /// When it traded, by the exchange.
    pub ltt: Option<ExchangeTime>,
    /// When the latest packet was received, which need not be the one with this price.
    pub recv: Utc,
}
