use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::thread;

use proptest::prelude::*;
use strikewire_types::{ExchangeTime, Mode, Segment, Utc};

use super::*;
use crate::quote::{DEPTH, DepthLevel};
use crate::sync::Ordering;
use crate::{Accept, PackedDay, Put, Resumed, RowWriter, Wrote};

const CONN: ConnId = ConnId::from_index(0);
const OTHER: ConnId = ConnId::from_index(1);

fn key(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, id)
}

fn at(nanos: i64) -> Utc {
    Utc::from_nanos(nanos)
}

fn rupees(rupees: i32) -> Price {
    Price::from_rupees(rupees)
}

fn bound(capacity: usize) -> (Arc<Table>, Writer) {
    let (table, writer) = table(capacity);
    table.bind(key(1), Slot(0), PriceStep::from_raw(500), CONN);
    (table, writer)
}

#[test]
fn keys_far_apart_and_in_other_segments_do_not_meet() {
    let (table, _writer) = table(64);
    let mut expected = Vec::new();
    for (i, id) in [0, 1, 1023, 1024, (1 << 20) - 1, 1 << 20, u32::MAX]
        .into_iter()
        .enumerate()
    {
        for (j, segment) in Segment::ALL.into_iter().enumerate() {
            let key = InstrumentKey::new(segment, id);
            assert_eq!(table.resolve(key), None);
            let slot = Slot(u32::try_from(i * 8 + j).unwrap());
            let step = PriceStep::from_raw(u32::MAX - slot.0);
            table.bind(key, slot, step, CONN);
            expected.push((key, slot, step));
        }
    }
    for (key, slot, step) in expected {
        assert_eq!(table.resolve(key), Some((slot, step)), "{key}");
    }
    assert_eq!(table.resolve(key(2)), None);
}

#[test]
fn a_row_is_empty_until_its_first_packet() {
    let (table, mut writer) = bound(2);
    assert_eq!(table.read(Slot(0), key(1)), None);
    assert_eq!(table.last(Slot(0), key(1)), None);
    writer.write(Slot(0), key(1), at(5), |row| row.oi(7));
    assert_eq!(
        table.quote(key(1)),
        Some(Quote {
            oi: Some(7),
            ..Quote::new(key(1), at(5))
        })
    );
    assert_eq!(table.last(Slot(0), key(1)), None, "no price yet");
}

#[test]
fn depth_comes_back_as_it_was_given() {
    let (table, mut writer) = bound(1);
    let levels: [DepthLevel; DEPTH] = std::array::from_fn(|i| DepthLevel {
        bid: (i != 3).then(|| rupees(100 - i as i32)),
        bid_qty: u32::MAX - i as u32,
        bid_orders: u16::MAX - i as u16,
        ask: (i != 4).then(|| rupees(101 + i as i32)),
        ask_qty: i as u32,
        ask_orders: i as u16,
    });
    writer.write(Slot(0), key(1), at(1), |row| {
        for (i, level) in levels.into_iter().enumerate() {
            row.depth(i, level);
        }
        row.depth(DEPTH, DepthLevel::default());
    });
    let quote = table.quote(key(1)).unwrap();
    assert_eq!(quote.depth, Some(levels));
    assert_eq!(
        (quote.bid(), quote.bid_qty()),
        (Some(rupees(100)), Some(u32::MAX))
    );
    assert_eq!((quote.ask(), quote.ask_qty()), (Some(rupees(101)), Some(0)));
}

#[test]
fn a_slot_used_again_shows_nothing_of_before() {
    let (table, mut writer) = bound(1);
    writer.write(Slot(0), key(1), at(1), |row| row.ltp(rupees(10)));
    table.unbind(key(1));
    assert_eq!(table.quote(key(1)), None);
    table.bind(key(2), Slot(0), PriceStep::PAISA, CONN);
    assert_eq!(table.quote(key(2)), None);
    assert_eq!(table.read(Slot(0), key(1)), None);
    writer.write(Slot(0), key(2), at(2), |row| row.volume(3));
    assert_eq!(
        table.quote(key(2)),
        Some(Quote {
            volume: Some(3),
            ..Quote::new(key(2), at(2))
        })
    );
    assert_eq!(table.read(Slot(0), key(1)), None);
}

