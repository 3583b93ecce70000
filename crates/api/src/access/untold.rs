//! Logouts that Redis has not heard of.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_gateway::types::Mono;

/// Sessions at once; of more the one that ended first is forgotten.
const LIMIT: usize = 10_000;

/// Sessions that ended here, until Redis has been told. To Redis they are under way until
/// then, so that it is not believed about them.
#[derive(Debug, Default)]
pub(super) struct Untold {
    // Held for a look-up; the longest, when there are too many, for one pass over them.
    ended: Mutex<HashMap<Arc<str>, Mono>>,
}

impl Untold {
    pub(super) fn add(&self, id: &str, now: Mono) {
        let mut ended = self.ended.lock();
        if ended.len() >= LIMIT && !ended.contains_key(id) {
            let first = ended.iter().min_by_key(|(_, at)| **at);
            if let Some(first) = first.map(|(id, _)| Arc::clone(id)) {
                ended.remove(&first);
            }
        }
        ended.insert(id.into(), now);
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.ended.lock().contains_key(id)
    }

    /// Redis knows it.
    pub(super) fn told(&self, id: &str) {
        self.ended.lock().remove(id);
    }

    /// Those that are to be told, without what ended `idle` ago: a session that nobody used
    /// since then Redis has let go of by itself.
    pub(super) fn pending(&self, now: Mono, idle: Duration) -> Vec<Arc<str>> {
        let mut ended = self.ended.lock();
        ended.retain(|_, at| now.since(*at) < idle);
        ended.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn what_was_told_or_is_long_over_is_forgotten() {
        let untold = Untold::default();
        untold.add("a", at(0));
        untold.add("b", at(50));
        untold.add("c", at(50));
        untold.told("c");
        assert!(untold.has("a") && untold.has("b") && !untold.has("c"));
        let pending = untold.pending(at(100), Duration::from_secs(100));
        assert_eq!(pending.iter().map(|id| &**id).collect::<Vec<_>>(), ["b"]);
        assert!(!untold.has("a"));
    }

    #[test]
    fn one_too_many_has_the_oldest_forgotten() {
        let untold = Untold::default();
        for number in 0..LIMIT {
            untold.add(&number.to_string(), at(number as u64));
        }
        // Not one more.
        untold.add("7", at(20_000));
        assert!(untold.has("0"));
        untold.add("new", at(20_000));
        assert!(!untold.has("0") && untold.has("1") && untold.has("new"));
        assert_eq!(untold.ended.lock().len(), LIMIT);
    }
}
