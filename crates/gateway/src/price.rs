use core::time::Duration;

use strikewire_chain::PriceSource;
use strikewire_quotes::Table;
use strikewire_types::{ExchangeTime, InstrumentKey, Now, Price, Segment};

use crate::Config;

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
    table: &Table,
    config: &Config,
    now: Now,
    key: InstrumentKey,
) -> Option<SourcePrice> {
    let quote = table.quote(key)?;
    let positive = |price: Option<Price>| price.filter(|price| *price > Price::ZERO);
    if let Some(price) = positive(quote.ltp) {
        let limit = if key.segment == Segment::McxComm {
            config.live_within_mcx
        } else {
            config.live_within
        };
        return Some(SourcePrice {
            price,
            source: PriceSource::Live,
            time: quote.ltt,
            stale: !quote.ltt.is_some_and(|time| is_within(now, time, limit)),
        });
    }
    positive(quote.prev_close).map(|price| SourcePrice {
        price,
        source: PriceSource::PrevClose,
        time: None,
        stale: true,
    })
}

/// Exchange times are whole seconds: the second that is not over yet counts in full.
fn is_within(now: Now, time: ExchangeTime, limit: Duration) -> bool {
    now.utc.since(time.to_utc()) <= limit + Duration::from_secs(1)
}
