use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use strikewire_broker::Snapshot;
use strikewire_types::{InstrumentKey, Now};

/// Answers that are kept at a time.
const CAPACITY: usize = 4096;

/// Answers that somebody waited for, for as long as their prices can be live: all there is
/// of an instrument that nobody subscribed.
#[derive(Debug)]
pub(super) struct Prices {
    by_key: HashMap<InstrumentKey, (Now, Arc<Snapshot>)>,
    kept_for: Duration,
}

impl Prices {
    pub(super) fn new(kept_for: Duration) -> Self {
        Self {
            by_key: HashMap::new(),
            kept_for,
        }
    }

    /// What was answered about `key`, unless that is older than anything that is kept.
    pub(super) fn get(&self, now: Now, key: InstrumentKey) -> Option<Arc<Snapshot>> {
        self.younger_than(now, key, self.kept_for)
    }

    /// What was answered about `key` at most `age` ago.
    pub(super) fn younger_than(
        &self,
        now: Now,
        key: InstrumentKey,
        age: Duration,
    ) -> Option<Arc<Snapshot>> {
        let (at, snapshot) = self.by_key.get(&key)?;
        (now.mono.since(at.mono) <= age).then(|| Arc::clone(snapshot))
    }

    pub(super) fn put(&mut self, at: Now, snapshot: &Arc<Snapshot>) {
        if self.by_key.len() >= CAPACITY {
            let kept_for = self.kept_for;
            self.by_key
                .retain(|_, (then, _)| at.mono.since(then.mono) <= kept_for);
        }
        if self.by_key.len() >= CAPACITY {
            self.by_key.clear();
        }
        self.by_key.insert(snapshot.key, (at, Arc::clone(snapshot)));
    }

    pub(super) fn clear(&mut self) {
        self.by_key.clear();
    }
}
