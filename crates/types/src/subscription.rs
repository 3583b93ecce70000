use core::fmt;
use core::str::FromStr;

use crate::ParseError;

/// How much of an instrument is asked for; a later mode includes the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Last price and its time.
    Ticker,
    /// With volume, open interest and the day's prices.
    Quote,
    /// With five levels of depth.
    Full,
}

impl Mode {
    /// Every mode, the least first.
    pub const ALL: [Self; 3] = [Self::Ticker, Self::Quote, Self::Full];

    /// `ticker`, `quote` or `full`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticker => "ticker",
            Self::Quote => "quote",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseError::new(text, "a mode: ticker, quote or full"))
    }
}

/// The class of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// On demand: may be evicted, and ends with the day. `TIER_A`.
    A,
    /// Always on: never evicted. `TIER_B`.
    B,
}

impl Tier {
    /// `TIER_A` or `TIER_B`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "TIER_A",
            Self::B => "TIER_B",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [Self::A, Self::B]
            .into_iter()
            .find(|tier| tier.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseError::new(text, "a tier: TIER_A or TIER_B"))
    }
}

/// The dense index of an instrument that is desired or was until a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index into a table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A broker connection, counted from 1 as users see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ConnId(u8);

impl ConnId {
    /// The connection at `index`, counted from 0. At most 254.
    #[must_use]
    pub const fn from_index(index: usize) -> Self {
        assert!(index < 255, "at most 255 connections");
        Self(index as u8 + 1)
    }

    /// Counted from 0, for tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// Counted from 1, for people.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Counts the times a connection came up, so that late messages about an earlier
/// life of it can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The next life.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}
