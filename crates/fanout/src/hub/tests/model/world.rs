//! What is true, kept plainly, and the queues of the clients.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use strikewire_quotes::{DepthLevel, Quote};

use super::super::*;
use super::view::{ChainView, Known, Seen, ValueView, View, count, merge};
use super::{CHAINS, CLIENTS, From, IDS, Op, SLOTS, SUBS, VALUES};
use crate::json::QuoteJson;
use crate::stats::Held;
use crate::value::ValueId;

/// Places in a client's queue.
const QUEUE: usize = 3;

/// Short queues that remember in which class's flush and when a message came.
#[derive(Default)]
pub(super) struct Short {
    class: Class,
    now: Mono,
    queues: BTreeMap<u64, VecDeque<(Class, Mono, Message)>>,
    pub(super) full: u32,
    pub(super) shared_ticks: u32,
    pub(super) shared_chains: u32,
}

impl Outlet for Short {
    fn push(&mut self, client: ClientId, message: Message) -> Push {
        let room = self.room(client);
        if room != Push::Taken {
            return room;
        }
        let text = message.bytes().as_ptr();
        let others = self.queues.iter().filter(|(other, _)| **other != client.0);
        let mut others = others.flat_map(|(_, queue)| queue);
        if others.any(|(_, _, other)| other.bytes().as_ptr() == text) {
            if message.as_str().starts_with("{\"type\":\"ticks\"") {
                self.shared_ticks += 1;
            } else if message.as_str().starts_with("{\"type\"") {
                self.shared_chains += 1;
            }
        }
        if let Some(queue) = self.queues.get_mut(&client.0) {
            queue.push_back((self.class, self.now, message));
        }
        Push::Taken
    }

    fn room(&mut self, client: ClientId) -> Push {
        match self.queues.get(&client.0) {
            None => Push::Gone,
            Some(queue) if queue.len() < QUEUE => Push::Taken,
            Some(_) => {
                self.full += 1;
                Push::Full
            }
        }
    }
}

#[derive(Clone)]
enum Want {
    Ticks(Vec<u32>, Mode, Class),
    Chain(u64, Mode, Class),
    Values(BTreeSet<u64>),
}

/// What was said of a value, by the numbers of the messages; 0 is none.
#[derive(Clone, Copy, Default)]
struct Said {
    latest: u64,
    latest_final: u64,
}

/// What is true, kept plainly.
pub(super) struct World<'a> {
    pub(super) hub: Hub,
    table: Arc<Table>,
    writer: Writer,
    pub(super) out: Short,
    views: BTreeMap<u64, View>,
    wants: BTreeMap<(u64, u64), Want>,
    /// What clients knew when they left, the latest last.
    left: BTreeMap<(u64, Class, Mode), Vec<Known>>,
    bodies: BTreeMap<u64, ChainBody>,
    removed: BTreeMap<u64, Mono>,
    values: [Said; VALUES as usize],
    last_number: u64,
    slots: BTreeMap<u32, u32>,
    /// By instrument in a slot that was written since it got it.
    quotes: BTreeMap<u32, Quote>,
    /// Instruments whose slot ever changed: nothing is said about what was known of them.
    moved: BTreeSet<u32>,
    clock: i64,
    seen: &'a Seen,
}

