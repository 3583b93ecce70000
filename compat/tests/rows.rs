//! What the rows hold after frames of packets, beside what the plain baseline read of them;
//! and that nothing is allocated on the way.
#![cfg(feature = "numbers")]

use compat::feed::{Frames, Kind, keys, tick_path};
use compat::plain;
use strikewire_broker::Sink;
use strikewire_dhan::deliver::deliver;
use strikewire_types::{ConnId, Now, Price, PriceStep};

#[test]
fn both_decoders_read_the_same_prices() {
    let conn = ConnId::from_index(0);
    let keys = keys(40);
    for kind in Kind::ALL {
        let frames = Frames::new(kind, &keys, 120, 30);
        assert_eq!(frames.count(), 4);
        let (table, mut path) = tick_path(&keys, 1, |_| conn);
        let mut quotes = plain::Quotes::new();
        for nth in 0..frames.count() {
            let frame = frames.get(nth);
            assert_eq!(deliver(&mut path, conn, Now::default(), frame).applied, 30);
            assert_eq!(plain::apply(&mut quotes, frame), 30);
        }
        let price = |rupees| Price::from_wire(rupees, PriceStep::from_raw(500));
        for key in &keys {
            let row = table.quote(*key).unwrap();
            let plain = quotes[&key.id.0];
            assert_eq!(row.ltp, price(plain.ltp), "{kind:?}");
            if kind != Kind::Ticker {
                assert_eq!(row.volume, Some(plain.volume));
                assert_eq!(row.total_buy_qty, Some(plain.total_buy_qty));
                let day = [row.open, row.prev_close, row.high, row.low];
                assert_eq!(day, plain.day.map(price));
            }
            if kind == Kind::Full {
                assert_eq!(row.oi_low, Some(plain.oi[2]));
                let depth = row.depth.unwrap();
                assert_eq!(depth[4].ask, price(plain.depth[4].ask));
                assert_eq!(depth[1].bid_orders, plain.depth[1].bid_orders);
            }
        }
    }
}

#[test]
fn nothing_is_allocated_for_a_packet() {
    let conn = ConnId::from_index(0);
    let keys = keys(200);
    for kind in Kind::ALL {
        for per_frame in [1, 100] {
            let frames = Frames::new(kind, &keys, 400, per_frame);
            let (_, mut path) = tick_path(&keys, 1, |_| conn);
            let allocated = allocation_counter::measure(|| {
                for nth in 0..frames.count() {
                    let at = Now::default();
                    let delivered = deliver(&mut path, conn, at, frames.get(nth));
                    assert_eq!(delivered.applied, per_frame as u64);
                    path.turn_done(at);
                }
            });
            assert_eq!(allocated.count_total, 0, "{kind:?}, {per_frame} in a frame");
        }
    }
    // The counter counts.
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1])));
    assert_eq!(counted.count_total, 1);
}
