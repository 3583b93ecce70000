use strikewire_types::{InstrumentKey, Price, PriceStep};

/// What the market knows of an instrument at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quote {
    /// Whose.
    pub key: InstrumentKey,
    /// Last traded price.
    pub ltp: Price,
    /// When it traded, true Unix seconds.
    pub traded_at: i64,
    /// Quantity of the last trade, 0 for an index.
    pub ltq: u32,
    /// Average price of the day, 0 for an index.
    pub atp: Price,
    /// Quantity traded on this day, 0 for an index.
    pub volume: u32,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: u32,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: u32,
    /// First price of the day.
    pub open: Price,
    /// Highest price of the day.
    pub high: Price,
    /// Lowest price of the day.
    pub low: Price,
    /// Last price of the day before.
    pub prev_close: Price,
    /// Open interest; absent where there is none: indices and shares.
    pub interest: Option<Interest>,
    /// Five levels, the best first.
    pub depth: [Level; 5],
    /// The smallest step of its prices.
    pub tick: PriceStep,
}

/// Open interest, in units of the underlying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Now.
    pub now: u32,
    /// Highest of the day.
    pub high: u32,
    /// Lowest of the day.
    pub low: u32,
    /// At the end of the day before.
    pub prev: u32,
}

/// What an option's price depends on, by the market's own formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Greeks {
    /// Percent a year.
    pub implied_volatility: f64,
    /// Change of the price with the underlying's.
    pub delta: f64,
    /// Change of delta with the underlying's price.
    pub gamma: f64,
    /// Change of the price over a day.
    pub theta: f64,
    /// Change of the price with a percent of volatility.
    pub vega: f64,
}

/// What was traded in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// When it begins, true Unix seconds.
    pub at: i64,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Quantity traded in it, 0 for an index.
    pub volume: u64,
    /// Open interest at its end; absent where there is none.
    pub interest: Option<u32>,
}

impl Candle {
    /// Together with one that follows it.
    #[must_use]
    pub fn join(self, next: Self) -> Self {
        Self {
            at: self.at,
            open: self.open,
            high: self.high.max(next.high),
            low: self.low.min(next.low),
            close: next.close,
            volume: self.volume + next.volume,
            interest: next.interest,
        }
    }
}

/// One level of the book. A side with nothing on it is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    /// Price bid.
    pub bid: Price,
    /// Quantity bid for.
    pub bid_qty: u32,
    /// Orders bidding.
    pub bid_orders: u16,
    /// Price asked.
    pub ask: Price,
    /// Quantity asked for.
    pub ask_qty: u32,
    /// Orders asking.
    pub ask_orders: u16,
}
