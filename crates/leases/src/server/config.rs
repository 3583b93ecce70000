use core::time::Duration;

use crate::RedisUrl;

/// How leases are kept in Redis.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Where it is.
    pub url: RedisUrl,
    /// Stands before the name of every key. Nodes that share have the same. Default none.
    pub prefix: String,
    /// How long an operation may take before Redis counts as away. Default 500 ms.
    pub timeout: Duration,
    /// Whether this is a mock run: then no value is written or read. Default no.
    pub mock: bool,
    /// Whose clock says how long a subscriber was silent.
    pub time: TimeSource,
}

impl RedisConfig {
    /// The defaults.
    #[must_use]
    pub const fn new(url: RedisUrl) -> Self {
        Self {
            url,
            prefix: String::new(),
            timeout: Duration::from_millis(500),
            mock: false,
            time: TimeSource::Server,
        }
    }
}

/// Whose clock leases go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TimeSource {
    /// Redis': the clocks of the nodes need not agree.
    #[default]
    Server,
    /// The time that each call gives: for a simulated clock, which all nodes that share must
    /// have. Expiries of keys go by Redis' clock all the same.
    Caller,
}
