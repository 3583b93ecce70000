//! Minute bars from ticks, as the feed's thread builds them, and longer ones from minutes.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_benches::{criterion, next, size};
use strikewire_indicators::{
    Aggregator, Bar, Calendar, Class, Fill, MinuteBuilder, Tick, Timeframe, session_of,
};
use strikewire_types::{Price, Utc};

const CLASS: Class = Class::NseDerivatives;

/// Monday, 2026-02-09, 09:15 in India.
const OPEN: Utc = Utc::from_nanos(1_770_608_700_000_000_000);

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    let calendar = Calendar::builtin();
    one_instrument(&mut criterion, &calendar);
    many_instruments(&mut criterion, &calendar);
    longer_bars(&mut criterion, &calendar);
    criterion.final_summary();
    Ok(())
}

/// A session of one instrument, two ticks a second.
fn session() -> Vec<Tick> {
    let mut rng = Pcg64::seed_from_u64(1);
    let (mut price, mut volume) = (265_000_000_i64, 0);
    (0..375 * 60 * 2)
        .map(|nth: u32| {
            price += rng.random_range(-100..=100) * 500;
            volume += rng.random_range(0..75);
            Tick {
                ltp: Price::from_raw(price),
                ltt: OPEN + Duration::from_secs(u64::from(nth / 2)),
                volume: Some(volume),
                oi: Some(1_000_000),
            }
        })
        .collect()
}

fn one_instrument(criterion: &mut Criterion, calendar: &Calendar) {
    let ticks = session();
    let mut group = criterion.benchmark_group("bars/tick");
    group.throughput(Throughput::Elements(ticks.len() as u64));
    // Turns of minutes and the asking of the clock, ten times a second, are in it.
    group.bench_function("session", |bencher| {
        bencher.iter(|| {
            let mut bars = 0_u64;
            let mut out = |bar: Bar| bars += u64::from(black_box(bar).complete);
            let mut builder = MinuteBuilder::new(CLASS);
            for (nth, tick) in ticks.iter().enumerate() {
                builder.tick(black_box(tick), calendar, &mut out);
                if nth % 2 == 1 {
                    for tenth in 0..10 {
                        builder.advance(tick.ltt + Duration::from_millis(100 * tenth), &mut out);
                    }
                }
            }
            bars
        });
    });
    group.bench_function("session_of_ticks_alone", |bencher| {
        bencher.iter(|| {
            let mut bars = 0_u64;
            let mut builder = MinuteBuilder::new(CLASS);
            for tick in &ticks {
                builder.tick(black_box(tick), calendar, &mut |bar| {
                    bars += u64::from(black_box(bar).complete);
                });
            }
            bars
        });
    });
    group.bench_function("plain", |bencher| {
        bencher.iter(|| {
            let mut bars: BTreeMap<i64, [f64; 5]> = BTreeMap::new();
            let mut last = 0;
            for tick in &ticks {
                let tick = black_box(tick);
                if session_of(calendar, CLASS, tick.ltt).is_none() {
                    continue;
                }
                let (price, volume) = (tick.ltp.as_f64(), tick.volume.unwrap_or(0));
                let minute = tick.ltt.as_seconds() / 60;
                let bar = bars
                    .entry(minute)
                    .or_insert([price, price, price, price, 0.0]);
                bar[1] = bar[1].max(price);
                bar[2] = bar[2].min(price);
                bar[3] = price;
                bar[4] += (volume - last) as f64;
                last = volume;
            }
            bars.len()
        });
    });
    group.finish();
}

/// A tick of one of many, as on a feed: its builder is not in the cache.
fn many_instruments(criterion: &mut Criterion, calendar: &Calendar) {
    let instruments = size(25_000, 100);
    let mut rng = Pcg64::seed_from_u64(2);
    let mut builders = vec![MinuteBuilder::new(CLASS); instruments];
    let order: Vec<usize> = (0..instruments * 4)
        .map(|_| rng.random_range(0..instruments))
        .collect();
    let mut group = criterion.benchmark_group("bars/tick");
    group.throughput(Throughput::Elements(1));
    let (mut at, mut nth) = (0, 0_u64);
    group.bench_function(format!("{instruments}_instruments"), |bencher| {
        bencher.iter(|| {
            // A minute lasts a hundred ticks of each.
            nth += 1;
            let minutes = nth / (100 * instruments as u64);
            let ltt = OPEN + Duration::from_secs(60 * (minutes % 375));
            let tick = Tick {
                ltp: Price::from_raw(1_000_000 + (nth as i64 & 1_023)),
                ltt,
                volume: Some(nth),
                oi: None,
            };
            builders[order[at]].tick(&tick, calendar, &mut |bar| {
                black_box(bar);
            });
            at = next(at, order.len());
        });
    });
    let mut now = OPEN;
    group.throughput(Throughput::Elements(instruments as u64));
    group.bench_function(format!("clock_of_{instruments}"), |bencher| {
        bencher.iter(|| {
            now = now + Duration::from_micros(1);
            for builder in &mut builders {
                builder.advance(now, &mut |bar| {
                    black_box(bar);
                });
            }
        });
    });
    group.finish();
    eprintln!("a builder has {} bytes", size_of::<MinuteBuilder>());
}

fn longer_bars(criterion: &mut Criterion, calendar: &Calendar) {
    let mut minutes = Vec::new();
    let mut builder = MinuteBuilder::new(CLASS);
    for tick in &session() {
        builder.tick(tick, calendar, &mut |bar| minutes.push(bar));
    }
    let mut group = criterion.benchmark_group("bars/minute");
    group.throughput(Throughput::Elements(minutes.len() as u64));
    for timeframe in ["1min", "5min", "1h", "1d"] {
        let Ok(timeframe) = timeframe.parse::<Timeframe>() else {
            continue;
        };
        group.bench_function(timeframe.to_string(), |bencher| {
            bencher.iter(|| {
                let mut bars = 0_u64;
                let mut aggregator = Aggregator::new(timeframe, CLASS, Fill::None);
                for minute in &minutes {
                    aggregator.minute(black_box(minute), calendar, &mut |bar| {
                        bars += u64::from(black_box(bar).complete);
                    });
                }
                bars
            });
        });
    }
    group.finish();
    eprintln!("an aggregator has {} bytes", size_of::<Aggregator>());
}
