//! The messages of the stream. The server writes and reads them by hand, for speed; these are
//! their description, and a test holds them against real messages.

use std::collections::BTreeMap;

use serde_json::Value;
use strikewire_gateway::IndicatorValue;
use strikewire_gateway::chain::ChainView;
use strikewire_gateway::types::{Exchange, InstrumentKey, Mode, Utc};
use utoipa::ToSchema;

use super::{HeartbeatResult, QuoteView, user_id_schema};
use crate::Code;
use crate::problem::{Quota, Room};

/// What a client sends. Every message may carry an `id` that the answer echoes.
#[derive(Debug, ToSchema)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum StreamClientMessage {
    /// Names the key, where keys are on and the upgrade had no `Authorization`.
    Auth {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// The API key.
        key: String,
    },
    /// Subscribes ticks, a chain or indicators.
    Subscribe(Subscribe),
    /// Ends a subscription.
    Unsubscribe {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// Which one, as its `ack` said.
        sub: u64,
    },
    /// Asks for a sign of life, and keeps indicators alive: to be sent every 30 s.
    Ping {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// The user, an integer or a text of one. Absent: the key's.
        #[schema(schema_with = user_id_schema, required = false)]
        user_id: Option<u64>,
        /// A session that is in use; that of `subscriptions`, if there are any.
        session_id: Option<String>,
        /// Which indicators, whoever subscribed them for the session; absent: all of this
        /// socket's.
        #[schema(max_items = 1000)]
        subscriptions: Option<Vec<StreamIndicator>>,
    },
    /// Goes on with a chain where an earlier socket was.
    Resume {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// `chain`.
        channel: String,
        /// What to go on with: as in the subscribe.
        #[serde(flatten)]
        chain: ChainFields,
        /// Of the last snapshot or delta.
        epoch: String,
        /// Of the last snapshot or delta.
        seq: u64,
    },
}

/// What a client calls a message.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum MessageId {
    /// A number.
    Number(f64),
    /// A text of 128 bytes at most.
    Text(String),
}

/// What can be subscribed.
#[derive(Debug, ToSchema)]
#[serde(tag = "channel", rename_all = "lowercase")]
pub enum Subscribe {
    /// The latest quotes of instruments.
    Ticks {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// Tokens, or `SEGMENT:SECURITY_ID`; an unknown one fails the whole.
        #[schema(min_items = 1, max_items = 5000)]
        instruments: Vec<String>,
        /// Absent: `full`, for an index `ticker`.
        mode: Option<Mode>,
        /// Milliseconds between messages: 0, 100, 250 (default), 500 or 1000. With 0 at most
        /// 200 instruments.
        conflate_ms: Option<u32>,
    },
    /// An option chain, which follows the price.
    Chain {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// Which one.
        #[serde(flatten)]
        chain: ChainFields,
    },
    /// Technical indicators, for a session.
    Indicators {
        /// Echoed by the answer.
        id: Option<MessageId>,
        /// The user, an integer or a text of one. Absent: the key's; without keys the one
        /// that has logged in with the session, or 0.
        #[schema(schema_with = user_id_schema, required = false)]
        user_id: Option<u64>,
        /// The session that holds them. With keys: one that `auth/login` has begun.
        #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._-]+$")]
        session_id: String,
        /// Which ones; a mistake in one fails the whole.
        #[schema(min_items = 1, max_items = 100)]
        subscriptions: Vec<StreamIndicator>,
    },
}

/// An indicator of an instrument.
#[derive(Debug, ToSchema)]
pub struct StreamIndicator {
    /// A symbol, a token or `SEGMENT:SECURITY_ID`. A bare commodity is its front future.
    pub symbol: String,
    /// `1min`, `5min`, `15min`, `1h`, `1d`, or any other number of minutes.
    pub timeframe: String,
    /// Such as `RSI_14`; `indicator_id` is taken for it too.
    pub indicator: String,
}

/// Which chain: fields and defaults as when adding to a watchlist.
#[derive(Debug, ToSchema)]
pub struct ChainFields {
    /// The underlying's symbol.
    pub symbol: String,
    /// Absent: the nearest.
    pub expiry: Option<String>,
    /// Absent: by the exchange rule.
    pub exchange: Option<Exchange>,
    /// The caller's price of the underlying, in rupees.
    pub underlying_ltp: Option<f64>,
    /// Strikes, odd.
    #[schema(minimum = 1, maximum = 1001)]
    pub width: Option<u16>,
    /// Absent: `full`.
    pub mode: Option<Mode>,
    /// Whether the window follows the price. Default true.
    pub follow: Option<bool>,
    /// Milliseconds between messages: 0, 100, 250 (default), 500 or 1000.
    pub conflate_ms: Option<u32>,
}

