use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LeaseKey, Subscriber};

/// How long leases last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Who is not heard of for this long is swept. 300 s.
    pub idle: Duration,
    /// A record that nothing happens to goes by itself after this, should nobody sweep; in
    /// Redis only. Longer than `idle`. 600 s.
    pub key_ttl: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            key_ttl: Duration::from_secs(600),
        }
    }
}

/// What a subscribe did to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased {
    /// Whether the key had no subscriber before.
    pub is_new: bool,
    /// How many it has now.
    pub ref_count: u32,
}

/// What an unsubscribe did to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// Whether the subscriber held it.
    pub was_held: bool,
    /// Whether that was the last one.
    pub stopped: bool,
    /// How many it has now.
    pub ref_count: u32,
}

/// A lease that has ended because its session did, or nobody heard of its subscriber.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gone {
    /// What was leased.
    pub key: LeaseKey,
    /// By whom.
    pub subscriber: Subscriber,
    /// Whether that was the last one.
    pub stopped: bool,
}

/// Who wants one indicator of one symbol and timeframe; the same in memory, in Redis and in
/// answers. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Record {
    /// The canonical id of the indicator.
    pub indicator_id: String,
    /// The canonical token.
    pub symbol: String,
    /// Such as `5min`.
    pub timeframe: String,
    /// How many subscribers there are.
    pub ref_count: u32,
    /// By `{user_id}_session_{session_id}`.
    pub subscribers: BTreeMap<String, Seen>,
    /// When the first of them came, Unix seconds.
    pub created_at: i64,
    /// The last subscribe or heartbeat of any of them, Unix seconds.
    pub last_accessed: i64,
    /// Seconds without a heartbeat after which a subscriber is let go.
    pub ttl: u32,
}

/// What is known of one subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Seen {
    /// The last subscribe or heartbeat, Unix seconds.
    pub last_active: i64,
    /// The socket of the stream that subscribed last; null: none did.
    pub websocket_id: Option<String>,
}

/// How much there is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// Keys that have a subscriber.
    pub keys: u64,
    /// Distinct subscribers.
    pub subscribers: u64,
    /// Keys by symbol.
    pub by_symbol: BTreeMap<String, u64>,
    /// Keys by timeframe.
    pub by_timeframe: BTreeMap<String, u64>,
}
