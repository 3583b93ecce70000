use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use strikewire_broker::{
    DayPrices, Full, Oi, Packed, PackedFull, PackedQuote, PackedTicker, PrevClose, Quote, Sink,
    Snapshot, Target, Ticker, Update,
};
use strikewire_calendar::Calendar;
use strikewire_indicators::GRACE;
use strikewire_quotes::{Interest, Table};
use strikewire_types::{
    Clock, ClockSpec, ConnId, ExchangeTime, Mono, Now, Price, PriceStep, Segment, Slot,
};

use super::*;
use crate::Counters;

const CONN: ConnId = ConnId::from_index(0);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

const CLASS: Class = Class::NseDerivatives;

fn key(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, id)
}

/// A time of Monday the 9th of February 2026 in India.
fn at(time: &str) -> Utc {
    let spec: ClockSpec = format!("2026-02-09T{time}+05:30").parse().unwrap();
    spec.start
}

fn now(utc: Utc) -> Now {
    let mono = Mono::from_nanos(utc.as_nanos().cast_unsigned());
    Now { mono, utc }
}

fn rupees(rupees: i32) -> Price {
    Price::from_rupees(rupees)
}

struct Rig {
    path: TickPath,
    table: Arc<Table>,
    era: Era,
}

/// A tick path with instruments 1, 2, ... in slots 0, 1, ..., whose bars are wanted.
fn rig(instruments: u32) -> Rig {
    let (table, writer) = strikewire_quotes::table(instruments as usize + 2);
    let era = Era::default();
    let calendar = Arc::new(Calendar::builtin());
    let tap = Tap::new(table.clone(), calendar, era.clone(), GRACE);
    let (events, _) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::new(1));
    let clock = Clock::system();
    let path = TickPath::new(writer, clock, tap, events, Arc::default(), counters);
    for slot in 0..instruments {
        table.bind(key(slot + 1), Slot(slot), PriceStep::PAISA, CONN);
        table.add_interest(Slot(slot), Interest::BARS);
    }
    Rig { path, table, era }
}

impl Rig {
    fn watch(&mut self, id: u32, since: Utc) {
        let (master, key, class) = (self.era.get(), key(id), CLASS);
        let command = BarCommand::Watch { master, key, class };
        self.path.tap().handle(since, &command);
    }

    fn unwatch(&mut self, id: u32) {
        let (master, key) = (self.era.get(), key(id));
        let command = BarCommand::Unwatch { master, key };
        self.path.tap().handle(Utc::default(), &command);
    }

    fn target(&self, id: u32) -> Target {
        let (slot, step) = self.table.resolve(key(id)).unwrap();
        let key = key(id);
        Target { key, slot, step }
    }

    fn say(&mut self, id: u32, recv: Utc, update: &Update) {
        let target = self.target(id);
        self.path.apply(CONN, &target, now(recv), update);
    }

    /// A quote packet that is received as soon as it trades.
    fn trade(&mut self, id: u32, price: i32, time: &str, volume: u32) {
        let update = Update::Quote(quote(rupees(price), at(time), volume));
        self.say(id, at(time), &update);
    }

    fn collect(&mut self, time: &str) -> BarBatch {
        self.collect_at(at(time))
    }

    fn collect_at(&mut self, now: Utc) -> BarBatch {
        while !self.path.tap().close_some(now) {}
        self.path.tap().take(BarBatch::default())
    }
}

fn time(at: Utc) -> ExchangeTime {
    ExchangeTime::from_seconds(at.as_seconds())
}

fn quote(price: Price, traded: Utc, volume: u32) -> Quote {
    Quote {
        ticker: Ticker {
            ltp: Some(price),
            ltt: Some(time(traded)),
        },
        ltq: 1,
        atp: None,
        volume,
        total_sell_qty: 0,
        total_buy_qty: 0,
        day: DayPrices::default(),
    }
}

