//! The calendar against a model that knows nothing but the phase of every minute.
//!
//! A timetable of some weeks is drawn at random, written as a calendar file, and kept
//! as an array with one cell per minute. What the calendar answers is then computed
//! from the array by walking it minute by minute.

use jiff::civil::{Date, date};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_pcg::Pcg64Mcg;
use strikewire_calendar::{Calendar, Class, Phase, Session};
use strikewire_types::Utc;

const DAYS: usize = 42;
const MINUTES: usize = 1440;
const CLASS: Class = Class::BseCurrency;

/// 2026-01-04, a Sunday; midnight in India is 2026-01-03T18:30:00Z.
const FIRST: Date = date(2026, 1, 4);
const FIRST_SECONDS: i64 = 1_767_465_000;

type Day = [Phase; MINUTES];

fn day_of(minute: usize) -> Date {
    (0..minute / MINUTES).fold(FIRST, |date, _| date.tomorrow().unwrap())
}

fn utc(minute: usize) -> Utc {
    Utc::from_nanos((FIRST_SECONDS + i64::try_from(minute).unwrap() * 60) * 1_000_000_000)
}

/// Phases of a day: some boundaries, and between each two a phase or a break.
fn random_day(rng: &mut Pcg64Mcg) -> Day {
    loop {
        let mut day = [Phase::Closed; MINUTES];
        let mut from = if rng.random_bool(0.2) {
            0
        } else {
            rng.random_range(0..MINUTES)
        };
        while from < MINUTES {
            let to = if rng.random_bool(0.2) {
                MINUTES
            } else {
                rng.random_range(from + 1..=MINUTES)
            };
            let phases = [
                Phase::Closed,
                Phase::PreOpen,
                Phase::Continuous,
                Phase::Auction,
            ];
            day[from..to].fill(*phases.choose(rng).unwrap());
            from = to;
        }
        let last = day.iter().rfind(|phase| **phase != Phase::Closed);
        if day.contains(&Phase::Continuous) && last != Some(&Phase::PreOpen) {
            return day;
        }
    }
}

fn phases(day: &Day) -> String {
    let time = |minute: usize| format!("{:02}:{:02}", minute / 60, minute % 60);
    let mut list = Vec::new();
    let mut from = 0;
    for minute in 1..=MINUTES {
        if minute < MINUTES && day[minute] == day[from] {
            continue;
        }
        if day[from] != Phase::Closed {
            let (from_text, to_text) = (time(from), time(minute));
            list.push(format!(
                "{{ phase = '{}', from = '{from_text}', to = '{to_text}' }}",
                day[from]
            ));
        }
        from = minute;
    }
    format!("phases = [{}]\n", list.join(", "))
}

/// A calendar and the phase of every minute of its first days.
fn random_calendar(rng: &mut Pcg64Mcg) -> (Calendar, Vec<Phase>) {
    let class = format!("classes = ['{CLASS}']\n");
    let normal = [random_day(rng), random_day(rng)];
    // The hours of the second kind begin on the 15th day.
    let mut text = format!(
        "[[sessions]]\n{class}valid_from = 2026-01-01\n{}\
         [[sessions]]\n{class}valid_from = 2026-01-18\n{}",
        phases(&normal[0]),
        phases(&normal[1])
    );
    let mut minutes = Vec::new();
    let mut holidays = String::new();
    for index in 0..DAYS {
        let date = day_of(index * MINUTES);
        let weekend = index % 7 == 0 || index % 7 == 6;
        let (day, holiday) = match rng.random_range(0..10) {
            0 | 1 => ([Phase::Closed; MINUTES], "day"),
            2 => {
                let day = random_day(rng);
                text += &format!("[[special]]\n{class}date = {date}\n{}", phases(&day));
                (day, if rng.random_bool(0.5) { "day" } else { "none" })
            }
            // Whatever the built-in calendar says of that day is taken back.
            _ if weekend => ([Phase::Closed; MINUTES], "none"),
            _ => (normal[usize::from(index >= 14)], "none"),
        };
        holidays += &format!("{{ date = {date}, closed = '{holiday}' }}, ");
        minutes.extend(day);
    }
    text += &format!("[[holidays]]\n{class}days = [{holidays}]\n");
    let calendar = Calendar::builtin().with_overrides(&text).unwrap();
    (calendar, minutes)
}

#[derive(Default)]
struct Seen {
    midnight: usize,
    several: usize,
    pre_open: usize,
    breaks: usize,
}

