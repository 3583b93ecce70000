use core::time::Duration;

use jiff::civil::{Date, Time};
use strikewire_types::{Exchange, Expiry, IST_OFFSET_SECONDS, Segment, Utc, ist_date};

use crate::phase::{DAY_MINUTES, Day, Minute, Span, date_of, day_of, span_at};
use crate::rules::{Days, Rules};
use crate::{Class, Error, Phase, PhaseAt, file};

mod session;

pub use session::Session;

const BUILTIN: &str = include_str!("../data/calendar.toml");

const DAY_SECONDS: i64 = 86_400;
const NANOS: i64 = 1_000_000_000;

/// How many days a search looks ahead or back. The longest holidays last a few days.
const HORIZON: Day = 60;

/// After a continuous phase has begun, how long silence still means nothing: the
/// first trades need a moment, and the clocks of exchange, broker and gateway differ.
const FIRST_SECONDS: Duration = Duration::from_secs(5);

static ENDLESS: [Span; 1] = [Span {
    phase: Phase::Continuous,
    from: 0,
    to: DAY_MINUTES,
}];

/// When each [`Class`] trades.
///
/// Dates are days in India. A *trading day* has at least one continuous phase; its
/// *end of day* is the end of its last phase, or one configured time.
#[derive(Debug, Clone)]
pub struct Calendar {
    rules: Rules,
    days: Days,
    endless: bool,
    /// Nanoseconds since midnight in India.
    end_of_day: Option<i64>,
}

impl Calendar {
    /// The calendar that is part of the program: `data/calendar.toml`.
    #[must_use]
    pub fn builtin() -> Self {
        file::read(BUILTIN)
            .and_then(Self::compile)
            .expect("a test reads the embedded text")
    }

    /// A calendar without nights, holidays and ends of day: every day of every class
    /// is one continuous phase from 00:00 to 24:00. For the embedded stand-in, which
    /// trades at any hour.
    #[must_use]
    pub fn endless() -> Self {
        Self {
            endless: true,
            ..Self::builtin()
        }
    }

    fn compile(rules: Rules) -> Result<Self, Error> {
        Ok(Self {
            days: rules.compile()?,
            rules,
            endless: false,
            end_of_day: None,
        })
    }

    /// Lays a text of the same format over this calendar: what it says of a class
    /// from a day on, of a class on a day, or of a symbol replaces what was known of
    /// exactly that; everything else stays.
    ///
    /// # Errors
    ///
    /// Every mistake in `toml`, with its place and what would have been accepted.
    pub fn with_overrides(mut self, toml: &str) -> Result<Self, Error> {
        self.rules.merge(file::read(toml)?);
        self.days = self.rules.compile()?;
        Ok(self)
    }

    /// One end-of-day time for all classes, on their trading days, in place of their
    /// last close. It may lie before a session, and says nothing about expiries.
    #[must_use]
    pub fn with_end_of_day_at(mut self, at: Time) -> Self {
        let since_midnight = at.duration_since(Time::midnight());
        self.end_of_day =
            Some(since_midnight.as_secs() * NANOS + i64::from(since_midnight.subsec_nanos()));
        self
    }

    /// The class of an instrument. `symbol` is that of its underlying; it matters at
    /// MCX, where agricultural goods have their own hours. An index belongs to the
    /// cash class of its exchange, at MCX to [`Class::Mcx`].
    #[must_use]
    pub fn class_of(&self, exchange: Exchange, segment: Segment, symbol: &str) -> Class {
        match segment {
            Segment::NseEq => Class::NseCash,
            Segment::NseFno => Class::NseDerivatives,
            Segment::NseCurrency => Class::NseCurrency,
            Segment::BseEq => Class::BseCash,
            Segment::BseFno => Class::BseDerivatives,
            Segment::BseCurrency => Class::BseCurrency,
            Segment::McxComm => self.rules.mcx_class(symbol),
            Segment::IdxI => match exchange {
                Exchange::Nse => Class::NseCash,
                Exchange::Bse => Class::BseCash,
                Exchange::Mcx => Class::Mcx,
            },
        }
    }

