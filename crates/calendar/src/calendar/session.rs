use jiff::civil::Date;
use strikewire_types::Utc;

use super::{Calendar, HORIZON, local, minute_of, utc};
use crate::phase::{Day, Span, day_of};
use crate::{Class, Phase};

/// A stretch of continuous trading within one day. A day may have several, with a break
/// between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// When it opens: a whole minute.
    pub open: Utc,
    /// When it closes, exclusive: a whole minute.
    pub close: Utc,
    /// Its day in India, in days since 1970-01-01.
    pub day: i32,
    /// When the first session of its day opens.
    pub day_open: Utc,
    /// When the last session of its day closes.
    pub day_close: Utc,
}

impl Session {
    /// Whether `at` lies in it.
    #[must_use]
    pub fn covers(&self, at: Utc) -> bool {
        self.open <= at && at < self.close
    }
}

/// Continuous trading. Auctions and what comes before the open are no part of it.
impl Calendar {
    /// The session at `at`; none outside. In the endless calendar that of the day, from
    /// 00:00 to 24:00. Takes some tens of nanoseconds.
    #[must_use]
    pub fn session(&self, class: Class, at: Utc) -> Option<Session> {
        let (day, second) = local(at);
        let minute = minute_of(second);
        let index = self
            .spans(class, day)
            .iter()
            .position(|span| span.from <= minute && minute < span.to)?;
        self.session_around(class, day, index)
    }

    /// The sessions of `date`, in order; none on a holiday.
    pub fn sessions(&self, class: Class, date: Date) -> impl Iterator<Item = Session> {
        self.sessions_of(class, day_of(date))
    }

    /// The latest session that opened before `at`; it may still be open. None if there
    /// was none for weeks.
    #[must_use]
    pub fn session_before(&self, class: Class, at: Utc) -> Option<Session> {
        let (today, _) = local(at);
        (today - HORIZON..=today).rev().find_map(|day| {
            self.sessions_of(class, day)
                .filter(|session| session.open < at)
                .last()
        })
    }

    /// The first session that opens after `at`; none if there is none for weeks.
    #[must_use]
    pub fn session_after(&self, class: Class, at: Utc) -> Option<Session> {
        let (today, _) = local(at);
        (today..=today + HORIZON).find_map(|day| {
            self.sessions_of(class, day)
                .find(|session| session.open > at)
        })
    }

    fn sessions_of(&self, class: Class, day: Day) -> impl Iterator<Item = Session> {
        let spans = self.spans(class, day);
        (0..spans.len())
            .filter(|&index| index == 0 || !touch(&spans[index - 1], &spans[index]))
            .filter_map(move |index| self.session_around(class, day, index))
    }

    /// The session that a phase of a day is part of; none if that phase is not continuous.
    fn session_around(&self, class: Class, day: Day, index: usize) -> Option<Session> {
        let spans = self.spans(class, day);
        let span = spans.get(index).filter(|span| trades(span))?;
        let before = spans[..=index].windows(2).rev();
        let after = spans[index..].windows(2);
        let open = before
            .take_while(|pair| touch(&pair[0], &pair[1]))
            .last()
            .map_or(span, |pair| &pair[0]);
        let close = after
            .take_while(|pair| touch(&pair[0], &pair[1]))
            .last()
            .map_or(span, |pair| &pair[1]);
        let first = spans.iter().find(|span| trades(span))?;
        let last = spans.iter().rfind(|span| trades(span))?;
        Some(Session {
            open: utc(day, open.from),
            close: utc(day, close.to),
            day,
            day_open: utc(day, first.from),
            day_close: utc(day, last.to),
        })
    }
}

fn trades(span: &Span) -> bool {
    span.phase == Phase::Continuous
}

