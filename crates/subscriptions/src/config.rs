use core::time::Duration;

/// What the broker allows and how patient the book is.
///
/// The default is DhanHQ's feed: five connections of 5,000 instruments, 100 in a
/// message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Connections at a time; 1 to 255.
    pub connections: usize,
    /// Instruments on one connection; at least 1.
    pub per_connection: usize,
    /// Instruments on all of them together; at least 1 and at most
    /// `connections * per_connection`.
    pub total: usize,
    /// Instruments in one message; at least 1.
    pub per_batch: usize,
    /// How long a leg that rolled out stays on the wire.
    pub linger: Duration,
    /// How long a migration waits for a packet from the new connection, counted from
    /// when the subscription was written.
    pub grace: Duration,
    /// How long a slot rests after its instrument left the wire.
    pub quarantine: Duration,
    /// How long a connection may be down before it hands its most important
    /// instruments to the others, as far as they have room.
    pub handover: Duration,
    /// How long a connection that is back must have been up before load evens out.
    pub settle: Duration,
    /// How many migrations of a rebalance may be under way at a time; at least 1.
    pub moves_at_once: usize,
    /// How long a connection holds fewer instruments after the broker found it to hold
    /// too many.
    pub shrink_for: Duration,
    /// How long a connection waits after a message with instruments that may be what
    /// the broker does not take.
    pub probation: Duration,
    /// How long after its last use a claim counts as in use.
    pub in_use: Duration,
    /// The most that the claims of tier A of one user may hold, as the sum of their
    /// instruments; at least 1. A request over it evicts claims of its own user first,
    /// and is refused if it is over it alone. A roll is not a request and is not held
    /// to it. No limit if absent, which is the default.
    pub quota: Option<usize>,
    /// Whether users who hold more than their share are evicted before all others; off
    /// by default. The share is the total, less what tier B holds, divided by the
    /// number of users with claims of tier A, rounded down.
    pub fair_share: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 5,
            per_connection: 5_000,
            total: 25_000,
            per_batch: 100,
            linger: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            quarantine: Duration::from_secs(1),
            handover: Duration::from_secs(10),
            settle: Duration::from_secs(5),
            moves_at_once: 500,
            shrink_for: Duration::from_secs(3_600),
            probation: Duration::from_secs(1),
            in_use: Duration::from_secs(60),
            quota: None,
            fair_share: false,
        }
    }
}

impl Config {
    /// How many slots the book uses at most; what is indexed by slot needs this many
    /// places.
    ///
    /// At a time, instruments are desired up to the total and leave the wire up to what
    /// the connections hold. The rest is for slots that rest and for rolls that go over
    /// the total for a moment.
    #[must_use]
    pub const fn slots(&self) -> usize {
        let wire = self.connections.saturating_mul(self.per_connection);
        let at_a_time = if wire < self.total { self.total } else { wire };
        at_a_time.saturating_mul(2).saturating_add(1024)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=255).contains(&self.connections) {
            return Err(ConfigError::Connections(self.connections));
        }
        if self.per_connection == 0 {
            return Err(ConfigError::PerConnection);
        }
        if self.per_batch == 0 {
            return Err(ConfigError::PerBatch);
        }
        if self.moves_at_once == 0 {
            return Err(ConfigError::MovesAtOnce);
        }
        if self.quota == Some(0) {
            return Err(ConfigError::Quota);
        }
        let most = self.connections.saturating_mul(self.per_connection);
        // Slots are 32 bits wide; this leaves room for those that rest.
        let most = most.min(1 << 24);
        if !(1..=most).contains(&self.total) {
            return Err(ConfigError::Total {
                total: self.total,
                most,
            });
        }
        Ok(())
    }
}

/// Limits that no broker can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Too few or too many connections.
    #[error("connections = {0}: expected 1 to 255")]
    Connections(usize),
    /// Nothing fits on a connection.
    #[error("per_connection = 0: expected at least 1 instrument")]
    PerConnection,
    /// Nothing fits into a message.
    #[error("per_batch = 0: expected at least 1 instrument")]
    PerBatch,
    /// Nothing could ever move.
    #[error("moves_at_once = 0: expected at least 1 migration")]
    MovesAtOnce,
    /// No user could hold anything.
    #[error("quota = 0: expected at least 1 instrument, or none for no limit")]
    Quota,
    /// The total is nothing or more than the connections hold.
    #[error("total = {total}: expected 1 to {most} instruments, what the connections hold")]
    Total {
        /// What was asked for.
        total: usize,
        /// The most that would do.
        most: usize,
    },
}
