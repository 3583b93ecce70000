//! Random calls against a client that believes every message it is sent, and knows nothing
//! else; in the end it must believe what is true.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use strikewire_quotes::{DepthLevel, Quote};

use super::*;
use crate::json::QuoteJson;

const IDS: u32 = 10;
const SLOTS: u32 = 16;
const CLIENTS: u64 = 3;
const SUBS: u64 = 3;
const CHAINS: u64 = 2;

#[derive(Debug, Clone)]
enum Op {
    Ticks {
        client: u64,
        sub: u64,
        ids: Vec<u32>,
        mode: Mode,
        class: Class,
    },
    Chain {
        client: u64,
        sub: u64,
        chain: u64,
        mode: Mode,
        class: Class,
    },
    Unsubscribe {
        client: u64,
        sub: u64,
    },
    Roll {
        chain: u64,
        first: u32,
        len: u32,
        underlying: Option<u32>,
        field: u8,
    },
    RemoveChain {
        chain: u64,
    },
    Write {
        id: u32,
        field: u8,
        value: Option<u16>,
    },
    Bind {
        id: u32,
        slot: u32,
    },
    Unbind {
        id: u32,
    },
    Flush {
        class: Class,
    },
    /// Client takes messages from its queue.
    Take {
        client: u64,
        count: usize,
    },
    /// The client goes, and another comes under its number.
    Restart {
        client: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let mode = || prop::sample::select(Mode::ALL.as_slice());
    let class = || prop::sample::select(&Class::ALL[..2]);
    prop_oneof![
        2 => (0..CLIENTS, 0..SUBS, prop::collection::vec(0..IDS, 0..5), mode(), class())
            .prop_map(|(client, sub, ids, mode, class)| Op::Ticks { client, sub, ids, mode, class }),
        3 => (0..CLIENTS, 0..SUBS, 0..CHAINS, mode(), class())
            .prop_map(|(client, sub, chain, mode, class)| Op::Chain { client, sub, chain, mode, class }),
        1 => (0..CLIENTS, 0..SUBS).prop_map(|(client, sub)| Op::Unsubscribe { client, sub }),
        3 => (0..CHAINS, 0..IDS, 0..6_u32, prop::option::of(0..IDS), 0..4_u8)
            .prop_map(|(chain, first, len, underlying, field)| Op::Roll { chain, first, len, underlying, field }),
        1 => (0..CHAINS).prop_map(|chain| Op::RemoveChain { chain }),
        30 => (0..IDS, 0..4_u8, any::<Option<u16>>()).prop_map(|(id, field, value)| Op::Write { id, field, value }),
        2 => (0..IDS, 0..SLOTS).prop_map(|(id, slot)| Op::Bind { id, slot }),
        1 => (0..IDS).prop_map(|id| Op::Unbind { id }),
        15 => class().prop_map(|class| Op::Flush { class }),
        12 => (0..CLIENTS, 1..6_usize).prop_map(|(client, count)| Op::Take { client, count }),
        1 => (0..CLIENTS).prop_map(|client| Op::Restart { client }),
    ]
}

/// What a client believes of a chain it subscribed to.
#[derive(Default)]
struct ChainView {
    seq: Option<u64>,
    epoch: Value,
    /// The last number it was told it misses; a snapshot must follow.
    missing_to: Option<u64>,
    chain: Map<String, Value>,
    quotes: Map<String, Value>,
}

#[derive(Default)]
struct View {
    ticks: BTreeMap<(Class, String), Value>,
    chains: BTreeMap<u64, ChainView>,
}

fn merge(into: &mut Map<String, Value>, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}

impl View {
    fn read(&mut self, class: Class, message: &Value, seen: &Seen) {
        let kind = message["type"].as_str().unwrap();
        if kind == "ticks" {
            let items = message["items"].as_array().unwrap();
            let tokens: BTreeSet<_> = items
                .iter()
                .map(|item| item["token"].as_str().unwrap())
                .collect();
            assert_eq!(
                tokens.len(),
                items.len(),
                "an instrument twice in {message}"
            );
            for item in items {
                let token = item["token"].as_str().unwrap().to_owned();
                self.ticks.insert((class, token), item.clone());
            }
            return;
        }
        // A message of a subscription that ended while it was in the queue.
        let Some(view) = self.chains.get_mut(&message["sub"].as_u64().unwrap()) else {
            return;
        };
        let seq = message["seq"].as_u64();
        match kind {
            "snapshot" => {
                if let (Some(before), None) = (view.seq, view.missing_to) {
                    panic!("a snapshot out of nothing after {before}: {message}");
                }
                assert!(
                    view.missing_to.is_none_or(|to| seq >= Some(to)),
                    "{message}"
                );
                *view = ChainView {
                    seq,
                    epoch: message["epoch"].clone(),
                    missing_to: None,
                    chain: Map::new(),
                    quotes: message["quotes"].as_object().unwrap().clone(),
                };
                merge(&mut view.chain, &message["chain"]);
            }
            "delta" => {
                seen.deltas.set(seen.deltas.get() + 1);
                assert_eq!(
                    view.missing_to, None,
                    "a delta before the snapshot: {message}"
                );
                assert_eq!(seq, view.seq.map(|seq| seq + 1), "a silent gap: {message}");
                assert_eq!(message["epoch"], view.epoch);
                view.seq = seq;
                merge(&mut view.chain, &message["chain"]);
                let removed = message["remove"].as_array().unwrap();
                for token in removed {
                    view.quotes.remove(token.as_str().unwrap());
                }
                let set = message["set"].as_object().unwrap();
                if !removed.is_empty() && !set.is_empty() {
                    seen.rolls.set(seen.rolls.get() + 1);
                }
                for (token, changes) in set {
                    let quote = view
                        .quotes
                        .entry(token)
                        .or_insert_with(|| Map::new().into());
                    merge(quote.as_object_mut().unwrap(), changes);
                }
            }
            "lagged" => {
                seen.lagged.set(seen.lagged.get() + 1);
                let number = |name: &str| message[name].as_u64().unwrap();
                let last = view.missing_to.or(view.seq).unwrap();
                assert_eq!(number("from_seq"), last + 1, "{message}");
                assert_eq!(number("to_seq"), last + number("dropped"), "{message}");
                view.missing_to = Some(number("to_seq"));
            }
            other => panic!("{other}"),
        }
    }
}

/// How often the interesting things happened over all cases.
#[derive(Debug, Default)]
struct Seen {
    deltas: Cell<u32>,
    lagged: Cell<u32>,
    rolls: Cell<u32>,
    full: Cell<u32>,
    stolen_slots: Cell<u32>,
}

/// Short queues that remember which class's flush filled them.
#[derive(Default)]
struct Short {
    class: Class,
    queues: BTreeMap<u64, VecDeque<(Class, Value)>>,
    full: u32,
}

impl Outlet for Short {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        let Some(queue) = self.queues.get_mut(&client.0) else {
            return Push::Gone;
        };
        if queue.len() >= 3 {
            self.full += 1;
            return Push::Full;
        }
        queue.push_back((self.class, serde_json::from_str(&message).unwrap()));
        Push::Taken
    }
}

