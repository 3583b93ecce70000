use strikewire_calendar::{Calendar, Class, Session};
use strikewire_types::{Price, Utc};

use super::session::{bar_end, bar_start};
use crate::{Bar, Timeframe};

/// What becomes of a time without trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fill {
    /// No bar.
    #[default]
    None,
    /// A flat bar at the last close with a volume of 0: from the first bar of a session to
    /// its close. Days are never filled.
    Previous,
}

/// Makes longer bars of minutes, aligned to the session.
///
/// Takes final minute bars of one instrument in order; other bars do too, where each lies
/// inside one of the longer ones. What it gives out depends on them alone: how often
/// [`close`](Self::close) is called changes when a bar comes, never what is in it.
/// No call allocates.
#[derive(Debug, Clone)]
pub struct Aggregator {
    timeframe: Timeframe,
    class: Class,
    fill: Fill,
    session: Option<Session>,
    open: Option<Bar>,
    /// The end of what was taken: earlier bars are ignored.
    taken: Utc,
    /// The last bar of this session that was given out.
    last: Option<Bar>,
    gap: Option<(Utc, Utc)>,
    /// Whether nothing is missing before the first minute.
    whole: bool,
}

impl Aggregator {
    /// Its first bar is incomplete, unless it begins with its first minute.
    #[must_use]
    pub fn new(timeframe: Timeframe, class: Class, fill: Fill) -> Self {
        Self {
            timeframe,
            class,
            fill,
            session: None,
            open: None,
            taken: Utc::from_nanos(i64::MIN),
            last: None,
            gap: None,
            whole: false,
        }
    }

    /// Where nothing traded before the first minute that it is given, or nothing that
    /// matters: with candles that were asked for from the start of a bar on.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Takes a minute. A bar is given out with its last minute, or with the first that
    /// comes after it. What is older than what was taken, or lies outside of a session, is
    /// ignored.
    pub fn minute(&mut self, minute: &Bar, calendar: &Calendar, out: &mut impl FnMut(Bar)) {
        if minute.start < self.taken || minute.end <= minute.start {
            return;
        }
        let Some(session) = self.session_at(minute.start, calendar) else {
            return;
        };
        let (start, end) = self.bounds(&session, minute.start);
        if minute.end > end {
            return;
        }
        if self.open.is_some_and(|open| open.start != start) {
            self.emit(out);
        }
        if self.session != Some(session) {
            self.fill_until(Utc::from_nanos(i64::MAX), out);
            self.session = Some(session);
            self.last = None;
        }
        self.fill_until(start, out);
        match &mut self.open {
            Some(open) => merge(open, minute),
            None => {
                if self.taken == Utc::from_nanos(i64::MIN) && !self.whole && start < minute.start {
                    self.gap(start, minute.start);
                }
                let complete = minute.complete && !self.in_gap(start, end);
                self.open = Some(Bar {
                    start,
                    end,
                    complete,
                    ..*minute
                });
            }
        }
        self.taken = minute.end;
        if end <= minute.end {
            self.emit(out);
        }
    }

    /// What the bar that comes next would be if it ended with these minutes, in order, that
    /// are not final yet. None: nothing of it was traded yet.
    #[must_use]
    pub fn forming<'a>(
        &self,
        minutes: impl IntoIterator<Item = &'a Bar>,
        calendar: &Calendar,
    ) -> Option<Bar> {
        let mut forming = self.open;
        for minute in minutes {
            if minute.start < self.taken {
                continue;
            }
            match &mut forming {
                Some(bar) if minute.start < bar.end => merge(bar, minute),
                Some(_) => break,
                None => {
                    let session = self.session_at(minute.start, calendar)?;
                    let (start, end) = self.bounds(&session, minute.start);
                    forming = Some(Bar {
                        start,
                        end,
                        complete: minute.complete && !self.in_gap(start, end),
                        ..*minute
                    });
                }
            }
        }
        forming
    }

    /// All minutes that ended by `until` have been given: gives out what ended by then.
    pub fn close(&mut self, until: Utc, out: &mut impl FnMut(Bar)) {
        if self.open.is_some_and(|open| open.end <= until) {
            self.emit(out);
        }
        self.fill_until(until, out);
    }

    /// Minutes between `from` and `to` may be missing altogether: bars that overlap are
    /// incomplete.
    pub fn gap(&mut self, from: Utc, to: Utc) {
        if to <= from {
            return;
        }
        if let Some(open) = &mut self.open {
            open.complete &= to <= open.start || open.end <= from;
        }
        self.gap = Some(match self.gap {
            // What was given out is not looked at again.
            Some((known_from, known_to)) if known_to > self.taken => {
                (known_from.min(from), known_to.max(to))
            }
            _ => (from, to),
        });
    }

    fn session_at(&self, at: Utc, calendar: &Calendar) -> Option<Session> {
        self.session
            .filter(|session| session.covers(at))
            .or_else(|| calendar.session(self.class, at))
    }

    fn bounds(&self, session: &Session, at: Utc) -> (Utc, Utc) {
        let start = bar_start(session, self.timeframe, at);
        (start, bar_end(session, self.timeframe, start))
    }

    fn in_gap(&self, start: Utc, end: Utc) -> bool {
        self.gap.is_some_and(|(from, to)| from < end && start < to)
    }

    fn emit(&mut self, out: &mut impl FnMut(Bar)) {
        if let Some(bar) = self.open.take() {
            self.taken = self.taken.max(bar.end);
            self.last = Some(bar);
            out(bar);
        }
    }

    /// Flat bars after the last one, as far as they end by `until`.
    fn fill_until(&mut self, until: Utc, out: &mut impl FnMut(Bar)) {
        if self.fill == Fill::None || self.timeframe == Timeframe::Day || self.open.is_some() {
            return;
        }
        let (Some(session), Some(last)) = (self.session, self.last) else {
            return;
        };
        let mut start = last.end;
        while start < session.close {
            let end = bar_end(&session, self.timeframe, start);
            if end > until {
                break;
            }
            self.open = Some(flat(&last, start, end, !self.in_gap(start, end)));
            self.emit(out);
            start = end;
        }
    }
}

fn merge(bar: &mut Bar, minute: &Bar) {
    bar.high = bar.high.max(minute.high);
    bar.low = bar.low.min(minute.low);
    bar.close = minute.close;
    bar.volume = match (bar.volume, minute.volume) {
        (Some(one), Some(next)) => Some(one.saturating_add(next)),
        (one, next) => one.or(next),
    };
    bar.oi = minute.oi.or(bar.oi);
    bar.complete &= minute.complete;
}

fn flat(last: &Bar, start: Utc, end: Utc, complete: bool) -> Bar {
    let price: Price = last.close;
    Bar {
        start,
        end,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: last.volume.map(|_| 0),
        oi: last.oi,
        complete,
    }
}

/// Bars of a whole list of minutes, such as candles of the broker. The last one is given
/// out even when its end has not come; nothing is filled after it.
#[must_use]
pub fn aggregate(
    minutes: &[Bar],
    timeframe: Timeframe,
    class: Class,
    fill: Fill,
    calendar: &Calendar,
) -> Vec<Bar> {
    let mut bars = Vec::new();
    let mut out = |bar| bars.push(bar);
    let mut aggregator = Aggregator::new(timeframe, class, fill).whole();
    for minute in minutes {
        aggregator.minute(minute, calendar, &mut out);
    }
    aggregator.emit(&mut out);
    bars
}

#[cfg(test)]
mod tests;
