//! Changes that have happened and wait for a database that cannot be written.

use std::collections::HashMap;

use crate::recorder::Entry;
use crate::{Change, List, Seq};

/// Below this many nothing is merged.
const FEW: usize = 1_024;

/// Changes in their order. When there are many, only what still matters of each item is
/// kept, so that the list is bounded by the items there are.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    entries: Vec<Entry>,
    /// The last change that was taken in, also when it was merged into another.
    up_to: Seq,
    merge_at: usize,
}

impl Owed {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.up_to = self.up_to.max(entry.seq);
        self.entries.push(entry);
        if self.entries.len() > self.merge_at.max(FEW) {
            self.merge();
            self.merge_at = self.entries.len() * 2;
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) const fn up_to(&self) -> Seq {
        self.up_to
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.merge_at = 0;
    }

    /// A later put replaces earlier puts and states of its item, a removal earlier
    /// removals and states; a state is entered into the put before it. A put before a
    /// removal stays: it may have displaced another item of the same key. Ends of days
    /// stay as they are.
    fn merge(&mut self) {
        let mut kept: Vec<Option<Entry>> = Vec::with_capacity(self.entries.len());
        // The last kept change of each item.
        let mut last: HashMap<(List, u64), usize> = HashMap::new();
        for entry in self.entries.drain(..) {
            let item = match &entry.change {
                Change::Put(item) => (item.list, item.id),
                Change::Remove { list, id } | Change::State { list, id, .. } => (*list, *id),
                Change::EndOfDay { .. } => {
                    kept.push(Some(entry));
                    continue;
                }
            };
            let earlier = last.get(&item).and_then(|at| kept[*at].as_mut());
            let merged = match (earlier.map(|e| &mut e.change), &entry.change) {
                (Some(Change::Put(put)), Change::State { state, .. }) => {
                    put.state = *state;
                    true
                }
                (Some(Change::Remove { .. }), Change::State { .. } | Change::Remove { .. }) => true,
                _ => false,
            };
            if merged {
                continue;
            }
            if let Some(at) = last.insert(item, kept.len())
                && replaces(&entry.change, kept[at].as_ref().map(|e| &e.change))
            {
                kept[at] = None;
            }
            kept.push(Some(entry));
        }
        self.entries.extend(kept.into_iter().flatten());
    }
}

/// Whether the earlier change of the same item no longer matters.
fn replaces(later: &Change, earlier: Option<&Change>) -> bool {
    match (later, earlier) {
        (Change::Put(new), Some(Change::Put(old))) => {
            // Another key displaces other items.
            new.user == old.user
                && new.exchange == old.exchange
                && new.symbol == old.symbol
                && new.expiry == old.expiry
                && new.instrument_type == old.instrument_type
                && new.tier == old.tier
        }
        (
            Change::Put(_) | Change::Remove { .. } | Change::State { .. },
            Some(Change::State { .. }),
        ) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
