//! Why a client's socket ends, and what it is told.

use axum::extract::ws::{CloseFrame, Utf8Bytes};
use serde_json::Value;
use strikewire_gateway::StreamEnd;

use crate::{Code, Problem};

/// Why a client's socket ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client said goodbye.
    Client,
    /// The client is gone without a word.
    Lost,
    /// The server stops.
    Stopping,
    /// The client's queue stayed full.
    TooSlow,
    /// The client asks on and on without reading what it is answered.
    Unread,
    /// The client gave no sign of life.
    Idle,
    /// The client did not say who it is, or what it said does not hold, or not any more.
    Unauthorized { id: Value, problem: Problem },
    /// The client's user has too many, or there are too many in all.
    TooManyClients { id: Value, problem: Problem },
    /// The client's key is used too often, or its address has tried too many that nobody
    /// has.
    RateLimited { id: Value, problem: Problem },
    /// The client goes on although it was told that it asks too often.
    Flood,
    /// A message of the client is too long.
    TooLarge { most: usize },
    /// A message of the client is no UTF-8.
    NoText,
    /// What the client sends is no WebSocket.
    Protocol,
}

impl From<StreamEnd> for End {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::TooSlow => Self::TooSlow,
            StreamEnd::Unread => Self::Unread,
            _ => Self::Stopping,
        }
    }
}

impl End {
    /// Nobody, as far as is known.
    pub(super) fn unauthorized(id: Value, why: &str) -> Self {
        let problem = Problem::new(
            Code::Unauthorized,
            format!("{why}; the first message must be {{\"action\":\"auth\",\"key\":...}}"),
        );
        Self::Unauthorized { id, problem }
    }

    /// Nobody was made out, because of this.
    pub(super) fn refused(id: Value, problem: Problem) -> Self {
        match problem.code {
            Code::RateLimited => Self::RateLimited { id, problem },
            _ => Self::Unauthorized { id, problem },
        }
    }

    /// The label of a metric.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Lost => "lost",
            Self::Stopping => "stopping",
            Self::TooSlow | Self::Unread => "too_slow",
            Self::Idle => "idle",
            Self::Unauthorized { .. } => "unauthorized",
            Self::TooManyClients { .. } => "too_many_clients",
            Self::RateLimited { .. } => "rate_limited",
            Self::Flood => "flood",
            Self::TooLarge { .. } => "too_large",
            Self::NoText | Self::Protocol => "protocol",
        }
    }

    /// Every label.
    pub(super) const LABELS: [&str; 11] = [
        "client",
        "lost",
        "stopping",
        "too_slow",
        "idle",
        "unauthorized",
        "too_many_clients",
        "rate_limited",
        "flood",
        "too_large",
        "protocol",
    ];

    /// Whether what waits for the client is still sent: it is there and reads.
    pub(super) const fn lets_finish(&self) -> bool {
        matches!(
            self,
            Self::Stopping
                | Self::Unauthorized { .. }
                | Self::Flood
                | Self::TooLarge { .. }
                | Self::NoText
        )
    }

    /// The error that the client is told before the socket closes.
    pub(super) fn error(&self) -> Option<(Value, Problem)> {
        match self {
            Self::Unauthorized { id, problem }
            | Self::TooManyClients { id, problem }
            | Self::RateLimited { id, problem } => Some((id.clone(), problem.clone())),
            Self::TooLarge { most } => {
                let detail = format!("a message is at most {most} bytes of text");
                Some((Value::Null, Problem::new(Code::TooLarge, detail)))
            }
            _ => None,
        }
    }

    /// What the socket is closed with; none where the client has closed it.
    pub(super) fn frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Client | Self::Lost => return None,
            Self::Stopping => (1001, "the server is stopping"),
            Self::Protocol => (1002, "this is no WebSocket frame"),
            Self::NoText => (1007, "a message is UTF-8"),
            Self::Flood => (1008, "too many messages, and on and on"),
            Self::TooLarge { .. } => (1009, "a message is too long"),
            Self::TooSlow => (4008, "too slow: the queue stayed full"),
            Self::Unread => (4008, "too slow: answers are not read"),
            Self::Unauthorized { .. } => (4401, "a key is needed, and one that is known"),
            Self::Idle => (4408, "no sign of life"),
            Self::TooManyClients { .. } => (4429, "too many clients"),
            Self::RateLimited { .. } => (4429, "too often: come back later"),
        };
        Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        })
    }
}
