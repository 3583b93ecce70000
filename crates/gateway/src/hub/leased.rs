//! Which subscriptions of streaming clients hold indicators, and for whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strikewire_fanout::{ClientId, SubId, ValueId};
use strikewire_leases::{LeaseKey, Subscriber};

/// The subscriptions of indicators of all clients.
///
/// A client may hold a key for the same subscriber by several subscriptions; it is let go
/// with the last of them.
#[derive(Debug, Default)]
pub(super) struct Leased {
    clients: HashMap<ClientId, Client>,
}

#[derive(Debug)]
struct Client {
    socket: Arc<str>,
    subs: BTreeMap<SubId, Held>,
}

/// What one subscription of indicators holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// For whom.
    pub(crate) who: Subscriber,
    /// Each key once, with the number of its value.
    pub(crate) keys: Vec<(LeaseKey, ValueId)>,
}

/// What a subscription lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) client: ClientId,
    pub(super) sub: SubId,
    pub(super) keys: Vec<LeaseKey>,
    pub(super) values: Vec<ValueId>,
}

impl Leased {
    pub(super) fn insert(
        &mut self,
        client: ClientId,
        socket: &Arc<str>,
        sub: SubId,
        mut held: Held,
    ) {
        held.keys.sort_unstable();
        held.keys.dedup_by(|a, b| a.0 == b.0);
        let client = self.clients.entry(client).or_insert_with(|| Client {
            socket: Arc::clone(socket),
            subs: BTreeMap::new(),
        });
        client.subs.insert(sub, held);
    }

