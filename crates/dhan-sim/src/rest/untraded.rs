use std::collections::HashSet;

use strikewire_types::InstrumentKey;

/// Instruments that are shown as if they had never traded. The feed knows nothing of it.
#[derive(Debug, Default)]
pub(super) struct Untraded(HashSet<InstrumentKey>);

impl Untraded {
    pub(super) fn set(&mut self, keys: impl IntoIterator<Item = InstrumentKey>) {
        self.0 = keys.into_iter().collect();
    }

    pub(super) fn contains(&self, key: InstrumentKey) -> bool {
        self.0.contains(&key)
    }

    /// What is said of when it traded, if it is one of them. Both ways of saying never
    /// have been seen; which one follows from the id.
    pub(super) fn time_of(&self, key: InstrumentKey) -> Option<&'static str> {
        let word = if key.id.0.is_multiple_of(2) {
            "01/01/1980 00:00:00"
        } else {
            ""
        };
        self.contains(key).then_some(word)
    }
}
