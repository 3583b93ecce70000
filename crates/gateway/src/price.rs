use core::time::Duration;

use strikewire_calendar::{Calendar, Phase};
use strikewire_chain::PriceSource;
use strikewire_quotes::Table;
use strikewire_registry::Registry;
use strikewire_types::{ExchangeTime, InstrumentKey, Now, Price, Segment};

use crate::Config;
use crate::desk::Desk;

/// Where prices are looked up, and what makes them live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pricing<'a> {
    pub(crate) table: &'a Table,
    pub(crate) desk: &'a Desk,
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
    /// Whether it is what the market pays now: a price of the exchange, and recent.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.source, PriceSource::Live | PriceSource::Rest) && !self.stale
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

/// The price of `key`: the last one traded by the quote table or, where that has none, by
/// a quote that somebody asked for a moment ago; or else the previous close.
pub(crate) fn source_price(
    pricing: &Pricing<'_>,
    now: Now,
    key: InstrumentKey,
) -> Option<SourcePrice> {
    let row = row_price(pricing, now, key);
    if row.is_some_and(|price| price.source != PriceSource::PrevClose) {
        return row;
    }
    let Some(quote) = pricing.desk.answer_of(now, key) else {
        return row;
    };
    match quote.ltp.filter(is_positive) {
        Some(ltp) => Some(traded(pricing, now, key, ltp, quote.ltt, PriceSource::Rest)),
        None => row.or_else(|| closed(quote.day.prev_close)),
    }
}

/// The price of `key` by the quote table alone.
pub(crate) fn row_price(
    pricing: &Pricing<'_>,
    now: Now,
    key: InstrumentKey,
) -> Option<SourcePrice> {
    let quote = pricing.table.quote(key)?;
    match quote.ltp.filter(is_positive) {
        Some(ltp) => {
            let source = match quote.from_rest {
                Some(_) => PriceSource::Rest,
                None => PriceSource::Live,
            };
            Some(traded(pricing, now, key, ltp, quote.ltt, source))
        }
        None => closed(quote.prev_close),
    }
}

fn is_positive(price: &Price) -> bool {
    *price > Price::ZERO
}

fn traded(
    pricing: &Pricing<'_>,
    now: Now,
    key: InstrumentKey,
    price: Price,
    time: Option<ExchangeTime>,
    source: PriceSource,
) -> SourcePrice {
    SourcePrice {
        price,
        source,
        time,
        stale: !time.is_some_and(|time| is_live(pricing, now, key, time)),
    }
}

fn closed(prev_close: Option<Price>) -> Option<SourcePrice> {
    prev_close.filter(is_positive).map(|price| SourcePrice {
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
