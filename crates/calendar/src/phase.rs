use core::fmt;

use jiff::SignedDuration;
use jiff::civil::Date;
use strikewire_types::Utc;

/// What a market does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing: night, holiday, break.
    Closed,
    /// Orders are collected and matched once, before the open.
    PreOpen,
    /// Trading.
    Continuous,
    /// Orders are collected and matched once, after continuous trading.
    Auction,
}

impl Phase {
    /// `closed`, `pre_open`, `continuous` or `auction`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::PreOpen => "pre_open",
            Self::Continuous => "continuous",
            Self::Auction => "auction",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The phase at some point in time, and how long it lasts: a caller that asks often
/// keeps it and asks again when it no longer [covers](Self::covers) the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseAt {
    /// The phase.
    pub phase: Phase,
    /// Since when. Where nothing changed for a very long time (no holiday is that
    /// long), the beginning of what was searched.
    pub since: Utc,
    /// Until when, exclusive. None: it does not change within what was searched.
    pub until: Option<Utc>,
}

impl PhaseAt {
    /// Whether `at` lies in the phase.
    #[must_use]
    pub fn covers(&self, at: Utc) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// A day in India: days since 1970-01-01. Cheaper to look things up by than a date.
pub(crate) type Day = i32;

const EPOCH: Date = Date::constant(1970, 1, 1);

/// The number of `date`.
pub(crate) fn day_of(date: Date) -> Day {
    let days = date.duration_since(EPOCH).as_secs() / 86_400;
    Day::try_from(days).unwrap_or_default()
}

/// The date of a number; none outside the years -9999 to 9999.
pub(crate) fn date_of(day: Day) -> Option<Date> {
    let since = SignedDuration::from_hours(24 * i64::from(day));
    EPOCH.checked_add(since).ok()
}

/// Minutes of a day in India, 0 to 1440 (24:00).
pub(crate) type Minute = u16;

pub(crate) const DAY_MINUTES: Minute = 1440;

/// A phase of a day: from `from` to before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) phase: Phase,
    pub(crate) from: Minute,
    pub(crate) to: Minute,
}

/// The part of the day that contains `minute`: one of `spans`, or the closed time
/// between two.
pub(crate) fn span_at(spans: &[Span], minute: Minute) -> Span {
    let mut from = 0;
    for span in spans {
        if minute < span.from {
            return Span {
                phase: Phase::Closed,
                from,
                to: span.from,
            };
        }
        if minute < span.to {
            return *span;
        }
        from = span.to;
    }
    Span {
        phase: Phase::Closed,
        from,
        to: DAY_MINUTES,
    }
}
