//! Who holds which indicator through this node.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use strikewire_fanout::ValueId;
use strikewire_leases::{LeaseKey, Subscriber};

use super::meters::{KeyMeters, Meters};
use super::{Compute, ComputeSpec};
use crate::Error;

/// The table of holders: (subscriber, key) to the sockets that hold it, and whether a
/// request does. A key is computed here exactly while it has a holder; whoever changes the
/// table tells the engine in the same breath, so that the engine's last word on a key is
/// the table's.
#[derive(Debug)]
pub(crate) struct Holders {
    limits: Limits,
    meters: Meters,
    by_who: HashMap<Subscriber, BTreeMap<LeaseKey, Hold>>,
    by_key: HashMap<LeaseKey, Keyed>,
    by_socket: HashMap<Arc<str>, HashSet<Subscriber>>,
    by_user: HashMap<u64, usize>,
    by_session: HashMap<Arc<str>, BTreeSet<u64>>,
}

/// How much may be held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Subscriptions of one user.
    pub(crate) per_user: usize,
    /// Different keys in all.
    pub(crate) keys: usize,
}

#[derive(Debug, Default)]
struct Hold {
    by_request: bool,
    sockets: BTreeSet<Arc<str>>,
    /// The last socket that took it, still there or not: the one that a shared record names,
    /// as far as this node goes.
    named: Option<Arc<str>>,
}

impl Hold {
    fn is_free(&self) -> bool {
        !self.by_request && self.sockets.is_empty()
    }
}

#[derive(Debug)]
struct Keyed {
    spec: ComputeSpec,
    /// What the hub calls its values.
    value: ValueId,
    who: HashSet<Subscriber>,
    /// Holds by sockets, of all subscribers.
    sockets: usize,
    meters: KeyMeters,
}

/// A lease that was taken away from a subscriber, and the sockets that held it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) key: LeaseKey,
    pub(crate) sockets: Vec<Arc<str>>,
}