/// Open, high, low and close in rupees, volume, open interest, whether it is complete.
type Shown = (&'static str, [i32; 4], Option<u64>, Option<u64>, bool);

fn shown(bar: &Bar) -> (Utc, [Price; 4], Option<u64>, Option<u64>, bool) {
    let prices = [bar.open, bar.high, bar.low, bar.close];
    (bar.start, prices, bar.volume, bar.oi, bar.complete)
}

#[track_caller]
fn check(bars: &[(InstrumentKey, Bar)], id: u32, expected: &[Shown]) {
    let of_key: Vec<_> = bars
        .iter()
        .filter(|(of, _)| *of == key(id))
        .map(|(_, bar)| shown(bar))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(start, prices, volume, oi, complete)| {
            (at(start), prices.map(rupees), *volume, *oi, *complete)
        })
        .collect();
    assert_eq!(of_key, expected);
}

/// What bars must be, computed the plain way from all trades of an instrument in order.
fn naive(trades: &[(Utc, Price, u32)], minute: Utc) -> Option<(Price, Price, Price, Price, u64)> {
    let minute_of = |at: &Utc| at.as_seconds() / 60;
    let inside: Vec<usize> = (0..trades.len())
        .filter(|index| minute_of(&trades[*index].0) == minute_of(&minute))
        .collect();
    let (first, last) = (*inside.first()?, *inside.last()?);
    let prices = || inside.iter().map(|index| trades[*index].1);
    let before = first.checked_sub(1).map_or(0, |index| trades[index].2);
    Some((
        trades[first].1,
        prices().max()?,
        prices().min()?,
        trades[last].1,
        u64::from(trades[last].2 - before),
    ))
}

#[test]
fn highs_and_lows_are_true_however_many_packets_come_in_a_turn() {
    let seed = 0xba5;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let instruments = 5_u32;
    let mut rig = rig(instruments);
    let mut trades: BTreeMap<u32, Vec<(Utc, Price, u32)>> = BTreeMap::new();
    let mut built = Vec::new();
    for id in 1..=instruments {
        rig.watch(id, at("09:14:00"));
        // What a subscription begins with: the last trade of the day before.
        let old = Update::Quote(quote(rupees(90), at("09:14:00") - HOUR * 17, 0));
        rig.say(id, at("09:14:00"), &old);
    }
    let mut clock = at("09:15:00");
    while clock < at("09:27:00") {
        // One turn of the feed: up to 300 packets, then all that settles.
        for _ in 0..rng.random_range(0..300) {
            let id = rng.random_range(1..=instruments);
            let price = Price::from_raw(100 * rng.random_range(9_000..11_000));
            let said = trades.entry(id).or_default();
            let volume = said.last().map_or(0, |(_, _, volume)| *volume) + rng.random_range(1..50);
            said.push((clock, price, volume));
            let target = rig.target(id);
            let (ltp, ltt) = (price, time(clock));
            let ticker = PackedTicker {
                ltp: i32::try_from(ltp.raw() / 100).unwrap(),
                ltt: u32::try_from(ltt.as_seconds()).unwrap(),
            };
            let packed = PackedQuote {
                ticker,
                ltq: 1,
                atp: 0,
                volume,
                total_sell_qty: 0,
                total_buy_qty: 0,
                open: 0,
                high: 0,
                low: 0,
                prev_close: 0,
            };
            match rng.random_range(0..3) {
                0 => rig.say(id, clock, &Update::Quote(quote(price, clock, volume))),
                1 => {
                    let packed = Packed::Quote(packed);
                    rig.path.apply_packed(CONN, &target, now(clock), &packed);
                }
                _ => {
                    let packed = Packed::Full(PackedFull {
                        quote: packed,
                        oi: [7, 9, 5],
                        prices: [[0; 2]; 5],
                        quantities: [[0; 2]; 5],
                        orders: [[0; 2]; 5],
                    });
                    rig.path.apply_packed(CONN, &target, now(clock), &packed);
                }
            }
        }
        rig.path.turn_done(now(clock));
        clock = clock + Duration::from_millis(rng.random_range(1..2_000));
        built.extend(rig.collect_at(clock).closed);
    }
    built.extend(rig.collect("09:28:30").closed);
    assert!(built.len() > 50, "seed {seed}: {} bars", built.len());
    let mut seen = 0;
    for id in 1..=instruments {
        let mut minute = at("09:15:00");
        while minute < at("09:27:00") {
            let bars = built.iter().filter(|(of, _)| *of == key(id));
            let bars: Vec<&Bar> = bars
                .map(|(_, bar)| bar)
                .filter(|bar| bar.start == minute)
                .collect();
            let expected = naive(&trades[&id], minute);
            assert_eq!(bars.len(), usize::from(expected.is_some()));
            if let (Some(bar), Some((open, high, low, close, volume))) = (bars.first(), expected) {
                assert_eq!(
                    (bar.open, bar.high, bar.low, bar.close, bar.volume),
                    (open, high, low, close, Some(volume)),
                    "seed {seed}, {id} at {minute}"
                );
                assert!(bar.complete, "seed {seed}, {id} at {minute}");
                seen += 1;
            }
            minute = minute + Duration::from_secs(60);
        }
    }
    assert_eq!(seen, built.len());
}

