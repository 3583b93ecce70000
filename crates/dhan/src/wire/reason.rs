use core::fmt;

use strikewire_broker::Fault;

/// Why the broker ended a connection, by the annexure of the DhanHQ documentation.
/// The data APIs use the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// 800: an error on the broker's side.
    Internal,
    /// 804: too many instruments.
    TooManyInstruments,
    /// 805: too many requests or connections; the oldest connection gets it when
    /// another one is opened beyond the account's limit.
    TooManyConnections,
    /// 806: the account has not subscribed to the data APIs.
    NotSubscribed,
    /// 807: the access token has expired.
    TokenExpired,
    /// 808: authentication failed.
    AuthenticationFailed,
    /// 809: the access token is not valid.
    TokenInvalid,
    /// 810: the client id is not valid.
    ClientIdInvalid,
    /// 811: no such expiry.
    InvalidExpiry,
    /// 812: a date in the wrong format.
    InvalidDate,
    /// 813: no such security id.
    InvalidSecurityId,
    /// 814: a request that is not one.
    InvalidRequest,
    /// Any other number.
    Unknown(u16),
}

/// What a [`Reason`] asks of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Try again with credentials that have been read afresh.
    Token,
    /// Trying again cannot help until somebody changes the account.
    Fatal,
    /// Somebody else uses the account's connections: stay away for a while.
    Contended,
    /// This client asked for something wrong.
    Ours,
    /// Try again.
    Transient,
}

impl Reason {
    /// The reason of a number on the wire.
    #[must_use]
    pub const fn from_code(code: u16) -> Self {
        match code {
            800 => Self::Internal,
            804 => Self::TooManyInstruments,
            805 => Self::TooManyConnections,
            806 => Self::NotSubscribed,
            807 => Self::TokenExpired,
            808 => Self::AuthenticationFailed,
            809 => Self::TokenInvalid,
            810 => Self::ClientIdInvalid,
            811 => Self::InvalidExpiry,
            812 => Self::InvalidDate,
            813 => Self::InvalidSecurityId,
            814 => Self::InvalidRequest,
            other => Self::Unknown(other),
        }
    }

    /// What was wrong with what the broker was asked, where that is the reason.
    #[must_use]
    pub const fn fault(self) -> Option<Fault> {
        match self {
            Self::TooManyInstruments => Some(Fault::TooMany),
            Self::InvalidSecurityId | Self::InvalidRequest => Some(Fault::BadRequest),
            _ => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Internal => 800,
            Self::TooManyInstruments => 804,
            Self::TooManyConnections => 805,
            Self::NotSubscribed => 806,
            Self::TokenExpired => 807,
            Self::AuthenticationFailed => 808,
            Self::TokenInvalid => 809,
            Self::ClientIdInvalid => 810,
            Self::InvalidExpiry => 811,
            Self::InvalidDate => 812,
            Self::InvalidSecurityId => 813,
            Self::InvalidRequest => 814,
            Self::Unknown(code) => code,
        }
    }

    /// What it asks of the client. Numbers that are not documented are transient.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::TokenExpired | Self::AuthenticationFailed | Self::TokenInvalid => Class::Token,
            Self::NotSubscribed | Self::ClientIdInvalid => Class::Fatal,
            Self::TooManyConnections => Class::Contended,
            Self::TooManyInstruments
            | Self::InvalidExpiry
            | Self::InvalidDate
            | Self::InvalidSecurityId
            | Self::InvalidRequest => Class::Ours,
            Self::Internal | Self::Unknown(_) => Class::Transient,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Internal => "internal error of the broker",
            Self::TooManyInstruments => "too many instruments",
            Self::TooManyConnections => "too many requests or connections",
            Self::NotSubscribed => "data APIs not subscribed",
            Self::TokenExpired => "access token expired",
            Self::AuthenticationFailed => "authentication failed",
            Self::TokenInvalid => "access token invalid",
            Self::ClientIdInvalid => "client id invalid",
            Self::InvalidExpiry => "invalid expiry",
            Self::InvalidDate => "invalid date format",
            Self::InvalidSecurityId => "invalid security id",
            Self::InvalidRequest => "invalid request",
            Self::Unknown(_) => "not documented",
        };
        write!(f, "{} ({text})", self.code())
    }
}
