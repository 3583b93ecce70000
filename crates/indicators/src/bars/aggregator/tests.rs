use core::time::Duration;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::bars::{bars_before, session_of};

const MINUTE: Duration = Duration::from_secs(60);
const CLASS: Class = Class::NseDerivatives;

/// A wall-clock time of India.
fn at(text: &str) -> Utc {
    let timestamp: jiff::Timestamp = format!("{text}+05:30").parse().unwrap();
    Utc::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

fn minute(start: Utc, rupees: i32, volume: u64) -> Bar {
    let price = Price::from_rupees(rupees);
    Bar {
        start,
        end: start + MINUTE,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: Some(volume),
        oi: None,
        complete: true,
    }
}

fn monday(time: &str) -> Utc {
    at(&format!("2026-02-09T{time}:00"))
}

fn show(bar: &Bar) -> String {
    format!(
        "{}-{}{} {} {} {} {} {}",
        &bar.start.to_string()[11..16],
        &bar.end.to_string()[11..16],
        if bar.complete { "" } else { "?" },
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume.map_or("-".to_owned(), |it| it.to_string()),
    )
}

/// Feeds minutes given by time, price and volume; gives what came out by each.
fn feed(aggregator: &mut Aggregator, minutes: &[(&str, i32, u64)]) -> Vec<String> {
    let calendar = Calendar::builtin();
    let mut bars = Vec::new();
    for (time, rupees, volume) in minutes {
        let bar = minute(monday(time), *rupees, *volume);
        aggregator.minute(&bar, &calendar, &mut |bar| bars.push(show(&bar)));
    }
    bars
}

fn minutes(n: u16) -> Timeframe {
    Timeframe::minutes(n).unwrap()
}

#[test]
fn five_minutes() {
    let mut aggregator = Aggregator::new(minutes(5), CLASS, Fill::None);
    let bars = feed(
        &mut aggregator,
        &[
            ("09:15", 100, 1),
            ("09:17", 105, 2),
            ("09:18", 99, 4),
            ("09:19", 101, 8),
        ],
    );
    // With its last minute, without waiting for the next.
    assert_eq!(bars, ["09:15-09:20 100 105 99 101 15"]);
    let bars = feed(&mut aggregator, &[("09:21", 102, 1), ("09:31", 103, 1)]);
    assert_eq!(bars, ["09:20-09:25 102 102 102 102 1"]);

    let calendar = Calendar::builtin();
    let forming = minute(monday("09:32"), 110, 3);
    let shown = |bar: Option<Bar>| bar.map(|bar| show(&bar));
    assert_eq!(
        shown(aggregator.forming(Some(&forming), &calendar)).as_deref(),
        Some("09:30-09:35 103 110 103 110 4")
    );
    assert_eq!(
        shown(aggregator.forming(None, &calendar)).as_deref(),
        Some("09:30-09:35 103 103 103 103 1")
    );
    // Two minutes are open at a turn of the bar: the earlier bar is what comes next.
    let open = [
        minute(monday("09:34"), 99, 1),
        minute(monday("09:35"), 200, 1),
    ];
    assert_eq!(
        shown(aggregator.forming(&open, &calendar)).as_deref(),
        Some("09:30-09:35 103 103 99 99 2")
    );

    let mut bars = Vec::new();
    aggregator.close(monday("09:34"), &mut |bar| bars.push(show(&bar)));
    assert!(bars.is_empty());
    aggregator.close(monday("09:35"), &mut |bar| bars.push(show(&bar)));
    assert_eq!(bars, ["09:30-09:35 103 103 103 103 1"]);
    // Too late, and twice, and outside of trading, and not a minute of a bar.
    assert!(
        feed(
            &mut aggregator,
            &[("09:32", 1, 1), ("09:14", 1, 1), ("15:30", 1, 1)]
        )
        .is_empty()
    );
    let mut odd = minute(monday("09:39"), 1, 1);
    odd.end = odd.end + Duration::from_secs(1);
    aggregator.minute(&odd, &calendar, &mut |_| panic!("ignored"));
    odd.end = odd.start;
    aggregator.minute(&odd, &calendar, &mut |_| panic!("ignored"));
    assert_eq!(aggregator.forming(None, &calendar), None);
    assert_eq!(
        shown(aggregator.forming(Some(&forming), &calendar)),
        None,
        "a minute that was taken is not taken again"
    );
}

#[test]
fn the_last_bar_of_a_session_may_be_short() {
    // 375 minutes: the seventh hour has 15.
    let mut aggregator = Aggregator::new(minutes(60), CLASS, Fill::None);
    let bars = feed(
        &mut aggregator,
        &[("15:14", 100, 1), ("15:15", 101, 1), ("15:29", 102, 1)],
    );
    assert_eq!(
        bars,
        [
            "14:15-15:15? 100 100 100 100 1",
            "15:15-15:30 101 102 101 102 2"
        ]
    );

    let mut aggregator = Aggregator::new(Timeframe::Day, CLASS, Fill::Previous);
    let bars = feed(
        &mut aggregator,
        &[("09:15", 100, 1), ("12:15", 101, 1), ("15:29", 102, 1)],
    );
    assert_eq!(bars, ["09:15-15:30 100 102 100 102 3"]);
}

#[test]
fn the_first_bar_is_whole_only_when_it_is_seen_from_its_start() {
    for (start, whole, expected) in [
        ("09:15", false, "09:15-09:20 100 100 100 100 2"),
        ("09:16", false, "09:15-09:20? 100 100 100 100 2"),
        ("09:16", true, "09:15-09:20 100 100 100 100 2"),
    ] {
        let mut aggregator = Aggregator::new(minutes(5), CLASS, Fill::None);
        if whole {
            aggregator = aggregator.whole();
        }
        let bars = feed(
            &mut aggregator,
            &[
                (start, 100, 1),
                ("09:19", 100, 1),
                ("09:22", 100, 1),
                ("09:24", 100, 1),
            ],
        );
        assert_eq!(bars, [expected, "09:20-09:25 100 100 100 100 2"]);
    }
}

#[test]
fn gaps_are_remembered() {
    let mut aggregator = Aggregator::new(minutes(5), CLASS, Fill::Previous);
    let mut bars = feed(&mut aggregator, &[("09:15", 100, 1)]);
    // Nothing of 09:18 to 09:26 was seen.
    aggregator.gap(monday("09:18"), monday("09:26"));
    bars.extend(feed(
        &mut aggregator,
        &[("09:31", 101, 1), ("09:34", 101, 1), ("09:38", 1, 1)],
    ));
    aggregator.gap(monday("09:40"), monday("09:41"));
    aggregator.gap(monday("09:41"), monday("09:40"));
    aggregator.close(monday("09:50"), &mut |bar| bars.push(show(&bar)));
    assert_eq!(
        bars,
        [
            "09:15-09:20? 100 100 100 100 1",
            "09:20-09:25? 100 100 100 100 0",
            "09:25-09:30? 100 100 100 100 0",
            "09:30-09:35 101 101 101 101 2",
            "09:35-09:40 1 1 1 1 1",
            "09:40-09:45? 1 1 1 1 0",
            "09:45-09:50 1 1 1 1 0",
        ]
    );
}

#[test]
fn a_day_with_a_break() {
    let calendar = Calendar::builtin()
        .with_overrides(
            r#"
            [[special]]
            classes = ["nse_derivatives"]
            date = 2026-02-09
            name = "Drill"
            phases = [
              { phase = "continuous", from = "09:15", to = "10:00" },
              { phase = "continuous", from = "11:30", to = "12:20" },
            ]
            "#,
        )
        .unwrap();
    let given: Vec<Bar> = ["09:20", "09:55", "11:31", "12:19"]
        .iter()
        .zip(100..)
        .map(|(time, rupees)| minute(monday(time), rupees, 1))
        .collect();
    let shown = |timeframe, fill| -> Vec<String> {
        let bars = aggregate(&given, timeframe, CLASS, fill, &calendar);
        bars.iter().map(show).collect()
    };
    assert_eq!(
        shown(minutes(30), Fill::Previous),
        [
            "09:15-09:45 100 100 100 100 1",
            "09:45-10:00 101 101 101 101 1",
            "11:30-12:00 102 102 102 102 1",
            "12:00-12:20 103 103 103 103 1",
        ]
    );
    assert_eq!(
        shown(Timeframe::Day, Fill::None),
        ["09:15-12:20 100 103 100 103 4"]
    );
}

#[test]
fn how_far_back_a_warm_up_begins() {
    let calendar = Calendar::builtin();
    for (timeframe, now, count, expected) in [
        (minutes(5), "2026-02-09T10:02:00", 0, "2026-02-09T10:00"),
        (minutes(5), "2026-02-09T10:02:00", 9, "2026-02-09T09:15"),
        // Friday has 75 bars of five minutes.
        (minutes(5), "2026-02-09T10:02:00", 10, "2026-02-06T15:25"),
        (minutes(5), "2026-02-09T10:02:00", 84, "2026-02-06T09:15"),
        (minutes(5), "2026-02-09T10:02:00", 85, "2026-02-05T15:25"),
        // Sunday; the last hour has a quarter.
        (minutes(60), "2026-02-08T10:02:00", 1, "2026-02-06T15:15"),
        (minutes(60), "2026-02-08T10:02:00", 7, "2026-02-06T09:15"),
        (minutes(60), "2026-02-09T09:15:00", 8, "2026-02-05T15:15"),
        (Timeframe::Day, "2026-02-09T10:02:00", 0, "2026-02-09T09:15"),
        (Timeframe::Day, "2026-02-09T10:02:00", 2, "2026-02-05T09:15"),
        (Timeframe::Day, "2026-02-08T10:02:00", 2, "2026-02-05T09:15"),
    ] {
        let start = bars_before(&calendar, CLASS, timeframe, at(now), count);
        assert_eq!(
            &start.to_string()[..16],
            expected,
            "{timeframe} {now} {count}"
        );
    }
    // Before all that is known.
    let start = bars_before(
        &calendar,
        CLASS,
        Timeframe::Day,
        at("1990-01-01T00:00:00"),
        9,
    );
    assert_eq!(start, at("1990-01-01T00:00:00"));
}

#[test]
fn starts_are_inside_the_session() {
    let calendar = Calendar::builtin();
    let session = session_of(&calendar, CLASS, monday("10:00")).unwrap();
    for nanos in [
        i64::MIN,
        -1,
        0,
        session.open.as_nanos() - 1,
        session.close.as_nanos(),
        i64::MAX,
    ] {
        for timeframe in [Timeframe::MINUTE, minutes(7), minutes(900), Timeframe::Day] {
            let start = bar_start(&session, timeframe, Utc::from_nanos(nanos));
            let end = bar_end(&session, timeframe, start);
            assert!(session.covers(start) && start < end && end <= session.close);
        }
    }
}

// ------------------------------------------------------------- against a naive grouping

/// Minutes of some days, a part of them without trades.
fn some_minutes(rng: &mut Pcg64, calendar: &Calendar, class: Class) -> Vec<Bar> {
    let first = jiff::civil::date(2025, 10, 14) + jiff::Span::new().days(rng.random_range(0..300));
    let traded = rng.random_range(0.05..1.0);
    let mut minutes = Vec::new();
    for date in first.series(jiff::Span::new().days(1)).take(4) {
        for session in calendar.sessions(class, date) {
            let mut start = session.open;
            while start < session.close {
                if rng.random_bool(traded) {
                    let low = rng.random_range(100..200);
                    let mut bar = minute(start, low, rng.random_range(0..9));
                    bar.high = Price::from_rupees(low + rng.random_range(0..9));
                    bar.close = bar.high;
                    bar.complete = rng.random_bool(0.95);
                    bar.oi = rng.random_bool(0.5).then(|| rng.random_range(0..9));
                    if rng.random_bool(0.1) {
                        bar.volume = None;
                    }
                    minutes.push(bar);
                }
                start = start + MINUTE;
            }
        }
    }
    minutes
}

/// Every bar that a session could have, and the minutes that lie in it.
fn grouped(
    minutes: &[Bar],
    timeframe: Timeframe,
    class: Class,
    fill: Fill,
    calendar: &Calendar,
    until: Utc,
) -> Vec<Bar> {
    let (Some(first), Some(last)) = (minutes.first(), minutes.last()) else {
        return Vec::new();
    };
    let mut bars: Vec<Bar> = Vec::new();
    let date = strikewire_types::ist_date(first.start);
    for date in date
        .series(jiff::Span::new().days(1))
        .take_while(|date| *date <= strikewire_types::ist_date(last.start))
    {
        for session in calendar.sessions(class, date) {
            let step = if timeframe == Timeframe::Day {
                session.close.since(session.open)
            } else {
                timeframe.length()
            };
            let mut start = session.open;
            let mut previous: Option<Bar> = None;
            while start < session.close && start < until {
                let end = (start + step).min(session.close);
                let inside: Vec<&Bar> = minutes
                    .iter()
                    .filter(|it| start <= it.start && it.start < end)
                    .collect();
                let volumes: Vec<u64> = inside.iter().filter_map(|it| it.volume).collect();
                let made = if let (Some(one), Some(end_one)) = (inside.first(), inside.last()) {
                    Some(Bar {
                        start,
                        end,
                        open: one.open,
                        high: inside.iter().map(|it| it.high).max().unwrap(),
                        low: inside.iter().map(|it| it.low).min().unwrap(),
                        close: end_one.close,
                        volume: (!volumes.is_empty()).then(|| volumes.iter().sum()),
                        oi: inside.iter().filter_map(|it| it.oi).next_back(),
                        complete: inside.iter().all(|it| it.complete),
                    })
                } else {
                    previous
                        .filter(|_| fill == Fill::Previous)
                        .map(|previous| Bar {
                            start,
                            end,
                            open: previous.close,
                            high: previous.close,
                            low: previous.close,
                            volume: previous.volume.map(|_| 0),
                            complete: true,
                            ..previous
                        })
                };
                bars.extend(made);
                previous = made.or(previous);
                start = end;
            }
        }
    }
    bars
}

#[test]
fn bars_are_the_groups_of_their_minutes() {
    let mut seen = 0;
    for seed in 0..120 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let class = [Class::NseCash, CLASS, Class::Mcx][rng.random_range(0..3)];
        let calendar = if rng.random_bool(0.2) {
            Calendar::endless()
        } else {
            Calendar::builtin()
        };
        let minutes = some_minutes(&mut rng, &calendar, class);
        let Some(last) = minutes.last() else { continue };
        let fill = [Fill::None, Fill::Previous][rng.random_range(0..2)];
        let timeframe = [
            Timeframe::MINUTE,
            Timeframe::minutes(5).unwrap(),
            Timeframe::minutes(15).unwrap(),
            Timeframe::minutes(60).unwrap(),
            Timeframe::minutes(rng.random_range(2..=900)).unwrap(),
            Timeframe::Day,
        ][rng.random_range(0..6)];
        let expected = grouped(&minutes, timeframe, class, fill, &calendar, last.end);
        let batch = aggregate(&minutes, timeframe, class, fill, &calendar);
        assert_eq!(batch, expected, "seed {seed} {timeframe} {fill:?}");

        // One by one, closed whenever.
        let mut bars = Vec::new();
        let mut aggregator = Aggregator::new(timeframe, class, fill).whole();
        for (index, minute) in minutes.iter().enumerate() {
            let part = aggregator.forming(Some(minute), &calendar);
            aggregator.minute(minute, &calendar, &mut |bar| bars.push(bar));
            let now = aggregator.forming(None, &calendar).or(bars.last().copied());
            let (part, now) = part.zip(now).expect("a minute was traded");
            if part.start == now.start {
                assert_eq!(part, now, "seed {seed}");
            } else {
                assert!(part.end <= now.start, "seed {seed}");
            }
            if rng.random_bool(0.5) {
                let until = match minutes.get(index + 1) {
                    Some(next) => minute.end.as_nanos()..=next.start.as_nanos(),
                    None => minute.end.as_nanos()..=minute.end.as_nanos(),
                };
                let until = Utc::from_nanos(rng.random_range(until));
                aggregator.close(until, &mut |bar| bars.push(bar));
            }
        }
        aggregator.close(last.end, &mut |bar| bars.push(bar));
        bars.extend(aggregator.forming(None, &calendar));
        assert_eq!(bars, expected, "seed {seed} {timeframe} {fill:?}");
        seen += expected.len();
    }
    assert!(seen > 20_000, "{seen}");
}