#[test]
fn the_same_id_bound_again_starts_anew() {
    // The id may mean another contract by then.
    let (table, mut writer) = bound(1);
    writer.write(Slot(0), key(1), at(1), |row| row.ltp(rupees(10)));
    table.unbind(key(1));
    table.bind(key(1), Slot(0), PriceStep::PAISA, CONN);
    assert_eq!(table.quote(key(1)), None);
    writer.write(Slot(0), key(1), at(2), |row| row.volume(3));
    assert_eq!(table.quote(key(1)).unwrap().ltp, None);
}

#[test]
fn a_mark_changes_with_every_write_and_binding() {
    let (table, mut writer) = bound(2);
    let mut seen = vec![table.mark(key(1)).unwrap()];
    let mut changed = |table: &Table| {
        let mark = table.mark(key(1)).unwrap();
        assert_eq!(table.mark(key(1)), Some(mark), "nothing happened");
        assert!(!seen.contains(&mark), "{mark:?}");
        seen.push(mark);
    };
    for _ in 0..2 {
        writer.write(Slot(0), key(1), at(5), |row| row.oi(7));
        changed(&table);
    }
    // The row is empty now, though nobody wrote it.
    table.unbind(key(1));
    assert_eq!(table.mark(key(1)), None);
    table.bind(key(1), Slot(0), PriceStep::PAISA, CONN);
    assert_eq!(table.quote(key(1)), None);
    changed(&table);
    table.unbind(key(1));
    table.bind(key(1), Slot(1), PriceStep::PAISA, CONN);
    changed(&table);
    assert_eq!(table.mark(key(2)), None);
}

#[test]
fn home_moves_with_the_first_packet_of_the_new_side() {
    let (table, mut writer) = bound(1);
    assert_eq!(writer.accepts(Slot(0), CONN), Accept::Home);
    assert_eq!(writer.accepts(Slot(0), OTHER), Accept::Stranger);
    table.migrate(Slot(0), OTHER);
    assert_eq!(writer.accepts(Slot(0), CONN), Accept::Home);
    assert_eq!(writer.accepts(Slot(0), OTHER), Accept::Flipped);
    assert_eq!(writer.accepts(Slot(0), OTHER), Accept::Home);
    assert_eq!(writer.accepts(Slot(0), CONN), Accept::Stranger);
    // Called off: back home before a packet came.
    table.migrate(Slot(0), CONN);
    table.set_home(Slot(0), OTHER);
    assert_eq!(writer.accepts(Slot(0), CONN), Accept::Stranger);
    table.migrate(Slot(0), CONN);
    table.migrate(Slot(0), OTHER);
    assert_eq!(writer.accepts(Slot(0), CONN), Accept::Stranger);
    // Moving does not touch what the row says.
    writer.write(Slot(0), key(1), at(1), |row| row.ltp(rupees(10)));
    table.set_home(Slot(0), CONN);
    assert!(table.quote(key(1)).is_some());
}

#[test]
fn a_band_is_left_once() {
    let (table, mut writer) = bound(1);
    let mut tick = |price: i32| {
        writer
            .write(Slot(0), key(1), at(1), |row| row.ltp(rupees(price)))
            .crossed
    };
    assert!(!tick(1), "nothing is armed");
    table.arm(Slot(0), Some(rupees(90)), Some(rupees(110)));
    assert!(!tick(91));
    assert!(!tick(109));
    assert!(tick(110), "the edge counts");
    assert!(!tick(111), "disarmed");
    table.arm(Slot(0), Some(rupees(90)), Some(rupees(110)));
    assert!(tick(90));
    table.arm(Slot(0), None, Some(rupees(110)));
    assert!(!tick(-1_000_000));
    assert!(tick(2_000_000));
    table.arm(Slot(0), None, None);
    assert!(!tick(5));
    table.arm(Slot(0), Some(rupees(90)), None);
    table.disarm(Slot(0));
    assert!(!tick(5));
    assert_eq!(table.interest(Slot(0)), Interest::NONE);
}

