//! The builder against a look at all trades.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::bars::session_of;

const SECOND: i64 = 1_000_000_000;

/// One trade of the exchange: `volume` is that of the day after it.
#[derive(Clone, Copy)]
struct Trade {
    tick: Tick,
    arrives: Utc,
}

/// The trades of some days, with those before the open and after the close.
fn trades(rng: &mut Pcg64, calendar: &Calendar, class: Class) -> Vec<Trade> {
    let first = jiff::civil::date(2025, 10, 14) + jiff::Span::new().days(rng.random_range(0..300));
    let has_volume = rng.random_bool(0.8);
    let busy = rng.random_range(0.2..40.0_f64);
    let mut trades = Vec::new();
    for date in first.series(jiff::Span::new().days(1)).take(4) {
        let Some(open) = calendar.first_open(class, date) else {
            continue;
        };
        // A piece of the day, or what there is around its open or close.
        let close = calendar.last_close(class, date).unwrap();
        let length = close.since(open).as_secs();
        let from = match rng.random_range(0..3) {
            0 => -600,
            1 => length as i64 - 600,
            _ => rng.random_range(0..length as i64),
        };
        let mut nanos = open.as_nanos() + from * SECOND;
        let end = nanos + rng.random_range(60..1_500) * SECOND;
        let (mut volume, mut delay) = (0, 0);
        let mut price = rng.random_range(100_000..2_000_000_i64);
        loop {
            nanos += (rng.random_range(0.0..2.0) * busy * 1e9) as i64;
            if nanos > end {
                break;
            }
            volume += rng.random_range(0..50);
            price += rng.random_range(-500..=500);
            let ltt = Utc::from_nanos(nanos - nanos.rem_euclid(SECOND));
            if strikewire_types::ist_date(ltt) != date {
                continue;
            }
            if trades
                .last()
                .is_some_and(|last: &Trade| last.tick.ltt < ltt)
            {
                delay = rng.random_range(0..1_950_000_000);
            }
            // What trades in one second stays in its order, as on a connection.
            delay += 1_000;
            trades.push(Trade {
                tick: Tick {
                    ltp: Price::from_raw(price),
                    ltt,
                    volume: has_volume.then_some(volume),
                    oi: has_volume.then(|| rng.random_range(0..9)),
                },
                arrives: ltt + Duration::from_nanos(delay),
            });
        }
    }
    trades.sort_by_key(|trade| trade.arrives);
    trades
}

/// All trades of a minute at once.
fn naive(trades: &[Trade], calendar: &Calendar, class: Class) -> BTreeMap<Utc, Bar> {
    let mut minutes: BTreeMap<Utc, Vec<Tick>> = BTreeMap::new();
    for trade in trades {
        if session_of(calendar, class, trade.tick.ltt).is_some() {
            let second = trade.tick.ltt.as_seconds();
            let start = Utc::from_nanos((second - second % 60) * SECOND);
            minutes.entry(start).or_default().push(trade.tick);
        }
    }
    // Greatest volume of each day and minute, in whatever phase.
    let mut volumes: BTreeMap<(jiff::civil::Date, i64), u64> = BTreeMap::new();
    for tick in trades.iter().map(|trade| trade.tick) {
        let minute = tick.ltt.as_seconds().div_euclid(60);
        let most = volumes
            .entry((strikewire_types::ist_date(tick.ltt), minute))
            .or_default();
        *most = tick.volume.unwrap_or(0).max(*most);
    }
    let before = |start: Utc| {
        let day = strikewire_types::ist_date(start);
        let until = start.as_seconds().div_euclid(60);
        let earlier = volumes.range((day, i64::MIN)..(day, until));
        earlier.map(|(_, volume)| *volume).max().unwrap_or(0)
    };
    minutes
        .into_iter()
        .map(|(start, mut ticks)| {
            ticks.sort_by_key(|tick| tick.ltt);
            let last = ticks[ticks.len() - 1];
            let bar = Bar {
                start,
                end: start + MINUTE,
                open: ticks[0].ltp,
                high: ticks.iter().map(|tick| tick.ltp).max().unwrap(),
                low: ticks.iter().map(|tick| tick.ltp).min().unwrap(),
                close: last.ltp,
                volume: ticks
                    .iter()
                    .filter_map(|it| it.volume)
                    .max()
                    .map(|it| it - before(start)),
                oi: last.oi,
                complete: true,
            };
            (start, bar)
        })
        .collect()
}

