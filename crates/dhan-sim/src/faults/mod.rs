//! What goes wrong at the broker: the faults the stand-in can play.
//!
//! A [`Fault`] says what happens, an [`Incident`] on which connections and for how
//! long. Incidents come from a [`Script`](crate::script::Script), or a test brings one
//! about with [`Core::inject`](crate::core::Core::inject).
//!
//! ```
//! use core::time::Duration;
//! use strikewire_dhan_sim::faults::{Fault, Incident, Sockets};
//!
//! let stalled = Fault::Stall.on(Sockets::Positions(vec![1])).lasting(Duration::from_secs(90));
//! assert_eq!(stalled.fault.kind(), "stall");
//! // By itself a fault befalls all connections and does not end.
//! assert_eq!(Incident::from(Fault::Reset).sockets, Sockets::All);
//! ```

use core::fmt;
use core::time::Duration;

use strikewire_types::Segment;

use crate::core::SessionId;

/// Frames a second of [`Fault::Zeros`] and [`Fault::Garbage`] at most.
pub const MAX_NOISE: u32 = 10_000;

/// Packets that [`Fault::Coalesce`] puts into a frame at most.
pub const MAX_COALESCED: usize = 5_000;

/// One thing that goes wrong.
///
/// Faults of the account concern everybody and every upgrade; the others befall chosen
/// connections. Numbers beyond what a kind allows are brought to its limits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A bare TCP reset: no close frame, and what was under way is lost.
    Reset,
    /// A close frame.
    Close {
        /// Its code, such as 1001.
        code: u16,
        /// Its text, 123 bytes at most.
        reason: String,
    },
    /// A disconnect packet (code 50), then a close.
    Disconnect {
        /// The reason code, such as 807.
        code: u16,
    },
    /// Another client takes connections of the account: that many of the oldest get 805,
    /// and while it lasts that many fewer are left. Of the account.
    Displace {
        /// How many, at least 1.
        connections: usize,
    },
    /// Upgrades are refused. Of the account.
    Refuse {
        /// The HTTP status, 300 to 599.
        status: u16,
        /// The `Retry-After` of the answer, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// Upgrades are not answered, neither well nor badly. Of the account.
    Hang,
    /// Requests are taken, and nothing is sent: no data, no ping, no goodbye.
    Mute,
    /// Pings go on, data does not come.
    Stall,
    /// The market is closed: a subscription is answered with the present state, once;
    /// then there is silence, with pings.
    OutOfHours,
    /// Half-open: nothing is read, processed or sent, and the connection does not close.
    /// When that ends, what was received meanwhile is processed.
    Deaf,
    /// Instruments of subscribe messages are lost.
    DropSubscriptions {
        /// Which share, 0 to 1; each instrument by itself, by chance.
        share: f64,
    },
    /// Unsubscribe messages are lost.
    IgnoreUnsubscribe,
    /// Data is late; its order stays.
    Delay {
        /// By how much.
        by: Duration,
    },
    /// Frames carry many packets.
    Coalesce {
        /// How many at most, up to [`MAX_COALESCED`]. A frame carries no more than one
        /// poll or one message leads to.
        packets: usize,
    },
    /// Writes are cut wherever it happens to be, also inside of headers.
    Split {
        /// Bytes in one write at most, at least 1.
        bytes: usize,
    },
    /// Frames of zero bytes.
    Zeros {
        /// How many, up to [`MAX_NOISE`].
        frames_per_s: u32,
    },
    /// Frames of random bytes, none of which begins like a disconnect packet.
    Garbage {
        /// How many, up to [`MAX_NOISE`].
        frames_per_s: u32,
    },
    /// After every packet one with a code that nobody knows.
    Unknown {
        /// The code.
        code: u8,
        /// Its length, header included, 8 to 1,000.
        length: u16,
    },
    /// A market status packet (code 7) is sent, once.
    MarketStatus {
        /// About which segment.
        segment: Segment,
        /// What stands where others have a security id.
        state: u32,
    },
    /// The connection is read slowly.
    SlowReader {
        /// Bytes a second, at least 20.
        bytes_per_s: u32,
    },
    /// The times in packets are off.
    ClockSkew {
        /// By how many seconds; less than 0 is early.
        seconds: i64,
    },
    /// Every token known so far is dead: 807 on all connections, 401 for upgrades. Of
    /// the account.
    TokenExpired,
    /// A new token is valid. Of the account.
    TokenRollover {
        /// Which.
        token: Token,
        /// How long the old ones live on. After that, or at once when it is zero, they
        /// get 807.
        grace: Duration,
    },
    /// Every REST request is answered with a status. Of the account.
    RestError {
        /// Which, 300 to 599.
        status: u16,
    },
}