#[test]
fn open_interest_comes_in_packets_of_its_own() {
    let mut rig = rig(1);
    rig.watch(1, at("10:00:00"));
    rig.trade(1, 100, "10:00:10", 1_000);
    let oi = |oi| {
        Update::Oi(Oi {
            oi,
            high: None,
            low: None,
        })
    };
    rig.say(1, at("10:00:11"), &oi(500));
    rig.trade(1, 101, "10:01:20", 1_010);
    rig.say(1, at("10:01:30"), &oi(510));
    rig.trade(1, 102, "10:02:05", 1_030);
    let batch = rig.collect("10:02:06");
    check(
        &batch.closed,
        1,
        &[
            ("10:00:00", [100; 4], Some(0), Some(500), false),
            ("10:01:00", [101; 4], Some(10), Some(510), true),
        ],
    );
    check(
        &batch.forming,
        1,
        &[("10:02:00", [102; 4], Some(20), Some(510), true)],
    );
}

#[test]
fn of_an_index_nothing_is_traded_whatever_its_packets_say() {
    let (table, writer) = strikewire_quotes::table(1);
    let calendar = Arc::new(Calendar::builtin());
    let tap = Tap::new(table.clone(), calendar, Era::default(), GRACE);
    let (events, _) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::new(1));
    let mut path = TickPath::new(
        writer,
        Clock::system(),
        tap,
        events,
        Arc::default(),
        counters,
    );
    let key = InstrumentKey::new(Segment::IdxI, 13);
    table.bind(key, Slot(0), PriceStep::PAISA, CONN);
    table.add_interest(Slot(0), Interest::BARS);
    let (slot, step) = table.resolve(key).unwrap();
    let target = Target { key, slot, step };
    let watch = BarCommand::Watch {
        master: 0,
        key,
        class: Class::NseCash,
    };
    path.tap().handle(at("10:00:00"), &watch);
    let said = quote(rupees(26_500), at("10:00:01"), 0);
    path.apply(CONN, &target, now(at("10:00:01")), &Update::Quote(said));
    let oi = Oi::default();
    let depth = Default::default();
    let full = Full {
        quote: quote(rupees(26_510), at("10:00:02"), 0),
        oi,
        depth,
    };
    path.apply(CONN, &target, now(at("10:00:02")), &Update::Full(full));
    let batch = path.tap().take(BarBatch::default());
    let (_, bar) = batch.forming[0];
    assert_eq!((bar.volume, bar.oi), (None, None));
    assert_eq!((bar.open, bar.close), (rupees(26_500), rupees(26_510)));
}

#[test]
fn a_slot_that_is_used_again_feeds_no_builder_of_a_stranger() {
    let mut rig = rig(2);
    rig.watch(1, at("10:00:00"));
    rig.trade(1, 100, "10:00:10", 10);
    // The slot of 1 becomes that of 3, of which nobody wants bars, or not yet.
    rig.table.unbind(key(1));
    rig.table.bind(key(3), Slot(0), PriceStep::PAISA, CONN);
    rig.trade(3, 900, "10:00:20", 10);
    rig.table.add_interest(Slot(0), Interest::BARS);
    rig.trade(3, 901, "10:00:21", 11);
    rig.watch(3, at("10:00:22"));
    rig.trade(3, 902, "10:00:23", 12);
    // 1 is back in another slot.
    rig.table.bind(key(1), Slot(3), PriceStep::PAISA, CONN);
    rig.table.add_interest(Slot(3), Interest::BARS);
    rig.trade(1, 105, "10:00:30", 20);
    rig.trade(3, 903, "10:00:31", 13);
    let batch = rig.collect("10:01:01");
    check(
        &batch.closed,
        1,
        &[("10:00:00", [100, 105, 100, 105], Some(10), None, false)],
    );
    check(
        &batch.closed,
        3,
        &[("10:00:00", [902, 903, 902, 903], Some(1), None, false)],
    );
    assert_eq!(batch.closed.len(), 2);
    assert!(batch.forming.is_empty());
}

