//! What an update of an indicator costs: each of the catalogue, five of one instrument, and five
//! of each of 25,000 instruments. Beside `kand` they are measured in compat/.

use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_benches::{criterion, next, size};
use strikewire_indicators::{AnyStudy, IndicatorId, Ohlcv, Study, catalog};

const FIVE: [&str; 5] = ["RSI_14", "MACD_12_26_9", "BB_20_2", "EMA_20", "ATR_14"];

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = criterion();
    let bars = bars(4_096);
    each(&mut criterion, &bars)?;
    five(&mut criterion, &bars, "one instrument", 1, false)?;
    let instruments = size(25_000, 50);
    five(&mut criterion, &bars, "25,000 in order", instruments, false)?;
    five(&mut criterion, &bars, "25,000 shuffled", instruments, true)?;
    criterion.final_summary();
    Ok(())
}

/// A walk around 26,500, in steps of 0.05.
fn bars(count: usize) -> Vec<Ohlcv> {
    let mut rng = Pcg64::seed_from_u64(1);
    let mut price = 26_500.0_f64;
    let mut bar = |nth: usize| {
        let path: [f64; 4] = std::array::from_fn(|_| {
            price += f64::from(rng.random_range(-200..=200)) / 20.0;
            (price * 20.0).round() / 20.0
        });
        price += (26_500.0 - price) * 0.01;
        Ohlcv {
            open: path[0],
            high: path.into_iter().fold(f64::MIN, f64::max),
            low: path.into_iter().fold(f64::MAX, f64::min),
            close: path[3],
            volume: f64::from(rng.random_range(1..5_000)) * 75.0,
            oi: f64::from(rng.random_range(1..5_000)) * 75.0,
            day: (nth / 375) as i32,
        }
    };
    (0..count).map(&mut bar).collect()
}

/// After its warm-up.
fn warm(id: &str, bars: &[Ohlcv]) -> Result<AnyStudy, strikewire_indicators::Error> {
    let mut study = id.parse::<IndicatorId>()?.build();
    for bar in bars {
        study.update(bar);
    }
    Ok(study)
}

/// Every indicator with its defaults: a closed bar and its value, and a bar that forms.
fn each(criterion: &mut Criterion, bars: &[Ohlcv]) -> Result<(), Box<dyn Error>> {
    for (group, is_peek) in [("update and value", false), ("peek", true)] {
        let mut group = criterion.benchmark_group(format!("indicators/{group}"));
        for entry in catalog() {
            let mut study = warm(&entry.example, bars)?;
            let mut at = 0;
            group.bench_function(&entry.example, |bencher| {
                bencher.iter(|| {
                    let bar = black_box(&bars[at]);
                    at = next(at, bars.len());
                    if is_peek {
                        return study.peek(bar);
                    }
                    study.update(bar);
                    study.value()
                });
            });
        }
        group.finish();
    }
    Ok(())
}

/// Five of each instrument, a bar for one instrument at a time.
fn five(
    criterion: &mut Criterion,
    bars: &[Ohlcv],
    name: &str,
    instruments: usize,
    shuffled: bool,
) -> Result<(), Box<dyn Error>> {
    let mut studies = Vec::with_capacity(instruments);
    for nth in 0..instruments {
        // Another number of bars each, so that their windows do not come round together.
        let seen = &bars[..200 + nth % 97];
        let [one, two, three, four, five] = FIVE.map(|id| warm(id, seen));
        studies.push([one?, two?, three?, four?, five?]);
    }
    let mut order: Vec<usize> = (0..instruments).collect();
    if shuffled {
        order.shuffle(&mut Pcg64::seed_from_u64(2));
    }
    let mut group = criterion.benchmark_group("indicators/five");
    group.throughput(Throughput::Elements(1));
    let (mut at, mut bar) = (0, 0);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let given = black_box(&bars[bar]);
            for study in &mut studies[order[at]] {
                study.update(given);
                black_box(&study.value());
            }
            at = next(at, instruments);
            bar = next(bar, bars.len());
        });
    });
    group.finish();
    Ok(())
}
