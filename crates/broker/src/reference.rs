use core::future::{Future, ready};
use core::time::Duration;
use std::path::Path;

use strikewire_types::{ExchangeTime, Expiry, InstrumentKey, Price, PriceStep, Strike};

use crate::{DayPrices, DepthLevel};

/// The request side of a broker: what is asked for once and answered once.
///
/// Calls may be made at any rate and from any number of tasks: the client keeps to the
/// broker's limits and lets calls wait. It tries again where that is safe and of use,
/// within bounds; what it then returns is final.
///
/// What a broker does not offer is left out: it is [`ReferenceError::Unsupported`].
///
/// # Cancel safety
///
/// All calls: a dropped call may still have reached the broker, and has used up its
/// share of the limits.
pub trait Reference: Send + Sync + 'static {
    /// Instruments in one call of [`quotes`](Self::quotes).
    fn quotes_per_call(&self) -> usize {
        1
    }

    /// The latest quotes of instruments, at most
    /// [`quotes_per_call`](Self::quotes_per_call), with their tick sizes to round with.
    /// Instruments that the broker does not know are left out of the answer.
    fn quotes(
        &self,
        _wanted: &[(InstrumentKey, PriceStep)],
    ) -> impl Future<Output = Result<Vec<Snapshot>, ReferenceError>> + Send {
        unsupported("quotes")
    }

    /// The whole chain of an underlying and an expiry, by strike from the lowest.
    fn option_chain(
        &self,
        _underlying: InstrumentKey,
        _expiry: Expiry,
    ) -> impl Future<Output = Result<ChainSnapshot, ReferenceError>> + Send {
        unsupported("option chain")
    }

    /// The expiries of an underlying's options, the soonest first.
    fn expiries(
        &self,
        _underlying: InstrumentKey,
    ) -> impl Future<Output = Result<Vec<Expiry>, ReferenceError>> + Send {
        unsupported("expiry list")
    }

    /// Candles in order of their time. A time without trades has none. A long span is
    /// asked for in as many calls as the broker wants.
    fn candles(
        &self,
        _request: &CandleRequest,
    ) -> impl Future<Output = Result<Vec<Candle>, ReferenceError>> + Send {
        unsupported("candles")
    }

    /// Writes the broker's instrument master of the day to `into`, as the broker has
    /// it: whole, or not at all.
    fn instrument_master(
        &self,
        _layout: MasterLayout,
        _into: &Path,
    ) -> impl Future<Output = Result<MasterFile, ReferenceError>> + Send {
        unsupported("instrument master")
    }
}

fn unsupported<T: Send>(
    what: &'static str,
) -> impl Future<Output = Result<T, ReferenceError>> + Send {
    ready(Err(ReferenceError::Unsupported { what }))
}

/// What a broker says of one instrument when asked. Absent is unknown, never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Which instrument.
    pub key: InstrumentKey,
    /// Last traded price.
    pub ltp: Option<Price>,
    /// When it traded, by the exchange.
    pub ltt: Option<ExchangeTime>,
    /// Quantity of the last trade.
    pub ltq: Option<u32>,
    /// Average price of the day.
    pub atp: Option<Price>,
    /// Quantity traded today.
    pub volume: Option<u32>,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: Option<u32>,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: Option<u32>,
    /// The day's prices.
    pub day: DayPrices,
    /// Open interest.
    pub oi: Option<u32>,
    /// Its highest of the day.
    pub oi_high: Option<u32>,
    /// Its lowest of the day.
    pub oi_low: Option<u32>,
    /// Five levels, the best first.
    pub depth: Option<[DepthLevel; 5]>,
}

impl Snapshot {
    /// One that says nothing of `key`.
    #[must_use]
    pub fn new(key: InstrumentKey) -> Self {
        Self {
            key,
            ltp: None,
            ltt: None,
            ltq: None,
            atp: None,
            volume: None,
            total_buy_qty: None,
            total_sell_qty: None,
            day: DayPrices::default(),
            oi: None,
            oi_high: None,
            oi_low: None,
            depth: None,
        }
    }
}

/// A chain as a broker shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainSnapshot {
    /// Last price of the underlying.
    pub underlying_ltp: Option<Price>,
    /// By strike from the lowest; a leg that is not listed is absent.
    pub strikes: Vec<ChainRow>,
}

/// The two legs of a strike.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainRow {
    /// The strike.
    pub strike: Strike,
    /// The call.
    pub call: Option<ChainLeg>,
    /// The put.
    pub put: Option<ChainLeg>,
}

