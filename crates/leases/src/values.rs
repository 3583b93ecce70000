//! Latest values in memory.

use core::time::Duration;
use std::collections::HashMap;

use parking_lot::Mutex;
use strikewire_types::Mono;

use crate::LeaseKey;

/// After how many writes those that have ended are looked for, at least.
const SOME: usize = 1_024;

/// Values by key, each with its end.
#[derive(Debug, Default)]
pub(crate) struct Values(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    values: HashMap<LeaseKey, (String, Mono)>,
    /// Writes since those that have ended were last taken out.
    written: usize,
}

impl Values {
    pub(crate) fn put(&self, now: Mono, key: &LeaseKey, json: &str, ttl: Duration) {
        let mut table = self.0.lock();
        table
            .values
            .insert(key.clone(), (json.to_owned(), now + ttl));
        table.written += 1;
        // As much work as was done since the last time, so it costs a write nothing.
        if table.written > SOME.max(table.values.len()) {
            table.written = 0;
            table.values.retain(|_, (_, end)| *end > now);
        }
    }

    pub(crate) fn get(&self, now: Mono, key: &LeaseKey) -> Option<String> {
        let table = self.0.lock();
        let (json, end) = table.values.get(key)?;
        (*end > now).then(|| json.clone())
    }

    pub(crate) fn renew(&self, now: Mono, key: &LeaseKey, ttl: Duration) {
        let mut table = self.0.lock();
        if let Some((_, end)) = table.values.get_mut(key)
            && *end > now
        {
            *end = now + ttl;
        }
    }

    pub(crate) fn drop(&self, key: &LeaseKey) {
        self.0.lock().values.remove(key);
    }

    pub(crate) fn expire(&self, now: Mono) {
        self.0.lock().values.retain(|_, (_, end)| *end > now);
    }

    pub(crate) fn clear(&self) {
        // The room too.
        self.0.lock().values = HashMap::new();
    }

    /// Those that have not ended.
    pub(crate) fn keys(&self, now: Mono) -> Vec<LeaseKey> {
        let table = self.0.lock();
        let lasting = table.values.iter().filter(|(_, (_, end))| *end > now);
        lasting.map(|(key, _)| key.clone()).collect()
    }
}
