//! Packets: taken apart, decoded, and written to quote rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use strikewire_benches::baseline::packets as plain;
use strikewire_benches::feed::{Frames, Kind, RowSink, keys};
use strikewire_benches::{criterion, next, size};
use strikewire_dhan::decode::decode;
use strikewire_dhan::deliver::deliver;
use strikewire_dhan::split::{Piece, split};
use strikewire_types::{ConnId, Now, PriceStep};

fn main() {
    let mut criterion = criterion();
    for kind in Kind::ALL {
        // Few instruments, whose rows and packets stay in the nearest caches; or as many
        // as five connections carry, in no order.
        for (state, instruments, packets) in [
            ("hot", 256, 800),
            ("cold", size(25_000, 1_000), size(25_000, 1_000)),
        ] {
            for per_frame in [100, 1] {
                packets_of(
                    &mut criterion,
                    kind,
                    &format!("{state}_{per_frame}"),
                    (instruments, packets, per_frame),
                );
            }
        }
    }
    criterion.final_summary();
}

fn packets_of(
    criterion: &mut Criterion,
    kind: Kind,
    case: &str,
    (instruments, packets, per_frame): (usize, usize, usize),
) {
    let keys = keys(instruments);
    let frames = Frames::new(kind, &keys, packets, per_frame);
    let mut group = criterion.benchmark_group(format!("decode/{}", kind.as_str()));
    group.throughput(Throughput::Elements(per_frame as u64));
    group.bench_function(BenchmarkId::new("strikewire_decode", case), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, frames.count());
            for piece in split(frames.get(at)) {
                if let Piece::Packet { packet, .. } = piece {
                    black_box(&decode(&packet, PriceStep::PAISA));
                }
            }
        });
    });
    let conn = ConnId::from_index(0);
    let mut sink = RowSink::new(&keys, conn);
    group.bench_function(BenchmarkId::new("strikewire_deliver", case), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, frames.count());
            deliver(&mut sink, conn, Now::default(), frames.get(at)).applied
        });
    });
    let mut quotes: plain::Quotes = keys
        .iter()
        .map(|key| (key.id.0, plain::Quote::default()))
        .collect();
    group.bench_function(BenchmarkId::new("plain", case), |b| {
        let mut at = 0;
        b.iter(|| {
            at = next(at, frames.count());
            plain::apply(&mut quotes, frames.get(at))
        });
    });
    group.finish();
}