#[test]
fn who_is_watched_is_found_again_whoever_else_comes_and_goes() {
    let seed = 77;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let instruments = 20_u32;
    let mut rig = rig(instruments);
    // What each was said last since it has been watched.
    let mut model: BTreeMap<u32, Option<i32>> = BTreeMap::new();
    let mut clock = at("10:00:00");
    let (mut watched, mut unwatched, mut told) = (0, 0, 0);
    for _ in 0..20_000 {
        let id = rng.random_range(1..=instruments);
        match rng.random_range(0..10) {
            0 | 1 => {
                rig.watch(id, clock);
                model.entry(id).or_insert(None);
                watched += 1;
            }
            2 => {
                rig.unwatch(id);
                model.remove(&id);
                unwatched += 1;
            }
            3 => {
                let batch = rig.collect_at(clock);
                // Of two minutes the later one, which comes last.
                let newest: BTreeMap<InstrumentKey, Bar> = batch.forming.into_iter().collect();
                for (key, bar) in newest {
                    let said = model[&key.id.0].unwrap();
                    assert_eq!(bar.close, rupees(said), "seed {seed}");
                    told += 1;
                }
                for (key, _) in batch.closed {
                    assert!(model.contains_key(&key.id.0), "seed {seed}");
                }
            }
            _ => {
                clock = clock + Duration::from_millis(100);
                let price = rng.random_range(1..1_000);
                let update = Update::Quote(quote(rupees(price), clock, 1));
                rig.say(id, clock, &update);
                if let Some(last) = model.get_mut(&id) {
                    *last = Some(price);
                }
            }
        }
        assert_eq!(rig.path.tap().watched(), model.len(), "seed {seed}");
    }
    assert!(watched > 100 && unwatched > 100 && told > 100);
}

#[test]
fn another_master_ends_everything_at_once() {
    let mut rig = rig(2);
    rig.watch(1, at("10:00:00"));
    rig.trade(1, 100, "10:00:10", 10);
    rig.era.set(1);
    // The same id may be another contract now; nobody has asked for its bars yet.
    rig.trade(1, 900, "10:00:11", 10);
    let batch = rig.collect("10:01:01");
    assert_eq!(batch.master, 1);
    assert!(batch.closed.is_empty() && batch.forming.is_empty());
    // What is said of the master that is gone comes too late.
    let (key, class) = (key(1), CLASS);
    let late = BarCommand::Watch {
        master: 0,
        key,
        class,
    };
    rig.path.tap().handle(at("10:01:02"), &late);
    assert_eq!(rig.path.tap().watched(), 0);
    rig.watch(1, at("10:01:02"));
    let late = BarCommand::Unwatch { master: 0, key };
    rig.path.tap().handle(at("10:01:02"), &late);
    assert_eq!(rig.path.tap().watched(), 1);
}

#[test]
fn bars_that_a_gap_touches_are_incomplete() {
    let mut rig = rig(1);
    rig.watch(1, at("10:00:00"));
    for (price, time, volume) in [(100, "10:00:10", 10), (101, "10:01:10", 11)] {
        rig.trade(1, price, time, volume);
    }
    rig.trade(1, 102, "10:02:10", 12);
    // The connection falls; minutes end before it is back.
    rig.table.mark_gaps([Slot(0)]);
    let batch = rig.collect("10:03:01");
    assert_eq!(batch.missing, [(key(1), at("10:02:10"))]);
    check(
        &batch.closed,
        1,
        &[
            ("10:00:00", [100; 4], Some(0), None, false),
            ("10:01:00", [101; 4], Some(1), None, true),
            ("10:02:00", [102; 4], Some(1), None, false),
        ],
    );
    let batch = rig.collect("10:04:01");
    assert!(
        batch.closed.is_empty() && batch.missing.is_empty(),
        "told once"
    );
    rig.trade(1, 110, "10:04:20", 30);
    rig.trade(1, 111, "10:04:40", 31);
    rig.trade(1, 112, "10:05:40", 32);
    // What traded in the gap is no part of the volume of a minute after it.
    let batch = rig.collect("10:06:01");
    check(
        &batch.closed,
        1,
        &[
            ("10:04:00", [110, 111, 110, 111], Some(1), None, false),
            ("10:05:00", [112; 4], Some(1), None, true),
        ],
    );
    // A gap inside one minute.
    rig.trade(1, 113, "10:06:10", 33);
    rig.table.mark_gaps([Slot(0)]);
    rig.trade(1, 114, "10:06:30", 34);
    rig.trade(1, 115, "10:07:30", 35);
    let batch = rig.collect("10:08:01");
    let complete: Vec<bool> = batch.closed.iter().map(|(_, bar)| bar.complete).collect();
    assert_eq!(complete, [false, true]);
}