#[derive(Clone)]
enum Want {
    Ticks(Vec<u32>, Mode, Class),
    Chain(u64, Mode),
}

/// What is true, kept plainly.
struct World {
    hub: Hub,
    table: Arc<Table>,
    writer: Writer,
    out: Short,
    views: BTreeMap<u64, View>,
    wants: BTreeMap<(u64, u64), Want>,
    bodies: BTreeMap<u64, ChainBody>,
    slots: BTreeMap<u32, u32>,
    /// By instrument in a slot that was written since it got it.
    quotes: BTreeMap<u32, Quote>,
    /// Instruments whose slot ever changed: nothing is said about what was known of them.
    moved: BTreeSet<u32>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let (table, writer) = table(SLOTS as usize);
        let mut world = Self {
            hub: Hub::new(Arc::clone(&table), 3),
            table,
            writer,
            out: Short::default(),
            views: BTreeMap::new(),
            wants: BTreeMap::new(),
            bodies: BTreeMap::new(),
            slots: BTreeMap::new(),
            quotes: BTreeMap::new(),
            moved: BTreeSet::new(),
            now: 0,
        };
        for id in 0..IDS - 2 {
            world.table.bind(key(id), Slot(id), PriceStep::PAISA, CONN);
            world.slots.insert(id, id);
        }
        for client in 0..CLIENTS {
            world.enter(client);
        }
        world
    }

    fn enter(&mut self, client: u64) {
        self.hub.add_client(ClientId(client));
        self.out.queues.insert(client, VecDeque::new());
        self.views.insert(client, View::default());
    }

    fn flush(&mut self, class: Class) {
        self.out.class = class;
        self.hub.flush(class, &mut self.out);
    }

    fn take(&mut self, client: u64, count: usize, seen: &Seen) {
        for _ in 0..count {
            let next = self
                .out
                .queues
                .get_mut(&client)
                .and_then(VecDeque::pop_front);
            let Some((class, message)) = next else { break };
            self.views
                .get_mut(&client)
                .unwrap()
                .read(class, &message, seen);
        }
    }

    /// Flushes until nothing moves any more.
    fn settle(&mut self, seen: &Seen) {
        for _ in 0..6 {
            for class in Class::ALL {
                self.flush(class);
                for client in 0..CLIENTS {
                    self.take(client, usize::MAX, seen);
                }
            }
        }
    }

    /// A subscription ends; what is in the queue of it is taken first, so that its number
    /// is free for another.
    fn end(&mut self, client: u64, sub: u64, seen: &Seen) {
        self.take(client, usize::MAX, seen);
        self.views.get_mut(&client).unwrap().chains.remove(&sub);
        self.wants.remove(&(client, sub));
    }

    fn unbind(&mut self, id: u32) {
        self.table.unbind(key(id));
        self.slots.remove(&id);
        self.quotes.remove(&id);
        self.moved.insert(id);
    }

    fn write(&mut self, id: u32, field: u8, value: Option<u16>) {
        let Some(slot) = self.slots.get(&id) else {
            return;
        };
        self.now += 1_000_000;
        let recv = Utc::from_nanos(self.now);
        let price = value.map(|raw| Price::from_raw(i64::from(raw)));
        let level = DepthLevel {
            bid: price,
            ..DepthLevel::default()
        };
        self.writer
            .write(Slot(*slot), key(id), recv, |row| match field {
                0 => row.ltp(price),
                1 => row.volume(value.map(u32::from)),
                2 => row.depth(0, level),
                _ => row.oi_high(1),
            });
        let quote = self.quotes.entry(id).or_insert(Quote::new(key(id), recv));
        quote.recv = recv;
        match field {
            0 => quote.ltp = price,
            1 => quote.volume = value.map(u32::from),
            2 => {
                let mut depth = quote.depth.unwrap_or_default();
                depth[0] = level;
                quote.depth = Some(depth);
            }
            _ => quote.oi_high = Some(1),
        }
    }

    fn act(&mut self, op: Op, seen: &Seen) {
        match op {
            Op::Ticks {
                client,
                sub,
                ids,
                mode,
                class,
            } => {
                self.end(client, sub, seen);
                self.hub
                    .subscribe_ticks(ClientId(client), SubId(sub), &items(&ids), mode, class);
                self.wants
                    .insert((client, sub), Want::Ticks(ids, mode, class));
            }
            Op::Chain {
                client,
                sub,
                chain,
                mode,
                class,
            } => {
                self.end(client, sub, seen);
                self.hub
                    .subscribe_chain(ClientId(client), SubId(sub), ChainId(chain), mode, class);
                self.wants.insert((client, sub), Want::Chain(chain, mode));
                self.views
                    .get_mut(&client)
                    .unwrap()
                    .chains
                    .insert(sub, ChainView::default());
            }
            Op::Unsubscribe { client, sub } => {
                let had = self.wants.contains_key(&(client, sub));
                self.end(client, sub, seen);
                assert_eq!(self.hub.unsubscribe(ClientId(client), SubId(sub)), had);
            }
            Op::Roll {
                chain,
                first,
                len,
                underlying,
                field,
            } => {
                let legs: Vec<u32> = (first..first + len).map(|id| id % IDS).collect();
                let mut fields = json!({"atm": first, "live_ltp": 0.5, format!("f{field}"): 1});
                if field == 0 {
                    fields["atm"] = Value::Null;
                }
                let body = body(fields, &legs, underlying);
                self.hub.set_chain(ChainId(chain), body.clone());
                self.bodies.insert(chain, body);
            }
            Op::RemoveChain { chain } => {
                let of_it = |want: &Want| matches!(want, Want::Chain(one, _) if *one == chain);
                let ended: Vec<_> = self
                    .wants
                    .iter()
                    .filter(|(_, want)| of_it(want))
                    .map(|(id, _)| *id)
                    .collect();
                for (client, sub) in ended {
                    self.end(client, sub, seen);
                }
                self.hub.remove_chain(ChainId(chain));
                self.bodies.remove(&chain);
            }
            Op::Write { id, field, value } => self.write(id, field, value),
            Op::Bind { id, slot } => {
                let former = self
                    .slots
                    .iter()
                    .find(|(_, s)| **s == slot)
                    .map(|(id, _)| *id);
                if former.is_some_and(|former| former != id) {
                    seen.stolen_slots.set(seen.stolen_slots.get() + 1);
                }
                for id in former.into_iter().chain([id]) {
                    self.unbind(id);
                }
                self.table.bind(key(id), Slot(slot), PriceStep::PAISA, CONN);
                self.slots.insert(id, slot);
                let mut told = vec![key(id)];
                told.extend(former.map(key));
                self.hub.slots_changed(&told);
            }
            Op::Unbind { id } => {
                self.unbind(id);
                self.hub.slots_changed(&[key(id)]);
            }
            Op::Flush { class } => self.flush(class),
            Op::Take { client, count } => self.take(client, count, seen),
            Op::Restart { client } => {
                self.hub.remove_client(ClientId(client));
                self.wants.retain(|(one, _), _| *one != client);
                self.enter(client);
            }
        }
    }

    fn quote(&self, id: u32, mode: Mode) -> Option<Value> {
        let quote = self.quotes.get(&id)?;
        Some(serde_json::to_value(QuoteJson(quote, mode)).unwrap())
    }

    fn check(&self) {
        assert_eq!(self.hub.stats().subscriptions, self.wants.len() as u64);
        // In the highest mode of the client's subscriptions of the class.
        let mut ticks: BTreeMap<(u64, Class, u32), Mode> = BTreeMap::new();
        for ((client, sub), want) in &self.wants {
            match want {
                Want::Ticks(ids, mode, class) => {
                    for id in ids {
                        let entry = ticks.entry((*client, *class, *id)).or_insert(*mode);
                        *entry = (*mode).max(*entry);
                    }
                }
                Want::Chain(chain, mode) => {
                    self.check_chain(&self.views[client].chains[sub], *chain, *mode);
                }
            }
        }
        for ((client, class, id), mode) in ticks {
            let Some(mut expected) = self.quote(id, mode) else {
                continue;
            };
            expected["token"] = json!(format!("T{id}"));
            expected["instrument"] = json!(format!("NSE_FNO:{id}"));
            let believed = self.views[&client].ticks.get(&(class, format!("T{id}")));
            assert_eq!(believed, Some(&expected), "client {client}");
        }
    }

    fn check_chain(&self, view: &ChainView, chain: u64, mode: Mode) {
        let Some(body) = self.bodies.get(&chain) else {
            assert_eq!(view.seq, None, "nothing is known of the chain");
            return;
        };
        assert_eq!(view.missing_to, None);
        let mut fields = Map::new();
        merge(&mut fields, &Value::Object(body.fields.clone()));
        let mut believed = view.chain.clone();
        let underlying = body.underlying.as_ref().map(|item| item.key.id.0);
        let price = underlying.and_then(|id| self.quotes.get(&id)?.ltp);
        if let Some(price) = price {
            fields.insert("live_ltp".to_owned(), json!(price.as_f64()));
        } else if underlying.is_some() {
            // It may have had one.
            believed.remove("live_ltp");
            fields.remove("live_ltp");
        }
        assert_eq!(believed, fields);
        let mut quotes = view.quotes.clone();
        let mut expected = Map::new();
        for leg in &body.legs {
            let id = leg.key.id.0;
            match self.quote(id, mode) {
                Some(quote) => {
                    expected.insert(leg.token.to_string(), quote);
                }
                // What was known before it lost its slot may stay.
                None if self.moved.contains(&id) => {
                    quotes.remove(&*leg.token);
                }
                None => {}
            }
        }
        assert_eq!(quotes, expected);
    }
}

#[test]
fn a_client_that_believes_every_message_knows_what_is_true() {
    let seen = Seen::default();
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: 300,
            failure_persistence: None,
            ..Config::default()
        },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    );
    let result = runner.run(&prop::collection::vec(op(), 0..250), |ops| {
        let mut world = World::new();
        for op in ops {
            world.act(op, &seen);
        }
        world.settle(&seen);
        world.check();
        seen.full.set(seen.full.get() + world.out.full);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // A run that never met these would prove nothing.
    for (what, count) in [
        ("deltas", seen.deltas),
        ("lagged", seen.lagged),
        ("rolls", seen.rolls),
        ("full queues", seen.full),
        ("slots taken from another", seen.stolen_slots),
    ] {
        assert!(count.get() >= 100, "{what}: {}", count.get());
    }
}
