use strikewire_indicators::TimeframeError;
use strikewire_registry::LookupError;
use strikewire_subscriptions::Refusal;
use strikewire_types::{Expiry, InstrumentKey};

/// Why a request was not done. Nothing was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The instrument, symbol or expiry is not there, or is another kind.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The width, or the price, makes no window.
    #[error(transparent)]
    Chain(#[from] strikewire_chain::Error),
    /// The chain's underlying is not in the instrument master.
    #[error("no instrument gives a price for {symbol} options")]
    NoPriceSource {
        /// The underlying's symbol.
        symbol: String,
    },
    /// No price came in time.
    #[error(
        "no price for {symbol} ({instrument}) came from the feed within {waited_ms} ms, nor by a \
         quote: {quote}"
    )]
    PriceUnavailable {
        /// The underlying's symbol.
        symbol: String,
        /// The instrument that would have given it.
        instrument: InstrumentKey,
        /// How long was waited, in milliseconds.
        waited_ms: u128,
        /// What came of asking the broker for a quote.
        quote: String,
    },
    /// The broker was asked for a quote and gave none.
    #[error("no quote of {instrument}: {reason}")]
    NoQuote {
        /// Of what.
        instrument: InstrumentKey,
        /// What the broker says, or what is missing.
        reason: String,
    },
    /// The client of the stream has as many subscriptions as it may have.
    #[error("this client has {held} subscriptions; {most} are accepted")]
    TooManySubscriptions {
        /// How many it has.
        held: usize,
        /// How many it may have.
        most: usize,
    },
    /// The chain has more contracts than may be sent after every batch of the feed.
    #[error(
        "a chain that is sent after every batch of the feed has {most} contracts at most; this \
         one has {contracts}"
    )]
    TooManyContracts {
        /// How many its window can have.
        contracts: usize,
        /// How many are accepted.
        most: usize,
    },
    /// The user has this item with other settings.
    #[error("user {user} already has {item} with {has}, not {asked}")]
    Conflict {
        /// The user.
        user: u64,
        /// The item.
        item: String,
        /// The settings it has.
        has: String,
        /// The settings that were asked for.
        asked: String,
    },
    /// The user has no such item.
    #[error("user {user} has no {item}")]
    NoSuchItem {
        /// The user.
        user: u64,
        /// What was asked for.
        item: String,
        /// What the user has.
        choices: Vec<String>,
    },
    /// Several items match.
    #[error("{count} items of user {user} match {item}", count = choices.len())]
    Ambiguous {
        /// The user.
        user: u64,
        /// What was asked for.
        item: String,
        /// What matches.
        choices: Vec<String>,
    },
    /// It does not fit.
    #[error(transparent)]
    Capacity(#[from] Refusal),
    /// The change could not be made durable and was taken back.
    #[error("the change could not be made durable: {reason}")]
    NotDurable {
        /// What the journal says.
        reason: String,
    },
    /// The chain was forced less than a second ago.
    #[error("the chain was calculated by force a moment ago; try again in {} ms", retry_in.as_millis())]
    ForcedTooSoon {
        /// When to ask again.
        retry_in: core::time::Duration,
    },
    /// The stream subscription is not there.
    #[error("this stream has no subscription {sub}")]
    NoSuchSubscription {
        /// The subscription's number.
        sub: u64,
    },
    /// The last session of the contracts has ended.
    #[error("the last session of {symbol} {expiry} has ended")]
    ExpiryEnded {
        /// The underlying's symbol.
        symbol: String,
        /// The expiry that was asked for.
        expiry: Expiry,
        /// The expiries that have not ended, soonest first.
        choices: Vec<Expiry>,
    },
    /// The instrument master changed while the request was under way. The gateway tries
    /// again by itself; nobody outside sees it.
    #[error("the instrument master changed; try again")]
    MasterChanged,
    /// The price that a request had or waited for is gone again: whoever else held the
    /// underlying let go of it. The gateway tries again by itself, and says that there
    /// is no price if that does not help.
    #[error("the price of {symbol} ({instrument}) is gone; try again")]
    PriceGone {
        /// The symbol.
        symbol: String,
        /// Its underlying.
        instrument: InstrumentKey,
    },
    /// The timeframe of an indicator cannot be read.
    #[error("{reason}")]
    UnknownTimeframe {
        /// Which of those that were asked for, from 0.
        at: usize,
        /// What was written, and what would have been accepted.
        reason: TimeframeError,
    },
    /// There is no such indicator.
    #[error(
        "unknown indicator {text:?}{}",
        if choices.is_empty() { String::new() } else { format!("; there are {}", choices.join(", ")) }
    )]
    UnknownIndicator {
        /// Which of those that were asked for, from 0.
        at: usize,
        /// As it was asked for, shortened.
        text: String,
        /// What could have been meant.
        choices: Vec<String>,
    },
    /// The indicator is known, but its parameters are not possible, or not with this
    /// instrument.
    #[error("indicator {text:?}: {reason}")]
    IndicatorParameter {
        /// Which of those that were asked for, from 0.
        at: usize,
        /// As it was asked for, shortened.
        text: String,
        /// What is wrong, and what would have been accepted.
        reason: String,
    },
    /// Nobody keeps the indicator alive, so that it has no value.
    #[error("{key} is not computed: nobody has subscribed to it")]
    NotComputed {
        /// Its canonical name.
        key: String,
    },
    /// The indicator is kept alive, but has no value yet.
    #[error("{key} has no value yet: {reason}")]
    NoValue {
        /// Its canonical name.
        key: String,
        /// What it waits for.
        reason: &'static str,
    },
    /// The user has as many subscriptions of indicators as one may have.
    #[error("user {user} has {held} indicators; {most} are accepted")]
    TooManyIndicators {
        /// The user.
        user: u64,
        /// How many there are.
        held: usize,
        /// How many there may be.
        most: usize,
    },
    /// This node computes as many different indicators as it may.
    #[error("{held} indicators are computed; {most} are the most")]
    TooManyKeys {
        /// How many there are.
        held: usize,
        /// How many there may be.
        most: usize,
    },
    /// The gateway is shutting down.
    #[error("the gateway is stopping")]
    Stopping,
}