#[test]
fn a_gap_ends_with_the_first_packet_that_has_a_trade() {
    let close = Update::PrevClose(PrevClose {
        price: Some(rupees(90)),
        oi: 0,
    });
    let oi = Update::Oi(Oi {
        oi: 500,
        ..Oi::default()
    });
    for first in [close, oi] {
        let mut rig = rig(1);
        rig.watch(1, at("10:00:00"));
        rig.trade(1, 100, "10:00:10", 10);
        rig.trade(1, 101, "10:01:10", 11);
        assert_eq!(rig.collect("10:01:11").closed.len(), 1);
        rig.table.mark_gaps([Slot(0)]);
        // It says nothing of what was traded meanwhile.
        rig.say(1, at("10:01:30"), &first);
        assert_eq!(rig.collect("10:01:31").lost, []);
        rig.trade(1, 102, "10:02:20", 90);
        rig.trade(1, 103, "10:03:20", 95);
        let bars: Vec<_> = rig.collect("10:04:01").closed;
        let bars: Vec<_> = bars
            .iter()
            .map(|(_, bar)| (bar.start, bar.volume, bar.complete))
            .collect();
        assert_eq!(
            bars,
            [
                (at("10:01:00"), Some(1), false),
                (at("10:02:00"), Some(0), false),
                (at("10:03:00"), Some(5), true)
            ]
        );
    }
}

#[test]
fn the_very_first_packet_may_be_one_without_a_trade() {
    let mut rig = rig(1);
    rig.watch(1, at("10:00:00"));
    rig.say(
        1,
        at("10:00:01"),
        &Update::PrevClose(PrevClose {
            price: Some(rupees(90)),
            oi: 0,
        }),
    );
    // What the subscription begins with is the last trade, of long ago.
    let last = Update::Quote(quote(rupees(99), at("09:40:00"), 7));
    rig.say(1, at("10:00:02"), &last);
    rig.trade(1, 100, "10:01:10", 10);
    let batch = rig.collect("10:02:01");
    check(
        &batch.closed,
        1,
        &[("10:01:00", [100; 4], Some(3), None, true)],
    );
    assert_eq!((batch.late, batch.lost.len()), (0, 0));
}

#[test]
fn what_is_on_the_wire_is_told_though_it_does_not_trade() {
    let mut rig = rig(2);
    rig.watch(1, at("10:00:00"));
    rig.watch(2, at("10:00:00"));
    let same = Update::Quote(quote(rupees(99), at("09:40:00"), 7));
    let mut told = Vec::new();
    for second in 0..100 {
        let now = at("10:00:01") + SECOND * second;
        rig.say(1, now, &same);
        let heard = rig.collect_at(now).heard;
        assert!(heard.iter().all(|of| *of == key(1)));
        told.extend(heard.iter().map(|_| second));
    }
    assert_eq!(told, [0, 30, 60, 90]);
    // After a gap at once.
    rig.table.mark_gaps([Slot(0)]);
    rig.say(1, at("10:01:45"), &same);
    assert_eq!(rig.collect("10:01:46").heard, [key(1)]);
}

