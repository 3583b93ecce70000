use std::collections::HashMap;

use serde_json::json;
use serde_json::{Map, Value};
use strikewire_quotes::{Interest, Writer, table};
use strikewire_types::{ConnId, Price, PriceStep, Segment, Slot, Utc};

use super::post::{LETTER_BYTES, LETTERS};
use super::*;
use crate::chain::Position;
use crate::outlet::{Outlet, Push};

mod memory;
mod model;
mod resume;
mod values;

const CONN: ConnId = ConnId::from_index(0);
const ME: ClientId = ClientId(1);
const YOU: ClientId = ClientId(2);
const CHAIN: ChainId = ChainId(9);
const SUB: SubId = SubId(1);

/// Queues of a given length.
#[derive(Default)]
struct Queues {
    room: HashMap<ClientId, usize>,
    gone: Vec<ClientId>,
    queues: HashMap<ClientId, Vec<Value>>,
}

impl Outlet for Queues {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        if self.gone.contains(&client) {
            return Push::Gone;
        }
        let queue = self.queues.entry(client).or_default();
        if queue.len() >= self.room.get(&client).copied().unwrap_or(usize::MAX) {
            return Push::Full;
        }
        queue.push(serde_json::from_slice(message.bytes()).unwrap());
        Push::Taken
    }
}

impl Queues {
    /// Takes what is in a client's queue.
    fn take(&mut self, client: ClientId) -> Vec<Value> {
        self.queues.remove(&client).unwrap_or_default()
    }
}

struct Bench {
    hub: Hub,
    table: Arc<Table>,
    writer: Writer,
    out: Queues,
    now: Mono,
}

fn key(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseFno, id)
}

fn item(id: u32) -> Item {
    Item {
        key: key(id),
        token: format!("T{id}").into(),
    }
}

fn items(ids: &[u32]) -> Vec<Item> {
    ids.iter().map(|id| item(*id)).collect()
}

/// Instruments 0 to 7 in slots 0 to 7, and two clients.
fn bench() -> Bench {
    let (table, writer) = table(16);
    for id in 0..8 {
        table.bind(key(id), Slot(id), PriceStep::PAISA, CONN);
    }
    let mut hub = Hub::new(Arc::clone(&table), 7);
    hub.add_client(ME);
    hub.add_client(YOU);
    Bench {
        hub,
        table,
        writer,
        out: Queues::default(),
        now: Mono::default(),
    }
}

impl Hub {
    /// How many instruments a client watches by subscriptions of ticks; those that it has in
    /// several classes count in each.
    fn instruments_of(&self, client: ClientId) -> usize {
        let member = self.client_at.get(&client);
        let bundles = self.bundles.iter().filter(|bundle| {
            let mut members = bundle.members.iter();
            members.any(|one| Some(&one.client) == member)
        });
        bundles.map(|bundle| bundle.watches.len()).sum()
    }
}

impl Bench {
    fn tick(&mut self, id: u32, rupees: i32) {
        let (slot, _) = self.table.resolve(key(id)).unwrap();
        self.writer.write(slot, key(id), Utc::from_nanos(0), |row| {
            row.ltp(Price::from_rupees(rupees));
        });
    }

    fn flush(&mut self) {
        self.hub.flush(Class::BATCH, self.now, &mut self.out);
    }

    fn ticks(&mut self, client: ClientId, sub: u64, ids: &[u32], mode: Mode) {
        self.hub
            .subscribe_ticks(client, SubId(sub), &items(ids), mode, Class::BATCH);
    }

    /// Lets seconds pass.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + core::time::Duration::from_secs(1);
            self.hub.flush(Class::ALL[4], self.now, &mut self.out);
        }
    }

    /// Flushes and gives what `client` got.
    fn got(&mut self, client: ClientId) -> Vec<Value> {
        self.flush();
        self.out.take(client)
    }
}

fn quote(rupees: i32) -> Value {
    json!({"ltp": f64::from(rupees), "recv": "1970-01-01T05:30:00.000+05:30"})
}

fn tick(id: u32, rupees: i32) -> Value {
    let mut item = quote(rupees);
    item["token"] = json!(format!("T{id}"));
    item["instrument"] = json!(format!("NSE_FNO:{id}"));
    item
}

fn body(fields: Value, legs: &[u32], underlying: Option<u32>) -> ChainBody {
    let Value::Object(fields) = fields else {
        panic!("no object");
    };
    ChainBody {
        fields,
        legs: items(legs),
        underlying: underlying.map(item),
    }
}

