//! What is at the money, and the strikes around it.

use std::error::Error;

use criterion::{BenchmarkId, Criterion};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_benches::baseline::chain as plain;
use strikewire_benches::master::{Master, even_and_uneven};
use strikewire_benches::{criterion, next};
use strikewire_chain::{
    ChainFacts, ChainView, Decision, Follower, PriceQuality, PriceSource, Width, Window,
    at_the_money,
};
use strikewire_registry::{InstrumentIdx, Ladder, Registry};
use strikewire_types::{Now, Price};

const WIDTHS: [u32; 2] = [25, 101];

/// A ladder and prices of its underlying.
struct Market<'a> {
    shape: &'static str,
    ladder: Ladder<'a>,
    prices: Vec<Price>,
}

impl<'a> Market<'a> {
    fn new(shape: &'static str, ladder: Ladder<'a>) -> Self {
        let rungs = ladder.rungs();
        // The middle half, so that windows are mostly whole.
        let (low, high) = (rungs.len() / 4, rungs.len() * 3 / 4);
        let (low, high) = (rungs[low].strike.raw(), rungs[high].strike.raw());
        let mut rng = Pcg64::seed_from_u64(3);
        let prices = (0..1024)
            .map(|_| Price::from_raw(rng.random_range(low..high) / 500 * 500))
            .collect();
        eprintln!("{shape}: {ladder:?}");
        Self {
            shape,
            ladder,
            prices,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    let master = Master::for_bench()?;
    let registry = master.registry()?;
    let tokens = plain::tokens(&registry);
    let (even, uneven) = even_and_uneven(&registry);
    for market in [Market::new("even", even), Market::new("uneven", uneven)] {
        money(&mut criterion, &market);
        for width in WIDTHS {
            window(&mut criterion, &market, Width::new(width)?, &tokens);
        }
        tick(&mut criterion, &registry, &market)?;
    }
    criterion.final_summary();
    Ok(())
}

fn money(criterion: &mut Criterion, market: &Market<'_>) {
    let Market { shape, prices, .. } = market;
    let rungs = market.ladder.rungs();
    let mut group = criterion.benchmark_group("chain/at_the_money");
    group.bench_function(BenchmarkId::new("strikewire", shape), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, prices.len());
            at_the_money(rungs, prices[at])
        });
    });
    group.bench_function(BenchmarkId::new("scan", shape), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, prices.len());
            plain::nearest(rungs, prices[at])
        });
    });
    group.finish();
}

fn window(criterion: &mut Criterion, market: &Market<'_>, width: Width, tokens: &plain::Tokens) {
    let &Market { shape, ladder, .. } = market;
    let prices = &market.prices;
    let mut group = criterion.benchmark_group(format!("chain/window/{width}"));
    // Where it is.
    group.bench_function(BenchmarkId::new("strikewire", shape), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, prices.len());
            Window::new(ladder, prices[at], width).map(|window| window.rungs().len())
        });
    });
    // Where it is and which contracts are in it.
    group.bench_function(BenchmarkId::new("strikewire_legs", shape), |b| {
        let mut at = 0;
        let mut legs: Vec<InstrumentIdx> = Vec::new();
        b.iter(|| {
            at = next(at, prices.len());
            legs.clear();
            if let Ok(window) = Window::new(ladder, prices[at], width) {
                legs.extend(window.legs().map(|(leg, ..)| leg));
            }
            legs.len()
        });
    });
    // As it is shown to users, with the token of every contract.
    group.bench_function(BenchmarkId::new("strikewire_view", shape), |b| {
        let now = Now::default();
        let facts = ChainFacts {
            price_source: PriceSource::Live,
            price_time: None,
            price_stale: false,
            live_ltp: None,
            calculated_at: now.utc,
        };
        let mut at = 0;
        b.iter(|| {
            at = next(at, prices.len());
            Window::new(ladder, prices[at], width).map(|window| ChainView::new(&window, &facts))
        });
    });
    group.bench_function(BenchmarkId::new("plain", shape), |b| {
        let rungs = ladder.rungs();
        let middle = rungs.len() / 2;
        let of = plain::Underlying {
            symbol: ladder.symbol().to_owned(),
            expiry: ladder.expiry().to_string(),
            step: rungs[middle].strike.as_f64() - rungs[middle - 1].strike.as_f64(),
        };
        let width = usize::from(width.get());
        let mut at = 0;
        b.iter(|| {
            at = next(at, prices.len());
            plain::chain(tokens, &of, prices[at].as_f64(), width)
        });
    });
    group.bench_function(BenchmarkId::new("scan", shape), |b| {
        let rungs = ladder.rungs();
        let half = usize::from(width.half());
        let mut at = 0;
        b.iter(|| {
            at = next(at, prices.len());
            plain::nearest(rungs, prices[at]).map(|nearest| {
                let end = rungs.len().min(nearest + half + 1);
                rungs[nearest.saturating_sub(half)..end].len()
            })
        });
    });
    group.finish();
}

/// What a tick of the underlying costs a chain that stays where it is.
fn tick(
    criterion: &mut Criterion,
    registry: &Registry,
    market: &Market<'_>,
) -> Result<(), Box<dyn Error>> {
    let &Market { shape, ladder, .. } = market;
    let rungs = ladder.rungs();
    let price = Price::from_raw(rungs[rungs.len() / 2].strike.raw());
    let band = Window::new(ladder, price, Width::new(25)?)?.band();
    let near: Vec<Price> = (0..64)
        .map(|nth| Price::from_raw(price.raw() + (nth - 32) * 500))
        .filter(|price| !band.leaves(*price))
        .collect();
    let mut group = criterion.benchmark_group("chain/tick");
    group.bench_function(BenchmarkId::new("band", shape), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, near.len());
            band.leaves(near[at])
        });
    });
    group.bench_function(BenchmarkId::new("follower", shape), |b| {
        let now = Now::default();
        let mut follower = Follower::new(ladder.id(), Width::default_for(ladder.kind()));
        let first = follower.on_price(registry, now, price, PriceQuality::Live);
        assert!(matches!(first, Decision::Started { .. }));
        let mut at = 0;
        b.iter(|| {
            at = next(at, near.len());
            follower.on_price(registry, now, near[at], PriceQuality::Live)
        });
    });
    group.finish();
    Ok(())
}
