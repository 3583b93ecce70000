//! What a packet costs: taken apart, resolved, rounded and stored where others can read it,
//! beside `dhan-rs`, which only takes it apart, and beside plain code that stores it in a map
//! that nobody else may read.
//!
//!     cargo run --release --features numbers --bin packets [NAME]
//!
//! Only the cases whose name contains NAME, such as `full_cold`. Time is the CPU time of this
//! thread. All take turns; what is shown is the median of the rounds, and of the ratio of
//! each round.

use std::hint::black_box;

use compat::feed::{Frames, Kind, keys, tick_path};
use compat::plain;
use cpu_time::ThreadTime;
use dhan_rs::ws::market_feed::{parse_packet, parse_packets_into};
use strikewire_broker::Sink;
use strikewire_dhan::deliver::deliver;
use strikewire_types::{ConnId, Mono, Now, Utc};

const ROUNDS: usize = 21;

/// Packets in a round, more or less.
const PACKETS: usize = 200_000;

/// Frames that are taken from a socket before the next one has its turn.
const TURN: usize = 64;

/// Nanoseconds of this thread per packet.
fn cost(packets: usize, work: impl FnOnce()) -> f64 {
    let start = ThreadTime::now();
    work();
    start.elapsed().as_nanos() as f64 / packets as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("| packet | instruments | packets in a frame | Strikewire | dhan-rs | times | plain |");
    println!("|---|---|---|---|---|---|---|");
    for kind in Kind::ALL {
        for (state, instruments, packets) in [("hot", 256, 800), ("cold", 25_000, 25_000)] {
            for per_frame in [100, 1] {
                let name = format!("{}_{state}_{per_frame}", kind.as_str());
                if name.contains(&only) {
                    let row = measure(kind, instruments, packets, per_frame);
                    println!("| {} | {state} | {per_frame} | {row} |", kind.as_str());
                }
            }
        }
    }
}

fn measure(kind: Kind, instruments: usize, packets: usize, per_frame: usize) -> String {
    let keys = keys(instruments);
    let frames = Frames::new(kind, &keys, packets, per_frame);
    let packets = frames.count() * per_frame;
    let times = PACKETS.div_ceil(packets);
    let conn = ConnId::from_index(0);
    let (table, mut path) = tick_path(&keys, 1, |_| conn);
    let mut quotes: plain::Quotes = keys
        .iter()
        .map(|key| (key.id.0, plain::Quote::default()))
        .collect();
    let mut events = Vec::with_capacity(per_frame);
    let mut costs = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        let at = Now {
            mono: Mono::from_nanos(round as u64 + 1),
            utc: Utc::from_nanos(round as i64 + 1),
        };
        let ours = cost(packets * times, || {
            for _ in 0..times {
                for nth in 0..frames.count() {
                    black_box(deliver(&mut path, conn, at, black_box(frames.get(nth))));
                    if nth % TURN == TURN - 1 {
                        path.turn_done(at);
                    }
                }
                path.turn_done(at);
            }
        });
        // One packet at a time into nothing: its fastest way, which a frame of one packet
        // takes and a frame of many does not.
        let theirs = cost(packets * times, || {
            for _ in 0..times {
                for packet in frames.bytes().chunks_exact(kind.bytes()) {
                    let _ = black_box(parse_packet(black_box(packet)));
                }
            }
        });
        let many = cost(packets * times, || {
            for _ in 0..times {
                for nth in 0..frames.count() {
                    let parsed = parse_packets_into(black_box(frames.get(nth)), &mut events);
                    assert!(parsed.is_ok());
                    black_box(&events);
                }
            }
        });
        let plain = cost(packets * times, || {
            for _ in 0..times {
                for nth in 0..frames.count() {
                    black_box(plain::apply(&mut quotes, black_box(frames.get(nth))));
                }
            }
        });
        for (costs, cost) in costs.iter_mut().zip([ours, theirs, many, plain]) {
            costs.push(cost);
        }
    }
    // What was measured did happen.
    assert!(keys.iter().all(|key| table.quote(*key).is_some()));
    let ratios = costs[0].iter().zip(&costs[1]).map(|(ours, theirs)| ours / theirs);
    let ratio = median(ratios.collect());
    let [ours, theirs, many, plain] = costs.map(median);
    format!("{ours:.1} ns | {theirs:.1} ns, in a list {many:.1} ns | {ratio:.2} | {plain:.1} ns")
}