#[test]
fn one_message_per_flush_with_the_latest_of_each() {
    let mut bench = bench();
    bench.tick(1, 10);
    bench.ticks(ME, 1, &[1, 2, 9], Mode::Full);
    assert_eq!(
        bench.got(ME),
        [json!({"type": "ticks", "items": [tick(1, 10)]})]
    );
    assert_eq!(bench.got(ME), [] as [Value; 0]);
    for price in [11, 12] {
        bench.tick(2, price);
        bench.tick(1, price);
        bench.tick(3, price);
    }
    assert_eq!(
        bench.got(ME),
        [json!({"type": "ticks", "items": [tick(1, 12), tick(2, 12)]})]
    );
    assert_eq!(bench.out.take(YOU), [] as [Value; 0]);
    assert!(bench.hub.unsubscribe(ME, SUB));
    assert!(!bench.hub.unsubscribe(ME, SUB));
    bench.tick(1, 13);
    assert_eq!(bench.got(ME), [] as [Value; 0]);
    assert_eq!(bench.table.interest(Slot(1)), Interest::NONE);
}

#[test]
fn an_instrument_twice_comes_once_in_the_higher_mode() {
    let mut bench = bench();
    bench.ticks(ME, 1, &[1, 2], Mode::Ticker);
    bench.ticks(ME, 2, &[1], Mode::Quote);
    bench
        .writer
        .write(Slot(1), key(1), Utc::from_nanos(0), |row| row.volume(5));
    let items = |got: Vec<Value>| got[0]["items"].as_array().unwrap().clone();
    let got = items(bench.got(ME));
    assert_eq!((got.len(), &got[0]["volume"]), (1, &json!(5)));
    bench.hub.unsubscribe(ME, SubId(2));
    bench
        .writer
        .write(Slot(1), key(1), Utc::from_nanos(0), |row| row.volume(6));
    let got = items(bench.got(ME));
    assert_eq!((got.len(), got[0].get("volume")), (1, None));
}

#[test]
fn a_class_is_served_by_its_own_flush_only() {
    let mut bench = bench();
    let slow = Class::from_ms(1000).unwrap();
    bench
        .hub
        .subscribe_ticks(ME, SUB, &items(&[1]), Mode::Ticker, slow);
    bench.ticks(YOU, 1, &[1], Mode::Ticker);
    bench.tick(1, 10);
    assert_eq!(bench.got(ME), [] as [Value; 0]);
    assert_eq!(bench.out.take(YOU).len(), 1);
    bench.hub.flush(slow, bench.now, &mut bench.out);
    assert_eq!(bench.out.take(ME).len(), 1);
    assert_eq!(bench.out.take(YOU), [] as [Value; 0]);
}

#[test]
fn ticks_without_room_are_conflated() {
    let mut bench = bench();
    bench.ticks(ME, 1, &[1, 2, 3], Mode::Ticker);
    bench.out.room.insert(ME, 0);
    bench.tick(1, 10);
    bench.tick(2, 20);
    bench.flush();
    bench.tick(1, 11);
    bench.flush();
    assert_eq!(bench.hub.stats().messages, 0);
    assert_eq!(bench.hub.stats().conflated, 3, "two, then one");
    bench.out.room.clear();
    bench.tick(3, 30);
    assert_eq!(
        bench.got(ME),
        [json!({"type": "ticks", "items": [tick(1, 11), tick(2, 20), tick(3, 30)]})]
    );
}