/// The first open of every day of the model, by walking it.
fn first_opens(minutes: &[Phase]) -> Vec<Option<usize>> {
    let open = |day: &[Phase]| day.iter().position(|phase| *phase == Phase::Continuous);
    let days = minutes.chunks(MINUTES).enumerate();
    days.map(|(index, day)| Some(index * MINUTES + open(day)?))
        .collect()
}

/// The end of every day of the model: one after the last minute that is not closed.
fn ends(minutes: &[Phase]) -> Vec<Option<usize>> {
    let last = |day: &[Phase]| day.iter().rposition(|phase| *phase != Phase::Closed);
    let days = minutes.chunks(MINUTES).enumerate();
    days.map(|(index, day)| Some(index * MINUTES + last(day)? + 1))
        .collect()
}

/// The sessions of a day of the model: its continuous minutes that touch each other.
fn sessions(index: usize, day: &[Phase]) -> Vec<Session> {
    let trades = |minute: usize| day.get(minute) == Some(&Phase::Continuous);
    let opens = (0..MINUTES).filter(|at| trades(*at) && (*at == 0 || !trades(at - 1)));
    let closes = (1..=MINUTES).filter(|at| !trades(*at) && trades(at - 1));
    let minute = |at: usize| utc(index * MINUTES + at);
    let day_open = (0..MINUTES).find(|at| trades(*at));
    let day_close = (1..=MINUTES).rfind(|at| trades(at - 1));
    opens
        .zip(closes)
        .map(|(open, close)| Session {
            open: minute(open),
            close: minute(close),
            // 2026-01-04 is 20,457 days after 1970-01-01.
            day: 20_457 + i32::try_from(index).unwrap(),
            day_open: minute(day_open.unwrap()),
            day_close: minute(day_close.unwrap()),
        })
        .collect()
}

/// What the minutes say of each day: its first open, its end, its sessions.
struct Marks {
    opens: Vec<Option<usize>>,
    ends: Vec<Option<usize>>,
    sessions: Vec<Vec<Session>>,
}

fn check(
    calendar: &Calendar,
    (minutes, marks): (&[Phase], &Marks),
    seen: &mut Seen,
    at: usize,
    nanos: i64,
) {
    let now = Utc::from_nanos(utc(at).as_nanos() + nanos);
    let phase = calendar.phase(CLASS, now);
    assert_eq!(phase.phase, minutes[at]);
    assert!(phase.covers(now));
    // The neighbours in the model; none if the phase reaches its edge.
    let since = minutes[..at]
        .iter()
        .rposition(|other| *other != phase.phase);
    if let Some(before) = since {
        assert_eq!(phase.since, utc(before + 1));
        seen.midnight += usize::from(before / MINUTES != at / MINUTES);
    }
    let until = minutes[at..].iter().position(|other| *other != phase.phase);
    if let Some(after) = until {
        assert_eq!(phase.until, Some(utc(at + after)));
    }

    let first = |marks: &[Option<usize>]| {
        let later = |mark: &usize| utc(*mark) > now;
        marks.iter().flatten().copied().find(later)
    };
    if let Some(open) = first(&marks.opens) {
        assert_eq!(calendar.next_open(CLASS, now), Some(utc(open)));
    }
    if let Some(end) = first(&marks.ends) {
        let day = day_of(end - 1);
        assert_eq!(calendar.next_end_of_day(CLASS, now), Some((day, utc(end))));
        assert_eq!(calendar.trading_day(CLASS, now), day);
    }
    let last = marks.ends.iter().flatten().rfind(|end| utc(**end) <= now);
    if let Some(end) = last {
        let day = day_of(end - 1);
        assert_eq!(calendar.last_end_of_day(CLASS, now), Some((day, utc(*end))));
    }
    let mut sessions = marks.sessions.iter().flatten().copied();
    let session = sessions.clone().find(|it| it.open <= now && now < it.close);
    assert_eq!(calendar.session(CLASS, now), session);
    if let Some(before) = sessions.clone().rfind(|it| it.open < now) {
        assert_eq!(calendar.session_before(CLASS, now), Some(before));
    }
    if let Some(after) = sessions.find(|it| it.open > now) {
        assert_eq!(calendar.session_after(CLASS, now), Some(after));
    }
    let wait = i64::try_from(at - since.map_or(0, |before| before + 1)).unwrap() * 60_000_000_000;
    if since.is_some() {
        assert_eq!(
            calendar.expects_traffic(CLASS, now),
            minutes[at] == Phase::Continuous && wait + nanos >= 5_000_000_000
        );
    }
}

