//! The subscription book: admission, release, eviction, and the wire after a total
//! disconnect.

use std::error::Error;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use strikewire_benches::baseline::book::Plain;
use strikewire_benches::wires::{CHAIN, Wired, chain};
use strikewire_benches::{criterion, next, size};
use strikewire_subscriptions::{Config, Request};

/// Longer than a slot rests, so that the books use their slots again.
const STEP: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    for instruments in [5_000, 10_000, 20_000] {
        admit_release(&mut criterion, instruments)?;
    }
    let chains = size(Config::default().total, 1_000) / CHAIN;
    evict(&mut criterion, chains)?;
    reconnect(&mut criterion, chains)?;
    criterion.final_summary();
    Ok(())
}

/// A book of that many chains, all of them on the wire, and as many in maps and sets.
fn filled(chains: usize, total: usize) -> Result<(Wired, Plain), Box<dyn Error>> {
    let config = Config::default();
    let mut wired = Wired::new(total)?;
    let mut plain = Plain::new(config.connections, total, config.per_batch);
    wired.connect();
    for nth in 0..chains {
        let request = chain(nth);
        wired.now.mono = wired.now.mono + STEP;
        assert_eq!(wired.admit(&request), CHAIN);
        assert!(plain.admit(request.owner, &request.legs));
    }
    assert_eq!(wired.settle(), chains * CHAIN);
    assert_eq!(settle(&mut plain), chains * CHAIN);
    Ok((wired, plain))
}

fn settle(plain: &mut Plain) -> usize {
    let mut keys = 0;
    for conn in 0..Config::default().connections {
        plain.drain(conn, |_, batch| keys += batch.len());
    }
    keys
}

/// A chain comes and goes: in the book alone, and with what it writes to the wires.
fn admit_release(criterion: &mut Criterion, instruments: usize) -> Result<(), Box<dyn Error>> {
    let chains = size(instruments, instruments / 20) / CHAIN;
    let (mut wired, mut plain) = filled(chains, Config::default().total)?;
    let requests: Vec<Request> = (chains..chains + 64).map(chain).collect();
    let mut group = criterion.benchmark_group("book/admit_release");
    group.throughput(Throughput::Elements(CHAIN as u64));
    for with_wire in [false, true] {
        let suffix = if with_wire { "_and_wire" } else { "" };
        group.bench_function(
            BenchmarkId::new(format!("strikewire{suffix}"), instruments),
            |b| {
                let mut at = 0;
                b.iter(|| {
                    at = next(at, requests.len());
                    wired.now.mono = wired.now.mono + STEP;
                    let mut moved = wired.admit(&requests[at]);
                    moved += if with_wire { wired.settle() } else { 0 };
                    moved += wired.release(requests[at].owner);
                    moved + if with_wire { wired.settle() } else { 0 }
                });
            },
        );
        group.bench_function(
            BenchmarkId::new(format!("plain{suffix}"), instruments),
            |b| {
                let mut at = 0;
                b.iter(|| {
                    at = next(at, requests.len());
                    let Request { owner, legs, .. } = &requests[at];
                    let mut moved = usize::from(plain.admit(*owner, legs));
                    moved += if with_wire { settle(&mut plain) } else { 0 };
                    moved += plain.release(*owner);
                    moved + if with_wire { settle(&mut plain) } else { 0 }
                });
            },
        );
    }
    group.finish();
    Ok(())
}

/// A chain comes into a full book, and the one that was used longest ago goes.
fn evict(criterion: &mut Criterion, chains: usize) -> Result<(), Box<dyn Error>> {
    let (mut wired, mut plain) = filled(chains, chains * CHAIN)?;
    let requests: Vec<Request> = (0..2 * chains).map(chain).collect();
    let mut group = criterion.benchmark_group("book/evict");
    group.throughput(Throughput::Elements(CHAIN as u64));
    let mut at = chains - 1;
    group.bench_function("strikewire_and_wire", |b| {
        b.iter(|| {
            at = next(at, requests.len());
            wired.now.mono = wired.now.mono + STEP;
            assert_eq!(wired.admit(&requests[at]), CHAIN);
            assert_eq!(wired.settle(), 2 * CHAIN);
        });
    });
    let mut at = chains - 1;
    group.bench_function("plain_and_wire", |b| {
        b.iter(|| {
            at = next(at, requests.len());
            let Request { owner, legs, .. } = &requests[at];
            assert!(plain.admit(*owner, legs));
            assert_eq!(settle(&mut plain), 2 * CHAIN);
        });
    });
    group.finish();
    Ok(())
}

/// All connections break and come back, and everything is subscribed again.
fn reconnect(criterion: &mut Criterion, chains: usize) -> Result<(), Box<dyn Error>> {
    let (mut wired, mut plain) = filled(chains, chains * CHAIN)?;
    let mut group = criterion.benchmark_group("book/reconnect");
    group
        .sample_size(20)
        .throughput(Throughput::Elements((chains * CHAIN) as u64));
    group.bench_function("strikewire", |b| {
        b.iter(|| {
            wired.disconnect();
            wired.connect();
            assert_eq!(wired.settle(), chains * CHAIN);
        });
    });
    group.bench_function("plain", |b| {
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
