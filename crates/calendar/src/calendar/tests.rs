use super::*;
use jiff::civil::date;

/// A wall-clock time of India.
fn at(text: &str) -> Utc {
    let timestamp: jiff::Timestamp = format!("{text}+05:30").parse().unwrap();
    Utc::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

/// The wall-clock time of India, `2026-02-09T10:00`.
fn show(utc: Utc) -> String {
    let text = utc.to_string();
    assert!(text.ends_with(":00.000+05:30"), "{text}");
    text[..16].to_owned()
}

/// One line: the phases of a day, and what is closed left out.
fn hours(calendar: &Calendar, class: Class, date: Date) -> String {
    let mut line = Vec::new();
    let mut now = calendar.phase(class, utc(day_of(date), 0));
    let end = utc(day_of(date), DAY_MINUTES);
    while now.since < end {
        let until = now.until.unwrap();
        if now.phase != Phase::Closed {
            let (since, until) = (show(now.since), show(until));
            line.push(format!("{} {}-{}", now.phase, &since[11..], &until[11..]));
        }
        now = calendar.phase(class, until);
    }
    line.join(", ")
}

fn check(class: Class, date: Date, expected: &str) {
    let calendar = Calendar::builtin();
    assert_eq!(hours(&calendar, class, date), expected, "{class} {date}");
    assert_eq!(
        calendar.is_trading_day(class, date),
        !expected.is_empty(),
        "{class} {date}"
    );
}

const CASH: &str = "pre_open 09:00-09:15, continuous 09:15-15:30";
const CASH_AUCTION: &str = "pre_open 09:00-09:15, continuous 09:15-15:15, auction 15:15-15:35";
const DERIVATIVES: &str = "continuous 09:15-15:30";
const DERIVATIVES_LATER: &str = "continuous 09:15-15:40";
const CURRENCY: &str = "continuous 09:00-17:00";
const MCX_SUMMER: &str = "continuous 09:00-23:30";
const MCX_WINTER: &str = "continuous 09:00-23:55";
const AGRI: &str = "continuous 09:00-17:00";
const AGRI_EVENING: &str = "continuous 09:00-21:00";

#[test]
fn a_normal_monday_in_february_2026() {
    for (class, expected) in [
        (Class::NseCash, CASH),
        (Class::BseCash, CASH),
        (Class::NseDerivatives, DERIVATIVES),
        (Class::BseDerivatives, DERIVATIVES),
        (Class::NseCurrency, CURRENCY),
        (Class::BseCurrency, CURRENCY),
        (Class::Mcx, MCX_WINTER),
        (Class::McxAgri, AGRI),
        (Class::McxAgriEvening, AGRI_EVENING),
    ] {
        check(class, date(2026, 2, 9), expected);
        check(class, date(2026, 2, 8), "");
        check(class, date(2026, 2, 7), "");
    }
}

#[test]
fn the_hours_change_on_2026_08_03() {
    for (class, before, after) in [
        (Class::NseCash, CASH, CASH_AUCTION),
        (Class::BseCash, CASH, CASH_AUCTION),
        (Class::NseDerivatives, DERIVATIVES, DERIVATIVES_LATER),
        (Class::BseDerivatives, DERIVATIVES, DERIVATIVES_LATER),
        (Class::NseCurrency, CURRENCY, CURRENCY),
        (Class::Mcx, MCX_SUMMER, MCX_SUMMER),
    ] {
        check(class, date(2026, 7, 31), before);
        check(class, date(2026, 8, 3), after);
    }
}

/// The last day before and the first after each change of the American clocks. 2023
/// and 2024 as the circulars of MCX have them.
#[test]
fn mcx_closes_later_in_the_american_winter() {
    for (winter, summer) in [
        (date(2023, 11, 6), date(2023, 11, 3)),
        (date(2024, 3, 8), date(2024, 3, 11)),
        (date(2024, 11, 4), date(2024, 11, 1)),
        (date(2025, 3, 7), date(2025, 3, 10)),
        (date(2025, 11, 3), date(2025, 10, 31)),
        (date(2026, 3, 6), date(2026, 3, 9)),
        (date(2026, 11, 2), date(2026, 10, 30)),
        (date(2027, 3, 12), date(2027, 3, 15)),
        (date(2027, 11, 8), date(2027, 11, 5)),
    ] {
        check(Class::Mcx, winter, MCX_WINTER);
        check(Class::Mcx, summer, MCX_SUMMER);
        check(Class::McxAgri, summer, AGRI);
        check(Class::McxAgriEvening, summer, AGRI_EVENING);
    }
}

#[test]
fn muhurat_stands_on_a_holiday() {
    let day = date(2025, 10, 21);
    let hour = "continuous 13:45-14:45";
    check(
        Class::NseCash,
        day,
        "pre_open 13:30-13:45, continuous 13:45-14:45",
    );
    for class in [
        Class::BseDerivatives,
        Class::NseCurrency,
        Class::Mcx,
        Class::McxAgri,
    ] {
        check(class, day, hour);
    }
    check(Class::NseCash, date(2025, 10, 22), "");
}

#[test]
fn weekends_with_a_budget() {
    for day in [date(2025, 2, 1), date(2026, 2, 1)] {
        check(Class::NseCash, day, CASH);
        check(Class::BseDerivatives, day, DERIVATIVES);
        for class in [Class::Mcx, Class::McxAgri, Class::McxAgriEvening] {
            check(class, day, "continuous 09:00-17:00");
        }
        check(Class::NseCurrency, day, "");
    }
}

#[test]
fn whole_and_half_holidays() {
    for (class, day, expected) in [
        (Class::NseCash, date(2026, 1, 26), ""),
        (Class::Mcx, date(2026, 1, 26), ""),
        // Holi: MCX only in the evening; before the American summer, so until 23:55.
        (Class::NseDerivatives, date(2026, 3, 3), ""),
        (Class::Mcx, date(2026, 3, 3), "continuous 17:00-23:55"),
        (Class::McxAgri, date(2026, 3, 3), ""),
        (
            Class::McxAgriEvening,
            date(2026, 3, 3),
            "continuous 17:00-21:00",
        ),
        (Class::Mcx, date(2026, 3, 31), "continuous 17:00-23:30"),
        // New Year: MCX only in the morning, the others all day.
        (Class::NseCash, date(2026, 1, 1), CASH),
        (Class::Mcx, date(2026, 1, 1), "continuous 09:00-17:00"),
        (
            Class::McxAgriEvening,
            date(2026, 1, 1),
            "continuous 09:00-17:00",
        ),
        (Class::McxAgri, date(2026, 1, 1), AGRI),
        // Banks are closed more often than exchanges.
        (Class::NseCurrency, date(2026, 2, 19), ""),
        (Class::NseCash, date(2026, 2, 19), CASH),
        (Class::NseCash, date(2026, 1, 15), ""),
        (Class::Mcx, date(2026, 1, 15), "continuous 17:00-23:55"),
    ] {
        check(class, day, expected);
    }
}

/// The weekdays of a year on which a class does not trade.
fn closed_weekdays(class: Class, year: i16) -> Vec<(i8, i8)> {
    let calendar = Calendar::builtin();
    let days = date(year, 1, 1).series(jiff::Span::new().days(1));
    days.take_while(|day| day.year() == year)
        .filter(|day| day.weekday().to_monday_one_offset() <= 5)
        .filter(|day| !calendar.is_trading_day(class, *day))
        .map(|day| (day.month(), day.day()))
        .collect()
}

/// 2026 by NSE/CMTR/71775 and the elections of January, 2025 by the number of days that
/// NSE announced, with Muhurat as a day that trades.
#[test]
fn the_holidays_of_whole_years() {
    let expected = [
        (1, 15),
        (1, 26),
        (3, 3),
        (3, 26),
        (3, 31),
        (4, 3),
        (4, 14),
        (5, 1),
        (5, 28),
        (6, 26),
        (9, 14),
        (10, 2),
        (10, 20),
        (11, 10),
        (11, 24),
        (12, 25),
    ];
    for class in [
        Class::NseCash,
        Class::NseDerivatives,
        Class::BseCash,
        Class::BseDerivatives,
    ] {
        assert_eq!(closed_weekdays(class, 2026), expected);
        assert_eq!(closed_weekdays(class, 2025).len(), 14 - 1);
    }
    // 19 by NSE/CD/71962, and the elections.
    assert_eq!(closed_weekdays(Class::NseCurrency, 2026).len(), 19 + 1);
    let mcx = [(1, 26), (4, 3), (10, 2), (12, 25)];
    assert_eq!(closed_weekdays(Class::Mcx, 2026), mcx);
    let mcx = [(4, 18), (8, 15), (10, 2), (12, 25)];
    assert_eq!(closed_weekdays(Class::Mcx, 2025), mcx);
}

/// Expiries that the instrument master of February 2026 has a day early, because the
/// day itself is a holiday: Tuesdays of NSE on Monday, Thursdays of BSE on Wednesday.
#[test]
fn expiries_that_were_moved_agree_with_the_holidays() {
    let calendar = Calendar::builtin();
    for (class, expiry) in [
        (Class::NseDerivatives, date(2026, 3, 2)),
        (Class::NseDerivatives, date(2026, 3, 30)),
        (Class::BseDerivatives, date(2026, 3, 25)),
    ] {
        assert!(calendar.is_trading_day(class, expiry));
        assert!(!calendar.is_trading_day(class, expiry.tomorrow().unwrap()));
    }
}

#[test]
fn instruments_have_classes() {
    let calendar = Calendar::builtin();
    for (exchange, segment, symbol, expected) in [
        (Exchange::Nse, Segment::IdxI, "NIFTY", Class::NseCash),
        (Exchange::Bse, Segment::IdxI, "SENSEX", Class::BseCash),
        (Exchange::Mcx, Segment::IdxI, "MCXBULLDEX", Class::Mcx),
        (Exchange::Nse, Segment::NseEq, "COTTON", Class::NseCash),
        (
            Exchange::Nse,
            Segment::NseFno,
            "NIFTY",
            Class::NseDerivatives,
        ),
        (
            Exchange::Nse,
            Segment::NseCurrency,
            "USDINR",
            Class::NseCurrency,
        ),
        (Exchange::Bse, Segment::BseEq, "RELIANCE", Class::BseCash),
        (
            Exchange::Bse,
            Segment::BseFno,
            "SENSEX",
            Class::BseDerivatives,
        ),
        (
            Exchange::Bse,
            Segment::BseCurrency,
            "USDINR",
            Class::BseCurrency,
        ),
        (Exchange::Mcx, Segment::McxComm, "GOLD", Class::Mcx),
        (Exchange::Mcx, Segment::McxComm, "CARDAMOM", Class::McxAgri),
        (Exchange::Mcx, Segment::McxComm, "MENTHAOIL", Class::McxAgri),
        (
            Exchange::Mcx,
            Segment::McxComm,
            "COTTON",
            Class::McxAgriEvening,
        ),
        (
            Exchange::Mcx,
            Segment::McxComm,
            "kapas",
            Class::McxAgriEvening,
        ),
        (Exchange::Mcx, Segment::McxComm, "COTTO", Class::Mcx),
        (Exchange::Mcx, Segment::McxComm, "COTTONS", Class::Mcx),
        (Exchange::Mcx, Segment::McxComm, "", Class::Mcx),
    ] {
        assert_eq!(
            calendar.class_of(exchange, segment, symbol),
            expected,
            "{segment} {symbol}"
        );
    }
}

#[test]
fn a_phase_knows_its_ends_to_the_nanosecond() {
    let calendar = Calendar::builtin();
    let open = at("2026-02-09T09:15:00");
    let before = Utc::from_nanos(open.as_nanos() - 1);
    let pre_open = calendar.phase(Class::NseCash, before);
    assert_eq!(pre_open.phase, Phase::PreOpen);
    assert_eq!(pre_open.since, at("2026-02-09T09:00:00"));
    assert_eq!(pre_open.until, Some(open));
    assert!(pre_open.covers(before) && !pre_open.covers(open));
    let continuous = calendar.phase(Class::NseCash, open);
    assert_eq!(continuous.phase, Phase::Continuous);
    assert_eq!(continuous.since, open);
    assert!(continuous.covers(open) && !continuous.covers(before));
}

#[test]
fn a_closed_phase_reaches_over_weekends_and_holidays() {
    let calendar = Calendar::builtin();
    // Friday is Good Friday, Thursday the last day before.
    let night = calendar.phase(Class::NseDerivatives, at("2026-04-04T12:00:00"));
    assert_eq!(night.phase, Phase::Closed);
    assert_eq!(night.since, at("2026-04-02T15:30:00"));
    assert_eq!(night.until, Some(at("2026-04-06T09:15:00")));
}

#[test]
fn the_questions_about_a_day() {
    let calendar = Calendar::builtin();
    let monday = date(2026, 2, 9);
    let sunday = date(2026, 2, 8);
    let class = Class::NseCash;
    assert_eq!(
        calendar.first_open(class, monday),
        Some(at("2026-02-09T09:15:00"))
    );
    assert_eq!(
        calendar.last_close(class, monday),
        Some(at("2026-02-09T15:30:00"))
    );
    assert_eq!(
        calendar.end_of_day(class, monday),
        Some(at("2026-02-09T15:30:00"))
    );
    assert_eq!(
        calendar.pre_open(class, monday),
        Some((at("2026-02-09T09:00:00"), at("2026-02-09T09:15:00")))
    );
    assert_eq!(calendar.pre_open(Class::NseDerivatives, monday), None);
    assert_eq!(
        calendar.last_close(class, date(2026, 8, 3)),
        Some(at("2026-08-03T15:35:00"))
    );
    assert_eq!(calendar.first_open(class, sunday), None);
    assert_eq!(calendar.last_close(class, sunday), None);
    assert_eq!(calendar.end_of_day(class, sunday), None);
    assert_eq!(calendar.pre_open(class, sunday), None);
}

#[test]
fn ends_of_day_and_trading_days_around_a_weekend() {
    let calendar = Calendar::builtin();
    let class = Class::NseDerivatives;
    let friday = (date(2026, 2, 6), at("2026-02-06T15:30:00"));
    let monday = (date(2026, 2, 9), at("2026-02-09T15:30:00"));
    for (now, last, next) in [
        ("2026-02-06T15:29:59", None, friday),
        ("2026-02-06T15:30:00", Some(friday), monday),
        ("2026-02-08T12:00:00", Some(friday), monday),
        ("2026-02-09T15:29:59", Some(friday), monday),
    ] {
        let now = at(now);
        if let Some(last) = last {
            assert_eq!(calendar.last_end_of_day(class, now), Some(last));
        }
        assert_eq!(calendar.next_end_of_day(class, now), Some(next));
        assert_eq!(calendar.trading_day(class, now), next.0);
    }
    assert_eq!(
        calendar.next_open(class, at("2026-02-06T09:15:00")),
        Some(at("2026-02-09T09:15:00"))
    );
    assert_eq!(
        calendar.next_open(class, at("2026-02-09T09:14:59")),
        Some(at("2026-02-09T09:15:00"))
    );
}

#[test]
fn one_end_of_day_for_all() {
    let calendar = Calendar::builtin().with_end_of_day_at(jiff::civil::time(15, 30, 30, 5));
    let expected = Utc::from_nanos(at("2026-02-09T15:30:30").as_nanos() + 5);
    for class in Class::ALL {
        let monday = date(2026, 2, 9);
        assert_eq!(calendar.end_of_day(class, monday), Some(expected));
        assert_eq!(calendar.end_of_day(class, date(2026, 2, 8)), None);
        assert_eq!(
            calendar.trading_day(class, at("2026-02-09T20:00:00")),
            date(2026, 2, 10)
        );
    }
    // Closes and expiries stay where they are.
    let expiry = Expiry::new(date(2026, 2, 9));
    assert!(!calendar.expiry_ended(Class::Mcx, expiry, at("2026-02-09T23:54:59")));
    assert_eq!(
        calendar.last_close(Class::Mcx, date(2026, 2, 9)),
        Some(at("2026-02-09T23:55:00"))
    );
}

#[test]
fn expiries_end_with_their_last_session() {
    let calendar = Calendar::builtin();
    for (class, expiry, now, expected) in [
        (
            Class::NseDerivatives,
            date(2026, 2, 10),
            "2026-02-10T15:29:59",
            false,
        ),
        (
            Class::NseDerivatives,
            date(2026, 2, 10),
            "2026-02-10T15:30:00",
            true,
        ),
        (
            Class::NseDerivatives,
            date(2026, 2, 10),
            "2026-02-09T15:30:00",
            false,
        ),
        (
            Class::NseDerivatives,
            date(2026, 2, 10),
            "2026-03-01T00:00:00",
            true,
        ),
        (
            Class::NseDerivatives,
            date(2026, 8, 4),
            "2026-08-04T15:35:00",
            false,
        ),
        (Class::Mcx, date(2026, 2, 17), "2026-02-17T23:54:59", false),
        (Class::Mcx, date(2026, 2, 17), "2026-02-17T23:55:00", true),
        // A holiday: the date has to pass.
        (
            Class::NseDerivatives,
            date(2026, 3, 3),
            "2026-03-03T23:59:59",
            false,
        ),
        (
            Class::NseDerivatives,
            date(2026, 3, 3),
            "2026-03-04T00:00:00",
            true,
        ),
    ] {
        assert_eq!(
            calendar.expiry_ended(class, Expiry::new(expiry), at(now)),
            expected,
            "{class} {expiry} at {now}"
        );
    }
}

#[test]
fn traffic_is_expected_while_trading_goes_on() {
    let calendar = Calendar::builtin();
    for (class, now, expected) in [
        (Class::NseCash, "2026-02-09T09:14:59", false),
        (Class::NseCash, "2026-02-09T09:15:04", false),
        (Class::NseCash, "2026-02-09T09:15:05", true),
        (Class::NseCash, "2026-02-09T15:29:59", true),
        (Class::NseCash, "2026-02-09T15:30:00", false),
        (Class::NseCash, "2026-08-03T15:20:00", false),
        (Class::NseDerivatives, "2026-08-03T15:39:59", true),
        (Class::NseDerivatives, "2026-02-08T12:00:00", false),
        (Class::Mcx, "2026-02-09T23:54:59", true),
        (Class::McxAgri, "2026-02-09T17:00:00", false),
    ] {
        assert_eq!(
            calendar.expects_traffic(class, at(now)),
            expected,
            "{class} {now}"
        );
    }
}

#[test]
fn the_endless_calendar_never_closes() {
    let calendar = Calendar::endless().with_end_of_day_at(jiff::civil::time(15, 30, 0, 0));
    let sunday = date(2026, 2, 8);
    for class in Class::ALL {
        for now in [
            "2026-02-08T00:00:00",
            "2026-02-08T23:59:59",
            "1960-01-01T00:00:00",
        ] {
            let now = at(now);
            let phase = calendar.phase(class, now);
            assert_eq!((phase.phase, phase.until), (Phase::Continuous, None));
            assert!(phase.covers(now));
            assert!(calendar.expects_traffic(class, now));
            assert_eq!(calendar.trading_day(class, now), ist_date(now));
            assert_eq!(calendar.next_end_of_day(class, now), None);
            assert_eq!(calendar.last_end_of_day(class, now), None);
        }
        assert!(calendar.is_trading_day(class, sunday));
        assert_eq!(
            calendar.first_open(class, sunday),
            Some(at("2026-02-08T00:00:00"))
        );
        assert_eq!(
            calendar.last_close(class, sunday),
            Some(at("2026-02-09T00:00:00"))
        );
        assert_eq!(
            calendar.next_open(class, at("2026-02-08T00:00:00")),
            Some(at("2026-02-09T00:00:00"))
        );
        assert_eq!(calendar.end_of_day(class, sunday), None);
        assert_eq!(calendar.pre_open(class, sunday), None);
        let expiry = Expiry::new(sunday);
        assert!(!calendar.expiry_ended(class, expiry, at("2026-02-08T23:59:59")));
        assert!(calendar.expiry_ended(class, expiry, at("2026-02-09T00:00:00")));
    }
    assert_eq!(
        calendar.class_of(Exchange::Mcx, Segment::McxComm, "KAPAS"),
        Class::McxAgriEvening
    );
}

#[test]
fn overrides_replace_what_they_name() {
    let calendar = Calendar::builtin()
        .with_overrides(
            r#"
            # Muhurat on a Sunday evening, beside which nothing happens.
            [[special]]
            classes = ["nse_cash"]
            date = 2026-11-08
            phases = [
              { phase = "pre_open", from = "18:00", to = "18:15" },
              { phase = "continuous", from = "18:15", to = "19:15" },
            ]

            # A day session and, after a break, an evening session.
            [[special]]
            classes = ["nse_derivatives"]
            date = 2026-11-09
            phases = [
              { phase = "continuous", from = "09:15", to = "15:40" },
              { phase = "continuous", from = "18:15", to = "24:00" },
            ]

            [[sessions]]
            classes = ["nse_cash"]
            valid_from = 2026-06-01
            phases = [{ phase = "continuous", from = "10:00", to = "11:00" }]

            [[sessions]]
            classes = ["bse_derivatives"]
            valid_from = 2026-08-03
            phases = [{ phase = "continuous", from = "09:15", to = "15:30" }]

            [[holidays]]
            classes = ["nse_cash", "mcx"]
            days = [
              { date = 2026-02-10, name = "added" },
              { date = 2026-03-03, closed = "none", name = "taken back" },
              { date = 2026-02-01, name = "the special day is not held" },
              { date = 2025-10-21, closed = "none", name = "neither holiday nor Muhurat" },
            ]

            [mcx_symbols]
            mcx = ["kapas"]
            mcx_agri_evening = ["TEA"]
            "#,
        )
        .unwrap();
    for (class, day, expected) in [
        (
            Class::NseCash,
            date(2026, 11, 8),
            "pre_open 18:00-18:15, continuous 18:15-19:15",
        ),
        (Class::BseCash, date(2026, 11, 8), ""),
        (
            Class::NseDerivatives,
            date(2026, 11, 9),
            "continuous 09:15-15:40, continuous 18:15-00:00",
        ),
        (Class::NseCash, date(2026, 5, 29), CASH),
        (Class::NseCash, date(2026, 6, 1), "continuous 10:00-11:00"),
        (Class::NseCash, date(2026, 7, 31), "continuous 10:00-11:00"),
        (Class::NseCash, date(2026, 8, 3), CASH_AUCTION),
        (Class::BseDerivatives, date(2026, 8, 3), DERIVATIVES),
        (Class::NseDerivatives, date(2026, 8, 3), DERIVATIVES_LATER),
        (Class::NseCash, date(2026, 2, 10), ""),
        (Class::BseCash, date(2026, 2, 10), CASH),
        (Class::NseCash, date(2026, 3, 3), CASH),
        (Class::Mcx, date(2026, 3, 3), MCX_WINTER),
        (Class::NseCash, date(2026, 2, 1), ""),
        (Class::NseCash, date(2025, 10, 21), CASH),
        (Class::Mcx, date(2025, 10, 21), MCX_SUMMER),
    ] {
        assert_eq!(hours(&calendar, class, day), expected, "{class} {day}");
    }
    let evening = at("2026-11-09T15:40:00");
    assert_eq!(
        calendar.end_of_day(Class::NseDerivatives, date(2026, 11, 9)),
        Some(at("2026-11-10T00:00:00"))
    );
    assert_eq!(
        calendar.trading_day(Class::NseDerivatives, evening),
        date(2026, 11, 9)
    );
    assert!(!calendar.expiry_ended(
        Class::NseDerivatives,
        Expiry::new(date(2026, 11, 9)),
        evening
    ));
    let class = |symbol| calendar.class_of(Exchange::Mcx, Segment::McxComm, symbol);
    assert_eq!(class("KAPAS"), Class::Mcx);
    assert_eq!(class("TEA"), Class::McxAgriEvening);
    assert_eq!(class("COTTON"), Class::McxAgriEvening);
}

#[test]
fn a_half_holiday_needs_halves() {
    let error = Calendar::builtin()
        .with_overrides(
            "[[holidays]]\nclasses = ['nse_cash']\n\
             days = [{ date = 2026-02-10, closed = 'evening' }]",
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "holiday 2026-02-10 of nse_cash closes the evening, but the sessions of nse_cash on that \
         day have no `evening_from`, expected one in their [[sessions]] entry"
    );
}

#[test]
fn a_market_that_never_closes_has_one_phase() {
    let day = "[[sessions]]\nclasses = ['mcx']\nvalid_from = 2030-01-01\n\
               evening_from = '17:00'\n\
               phases = [{ phase = 'continuous', from = '00:00', to = '24:00' }]";
    let calendar = Calendar::builtin().with_overrides(day).unwrap();
    // Monday to Friday without a break; the first of January 2030 is a Tuesday.
    let now = calendar.phase(Class::Mcx, at("2030-01-09T12:00:00"));
    assert_eq!(now.since, at("2030-01-07T00:00:00"));
    assert_eq!(now.until, Some(at("2030-01-12T00:00:00")));
    // The last end of day at midnight is that of the day before.
    let midnight = at("2030-01-09T00:00:00");
    assert_eq!(
        calendar.last_end_of_day(Class::Mcx, midnight),
        Some((date(2030, 1, 8), midnight))
    );
    assert_eq!(calendar.trading_day(Class::Mcx, midnight), date(2030, 1, 9));
}

#[test]
fn before_all_sessions_everything_is_closed_and_no_time_panics() {
    let calendar = Calendar::builtin();
    let early = calendar.phase(Class::NseCash, at("2001-05-07T12:00:00"));
    assert_eq!((early.phase, early.until), (Phase::Closed, None));
    for nanos in [i64::MIN, -1, 0, i64::MAX] {
        let now = Utc::from_nanos(nanos);
        for class in Class::ALL {
            let _ = calendar.phase(class, now);
            let _ = calendar.next_open(class, now);
            let _ = calendar.next_end_of_day(class, now);
            let _ = calendar.last_end_of_day(class, now);
            let _ = calendar.trading_day(class, now);
            let _ = calendar.expects_traffic(class, now);
        }
    }
    for day in [Date::MIN, Date::MAX] {
        let _ = calendar.end_of_day(Class::Mcx, day);
        let _ = Calendar::endless().first_open(Class::Mcx, day);
        let _ = calendar.expiry_ended(Class::Mcx, Expiry::new(day), Utc::from_nanos(0));
    }
}
