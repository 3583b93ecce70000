//! The grid of time on which the market lives: steps of a quarter of a second,
//! counted by the wall clock of India, so that a day is a whole number of steps.

use jiff::Span;
use jiff::civil::Date;
use strikewire_types::{IST_OFFSET_SECONDS, Utc};

pub(super) const STEPS_PER_SECOND: u64 = 4;
pub(super) const STEPS_PER_DAY: u64 = 86_400 * STEPS_PER_SECOND;

const NANOS_PER_STEP: i64 = 1_000_000_000 / STEPS_PER_SECOND as i64;
const IST_STEPS: i64 = IST_OFFSET_SECONDS as i64 * STEPS_PER_SECOND as i64;

/// The step that `utc` lies in; 0 for times before 1970.
pub(super) fn step_of(utc: Utc) -> u64 {
    u64::try_from(utc.as_nanos().div_euclid(NANOS_PER_STEP) + IST_STEPS).unwrap_or(0)
}

/// The step that `day` begins with; 0 for days before 1970.
pub(super) fn first_step_of(day: Date) -> u64 {
    let days = Date::constant(1970, 1, 1)
        .until(day)
        .map_or(0, |span| span.get_days());
    u64::try_from(days).unwrap_or(0) * STEPS_PER_DAY
}

/// The date of the `day`-th day, as [`day_of`] counts them.
pub(super) fn date_of(day: u64) -> Date {
    i64::try_from(day)
        .ok()
        .and_then(|days| Span::new().try_days(days).ok())
        .and_then(|span| Date::constant(1970, 1, 1).checked_add(span).ok())
        .unwrap_or(Date::MAX)
}

pub(super) const fn day_of(step: u64) -> u64 {
    step / STEPS_PER_DAY
}

/// The true Unix second that a step lies in.
pub(super) const fn unix_seconds(step: u64) -> i64 {
    (step / STEPS_PER_SECOND) as i64 - IST_OFFSET_SECONDS as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn days_begin_at_midnight_in_india() {
        // 2026-02-09T00:00:00+05:30
        let midnight = Utc::from_nanos(1_770_575_400_000_000_000);
        let step = step_of(midnight);
        assert_eq!(step % STEPS_PER_DAY, 0);
        let date = Date::constant(2026, 2, 9);
        assert_eq!((first_step_of(date), date_of(day_of(step))), (step, date));
        assert_eq!(first_step_of(Date::constant(1969, 12, 31)), 0);
        assert_eq!(date_of(u64::MAX), Date::MAX);
        assert_eq!(unix_seconds(step), 1_770_575_400);
        assert_eq!(step_of(midnight + Duration::from_millis(249)), step);
        assert_eq!(step_of(midnight + Duration::from_millis(250)), step + 1);
        assert_eq!(step_of(Utc::from_nanos(i64::MIN)), 0);
    }
}