fn check_days(calendar: &Calendar, minutes: &[Phase], marks: &Marks, seen: &mut Seen) {
    let Marks {
        opens,
        ends,
        sessions,
    } = marks;
    for (index, day) in minutes.chunks(MINUTES).enumerate() {
        let date = day_of(index * MINUTES);
        assert_eq!(calendar.is_trading_day(CLASS, date), ends[index].is_some());
        assert_eq!(calendar.first_open(CLASS, date), opens[index].map(utc));
        assert_eq!(calendar.last_close(CLASS, date), ends[index].map(utc));
        assert_eq!(calendar.end_of_day(CLASS, date), ends[index].map(utc));
        let found: Vec<Session> = calendar.sessions(CLASS, date).collect();
        assert_eq!(found, sessions[index]);
        seen.breaks += usize::from(found.len() > 1);
        // Back from the open to the nearest minutes of a pre-open.
        let before = &day[..opens[index].map_or(0, |open| open % MINUTES)];
        let last = before.iter().rposition(|phase| *phase == Phase::PreOpen);
        let pre_open = last.map(|last| {
            let other = before[..last]
                .iter()
                .rposition(|phase| *phase != Phase::PreOpen);
            let from = other.map_or(0, |other| other + 1);
            (utc(index * MINUTES + from), utc(index * MINUTES + last + 1))
        });
        assert_eq!(calendar.pre_open(CLASS, date), pre_open);
        seen.pre_open += usize::from(pre_open.is_some());
        let parts = day.windows(2).filter(|pair| pair[0] != pair[1]).count();
        seen.several += usize::from(parts > 3);
    }
}

#[test]
fn a_minute_by_minute_model_agrees() {
    let mut rng = Pcg64Mcg::seed_from_u64(20_260_209);
    let mut seen = Seen::default();
    for _ in 0..60 {
        let (calendar, minutes) = random_calendar(&mut rng);
        let marks = Marks {
            opens: first_opens(&minutes),
            ends: ends(&minutes),
            sessions: minutes
                .chunks(MINUTES)
                .enumerate()
                .map(|(index, day)| sessions(index, day))
                .collect(),
        };
        let model = (minutes.as_slice(), &marks);
        check_days(&calendar, &minutes, &marks, &mut seen);
        for _ in 0..150 {
            let at = rng.random_range(0..minutes.len());
            // Mostly inside a minute, also on its edges.
            let nanos = *[0, 4_999_999_999, 5_000_000_000, 59_999_999_999]
                .choose(&mut rng)
                .unwrap();
            check(&calendar, model, &mut seen, at, nanos);
        }
        for at in (0..minutes.len()).filter(|at| *at > 0 && minutes[*at] != minutes[at - 1]) {
            check(&calendar, model, &mut seen, at, 0);
            check(&calendar, model, &mut seen, at - 1, 59_999_999_999);
        }
    }
    assert!(seen.midnight > 100, "phases that reach over midnight");
    assert!(seen.several > 100, "days of several parts");
    assert!(seen.pre_open > 100, "days with a pre-open");
    assert!(seen.breaks > 100, "days with several sessions");
}

/// The built-in calendar has no gaps: from phase to phase through three years.
#[test]
fn phases_follow_each_other() {
    let calendar = Calendar::builtin();
    for class in Class::ALL {
        // 2025-01-01T00:00 and 2028-01-01T00:00 in India.
        let mut at = Utc::from_nanos(1_735_669_800_000_000_000);
        let end = Utc::from_nanos(1_830_277_800_000_000_000);
        let mut phases = 0;
        while at < end {
            let now = calendar.phase(class, at);
            assert!(now.covers(at));
            let until = now.until.unwrap();
            let next = calendar.phase(class, until);
            assert_eq!(next.since, until);
            assert_ne!(next.phase, now.phase);
            // Anywhere inside, the answer is the same.
            let middle = Utc::from_nanos(i64::midpoint(now.since.as_nanos(), until.as_nanos()));
            let last = Utc::from_nanos(until.as_nanos() - 1);
            assert_eq!(calendar.phase(class, middle), now);
            assert_eq!(calendar.phase(class, last), now);
            phases += 1;
            at = until;
        }
        assert!(phases > 1_400, "{class}: {phases} phases");
    }
}
