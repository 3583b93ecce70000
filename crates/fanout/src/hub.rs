//! The machine that owns every stream subscription.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use strikewire_quotes::{CLASSES, Table};
use strikewire_types::{InstrumentKey, Mode, Mono};

use crate::bundle::{Bundles, Watch};
use crate::chain::{ChainBody, ChainId, Item};
use crate::channel::{Channel, Scratch};
use crate::class::Class;
use crate::history;
use crate::instruments::{Fragment, Instruments, MODES};
use crate::message::Message;
use crate::outlet::{ClientId, SubId};
use crate::slab::Slab;
use crate::stats::{Held, Stats};
use crate::value::Values;

mod chains;
mod flush;
mod post;
mod serve;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use serve::send;

type Indexes<K, V> = HashMap<K, V, FixedState>;

#[derive(Debug)]
struct Client {
    id: ClientId,
    subs: Indexes<SubId, Sub>,
    /// Its bundle in each class.
    bundles: [Option<u32>; CLASSES],
    /// Notices and gaps that found no room.
    letters: VecDeque<Message>,
    letter_bytes: usize,
    /// Whether it has subscribed values since it was greeted last.
    values_begin: bool,
}

#[derive(Debug)]
enum Sub {
    Ticks {
        class: Class,
        watches: Vec<Watch>,
    },
    Chain {
        channel: u32,
    },
    /// By their indexes, each once.
    Values(Vec<u32>),
}

#[derive(Debug)]
struct Chain {
    /// Random.
    epoch: String,
    body: Option<Arc<ChainBody>>,
    /// Since when there is none.
    gone_since: Option<Mono>,
    channels: Vec<u32>,
    /// The number each class and mode has reached, kept when its channel is not: a number
    /// means one state only.
    seqs: [[u64; MODES]; CLASSES],
}

/// What a flush has still to serve.
#[derive(Debug, Default)]
struct UnderWay {
    bundles: Vec<u32>,
    channels: Vec<u32>,
    values: Vec<u32>,
}

impl UnderWay {
    const fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.channels.is_empty() && self.values.is_empty()
    }
}

/// Every stream subscription, and what each has been sent.
///
/// Calls for a client that is not there, or not there any more, do nothing.
pub struct Hub {
    instruments: Instruments,
    clients: Slab<Client>,
    client_at: Indexes<ClientId, u32>,
    bundles: Bundles,
    chains: Indexes<ChainId, Chain>,
    channels: Slab<Channel>,
    values: Values,
    /// Channels to look at in the next flush, by class.
    due: [Vec<u32>; CLASSES],
    /// Clients with letters waiting.
    mail: Vec<u32>,
    /// What epochs are drawn from.
    random: u64,
    now: Mono,
    swept: Mono,
    /// Bytes of the deltas that all channels keep.
    history_bytes: usize,
    /// How many that may be.
    history_most: usize,
    stats: Stats,
    under_way: UnderWay,
    // Kept for their memory:
    changed: Vec<u32>,
    fragments: Vec<Fragment>,
    scratch: Scratch,
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
            bundles: Bundles::default(),
            chains: Indexes::default(),
            channels: Slab::default(),
            values: Values::default(),
            due: Default::default(),
            mail: Vec::new(),
            random: seed,
            now: Mono::default(),
            swept: Mono::default(),
            history_bytes: 0,
            history_most: history::BYTES,
            stats: Stats::default(),
            under_way: UnderWay::default(),
            changed: Vec::new(),
            fragments: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Figures since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is in memory now. Goes through all of it: for once a second or less.
    #[must_use]
    pub fn held(&self) -> Held {
        let mut held = Held {
            instruments: self.instruments.len(),
            chains: self.chains.len(),
            channels: self.channels.len(),
            ..Held::default()
        };
        for bundle in self.bundles.iter() {
            held.bundles += 1;
            let behind = bundle.members.iter().filter(|one| one.behind.is_some());
            held.behind += behind.count();
        }
        for (_, channel) in self.channels.iter() {
            held.idle_channels += usize::from(channel.idle_since.is_some());
            held.history_deltas += channel.history.len();
            held.history_bytes += channel.history.bytes();
        }
        for value in self.values.iter() {
            held.values += 1;
            held.value_bytes += value.bytes();
            held.values_behind += value.behind();
        }
        for (_, client) in self.clients.iter() {
            held.letters += client.letters.len();
            held.letter_bytes += client.letter_bytes;
        }
        held
    }

