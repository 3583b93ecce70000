//! The subscription book: chains that come and go, eviction, the end of a day, and the
//! wire after a total disconnect; each at several sizes, to show that none of it grows
//! with what else is held.

use std::error::Error;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use strikewire_benches::baseline::book::Plain;
use strikewire_benches::wires::{CHAIN, Wired, chain};
use strikewire_benches::{criterion, next, size};
use strikewire_subscriptions::{Config, Request};

/// Longer than a slot rests, so that the books use their slots again.
const STEP: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    for instruments in [5_000, 10_000, 20_000, 25_000] {
        admit_release(&mut criterion, instruments)?;
    }
    for instruments in [5_000, 10_000, 25_000] {
        evict(&mut criterion, instruments, false)?;
        evict(&mut criterion, instruments, true)?;
    }
    for instruments in [5_000, 10_000, 25_000] {
        end_of_day(&mut criterion, instruments)?;
    }
    for instruments in [5_000, 10_000, 25_000] {
        reconnect(&mut criterion, instruments)?;
    }
    criterion.final_summary();
    Ok(())
}

/// How many chains make up `instruments`, or a few in a test.
fn chains(instruments: usize) -> usize {
    size(instruments, instruments / 20) / CHAIN
}

/// A book for `total` instruments, and the same in maps and sets. Nothing is on the
/// wire unless `up`.
fn filled(chains: usize, total: usize, up: bool) -> Result<(Wired, Plain), Box<dyn Error>> {
    let config = Config::default();
    let mut wired = Wired::new(total)?;
    let mut plain = Plain::new(config.connections, total, config.per_batch);
    if up {
        wired.connect();
    }
    for nth in 0..chains {
        let request = chain(nth);
        wired.now.mono = wired.now.mono + STEP;
        assert_eq!(wired.admit(&request), CHAIN);
        assert!(plain.admit(request.owner, &request.legs));
    }
    if up {
        assert_eq!(wired.settle(), chains * CHAIN);
        assert_eq!(settle(&mut plain), chains * CHAIN);
    }
    Ok((wired, plain))
}

fn settle(plain: &mut Plain) -> usize {
    let mut keys = 0;
    for conn in 0..Config::default().connections {
        plain.drain(conn, |_, batch| keys += batch.len());
    }
    keys
}

/// A group in which one iteration moves `legs` legs in or out.
fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    legs: usize,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(legs as u64));
    group
}

/// A chain comes and goes: in the book alone, and with what it writes to the wires.
/// Every leg counts twice, in and out.
fn admit_release(criterion: &mut Criterion, instruments: usize) -> Result<(), Box<dyn Error>> {
    // One chain less, so that there is room for the one that comes.
    let chains = chains(instruments) - 1;
    let (mut wired, mut plain) = filled(chains, Config::default().total, true)?;
    let requests: Vec<Request> = (chains..chains + 64).map(chain).collect();
    for with_wire in [false, true] {
        let name = if with_wire { "_and_wire" } else { "" };
        let mut group = group(criterion, &format!("book/admit_release{name}"), 2 * CHAIN);
        group.bench_function(BenchmarkId::new("strikewire", instruments), |b| {
            let mut at = 0;
            b.iter(|| {
                at = next(at, requests.len());
                wired.now.mono = wired.now.mono + STEP;
                let mut moved = wired.admit(&requests[at]);
                moved += if with_wire { wired.settle() } else { 0 };
                moved += wired.release(requests[at].owner);
                moved + if with_wire { wired.settle() } else { 0 }
            });
        });
        group.bench_function(BenchmarkId::new("plain", instruments), |b| {
            let mut at = 0;
            b.iter(|| {
                at = next(at, requests.len());
                let Request { owner, legs, .. } = &requests[at];
                let mut moved = usize::from(plain.admit(*owner, legs));
                moved += if with_wire { settle(&mut plain) } else { 0 };
                moved += plain.release(*owner);
                moved + if with_wire { settle(&mut plain) } else { 0 }
            });
        });
        group.finish();
    }
    Ok(())
}

