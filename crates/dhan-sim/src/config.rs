use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use strikewire_types::ParseError;

use crate::market::MarketConfig;
use crate::script::Script;

/// How the stand-in behaves; the defaults are the broker's limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Prices and how often they change.
    pub market: MarketConfig,
    /// Packets that one frame carries at most, at least 1. Default 8, so that frames
    /// with one and with several packets occur. The official Python client decodes only
    /// the first packet of a frame: for it this must be 1.
    pub packets_per_frame: usize,
    /// Connections of one client id. Default 5.
    pub connections: usize,
    /// Instruments on one connection. Default 5,000.
    pub instruments: usize,
    /// Instruments in one message. Default 100.
    pub per_message: usize,
    /// What several modes of one instrument mean. Default [`ModeSemantics::Set`].
    pub modes: ModeSemantics,
    /// What goes wrong when. Default nothing.
    pub script: Script,
    /// Who may connect; anybody who names a client id and a token when absent.
    pub credentials: Option<Credentials>,
    /// How many of the latest messages and connection events are kept. Default 0.
    pub log: usize,
    /// How often the market is looked at, in real time. Default 100 ms: at most ten
    /// packets per instrument and second, however fast the clock runs.
    pub poll_every: Duration,
    /// Frames that may wait for a connection that reads slowly; further ones are
    /// dropped and counted. Default 16,384.
    pub queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            market: MarketConfig::default(),
            packets_per_frame: 8,
            connections: 5,
            instruments: 5_000,
            per_message: 100,
            modes: ModeSemantics::Set,
            script: Script::default(),
            credentials: None,
            log: 0,
            poll_every: Duration::from_millis(100),
            queue: 16_384,
        }
    }
}

/// What the broker makes of one instrument in several modes. Its documentation does
/// not say; a client must live with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ModeSemantics {
    /// A set per instrument: the highest mode is sent, and an unsubscribe takes its own
    /// mode away.
    #[default]
    Set,
    /// The last subscribe replaces the mode. An unsubscribe of another mode than the
    /// present one does nothing.
    Last,
    /// A set per instrument, but an unsubscribe of any mode drops the instrument.
    AnyUnsubscribe,
}

impl ModeSemantics {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Set, Self::Last, Self::AnyUnsubscribe];

    /// Its name: `set`, `last` or `any-unsubscribe`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Last => "last",
            Self::AnyUnsubscribe => "any-unsubscribe",
        }
    }
}

impl fmt::Display for ModeSemantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ModeSemantics {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = Self::ALL.into_iter().find(|modes| modes.name() == text);
        found.ok_or_else(|| ParseError::new(text, "one of set, last and any-unsubscribe"))
    }
}

/// A client id and its token.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The client id.
    pub client_id: String,
    /// The access token.
    pub token: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