impl<'a> World<'a> {
    pub(super) fn new(seen: &'a Seen) -> Self {
        let (table, writer) = table(SLOTS as usize);
        let mut world = Self {
            hub: Hub::new(Arc::clone(&table), 3),
            table,
            writer,
            out: Short::default(),
            views: BTreeMap::new(),
            wants: BTreeMap::new(),
            left: BTreeMap::new(),
            bodies: BTreeMap::new(),
            removed: BTreeMap::new(),
            values: Default::default(),
            last_number: 0,
            slots: BTreeMap::new(),
            quotes: BTreeMap::new(),
            moved: BTreeSet::new(),
            clock: 0,
            seen,
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
        self.hub.flush(class, self.out.now, &mut self.out);
    }

    fn take(&mut self, client: u64, count: usize) {
        for _ in 0..count {
            let queue = self.out.queues.get_mut(&client);
            let Some((class, at, message)) = queue.and_then(VecDeque::pop_front) else {
                break;
            };
            let message = serde_json::from_slice(message.bytes()).unwrap();
            let view = self.views.get_mut(&client).unwrap();
            view.read(class, at, &message, self.seen);
        }
    }

    /// Flushes until nothing moves any more.
    pub(super) fn settle(&mut self) {
        for _ in 0..6 {
            for class in Class::ALL {
                self.flush(class);
                for client in 0..CLIENTS {
                    self.take(client, usize::MAX);
                }
            }
        }
    }

    /// A subscription ends; what is in the queue of it is taken first, so that its number
    /// is free for another. What it knew of a chain is kept for when it comes back.
    fn end(&mut self, client: u64, sub: u64) {
        self.take(client, usize::MAX);
        let view = self.views.get_mut(&client).unwrap().chains.remove(&sub);
        let want = self.wants.remove(&(client, sub));
        self.forget_values(client);
        if let (Some(view), Some(Want::Chain(chain, mode, class))) = (view, want) {
            let left = self.left.entry((chain, class, mode)).or_default();
            left.extend(view.known);
            left.drain(..left.len().saturating_sub(12));
        }
    }

    /// The values that a client has subscribed.
    fn values_of(&self, client: u64) -> BTreeSet<u64> {
        let of_it = self.wants.range((client, 0)..=(client, u64::MAX));
        let values = of_it.filter_map(|(_, want)| match want {
            Want::Values(ids) => Some(ids),
            Want::Ticks(..) | Want::Chain(..) => None,
        });
        values.flatten().copied().collect()
    }

    /// A client knows nothing of values that it has not subscribed any more.
    fn forget_values(&mut self, client: u64) {
        let wanted = self.values_of(client);
        let view = self.views.get_mut(&client).unwrap();
        view.values.retain(|id, _| wanted.contains(id));
    }

    fn subscribe_values(&mut self, client: u64, sub: u64, ids: &[u64]) {
        // What is in the queue of the earlier one is taken first.
        self.end(client, sub);
        let numbers: Vec<ValueId> = ids.iter().copied().map(ValueId).collect();
        self.hub
            .subscribe_values(ClientId(client), SubId(sub), &numbers);
        let ids: BTreeSet<u64> = ids.iter().copied().collect();
        let view = self.views.get_mut(&client).unwrap();
        for id in &ids {
            let known = view.values.entry(*id);
            known
                .and_modify(|known| known.again = true)
                .or_insert(ValueView::new(self.last_number));
        }
        self.wants.insert((client, sub), Want::Values(ids));
    }

    fn drop_values(&mut self, client: u64, sub: u64, ids: &[u64]) {
        self.take(client, usize::MAX);
        let numbers: Vec<ValueId> = ids.iter().copied().map(ValueId).collect();
        let stays = self.hub.drop_values(ClientId(client), SubId(sub), &numbers);
        let Some(Want::Values(wanted)) = self.wants.get_mut(&(client, sub)) else {
            assert!(!stays);
            return;
        };
        wanted.retain(|id| !ids.contains(id));
        assert_eq!(stays, !wanted.is_empty());
        if !stays {
            self.wants.remove(&(client, sub));
        }
        self.forget_values(client);
    }

    fn set_value(&mut self, id: u64, urgent: bool) {
        self.last_number += 1;
        let said = &mut self.values[id as usize];
        let message = json!({"value": id, "number": self.last_number, "final": urgent,
                             "final_before": said.latest_final});
        said.latest = self.last_number;
        if urgent {
            said.latest_final = self.last_number;
        }
        let before = self.hub.stats().conflated;
        let message = message.to_string().into();
        self.hub
            .set_value(ValueId(id), message, urgent, &mut self.out);
        if self.hub.stats().conflated > before {
            assert!(urgent);
            count(&self.seen.finals_late);
        }
    }

    fn remove_value(&mut self, id: u64) {
        self.hub.remove_value(ValueId(id));
        if self.values[id as usize].latest > 0 {
            count(&self.seen.values_removed);
        }
        self.values[id as usize] = Said::default();
    }

    /// What a client knows of a value that it has subscribed.
    fn check_value(&self, client: u64, id: u64) {
        let Said {
            latest,
            latest_final,
        } = self.values[id as usize];
        let view = &self.views[&client].values[&id];
        if latest > 0 {
            assert_eq!(view.latest, latest, "client {client}, value {id}");
        }
        if latest_final > view.begin {
            assert_eq!(
                view.latest_final, latest_final,
                "client {client}, value {id}"
            );
        }
    }

    /// What a client remembers, and what it says that it does.
    fn remembered(&self, key: (u64, Class, Mode), from: From) -> Option<(Known, Position)> {
        let (chain, class, mode) = key;
        let other = match mode {
            Mode::Ticker => Mode::Full,
            Mode::Quote | Mode::Full => Mode::Ticker,
        };
        let key = match from {
            From::OtherMode => (chain, class, other),
            _ => key,
        };
        let left = self.left.get(&key)?;
        let latest = left.iter().max_by_key(|known| known.at)?;
        let known = match from {
            From::Earlier => left.first()?,
            _ => latest,
        };
        let mut said = known.position.clone();
        match from {
            From::Future => said.seq += 1_000,
            From::OtherEpoch => said.epoch.replace_range(..1, "x"),
            From::Latest | From::Earlier | From::OtherMode => {}
        }
        Some((known.clone(), said))
    }

    fn subscribe_chain(
        &mut self,
        (client, sub): (u64, u64),
        (chain, class, mode): (u64, Class, Mode),
        from: Option<From>,
    ) {
        self.end(client, sub);
        let memory = from.and_then(|from| self.remembered((chain, class, mode), from));
        let resumed = self.hub.subscribe_chain(
            ClientId(client),
            SubId(sub),
            ChainId(chain),
            mode,
            class,
            memory.as_ref().map(|(_, said)| said),
        );
        let mut view = ChainView::default();
        if let (Some((known, _)), Some(from)) = (memory, from) {
            // What came after it is not older than the message itself.
            let age = self.out.now.since(known.at);
            match from {
                From::Latest | From::Earlier if age < Duration::from_secs(29) => {
                    assert!(resumed, "{from:?} of {age:?} ago");
                    count(&self.seen.back_in_time);
                }
                From::Latest | From::Earlier => {
                    if !resumed {
                        count(&self.seen.back_too_late);
                    }
                }
                From::Future | From::OtherEpoch | From::OtherMode => {
                    assert!(!resumed, "{from:?}");
                }
            }
            if resumed {
                count(&self.seen.resumed);
                view.known.push(known);
                view.resumed = true;
            } else {
                count(&self.seen.refused);
                view.refused = true;
            }
        } else {
            assert!(!resumed);
        }
        self.wants
            .insert((client, sub), Want::Chain(chain, mode, class));
        let views = self.views.get_mut(&client).unwrap();
        views.chains.insert(sub, view);
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
        self.clock += 1_000_000;
        let recv = Utc::from_nanos(self.clock);
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

    fn bind(&mut self, id: u32, slot: u32) {
        let former = self
            .slots
            .iter()
            .find(|(_, s)| **s == slot)
            .map(|(id, _)| *id);
        if former.is_some_and(|former| former != id) {
            count(&self.seen.stolen_slots);
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

    fn roll(&mut self, chain: u64, legs: &[u32], underlying: Option<u32>, fields: Value) {
        let body = body(fields, legs, underlying);
        self.hub.set_chain(ChainId(chain), body.clone());
        self.bodies.insert(chain, body);
        if let Some(at) = self.removed.remove(&chain)
            && self.out.now.since(at) < Duration::from_secs(29)
        {
            count(&self.seen.chains_back);
        }
    }

    fn remove_chain(&mut self, chain: u64) {
        let of_it = |want: &Want| matches!(want, Want::Chain(one, ..) if *one == chain);
        let ended: Vec<_> = self
            .wants
            .iter()
            .filter(|(_, want)| of_it(want))
            .map(|(id, _)| *id)
            .collect();
        for (client, sub) in ended {
            self.end(client, sub);
        }
        self.hub.remove_chain(ChainId(chain));
        self.bodies.remove(&chain);
        self.removed.insert(chain, self.out.now);
    }

    /// Greets a client, if it has ticks in no more than one class: the messages do not say.
    fn greet(&mut self, client: u64) {
        let of_it = self.wants.range((client, 0)..=(client, u64::MAX));
        let classes: BTreeSet<Class> = of_it
            .filter_map(|(_, want)| match want {
                Want::Ticks(_, _, class) => Some(*class),
                Want::Chain(..) | Want::Values(_) => None,
            })
            .collect();
        if classes.len() < 2 {
            self.out.class = classes.first().copied().unwrap_or_default();
            let before = self.hub.stats().messages;
            self.hub
                .greet(ClientId(client), self.out.now, &mut self.out);
            if self.hub.stats().messages > before {
                count(&self.seen.greeted);
            }
        }
    }

    pub(super) fn act(&mut self, op: Op) {
        match op {
            Op::Ticks {
                client,
                sub,
                ids,
                mode,
                class,
            } => {
                self.end(client, sub);
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
                from,
            } => self.subscribe_chain((client, sub), (chain, class, mode), from),
            Op::Values { client, sub, ids } => self.subscribe_values(client, sub, &ids),
            Op::DropValues { client, sub, ids } => self.drop_values(client, sub, &ids),
            Op::SetValue { id, urgent } => self.set_value(id, urgent),
            Op::RemoveValue { id } => self.remove_value(id),
            Op::Unsubscribe { client, sub } => {
                let had = self.wants.contains_key(&(client, sub));
                self.end(client, sub);
                self.wants.remove(&(client, sub));
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
                self.roll(chain, &legs, underlying, fields);
            }
            Op::RemoveChain { chain } => self.remove_chain(chain),
            Op::Write { id, field, value } => self.write(id, field, value),
            Op::Bind { id, slot } => self.bind(id, slot),
            Op::Unbind { id } => {
                self.unbind(id);
                self.hub.slots_changed(&[key(id)]);
            }
            Op::Flush { class } => self.flush(class),
            Op::Greet { client } => self.greet(client),
            Op::Take { client, count } => self.take(client, count),
            Op::Restart { client } => {
                for sub in 0..SUBS {
                    self.end(client, sub);
                    self.wants.remove(&(client, sub));
                }
                self.hub.remove_client(ClientId(client));
                self.enter(client);
            }
            Op::Wait { millis } => {
                // In steps, as the hub is called at least once a second.
                for _ in 0..millis.div_ceil(500) {
                    self.out.now = self.out.now + Duration::from_millis(500);
                    self.flush(Class::ALL[4]);
                }
            }
        }
    }

    fn quote(&self, id: u32, mode: Mode) -> Option<Value> {
        let quote = self.quotes.get(&id)?;
        Some(serde_json::to_value(QuoteJson(quote, mode)).unwrap())
    }

    pub(super) fn check(&self) {
        assert_eq!(self.hub.stats().subscriptions, self.wants.len() as u64);
        assert_eq!(self.hub.history_bytes, self.hub.held().history_bytes);
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
                Want::Chain(chain, mode, _) => {
                    self.check_chain(&self.views[client].chains[sub], *chain, *mode);
                }
                Want::Values(ids) => {
                    for id in ids {
                        self.check_value(*client, *id);
                    }
                }
            }
        }
        for client in 0..CLIENTS {
            let of_it = ticks.keys().filter(|(one, ..)| *one == client);
            assert_eq!(self.hub.instruments_of(ClientId(client)), of_it.count());
            let of_it = self.wants.keys().filter(|(one, _)| *one == client);
            assert_eq!(self.hub.subscriptions_of(ClientId(client)), of_it.count());
        }
        for ((client, class, id), mode) in ticks {
            // In a higher mode, if it watched in that before and nothing came since.
            let mut expected: Vec<Value> = Mode::ALL
                .into_iter()
                .filter(|one| *one >= mode)
                .filter_map(|mode| self.quote(id, mode))
                .collect();
            for item in &mut expected {
                item["token"] = json!(format!("T{id}"));
                item["instrument"] = json!(format!("NSE_FNO:{id}"));
            }
            if expected.is_empty() {
                continue;
            }
            let believed = self.views[&client].ticks.get(&(class, format!("T{id}")));
            let believed = believed.expect("it is known");
            assert!(
                expected.contains(believed),
                "client {client}: {believed} of {expected:?}"
            );
        }
    }

    fn check_chain(&self, view: &ChainView, chain: u64, mode: Mode) {
        let Some(body) = self.bodies.get(&chain) else {
            assert!(
                view.now().is_none() || view.resumed,
                "nothing is known of the chain"
            );
            return;
        };
        assert_eq!(view.missing_to, None);
        assert!(!view.refused);
        let state = &view.now().expect("a snapshot").state;
        let mut fields = Map::new();
        merge(&mut fields, &Value::Object(body.fields.clone()));
        let mut believed = state.chain.clone();
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
        let mut quotes = state.quotes.clone();
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

    /// Everybody goes, and later all chains: nothing may be left half a minute after.
    pub(super) fn forget(&mut self) {
        for client in 0..CLIENTS {
            self.hub.remove_client(ClientId(client));
        }
        let idle = self.hub.held();
        assert_eq!((idle.bundles, idle.instruments, idle.behind), (0, 0, 0));
        assert_eq!(idle.channels, idle.idle_channels);
        self.act(Op::Wait { millis: 31_000 });
        let bare = self.hub.held();
        assert_eq!(
            (bare.channels, bare.history_deltas, bare.history_bytes),
            (0, 0, 0)
        );
        assert_eq!(bare.chains, self.bodies.len());
        for chain in 0..CHAINS {
            self.hub.remove_chain(ChainId(chain));
        }
        for id in 0..VALUES {
            self.hub.remove_value(ValueId(id));
        }
        self.act(Op::Wait { millis: 31_000 });
        assert_eq!(self.hub.held(), Held::default());
        for slot in 0..SLOTS {
            assert_eq!(self.table.interest(Slot(slot)), Interest::NONE);
        }
    }
}
