//! The table.

use std::sync::Arc;

use strikewire_types::{ConnId, InstrumentKey, Mode, Price, PriceStep, Slot, Utc};

use crate::index::Index;
use crate::interest::{CLASSES, Interest, SlotSet};
use crate::quote::{LastPrice, Quote};
use crate::row::{self, Body, Rare, Row};
use crate::slot::{Band, SlotState};
use crate::writer::Writer;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// A table of `capacity` slots, and the only writer of its rows.
#[must_use]
pub fn table(capacity: usize) -> (Arc<Table>, Writer) {
    let table = Arc::new(Table {
        index: Index::new(),
        slots: (0..capacity).map(|_| SlotState::new()).collect(),
        bodies: (0..capacity).map(|_| Body::new()).collect(),
        rare: (0..capacity).map(|_| Rare::new()).collect(),
        bands: (0..capacity).map(|_| Band::new()).collect(),
        dirty: std::array::from_fn(|_| SlotSet::new(capacity)),
    });
    let writer = Writer::new(Arc::clone(&table));
    (table, writer)
}

/// The rows, the index to them, and what is wanted of each.
///
/// Everybody may read. Binding, homes and roll bands are the owner's: by convention one
/// thread calls [`bind`](Self::bind), [`unbind`](Self::unbind), [`set_home`](Self::set_home),
/// [`migrate`](Self::migrate), [`arm`](Self::arm) and [`disarm`](Self::disarm). A slot beyond
/// the capacity is one that is never bound: nothing is read there and nothing kept.
#[derive(Debug)]
pub struct Table {
    index: Index,
    slots: Box<[SlotState]>,
    // As many of each as there are slots.
    bodies: Box<[Body]>,
    rare: Box<[Rare]>,
    bands: Box<[Band]>,
    pub(crate) dirty: [SlotSet; CLASSES],
}

/// One state of a row, see [`Table::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    slot: Slot,
    generation: u16,
    version: u64,
}

/// Whose row it is: the key's 41 bits, and above them the slot's binding.
#[inline]
pub(crate) fn tag(key: InstrumentKey, generation: u16) -> u64 {
    key.to_bits() | u64::from(generation) << 48
}

impl Table {
    #[inline]
    pub(crate) fn slot(&self, slot: Slot) -> Option<&SlotState> {
        self.slots.get(slot.index())
    }

