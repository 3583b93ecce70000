//! The machine that owns every stream subscription.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde_json::{Map, Value};
use strikewire_quotes::{CLASSES, Table};
use strikewire_types::{InstrumentKey, Mode, Utc};

use crate::channel::{Channel, Standing, Subscriber};
use crate::class::Class;
use crate::frames;
use crate::instruments::{Instruments, Want};
use crate::slab::Slab;

mod flush;
#[cfg(test)]
mod tests;

/// Notices and gaps that wait for a client's queue to have room; the oldest go first.
const LETTERS: usize = 64;

const MODES: usize = Mode::ALL.len();

/// A client, as whoever runs the hub numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A subscription of one client, as that client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(pub u64);

/// A chain, as whoever runs the hub numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(pub u64);

/// An instrument and what clients call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The instrument.
    pub key: InstrumentKey,
    /// Its token.
    pub token: Arc<str>,
}

/// What a chain is apart from its quotes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChainBody {
    /// The members of the chain's JSON. `live_ltp` is overwritten as soon as the underlying
    /// has a price in the quote table.
    pub fields: Map<String, Value>,
    /// The legs whose quotes are streamed.
    pub legs: Vec<Item>,
    /// The instrument whose last price is `live_ltp`.
    pub underlying: Option<Item>,
}

/// The text of one message.
pub type Message = String;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// It will be sent.
    Taken,
    /// The client's queue has no room; the message is dropped and the hub remembers.
    Full,
    /// The client is no more; so it is for the hub.
    Gone,
}

/// The bounded queues of the clients.
pub trait Outlet {
    /// Puts a message into the queue of a client, without waiting.
    fn push(&mut self, client: ClientId, message: Message) -> Push;
}

/// Figures of a hub, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Clients there are.
    pub clients: u64,
    /// Subscriptions there are.
    pub subscriptions: u64,
    /// Messages taken by queues.
    pub messages: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// Ticks put off because a queue was full; later ones replace them.
    pub conflated: u64,
    /// Deltas of chains that a client was not sent, and notices lost.
    pub dropped: u64,
}

type Indexes<K, V> = HashMap<K, V, FixedState>;

#[derive(Debug)]
struct Client {
    id: ClientId,
    subs: Indexes<SubId, Sub>,
    ticks: [Ticks; CLASSES],
    /// Notices and gaps that found no room.
    letters: VecDeque<Message>,
}

#[derive(Debug)]
enum Sub {
    Ticks {
        class: Class,
        mode: Mode,
        instruments: Vec<u32>,
    },
    Chain {
        channel: u32,
    },
}

/// A client's subscriptions of ticks in one class, taken together.
#[derive(Debug, Default)]
struct Ticks {
    /// How many of its subscriptions have the instrument, by mode.
    watched: Indexes<u32, [u32; MODES]>,
    /// Instruments to send. May repeat one and may have one that is not watched any more.
    pending: Vec<u32>,
    /// Whether `pending` has more than one flush's worth, so that it may repeat.
    held: bool,
}

#[derive(Debug)]
struct Chain {
    epoch: Arc<str>,
    body: Option<Arc<ChainBody>>,
    /// Channels with subscribers.
    channels: Vec<u32>,
    /// The number each class and mode has reached, kept while nobody listens: a number
    /// means one state only.
    seqs: [[u64; MODES]; CLASSES],
}

/// Every stream subscription, and what each has been sent.
///
/// Calls for a client that is not there, or not there any more, do nothing.
pub struct Hub {
    instruments: Instruments,
    clients: Slab<Client>,
    client_at: Indexes<ClientId, u32>,
    chains: Indexes<ChainId, Chain>,
    channels: Slab<Channel>,
    /// Clients with ticks to send, by class.
    active: [Vec<u32>; CLASSES],
    /// Channels to look at in the next flush, by class.
    due: [Vec<u32>; CLASSES],
    /// Clients with letters waiting.
    mail: Vec<u32>,
    /// What epochs are drawn from.
    random: u64,
    stats: Stats,
    changed: Vec<u32>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("stats", &self.stats)
            .field("chains", &self.chains.len())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub without clients that reads `table`. Epochs of chains are drawn from `seed`,
    /// which is to be another in every run.
    #[must_use]
    pub fn new(table: Arc<Table>, seed: u64) -> Self {
        Self {
            instruments: Instruments::new(table),
            clients: Slab::default(),
            client_at: Indexes::default(),
            chains: Indexes::default(),
            channels: Slab::default(),
            active: Default::default(),
            due: Default::default(),
            mail: Vec::new(),
            random: seed,
            stats: Stats::default(),
            changed: Vec::new(),
        }
    }

    /// Figures since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Adds a client, which has no subscriptions yet.
    pub fn add_client(&mut self, client: ClientId) {
        if self.client_at.contains_key(&client) {
            return;
        }
        let index = self.clients.insert(Client {
            id: client,
            subs: Indexes::default(),
            ticks: Default::default(),
            letters: VecDeque::new(),
        });
        self.client_at.insert(client, index);
        self.stats.clients += 1;
    }

