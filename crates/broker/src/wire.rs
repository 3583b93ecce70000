use core::fmt;
use core::time::Duration;

use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode};

/// What happened to a connection, from the driver to the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnEvent {
    /// It is live; nothing is subscribed on it. `epoch` is new.
    Up {
        /// Which connection.
        conn: ConnId,
        /// Its new life.
        epoch: Epoch,
    },
    /// It can take one batch, and the previous one has been written to the socket.
    Ready {
        /// Which connection.
        conn: ConnId,
        /// The life it speaks of.
        epoch: Epoch,
    },
    /// It is down, with all that was subscribed on it.
    Down {
        /// Which connection.
        conn: ConnId,
        /// The life that ended, or that did not begin.
        epoch: Epoch,
        /// Why.
        cause: DownCause,
        /// When the next attempt comes; absent when there will be none.
        retry_in: Option<Duration>,
    },
}

impl ConnEvent {
    /// The connection it is about.
    #[must_use]
    pub const fn conn(&self) -> ConnId {
        match *self {
            Self::Up { conn, .. } | Self::Ready { conn, .. } | Self::Down { conn, .. } => conn,
        }
    }
}

/// Why a connection went down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownCause {
    /// No connection was made in time or at all.
    Connect(String),
    /// The upgrade was answered with another status.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The broker said goodbye with a code of its own.
    Disconnected {
        /// The broker's reason code, as in its documentation.
        code: u16,
    },
    /// The peer closed or reset the connection.
    Closed(String),
    /// Nothing arrived for the given time, not even a ping.
    Silent(Duration),
    /// It was closed from this side.
    Stopped,
}

impl fmt::Display for DownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(detail) => write!(f, "connecting failed: {detail}"),
            Self::Refused { status } => write!(f, "upgrade refused with HTTP {status}"),
            Self::Disconnected { code } => write!(f, "disconnected with code {code}"),
            Self::Closed(detail) => write!(f, "closed by the peer: {detail}"),
            Self::Silent(limit) => write!(f, "silent for {} s", limit.as_secs()),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// What a batch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireOp {
    /// Ask for the instruments in a mode.
    Subscribe(Mode),
    /// Let go of the instruments in a mode.
    Unsubscribe(Mode),
}

/// One message to the broker: one operation on instruments of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireBatch {
    /// The connection it is for.
    pub conn: ConnId,
    /// The life of that connection it was made for; another one ignores it.
    pub epoch: Epoch,
    /// What to do.
    pub op: WireOp,
    /// With which instruments; at most [`Capabilities::per_batch`](crate::Capabilities).
    pub keys: Vec<InstrumentKey>,
}