/// A chain comes into a full book, and the one that was used longest ago goes: in the
/// book alone, which has no wire up, and with what it writes to the wires. Every leg
/// that comes is one that another goes for.
fn evict(
    criterion: &mut Criterion,
    instruments: usize,
    with_wire: bool,
) -> Result<(), Box<dyn Error>> {
    let chains = chains(instruments);
    let (mut wired, mut plain) = filled(chains, chains * CHAIN, with_wire)?;
    let requests: Vec<Request> = (0..2 * chains).map(chain).collect();
    let name = if with_wire { "_and_wire" } else { "" };
    let mut group = group(criterion, &format!("book/evict{name}"), 2 * CHAIN);
    let mut at = chains - 1;
    group.bench_function(BenchmarkId::new("strikewire", instruments), |b| {
        b.iter(|| {
            at = next(at, requests.len());
            wired.now.mono = wired.now.mono + STEP;
            assert_eq!(wired.admit(&requests[at]), CHAIN);
            if with_wire {
                assert_eq!(wired.settle(), 2 * CHAIN);
            }
        });
    });
    let mut at = chains - 1;
    group.bench_function(BenchmarkId::new("plain", instruments), |b| {
        b.iter(|| {
            at = next(at, requests.len());
            let Request { owner, legs, .. } = &requests[at];
            assert!(plain.admit(*owner, legs));
            if with_wire {
                assert_eq!(settle(&mut plain), 2 * CHAIN);
            }
        });
    });
    group.finish();
    Ok(())
}

/// The time that `end` takes, each time after `begin`, which is not counted.
fn each<T>(times: u64, on: &mut T, begin: impl Fn(&mut T), end: impl Fn(&mut T)) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..times {
        begin(on);
        let start = Instant::now();
        end(on);
        took += start.elapsed();
    }
    took
}

/// All claims of tier A are released: in the book alone, and until the wires are empty.
fn end_of_day(criterion: &mut Criterion, instruments: usize) -> Result<(), Box<dyn Error>> {
    let chains = chains(instruments);
    let total = Config::default().total;
    let requests: Vec<Request> = (0..chains).map(chain).collect();
    for with_wire in [false, true] {
        let (mut wired, mut plain) = filled(0, total, true)?;
        let name = if with_wire { "_and_wire" } else { "" };
        let name = format!("book/end_of_day{name}");
        let mut group = group(criterion, &name, chains * CHAIN);
        // What is not counted takes several times as long.
        group
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(800));
        group.bench_function(BenchmarkId::new("strikewire", instruments), |b| {
            let begin = |wired: &mut Wired| {
                wired.settle();
                wired.now.mono = wired.now.mono + STEP;
                for request in &requests {
                    wired.admit(request);
                }
                wired.settle();
            };
            let end = |wired: &mut Wired| {
                for request in &requests {
                    assert_eq!(wired.release(request.owner), CHAIN);
                }
                if with_wire {
                    assert_eq!(wired.settle(), chains * CHAIN);
                }
            };
            b.iter_custom(|times| each(times, &mut wired, begin, end));
        });
        group.bench_function(BenchmarkId::new("plain", instruments), |b| {
            let begin = |plain: &mut Plain| {
                settle(plain);
                for request in &requests {
                    plain.admit(request.owner, &request.legs);
                }
                settle(plain);
            };
            let end = |plain: &mut Plain| {
                for request in &requests {
                    assert_eq!(plain.release(request.owner), CHAIN);
                }
                if with_wire {
                    assert_eq!(settle(plain), chains * CHAIN);
                }
            };
            b.iter_custom(|times| each(times, &mut plain, begin, end));
        });
        group.finish();
    }
    Ok(())
}

/// All connections break and come back, and everything is subscribed again.
fn reconnect(criterion: &mut Criterion, instruments: usize) -> Result<(), Box<dyn Error>> {
    let chains = chains(instruments);
    let (mut wired, mut plain) = filled(chains, Config::default().total, true)?;
    let mut group = group(criterion, "book/reconnect", chains * CHAIN);
    group.sample_size(20);
    group.bench_function(BenchmarkId::new("strikewire", instruments), |b| {
        b.iter(|| {
            wired.disconnect();
            wired.connect();
            assert_eq!(wired.settle(), chains * CHAIN);
        });
    });
    group.bench_function(BenchmarkId::new("plain", instruments), |b| {
        b.iter(|| {
            for conn in 0..Config::default().connections {
                plain.reconnect(conn);
            }
            assert_eq!(settle(&mut plain), chains * CHAIN);
        });
    });
    group.finish();
    Ok(())
}
