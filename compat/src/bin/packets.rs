//! What a packet costs, taken apart and stored, beside `dhan-rs`, which only takes it apart.
//!
//!     cargo run --release --features numbers --bin packets
//!
//! Time is the CPU time of this thread, as a median of several rounds in which both sides
//! take turns.

use std::hint::black_box;

use cpu_time::ThreadTime;
use dhan_rs::ws::market_feed::{parse_packet, parse_packets_into};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand::Rng;
use rand_pcg::Pcg64;
use strikewire_broker::Sink;
use strikewire_dhan::deliver::deliver;
use strikewire_dhan::wire;
use strikewire_gateway::TickPath;
use strikewire_types::{Clock, ConnId, InstrumentKey, Now, PriceStep, Segment, Slot, Utc, Mono};
use zerocopy::IntoBytes;

const ROUNDS: usize = 15;

fn push(bytes: &mut Vec<u8>, kind: &str, key: InstrumentKey, rng: &mut Pcg64) {
    let mut rupees = || rng.random_range(20_i32..60_000) as f32 / 20.0;
    let (ltp, low, high) = (rupees(), rupees(), rupees());
    let ltt = wire::wall_clock(1_770_611_400);
    match kind {
        "ticker" => bytes.extend_from_slice(
            wire::Ticker { header: wire::Ticker::header(key), ltp: ltp.into(), ltt: ltt.into() }.as_bytes(),
        ),
        "quote" => bytes.extend_from_slice(
            wire::Quote {
                header: wire::Quote::header(key),
                ltp: ltp.into(), ltq: 75.into(), ltt: ltt.into(), atp: high.into(),
                volume: 1_234_500.into(), total_sell_qty: 45_000.into(), total_buy_qty: 54_000.into(),
                open: low.into(), close: low.into(), high: high.into(), low: low.into(),
            }.as_bytes(),
        ),
        _ => {
            let depth = std::array::from_fn(|_| wire::Level {
                bid_qty: 750.into(), ask_qty: 825.into(), bid_orders: 3.into(), ask_orders: 4.into(),
                bid: rupees().into(), ask: rupees().into(),
            });
            bytes.extend_from_slice(
                wire::Full {
                    header: wire::Full::header(key),
                    ltp: ltp.into(), ltq: 75.into(), ltt: ltt.into(), atp: high.into(),
                    volume: 1_234_500.into(), total_sell_qty: 45_000.into(), total_buy_qty: 54_000.into(),
                    oi: 7_654_321.into(), oi_high: 7_700_000.into(), oi_low: 7_500_000.into(),
                    open: low.into(), close: low.into(), high: high.into(), low: low.into(), depth,
                }.as_bytes(),
            );
        }
    }
}

fn time(packets: usize, mut round: impl FnMut()) -> f64 {
    let start = ThreadTime::now();
    round();
    start.elapsed().as_nanos() as f64 / packets as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    println!("{:8} {:5} {:>9} | {:>8} {:>8} | {:>8} {:>6} {:>6}", "packet", "state", "per frame", "dhan 1", "dhan n", "ours", "/1", "/n");
    for kind in ["ticker", "quote", "full"] {
        let len = match kind { "ticker" => 16, "quote" => 50, _ => 162 };
        for (state, instruments, packets) in [("hot", 256_usize, 800_usize), ("cold", 25_000, 25_000)] {
            let keys: Vec<InstrumentKey> = (0..instruments as u32)
                .map(|nth| InstrumentKey::new(Segment::NseFno, 35_000 + nth * 4)).collect();
            let mut rng = Pcg64::seed_from_u64(7);
            let mut order: Vec<InstrumentKey> = keys.iter().copied().cycle().take(packets).collect();
            order.shuffle(&mut rng);
            let mut bytes = Vec::new();
            for key in order { push(&mut bytes, kind, key, &mut rng); }
            for per_frame in [100_usize, 1] {
                let conn = ConnId::from_index(0);
                let (table, writer) = strikewire_quotes::table(instruments);
                let mut slots: Vec<u32> = (0..instruments as u32).collect();
                slots.shuffle(&mut rng);
                for (&slot, &key) in slots.iter().zip(&keys) {
                    table.bind(key, Slot(slot), PriceStep::from_raw(500), conn);
                }
                let mut path = TickPath::detached(writer, Clock::system(), 1);
                let times = (4_000_000 / packets / 4).max(8);
                let total = packets * times;
                let (mut one, mut many, mut ours) = (vec![], vec![], vec![]);
                let mut events = Vec::new();
                for _ in 0..ROUNDS {
                    one.push(time(total, || for _ in 0..times {
                        for packet in bytes.chunks_exact(len) { black_box(parse_packet(black_box(packet)).unwrap()); }
                    }));
                    many.push(time(total, || for _ in 0..times {
                        for frame in bytes.chunks(len * per_frame) { parse_packets_into(black_box(frame), &mut events).unwrap(); black_box(&events); }
                    }));
                    ours.push(time(total, || for turn in 0..times {
                        let at = Now { mono: Mono::from_nanos(turn as u64), utc: Utc::from_nanos(turn as i64 + 1) };
                        for frames in bytes.chunks(len * per_frame * 64) {
                            for frame in frames.chunks(len * per_frame) { black_box(deliver(&mut path, conn, at, black_box(frame))); }
                            path.turn_done(at);
                        }
                    }));
                }
                let (one, many, ours) = (median(one), median(many), median(ours));
                println!("{kind:8} {state:5} {per_frame:9} | {one:8.1} {many:8.1} | {ours:8.1} {:6.2} {:6.2}", ours / one, ours / many);
                let read = keys.iter().filter(|key| table.quote(**key).is_some()).count();
                assert_eq!(read, instruments);
            }
        }
    }
}