/// The clock is asked at random, ticks are repeated at random.
fn play(rng: &mut Pcg64, run: &mut Run, trades: &[Trade], lost: impl Fn(Utc) -> bool) {
    let mut now = trades[0].arrives;
    let beat = rng.random_range(50_000_000..400_000_000);
    for trade in trades {
        if lost(trade.arrives) {
            continue;
        }
        // Over a night there are fewer beats.
        while now < trade.arrives {
            let left = trade.arrives.since(now);
            let step = if left.as_secs() > 120 {
                Duration::from_secs(rng.random_range(1..=60))
            } else {
                Duration::from_nanos(beat)
            };
            if now + step > trade.arrives {
                break;
            }
            now = now + step;
            run.advance(now);
        }
        run.tick(trade.tick);
        if rng.random_bool(0.2) {
            run.tick(trade.tick);
        }
    }
    let end = trades[trades.len() - 1].arrives + Duration::from_secs(120);
    run.advance(end);
}

const CLASSES: [Class; 4] = [
    Class::NseCash,
    Class::NseDerivatives,
    Class::Mcx,
    Class::McxAgri,
];

#[test]
fn bars_are_what_a_look_at_all_trades_says() {
    let mut seen = 0;
    for seed in 0..150 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let class = CLASSES[rng.random_range(0..CLASSES.len())];
        let calendar = if rng.random_bool(0.1) {
            Calendar::endless()
        } else {
            Calendar::builtin()
        };
        let trades = trades(&mut rng, &calendar, class);
        let Some(first) = trades.first().copied() else {
            continue;
        };
        let mut run = Run::new(calendar.clone(), class);
        // What was traded the week before, so that the first bar is known to be whole.
        run.advance(first.arrives);
        run.builder.grace = Duration::from_secs(2);
        run.tick(tick(first.tick.ltt - Duration::from_secs(7 * 86_400), 1, 7));
        play(&mut rng, &mut run, &trades, |_| false);
        let expected: Vec<Bar> = naive(&trades, &calendar, class).into_values().collect();
        assert_eq!(run.bars, expected, "seed {seed}");
        assert_eq!(run.builder.late(), 0, "seed {seed}");
        seen += expected.len();
    }
    assert!(seen > 3_000, "{seen}");
}

