//! Loading the instrument master and finding things in it.

use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use strikewire_benches::baseline::registry as plain;
use strikewire_benches::master::{Master, shuffled_keys};
use strikewire_benches::{criterion, next};
use strikewire_registry::Registry;
use strikewire_types::InstrumentKey;

/// As many different things are asked for, one after the other.
const ASKED: usize = 1 << 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    let master = Master::for_bench()?;
    let registry = master.registry()?;
    let rows = plain::load(&master.csv)?;
    load(&mut criterion, &master);
    by_key(&mut criterion, &registry, &rows);
    find(&mut criterion, &registry);
    ladder(&mut criterion, &registry);
    criterion.final_summary();
    Ok(())
}

fn load(criterion: &mut Criterion, master: &Master) {
    let mut group = criterion.benchmark_group("registry/load");
    group
        .sample_size(20)
        .throughput(Throughput::Bytes(master.csv.len() as u64));
    group.bench_function("strikewire", |b| {
        b.iter_with_large_drop(|| master.registry());
    });
    group.bench_function("plain", |b| {
        b.iter_with_large_drop(|| plain::load(&master.csv));
    });
    group.bench_function("scan", |b| b.iter(|| plain::scan(&master.csv)));
    group.finish();
}

/// Throughput, where look-ups overlap, and dependent, where each needs the one before.
fn by_key(criterion: &mut Criterion, registry: &Registry, rows: &plain::Plain) {
    let keys = shuffled_keys(registry, ASKED);
    let pair = |key: InstrumentKey| (key.segment.code(), key.id.0);
    let pairs: Vec<(u8, u32)> = keys.iter().copied().map(pair).collect();
    let index: std::collections::HashMap<(u8, u32), u32> = registry
        .instruments()
        .map(|instrument| (pair(instrument.key()), instrument.idx().index() as u32))
        .collect();
    // What the instrument is at, and something out of its row.
    let ours_at = |at: usize| {
        registry
            .by_key(keys[at])
            .map_or(0, |found| found.idx().index())
    };
    let ours = |at: usize| {
        registry
            .by_key(keys[at])
            .map_or(0, |found| found.lot_size() as usize)
    };
    let plain_at = |at: usize| index.get(&pairs[at]).map_or(0, |&at| at as usize);
    let plain = |at: usize| rows.by_key.get(&pairs[at]).map_or(0, |row| row.lot.len());

    let mut group = criterion.benchmark_group("registry/by_key");
    macro_rules! bench {
        ($($name:literal = $get:ident;)*) => {$(
            group.bench_function(concat!($name, "/throughput"), |b| {
                let mut at = 0;
                b.iter(|| {
                    at = next(at, keys.len());
                    $get(at)
                });
            });
            group.bench_function(concat!($name, "/dependent"), |b| {
                let (mut at, mut found, zero) = (0, 0, black_box(0));
                b.iter(|| {
                    at = next(at, keys.len()) + (found & zero);
                    found = $get(at);
                    found
                });
            });
        )*};
    }
    bench! {
        "strikewire_index" = ours_at;
        "plain_index" = plain_at;
        "strikewire_row" = ours;
        "plain_row" = plain;
    }
    group.finish();
}

fn find(criterion: &mut Criterion, registry: &Registry) {
    let by_token = plain::by_token(registry);
    let tokens: Vec<String> = shuffled_keys(registry, ASKED)
        .into_iter()
        .filter_map(|key| registry.by_key(key))
        .map(|instrument| instrument.token())
        .collect();
    let mut group = criterion.benchmark_group("registry/find");
    group.bench_function("strikewire", |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, tokens.len());
            registry
                .find(&tokens[at])
                .map(|found| found.instrument.idx())
        });
    });
    group.bench_function("plain", |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, tokens.len());
            by_token.get(&tokens[at])
        });
    });
    group.finish();
}

fn ladder(criterion: &mut Criterion, registry: &Registry) {
    let mut asked: Vec<_> = registry
        .ladders()
        .map(|ladder| (ladder.exchange(), ladder.symbol(), ladder.expiry()))
        .collect();
    asked.shuffle(&mut Pcg64::seed_from_u64(2));
    let plain = plain::ladders(registry);
    let mut group = criterion.benchmark_group("registry/ladder");
    group.bench_function("strikewire", |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, asked.len());
            let (exchange, symbol, expiry) = asked[at];
            registry
                .ladder(exchange, symbol, expiry)
                .map_or(0, |ladder| ladder.rungs().len())
        });
    });
    group.bench_function("plain", |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, asked.len());
            let (exchange, symbol, expiry) = asked[at];
            plain
                .get(&exchange)
                .and_then(|symbols| symbols.get(symbol))
                .and_then(|expiries| expiries.get(&expiry.date()))
                .map_or(0, Vec::len)
        });
    });
    group.finish();
}