/// What the server sends.
#[derive(Debug, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum StreamServerMessage {
    /// It was done.
    Ack {
        /// The client's.
        id: Option<MessageId>,
        /// The subscription; absent in the answer to `auth`.
        sub: Option<u64>,
        /// What the instruments of a subscription of ticks are called in its messages, in the
        /// order in which they were asked for.
        tokens: Option<Vec<String>>,
        /// Whether a resume goes on where the client was; else a snapshot follows.
        resumed: Option<bool>,
        /// What the indicators of a subscription are called in their messages and in REST,
        /// in the order in which they were asked for.
        results: Option<Vec<StreamLease>>,
        /// The key's user; in the answer to `auth`.
        user_id: Option<u64>,
        /// The key's role; in the answer to `auth`.
        role: Option<String>,
    },
    /// It was not done.
    Error {
        /// The client's.
        id: Option<MessageId>,
        /// As REST has them.
        code: Code,
        /// What went wrong this time.
        detail: String,
        /// The field it is about.
        field: Option<String>,
        /// What would have been accepted.
        choices: Option<Vec<String>>,
        /// What a refused request would have needed.
        #[serde(flatten)]
        room: Room,
        /// What a request over its user's quota asked for.
        #[serde(flatten)]
        quota: Quota,
        /// Seconds after which it makes sense to try again.
        retry_after: Option<u32>,
    },
    /// The answer to a ping.
    Pong {
        /// The client's.
        id: Option<MessageId>,
        /// Of the indicators it was about.
        results: Vec<HeartbeatResult>,
    },
    /// The latest quotes of instruments, one message per flush.
    Ticks {
        /// One per instrument that changed.
        items: Vec<TickView>,
    },
    /// A chain with all its quotes: a subscription begins with it.
    Snapshot {
        /// `chain`.
        channel: String,
        /// The subscription.
        sub: u64,
        /// A random id of the server's run and the chain.
        epoch: String,
        /// Counts the deltas of this chain and class.
        seq: u64,
        /// False where a resume was asked for and cannot be had.
        resumed: Option<bool>,
        /// The chain.
        chain: ChainView,
        /// By token.
        quotes: BTreeMap<String, QuoteView>,
    },
    /// What changed since the message with the number before.
    Delta {
        /// The subscription.
        sub: u64,
        /// As in the snapshot.
        epoch: String,
        /// One more than the last.
        seq: u64,
        /// Changed fields of the chain; null clears one.
        #[schema(value_type = Option<Object>)]
        chain: Option<Value>,
        /// Changed fields of quotes, by token; null clears one.
        set: Option<BTreeMap<String, QuoteView>>,
        /// Tokens that left the chain.
        remove: Option<Vec<String>>,
    },
    /// What an indicator is now: at once when its bar has ended, and while the bar is under
    /// way four times a second at most.
    Indicator(IndicatorValue),
    /// Something a client should know.
    Notice {
        /// `evicted`, `restored`, `suspended`, `resumed`, `rolled`, `expired`, `feed_down` or
        /// `feed_up`.
        code: String,
        /// The subscription it is about.
        sub: Option<u64>,
        /// A sentence for people.
        detail: String,
    },
    /// A time without data.
    Gap {
        /// Whose.
        instruments: Vec<InstrumentKey>,
        /// When the last data came.
        from: Utc,
        /// When data came again.
        to: Utc,
        /// What made it.
        cause: String,
    },
    /// What a slow client did not get of a chain; a snapshot follows.
    Lagged {
        /// The subscription.
        sub: u64,
        /// How many messages.
        dropped: u64,
        /// The first of them.
        from_seq: u64,
        /// The last of them.
        to_seq: u64,
    },
}

/// An indicator that is held for a subscription.
#[derive(Debug, ToSchema)]
pub struct StreamLease {
    /// The token of the instrument.
    pub symbol: String,
    /// The timeframe, as it is always written.
    pub timeframe: String,
    /// The indicator, as it is always written.
    pub indicator_id: String,
    /// The key of its record.
    pub key: String,
    /// Whether nobody held it before.
    pub is_new: bool,
    /// How many hold it now.
    pub ref_count: u32,
}

/// A quote in a message of ticks.
#[derive(Debug, ToSchema)]
pub struct TickView {
    /// The token.
    pub token: String,
    /// Segment and id.
    pub instrument: InstrumentKey,
    /// The quote.
    #[serde(flatten)]
    pub quote: QuoteView,
}
