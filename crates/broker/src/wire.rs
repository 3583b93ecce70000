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
        /// What was wrong with what it was asked, where that is the reason.
        fault: Option<Fault>,
    },
    /// The peer closed or reset the connection.
    Closed(String),
    /// Nothing arrived for the given time, not even a ping.
    Silent(Duration),
    /// Signs of life came, but for the given time no data, where data was expected.
    Stalled(Duration),
    /// Frames came for the given time, and nothing in them could be decoded.
    Garbled(Duration),
    /// What was asked could not be written for the given time.
    Blocked(Duration),
    /// It was closed from this side, to come back with new credentials.
    Renewed,
    /// It was closed from this side.
    Stopped,
}

impl fmt::Display for DownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(detail) => write!(f, "connecting failed: {detail}"),
            Self::Refused { status } => write!(f, "upgrade refused with HTTP {status}"),
            Self::Disconnected { code, .. } => write!(f, "disconnected with code {code}"),
            Self::Closed(detail) => write!(f, "closed by the peer: {detail}"),
            Self::Silent(limit) => write!(f, "silent for {} s", limit.as_secs()),
            Self::Stalled(limit) => write!(f, "alive but without data for {} s", limit.as_secs()),
            Self::Garbled(limit) => {
                write!(f, "nothing that can be decoded for {} s", limit.as_secs())
            }
            Self::Blocked(limit) => write!(f, "nothing could be written for {} s", limit.as_secs()),
            Self::Renewed => f.write_str("closed to renew its credentials"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// What a broker found wrong with what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// More instruments than the connection may hold.
    TooMany,
    /// A message, or an instrument in it, that the broker does not take.
    BadRequest,
}

/// What concerns the whole feed and no single connection, from the driver to whoever
/// owns the book.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Whether somebody else uses up the account's connections: one connection at a
    /// time is tried while it is so.
    Contended(bool),
    /// Credentials were read and are in use.
    Credentials {
        /// How long they are still good for, where they say so; zero once expired.
        expires_in: Option<Duration>,
    },
    /// There are no usable credentials: they cannot be read, or the broker refuses
    /// them. In words that can be shown. Holds until the next
    /// [`Credentials`](Self::Credentials).
    NoCredentials(String),
    /// The broker has turned the account away for good, in words that can be shown.
    TurnedAway(String),
    /// No connection is tried for a while.
    Held {
        /// For how long from now; zero when that is over.
        wait: Duration,
        /// Why, in words that can be shown.
        reason: String,
    },
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