/// Whether two neighbouring phases are one stretch of trading.
fn touch(one: &Span, next: &Span) -> bool {
    trades(one) && trades(next) && one.to == next.from
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// Wall-clock times of India, `09:15-15:30 17:00-18:00`.
    fn shown(calendar: &Calendar, class: Class, date: Date) -> String {
        let mut parts = Vec::new();
        for session in calendar.sessions(class, date) {
            assert_eq!(session.day, day_of(date));
            let (open, close) = (session.open.to_string(), session.close.to_string());
            parts.push(format!("{}-{}", &open[11..16], &close[11..16]));
        }
        parts.join(" ")
    }

    fn at(text: &str) -> Utc {
        let timestamp: jiff::Timestamp = format!("{text}+05:30").parse().unwrap();
        Utc::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
    }

    #[test]
    fn sessions_are_the_continuous_phases() {
        let calendar = Calendar::builtin();
        for (class, date, expected) in [
            (Class::NseCash, date(2026, 2, 9), "09:15-15:30"),
            (Class::NseCash, date(2026, 8, 3), "09:15-15:15"),
            (Class::NseDerivatives, date(2026, 8, 3), "09:15-15:40"),
            (Class::NseCash, date(2025, 10, 21), "13:45-14:45"),
            (Class::Mcx, date(2026, 2, 9), "09:00-23:55"),
            (Class::Mcx, date(2026, 7, 1), "09:00-23:30"),
            // Holi 2026: MCX trades in the evening only.
            (Class::Mcx, date(2026, 3, 3), "17:00-23:55"),
            (Class::NseCash, date(2026, 3, 3), ""),
            (Class::NseCash, date(2026, 2, 8), ""),
        ] {
            assert_eq!(shown(&calendar, class, date), expected, "{class} {date}");
        }
        let endless = Calendar::endless();
        let sunday = date(2026, 2, 8);
        assert_eq!(shown(&endless, Class::Mcx, sunday), "00:00-00:00");
        let session = endless.session(Class::Mcx, at("2026-02-08T23:59:59.9"));
        assert_eq!(session.map(|it| it.close), Some(at("2026-02-09T00:00:00")));
    }

    #[test]
    fn a_break_makes_two_sessions_and_a_seam_makes_one() {
        let calendar = Calendar::builtin()
            .with_overrides(
                r#"
                [[special]]
                classes = ["nse_derivatives"]
                date = 2026-02-07
                name = "Drill"
                phases = [
                  { phase = "continuous", from = "09:15", to = "09:30" },
                  { phase = "continuous", from = "09:30", to = "10:00" },
                  { phase = "auction", from = "10:00", to = "10:10" },
                  { phase = "continuous", from = "11:30", to = "12:30" },
                ]
                "#,
            )
            .unwrap();
        let day = date(2026, 2, 7);
        let class = Class::NseDerivatives;
        assert_eq!(shown(&calendar, class, day), "09:15-10:00 11:30-12:30");
        let open = at("2026-02-07T09:15:00");
        for (now, expected) in [
            ("09:14:59.999", None),
            ("09:15:00", Some("09:15")),
            ("09:30:00", Some("09:15")),
            ("09:59:59.999", Some("09:15")),
            ("10:00:00", None),
            ("11:29:59", None),
            ("11:30:00", Some("11:30")),
            ("12:30:00", None),
        ] {
            let session = calendar.session(class, at(&format!("2026-02-07T{now}")));
            let shown = session.map(|it| it.open.to_string()[11..16].to_owned());
            assert_eq!(shown.as_deref(), expected, "{now}");
            assert!(session.is_none_or(
                |it| it.day_open == open && it.covers(at(&format!("2026-02-07T{now}")))
            ));
        }
        let day_close = calendar.session(class, open).map(|it| it.day_close);
        assert_eq!(day_close, Some(at("2026-02-07T12:30:00")));
    }

    #[test]
    fn neighbours_are_found_over_nights_and_holidays() {
        let calendar = Calendar::builtin();
        let class = Class::NseDerivatives;
        let open_of =
            |session: Option<Session>| session.map(|it| it.open.to_string()[..16].to_owned());
        for (now, before, after) in [
            // Friday noon; Sunday; the moment of the open.
            (
                "2026-02-06T12:00:00",
                "2026-02-06T09:15",
                "2026-02-09T09:15",
            ),
            (
                "2026-02-08T12:00:00",
                "2026-02-06T09:15",
                "2026-02-09T09:15",
            ),
            (
                "2026-02-09T09:15:00",
                "2026-02-06T09:15",
                "2026-02-10T09:15",
            ),
            // Holi.
            (
                "2026-03-03T12:00:00",
                "2026-03-02T09:15",
                "2026-03-04T09:15",
            ),
        ] {
            let now = at(now);
            assert_eq!(
                open_of(calendar.session_before(class, now)).as_deref(),
                Some(before)
            );
            assert_eq!(
                open_of(calendar.session_after(class, now)).as_deref(),
                Some(after)
            );
        }
        for extreme in [i64::MIN, i64::MAX] {
            let extreme = Utc::from_nanos(extreme);
            for class in Class::ALL {
                let _ = calendar.session(class, extreme);
                let _ = calendar.session_before(class, extreme);
                let _ = calendar.session_after(class, extreme);
            }
        }
    }
}
