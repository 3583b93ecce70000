use super::*;

mod model;

const CLASS: Class = Class::NseDerivatives;

/// A wall-clock time of India.
fn at(text: &str) -> Utc {
    let timestamp: jiff::Timestamp = format!("{text}+05:30").parse().unwrap();
    Utc::from_nanos(i64::try_from(timestamp.as_nanosecond()).unwrap())
}

fn monday(time: &str) -> Utc {
    at(&format!("2026-02-09T{time}"))
}

fn tick(time: Utc, rupees: i32, volume: impl Into<Option<u64>>) -> Tick {
    Tick {
        ltp: Price::from_rupees(rupees),
        ltt: time,
        volume: volume.into(),
        oi: None,
    }
}

/// A builder with a calendar, that keeps what comes out of it.
struct Run {
    builder: MinuteBuilder,
    calendar: Calendar,
    bars: Vec<Bar>,
    /// Minutes that were said to miss a tick.
    lost: Vec<Utc>,
}

impl Run {
    fn new(calendar: Calendar, class: Class) -> Self {
        Self {
            builder: MinuteBuilder::new(class),
            calendar,
            bars: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Watched since before the open, so that nothing is missing.
    fn of_monday() -> Self {
        let mut run = Run::new(Calendar::builtin(), CLASS);
        run.advance(monday("09:00:00"));
        run.tick(tick(at("2026-02-06T15:29:58"), 90, 5_000));
        assert_eq!(run.builder.forming(), None);
        run
    }

    fn tick(&mut self, tick: Tick) {
        let mut out = |bar| self.bars.push(bar);
        let lost = self.builder.tick(&tick, &self.calendar, &mut out);
        self.lost.extend(lost);
    }

    fn advance(&mut self, now: Utc) {
        self.builder.advance(now, &mut |bar| self.bars.push(bar));
    }

    /// `09:15 o h l c v`, with a `?` when it is incomplete, and forgets them.
    fn shown(&mut self) -> Vec<String> {
        self.bars.drain(..).map(|bar| show(&bar)).collect()
    }
}

fn show(bar: &Bar) -> String {
    assert_eq!(bar.end, bar.start + MINUTE);
    let volume = bar.volume.map_or("-".to_owned(), |it| it.to_string());
    let oi = bar.oi.map_or(String::new(), |it| format!(" oi {it}"));
    format!(
        "{}{} {} {} {} {} {volume}{oi}",
        &bar.start.to_string()[11..16],
        if bar.complete { "" } else { "?" },
        bar.open,
        bar.high,
        bar.low,
        bar.close,
    )
}

#[test]
fn a_morning() {
    let mut run = Run::of_monday();
    run.tick(tick(monday("09:15:00"), 100, 10));
    run.tick(tick(monday("09:15:20"), 104, 15));
    run.tick(tick(monday("09:15:40"), 97, 18));
    assert_eq!(
        run.builder.forming().map(|it| show(&it)).as_deref(),
        Some("09:15 100 104 97 97 18")
    );
    run.tick(tick(monday("09:15:59"), 99, 20));
    run.advance(monday("09:16:00.9"));
    assert_eq!(run.shown(), [""; 0]);
    run.tick(tick(monday("09:16:00"), 101, 27));
    // The minute before has its grace: it is what comes next.
    assert_eq!(
        run.builder.forming().map(|it| show(&it)).as_deref(),
        Some("09:15 100 104 97 99 20")
    );
    assert_eq!(
        run.builder.newest().map(|it| show(&it)).as_deref(),
        Some("09:16 101 101 101 101 7")
    );
    run.tick(tick(monday("09:15:59.5"), 98, 24));
    run.advance(monday("09:16:01"));
    assert_eq!(run.shown(), ["09:15 100 104 97 98 24"]);
    assert_eq!(
        run.builder.forming().map(|it| show(&it)).as_deref(),
        Some("09:16 101 101 101 101 3")
    );
    assert_eq!(run.builder.newest(), None);
    // Nothing is traded in 09:17.
    run.tick(tick(monday("09:18:10"), 102, 30));
    run.advance(monday("09:19:05"));
    assert_eq!(
        run.shown(),
        ["09:16 101 101 101 101 3", "09:18 102 102 102 102 3"]
    );
    assert_eq!((run.builder.late(), run.builder.out_of_session()), (0, 0));
}

#[test]
fn repeats_make_no_bar_and_are_not_late() {
    let mut run = Run::of_monday();
    let trade = tick(monday("09:20:30"), 100, 10);
    run.tick(trade);
    for second in 31..200 {
        run.tick(trade);
        run.advance(monday("09:20:00") + Duration::from_secs(second));
    }
    assert_eq!(run.shown(), ["09:20 100 100 100 100 10"]);
    // The open interest changes, the trade is the same.
    run.tick(Tick {
        oi: Some(7),
        ..trade
    });
    run.advance(monday("09:59:59"));
    assert_eq!(run.shown(), [""; 0]);
    assert_eq!(run.builder.late(), 0);
    run.tick(tick(monday("09:20:31"), 101, 11));
    assert_eq!(run.builder.late(), 1);
    run.tick(tick(monday("10:00:00"), 101, 13));
    run.advance(monday("10:02:00"));
    // What the late one traded is not counted in a bar of another minute.
    assert_eq!(run.shown(), ["10:00 101 101 101 101 2"]);
}

#[test]
fn a_minute_that_misses_a_tick_is_named() {
    let mut run = Run::of_monday();
    run.tick(tick(monday("09:20:30"), 100, 10));
    run.tick(tick(monday("09:20:59"), 101, 12));
    run.advance(monday("09:21:01"));
    assert_eq!(run.shown(), ["09:20 100 101 100 101 12"]);
    assert_eq!(run.lost, []);
    // Repeats miss nothing, what comes too late does, once.
    run.tick(tick(monday("09:20:59"), 101, 12));
    run.tick(Tick {
        oi: Some(7),
        ..tick(monday("09:20:59"), 101, None)
    });
    assert_eq!(run.lost, []);
    run.tick(tick(monday("09:20:59"), 101, 15));
    run.tick(tick(monday("09:20:59"), 99, 16));
    assert_eq!(run.lost, [monday("09:20:00")]);
    run.tick(tick(monday("09:21:02"), 102, 18));
    run.advance(monday("09:24:00"));
    assert_eq!(run.shown(), ["09:21 102 102 102 102 2"]);
    // So does a minute whose only trade it was, and which had no bar.
    run.tick(tick(monday("09:22:10"), 103, 20));
    assert_eq!(run.lost, [monday("09:20:00"), monday("09:22:00")]);
    assert_eq!(run.builder.late(), 3);
    // What is over before the first tick, or a gap, is not missed by what follows.
    let mut run = Run::new(Calendar::builtin(), CLASS);
    run.advance(monday("10:20:30"));
    run.tick(tick(monday("10:05:10"), 100, 1_000));
    run.builder.gap(monday("10:20:31"), monday("10:30:00"));
    run.advance(monday("10:30:00"));
    run.tick(tick(monday("10:25:00"), 100, 1_100));
    assert_eq!(run.lost, []);
}

#[test]
fn without_a_volume_at_the_end_of_a_gap_what_it_was_is_not_known() {
    // Whether the first trade lies in a minute that is open, new, or over.
    for first in ["10:01:50", "10:02:10", "10:00:30"] {
        let mut run = Run::of_monday();
        run.tick(tick(monday("10:00:30"), 100, 10));
        run.advance(monday("10:01:02"));
        run.tick(tick(monday("10:01:05"), 101, 20));
        run.builder.gap(monday("10:01:10"), monday("10:01:50"));
        run.tick(tick(monday(first), 101, None));
        // Much was traded in the gap; this minute had a part of it, or not.
        run.tick(tick(monday("10:02:20"), 102, 90));
        run.tick(tick(monday("10:03:20"), 103, 95));
        run.advance(monday("10:05:00"));
        let complete: Vec<(Utc, bool)> = run
            .bars
            .iter()
            .map(|bar| (bar.start, bar.complete))
            .collect();
        assert_eq!(
            complete,
            [
                (monday("10:00:00"), true),
                (monday("10:01:00"), false),
                (monday("10:02:00"), false),
                (monday("10:03:00"), true)
            ],
            "{first}"
        );
        assert_eq!(run.bars[3].volume, Some(5), "{first}");
    }
}

#[test]
fn the_last_bar_needs_no_tick() {
    let mut run = Run::of_monday();
    run.tick(tick(monday("15:29:59"), 100, 10));
    run.tick(tick(monday("15:30:00"), 120, 12));
    run.advance(monday("15:30:00.999"));
    assert_eq!(run.shown(), [""; 0]);
    run.advance(monday("15:30:01"));
    assert_eq!(run.shown(), ["15:29 100 100 100 100 10"]);
    run.tick(tick(monday("15:44:00"), 120, 13));
    assert_eq!(run.builder.out_of_session(), 2);
    assert_eq!(run.builder.late(), 0);
}

#[test]
fn bars_cover_continuous_trading() {
    // Cash: pre-open from 09:00, from August 2026 on a closing auction from 15:15.
    let mut run = Run::new(Calendar::builtin(), Class::NseCash);
    let day = |time: &str| at(&format!("2026-08-03T{time}"));
    run.advance(day("08:59:00"));
    run.tick(tick(at("2026-07-31T15:29:59"), 95, 900));
    run.tick(tick(day("09:07:30"), 100, 50));
    run.tick(tick(day("09:15:00"), 101, 60));
    run.tick(tick(day("15:14:59"), 105, 70));
    run.tick(tick(day("15:15:00"), 106, 80));
    run.tick(tick(day("15:34:00"), 107, 90));
    run.advance(day("16:00:00"));
    assert_eq!(
        run.shown(),
        ["09:15 101 101 101 101 10", "15:14 105 105 105 105 10"]
    );

    // An evening of an hour.
    let mut run = Run::new(Calendar::builtin(), CLASS);
    let day = |time: &str| at(&format!("2025-10-21T{time}"));
    run.advance(day("09:00:00"));
    run.tick(tick(at("2025-10-20T15:29:59"), 95, 900));
    for time in ["09:15:00", "13:44:59", "13:45:00", "14:44:59", "14:45:00"] {
        run.tick(tick(day(time), 100, None));
    }
    run.advance(day("16:00:00"));
    assert_eq!(
        run.shown(),
        ["13:45 100 100 100 100 -", "14:44 100 100 100 100 -"]
    );

    // Trading at any hour.
    let mut run = Run::new(Calendar::endless(), CLASS);
    run.advance(at("2026-02-08T20:00:00"));
    run.tick(tick(at("2026-02-08T20:00:00"), 99, 1_000));
    run.tick(tick(at("2026-02-08T23:59:59"), 100, 1_010));
    run.tick(tick(at("2026-02-09T00:00:00"), 101, 4));
    run.advance(at("2026-02-09T00:02:00"));
    assert_eq!(
        run.shown(),
        [
            "20:00? 99 99 99 99 0",
            "23:59 100 100 100 100 10",
            "00:00 101 101 101 101 4",
        ]
    );
}

#[test]
fn volume_is_growth_of_the_day() {
    let mut run = Run::of_monday();
    run.tick(tick(monday("09:15:00"), 100, 10));
    run.tick(tick(monday("09:15:10"), 100, None));
    // An old packet of the same second, then a correction.
    run.tick(tick(monday("09:15:10"), 100, 30));
    run.tick(tick(monday("09:15:10"), 100, 20));
    run.tick(tick(monday("09:15:20"), 100, 25));
    run.tick(tick(monday("09:15:30"), 100, 26));
    run.tick(tick(monday("09:16:00"), 100, 28));
    run.advance(monday("09:18:00"));
    assert_eq!(
        run.shown(),
        ["09:15 100 100 100 100 31", "09:16 100 100 100 100 2"]
    );
    // A new day.
    run.tick(tick(at("2026-02-10T09:15:03"), 100, 40));
    run.tick(tick(at("2026-02-10T09:16:03"), 100, 41));
    run.tick(tick(at("2026-02-10T09:17:03"), 100, 41));
    run.advance(at("2026-02-10T09:20:00"));
    assert_eq!(
        run.shown(),
        [
            "09:15 100 100 100 100 40",
            "09:16 100 100 100 100 1",
            "09:17 100 100 100 100 0",
        ]
    );
    // An index has none.
    let mut run = Run::of_monday();
    run.tick(tick(monday("09:15:00"), 100, None));
    run.advance(monday("09:17:00"));
    assert_eq!(run.shown(), ["09:15 100 100 100 100 -"]);
    // Volume begins in the middle: what was before it is not known.
    let mut run = Run::new(Calendar::builtin(), CLASS);
    run.tick(tick(monday("09:15:00"), 100, None));
    run.tick(tick(monday("09:16:00"), 100, None));
    run.tick(tick(monday("09:16:20"), 100, 500));
    run.tick(tick(monday("09:16:30"), 100, 503));
    run.tick(tick(monday("09:17:30"), 100, 504));
    run.advance(monday("09:20:00"));
    assert_eq!(
        run.shown(),
        [
            "09:15? 100 100 100 100 -",
            "09:16? 100 100 100 100 3",
            "09:17 100 100 100 100 1",
        ]
    );
}

#[test]
fn what_a_subscription_starts_with() {
    // In the running minute it is the begin of an incomplete bar.
    let mut run = Run::new(Calendar::builtin(), CLASS);
    run.advance(monday("10:20:30"));
    run.tick(tick(monday("10:20:10"), 100, 1_000));
    run.tick(tick(monday("10:20:40"), 101, 1_003));
    run.tick(tick(monday("10:21:00"), 102, 1_004));
    run.advance(monday("10:22:01"));
    assert_eq!(
        run.shown(),
        ["10:20? 100 101 100 101 3", "10:21 102 102 102 102 1"]
    );

    // A trade of long ago is only what volume grows from.
    let mut run = Run::new(Calendar::builtin(), CLASS);
    run.advance(monday("10:20:30"));
    run.tick(tick(monday("10:05:10"), 100, 1_000));
    run.advance(monday("10:20:40"));
    run.tick(tick(monday("10:23:00"), 101, 1_002));
    run.advance(monday("10:25:00"));
    assert_eq!(run.shown(), ["10:23 101 101 101 101 2"]);
    assert_eq!(run.builder.late(), 0);
}

#[test]
fn gaps() {
    let start = |run: &mut Run| {
        run.tick(tick(monday("10:00:05"), 100, 10));
        run.tick(tick(monday("10:01:05"), 101, 20));
        run.advance(monday("10:01:10"));
        run.shown();
    };
    let far = Utc::from_nanos(i64::MAX);
    // Told when the feed falls and when it is back.
    let mut run = Run::of_monday();
    start(&mut run);
    run.builder.gap(monday("10:01:10"), far);
    run.advance(monday("10:03:00"));
    assert_eq!(run.shown(), ["10:01? 101 101 101 101 10"]);
    run.builder.gap(monday("10:01:10"), monday("10:04:02"));
    run.tick(tick(monday("10:04:03"), 102, 90));
    run.tick(tick(monday("10:04:05"), 103, 92));
    run.tick(tick(monday("10:05:00"), 104, 95));
    run.advance(monday("10:07:00"));
    assert_eq!(
        run.shown(),
        ["10:04? 102 103 102 103 2", "10:05 104 104 104 104 3"]
    );

    // Told afterwards, when the first packets have come.
    let mut run = Run::of_monday();
    start(&mut run);
    run.tick(tick(monday("10:01:40"), 99, 60));
    run.builder.gap(monday("10:01:10"), monday("10:01:40"));
    run.tick(tick(monday("10:02:00"), 104, 61));
    run.advance(monday("10:07:00"));
    assert_eq!(
        run.shown(),
        ["10:01? 101 101 99 99 50", "10:02 104 104 104 104 1"]
    );

    // What was on its way when the feed fell belongs to the minute that has its grace.
    for (from, expected) in [
        ("10:02:00.9", "10:01? 101 101 101 101 10"),
        ("10:02:01", "10:01 101 101 101 101 10"),
    ] {
        let mut run = Run::of_monday();
        start(&mut run);
        run.builder.gap(monday(from), far);
        run.advance(monday("10:02:30"));
        assert_eq!(run.shown(), [expected]);
    }

    // It touches nothing that ended before it or begins after it.
    let mut run = Run::of_monday();
    start(&mut run);
    run.tick(tick(monday("10:02:30"), 99, 60));
    run.builder.gap(monday("10:02:10"), monday("10:02:20"));
    run.tick(tick(monday("10:03:00"), 99, 61));
    run.advance(monday("10:07:00"));
    assert_eq!(
        run.shown(),
        [
            "10:01 101 101 101 101 10",
            "10:02? 99 99 99 99 40",
            "10:03 99 99 99 99 1",
        ]
    );
}

#[test]
fn a_clock_that_jumps() {
    let mut run = Run::of_monday();
    run.tick(tick(monday("10:00:05"), 100, 10));
    run.advance(monday("10:00:06"));
    // Forwards over days: the minute may not be all.
    run.advance(at("2026-02-12T10:00:00"));
    assert_eq!(run.shown(), ["10:00? 100 100 100 100 10"]);
    // No bar of a minute that the clock says is over.
    run.tick(tick(monday("10:00:30"), 101, 11));
    run.tick(tick(monday("10:01:30"), 102, 12));
    assert_eq!(run.builder.late(), 2);
    assert_eq!(run.builder.forming(), None);
    // And back. The minute has lost ticks.
    run.advance(monday("10:01:40"));
    run.tick(tick(monday("10:01:45"), 103, 13));
    run.tick(tick(monday("10:02:45"), 104, 14));
    run.advance(monday("10:03:01"));
    run.advance(at("2020-02-10T10:00:00"));
    assert_eq!(
        run.shown(),
        ["10:01? 103 103 103 103 1", "10:02 104 104 104 104 1"]
    );
    // Back over years: bars come when the one after the next begins.
    for minute in 3..9 {
        run.tick(tick(monday(&format!("10:0{minute}:00")), 100, None));
    }
    assert_eq!(run.shown().len(), 4);
    for extreme in [i64::MIN, i64::MAX, 0] {
        run.advance(Utc::from_nanos(extreme));
        for ltt in [i64::MIN, i64::MAX, 0] {
            run.tick(tick(Utc::from_nanos(ltt), 1, 1));
            run.builder
                .gap(Utc::from_nanos(ltt), Utc::from_nanos(extreme));
        }
    }
}

#[test]
fn a_trade_from_the_future_does_no_lasting_harm() {
    let mut run = Run::of_monday();
    run.tick(tick(monday("10:00:05"), 100, None));
    run.tick(tick(at("2026-03-02T10:00:00"), 500, None));
    for minute in 1..5 {
        let now = monday(&format!("10:0{minute}:00"));
        run.tick(tick(now, 100 + minute, None));
        run.advance(now + Duration::from_secs(2));
    }
    assert_eq!(
        run.shown(),
        [
            "10:00 100 100 100 100 -",
            "10:01 101 101 101 101 -",
            "10:02 102 102 102 102 -",
            "10:03 103 103 103 103 -",
        ]
    );
}

#[test]
fn it_is_small() {
    assert!(
        size_of::<MinuteBuilder>() <= 448,
        "{}",
        size_of::<MinuteBuilder>()
    );
}
