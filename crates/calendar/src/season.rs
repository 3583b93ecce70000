use jiff::civil::{Date, Weekday};

/// Whether the United States have daylight-saving time on the night that follows
/// `date`: from the second Sunday of March to before the first Sunday of November
/// (Energy Policy Act of 2005, section 110; in force since 2007).
///
/// The clocks change on a Sunday morning in America, so that Monday is the first
/// day in India that trades at the other times, as the circulars of MCX have it.
pub(crate) fn us_daylight_saving(date: Date) -> bool {
    let sunday = |month: i8, nth: i8| {
        Date::new(date.year(), month, 1)
            .and_then(|first| first.nth_weekday_of_month(nth, Weekday::Sunday))
    };
    match date.month() {
        4..=10 => true,
        3 => sunday(3, 2).is_ok_and(|start| date >= start),
        11 => sunday(11, 1).is_ok_and(|end| date < end),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    /// The Sundays, counted by hand; those of 2023 and 2024 are
    /// also implied by circulars of MCX.
    #[test]
    fn the_american_sundays() {
        for (start, end) in [
            (date(2023, 3, 12), date(2023, 11, 5)),
            (date(2024, 3, 10), date(2024, 11, 3)),
            (date(2025, 3, 9), date(2025, 11, 2)),
            (date(2026, 3, 8), date(2026, 11, 1)),
            (date(2027, 3, 14), date(2027, 11, 7)),
        ] {
            assert!(!us_daylight_saving(start.yesterday().unwrap()), "{start}");
            assert!(us_daylight_saving(start), "{start}");
            assert!(us_daylight_saving(end.yesterday().unwrap()), "{end}");
            assert!(!us_daylight_saving(end), "{end}");
            assert!(!us_daylight_saving(date(start.year(), 1, 1)));
            assert!(us_daylight_saving(date(start.year(), 7, 1)));
            assert!(!us_daylight_saving(date(start.year(), 12, 31)));
        }
    }
}
