//! What an update of five indicators costs, beside those of `kand`.
//!
//!     cargo run --release --features times --bin indicators [NAME]
//!
//! Only the cases whose name contains NAME: `hot`, `in_order`, `shuffled`. Time is the CPU time
//! of this thread. All take turns; what is shown is the least and the median of the rounds, and
//! the median of the ratio of each round.

use std::hint::black_box;

use compat::studies::{Any, FIRST, Kand, Typed, bars};
use cpu_time::ThreadTime;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

const ROUNDS: usize = 41;

/// Updates in a round when one instrument is hot.
const HOT: usize = 200_000;

/// What the gateway may hold.
const INSTRUMENTS: usize = 25_000;

/// Nanoseconds of this thread per update.
fn cost(updates: usize, work: impl FnOnce()) -> f64 {
    let start = ThreadTime::now();
    work();
    start.elapsed().as_nanos() as f64 / updates as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!(
        "| five indicators | Strikewire, typed | by id | kand | typed / kand | by id / kand |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, instruments, shuffled) in [
        ("hot", 1, false),
        ("in_order", INSTRUMENTS, false),
        ("shuffled", INSTRUMENTS, true),
    ] {
        if name.contains(&only) {
            println!("| {name} | {} |", measure(instruments, shuffled));
        }
    }
}

fn measure(instruments: usize, shuffled: bool) -> String {
    let bars = bars(4_096, 1);
    let (first, bars) = bars.split_at(bars.len() - 2_048);
    let mut order: Vec<usize> = (0..instruments).collect();
    if shuffled {
        order.shuffle(&mut Pcg64Mcg::seed_from_u64(2));
    }
    let updates = HOT.max(instruments * 2);
    // Each has seen another number of bars, so that their windows do not come round together.
    let seen = |nth: usize| &first[..FIRST + 100 + nth % 97];
    let mut typed: Vec<Typed> = (0..instruments)
        .map(|nth| {
            let mut five = Typed::new();
            for bar in seen(nth) {
                five.step(bar);
            }
            five
        })
        .collect();
    let mut any: Vec<Any> = (0..instruments)
        .map(|nth| {
            let mut five = Any::new();
            for bar in seen(nth) {
                five.step(bar);
            }
            five
        })
        .collect();
    let mut kand: Vec<Kand> = (0..instruments).map(|nth| Kand::after(seen(nth))).collect();
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let typed = cost(updates, || {
            for (bar, &at) in bars.iter().cycle().zip(order.iter().cycle()).take(updates) {
                black_box(typed[at].step(black_box(bar)));
            }
        });
        let any = cost(updates, || {
            for (bar, &at) in bars.iter().cycle().zip(order.iter().cycle()).take(updates) {
                black_box(any[at].step(black_box(bar)));
            }
        });
        let kand = cost(updates, || {
            for (bar, &at) in bars.iter().cycle().zip(order.iter().cycle()).take(updates) {
                black_box(kand[at].step(black_box(bar)));
            }
        });
        for (costs, cost) in costs.iter_mut().zip([typed, any, kand]) {
            costs.push(cost);
        }
    }
    // What was measured did happen.
    assert!(typed.iter_mut().all(|five| five.step(&bars[0]).is_some()));
    assert!(any.iter_mut().all(|five| five.step(&bars[0]).is_some()));
    let ratio = |of: usize| {
        let ratios = costs[of]
            .iter()
            .zip(&costs[2])
            .map(|(ours, theirs)| ours / theirs);
        median(ratios.collect())
    };
    let ratios = [ratio(0), ratio(1)];
    let [typed, any, kand] = costs.map(|costs| {
        let least = costs.iter().fold(f64::MAX, |least, cost| least.min(*cost));
        format!("{least:.1} ns, median {:.1}", median(costs))
    });
    format!(
        "{typed} | {any} | {kand} | {:.2} | {:.2}",
        ratios[0], ratios[1]
    )
}
