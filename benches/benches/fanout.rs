//! What the fan-out writes, beside `serde_json` on structs: a tick, and the snapshot of a
//! chain of 202 contracts, from scratch and where a fifth of it changed.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use strikewire_benches::baseline::json::{Snapshot, Tick, TypedTick};
use strikewire_benches::chains::{self, Chain};
use strikewire_benches::master::Master;
use strikewire_fanout::json::QuoteMap;
use strikewire_fanout::{ChainId, Class, ClientId, Hub, Message, Outlet, Push, SubId, json};
use strikewire_quotes::Quote;
use strikewire_types::{Mode, Mono};

const TOKEN: &str = "RELIANCE_24FEB2026_1440CE";
const CHAIN: ChainId = ChainId(1);
/// One that is there all the time, and one that comes and goes.
const RESIDENT: ClientId = ClientId(1);
const VISITOR: ClientId = ClientId(2);

fn tick(c: &mut Criterion) {
    let mut group = c.benchmark_group("tick");
    for (name, mode) in [("14_fields", Mode::Quote), ("with_depth", Mode::Full)] {
        // Many, so that nothing can be guessed from the last one.
        let quotes: Vec<Quote> = (0..1_000)
            .map(|number| chains::quote(chains::some_key(), mode, number * 7))
            .collect();
        let mut out = Vec::with_capacity(4096);
        let mut at = 0;
        group.bench_function(format!("{name}/strikewire"), |b| {
            b.iter(|| {
                at = strikewire_benches::next(at, quotes.len());
                out.clear();
                json::write_text(&mut out, TOKEN);
                out.push(b':');
                json::write_quote(&mut out, black_box(&quotes[at]), mode);
                black_box(out.len())
            });
        });
        let ticks: Vec<Tick> = quotes
            .iter()
            .map(|quote| Tick::new(Some(TOKEN), quote))
            .collect();
        group.bench_function(format!("{name}/serde_json"), |b| {
            b.iter(|| {
                at = strikewire_benches::next(at, ticks.len());
                out.clear();
                serde_json::to_writer(&mut out, black_box(&ticks[at])).unwrap();
                black_box(out.len())
            });
        });
        if mode == Mode::Quote {
            group.bench_function(format!("{name}/serde_json_typed"), |b| {
                b.iter(|| {
                    at = strikewire_benches::next(at, quotes.len());
                    out.clear();
                    let tick = TypedTick::new(TOKEN, black_box(&quotes[at]));
                    serde_json::to_writer(&mut out, &tick).unwrap();
                    black_box(out.len())
                });
            });
        }
    }
    group.finish();
}

/// Takes everything, and remembers how long the last message was.
#[derive(Default)]
struct Last(usize);

impl Outlet for Last {
    fn push(&mut self, _client: ClientId, message: Message) -> Push {
        self.0 = message.len();
        Push::Taken
    }
}

fn snapshot(c: &mut Criterion) {
    let registry = Master::for_bench()
        .and_then(|master| Ok(master.registry()?))
        .unwrap();
    // 202 contracts.
    let strikes = strikewire_benches::size(101, 5);
    let mut group = c.benchmark_group("snapshot");
    let (class, now) = (Class::from_ms(250).unwrap(), Mono::from_nanos(1));
    for (name, mode) in [("quote", Mode::Quote), ("full", Mode::Full)] {
        let mut chain = Chain::new(&registry, strikes, mode).unwrap();
        let mut out = Last::default();

        // Nothing is known but the chain and its rows.
        group.bench_function(format!("{name}/from_scratch"), |b| {
            b.iter(|| {
                let mut text = serde_json::to_vec(black_box(&chain.view)).unwrap();
                let mut quotes = QuoteMap::new(mode);
                for (key, token) in &chain.legs {
                    let at = quotes.push(token);
                    if let Some(quote) = chain.table.quote(*key) {
                        quotes.set(at, &quote);
                    }
                }
                quotes.write(&mut text);
                text.len()
            });
        });
        // The same as the first subscription of a new hub.
        group.bench_function(format!("{name}/first_subscription"), |b| {
            b.iter_batched(
                || {
                    let mut hub = Hub::new(chain.table.clone(), 1);
                    hub.add_client(RESIDENT);
                    (hub, chain.body.clone())
                },
                |(mut hub, body)| {
                    hub.set_chain(CHAIN, body);
                    hub.subscribe_chain(RESIDENT, SubId(1), CHAIN, mode, class, None);
                    hub.greet(RESIDENT, now, &mut out);
                    hub
                },
                BatchSize::SmallInput,
            );
        });
        eprintln!("snapshot/{name}: {} bytes", out.0);

        let mut hub = Hub::new(chain.table.clone(), 1);
        hub.add_client(RESIDENT);
        hub.set_chain(CHAIN, chain.body.clone());
        hub.subscribe_chain(RESIDENT, SubId(1), CHAIN, mode, class, None);
        hub.greet(RESIDENT, now, &mut out);
        let mut visit = |chain: &mut Chain, turn: usize| -> Duration {
            chain.write(turn % 5, 5);
            // The window's own work, which is a delta.
            hub.flush(class, now, &mut out);
            hub.add_client(VISITOR);
            let begun = Instant::now();
            hub.subscribe_chain(VISITOR, SubId(7), CHAIN, mode, class, None);
            hub.greet(VISITOR, now, &mut out);
            let took = begun.elapsed();
            hub.remove_client(VISITOR);
            took
        };
        let mut turn = 0;
        group.bench_function(format!("{name}/a_fifth_dirty"), |b| {
            b.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    turn += 1;
                    took += visit(&mut chain, turn);
                }
                took
            });
        });

        let quotes: BTreeMap<&str, Tick> = chain
            .legs
            .iter()
            .map(|(key, token)| {
                let quote = chain.table.quote(*key).unwrap();
                (&**token, Tick::new(None, &quote))
            })
            .collect();
        let whole = Snapshot {
            kind: "snapshot",
            channel: "chain",
            sub: 7,
            epoch: "0123456789abcdef-250-full".into(),
            seq: 12,
            chain: &chain.view,
            quotes,
        };
        group.bench_function(format!("{name}/serde_json"), |b| {
            b.iter(|| serde_json::to_vec(black_box(&whole)).unwrap().len());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = strikewire_benches::criterion();
    targets = tick, snapshot
}
criterion_main!(benches);