#[test]
fn what_is_called_complete_is_complete() {
    let (mut complete, mut incomplete, mut lost_minutes, mut late) = (0, 0, 0, 0);
    for seed in 0..150 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let class = CLASSES[rng.random_range(0..CLASSES.len())];
        let calendar = Calendar::builtin();
        let trades = trades(&mut rng, &calendar, class);
        if trades.len() < 10 {
            continue;
        }
        let mut run = Run::new(calendar.clone(), class);
        // With a short grace some ticks come late, and their minutes are named.
        run.builder.grace = Duration::from_millis(if seed % 2 == 0 { 2_000 } else { 200 });
        // Connections fall, and are back some time later.
        let mut rest = &trades[..];
        let far = Utc::from_nanos(i64::MAX);
        let mut known: Option<Tick> = None;
        // Of those that were late and lost in a gap nobody knows.
        let mut unheard = Vec::new();
        while !rest.is_empty() {
            let some = rng.random_range(1..=rest.len().min(120));
            let (seen, after) = rest.split_at(some);
            play_on(&mut rng, &mut run, seen);
            known = seen.last().map(|trade| trade.tick).or(known);
            let lost = rng.random_range(0..=after.len().min(60));
            let from = seen[seen.len() - 1].arrives;
            unheard.extend(after[..lost].iter().filter_map(|trade| {
                let start = minute_of(trade.tick.ltt);
                (start + MINUTE + run.builder.grace <= trade.arrives).then_some(start)
            }));
            let Some(next) = after.get(lost) else {
                run.builder.gap(from, far);
                break;
            };
            let back = next.arrives;
            let announced = rng.random_bool(0.5);
            if announced {
                run.builder.gap(from, far);
                let mut now = from;
                while now + Duration::from_secs(5) < back {
                    now = now + Duration::from_secs(5);
                    run.advance(now);
                }
            }
            // The first packet may be the last trade again, the gap be told before or
            // after it.
            let snapshot = after[..lost].last().map(|trade| trade.tick).or(known);
            let told_before = !announced || rng.random_bool(0.5);
            if told_before {
                run.builder.gap(from, back);
            }
            if rng.random_bool(0.5)
                && let Some(snapshot) = snapshot
            {
                run.tick(snapshot);
            }
            if !told_before {
                run.builder.gap(from, back);
            }
            rest = &after[lost..];
        }
        run.advance(trades[trades.len() - 1].arrives + Duration::from_secs(90));
        let expected = naive(&trades, &calendar, class);
        let mut last = None;
        for bar in &run.bars {
            assert!(last < Some(bar.start), "seed {seed}: in order");
            last = Some(bar.start);
            let whole = &expected[&bar.start];
            if run.lost.contains(&bar.start) {
                late += 1;
            } else if unheard.contains(&bar.start) {
                incomplete += 1;
            } else if bar.complete {
                assert_eq!(bar, whole, "seed {seed}");
                complete += 1;
            } else {
                assert!(
                    whole.low <= bar.low && bar.high <= whole.high,
                    "seed {seed}"
                );
                incomplete += 1;
            }
        }
        lost_minutes += expected.len() - run.bars.len();
    }
    assert!(
        complete > 500 && incomplete > 500 && lost_minutes > 100 && late > 10,
        "{complete} {incomplete} {lost_minutes} {late}"
    );
}

/// As `play`, without the end.
fn play_on(rng: &mut Pcg64, run: &mut Run, trades: &[Trade]) {
    for trade in trades {
        if rng.random_bool(0.7) {
            run.advance(trade.arrives);
        }
        run.tick(trade.tick);
    }
}

#[test]
fn whatever_comes_bars_are_in_order_and_inside_their_session() {
    for seed in 0..60 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let calendar = Calendar::builtin();
        let mut trades = trades(&mut rng, &calendar, CLASS);
        let len = trades.len();
        // Late ones, and some in no order at all.
        for _ in 0..len / 10 {
            let from = rng.random_range(0..len);
            let some = &mut trades[from..(from + 30).min(len)];
            some.shuffle(&mut rng);
        }
        let mut run = Run::new(calendar.clone(), CLASS);
        for trade in &trades {
            match rng.random_range(0..40) {
                0 => run.advance(Utc::from_nanos(
                    trade.arrives.as_nanos() + rng.random_range(-300_000..300_000) * SECOND,
                )),
                1 => {
                    let from = trade.arrives - Duration::from_secs(rng.random_range(0..300));
                    run.builder.gap(from, trade.arrives);
                }
                2..9 => run.advance(trade.arrives),
                _ => {}
            }
            run.tick(trade.tick);
        }
        let all = naive(&trades, &calendar, CLASS);
        for (index, bar) in run.bars.iter().enumerate() {
            assert!(
                index == 0 || run.bars[index - 1].end <= bar.start,
                "seed {seed}"
            );
            let whole = &all[&bar.start];
            assert!(
                whole.low <= bar.low && bar.high <= whole.high,
                "seed {seed}"
            );
            assert!(bar.low <= bar.open.min(bar.close), "seed {seed}");
            assert!(bar.open.max(bar.close) <= bar.high, "seed {seed}");
        }
    }
}