    fn spans(&self, class: Class, day: Day) -> &[Span] {
        if self.endless {
            &ENDLESS
        } else {
            self.days.spans(class, day)
        }
    }

    /// The phase at `at`. Takes some tens of nanoseconds in a session; outside, where
    /// the neighbouring sessions have to be found, two or three times that. See
    /// [`PhaseAt::covers`] for how to ask less often.
    #[must_use]
    pub fn phase(&self, class: Class, at: Utc) -> PhaseAt {
        if self.endless {
            return PhaseAt {
                phase: Phase::Continuous,
                since: Utc::from_nanos(i64::MIN),
                until: None,
            };
        }
        let (day, second) = local(at);
        let span = span_at(self.spans(class, day), minute_of(second));
        PhaseAt {
            phase: span.phase,
            since: if span.from == 0 {
                self.began(class, span.phase, day)
            } else {
                utc(day, span.from)
            },
            until: if span.to == DAY_MINUTES {
                self.ends(class, span.phase, day)
            } else {
                Some(utc(day, span.to))
            },
        }
    }

    /// Since when `phase`, which holds at the beginning of `day`, has been going on.
    fn began(&self, class: Class, phase: Phase, day: Day) -> Utc {
        for before in (day - HORIZON..day).rev() {
            let span = span_at(self.spans(class, before), DAY_MINUTES - 1);
            if span.phase != phase {
                return utc(before + 1, 0);
            }
            if span.from > 0 {
                return utc(before, span.from);
            }
        }
        utc(day - HORIZON, 0)
    }

    /// Until when `phase`, which holds at the end of `day`, will go on.
    fn ends(&self, class: Class, phase: Phase, day: Day) -> Option<Utc> {
        for after in day + 1..=day + HORIZON {
            let span = span_at(self.spans(class, after), 0);
            if span.phase != phase {
                return Some(utc(after, 0));
            }
            if span.to < DAY_MINUTES {
                return Some(utc(after, span.to));
            }
        }
        None
    }

    /// Whether the class trades at any time of `date`.
    #[must_use]
    pub fn is_trading_day(&self, class: Class, date: Date) -> bool {
        !self.spans(class, day_of(date)).is_empty()
    }

    /// The start of the first continuous phase of `date`; none on a holiday.
    #[must_use]
    pub fn first_open(&self, class: Class, date: Date) -> Option<Utc> {
        self.open_of(class, day_of(date))
    }

    fn open_of(&self, class: Class, day: Day) -> Option<Utc> {
        let mut spans = self.spans(class, day).iter();
        let first = spans.find(|span| span.phase == Phase::Continuous)?;
        Some(utc(day, first.from))
    }

    /// The end of the last phase of `date`, be it continuous or an auction; none on a
    /// holiday.
    #[must_use]
    pub fn last_close(&self, class: Class, date: Date) -> Option<Utc> {
        self.close_of(class, day_of(date))
    }

    fn close_of(&self, class: Class, day: Day) -> Option<Utc> {
        // A half holiday may leave a pre-open at the end.
        let mut spans = self.spans(class, day).iter().rev();
        let last = spans.find(|span| span.phase != Phase::PreOpen)?;
        Some(utc(day, last.to))
    }

    /// Start and end of the pre-open phase before the first open of `date`; none on a
    /// holiday and for classes without one.
    #[must_use]
    pub fn pre_open(&self, class: Class, date: Date) -> Option<(Utc, Utc)> {
        let day = day_of(date);
        let pre_open = self
            .spans(class, day)
            .iter()
            .take_while(|span| span.phase != Phase::Continuous)
            .filter(|span| span.phase == Phase::PreOpen)
            .last()?;
        Some((utc(day, pre_open.from), utc(day, pre_open.to)))
    }

    /// When `date` is over for what belongs to it: the last close, or the configured
    /// time. None on a holiday, and always in the endless calendar.
    #[must_use]
    pub fn end_of_day(&self, class: Class, date: Date) -> Option<Utc> {
        self.end_of(class, day_of(date))
    }