#[test]
fn off_the_wire_is_a_gap_too_and_the_night_is_none() {
    let mut rig = rig(1);
    rig.watch(1, at("10:00:00"));
    rig.trade(1, 100, "10:00:10", 10);
    rig.trade(1, 101, "10:01:10", 11);
    // Evicted for half a minute; the owner marks the slot that it gets.
    rig.table.unbind(key(1));
    assert!(rig.collect("10:01:20").closed.len() == 1);
    rig.table.bind(key(1), Slot(1), PriceStep::PAISA, CONN);
    rig.table
        .add_interest(Slot(1), Interest::BARS | Interest::GAP);
    rig.trade(1, 102, "10:01:50", 15);
    rig.trade(1, 103, "10:02:10", 16);
    let batch = rig.collect("10:03:01");
    let complete: Vec<bool> = batch.closed.iter().map(|(_, bar)| bar.complete).collect();
    assert_eq!(complete, [false, true]);
    rig.trade(1, 104, "15:29:59", 17);
    assert_eq!(rig.collect("15:30:01").closed.len(), 1);
    // At the close it leaves the wire, and comes back before the open: the first packet
    // repeats the last trade.
    rig.table.unbind(key(1));
    let night = at("15:30:05");
    assert!(rig.collect_at(night + SECOND * 60).closed.is_empty());
    let morning = at("09:00:00") + HOUR * 24;
    rig.table.bind(key(1), Slot(0), PriceStep::PAISA, CONN);
    rig.table.add_interest(Slot(0), Interest::BARS);
    rig.say(
        1,
        morning + SECOND,
        &Update::Quote(quote(rupees(104), at("15:29:59"), 17)),
    );
    assert!(rig.collect_at(morning + SECOND * 2).closed.is_empty());
    let open = at("09:15:00") + HOUR * 24;
    rig.say(
        1,
        open + SECOND,
        &Update::Quote(quote(rupees(99), open + SECOND, 5)),
    );
    let batch = rig.collect_at(open + SECOND * 61);
    assert_eq!(batch.closed.len(), 1);
    assert!(batch.closed[0].1.complete);
    assert_eq!(batch.closed[0].1.volume, Some(5));
}

#[test]
fn an_answer_is_no_tick_and_ends_no_gap_of_the_bars() {
    let mut rig = rig(1);
    rig.watch(1, at("10:00:00"));
    rig.trade(1, 100, "10:00:10", 10);
    rig.table.mark_gaps([Slot(0)]);
    let snapshot = Snapshot {
        ltp: Some(rupees(500)),
        ltt: Some(time(at("10:00:20"))),
        ..Snapshot::new(key(1))
    };
    let (asked, came) = (now(at("10:00:25")), now(at("10:00:26")));
    assert!(rig.path.snapshot(came, asked, &snapshot));
    rig.trade(1, 101, "10:00:40", 20);
    let batch = rig.collect("10:01:01");
    check(
        &batch.closed,
        1,
        &[("10:00:00", [100, 101, 100, 101], Some(10), None, false)],
    );
    rig.trade(1, 102, "10:01:40", 22);
    let batch = rig.collect("10:02:01");
    check(
        &batch.closed,
        1,
        &[("10:01:00", [102; 4], Some(2), None, true)],
    );
}

#[test]
fn what_did_not_change_is_not_told_again_and_late_ticks_are_counted() {
    let mut rig = rig(2);
    rig.watch(1, at("10:00:00"));
    rig.watch(2, at("10:00:00"));
    rig.trade(1, 100, "10:00:10", 10);
    rig.trade(2, 100, "10:00:10", 10);
    assert_eq!(rig.collect("10:00:11").forming.len(), 2);
    // The book moved, nothing traded.
    rig.say(
        1,
        at("10:00:12"),
        &Update::Quote(quote(rupees(100), at("10:00:10"), 10)),
    );
    rig.trade(2, 101, "10:00:12", 11);
    let batch = rig.collect("10:00:13");
    assert_eq!(batch.forming.len(), 1);
    assert_eq!(batch.forming[0].0, key(2));
    assert!(rig.collect("10:00:14").forming.is_empty());
    // In the moment of grace both minutes are open.
    rig.trade(2, 102, "10:01:00", 12);
    let batch = rig.collect("10:01:00.5");
    let starts: Vec<Utc> = batch.forming.iter().map(|(_, bar)| bar.start).collect();
    assert_eq!(starts, [at("10:00:00"), at("10:01:00")]);
    assert!(batch.closed.is_empty());
    assert_eq!(rig.collect("10:01:01").closed.len(), 2);
    rig.say(
        2,
        at("10:01:02"),
        &Update::Quote(quote(rupees(103), at("10:00:59"), 13)),
    );
    rig.say(
        2,
        at("10:01:02"),
        &Update::Quote(quote(rupees(104), at("10:00:59"), 15)),
    );
    let batch = rig.collect("10:01:03");
    assert_eq!((batch.late, batch.out_of_session), (2, 0));
    // Its minute was given out without it.
    assert_eq!(batch.lost, [(key(2), at("10:00:00"))]);
    assert!(rig.collect("10:01:04").lost.is_empty());
    rig.trade(2, 104, "18:00:00", 14);
    let batch = rig.collect("18:00:01");
    assert_eq!((batch.late, batch.out_of_session), (0, 1));
}