    pub(super) fn remove_client(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// Ends a subscription; what only it held, none if it holds no indicators.
    pub(super) fn remove(&mut self, client: ClientId, sub: SubId) -> Option<Held> {
        let of_client = self.clients.get_mut(&client)?;
        let mut held = of_client.subs.remove(&sub)?;
        for other in of_client.subs.values().filter(|it| it.who == held.who) {
            held.keys.retain(|key| !other.holds(&key.0));
        }
        if of_client.subs.is_empty() {
            self.clients.remove(&client);
        }
        Some(held)
    }

    /// For whom a client holds anything, each once.
    pub(super) fn subscribers(&self, client: ClientId) -> Vec<Subscriber> {
        let subs = self.clients.get(&client).map(|client| &client.subs);
        let mut all: Vec<Subscriber> = Vec::new();
        for held in subs.into_iter().flat_map(BTreeMap::values) {
            if !all.contains(&held.who) {
                all.push(held.who.clone());
            }
        }
        all
    }

    /// Takes keys of a subscriber out of a socket's subscriptions; those end that have
    /// nothing left.
    pub(super) fn release(
        &mut self,
        socket: &str,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Vec<Lost> {
        let mut lost = Vec::new();
        let Some(client) = client_of(socket) else {
            return lost;
        };
        let of_client = self.clients.get_mut(&client);
        let Some(of_client) = of_client.filter(|it| &*it.socket == socket) else {
            return lost;
        };
        of_client.subs.retain(|sub, held| {
            if held.who != *who {
                return true;
            }
            let (gone, kept) = held.keys.drain(..).partition(|it| keys.contains(&it.0));
            held.keys = kept;
            let gone: Vec<(LeaseKey, ValueId)> = gone;
            if !gone.is_empty() {
                let (keys, values) = gone.into_iter().unzip();
                lost.push(Lost {
                    client,
                    sub: *sub,
                    keys,
                    values,
                });
            }
            !held.keys.is_empty()
        });
        if of_client.subs.is_empty() {
            self.clients.remove(&client);
        }
        lost
    }
}

impl Held {
    fn holds(&self, key: &LeaseKey) -> bool {
        self.keys.binary_search_by(|it| it.0.cmp(key)).is_ok()
    }
}

/// What a client's socket is called in leases: a name that no other socket ever has, on this
/// node or another one, in this run or another one.
pub(crate) fn socket_name(run: u64, client: ClientId) -> Arc<str> {
    format!("{run:016x}-{}", client.0).into()
}

fn client_of(socket: &str) -> Option<ClientId> {
    let (_, number) = socket.rsplit_once('-')?;
    Some(ClientId(number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ClientId = ClientId(7);

    fn key(number: u64) -> (LeaseKey, ValueId) {
        let indicator = format!("RSI_{number}");
        (LeaseKey::new("NIFTY", "5min", &indicator), ValueId(number))
    }

    fn held(session: &str, numbers: &[u64]) -> Held {
        let keys = numbers.iter().copied().map(key).collect();
        let who = Subscriber::new(1, session).unwrap();
        Held { who, keys }
    }

    fn keys(numbers: &[u64]) -> Vec<LeaseKey> {
        numbers.iter().map(|number| key(*number).0).collect()
    }

    #[test]
    fn a_key_is_let_go_with_the_last_subscription_that_holds_it() {
        let socket = socket_name(1, ME);
        let mut leased = Leased::default();
        leased.insert(ME, &socket, SubId(1), held("a", &[2, 3, 3]));
        leased.insert(ME, &socket, SubId(2), held("a", &[3, 4]));
        leased.insert(ME, &socket, SubId(3), held("b", &[2]));
        let all = [held("a", &[]).who, held("b", &[]).who];
        assert_eq!(leased.subscribers(ME), all);
        assert_eq!(leased.subscribers(ClientId(8)), []);
        assert_eq!(leased.remove(ME, SubId(1)), Some(held("a", &[2])));
        assert_eq!(leased.remove(ME, SubId(1)), None);
        assert_eq!(leased.remove(ME, SubId(2)), Some(held("a", &[3, 4])));
        assert_eq!(leased.remove(ME, SubId(3)), Some(held("b", &[2])));
        assert!(leased.clients.is_empty());
    }

    #[test]
    fn what_others_let_go_of_leaves_every_subscription_of_that_socket_and_subscriber() {
        let socket = socket_name(1, ME);
        let mut leased = Leased::default();
        leased.insert(ME, &socket, SubId(1), held("a", &[2, 3]));
        leased.insert(ME, &socket, SubId(2), held("a", &[3]));
        leased.insert(ME, &socket, SubId(3), held("b", &[3]));
        let who = Subscriber::new(1, "a").unwrap();
        // Another node's, another run's, none.
        let others = [socket_name(2, ME), socket_name(1, ClientId(8)), "x".into()];
        for other in others {
            assert_eq!(leased.release(&other, &who, &keys(&[3])), []);
        }
        let lost = leased.release(&socket, &who, &keys(&[3, 9]));
        let of = |sub| Lost {
            client: ME,
            sub: SubId(sub),
            keys: keys(&[3]),
            values: vec![ValueId(3)],
        };
        assert_eq!(lost, [of(1), of(2)]);
        assert_eq!(leased.remove(ME, SubId(1)), Some(held("a", &[2])));
        assert_eq!(leased.remove(ME, SubId(2)), None);
        let who = Subscriber::new(1, "b").unwrap();
        assert_eq!(leased.release(&socket, &who, &keys(&[3])), [of(3)]);
        assert!(leased.clients.is_empty());
    }

    #[test]
    fn a_client_that_goes_leaves_nothing() {
        let mut leased = Leased::default();
        leased.insert(ME, &socket_name(1, ME), SubId(1), held("a", &[2]));
        leased.remove_client(ME);
        assert!(leased.clients.is_empty());
    }

    #[test]
    fn a_socket_has_a_short_name_of_its_own() {
        let longest = socket_name(u64::MAX, ClientId(u64::MAX));
        assert_eq!(longest.len(), 37);
        assert_eq!(client_of(&longest), Some(ClientId(u64::MAX)));
        assert_ne!(socket_name(1, ME), socket_name(2, ME));
    }
}