    /// Removes a client and its subscriptions.
    pub fn remove_client(&mut self, client: ClientId) {
        let Some(index) = self.client_at.get(&client).copied() else {
            return;
        };
        let subs = self
            .clients
            .get(index)
            .into_iter()
            .flat_map(|client| client.subs.keys());
        let mut subs: Vec<SubId> = subs.copied().collect();
        subs.sort_unstable();
        for sub in subs {
            self.unsubscribe(client, sub);
        }
        self.client_at.remove(&client);
        self.clients.remove(index);
        self.stats.clients -= 1;
    }

    /// Streams the ticks of `items`, beginning with what is known of them, in the next
    /// flush of the class. A subscription of the same number is replaced.
    ///
    /// An instrument that several of a client's subscriptions of one class have is sent
    /// once, in the highest of their modes.
    pub fn subscribe_ticks(
        &mut self,
        client: ClientId,
        sub: SubId,
        items: &[Item],
        mode: Mode,
        class: Class,
    ) {
        self.unsubscribe(client, sub);
        let Some(at) = self.client_at.get(&client).copied() else {
            return;
        };
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let ticks = &mut client.ticks[class.index()];
        let mut instruments = Vec::with_capacity(items.len());
        for item in items {
            let index = self.instruments.enter(item);
            let counts = ticks.watched.entry(index).or_insert_with(|| {
                self.instruments.want(index, class, Want::Client(at));
                [0; MODES]
            });
            counts[mode as usize] += 1;
            instruments.push(index);
        }
        if ticks.pending.is_empty() && !instruments.is_empty() {
            self.active[class.index()].push(at);
        }
        ticks.pending.extend_from_slice(&instruments);
        ticks.held = true;
        client.subs.insert(
            sub,
            Sub::Ticks {
                class,
                mode,
                instruments,
            },
        );
        self.stats.subscriptions += 1;
    }

    /// Streams a chain: a snapshot in the next flush of the class that comes after the
    /// chain's first [`set_chain`](Self::set_chain), then deltas. A subscription of the same
    /// number is replaced.
    pub fn subscribe_chain(
        &mut self,
        client: ClientId,
        sub: SubId,
        chain: ChainId,
        mode: Mode,
        class: Class,
    ) {
        self.unsubscribe(client, sub);
        let Some(at) = self.client_at.get(&client).copied() else {
            return;
        };
        let channel = self.channel(chain, class, mode);
        if let Some(one) = self.channels.get_mut(channel) {
            one.subscribers.push(Subscriber {
                client: at,
                sub,
                standing: Standing::Waiting,
            });
        }
        self.make_due(channel);
        if let Some(client) = self.clients.get_mut(at) {
            client.subs.insert(sub, Sub::Chain { channel });
            self.stats.subscriptions += 1;
        }
    }

    /// Ends a subscription; false if there is none of that number.
    pub fn unsubscribe(&mut self, client: ClientId, sub: SubId) -> bool {
        let Some(at) = self.client_at.get(&client).copied() else {
            return false;
        };
        let Some(client) = self.clients.get_mut(at) else {
            return false;
        };
        let Some(removed) = client.subs.remove(&sub) else {
            return false;
        };
        self.stats.subscriptions -= 1;
        match removed {
            Sub::Ticks {
                class,
                mode,
                instruments,
            } => {
                let watched = &mut client.ticks[class.index()].watched;
                for index in instruments {
                    let Some(counts) = watched.get_mut(&index) else {
                        continue;
                    };
                    counts[mode as usize] -= 1;
                    if *counts == [0; MODES] {
                        watched.remove(&index);
                        self.instruments.leave(index, class, Want::Client(at));
                    }
                }
            }
            Sub::Chain { channel } => {
                if let Some(one) = self.channels.get_mut(channel) {
                    one.subscribers
                        .retain(|one| (one.client, one.sub) != (at, sub));
                }
                self.drop_if_unheard(channel);
            }
        }
        true
    }

    /// Says what a chain is, first and whenever it changes: a new calculation, a roll. What
    /// is said between two flushes of a class becomes one delta there.
    pub fn set_chain(&mut self, chain: ChainId, body: ChainBody) {
        let body = Arc::new(body);
        let known = self.chain(chain);
        known.body = Some(Arc::clone(&body));
        for channel in known.channels.clone() {
            if let Some(one) = self.channels.get_mut(channel) {
                one.set_body(Arc::clone(&body));
            }
            self.make_due(channel);
        }
    }