#[test]
fn many_are_closed_some_at_a_time() {
    let instruments = 2_000;
    let mut rig = rig(instruments);
    for id in 1..=instruments {
        rig.watch(id, at("10:00:00"));
        rig.trade(id, 100, "10:00:10", 1);
    }
    let end = at("10:01:01");
    let mut turns = 1;
    while !rig.path.tap().close_some(end) {
        turns += 1;
    }
    assert!(turns > 2, "{turns}");
    let batch = rig.path.tap().take(BarBatch::default());
    assert_eq!(batch.closed.len(), instruments as usize);
    // They are taken so too; what trades meanwhile is given once more next time.
    for id in 1..=instruments {
        rig.trade(id, 101, "10:01:10", 2);
    }
    let mut batch = BarBatch::default();
    rig.path.tap().begin(&mut batch);
    let mut given = 0;
    let mut turns = 0;
    while !rig.path.tap().take_some(&mut batch) {
        assert!(batch.forming.len() - given <= 512);
        given = batch.forming.len();
        turns += 1;
        rig.trade(instruments, 102 + turns, "10:01:11", 3);
        rig.trade(1, 102, "10:02:12", 3);
        rig.trade(1, 103, "10:03:12", 4);
    }
    assert!(turns > 2, "{turns}");
    assert_eq!(batch.forming.len(), instruments as usize + 1);
    assert_eq!(batch.closed.len(), 1, "of 1, which is two minutes on");
    let batch = rig.path.tap().take(batch);
    assert_eq!(batch.forming[0].0, key(instruments));
    assert_eq!((batch.forming.len(), batch.closed.len()), (1, 0));
    // Another master in the middle: nothing of the one before is given.
    for id in 1..=instruments {
        rig.trade(id, 105, "10:03:20", 9);
    }
    let mut batch = BarBatch::default();
    rig.path.tap().begin(&mut batch);
    assert!(!rig.path.tap().take_some(&mut batch));
    rig.era.set(1);
    rig.trade(1, 105, "10:03:30", 10);
    while !rig.path.tap().take_some(&mut batch) {}
    assert_eq!((batch.master, batch.forming.len()), (1, 0));
}

#[test]
fn what_was_looked_at_is_not_looked_at_again() {
    let mut rig = rig(1);
    rig.watch(1, at("10:00:00"));
    let end = at("10:01:01");
    while !rig.path.tap().close_some(end) {}
    assert!(
        rig.path.tap().close_some(end),
        "nothing more in this minute"
    );
}

#[tokio::test]
async fn whoever_computes_asks_by_a_queue() {
    let mut rig = rig(2);
    let (bars, queue) = channel();
    rig.watch(2, at("10:00:00"));
    rig.trade(2, 50, "10:00:01", 5);
    let path = RefCell::new(rig.path);
    let work = async {
        assert!(bars.watch(0, key(1), CLASS).await);
        assert!(bars.unwatch(0, key(9)).await);
        let first = bars.collect(at("10:00:02"), BarBatch::default()).await;
        let first = first.unwrap();
        assert_eq!((first.closed.len(), first.forming.len()), (0, 1));
        assert_eq!(path.borrow_mut().tap().watched(), 2);
        let second = bars.collect(at("10:01:02"), first).await.unwrap();
        assert_eq!((second.closed.len(), second.forming.len()), (1, 0));
        assert!(bars.unwatch(0, key(1)).await);
    };
    tokio::select! {
        () = work => {}
        never = serve(&path, queue) => match never {},
    }
    // The feed has ended.
    assert!(!bars.watch(0, key(1), CLASS).await);
    assert!(
        bars.collect(at("10:00:00"), BarBatch::default())
            .await
            .is_none()
    );
}