#[test]
fn only_a_price_that_came_now_leaves_a_band() {
    let (table, mut writer) = bound(1);
    writer.write(Slot(0), key(1), at(1), |row| row.ltp(rupees(10)));
    table.arm(Slot(0), Some(rupees(90)), None);
    assert!(
        !writer
            .write(Slot(0), key(1), at(2), |row| row.oi(1))
            .crossed
    );
    assert!(
        !writer
            .write(Slot(0), key(1), at(2), |row| row.ltp(None))
            .crossed
    );
    assert!(
        writer
            .write(Slot(0), key(1), at(3), |row| row.ltp(rupees(10)))
            .crossed
    );
}

#[test]
fn only_the_classes_that_want_a_slot_get_it() {
    let (table, mut writer) = table(200);
    table.bind(key(1), Slot(150), PriceStep::PAISA, CONN);
    table.bind(key(2), Slot(3), PriceStep::PAISA, CONN);
    table.add_interest(Slot(150), Interest::fan(1) | Interest::fan(4));
    table.add_interest(Slot(3), Interest::fan(1) | Interest::WAIT);
    for _ in 0..2 {
        let wrote = writer.write(Slot(150), key(1), at(1), |row| row.ltp(rupees(1)));
        assert!(!wrote.interest.contains(Interest::WAIT));
        let wrote = writer.write(Slot(3), key(2), at(1), |row| row.ltp(rupees(1)));
        assert!(wrote.interest.contains(Interest::WAIT));
    }
    let drained = |class| {
        let mut slots = Vec::new();
        table.drain_dirty(class, |slot| slots.push(slot.0));
        slots
    };
    assert_eq!(drained(0), [0; 0]);
    assert_eq!(drained(1), [3, 150]);
    assert_eq!(drained(1), [0; 0]);
    assert_eq!(drained(4), [150]);
    table.remove_interest(Slot(150), Interest::fan(1));
    writer.write(Slot(150), key(1), at(1), |row| row.ltp(rupees(1)));
    assert_eq!((drained(1), drained(4)), (vec![], vec![150]));
}

#[test]
fn binding_keeps_only_the_interest_of_the_fan_out() {
    let (table, _writer) = bound(1);
    table.arm(Slot(0), None, None);
    table.add_interest(Slot(0), Interest::WAIT | Interest::fan(2));
    table.bind(key(2), Slot(0), PriceStep::PAISA, CONN);
    assert_eq!(table.interest(Slot(0)), Interest::fan(2));
}

#[test]
fn beyond_the_capacity_there_is_nothing() {
    let (table, mut writer) = table(1);
    let slot = Slot(1);
    table.bind(key(1), slot, PriceStep::PAISA, CONN);
    table.arm(slot, None, Some(rupees(1)));
    table.add_interest(slot, Interest::FAN);
    table.migrate(slot, CONN);
    table.set_home(slot, CONN);
    assert_eq!(table.resolve(key(1)), None);
    assert_eq!(writer.accepts(slot, CONN), Accept::Stranger);
    let wrote = writer.write(slot, key(1), at(1), |row| row.ltp(rupees(2)));
    assert_eq!(wrote, Wrote::default());
    assert_eq!(table.read(slot, key(1)), None);
    assert_eq!(table.version(slot), 0);
    table.drain_dirty(CLASSES, |slot| panic!("{slot:?}"));
}