impl Fault {
    /// The name of its kind, as scripts have it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Close { .. } => "close",
            Self::Disconnect { .. } => "disconnect",
            Self::Displace { .. } => "displace",
            Self::Refuse { .. } => "refuse",
            Self::Hang => "hang",
            Self::Mute => "mute",
            Self::Stall => "stall",
            Self::OutOfHours => "out_of_hours",
            Self::Deaf => "deaf",
            Self::DropSubscriptions { .. } => "drop_subscriptions",
            Self::IgnoreUnsubscribe => "ignore_unsubscribe",
            Self::Delay { .. } => "delay",
            Self::Coalesce { .. } => "coalesce",
            Self::Split { .. } => "split",
            Self::Zeros { .. } => "zeros",
            Self::Garbage { .. } => "garbage",
            Self::Unknown { .. } => "unknown",
            Self::MarketStatus { .. } => "market_status",
            Self::SlowReader { .. } => "slow_reader",
            Self::ClockSkew { .. } => "clock_skew",
            Self::TokenExpired => "token_expired",
            Self::TokenRollover { .. } => "token_rollover",
            Self::RestError { .. } => "rest_error",
        }
    }

    /// Whether it concerns the account and not chosen connections.
    #[must_use]
    pub const fn is_of_account(&self) -> bool {
        matches!(
            self,
            Self::Displace { .. }
                | Self::Refuse { .. }
                | Self::Hang
                | Self::TokenExpired
                | Self::TokenRollover { .. }
                | Self::RestError { .. }
        )
    }

    /// Whether it goes on for a while; the others happen and are over.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::Reset
                | Self::Close { .. }
                | Self::Disconnect { .. }
                | Self::MarketStatus { .. }
                | Self::TokenExpired
                | Self::TokenRollover { .. }
        )
    }

    /// On chosen connections. Means nothing to a fault of the account.
    #[must_use]
    pub fn on(self, sockets: Sockets) -> Incident {
        Incident {
            sockets,
            ..Incident::from(self)
        }
    }

    /// On all connections, for a while.
    #[must_use]
    pub fn lasting(self, duration: Duration) -> Incident {
        Incident::from(self).lasting(duration)
    }
}

/// Which connections a fault befalls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sockets {
    /// All there are; and, as long as a lasting fault lasts, those that come.
    All,
    /// By age among those there are: 1 is the oldest. A lasting fault stays with them
    /// until they end.
    Positions(Vec<usize>),
    /// That many, by chance. A lasting fault stays with them until they end.
    Random(usize),
    /// These. A lasting fault stays with them until they end.
    Sessions(Vec<SessionId>),
}

/// A fault, where it strikes, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What happens.
    pub fault: Fault,
    /// To which connections.
    pub sockets: Sockets,
    /// For how long, if the fault [`lasts`](Fault::lasts); without end when absent.
    pub lasts: Option<Duration>,
}

impl Incident {
    /// For a while.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.lasts = Some(duration);
        self
    }
}

impl From<Fault> for Incident {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            sockets: Sockets::All,
            lasts: None,
        }
    }
}

/// An access token, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
