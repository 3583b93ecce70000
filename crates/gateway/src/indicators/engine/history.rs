//! Which candles a series begins with, and what bars they are.

use core::time::Duration;

use strikewire_broker::{Candle, InstrumentClass, Interval};
use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::{Bar, Fill, Timeframe, bar_end, bar_start, bars_before};
use strikewire_types::{IST_OFFSET_SECONDS, Utc};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// How far back candles within the day are asked for: two calls at Dhan, which gives 90
/// days in one (DhanHQ documentation, historical data).
const FARTHEST: Duration = Duration::from_secs(180 * 86_400);

/// The same for candles of an hour, of which there are few. No farther than the other where
/// it is not known that so many are needed.
const FARTHEST_HOURS: Duration = Duration::from_secs(720 * 86_400);

/// How far back days are asked for: Dhan has five years.
const FARTHEST_DAYS: Duration = Duration::from_secs(5 * 365 * 86_400);

/// An instrument that has no candles for so long from where they were asked for was not
/// listed then. Weekends and holidays in a row are shorter.
const UNLISTED: Duration = Duration::from_secs(10 * 86_400);

/// Candles of several minutes that brokers have, by the DhanHQ documentation. Where a
/// broker has them not, or counts them from another time than the open of the session,
/// minutes serve.
const INTERVALS: [u16; 4] = [5, 15, 25, 60];

/// The candles that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    /// Minutes from here on.
    pub(super) minutes_from: Utc,
    /// Before the day's open, candles as long as the bars.
    pub(super) longer: Option<Longer>,
    /// Whether more bars may be had from farther back.
    pub(super) is_farthest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Longer {
    pub(super) interval: Interval,
    pub(super) from: Utc,
    /// Those that begin before.
    pub(super) to: Utc,
}

/// What a series wants of its past.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) timeframe: Timeframe,
    pub(super) class: Class,
    pub(super) fill: Fill,
    /// Bars to begin with.
    pub(super) bars: usize,
    /// The session before is needed, and this one from its open.
    pub(super) anchored: bool,
    /// Candles of minutes only.
    pub(super) minutes_only: bool,
    /// As many bars as there are: before, too few were found.
    pub(super) all: bool,
}

impl Want {
    pub(super) fn need(&self, calendar: &Calendar, at: Utc) -> Need {
        let current = calendar
            .session(self.class, at)
            .or_else(|| calendar.session_before(self.class, at));
        let today = current.map_or(at, |session| session.day_open);
        let interval = match self.timeframe {
            Timeframe::Day => Some(Interval::Day),
            Timeframe::Minutes(minutes) if INTERVALS.contains(&minutes.get()) => {
                Some(Interval::Minutes(minutes.get()))
            }
            Timeframe::Minutes(_) => None,
        };
        // Bars for times without trades are made from minutes.
        let usable =
            self.timeframe == Timeframe::Day || (!self.minutes_only && self.fill == Fill::None);
        let interval = interval.filter(|_| usable);
        let (far, farthest) = match interval {
            Some(Interval::Day) => (FARTHEST_DAYS, FARTHEST_DAYS),
            Some(Interval::Minutes(60)) => (FARTHEST, FARTHEST_HOURS),
            _ => (FARTHEST, FARTHEST),
        };
        let farthest = at - farthest;
        let mut from = bars_before(calendar, self.class, self.timeframe, at, self.bars);
        if self.all {
            from = from.min(at - far);
        }
        if self.anchored
            && let Some(before) = calendar.session_before(self.class, today)
        {
            from = from.min(before.day_open);
        }
        let is_farthest = from <= farthest;
        // A bar that begins in the middle would be none.
        let from = from.max(farthest);
        let from = (calendar.session(self.class, from)).map_or(from, |session| session.day_open);
        let longer = interval.filter(|_| from < today).map(|interval| Longer {
            interval,
            from,
            to: today,
        });
        Need {
            minutes_from: if longer.is_some() {
                today
            } else {
                from.min(today)
            },
            longer,
            is_farthest,
        }
    }
}

impl Need {
    /// Whether the instrument was not listed yet when the candles begin that were asked
    /// for; `first` is when the first of them began. None at all say nothing: a broker that
    /// answers so may be wrong.
    pub(super) fn is_from_listing(&self, first: Option<Utc>) -> bool {
        let from = (self.longer).map_or(self.minutes_from, |longer| longer.from);
        first.is_some_and(|first| first.since(from) > UNLISTED)
    }
}

/// Start of the minute that `at` lies in.
pub(super) fn minute_of(at: Utc) -> Utc {
    const NANOS: i64 = 60_000_000_000;
    Utc::from_nanos(at.as_nanos().div_euclid(NANOS).saturating_mul(NANOS))
}

/// End of the minute that `at` lies in; `at` itself where one begins.
pub(super) fn minute_after(at: Utc) -> Utc {
    let start = minute_of(at);
    if start == at { at } else { start + MINUTE }
}

/// The number of the day that a bar belongs to, and tells sessions apart.
pub(super) fn day_of(calendar: &Calendar, class: Class, start: Utc) -> i32 {
    calendar.session(class, start).map_or_else(
        || {
            let local = start.as_seconds() + i64::from(IST_OFFSET_SECONDS);
            i32::try_from(local.div_euclid(86_400)).unwrap_or_default()
        },
        |session| session.day,
    )
}

/// Candles of minutes as bars, those from `from` on and before `to`.
pub(super) fn minutes(
    candles: &[Candle],
    instrument: InstrumentClass,
    from: Utc,
    to: Utc,
) -> impl Iterator<Item = Bar> {
    candles
        .iter()
        .map(move |candle| {
            let start = candle.at.to_utc();
            bar(candle, instrument, start, start + MINUTE)
        })
        .filter(move |bar| from <= bar.start && bar.start < to)
}

/// Longer candles as bars, those before `to`. None when they do not begin where bars of
/// that length begin.
pub(super) fn longer(
    candles: &[Candle],
    instrument: InstrumentClass,
    want: &Want,
    calendar: &Calendar,
    to: Utc,
) -> Option<Vec<Bar>> {
    let mut bars = Vec::with_capacity(candles.len());
    for candle in candles {
        let at = candle.at.to_utc();
        let session = match want.timeframe {
            // Of a day the date counts, whatever the time that goes with it.
            Timeframe::Day => {
                let date = strikewire_types::ist_date(at);
                calendar.sessions(want.class, date).next()
            }
            Timeframe::Minutes(_) => calendar.session(want.class, at),
        };
        // Auctions make candles too, and no bars.
        let Some(session) = session else { continue };
        let start = bar_start(&session, want.timeframe, at);
        if want.timeframe != Timeframe::Day && start != at {
            return None;
        }
        if start < to {
            let end = bar_end(&session, want.timeframe, start);
            bars.push(bar(candle, instrument, start, end));
        }
    }
    Some(bars)
}

fn bar(candle: &Candle, instrument: InstrumentClass, start: Utc, end: Utc) -> Bar {
    // What brokers call the volume of an index is not quantity traded.
    let traded = instrument != InstrumentClass::Index;
    Bar {
        start,
        end,
        open: candle.open,
        high: candle.high,
        low: candle.low,
        close: candle.close,
        volume: traded.then_some(candle.volume),
        oi: candle.oi.filter(|_| traded),
        complete: true,
    }
}