    /// Adds a client, which has no subscriptions yet.
    pub fn add_client(&mut self, client: ClientId) {
        if self.client_at.contains_key(&client) {
            return;
        }
        let index = self.clients.insert(Client {
            id: client,
            subs: Indexes::default(),
            bundles: Default::default(),
            letters: VecDeque::new(),
            letter_bytes: 0,
            values_begin: false,
        });
        self.client_at.insert(client, index);
        self.stats.clients += 1;
    }

    /// Removes a client and its subscriptions.
    pub fn remove_client(&mut self, client: ClientId) {
        let Some(at) = self.client_at.remove(&client) else {
            return;
        };
        let Some(client) = self.clients.remove(at) else {
            return;
        };
        self.stats.clients -= 1;
        self.stats.subscriptions -= client.subs.len() as u64;
        for class in Class::ALL {
            let from = client.bundles[class.index()];
            self.bundles
                .change(at, class, from, Vec::new(), &[], &mut self.instruments);
        }
        for (sub, subscription) in client.subs {
            match subscription {
                Sub::Chain { channel } => self.leave_channel(channel, at, sub),
                Sub::Values(values) => self.leave_values(&values, at),
                // With the bundles.
                Sub::Ticks { .. } => {}
            }
        }
        self.mail.retain(|one| *one != at);
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
        let mut watches: Vec<Watch> = items
            .iter()
            .map(|item| Watch {
                instrument: self.instruments.enter(item),
                mode,
            })
            .collect();
        watches.sort_unstable();
        watches.dedup();
        let begins: Vec<u32> = watches.iter().map(|watch| watch.instrument).collect();
        if let Some(client) = self.clients.get_mut(at) {
            client.subs.insert(sub, Sub::Ticks { class, watches });
            self.stats.subscriptions += 1;
        }
        self.change_bundle(at, class, &begins);
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
            Sub::Ticks { class, .. } => self.change_bundle(at, class, &[]),
            Sub::Chain { channel } => self.leave_channel(channel, at, sub),
            Sub::Values(values) => self.leave_values(&values, at),
        }
        true
    }

    /// How many subscriptions a client has.
    #[must_use]
    pub fn subscriptions_of(&self, client: ClientId) -> usize {
        let at = self.client_at.get(&client);
        let client = at.and_then(|at| self.clients.get(*at));
        client.map_or(0, |client| client.subs.len())
    }

    /// Puts a client into the bundle of everything it watches in a class. It is sent
    /// `begins`, which are sorted, from the beginning.
    fn change_bundle(&mut self, at: u32, class: Class, begins: &[u32]) {
        let Some(client) = self.clients.get_mut(at) else {
            return;
        };
        let mut all = Vec::new();
        for sub in client.subs.values() {
            match sub {
                Sub::Ticks {
                    class: other,
                    watches,
                } if *other == class => {
                    all.extend_from_slice(watches);
                }
                Sub::Ticks { .. } | Sub::Chain { .. } | Sub::Values(_) => {}
            }
        }
        // The highest mode of each stays.
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup_by_key(|watch| watch.instrument);
        all.reverse();
        let bundle = &mut client.bundles[class.index()];
        *bundle = self
            .bundles
            .change(at, class, *bundle, all, begins, &mut self.instruments);
    }

    /// Says that instruments got, lost or changed their slot in the quote table. What was
    /// sent of one that lost its slot stays as it is.
    pub fn slots_changed(&mut self, keys: &[InstrumentKey]) {
        for key in keys {
            self.instruments.slot_changed(*key);
        }
    }
}