#[test]
fn a_chain_is_a_snapshot_and_then_deltas_of_one_number_for_all() {
    let mut bench = bench();
    bench.tick(1, 10);
    bench
        .hub
        .subscribe_chain(ME, SUB, CHAIN, Mode::Full, Class::BATCH, None);
    assert_eq!(bench.got(ME), [] as [Value; 0], "nothing is known of it");
    bench.hub.set_chain(
        CHAIN,
        body(
            json!({"symbol": "X", "live_ltp": 5.0, "step": 1}),
            &[1, 2],
            Some(0),
        ),
    );
    let mut got = bench.got(ME);
    let epoch = got[0]["epoch"].take();
    assert_eq!(epoch.as_str().map(str::len), Some(16 + "-0-full".len()));
    assert_eq!(
        got,
        [json!({
            "type": "snapshot", "channel": "chain", "sub": 1, "epoch": null, "seq": 1,
            "chain": {"symbol": "X", "live_ltp": 5.0, "step": 1},
            "quotes": {"T1": quote(10)},
        })]
    );
    // The underlying has a price now, a leg its first, another its next.
    bench.tick(0, 100);
    bench.tick(1, 11);
    bench.tick(2, 20);
    let delta = json!({
        "type": "delta", "sub": 1, "epoch": epoch, "seq": 2,
        "chain": {"live_ltp": 100.0},
        "set": {"T1": {"ltp": 11.0}, "T2": quote(20)},
        "remove": [],
    });
    assert_eq!(bench.got(ME), [delta]);
    // Nothing that is not known already.
    bench.tick(2, 20);
    assert_eq!(bench.got(ME), [] as [Value; 0]);
    // A late client begins at the common number.
    bench
        .hub
        .subscribe_chain(YOU, SubId(5), CHAIN, Mode::Full, Class::BATCH, None);
    let got = bench.got(YOU);
    assert_eq!(got[0]["seq"], 2);
    assert_eq!(got[0]["chain"]["live_ltp"], 100.0);
    assert_eq!(got[0]["quotes"], json!({"T1": quote(11), "T2": quote(20)}));
    // A roll is one delta, whatever else happened in the window.
    bench.tick(3, 30);
    bench.tick(2, 21);
    bench.hub.set_chain(
        CHAIN,
        body(json!({"symbol": "X", "atm": 2}), &[2, 3, 4], Some(0)),
    );
    bench.flush();
    for (client, sub) in [(ME, 1), (YOU, 5)] {
        assert_eq!(
            bench.out.take(client),
            [json!({
                "type": "delta", "sub": sub, "epoch": epoch, "seq": 3,
                "chain": {"atm": 2, "step": null},
                "set": {"T2": {"ltp": 21.0}, "T3": quote(30)},
                "remove": ["T1"],
            })]
        );
    }
    assert_eq!(bench.table.interest(Slot(1)), Interest::NONE);
    assert_eq!(bench.table.interest(Slot(4)), Interest::fan(0));
}

