//! What each session holds.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::{Caller, SHARDS, shard_of};
use crate::{LeaseKey, Subscriber};

/// Keys by session and user.
#[derive(Debug, Default)]
pub(super) struct Sessions([Shard; SHARDS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<HashTable<Session>>);

#[derive(Debug)]
struct Session {
    hash: u64,
    id: Arc<str>,
    held: HashTable<Held>,
}

/// A key, by one user of the session.
#[derive(Debug)]
struct Held {
    user: u64,
    key: LeaseKey,
}

impl Held {
    fn hash(&self) -> u64 {
        hash(self.user, &self.key)
    }

    fn is(&self, user: u64, key: &LeaseKey) -> bool {
        self.user == user && self.key == *key
    }
}

/// Both are spread already, or differ in their lowest bits where they differ.
fn hash(user: u64, key: &LeaseKey) -> u64 {
    key.hash_of_name() ^ user
}

impl Sessions {
    fn shard(&self, hash: u64) -> &Mutex<HashTable<Session>> {
        &self.0[shard_of(hash)].0
    }

    pub(super) fn add(&self, caller: &Caller<'_>, key: &LeaseKey) {
        let (who, session) = (caller.who, caller.session);
        let mut shard = self.shard(session).lock();
        let found = |it: &Session| it.hash == session && it.id == who.session;
        let mut entry = shard
            .entry(session, found, |it| it.hash)
            .or_insert_with(|| Session {
                hash: session,
                id: Arc::clone(&who.session),
                held: HashTable::new(),
            });
        let held = &mut entry.get_mut().held;
        let same = |it: &Held| it.is(who.user, key);
        let entry = held.entry(hash(who.user, key), same, Held::hash);
        entry.or_insert_with(|| Held {
            user: who.user,
            key: key.clone(),
        });
    }

    pub(super) fn remove(&self, caller: &Caller<'_>, key: &LeaseKey) {
        let (who, session) = (caller.who, caller.session);
        let mut shard = self.shard(session).lock();
        let found = |it: &Session| it.hash == session && it.id == who.session;
        let Some(entry) = shard.find_mut(session, found) else {
            return;
        };
        let same = |it: &Held| it.is(who.user, key);
        if let Ok(lease) = entry.held.find_entry(hash(who.user, key), same) {
            lease.remove();
        }
    }

    /// Forgets sessions that hold nothing. Not where they let go of the last key: most take
    /// another soon.
    pub(super) fn tidy(&self) {
        for shard in &self.0 {
            shard.0.lock().retain(|session| !session.held.is_empty());
        }
    }

    /// What exactly this session holds, of one user or of all.
    pub(super) fn held(&self, session: &str, user: Option<u64>) -> Vec<(Subscriber, LeaseKey)> {
        let hash = super::hash_of(session);
        let shard = self.shard(hash).lock();
        let Some(found) = shard.find(hash, |it| it.hash == hash && &*it.id == session) else {
            return Vec::new();
        };
        let of = |user| Subscriber {
            user,
            session: Arc::clone(&found.id),
        };
        let those = found
            .held
            .iter()
            .filter(|it| user.is_none_or(|user| user == it.user));
        let mut those: Vec<_> = those.map(|it| (of(it.user), it.key.clone())).collect();
        those.sort_unstable();
        those
    }

    /// Distinct pairs of user and session.
    pub(super) fn subscribers(&self) -> u64 {
        let mut count = 0;
        for shard in &self.0 {
            for session in shard.0.lock().iter() {
                let users: std::collections::HashSet<u64, FixedState> =
                    session.held.iter().map(|it| it.user).collect();
                count += users.len() as u64;
            }
        }
        count
    }
}
