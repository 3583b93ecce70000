use strikewire_types::{InstrumentKey, Segment};

const PAGE: usize = 1024;
const NONE: u32 = u32::MAX;

/// From instrument key to row without hashing.
///
/// Security ids are dense in places and sparse on the whole: an array by id costs
/// 22 MiB for the master of February 2026, pages of 1,024 ids about 2 MiB. A look-up
/// is two loads: the segment's directory gives the page of the id, the page the row.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    /// By segment code; each entry is a page number or `NONE`.
    directories: [Vec<u32>; 9],
    /// Page after page.
    cells: Vec<u32>,
}

impl Pages {
    pub(crate) fn get(&self, key: InstrumentKey) -> Option<u32> {
        let (page, cell) = split(key);
        let page = *self.directories[directory(key.segment)].get(page)?;
        if page == NONE {
            return None;
        }
        let row = self.cells[page as usize * PAGE + cell];
        (row != NONE).then_some(row)
    }

    /// False, changing nothing, when the key has a row already.
    pub(crate) fn insert(&mut self, key: InstrumentKey, row: u32) -> bool {
        let (page, cell) = split(key);
        let directory = &mut self.directories[directory(key.segment)];
        if directory.len() <= page {
            directory.resize(page + 1, NONE);
        }
        if directory[page] == NONE {
            // At most one page per row, and rows are counted in 32 bits.
            directory[page] = (self.cells.len() / PAGE) as u32;
            self.cells.resize(self.cells.len() + PAGE, NONE);
        }
        let cell = &mut self.cells[directory[page] as usize * PAGE + cell];
        if *cell != NONE {
            return false;
        }
        *cell = row;
        true
    }

    pub(crate) fn shrink(&mut self) {
        self.cells.shrink_to_fit();
        for directory in &mut self.directories {
            directory.shrink_to_fit();
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let directories: usize = self.directories.iter().map(Vec::capacity).sum();
        (directories + self.cells.capacity()) * size_of::<u32>()
    }
}

fn directory(segment: Segment) -> usize {
    usize::from(segment.code())
}

fn split(key: InstrumentKey) -> (usize, usize) {
    let id = key.id.0 as usize;
    (id / PAGE, id % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn pages_are_a_map(
            inserts in prop::collection::vec((0_usize..8, prop_oneof![0_u32..5000, any::<u32>().prop_map(|id| id >> 8)]), 0..200),
            asked in prop::collection::vec((0_usize..8, 0_u32..6000), 0..50),
        ) {
            let key = |(segment, id): (usize, u32)| InstrumentKey::new(Segment::ALL[segment], id);
            let mut pages = Pages::default();
            let mut model = BTreeMap::new();
            for (row, &entry) in inserts.iter().enumerate() {
                let fresh = !model.contains_key(&entry);
                prop_assert_eq!(pages.insert(key(entry), row as u32), fresh);
                model.entry(entry).or_insert(row as u32);
            }
            for entry in inserts.into_iter().chain(asked) {
                prop_assert_eq!(pages.get(key(entry)), model.get(&entry).copied());
            }
        }
    }
}