    /// Forgets a chain, and ends the subscriptions of it.
    pub fn remove_chain(&mut self, chain: ChainId) {
        let Some(removed) = self.chains.remove(&chain) else {
            return;
        };
        for index in removed.channels {
            let Some(channel) = self.channels.remove(index) else {
                continue;
            };
            channel.release(index, &mut self.instruments);
            self.due[channel.class.index()].retain(|due| *due != index);
            for subscriber in channel.subscribers {
                if let Some(client) = self.clients.get_mut(subscriber.client) {
                    client.subs.remove(&subscriber.sub);
                    self.stats.subscriptions -= 1;
                }
            }
        }
    }

    /// Says that instruments got, lost or changed their slot in the quote table. What was
    /// sent of one that lost its slot stays as it is.
    pub fn slots_changed(&mut self, keys: &[InstrumentKey]) {
        for key in keys {
            self.instruments.slot_changed(*key);
        }
    }

    /// Tells one client something, of a subscription or at large.
    pub fn notice(
        &mut self,
        client: ClientId,
        sub: Option<SubId>,
        code: &str,
        detail: &str,
        outlet: &mut impl Outlet,
    ) {
        if let Some(at) = self.client_at.get(&client).copied() {
            self.post(at, frames::notice(code, sub, detail), outlet);
        }
    }

    /// Tells every client something.
    pub fn announce(&mut self, code: &str, detail: &str, outlet: &mut impl Outlet) {
        let message = frames::notice(code, None, detail);
        for at in self.clients.indexes() {
            self.post(at, message.clone(), outlet);
        }
    }

    /// Tells every client which of its instruments may have missed ticks between `from` and
    /// `to`, and why.
    pub fn gap(
        &mut self,
        keys: &[InstrumentKey],
        from: Utc,
        to: Utc,
        cause: &str,
        outlet: &mut impl Outlet,
    ) {
        let mut missed: Vec<(InstrumentKey, u32)> = keys
            .iter()
            .filter_map(|key| Some((*key, self.instruments.find(*key)?)))
            .collect();
        missed.sort_unstable();
        missed.dedup();
        for at in self.clients.indexes() {
            let concerned = self.instruments_of(at);
            let mut keys = missed
                .iter()
                .filter(|(_, index)| concerned.contains(index))
                .map(|(key, _)| *key)
                .peekable();
            if keys.peek().is_some() {
                let message = frames::gap(keys, from, to, cause);
                self.post(at, message, outlet);
            }
        }
    }

    /// Every instrument of which a client is sent something.
    fn instruments_of(&self, client: u32) -> hashbrown::HashSet<u32, FixedState> {
        let mut all = hashbrown::HashSet::with_hasher(FixedState::default());
        for sub in self
            .clients
            .get(client)
            .iter()
            .flat_map(|client| client.subs.values())
        {
            match sub {
                Sub::Ticks { instruments, .. } => all.extend(instruments),
                Sub::Chain { channel } => {
                    all.extend(
                        self.channels
                            .get(*channel)
                            .iter()
                            .flat_map(|one| one.instruments()),
                    );
                }
            }
        }
        all
    }

    fn chain(&mut self, chain: ChainId) -> &mut Chain {
        let random = &mut self.random;
        self.chains.entry(chain).or_insert_with(|| Chain {
            epoch: format!("{:016x}", draw(random)).into(),
            body: None,
            channels: Vec::new(),
            seqs: Default::default(),
        })
    }

    /// The channel of the chain for a class and mode, made if there is none.
    fn channel(&mut self, id: ChainId, class: Class, mode: Mode) -> u32 {
        let chain = self.chain(id);
        let found = chain.channels.clone().into_iter().find(|index| {
            self.channels
                .get(*index)
                .is_some_and(|channel| (channel.class, channel.mode) == (class, mode))
        });
        if let Some(found) = found {
            return found;
        }
        let chain = self.chain(id);
        let channel = Channel::new(
            id,
            class,
            mode,
            Arc::clone(&chain.epoch),
            chain.seqs[class.index()][mode as usize],
            chain.body.clone(),
        );
        let index = self.channels.insert(channel);
        self.chain(id).channels.push(index);
        index
    }

    /// Ends a channel that nobody is subscribed to.
    fn drop_if_unheard(&mut self, index: u32) {
        let heard = self
            .channels
            .get(index)
            .is_none_or(|channel| !channel.subscribers.is_empty());
        if heard {
            return;
        }
        let Some(channel) = self.channels.remove(index) else {
            return;
        };
        channel.release(index, &mut self.instruments);
        self.due[channel.class.index()].retain(|due| *due != index);
        if let Some(chain) = self.chains.get_mut(&channel.chain) {
            chain.seqs[channel.class.index()][channel.mode as usize] = channel.seq;
            chain.channels.retain(|one| *one != index);
            if chain.channels.is_empty() && chain.body.is_none() {
                self.chains.remove(&channel.chain);
            }
        }
    }

    fn make_due(&mut self, index: u32) {
        if let Some(channel) = self.channels.get_mut(index)
            && !std::mem::replace(&mut channel.due, true)
        {
            self.due[channel.class.index()].push(index);
        }
    }
}

/// The next number of a splitmix64 sequence.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
