use loom::thread;
use strikewire_types::{Segment, Utc};

use super::*;
use crate::Accept;

const CONN: ConnId = ConnId::from_index(0);
const KEY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
const SLOT: Slot = Slot(0);

fn rupees(rupees: i32) -> Price {
    Price::from_rupees(rupees)
}

#[test]
fn loom_the_last_tick_is_never_missed() {
    loom::model(|| {
        let (table, mut writer) = table(1);
        table.bind(KEY, SLOT, PriceStep::PAISA, CONN);
        table.add_interest(SLOT, Interest::fan(0));
        writer.write(SLOT, KEY, Utc::from_nanos(0), |row| row.ltp(rupees(1)));
        let feed = thread::spawn(move || {
            writer.write(SLOT, KEY, Utc::from_nanos(0), |row| row.ltp(rupees(2)));
            writer
        });
        let mut seen = None;
        table.drain_dirty(0, |slot| seen = table.last(slot, KEY));
        let writer = feed.join().unwrap();
        table.drain_dirty(0, |slot| seen = table.last(slot, KEY));
        assert_eq!(seen.map(|last| last.ltp), Some(rupees(2)));
        drop(writer);
    });
}

#[test]
fn loom_what_was_put_is_read_or_told_when_it_is_settled() {
    loom::model(|| {
        let (table, mut writer) = table(1);
        table.bind(KEY, SLOT, PriceStep::PAISA, CONN);
        let feed = thread::spawn(move || {
            let recv = Utc::from_nanos(1);
            let put = writer.put(CONN, SLOT, KEY, PriceStep::PAISA, recv, |row| {
                row.ltp(rupees(2));
            });
            assert!(put.is_ok());
            let mut told = false;
            writer.settle(|_, _, wrote| told = wrote.interest.contains(Interest::WAIT));
            told
        });
        table.add_interest(SLOT, Interest::WAIT);
        let read = table.last(SLOT, KEY).is_some();
        assert!(feed.join().unwrap() || read);
    });
}

#[test]
fn loom_who_waits_for_a_first_price_reads_it_or_is_told() {
    loom::model(|| {
        let (table, mut writer) = table(1);
        table.bind(KEY, SLOT, PriceStep::PAISA, CONN);
        let feed = thread::spawn(move || {
            let wrote = writer.write(SLOT, KEY, Utc::from_nanos(0), |row| row.ltp(rupees(2)));
            wrote.interest.contains(Interest::WAIT)
        });
        table.add_interest(SLOT, Interest::WAIT);
        let read = table.last(SLOT, KEY).is_some();
        let told = feed.join().unwrap();
        assert!(read || told);
    });
}

#[test]
fn loom_a_band_is_left_once_however_it_is_disarmed() {
    loom::model(|| {
        let (table, mut writer) = table(1);
        table.bind(KEY, SLOT, PriceStep::PAISA, CONN);
        table.arm(SLOT, None, Some(rupees(10)));
        let feed = thread::spawn(move || {
            let mut tick = || {
                let wrote = writer.write(SLOT, KEY, Utc::from_nanos(0), |row| row.ltp(rupees(11)));
                u32::from(wrote.crossed)
            };
            tick() + tick()
        });
        table.disarm(SLOT);
        assert!(feed.join().unwrap() <= 1);
        assert_eq!(table.interest(SLOT), Interest::NONE);
    });
}

#[test]
fn loom_a_flip_and_the_owners_change_of_mind_do_not_mix() {
    loom::model(|| {
        let (old, new) = (CONN, ConnId::from_index(1));
        let (table, mut writer) = table(1);
        table.bind(KEY, SLOT, PriceStep::PAISA, old);
        table.migrate(SLOT, new);
        let feed = thread::spawn(move || {
            let accept = writer.accepts(SLOT, new);
            (writer, accept)
        });
        table.set_home(SLOT, old);
        let (mut writer, accept) = feed.join().unwrap();
        assert_ne!(accept, Accept::Home);
        // Whichever came first, what the owner said last holds.
        assert_eq!(writer.accepts(SLOT, old), Accept::Home);
        assert_eq!(writer.accepts(SLOT, new), Accept::Stranger);
    });
}