    #[inline]
    pub(crate) fn row(&self, slot: Slot) -> Option<Row<'_>> {
        let index = slot.index();
        Some(Row {
            state: self.slots.get(index)?,
            body: self.bodies.get(index)?,
            rare: self.rare.get(index)?,
        })
    }

    pub(crate) fn band(&self, slot: Slot) -> Option<&Band> {
        self.bands.get(slot.index())
    }

    /// Number of slots.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Gives `key` the slot, with packets from `home` and prices on `step`. The row is empty
    /// until the first packet, whoever had it before; only the fan-out's interests stay.
    ///
    /// A slot may be given to another key when the feed can no longer be busy with a packet
    /// of the one before.
    pub fn bind(&self, key: InstrumentKey, slot: Slot, step: PriceStep, home: ConnId) {
        if let Some(state) = self.slot(slot) {
            state.bind(home);
            self.index.set(key, slot, step);
        }
    }

    /// Takes its slot from `key`.
    pub fn unbind(&self, key: InstrumentKey) {
        self.index.clear(key);
    }

    /// Accepts the first packet from `to`, which makes `to` the home of the slot.
    pub fn migrate(&self, slot: Slot, to: ConnId) {
        if let Some(state) = self.slot(slot) {
            state.migrate(to);
        }
    }

    /// Makes `conn` the home of the slot at once, and ends a migration.
    pub fn set_home(&self, slot: Slot, conn: ConnId) {
        if let Some(state) = self.slot(slot) {
            state.set_home(conn);
        }
    }

    /// The slot and price step of `key`.
    #[inline]
    #[must_use]
    pub fn resolve(&self, key: InstrumentKey) -> Option<(Slot, PriceStep)> {
        self.index.get(key)
    }

    /// The quote in the slot if it is `key`'s; none too before the first packet. Waits while
    /// a write is under way.
    #[must_use]
    pub fn read(&self, slot: Slot, key: InstrumentKey) -> Option<Quote> {
        let row = self.row(slot)?;
        row::read(row, tag(key, row.state.generation()), key)
    }

    /// The quote of `key`.
    #[must_use]
    pub fn quote(&self, key: InstrumentKey) -> Option<Quote> {
        let (slot, _) = self.resolve(key)?;
        self.read(slot, key)
    }

    /// What tells one state of `key`'s row from another; none when it has no slot. While it
    /// stays the same, so does the [`quote`](Self::quote): who took the mark before reading
    /// the quote knows later, for one cache line, whether to read it again.
    #[must_use]
    pub fn mark(&self, key: InstrumentKey) -> Option<Mark> {
        let (slot, _) = self.resolve(key)?;
        let state = self.slot(slot)?;
        Some(Mark {
            slot,
            generation: state.generation(),
            version: state.guard.version(),
        })
    }

    /// The last price in the slot if it is `key`'s: one cache line, where
    /// [`read`](Self::read) takes three.
    #[must_use]
    pub fn last(&self, slot: Slot, key: InstrumentKey) -> Option<LastPrice> {
        let row = self.row(slot)?;
        row::read_last(row, tag(key, row.state.generation()))
    }

    /// When the latest packet of `key` was received, absent when there was none, and the
    /// mode of the latest that has one: what [`quote`](Self::quote) says of it, for one cache
    /// line instead of three.
    #[must_use]
    pub fn heard(&self, key: InstrumentKey) -> Option<(Utc, Option<Mode>)> {
        let (slot, _) = self.resolve(key)?;
        let row = self.row(slot)?;
        row::read_heard(row, tag(key, row.state.generation()))
    }

    /// Says when the slot's last price is at or below `lower`, or at or above `upper`, once:
    /// see [`Wrote::crossed`](crate::Wrote::crossed). Only prices written from now on are compared, so that who arms
    /// reads the price after it, not before.
    pub fn arm(&self, slot: Slot, lower: Option<Price>, upper: Option<Price>) {
        if let (Some(state), Some(band)) = (self.slot(slot), self.band(slot)) {
            state.arm(band, lower, upper);
        }
    }

    /// Forgets the band.
    pub fn disarm(&self, slot: Slot) {
        self.remove_interest(slot, Interest::ROLL);
    }

    /// What is wanted when the slot is written.
    #[must_use]
    pub fn interest(&self, slot: Slot) -> Interest {
        self.slot(slot).map_or(Interest::NONE, SlotState::interest)
    }

    /// Wants more. Every write from now on says so, and every earlier one is seen by a
    /// read that follows: nothing falls between.
    pub fn add_interest(&self, slot: Slot, interest: Interest) {
        if let Some(state) = self.slot(slot) {
            state.add_interest(interest);
        }
    }

    /// Wants less.
    pub fn remove_interest(&self, slot: Slot, interest: Interest) {
        if let Some(state) = self.slot(slot) {
            state.remove_interest(interest);
        }
    }

    /// The instruments of these slots may miss packets from now on: the first packet of
    /// each says so, see [`Resumed`](crate::Resumed).
    pub fn mark_gaps(&self, slots: impl IntoIterator<Item = Slot>) {
        for slot in slots {
            self.add_interest(slot, Interest::GAP);
        }
    }

    /// Empties the dirty set of fan-out class `class`, 0 to 4: every slot written since it
    /// was emptied last while that class wanted it, lowest first. A read in `each` or later
    /// sees the write the slot is in the set for, or a later one.
    pub fn drain_dirty(&self, class: usize, each: impl FnMut(Slot)) {
        if let Some(dirty) = self.dirty.get(class) {
            dirty.drain(each);
        }
    }

    /// Two more with every write of the slot's row; odd while one is under way.
    #[must_use]
    pub fn version(&self, slot: Slot) -> u64 {
        self.slot(slot).map_or(0, |state| state.guard.version())
    }
}