impl Holders {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            meters: Meters::default(),
            by_who: HashMap::new(),
            by_key: HashMap::new(),
            by_socket: HashMap::new(),
            by_user: HashMap::new(),
            by_session: HashMap::new(),
        }
    }

    /// Has a subscriber hold some keys, through a socket or by request: all or none. What the
    /// hub calls the values of each.
    ///
    /// # Errors
    ///
    /// When the user, or the node, would have more than it may.
    pub(crate) fn hold(
        &mut self,
        who: &Subscriber,
        socket: Option<&Arc<str>>,
        specs: &[ComputeSpec],
        engine: &dyn Compute,
    ) -> Result<Vec<ValueId>, Error> {
        self.admit(who, specs)?;
        let values = specs
            .iter()
            .map(|spec| self.hold_one(who, socket, spec, engine));
        Ok(values.collect())
    }

    fn admit(&self, who: &Subscriber, specs: &[ComputeSpec]) -> Result<(), Error> {
        let distinct: BTreeSet<&LeaseKey> = specs.iter().map(|spec| &spec.key).collect();
        let count =
            |is_new: &dyn Fn(&LeaseKey) -> bool| distinct.iter().filter(|key| is_new(key)).count();
        let held = self.by_user.get(&who.user).copied().unwrap_or(0);
        let more = count(&|key| !self.holds(who, key));
        if more > 0 && held + more > self.limits.per_user {
            return Err(Error::TooManyIndicators {
                user: who.user,
                held,
                most: self.limits.per_user,
            });
        }
        let held = self.by_key.len();
        let more = count(&|key| !self.by_key.contains_key(key));
        if more > 0 && held + more > self.limits.keys {
            return Err(Error::TooManyKeys {
                held,
                most: self.limits.keys,
            });
        }
        Ok(())
    }

    fn hold_one(
        &mut self,
        who: &Subscriber,
        socket: Option<&Arc<str>>,
        spec: &ComputeSpec,
        engine: &dyn Compute,
    ) -> ValueId {
        let key = &spec.key;
        let keyed = self.by_key.entry(key.clone()).or_insert_with(|| Keyed {
            spec: spec.clone(),
            // Asked for before the key is wanted: whoever asks about a key that nobody wants
            // has the engine forget it again.
            value: engine.value_id(key),
            who: HashSet::new(),
            sockets: 0,
            meters: self.meters.of(key),
        });
        let is_new_key = keyed.who.is_empty();
        if keyed.who.insert(who.clone()) {
            keyed.meters.subscribed();
            *self.by_user.entry(who.user).or_default() += 1;
        }
        if !self.by_who.contains_key(who) {
            self.meters.subscribers(1.0);
            let users = self.by_session.entry(Arc::clone(&who.session)).or_default();
            users.insert(who.user);
        }
        let hold = self
            .by_who
            .entry(who.clone())
            .or_default()
            .entry(key.clone())
            .or_default();
        match socket {
            None => hold.by_request = true,
            Some(socket) => {
                hold.named = Some(Arc::clone(socket));
                if hold.sockets.insert(Arc::clone(socket)) {
                    keyed.sockets += 1;
                    self.by_socket
                        .entry(Arc::clone(socket))
                        .or_default()
                        .insert(who.clone());
                }
            }
        }
        let streamed = keyed.sockets > 0;
        // The number of an instrument is worth nothing two masters later.
        if spec.master > keyed.spec.master {
            let streamed = keyed.spec.streamed;
            keyed.spec = ComputeSpec {
                streamed,
                ..spec.clone()
            };
        }
        if is_new_key {
            self.meters.keys(1.0);
        }
        if is_new_key || streamed != keyed.spec.streamed {
            keyed.spec.streamed = streamed;
            engine.want(keyed.spec.clone());
        }
        keyed.value
    }

    /// A socket lets go of some of a subscriber's keys, or of all. The keys that the
    /// subscriber then holds no more, by the last socket that took them.
    pub(crate) fn let_go(
        &mut self,
        who: &Subscriber,
        socket: &str,
        keys: Option<&[LeaseKey]>,
        engine: &dyn Compute,
    ) -> BTreeMap<Arc<str>, Vec<LeaseKey>> {
        let mut free: BTreeMap<Arc<str>, Vec<LeaseKey>> = BTreeMap::new();
        let Some(held) = self.by_who.get_mut(who) else {
            return free;
        };
        let mut unstreamed = Vec::new();
        for (key, hold) in held.iter_mut() {
            if keys.is_some_and(|keys| !keys.contains(key)) || !hold.sockets.remove(socket) {
                continue;
            }
            unstreamed.push(key.clone());
            if hold.is_free() {
                let named = hold.named.take().unwrap_or_else(|| socket.into());
                free.entry(named).or_default().push(key.clone());
            }
        }
        let still = held.values().any(|hold| hold.sockets.contains(socket));
        if !still {
            self.forget_socket(who, socket);
        }
        for key in &unstreamed {
            self.unstream(key, 1, engine);
        }
        for key in free.values().flatten() {
            self.remove(who, key, engine);
        }
        free
    }

    /// Takes some keys of a subscriber away, or all, whoever holds them.
    pub(crate) fn take(
        &mut self,
        who: &Subscriber,
        keys: Option<&[LeaseKey]>,
        engine: &dyn Compute,
    ) -> Vec<Taken> {
        let keys: Vec<LeaseKey> = match keys {
            Some(keys) => keys.to_vec(),
            None => self.keys_of(who),
        };
        let mut taken = Vec::new();
        for key in keys {
            let Some(held) = self.by_who.get_mut(who) else {
                break;
            };
            let Some(hold) = held.get_mut(&key) else {
                continue;
            };
            let sockets: Vec<Arc<str>> = core::mem::take(&mut hold.sockets).into_iter().collect();
            for socket in &sockets {
                let held = self.by_who.get(who);
                let still = held
                    .is_some_and(|held| held.values().any(|hold| hold.sockets.contains(&**socket)));
                if !still {
                    self.forget_socket(who, socket);
                }
            }
            self.unstream(&key, sockets.len(), engine);
            self.remove(who, &key, engine);
            taken.push(Taken { key, sockets });
        }
        taken
    }

    fn forget_socket(&mut self, who: &Subscriber, socket: &str) {
        if let Some(subscribers) = self.by_socket.get_mut(socket) {
            subscribers.remove(who);
            if subscribers.is_empty() {
                self.by_socket.remove(socket);
            }
        }
    }

    fn forget_session(&mut self, who: &Subscriber) {
        if let Some(users) = self.by_session.get_mut(&who.session) {
            users.remove(&who.user);
            if users.is_empty() {
                self.by_session.remove(&who.session);
            }
        }
    }

    /// So many sockets less hold a key. Where the subscriber that held it goes too, the
    /// engine hears only that.
    fn unstream(&mut self, key: &LeaseKey, sockets: usize, engine: &dyn Compute) {
        let Some(keyed) = self.by_key.get_mut(key) else {
            return;
        };
        keyed.sockets = keyed.sockets.saturating_sub(sockets);
        if keyed.sockets == 0 && keyed.spec.streamed {
            keyed.spec.streamed = false;
            engine.want(keyed.spec.clone());
        }
    }

    fn remove(&mut self, who: &Subscriber, key: &LeaseKey, engine: &dyn Compute) {
        if let Some(held) = self.by_who.get_mut(who) {
            held.remove(key);
            if held.is_empty() {
                self.by_who.remove(who);
                self.meters.subscribers(-1.0);
                self.forget_session(who);
            }
        }
        let Some(keyed) = self.by_key.get_mut(key) else {
            return;
        };
        if !keyed.who.remove(who) {
            return;
        }
        keyed.meters.unsubscribed();
        if let Some(count) = self.by_user.get_mut(&who.user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&who.user);
            }
        }
        if keyed.who.is_empty() {
            self.by_key.remove(key);
            self.meters.keys(-1.0);
            engine.unwant(key);
        }
    }

    pub(crate) fn holds(&self, who: &Subscriber, key: &LeaseKey) -> bool {
        self.by_who
            .get(who)
            .is_some_and(|held| held.contains_key(key))
    }

    /// Whether a socket holds a key for a subscriber.
    pub(crate) fn holds_by(&self, who: &Subscriber, socket: &str, key: &LeaseKey) -> bool {
        self.by_who
            .get(who)
            .and_then(|held| held.get(key))
            .is_some_and(|hold| hold.sockets.contains(socket))
    }

    pub(crate) fn is_computed(&self, key: &LeaseKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// What is computed here, and how long its bars are.
    pub(crate) fn computed(&self) -> Vec<(LeaseKey, Duration)> {
        let keyed = self.by_key.iter();
        keyed
            .map(|(key, keyed)| (key.clone(), keyed.spec.timeframe.length()))
            .collect()
    }

    /// Everything that some subscribers hold.
    pub(crate) fn pairs(&self, of: impl Fn(&Subscriber) -> bool) -> Vec<(Subscriber, LeaseKey)> {
        let holders = self.by_who.iter().filter(|(who, _)| of(who));
        holders
            .flat_map(|(who, held)| held.keys().map(|key| (who.clone(), key.clone())))
            .collect()
    }

    pub(crate) fn keys_of(&self, who: &Subscriber) -> Vec<LeaseKey> {
        self.by_who
            .get(who)
            .map(|held| held.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The keys of a subscriber by the last socket that took them, if one did.
    pub(crate) fn by_websocket(
        &self,
        who: &Subscriber,
    ) -> BTreeMap<Option<Arc<str>>, Vec<LeaseKey>> {
        let mut groups: BTreeMap<Option<Arc<str>>, Vec<LeaseKey>> = BTreeMap::new();
        for (key, hold) in self.by_who.get(who).into_iter().flatten() {
            groups
                .entry(hold.named.clone())
                .or_default()
                .push(key.clone());
        }
        groups
    }

    /// What a socket holds.
    pub(crate) fn of_socket(&self, socket: &str) -> Vec<(Subscriber, Vec<LeaseKey>)> {
        let subscribers = self.by_socket.get(socket).into_iter().flatten();
        subscribers
            .map(|who| {
                let held = self.by_who.get(who).into_iter().flatten();
                let keys = held
                    .filter(|(_, hold)| hold.sockets.contains(socket))
                    .map(|(key, _)| key.clone())
                    .collect();
                (who.clone(), keys)
            })
            .collect()
    }

    /// The subscribers that a session is of.
    pub(crate) fn of_session(&self, session: &str) -> Vec<Subscriber> {
        let Some((session, users)) = self.by_session.get_key_value(session) else {
            return Vec::new();
        };
        let users = users.iter();
        users
            .map(|user| Subscriber {
                user: *user,
                session: Arc::clone(session),
            })
            .collect()
    }

    /// Who holds a key.
    pub(crate) fn of_key(&self, key: &LeaseKey) -> Vec<Subscriber> {
        let keyed = self.by_key.get(key);
        keyed
            .into_iter()
            .flat_map(|keyed| &keyed.who)
            .cloned()
            .collect()
    }

    pub(crate) fn has(&self, who: &Subscriber) -> bool {
        self.by_who.contains_key(who)
    }
}

#[cfg(test)]
impl Holders {
    /// Every (subscriber, key), and entries in all tables.
    pub(crate) fn all(&self) -> BTreeSet<(Subscriber, LeaseKey)> {
        let pairs = self.by_who.iter();
        pairs
            .flat_map(|(who, held)| held.keys().map(|key| (who.clone(), key.clone())))
            .collect()
    }

    pub(crate) fn entries(&self) -> usize {
        self.by_who.len()
            + self.by_key.len()
            + self.by_socket.len()
            + self.by_user.len()
            + self.by_session.len()
    }
}

#[cfg(test)]
mod tests;