#[test]
fn readers_beside_a_writer_see_whole_rows_that_never_go_back() {
    const WRITES: u32 = 20_000;
    let (table, mut writer) = bound(1);
    table.add_interest(Slot(0), Interest::fan(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for drains in [true, false] {
            let (table, done) = (&table, &done);
            scope.spawn(move || {
                let mut before = 0;
                loop {
                    let last_look = done.load(Ordering::Acquire);
                    // One reader looks only when it is told to, and must still see the end.
                    let mut told = !drains;
                    if drains {
                        table.drain_dirty(0, |_| told = true);
                    }
                    if told && let Some(quote) = table.read(Slot(0), key(1)) {
                        let n = quote.volume.unwrap();
                        assert!(n >= before, "{n} after {before}");
                        assert_eq!(quote.ltp, Some(Price::from_raw(i64::from(n))));
                        assert_eq!(quote.recv, at(i64::from(n)));
                        assert_eq!(quote.depth.unwrap()[4].ask_qty, n);
                        before = n;
                    }
                    if last_look {
                        break;
                    }
                }
                assert_eq!(before, WRITES);
            });
        }
        for n in 1..=WRITES {
            writer.write(Slot(0), key(1), at(i64::from(n)), |row| {
                row.ltp(Price::from_raw(i64::from(n)));
                row.volume(n);
                let level = DepthLevel {
                    ask_qty: n,
                    ..DepthLevel::default()
                };
                row.depth(4, level);
            });
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(table.version(Slot(0)), u64::from(WRITES) * 2);
}

#[test]
fn a_marked_slot_says_once_from_when_it_missed_something() {
    let (table, mut writer) = bound(2);
    table.bind(key(2), Slot(1), PriceStep::PAISA, CONN);
    let mut put = |slot: u32, recv: i64| {
        let key = key(slot + 1);
        let put = writer.put(CONN, Slot(slot), key, PriceStep::PAISA, at(recv), |row| {
            row.ltp(rupees(1));
        });
        writer.settle(|slot, _, wrote| panic!("{slot:?} {wrote:?}"));
        put.unwrap().resumed
    };
    assert_eq!(put(0, 5), None);
    table.mark_gaps([Slot(0), Slot(1), Slot(7)]);
    assert!(table.interest(Slot(0)).contains(Interest::GAP));
    assert_eq!(put(0, 9), Some(Resumed { from: Some(at(5)) }));
    assert_eq!(put(0, 10), None, "once");
    // Nothing had ever come here.
    assert_eq!(put(1, 11), Some(Resumed { from: None }));
    table.mark_gaps([Slot(0)]);
    table.remove_interest(Slot(0), Interest::GAP);
    assert_eq!(put(0, 12), None, "taken back");
    table.mark_gaps([Slot(0)]);
    table.bind(key(1), Slot(0), PriceStep::PAISA, CONN);
    assert_eq!(put(0, 13), None, "another's");
}

#[test]
fn what_is_put_is_read_at_once_and_settled_together() {
    let (table, mut writer) = bound(2);
    table.bind(key(2), Slot(1), PriceStep::PAISA, CONN);
    table.arm(Slot(0), None, Some(rupees(110)));
    table.add_interest(Slot(0), Interest::fan(2));
    let step = PriceStep::PAISA;
    for price in [100, 111, 112] {
        let put = writer.put(CONN, Slot(0), key(1), step, at(1), |row| {
            row.ltp(rupees(price));
        });
        assert_eq!(put, Ok(Put::default()));
        assert_eq!(table.last(Slot(0), key(1)).unwrap().ltp, rupees(price));
    }
    let _ = writer.put(CONN, Slot(1), key(2), step, at(1), |row| row.ltp(rupees(1)));
    table.drain_dirty(2, |slot| panic!("{slot:?} before it was settled"));
    let mut told = Vec::new();
    writer.settle(|slot, key, wrote| told.push((slot, key, wrote.crossed)));
    // Every price is compared, and only the first beyond the band tells.
    let expected = [false, true, false].map(|crossed| (Slot(0), key(1), crossed));
    assert_eq!(told, expected);
    let mut dirty = Vec::new();
    table.drain_dirty(2, |slot| dirty.push(slot));
    assert_eq!(dirty, [Slot(0)]);
    writer.settle(|slot, _, _| panic!("{slot:?} again"));
}

#[test]
fn so_many_puts_are_full() {
    let (table, mut writer) = bound(1);
    table.add_interest(Slot(0), Interest::WAIT);
    let mut puts = 0;
    let mut put = |writer: &mut Writer| {
        puts += 1;
        let put = writer.put(CONN, Slot(0), key(1), PriceStep::PAISA, at(1), |row| {
            row.oi(puts);
        });
        put.unwrap().full
    };
    while !put(&mut writer) {}
    let mut told = 0;
    writer.settle(|_, _, wrote| {
        assert!(wrote.interest.contains(Interest::WAIT));
        told += 1;
    });
    assert!(told > 1);
    assert!(!put(&mut writer));
    assert_eq!(puts, told + 1);
}

#[test]
fn an_answer_fills_in_but_is_no_packet() {
    let (table, mut writer) = bound(1);
    let step = PriceStep::from_raw(500);
    let mut answer = |times: (i64, i64), price: i32| {
        writer.write_answer(Slot(0), key(1), step, (at(times.0), at(times.1)), |row| {
            row.ltp(rupees(price));
        })
    };
    table.arm(Slot(0), None, Some(rupees(110)));
    table.mark_gaps([Slot(0)]);
    let wrote = answer((1, 5), 120).unwrap();
    assert!(wrote.crossed);
    assert_eq!(
        wrote.resumed,
        Some(Resumed { from: None }),
        "no packet before"
    );
    assert_eq!(table.heard(key(1)), None);
    let quote = table.quote(key(1)).unwrap();
    assert_eq!(quote.ltp, Some(rupees(120)));
    assert_eq!((quote.recv, quote.mode), (Utc::default(), None));
    assert_eq!((quote.from_rest, quote.received()), (Some(at(5)), at(5)));
    assert_eq!(table.last(Slot(0), key(1)).unwrap().recv, at(5));

    let put = writer.put(CONN, Slot(0), key(1), step, at(7), |row| {
        row.mode(Mode::Ticker);
        row.ltp(rupees(121));
    });
    assert_eq!(put.unwrap().resumed, None, "the answer ended the gap");
    assert_eq!(table.heard(key(1)), Some((at(7), Some(Mode::Ticker))));
    let quote = table.quote(key(1)).unwrap();
    assert_eq!((quote.recv, quote.mode), (at(7), Some(Mode::Ticker)));
    assert_eq!((quote.from_rest, quote.received()), (None, at(7)));

    // Asked before that packet: what it said is newer.
    let mut answer = |times: (i64, i64), fill: fn(&mut RowWriter<'_>)| {
        let times = (at(times.0), at(times.1));
        writer.write_answer(Slot(0), key(1), step, times, fill)
    };
    assert_eq!(answer((6, 8), |row| row.ltp(rupees(1))), None);
    assert_eq!(table.quote(key(1)), Some(quote));
    // One without a price leaves the price the feed's.
    assert!(answer((7, 9), |row| row.volume(4)).is_some());
    let quote = table.quote(key(1)).unwrap();
    assert_eq!((quote.volume, quote.from_rest), (Some(4), None));
}

#[test]
fn the_mode_is_that_of_the_latest_packet_that_has_one() {
    let (table, mut writer) = bound(1);
    for mode in Mode::ALL {
        writer.write(Slot(0), key(1), at(1), |row| row.mode(mode));
        writer.write(Slot(0), key(1), at(2), |row| row.oi(1));
        let quote = table.quote(key(1)).unwrap();
        assert_eq!((quote.mode, quote.recv), (Some(mode), at(2)));
    }
}

/// Packed packets in rows of every kind of step, and rows that hold prices which cannot be
/// packed, against fields given one by one.
#[test]
fn packed_numbers_are_the_same_as_others() {
    let day = PackedDay {
        open: 11,
        high: -12,
        low: i32::MAX,
        prev_close: 14,
        atp: i32::MIN,
        volume: u32::MAX,
        ltq: 16,
        total_buy_qty: 17,
        total_sell_qty: u32::MAX - 1,
    };
    let prices: [[i32; 2]; DEPTH] = std::array::from_fn(|i| [20 + i as i32, 30 + i as i32]);
    let quantities: [[u32; 2]; DEPTH] = std::array::from_fn(|i| [40 + i as u32, u32::MAX]);
    let orders: [[u16; 2]; DEPTH] = std::array::from_fn(|i| [u16::MAX, 60 + i as u16]);
    for (bound_step, step, odd) in [
        (500, 500, 0),
        (25, 25, 0),
        (500, 25, 0),
        (25, 500, 0),
        (500, 500, 7),
    ] {
        let (table, mut writer) = table(2);
        let step = PriceStep::from_raw(step);
        for (slot, id) in [(0, 1), (1, 2)] {
            let bound = PriceStep::from_raw(bound_step);
            table.bind(key(id), Slot(slot), bound, CONN);
            let _ = writer.put(CONN, Slot(slot), key(id), bound, at(1), |row| {
                // With an odd price, neither a multiple of 0.01 nor small, the row is wide.
                row.ltp(Price::from_raw(odd + (odd << 40)));
                row.prev_close(rupees(3));
            });
        }
        let _ = writer.put(CONN, Slot(0), key(1), step, at(2), |row| {
            row.mode(Mode::Full);
            row.packed_last(step, 10, 1_770_611_400);
            row.packed_day(step, day);
            row.packed_book(step, [50, 51, 0], &prices, &quantities, &orders);
        });
        let price = |packed: i32| Some(Price::from_raw(i64::from(packed) * step.unit()));
        let _ = writer.put(CONN, Slot(1), key(2), step, at(2), |row| {
            row.mode(Mode::Full);
            row.ltp(price(10));
            row.ltt(ExchangeTime::from_seconds(1_770_611_400));
            row.open(price(11));
            row.high(price(-12));
            row.low(price(i32::MAX));
            row.prev_close(price(14));
            row.atp(price(i32::MIN));
            row.volume(u32::MAX);
            row.ltq(16);
            row.total_buy_qty(17);
            row.total_sell_qty(u32::MAX - 1);
            row.oi(50);
            row.oi_high(51);
            row.oi_low(None);
            for i in 0..DEPTH {
                let level = DepthLevel {
                    bid: price(prices[i][0]),
                    bid_qty: quantities[i][0],
                    bid_orders: orders[i][0],
                    ask: price(prices[i][1]),
                    ask_qty: quantities[i][1],
                    ask_orders: orders[i][1],
                };
                row.depth(i, level);
            }
        });
        let packed = table.quote(key(1)).unwrap();
        let expected = Quote {
            key: key(1),
            ..table.quote(key(2)).unwrap()
        };
        assert_eq!(packed, expected, "{bound_step} {step:?} {odd}");
        assert_eq!(packed.low, price(i32::MAX));
        assert_eq!(packed.depth.unwrap()[4].ask, price(34));

        // No price and no close: what there was stays.
        let _ = writer.put(CONN, Slot(0), key(1), step, at(3), |row| {
            row.packed_last(step, 0, 5);
            row.packed_day(
                step,
                PackedDay {
                    prev_close: 0,
                    open: 0,
                    ..day
                },
            );
        });
        let quote = table.quote(key(1)).unwrap();
        assert_eq!((quote.ltp, quote.ltt), (packed.ltp, packed.ltt));
        assert_eq!((quote.prev_close, quote.open), (packed.prev_close, None));
    }
}

const KEYS: u32 = 6;
const SLOTS: u32 = 4;

#[derive(Debug, Clone)]
enum Op {
    Bind(u32, u32),
    Unbind(u32),
    /// Key, which field, its value.
    Write(u32, u8, Option<u32>),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => (0..KEYS, 0..SLOTS).prop_map(|(key, slot)| Op::Bind(key, slot)),
        1 => (0..KEYS).prop_map(Op::Unbind),
        6 => (0..KEYS, 0_u8..17, any::<Option<u32>>()).prop_map(|(key, field, value)| Op::Write(key, field, value)),
    ]
}

fn price(value: Option<u32>) -> Option<Price> {
    value.map(|raw| Price::from_raw(i64::from(raw) - 1_000_000))
}

fn give(row: &mut RowWriter<'_>, field: u8, value: Option<u32>) {
    match field {
        0 => row.ltp(price(value)),
        1 => row.ltt(value.map(|s| ExchangeTime::from_seconds(i64::from(s)))),
        2 => row.ltq(value),
        3 => row.atp(price(value)),
        4 => row.volume(value),
        5 => row.oi(value),
        6 => row.oi_high(value),
        7 => row.oi_low(value),
        8 => row.open(price(value)),
        9 => row.high(price(value)),
        10 => row.low(price(value)),
        11 => row.prev_close(price(value)),
        12 => row.total_buy_qty(value),
        13 => row.total_sell_qty(value),
        field => row.depth(usize::from(field - 14), level(value)),
    }
}

fn level(value: Option<u32>) -> DepthLevel {
    DepthLevel {
        bid: price(value),
        bid_qty: value.unwrap_or(1),
        bid_orders: 2,
        ask: price(value.map(|v| v / 2)),
        ask_qty: 3,
        ask_orders: value.map_or(0, |v| v as u16),
    }
}

fn take(quote: &mut Quote, field: u8, value: Option<u32>) {
    match field {
        0 => quote.ltp = price(value),
        1 => quote.ltt = value.map(|s| ExchangeTime::from_seconds(i64::from(s))),
        2 => quote.ltq = value,
        3 => quote.atp = price(value),
        4 => quote.volume = value,
        5 => quote.oi = value,
        6 => quote.oi_high = value,
        7 => quote.oi_low = value,
        8 => quote.open = price(value),
        9 => quote.high = price(value),
        10 => quote.low = price(value),
        11 => quote.prev_close = price(value),
        12 => quote.total_buy_qty = value,
        13 => quote.total_sell_qty = value,
        field => {
            let mut depth = quote.depth.unwrap_or_default();
            depth[usize::from(field - 14)] = level(value);
            quote.depth = Some(depth);
        }
    }
}

proptest! {
    /// The table against a map from key to quote that knows no slots.
    #[test]
    fn a_map_would_say_the_same(ops in prop::collection::vec(op(), 0..200)) {
        let (table, mut writer) = table(SLOTS as usize);
        let mut slots: HashMap<u32, u32> = HashMap::new();
        let mut quotes: HashMap<u32, Quote> = HashMap::new();
        for (now, op) in (0_i64..).zip(ops) {
            match op {
                Op::Bind(id, slot) => {
                    // As the owner does: a slot has one key, a key one slot.
                    let former = slots.iter().find(|(_, s)| **s == slot).map(|(id, _)| *id);
                    for id in former.into_iter().chain([id]) {
                        table.unbind(key(id));
                        slots.remove(&id);
                        quotes.remove(&id);
                    }
                    table.bind(key(id), Slot(slot), PriceStep::PAISA, CONN);
                    slots.insert(id, slot);
                }
                Op::Unbind(id) => {
                    table.unbind(key(id));
                    slots.remove(&id);
                    quotes.remove(&id);
                }
                Op::Write(id, field, value) => {
                    let slot = table.resolve(key(id)).map(|(slot, _)| slot);
                    prop_assert_eq!(slot, slots.get(&id).map(|slot| Slot(*slot)));
                    if let Some(slot) = slot {
                        writer.write(slot, key(id), at(now), |row| give(row, field, value));
                        let quote = quotes.entry(id).or_insert(Quote::new(key(id), at(now)));
                        quote.recv = at(now);
                        take(quote, field, value);
                    }
                }
            }
            for id in 0..KEYS {
                let quote = table.quote(key(id));
                prop_assert_eq!(quote.as_ref(), quotes.get(&id));
                let last = table.resolve(key(id)).and_then(|(slot, _)| table.last(slot, key(id)));
                prop_assert_eq!(last.map(|last| last.ltp), quotes.get(&id).and_then(|quote| quote.ltp));
            }
        }
    }
}
