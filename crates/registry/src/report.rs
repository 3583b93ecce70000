use core::fmt;
use std::collections::BTreeMap;

use strikewire_types::Segment;

/// What became of the rows of a master: `rows = loaded + skipped + rejected`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadReport {
    /// Rows in the file, without the header.
    pub rows: u64,
    /// Instruments in the registry.
    pub loaded: u64,
    /// Good rows that were left out, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Rows that make no sense.
    pub rejected: u64,
    /// The first rejected rows, at most 20.
    pub samples: Vec<Rejection>,
    /// Instruments in the registry by segment.
    pub by_segment: BTreeMap<Segment, u64>,
    /// Distinct pairs of exchange and symbol on which a derivative was loaded.
    pub underlyings: u64,
    /// Option contracts in the registry.
    pub option_contracts: u64,
}

impl LoadReport {
    /// All rows that were skipped.
    #[must_use]
    pub fn skipped_total(&self) -> u64 {
        self.skipped.values().sum()
    }
}

/// Why a row that is in order was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its exchange and segment have no code in the feed, such as NSE's segment M:
    /// nothing in it can be subscribed.
    SegmentNotInFeed,
    /// It expired before the as-of date.
    Expired,
    /// The exchange's own test instruments (`NSETEST`).
    TestInstrument,
}

impl SkipReason {
    /// `segment_not_in_feed`, `expired` or `test_instrument`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SegmentNotInFeed => "segment_not_in_feed",
            Self::Expired => "expired",
            Self::TestInstrument => "test_instrument",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A row that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The line of the file, the header being line 1.
    pub line: u64,
    /// The column by its name in the header.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}: {}", self.line, self.field, self.reason)
    }
}
