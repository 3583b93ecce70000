//! The keys that are known, to be found by a key.

use std::collections::HashMap;

use strikewire_gateway::store::{KeyHash, KeyRecord, Role};

use crate::Caller;

/// The longest text that is looked up; keys are much shorter.
const KEY_LIMIT: usize = 256;

/// Keys that are taken, by the first bits of their hashes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyRing {
    /// More than one key in a bucket is as good as impossible, and does no harm.
    buckets: HashMap<u64, Vec<Key>>,
    /// The bucket of a key's number.
    ids: HashMap<u64, u64>,
    on: bool,
}

/// What is known of a key that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    id: u64,
    hash: KeyHash,
    user: u64,
    role: Role,
}

impl Key {
    pub(super) const fn caller(&self) -> Caller {
        Caller {
            user: Some(self.user),
            role: self.role,
            key: Some(self.id),
        }
    }
}

impl KeyRing {
    /// Of all keys there ever were. `was_on`: there was one before, whatever there is now.
    pub(super) fn new(records: Vec<KeyRecord>, was_on: bool) -> Self {
        let mut ring = Self {
            on: was_on || !records.is_empty(),
            ..Self::default()
        };
        for record in records {
            if record.revoked_at.is_none() {
                let bucket = record.hash.bucket();
                ring.ids.insert(record.id, bucket);
                ring.buckets.entry(bucket).or_default().push(Key {
                    id: record.id,
                    hash: record.hash,
                    user: record.user,
                    role: record.role,
                });
            }
        }
        ring
    }

    pub(super) const fn on(&self) -> bool {
        self.on
    }

    pub(super) fn active(&self) -> usize {
        self.ids.len()
    }

    /// The bucket is found by a hash, which tells nothing of the keys there are; within it
    /// hashes are compared in constant time.
    pub(super) fn find(&self, key: &str) -> Option<&Key> {
        if key.len() > KEY_LIMIT {
            return None;
        }
        let hash = KeyHash::of(key);
        let bucket = self.buckets.get(&hash.bucket())?;
        bucket.iter().find(|key| key.hash == hash)
    }

    pub(super) fn by_id(&self, id: u64) -> Option<&Key> {
        let bucket = self.buckets.get(self.ids.get(&id)?)?;
        bucket.iter().find(|key| key.id == id)
    }
}
