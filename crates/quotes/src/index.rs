//! From instrument key to slot: a sparse table of pages, read without a lock.

use std::sync::OnceLock;

use strikewire_types::{InstrumentKey, PriceStep, Slot};

use crate::sync::{AtomicU64, Ordering};

/// Segments are numbered to 8.
const SEGMENTS: usize = 9;
const PAGE_BITS: u32 = 10;
const FOLDER_BITS: u32 = 10;
const PAGE: usize = 1 << PAGE_BITS;
const FOLDER: usize = 1 << FOLDER_BITS;
/// What is left of 32 bits.
const SHELF: usize = 1 << (32 - PAGE_BITS - FOLDER_BITS);

type Page = Box<[AtomicU64]>;
type Folder = Box<[OnceLock<Page>]>;
type Shelf = Box<[OnceLock<Folder>]>;

/// Pages are made when something is bound on them and stay; the ids of one day lie close
/// together. An entry is the slot plus 1 above the price step, 0 for none.
#[derive(Debug)]
pub(crate) struct Index {
    shelves: [OnceLock<Shelf>; SEGMENTS],
}

#[inline]
fn places(id: u32) -> (usize, usize, usize) {
    let id = id as usize;
    (
        id >> (PAGE_BITS + FOLDER_BITS),
        (id >> PAGE_BITS) % FOLDER,
        id % PAGE,
    )
}

fn unmade<T>(len: usize) -> Box<[OnceLock<T>]> {
    (0..len).map(|_| OnceLock::new()).collect()
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            shelves: std::array::from_fn(|_| OnceLock::new()),
        }
    }

    #[inline]
    fn entry(&self, key: InstrumentKey) -> Option<&AtomicU64> {
        let (folder, page, entry) = places(key.id.0);
        let shelf = self.shelves[usize::from(key.segment.code())].get()?;
        Some(&shelf[folder].get()?[page].get()?[entry])
    }

    #[inline]
    pub(crate) fn get(&self, key: InstrumentKey) -> Option<(Slot, PriceStep)> {
        // Acquire: who sees the entry sees the slot made ready for it.
        let entry = self.entry(key)?.load(Ordering::Acquire);
        let slot = ((entry >> 32) as u32).checked_sub(1)?;
        Some((Slot(slot), PriceStep::from_raw(entry as u32)))
    }

    pub(crate) fn set(&self, key: InstrumentKey, slot: Slot, step: PriceStep) {
        let (folder, page, entry) = places(key.id.0);
        let shelf = self.shelves[usize::from(key.segment.code())].get_or_init(|| unmade(SHELF));
        let folder = shelf[folder].get_or_init(|| unmade(FOLDER));
        let page = folder[page].get_or_init(|| (0..PAGE).map(|_| AtomicU64::new(0)).collect());
        let packed = ((u64::from(slot.0) + 1) << 32) | u64::from(step.raw());
        page[entry].store(packed, Ordering::Release);
    }

    pub(crate) fn clear(&self, key: InstrumentKey) {
        if let Some(entry) = self.entry(key) {
            entry.store(0, Ordering::Release);
        }
    }
}