#[test]
fn who_missed_deltas_is_told_and_begins_anew() {
    let mut bench = bench();
    bench.hub.set_chain(CHAIN, body(json!({}), &[1], None));
    for client in [ME, YOU] {
        bench
            .hub
            .subscribe_chain(client, SUB, CHAIN, Mode::Ticker, Class::BATCH, None);
    }
    bench.tick(1, 10);
    assert_eq!(bench.got(ME)[0]["seq"], 1);
    bench.out.room.insert(ME, 0);
    for price in [11, 12, 13] {
        bench.tick(1, price);
        bench.flush();
    }
    assert_eq!(bench.hub.stats().dropped, 3);
    // Room for the message but not for the snapshot after it.
    bench.out.room.insert(ME, 1);
    assert_eq!(
        bench.got(ME),
        [json!({"type": "lagged", "sub": 1, "dropped": 3, "from_seq": 2, "to_seq": 4})]
    );
    bench.out.room.insert(ME, 0);
    bench.tick(1, 14);
    bench.flush();
    bench.out.room.clear();
    let got = bench.got(ME);
    assert_eq!(
        got[0],
        json!({"type": "lagged", "sub": 1, "dropped": 1, "from_seq": 5, "to_seq": 5})
    );
    assert_eq!(
        (&got[1]["type"], &got[1]["seq"]),
        (&json!("snapshot"), &json!(5))
    );
    assert_eq!(got[1]["quotes"]["T1"], quote(14));
    // The other one never noticed.
    let seqs: Vec<_> = bench
        .out
        .take(YOU)
        .iter()
        .map(|m| m["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
}

#[test]
fn a_number_means_one_state_also_after_nobody_listened() {
    let mut bench = bench();
    bench
        .hub
        .set_chain(CHAIN, body(json!({"atm": 1}), &[1], None));
    let snapshot = |bench: &mut Bench| {
        bench
            .hub
            .subscribe_chain(ME, SUB, CHAIN, Mode::Ticker, Class::BATCH, None);
        let got = bench.got(ME).remove(0);
        bench.hub.unsubscribe(ME, SUB);
        (got["epoch"].clone(), got["seq"].as_u64().unwrap())
    };
    let (epoch, first) = snapshot(&mut bench);
    assert_eq!(snapshot(&mut bench), (epoch.clone(), first));
    // The channel is forgotten, not the chain: the state is another.
    bench.wait(31);
    let (again, second) = snapshot(&mut bench);
    assert_eq!(again, epoch);
    assert!(second > first);
    bench.hub.remove_chain(CHAIN);
    bench.wait(31);
    bench
        .hub
        .set_chain(CHAIN, body(json!({"atm": 1}), &[1], None));
    assert_ne!(snapshot(&mut bench).0, epoch);
}

#[test]
fn a_slot_is_followed_to_where_it_goes() {
    let mut bench = bench();
    bench.ticks(ME, 1, &[1, 2], Mode::Ticker);
    bench.hub.set_chain(CHAIN, body(json!({}), &[1], None));
    bench
        .hub
        .subscribe_chain(YOU, SUB, CHAIN, Mode::Ticker, Class::BATCH, None);
    bench.tick(1, 10);
    bench.flush();
    bench.out.queues.clear();
    // 2 takes over the slot of 1, which gets another.
    bench.table.unbind(key(1));
    bench.table.unbind(key(2));
    bench.table.bind(key(2), Slot(1), PriceStep::PAISA, CONN);
    bench.table.bind(key(1), Slot(12), PriceStep::PAISA, CONN);
    // Written before the hub knows: not lost.
    bench.tick(1, 11);
    bench.hub.slots_changed(&[key(2), key(1), key(77)]);
    bench.flush();
    assert_eq!(
        bench.out.take(ME),
        [json!({"type": "ticks", "items": [tick(1, 11)]})]
    );
    assert_eq!(bench.out.take(YOU)[0]["set"], json!({"T1": {"ltp": 11.0}}));
    bench.tick(2, 20);
    assert_eq!(
        bench.got(ME),
        [json!({"type": "ticks", "items": [tick(2, 20)]})]
    );
    assert_eq!(bench.table.interest(Slot(2)), Interest::NONE);
    // Off the wire: what is known of it stays.
    bench.table.unbind(key(1));
    bench.hub.slots_changed(&[key(1)]);
    assert_eq!(bench.table.interest(Slot(12)), Interest::NONE);
    bench
        .hub
        .subscribe_chain(ME, SubId(2), CHAIN, Mode::Ticker, Class::BATCH, None);
    let got = bench.got(ME);
    assert_eq!((got.len(), &got[0]["quotes"]["T1"]), (1, &quote(11)));
}

#[test]
fn a_slot_lost_unsaid_is_the_new_ones_alone() {
    let mut bench = bench();
    bench.ticks(ME, 1, &[1], Mode::Ticker);
    bench.table.unbind(key(1));
    bench.table.bind(key(2), Slot(1), PriceStep::PAISA, CONN);
    bench.ticks(ME, 2, &[2], Mode::Ticker);
    bench.hub.unsubscribe(ME, SubId(1));
    bench.tick(2, 20);
    assert_eq!(
        bench.got(ME),
        [json!({"type": "ticks", "items": [tick(2, 20)]})]
    );
}

#[test]
fn a_change_that_the_mode_lacks_is_none() {
    let mut bench = bench();
    bench.hub.set_chain(CHAIN, body(json!({}), &[1, 2], None));
    bench
        .hub
        .subscribe_chain(ME, SUB, CHAIN, Mode::Ticker, Class::BATCH, None);
    bench.tick(1, 10);
    bench.tick(2, 20);
    assert_eq!(bench.got(ME).len(), 1);
    let volume = |bench: &mut Bench, volume: u32| {
        bench
            .writer
            .write(Slot(1), key(1), Utc::from_nanos(0), |row| {
                row.volume(volume);
            });
    };
    volume(&mut bench, 1);
    assert_eq!(bench.got(ME), [] as [Value; 0]);
    volume(&mut bench, 2);
    bench.tick(2, 21);
    assert_eq!(bench.got(ME)[0]["set"], json!({"T2": {"ltp": 21.0}}));
}

#[test]
fn the_gone_leave_nothing_behind() {
    let mut bench = bench();
    bench.hub.set_chain(CHAIN, body(json!({}), &[1], Some(1)));
    for client in [ME, YOU] {
        bench.ticks(client, 1, &[1, 2], Mode::Full);
        bench
            .hub
            .subscribe_chain(client, SubId(2), CHAIN, Mode::Full, Class::BATCH, None);
    }
    assert_eq!(
        (bench.hub.stats().clients, bench.hub.stats().subscriptions),
        (2, 4)
    );
    bench.tick(1, 10);
    bench.out.gone.push(ME);
    bench.flush();
    assert_eq!(
        (bench.hub.stats().clients, bench.hub.stats().subscriptions),
        (1, 2)
    );
    assert_eq!(bench.out.take(YOU).len(), 2);
    bench.out.gone.push(YOU);
    bench.hub.announce("feed_down", "", &mut bench.out);
    assert_eq!(
        (bench.hub.stats().clients, bench.hub.stats().subscriptions),
        (0, 0)
    );
    for slot in 0..16 {
        assert_eq!(bench.table.interest(Slot(slot)), Interest::NONE);
    }
    // Whoever is not there is ignored.
    bench.ticks(ME, 1, &[1], Mode::Full);
    bench
        .hub
        .subscribe_chain(ME, SUB, CHAIN, Mode::Full, Class::BATCH, None);
    bench.hub.notice(ME, None, "feed_up", "", &mut bench.out);
    bench.flush();
    assert_eq!(bench.table.interest(Slot(1)), Interest::NONE);
    assert_eq!(bench.hub.stats().subscriptions, 0);
}

#[test]
fn a_removed_chain_ends_its_subscriptions() {
    let mut bench = bench();
    bench
        .hub
        .subscribe_chain(ME, SUB, CHAIN, Mode::Full, Class::BATCH, None);
    bench.hub.set_chain(CHAIN, body(json!({}), &[1], None));
    bench.flush();
    bench.hub.remove_chain(CHAIN);
    assert_eq!(bench.hub.stats().subscriptions, 0);
    assert!(!bench.hub.unsubscribe(ME, SUB));
    assert_eq!(bench.table.interest(Slot(1)), Interest::NONE);
}

#[test]
fn notices_wait_for_room_in_their_order() {
    let mut bench = bench();
    bench.out.room.insert(ME, 0);
    bench
        .hub
        .notice(ME, Some(SUB), "rolled", "a \"quoted\" word", &mut bench.out);
    bench.out.room.clear();
    bench
        .hub
        .announce("feed_down", "ligne coupée", &mut bench.out);
    assert_eq!(bench.out.take(YOU).len(), 1);
    assert_eq!(
        bench.got(ME),
        [
            json!({"type": "notice", "code": "rolled", "sub": 1, "detail": "a \"quoted\" word"}),
            json!({"type": "notice", "code": "feed_down", "detail": "ligne coupée"}),
        ]
    );
    // Not for ever: the oldest go.
    bench.out.room.insert(ME, 0);
    for n in 0..=LETTERS {
        bench
            .hub
            .notice(ME, None, "feed_up", &n.to_string(), &mut bench.out);
    }
    bench.out.room.clear();
    let got = bench.got(ME);
    assert_eq!((got.len(), &got[0]["detail"]), (LETTERS, &json!("1")));
    assert_eq!(bench.hub.stats().dropped, 1);
}

#[test]
fn a_gap_names_to_each_client_its_own() {
    let mut bench = bench();
    bench.ticks(ME, 1, &[3, 1], Mode::Ticker);
    bench.ticks(ME, 2, &[1], Mode::Full);
    bench.hub.set_chain(CHAIN, body(json!({}), &[2], Some(0)));
    bench
        .hub
        .subscribe_chain(ME, SubId(3), CHAIN, Mode::Full, Class::BATCH, None);
    bench.ticks(YOU, 1, &[5], Mode::Ticker);
    assert_eq!(bench.got(ME).len(), 1, "the snapshot");
    let keys: Vec<_> = [4, 3, 2, 1, 1, 0].into_iter().map(key).collect();
    let (from, to) = (Utc::from_nanos(0), Utc::from_nanos(1_500_000_000));
    bench.hub.gap(&keys, from, to, "reconnect", &mut bench.out);
    assert_eq!(
        bench.out.take(ME),
        [json!({
            "type": "gap",
            "instruments": ["NSE_FNO:0", "NSE_FNO:1", "NSE_FNO:2", "NSE_FNO:3"],
            "from": "1970-01-01T05:30:00.000+05:30", "to": "1970-01-01T05:30:01.500+05:30",
            "cause": "reconnect",
        })]
    );
    assert_eq!(bench.out.take(YOU), [] as [Value; 0]);
}
