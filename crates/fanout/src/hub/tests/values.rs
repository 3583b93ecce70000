//! Values: when they are sent, to whom, and what a slow client gets of them.

use super::super::values::VALUES;
use super::*;
use crate::stats::Held;
use crate::value::ValueId;

const RSI: ValueId = ValueId(5);
const SMA: ValueId = ValueId(6);

impl Bench {
    fn set(&mut self, id: ValueId, number: u64, is_final: bool) {
        let message = format!("{{\"value\":{},\"number\":{number}}}", id.0).into();
        self.hub.set_value(id, message, is_final, &mut self.out);
    }

    /// Subscribes and greets.
    fn values(&mut self, client: ClientId, sub: u64, ids: &[ValueId]) {
        self.hub.subscribe_values(client, SubId(sub), ids);
        self.hub.greet(client, self.now, &mut self.out);
    }

    fn window(&mut self) {
        self.hub.flush(VALUES, self.now, &mut self.out);
    }

    /// Numbers of the messages that a client got, with their values.
    fn numbers(&mut self, client: ClientId) -> Vec<(u64, u64)> {
        let number = |message: &Value, name: &str| message[name].as_u64().unwrap();
        let messages = self.out.take(client);
        let both = |message| (number(message, "value"), number(message, "number"));
        messages.iter().map(both).collect()
    }
}

#[test]
fn values_go_with_the_default_class() {
    assert_eq!(VALUES, Class::default());
}

#[test]
fn a_subscription_begins_with_the_latest() {
    let mut bench = bench();
    bench.set(RSI, 1, true);
    bench.set(RSI, 2, false);
    bench.values(ME, 1, &[RSI, SMA, RSI]);
    assert_eq!(bench.numbers(ME), [(5, 2)]);
    // It has it, and is sent it once more only if it asks once more.
    bench.window();
    assert_eq!(bench.numbers(ME), []);
    bench.values(ME, 2, &[RSI]);
    assert_eq!(bench.numbers(ME), [(5, 2)]);
    // Without a greeting it comes with the window.
    bench.hub.subscribe_values(YOU, SUB, &[RSI]);
    bench.flush();
    assert_eq!(bench.numbers(YOU), []);
    bench.window();
    assert_eq!(bench.numbers(YOU), [(5, 2)]);
    assert_eq!(bench.hub.stats().subscriptions, 3);
}

#[test]
fn of_a_window_the_latest_is_sent() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI]);
    bench.values(ME, 2, &[RSI, SMA]);
    bench.values(YOU, 1, &[RSI]);
    for number in 1..=3 {
        bench.set(RSI, number, false);
    }
    for class in Class::ALL.into_iter().filter(|class| *class != VALUES) {
        bench.hub.flush(class, bench.now, &mut bench.out);
    }
    assert_eq!(bench.numbers(ME), []);
    bench.window();
    bench.window();
    assert_eq!(bench.numbers(ME), [(5, 3)]);
    assert_eq!(bench.numbers(YOU), [(5, 3)]);
    let stats = *bench.hub.stats();
    assert_eq!((stats.messages, stats.shared), (2, 1));
    assert_eq!(stats.made * 2, stats.bytes);
}

#[test]
fn an_urgent_one_waits_for_nothing() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI]);
    bench.set(RSI, 1, false);
    bench.set(RSI, 2, true);
    assert_eq!(bench.numbers(ME), [(5, 2)]);
    // What came before it is old by now.
    bench.window();
    assert_eq!(bench.numbers(ME), []);
    bench.set(RSI, 3, false);
    bench.window();
    assert_eq!(bench.numbers(ME), [(5, 3)]);
}

#[test]
fn a_slow_client_gets_the_last_urgent_one_and_the_latest() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI, SMA]);
    bench.values(YOU, 1, &[RSI]);
    bench.out.room.insert(ME, 0);
    bench.set(SMA, 1, false);
    bench.set(RSI, 1, true);
    bench.set(RSI, 2, false);
    bench.window();
    assert_eq!(bench.hub.stats().conflated, 3);
    // Nothing is new, so nothing more is put off.
    bench.window();
    assert_eq!(bench.hub.stats().conflated, 3);
    bench.set(RSI, 3, true);
    bench.set(RSI, 4, false);
    bench.set(RSI, 5, false);
    bench.window();
    assert_eq!(bench.hub.stats().conflated, 5);
    let held = bench.hub.held();
    assert_eq!((held.values, held.values_behind), (2, 2));
    assert_eq!(
        bench.numbers(YOU),
        [(5, 1), (5, 2), (5, 3), (5, 5)],
        "nobody waits for others"
    );
    // Room for one, then for all.
    bench.out.room.insert(ME, 1);
    bench.window();
    let mut got = bench.numbers(ME);
    bench.out.room.remove(&ME);
    bench.window();
    got.extend(bench.numbers(ME));
    let of = |id: ValueId| got.iter().filter(move |one| one.0 == id.0);
    assert_eq!(of(RSI).collect::<Vec<_>>(), [&(5, 3), &(5, 5)]);
    assert_eq!(of(SMA).collect::<Vec<_>>(), [&(6, 1)]);
    assert_eq!(bench.hub.held().values_behind, 0);
    bench.window();
    assert_eq!(bench.numbers(ME), []);
}

