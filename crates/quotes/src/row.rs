//! What a row holds and how it is laid out in words.

use strikewire_types::{ExchangeTime, InstrumentKey, Price, Utc};

use crate::cell::{ABSENT, Cell, Words};

/// Levels of depth in a row.
pub const DEPTH: usize = 5;

// The first six words share a cache line with the version and the tag: a ticker packet
// touches that line alone.
const LTP: usize = 0;
const RECV: usize = 1;
const LTT: usize = 2;
const LTQ: usize = 3;
const VOLUME: usize = 4;
const ATP: usize = 5;
const OPEN: usize = 6;
const HIGH: usize = 7;
const LOW: usize = 8;
const PREV_CLOSE: usize = 9;
const OI: usize = 10;
const OI_HIGH: usize = 11;
const OI_LOW: usize = 12;
const TOTAL_BUY: usize = 13;
const TOTAL_SELL: usize = 14;
const LEVELS: usize = 15;
// Of a level: bid, ask, quantities (bid above ask), orders (bid above ask). Absent orders:
// the level was never given.
const LEVEL: usize = 4;
const WORDS: usize = LEVELS + DEPTH * LEVEL;

pub(crate) type Row = Cell<WORDS>;

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
    /// When the latest packet was received.
    pub recv: Utc,
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

fn from_price(price: Option<Price>) -> u64 {
    price.map_or(ABSENT, |price| price.raw().cast_unsigned())
}

fn to_price(word: u64) -> Option<Price> {
    (word != ABSENT).then(|| Price::from_raw(word.cast_signed()))
}

fn from_count(count: Option<u32>) -> u64 {
    count.map_or(ABSENT, u64::from)
}

fn to_count(word: u64) -> Option<u32> {
    (word != ABSENT).then_some(word as u32)
}

fn to_time(word: u64) -> Option<ExchangeTime> {
    (word != ABSENT).then(|| ExchangeTime::from_seconds(word.cast_signed()))
}

/// The whole row if it is `tag`'s.
pub(crate) fn read(row: &Row, tag: u64, key: InstrumentKey) -> Option<Quote> {
    let words = row.read::<WORDS>(tag)?;
    let (levels, _) = words[LEVELS..].as_chunks::<LEVEL>();
    let known = levels.iter().any(|[.., orders]| *orders != ABSENT);
    Some(Quote {
        key,
        ltp: to_price(words[LTP]),
        ltt: to_time(words[LTT]),
        recv: Utc::from_nanos(words[RECV].cast_signed()),
        ltq: to_count(words[LTQ]),
        atp: to_price(words[ATP]),
        volume: to_count(words[VOLUME]),
        oi: to_count(words[OI]),
        oi_high: to_count(words[OI_HIGH]),
        oi_low: to_count(words[OI_LOW]),
        open: to_price(words[OPEN]),
        high: to_price(words[HIGH]),
        low: to_price(words[LOW]),
        prev_close: to_price(words[PREV_CLOSE]),
        total_buy_qty: to_count(words[TOTAL_BUY]),
        total_sell_qty: to_count(words[TOTAL_SELL]),
        depth: known.then(|| std::array::from_fn(|i| to_level(levels[i]))),
    })
}

fn to_level([bid, ask, quantities, orders]: [u64; LEVEL]) -> DepthLevel {
    if orders == ABSENT {
        return DepthLevel::default();
    }
    DepthLevel {
        bid: to_price(bid),
        bid_qty: (quantities >> 32) as u32,
        bid_orders: (orders >> 16) as u16,
        ask: to_price(ask),
        ask_qty: quantities as u32,
        ask_orders: orders as u16,
    }
}

/// The last price of the row if it is `tag`'s and has one.
pub(crate) fn read_last(row: &Row, tag: u64) -> Option<LastPrice> {
    let words = row.read::<{ LTT + 1 }>(tag)?;
    Some(LastPrice {
        ltp: to_price(words[LTP])?,
        ltt: to_time(words[LTT]),
        recv: Utc::from_nanos(words[RECV].cast_signed()),
    })
}

/// An open row. What is not set keeps what it had; setting `None` makes it unknown.
#[derive(Debug)]
pub struct RowWriter<'a> {
    words: &'a Words<'a, WORDS>,
    ltp: Option<Price>,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn new(words: &'a Words<'a, WORDS>, recv: Utc) -> Self {
        words.set(RECV, recv.as_nanos().cast_unsigned());
        Self { words, ltp: None }
    }

    /// The last price this write gave.
    pub(crate) fn given_ltp(&self) -> Option<Price> {
        self.ltp
    }

    fn price(&self, index: usize, price: impl Into<Option<Price>>) {
        self.words.set(index, from_price(price.into()));
    }

    fn count(&self, index: usize, count: impl Into<Option<u32>>) {
        self.words.set(index, from_count(count.into()));
    }

    /// Last traded price.
    pub fn ltp(&mut self, price: impl Into<Option<Price>>) {
        self.ltp = price.into();
        self.price(LTP, self.ltp);
    }

    /// When the last price traded.
    pub fn ltt(&mut self, time: impl Into<Option<ExchangeTime>>) {
        let word = time
            .into()
            .map_or(ABSENT, |time| time.as_seconds().cast_unsigned());
        self.words.set(LTT, word);
    }

    /// Quantity of the last trade.
    pub fn ltq(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(LTQ, quantity);
    }

    /// Average price of the day.
    pub fn atp(&mut self, price: impl Into<Option<Price>>) {
        self.price(ATP, price);
    }

    /// Quantity traded today.
    pub fn volume(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(VOLUME, quantity);
    }

    /// Open interest.
    pub fn oi(&mut self, oi: impl Into<Option<u32>>) {
        self.count(OI, oi);
    }

    /// Highest open interest of the day.
    pub fn oi_high(&mut self, oi: impl Into<Option<u32>>) {
        self.count(OI_HIGH, oi);
    }

    /// Lowest open interest of the day.
    pub fn oi_low(&mut self, oi: impl Into<Option<u32>>) {
        self.count(OI_LOW, oi);
    }

    /// First price of the day.
    pub fn open(&mut self, price: impl Into<Option<Price>>) {
        self.price(OPEN, price);
    }

    /// Highest price of the day.
    pub fn high(&mut self, price: impl Into<Option<Price>>) {
        self.price(HIGH, price);
    }

    /// Lowest price of the day.
    pub fn low(&mut self, price: impl Into<Option<Price>>) {
        self.price(LOW, price);
    }

    /// Close of the previous day.
    pub fn prev_close(&mut self, price: impl Into<Option<Price>>) {
        self.price(PREV_CLOSE, price);
    }

    /// Quantity bid for in the whole book.
    pub fn total_buy_qty(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(TOTAL_BUY, quantity);
    }

    /// Quantity on offer in the whole book.
    pub fn total_sell_qty(&mut self, quantity: impl Into<Option<u32>>) {
        self.count(TOTAL_SELL, quantity);
    }

    /// Level `index` of the book, 0 being the best; a row keeps [`DEPTH`] of them and
    /// nothing of any further one.
    pub fn depth(&mut self, index: usize, level: DepthLevel) {
        if index >= DEPTH {
            return;
        }
        let base = LEVELS + index * LEVEL;
        self.price(base, level.bid);
        self.price(base + 1, level.ask);
        let quantities = u64::from(level.bid_qty) << 32 | u64::from(level.ask_qty);
        self.words.set(base + 2, quantities);
        let orders = u64::from(level.bid_orders) << 16 | u64::from(level.ask_orders);
        self.words.set(base + 3, orders);
    }
}