    fn end_of(&self, class: Class, day: Day) -> Option<Utc> {
        if self.endless {
            return None;
        }
        let close = self.close_of(class, day)?;
        Some(self.end_of_day.map_or(close, |nanos| {
            Utc::from_nanos(utc(day, 0).as_nanos().saturating_add(nanos))
        }))
    }

    /// The first [first open](Self::first_open) of a day that is later than `after`;
    /// none if there is none for weeks.
    #[must_use]
    pub fn next_open(&self, class: Class, after: Utc) -> Option<Utc> {
        let (today, _) = local(after);
        (today..today + HORIZON)
            .filter_map(|day| self.open_of(class, day))
            .find(|open| *open > after)
    }

    /// The first end of day that is later than `after`, and its day; none if there
    /// is none for weeks.
    #[must_use]
    pub fn next_end_of_day(&self, class: Class, after: Utc) -> Option<(Date, Utc)> {
        let (today, _) = local(after);
        let mut days = today..today + HORIZON;
        self.first_end(class, &mut days, |end| end > after)
    }

    /// The latest end of day at or before `at`, and its day; none if there is none
    /// for weeks.
    #[must_use]
    pub fn last_end_of_day(&self, class: Class, at: Utc) -> Option<(Date, Utc)> {
        let (today, _) = local(at);
        let mut days = (today - HORIZON..=today).rev();
        self.first_end(class, &mut days, |end| end <= at)
    }

    /// The first of `days` whose end of day is `wanted`.
    fn first_end(
        &self,
        class: Class,
        days: &mut dyn Iterator<Item = Day>,
        wanted: impl Fn(Utc) -> bool,
    ) -> Option<(Date, Utc)> {
        if self.endless {
            return None;
        }
        let (day, end) = days
            .filter_map(|day| Some((day, self.end_of(class, day)?)))
            .find(|(_, end)| wanted(*end))?;
        Some((date_of(day)?, end))
    }

    /// The day that something added at `at` belongs to: the first trading day whose
    /// end of day is still to come. The date in India in the endless calendar, and
    /// where there is no such day for weeks.
    #[must_use]
    pub fn trading_day(&self, class: Class, at: Utc) -> Date {
        self.next_end_of_day(class, at)
            .map_or_else(|| ist_date(at), |(date, _)| date)
    }

    /// Whether silence of a liquid instrument would be a fault: a continuous phase,
    /// but for its first seconds.
    #[must_use]
    pub fn expects_traffic(&self, class: Class, at: Utc) -> bool {
        let now = self.phase(class, at);
        now.phase == Phase::Continuous && at.since(now.since) >= FIRST_SECONDS
    }

    /// Whether the last session of a contract of this class that expires on `expiry`
    /// has ended at `at`; if that day is a holiday, whether it has passed.
    #[must_use]
    pub fn expiry_ended(&self, class: Class, expiry: Expiry, at: Utc) -> bool {
        let date = expiry.date();
        self.last_close(class, date)
            .map_or_else(|| ist_date(at) > date, |close| at >= close)
    }
}

/// The day in India at `at`, and the seconds since its midnight.
fn local(at: Utc) -> (Day, i64) {
    let seconds = at.as_seconds() + i64::from(IST_OFFSET_SECONDS);
    let day = Day::try_from(seconds.div_euclid(DAY_SECONDS)).unwrap_or_default();
    (day, seconds.rem_euclid(DAY_SECONDS))
}

/// A minute of `day`.
fn utc(day: Day, minute: Minute) -> Utc {
    let local = i64::from(day) * DAY_SECONDS + i64::from(minute) * 60;
    Utc::from_nanos((local - i64::from(IST_OFFSET_SECONDS)).saturating_mul(NANOS))
}

fn minute_of(second: i64) -> Minute {
    Minute::try_from(second / 60).unwrap_or(DAY_MINUTES - 1)
}

#[cfg(test)]
mod tests;
