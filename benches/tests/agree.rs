//! That what is compared does the same thing.

use serde_json::Value;
use strikewire_benches::baseline;
use strikewire_benches::baseline::json::{Snapshot, Tick, TypedTick};
use strikewire_benches::chains;
use strikewire_benches::master::{Master, even_and_uneven};
use strikewire_benches::wires::{CHAIN, Wired, chain};
use strikewire_chain::{Width, Window, at_the_money};
use strikewire_fanout::{ChainId, Class, ClientId, Hub, Message, Outlet, Push, SubId, json};
use strikewire_subscriptions::Config;
use strikewire_types::{Mode, Mono, Price};

fn master() -> Master {
    Master::made_up(4_000).unwrap()
}

#[test]
fn every_loaded_instrument_is_a_row_of_the_baseline() {
    let master = master();
    let registry = master.registry().unwrap();
    let plain = baseline::registry::load(&master.csv).unwrap();
    for instrument in registry.instruments() {
        let key = instrument.key();
        let row = &plain.by_key[&(key.segment.code(), key.id.0)];
        let lot: f64 = row.lot.parse().unwrap_or(1.0);
        assert_eq!(f64::from(instrument.lot_size()), lot, "{row:?}");
    }
    let rows = baseline::registry::scan(&master.csv).unwrap();
    assert_eq!(rows, registry.report().rows);
    let ladders = baseline::registry::ladders(&registry);
    for ladder in registry.ladders() {
        let strikes = &ladders[&ladder.exchange()][ladder.symbol()][&ladder.expiry().date()];
        assert_eq!(strikes.len(), ladder.rungs().len());
    }
}

#[test]
fn windows_are_the_same_where_arithmetic_is_right() {
    let registry = master().registry().unwrap();
    let (even, uneven) = even_and_uneven(&registry);
    let rungs = even.rungs();
    let of = baseline::chain::Underlying {
        symbol: even.symbol().to_owned(),
        expiry: even.expiry().to_string(),
        step: rungs[1].strike.as_f64() - rungs[0].strike.as_f64(),
    };
    let tokens = baseline::chain::tokens(&registry);
    let width = 5;
    let mut compared = 0;
    for rung in &rungs[2..rungs.len() - 2] {
        let price = Price::from_raw(rung.strike.raw() + 100);
        let window = Window::new(even, price, Width::new(width).unwrap()).unwrap();
        let plain = baseline::chain::chain(&tokens, &of, price.as_f64(), width as usize);
        let legs: Vec<String> = window
            .legs()
            .map(|(leg, ..)| registry.instrument(leg).token())
            .collect();
        let plain_legs: Vec<&String> = plain.legs.iter().map(|(token, _)| token).collect();
        // Where a strike with one leg is at the money, they differ.
        if rung.is_complete() {
            assert_eq!(legs.iter().collect::<Vec<_>>(), plain_legs);
            compared += 1;
        }
    }
    assert!(compared > 0);
    for ladder in [even, uneven] {
        let (low, high) = (ladder.rungs()[0], ladder.rungs()[ladder.rungs().len() - 1]);
        for price in (low.strike.raw()..high.strike.raw()).step_by(12_500) {
            let price = Price::from_raw(price);
            assert_eq!(
                at_the_money(ladder.rungs(), price),
                baseline::chain::nearest(ladder.rungs(), price),
                "{price} on {ladder:?}"
            );
        }
    }
}

#[test]
fn both_books_hold_and_send_the_same() {
    let config = Config::default();
    let total = 20 * CHAIN;
    let mut wired = Wired::new(total).unwrap();
    let mut plain = baseline::book::Plain::new(config.connections, total, config.per_batch);
    let drain = |plain: &mut baseline::book::Plain| {
        let mut keys = 0;
        for conn in 0..config.connections {
            plain.drain(conn, |_, batch| keys += batch.len());
        }
        keys
    };
    wired.connect();
    let mut desired = 0;
    for nth in 0..50 {
        // Idle claims only, so that both evict by last use alone.
        wired.now.mono = wired.now.mono + config.in_use * 2;
        let request = chain(nth);
        assert_eq!(wired.admit(&request), CHAIN);
        assert!(plain.admit(request.owner, &request.legs));
        desired = (desired + CHAIN).min(total);
        if nth % 7 == 0 {
            assert_eq!(wired.release(request.owner), CHAIN);
            assert_eq!(plain.release(request.owner), CHAIN);
            desired -= CHAIN;
        }
        assert_eq!(wired.settle(), drain(&mut plain), "chain {nth}");
        assert_eq!(plain.desired(), desired);
        assert_eq!(plain.on_wire(), desired);
    }
    wired.disconnect();
    wired.connect();
    (0..config.connections).for_each(|conn| plain.reconnect(conn));
    assert_eq!(wired.settle(), desired);
    assert_eq!(drain(&mut plain), desired);
}

/// Takes what is sent.
#[derive(Default)]
struct Sent(Vec<Value>);

impl Outlet for Sent {
    fn push(&mut self, _client: ClientId, message: Message) -> Push {
        self.0.push(serde_json::from_str(message.as_str()).unwrap());
        Push::Taken
    }
}

#[test]
fn a_tick_says_the_same_on_both_sides() {
    for mode in [Mode::Quote, Mode::Full] {
        for number in [0, 1, 77, 99_999] {
            let quote = chains::quote(chains::some_key(), mode, number);
            let mut ours = Vec::new();
            json::write_quote(&mut ours, &quote, mode);
            let ours: Value = serde_json::from_slice(&ours).unwrap();
            let plain = serde_json::to_value(Tick::new(None, &quote)).unwrap();
            assert_eq!(ours, plain);
            if mode == Mode::Quote {
                let mut typed = serde_json::to_value(TypedTick::new("X", &quote)).unwrap();
                assert_eq!(
                    typed.as_object_mut().unwrap().remove("token"),
                    Some("X".into())
                );
                assert_eq!(ours, typed);
                assert_eq!(ours.as_object().unwrap().len() + 1, 14, "with its token");
            }
        }
    }
}

#[test]
fn a_snapshot_says_the_same_on_both_sides() {
    let registry = master().registry().unwrap();
    let mut chain = chains::Chain::new(&registry, 5, Mode::Full).unwrap();
    let (class, now) = (Class::from_ms(250).unwrap(), Mono::from_nanos(1));
    let mut hub = Hub::new(chain.table.clone(), 1);
    let mut sent = Sent::default();
    hub.set_chain(ChainId(1), chain.body.clone());
    for client in [1, 2] {
        // The second time a fifth has changed, and the rest is remembered.
        chain.write(3, 5);
        hub.flush(class, now, &mut sent);
        hub.add_client(ClientId(client));
        hub.subscribe_chain(
            ClientId(client),
            SubId(7),
            ChainId(1),
            Mode::Full,
            class,
            None,
        );
        hub.greet(ClientId(client), now, &mut sent);
        let ours = sent.0.pop().unwrap();
        assert_eq!(ours["type"], "snapshot");
        let quotes = chain.legs.iter().map(|(key, token)| {
            let quote = chain.table.quote(*key).unwrap();
            (&**token, Tick::new(None, &quote))
        });
        let plain = Snapshot {
            kind: "snapshot",
            channel: "chain",
            sub: 7,
            epoch: ours["epoch"].as_str().unwrap().into(),
            seq: ours["seq"].as_u64().unwrap(),
            chain: &chain.view,
            quotes: quotes.collect(),
        };
        assert_eq!(ours, serde_json::to_value(&plain).unwrap());
        assert_eq!(plain.quotes.len(), 10);
    }
}
