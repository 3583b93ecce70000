use core::time::Duration;

use strikewire_calendar::{Calendar, Phase};
use strikewire_chain::PriceSource;
use strikewire_quotes::Table;
use strikewire_registry::Registry;
use strikewire_types::{ExchangeTime, InstrumentKey, Now, Price, Segment};

use crate::Config;

/// Where prices are looked up, and what makes them live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pricing<'a> {
    pub(crate) table: &'a Table,
    pub(crate) config: &'a Config,
    pub(crate) calendar: &'a Calendar,
    pub(crate) registry: &'a Registry,
}

/// The price of an underlying as it is known now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourcePrice {
    /// The price, above 0.
    pub price: Price,
    /// Where it comes from.
    pub source: PriceSource,
    /// When it was made, by the exchange; absent when unknown.
    pub time: Option<ExchangeTime>,
    /// Whether it is too old to move a chain.
    pub stale: bool,
}

impl SourcePrice {
    /// Whether it may move a chain: from the feed, and recent.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.source == PriceSource::Live && !self.stale
    }

    /// The caller's own.
    pub(crate) const fn from_client(price: Price) -> Self {
        Self {
            price,
            source: PriceSource::Client,
            time: None,
            stale: false,
        }
    }
}

/// The price of `key` in the quote table: the last one traded, or where there is
/// none the previous close.
pub(crate) fn source_price(
    pricing: &Pricing<'_>,
    now: Now,
    key: InstrumentKey,
) -> Option<SourcePrice> {
    let quote = pricing.table.quote(key)?;
    let positive = |price: Option<Price>| price.filter(|price| *price > Price::ZERO);
    if let Some(price) = positive(quote.ltp) {
        return Some(SourcePrice {
            price,
            source: PriceSource::Live,
            time: quote.ltt,
            stale: !quote
                .ltt
                .is_some_and(|time| is_live(pricing, now, key, time)),
        });
    }
    positive(quote.prev_close).map(|price| SourcePrice {
        price,
        source: PriceSource::PrevClose,
        time: None,
        stale: true,
    })
}

/// Whether a price made at `time` is live: its market trades continuously, it was made
/// since that began, and not long ago.
fn is_live(pricing: &Pricing<'_>, now: Now, key: InstrumentKey, time: ExchangeTime) -> bool {
    let limit = if key.segment == Segment::McxComm {
        pricing.config.live_within_mcx
    } else {
        pricing.config.live_within
    };
    // Exchange times are whole seconds: the second that is not over yet counts in full.
    if now.utc.since(time.to_utc()) > limit + Duration::from_secs(1) {
        return false;
    }
    let Some(instrument) = pricing.registry.by_key(key) else {
        return false;
    };
    let class = pricing
        .calendar
        .class_of(instrument.exchange(), key.segment, instrument.symbol());
    let phase = pricing.calendar.phase(class, now.utc);
    phase.phase == Phase::Continuous && time.to_utc() >= phase.since
}
