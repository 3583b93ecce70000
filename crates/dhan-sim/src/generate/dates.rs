//! When contracts expire: a simple rule without holidays, good for any date.

use jiff::ToSpan;
use jiff::civil::{Date, Weekday};

/// The first `weekday` on or after `date`.
pub(super) fn on_or_after(date: Date, weekday: Weekday) -> Date {
    let days = i64::from(date.weekday().until(weekday));
    later(date, days)
}

/// `days` later, or the last day there is.
pub(super) fn later(date: Date, days: i64) -> Date {
    date.saturating_add(days.days())
}

/// The first day of the month `months` after that of `date`.
pub(super) fn month(date: Date, months: i64) -> Date {
    date.first_of_month().saturating_add(months.months())
}

/// The last `weekday` of the month of `date`.
pub(super) fn last_of_month(date: Date, weekday: Weekday) -> Date {
    let last = date.last_of_month();
    later(last, -i64::from(weekday.until(last.weekday())))
}

/// Day `day` of the month of `date`, or the Friday before if that is a weekend; the
/// last day where the month is shorter.
pub(super) fn day_of_month(date: Date, day: i8) -> Date {
    let day = day.min(date.days_in_month());
    working_day(later(date.first_of_month(), i64::from(day) - 1))
}

/// Two working days before the last working day of the month of `date`: when
/// currencies expire.
pub(super) fn currency_month(date: Date) -> Date {
    let last = working_day(date.last_of_month());
    working_day(later(working_day(later(last, -1)), -1))
}

fn working_day(date: Date) -> Date {
    match date.weekday() {
        Weekday::Saturday => later(date, -1),
        Weekday::Sunday => later(date, -2),
        _ => date,
    }
}

/// The next `count` monthly expiries from `as_of` on, each the one that `of` gives
/// for its month; months that `every` does not divide have none.
pub(super) fn monthly(
    as_of: Date,
    every: i8,
    count: usize,
    of: impl Fn(Date) -> Date,
) -> impl Iterator<Item = Date> {
    (0..)
        .map(move |months| month(as_of, months))
        .filter(move |first| first.month() % every == 0)
        .map(of)
        .filter(move |expiry| *expiry >= as_of)
        .take(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn weekly_and_monthly_expiries() {
        // February 2026 as it was: Tuesdays 3, 10, 17, 24, Thursdays 5, 12, 19, 26.
        let today = date(2026, 2, 9);
        assert_eq!(on_or_after(today, Weekday::Tuesday), date(2026, 2, 10));
        assert_eq!(
            on_or_after(date(2026, 2, 10), Weekday::Tuesday),
            date(2026, 2, 10)
        );
        assert_eq!(last_of_month(today, Weekday::Tuesday), date(2026, 2, 24));
        assert_eq!(last_of_month(today, Weekday::Saturday), date(2026, 2, 28));
        assert_eq!(
            last_of_month(date(2026, 3, 1), Weekday::Tuesday),
            date(2026, 3, 31)
        );
        let tuesdays: Vec<Date> = monthly(date(2026, 2, 25), 1, 2, |month| {
            last_of_month(month, Weekday::Tuesday)
        })
        .collect();
        assert_eq!(tuesdays, [date(2026, 3, 31), date(2026, 4, 28)]);
        let quarters: Vec<Date> =
            monthly(today, 3, 2, |month| last_of_month(month, Weekday::Tuesday)).collect();
        assert_eq!(quarters, [date(2026, 3, 31), date(2026, 6, 30)]);
    }

    #[test]
    fn days_of_a_month_are_working_days() {
        assert_eq!(day_of_month(date(2026, 2, 1), 31), date(2026, 2, 27));
        assert_eq!(day_of_month(date(2026, 4, 1), 5), date(2026, 4, 3));
        assert_eq!(day_of_month(date(2026, 2, 1), 17), date(2026, 2, 17));
        // 25 February 2026 as listed; the 27th was the last working day.
        assert_eq!(currency_month(date(2026, 2, 1)), date(2026, 2, 25));
        assert_eq!(currency_month(date(2026, 3, 1)), date(2026, 3, 27));
    }
}