#[test]
fn no_value_waits_for_one_that_changes_more_often() {
    let mut bench = bench();
    let ids: Vec<ValueId> = (0..8).map(ValueId).collect();
    bench.values(ME, 1, &ids);
    bench.out.room.insert(ME, 1);
    let mut last: HashMap<u64, u64> = HashMap::new();
    for round in 0..80 {
        for id in &ids {
            bench.set(*id, round, false);
        }
        bench.window();
        for (id, _) in bench.numbers(ME) {
            let before = last.insert(id, round);
            assert!(before.is_none_or(|before| round - before <= 8), "{id}");
        }
    }
    assert_eq!(last.len(), ids.len());
}

#[test]
fn a_new_urgent_one_takes_the_place_of_the_one_that_waits() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI]);
    bench.out.room.insert(ME, 0);
    bench.set(RSI, 1, true);
    bench.set(RSI, 2, true);
    bench.out.room.remove(&ME);
    bench.set(RSI, 3, true);
    assert_eq!(bench.numbers(ME), [(5, 3)]);
    bench.window();
    assert_eq!(bench.numbers(ME), []);
}

#[test]
fn a_value_that_is_removed_is_not_kept_and_may_come_back() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI]);
    bench.out.room.insert(ME, 0);
    bench.set(RSI, 1, true);
    bench.set(RSI, 2, false);
    bench.hub.remove_value(RSI);
    bench.hub.remove_value(SMA);
    bench.out.room.remove(&ME);
    bench.window();
    assert_eq!(bench.numbers(ME), []);
    assert_eq!(bench.hub.held().value_bytes, 0);
    bench.values(YOU, 1, &[RSI]);
    assert_eq!(bench.numbers(YOU), []);
    bench.set(RSI, 3, true);
    assert_eq!(bench.numbers(ME), [(5, 3)]);
    assert_eq!(bench.numbers(YOU), [(5, 3)]);
}

#[test]
fn a_subscription_ends_with_its_last_value() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI, SMA]);
    bench.values(ME, 2, &[RSI]);
    let other = ValueId(99);
    assert!(bench.hub.drop_values(ME, SubId(1), &[RSI, RSI, other]));
    bench.set(RSI, 1, true);
    assert_eq!(bench.numbers(ME), [(5, 1)], "by the other subscription");
    assert!(!bench.hub.drop_values(ME, SubId(2), &[RSI]));
    bench.set(RSI, 2, true);
    bench.set(SMA, 1, true);
    assert_eq!(bench.numbers(ME), [(6, 1)]);
    assert_eq!(bench.hub.subscriptions_of(ME), 1);
    assert!(!bench.hub.unsubscribe(ME, SubId(2)));
    assert!(bench.hub.unsubscribe(ME, SubId(1)));
    // Ticks and strangers have no values.
    bench.ticks(ME, 3, &[1], Mode::Ticker);
    assert!(!bench.hub.drop_values(ME, SubId(3), &[RSI]));
    assert!(!bench.hub.drop_values(ClientId(77), SubId(3), &[RSI]));
    assert_eq!(bench.hub.stats().subscriptions, 1);
}

#[test]
fn a_client_that_went_is_forgotten_with_its_values() {
    let mut bench = bench();
    bench.values(ME, 1, &[RSI, SMA]);
    bench.values(YOU, 1, &[RSI]);
    bench.out.gone.push(ME);
    bench.set(RSI, 1, true);
    assert_eq!(bench.hub.stats().clients, 1);
    assert_eq!(bench.numbers(YOU), [(5, 1)]);
    assert_eq!(bench.hub.held().values, 1, "nobody wants the other one");
}

#[test]
fn nothing_is_left_of_values() {
    let mut bench = bench();
    for round in 0..1_000 {
        let id = ValueId(round);
        bench.values(ME, 1, &[id, ValueId(round + 1)]);
        bench.set(id, 1, round % 2 == 0);
        bench.set(id, 2, false);
        if round % 3 == 0 {
            bench.window();
        }
        bench.hub.remove_value(id);
    }
    bench.hub.unsubscribe(ME, SUB);
    assert_eq!(bench.hub.held(), Held::default());
    assert!(bench.hub.values.due.is_empty());
    // A value that nobody hears is one message.
    bench.set(RSI, 1, true);
    bench.set(RSI, 2, true);
    let held = bench.hub.held();
    assert_eq!((held.values, held.value_bytes), (1, 22));
    bench.hub.remove_value(RSI);
    assert_eq!(bench.hub.held(), Held::default());
}