/// One leg of a chain. Absent is unknown, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChainLeg {
    /// The contract's id in its segment, where the broker says it.
    pub security_id: Option<u32>,
    /// Last traded price; absent when it has not traded.
    pub ltp: Option<Price>,
    /// Average price of the day.
    pub atp: Option<Price>,
    /// Previous day's close.
    pub prev_close: Option<Price>,
    /// Best bid.
    pub bid: Option<Price>,
    /// Quantity bid at it.
    pub bid_qty: Option<u32>,
    /// Best ask.
    pub ask: Option<Price>,
    /// Quantity asked at it.
    pub ask_qty: Option<u32>,
    /// Open interest.
    pub oi: Option<u32>,
    /// Open interest at the previous close.
    pub prev_oi: Option<u32>,
    /// Quantity traded today.
    pub volume: Option<u32>,
    /// Quantity traded on the previous day.
    pub prev_volume: Option<u32>,
    /// Implied volatility in percent a year.
    pub implied_volatility: Option<f64>,
    /// Change of the price with that of the underlying.
    pub delta: Option<f64>,
    /// Change of the price per day.
    pub theta: Option<f64>,
    /// Change of delta with the underlying.
    pub gamma: Option<f64>,
    /// Change of the price per percent of volatility.
    pub vega: Option<f64>,
}

/// Which candles are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandleRequest {
    /// Of which instrument.
    pub key: InstrumentKey,
    /// What it is: brokers want it said.
    pub class: InstrumentClass,
    /// Its tick size, to round with.
    pub step: PriceStep,
    /// Their length.
    pub interval: Interval,
    /// From this time on.
    pub from: ExchangeTime,
    /// Those that begin before this time.
    pub to: ExchangeTime,
}

/// What an instrument is to a broker that wants it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstrumentClass {
    /// An index.
    Index,
    /// A share.
    Equity,
    /// A future on an index.
    IndexFuture,
    /// A future on a share.
    StockFuture,
    /// A future on a commodity.
    CommodityFuture,
    /// A future on a currency.
    CurrencyFuture,
    /// An option on an index.
    IndexOption,
    /// An option on a share.
    StockOption,
    /// An option on a commodity future.
    CommodityOption,
    /// An option on a currency.
    CurrencyOption,
}

/// The length of a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interval {
    /// So many minutes; a broker has only some.
    Minutes(u16),
    /// A trading day.
    Day,
}

/// What was traded in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// When it begins; of a daily one the date counts.
    pub at: ExchangeTime,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Quantity traded in it.
    pub volume: u64,
    /// Open interest at its end, where it was given.
    pub oi: Option<u64>,
}

/// Which of a broker's layouts of its instrument master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MasterLayout {
    /// The short one.
    Compact,
    /// The long one.
    Detailed,
}

/// A master that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterFile {
    /// Its length.
    pub bytes: u64,
    /// When the broker made it, in the broker's words, where it says so.
    pub modified: Option<String>,
}

/// Why a broker did not answer what was asked. No message contains a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// There is nobody to ask.
    #[error("this broker adapter has no {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// Asked too often, by this program or by others with the account.
    #[error("{call}: asked too often ({code}: {detail})")]
    Limited {
        /// Which call.
        call: &'static str,
        /// The broker's code, or the HTTP status.
        code: String,
        /// What it said.
        detail: String,
        /// How long it wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// The credentials cannot be read, or are not taken.
    #[error("{call}: the credentials are refused ({code}: {detail})")]
    Credentials {
        /// Which call.
        call: &'static str,
        /// The broker's code, or the HTTP status.
        code: String,
        /// What it said.
        detail: String,
    },
    /// The account may not ask this.
    #[error("{call}: the account is not entitled to it ({code}: {detail})")]
    NotEntitled {
        /// Which call.
        call: &'static str,
        /// The broker's code, or the HTTP status.
        code: String,
        /// What it said.
        detail: String,
    },
    /// The broker does not take the question.
    #[error("{call}: the request is refused ({code}: {detail})")]
    Rejected {
        /// Which call.
        call: &'static str,
        /// The broker's code, or the HTTP status.
        code: String,
        /// What it said.
        detail: String,
    },
    /// The broker has nothing to answer.
    #[error("{call}: no data ({detail})")]
    NoData {
        /// Which call.
        call: &'static str,
        /// What it said.
        detail: String,
    },
    /// The broker cannot be reached, or is in trouble.
    #[error("{call}: the broker is not available ({detail})")]
    Unavailable {
        /// Which call.
        call: &'static str,
        /// What went wrong.
        detail: String,
    },
    /// The answer is not as documented.
    #[error("{call}: unexpected answer: {detail}")]
    Unexpected {
        /// Which call.
        call: &'static str,
        /// What is wrong, and where in it.
        detail: String,
    },
    /// The answer could not be stored.
    #[error("{call}: cannot write {place}")]
    Store {
        /// Which call.
        call: &'static str,
        /// Where to.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ReferenceError {
    /// Its kind in a word, as metrics have it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "unsupported",
            Self::Limited { .. } => "limited",
            Self::Credentials { .. } => "credentials",
            Self::NotEntitled { .. } => "not_entitled",
            Self::Rejected { .. } => "rejected",
            Self::NoData { .. } => "no_data",
            Self::Unavailable { .. } => "unavailable",
            Self::Unexpected { .. } | Self::Store { .. } => "unexpected",
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Unavailable { .. })
    }
}

/// A broker without a request side: every call is [`ReferenceError::Unsupported`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReference;

impl Reference for NoReference {}
