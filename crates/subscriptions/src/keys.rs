//! From key to slot.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use strikewire_types::{InstrumentKey, Slot};

/// The slots of a run of security ids.
type Page = [Slot; PAGE];
const PAGE: usize = 1024;

/// No slot.
const NONE: Slot = Slot(u32::MAX);

/// Ids below this have pages, which bounds what the pages can take. The greatest id in
/// Dhan's instrument master of February 2026 is 2,179,738, an eighth of it.
const PAGED: u32 = 1 << 24;

/// Which slot each instrument has, of those that have one.
///
/// A chain that comes and goes is looked for, put in and taken out, leg by leg: with a
/// hash table that was a fifth of the whole. Security ids are small and those of a chain
/// lie together, so an array in pages does it, one for each segment. A page stays once
/// it was needed. Ids so large that no exchange has them go into a hash table.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pages: [Vec<Option<Box<Page>>>; 9],
    far: HashMap<u64, Slot, RandomState>,
}

/// Segment, page and place on the page.
const fn place(key: InstrumentKey) -> (usize, usize, usize) {
    let id = key.id.0 as usize;
    (key.segment.code() as usize, id / PAGE, id % PAGE)
}

impl Keys {
    pub(crate) fn get(&self, key: InstrumentKey) -> Option<Slot> {
        let (segment, page, at) = place(key);
        if let Some(Some(page)) = self.pages[segment].get(page) {
            return Some(page[at]).filter(|&slot| slot != NONE);
        }
        if key.id.0 < PAGED {
            return None;
        }
        self.far.get(&key.to_bits()).copied()
    }

    pub(crate) fn insert(&mut self, key: InstrumentKey, slot: Slot) {
        if key.id.0 >= PAGED {
            self.far.insert(key.to_bits(), slot);
            return;
        }
        let (segment, page, at) = place(key);
        let pages = &mut self.pages[segment];
        if pages.len() <= page {
            pages.resize_with(page + 1, || None);
        }
        pages[page].get_or_insert_with(|| Box::new([NONE; PAGE]))[at] = slot;
    }

    pub(crate) fn remove(&mut self, key: InstrumentKey) {
        let (segment, page, at) = place(key);
        if let Some(Some(page)) = self.pages[segment].get_mut(page) {
            page[at] = NONE;
        } else {
            self.far.remove(&key.to_bits());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use strikewire_types::Segment;

    use super::*;

    fn keys() -> impl Strategy<Value = InstrumentKey> {
        let id = prop_oneof![
            0_u32..4,
            1_020_u32..1_028,
            PAGED - 2..PAGED + 2,
            u32::MAX - 1..=u32::MAX,
        ];
        (proptest::sample::select(&Segment::ALL[..]), id)
            .prop_map(|(segment, id)| InstrumentKey::new(segment, id))
    }

    proptest! {
        #[test]
        fn is_a_map(steps in proptest::collection::vec((keys(), any::<bool>()), 0..200)) {
            let mut keys_of = Keys::default();
            let mut model: BTreeMap<InstrumentKey, Slot> = BTreeMap::new();
            for (step, (key, stays)) in (0..).zip(steps) {
                prop_assert_eq!(keys_of.get(key), model.get(&key).copied());
                if stays {
                    keys_of.insert(key, Slot(step));
                    model.insert(key, Slot(step));
                } else {
                    keys_of.remove(key);
                    model.remove(&key);
                }
                for (&key, &slot) in &model {
                    prop_assert_eq!(keys_of.get(key), Some(slot));
                }
            }
        }
    }
}
