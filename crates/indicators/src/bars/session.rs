use core::time::Duration;

use strikewire_calendar::{Calendar, Class, Session};
use strikewire_types::Utc;

use crate::Timeframe;

/// The session at `at`; none outside of continuous trading.
#[must_use]
pub fn session_of(calendar: &Calendar, class: Class, at: Utc) -> Option<Session> {
    calendar.session(class, at)
}

/// When the bar of `at` starts. What lies outside of the session counts as its first or
/// last moment. A daily bar starts when its day opens.
#[must_use]
pub fn bar_start(session: &Session, timeframe: Timeframe, at: Utc) -> Utc {
    match timeframe {
        Timeframe::Day => session.day_open,
        Timeframe::Minutes(_) => {
            let last = session.close - Duration::from_nanos(1);
            let since = at.min(last).since(session.open).as_nanos();
            let bars = since / timeframe.length().as_nanos();
            session.open + timeframe.length() * u32::try_from(bars).unwrap_or(u32::MAX)
        }
    }
}

/// When the bar that starts at `start` ends: at the close of the session at the latest. A
/// daily bar ends when its day closes.
#[must_use]
pub fn bar_end(session: &Session, timeframe: Timeframe, start: Utc) -> Utc {
    match timeframe {
        Timeframe::Day => session.day_close,
        Timeframe::Minutes(_) => (start + timeframe.length()).min(session.close),
    }
}

/// The start of the bar that is `count` bars before the one of `at`, or before the next
/// one where `at` lies outside of trading; as if all of them had trades. From then on
/// candles are needed for `count` bars. Where the calendar knows no sessions for weeks,
/// the earliest that it found.
#[must_use]
pub fn bars_before(
    calendar: &Calendar,
    class: Class,
    timeframe: Timeframe,
    at: Utc,
    count: usize,
) -> Utc {
    let mut start = calendar
        .session(class, at)
        .map_or(at, |session| bar_start(&session, timeframe, at));
    let mut left = count;
    while left > 0 {
        let Some(session) = calendar.session_before(class, start) else {
            break;
        };
        if timeframe == Timeframe::Day {
            start = session.day_open;
            left -= 1;
            continue;
        }
        let until = start.min(session.close);
        let length = timeframe.length().as_nanos();
        let bars = until.since(session.open).as_nanos().div_ceil(length);
        let bars = usize::try_from(bars).unwrap_or(usize::MAX);
        let skipped = u32::try_from(bars.saturating_sub(left)).unwrap_or(u32::MAX);
        start = session.open + timeframe.length() * skipped;
        left = left.saturating_sub(bars);
    }
    start
}
