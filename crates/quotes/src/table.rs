//! The table and its one writer.

use std::sync::Arc;

use strikewire_types::{ConnId, InstrumentKey, Price, PriceStep, Slot, Utc};

use crate::index::Index;
use crate::interest::{CLASSES, Interest, SlotSet};
use crate::row::{self, LastPrice, Quote, Row, RowWriter};
use crate::slot::{Accept, SlotState};
use crate::sync::{Ordering, fence};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// A table of `capacity` slots, and the only writer of its rows.
#[must_use]
pub fn table(capacity: usize) -> (Arc<Table>, Writer) {
    let table = Arc::new(Table {
        index: Index::new(),
        rows: (0..capacity).map(|_| Row::new()).collect(),
        slots: (0..capacity).map(|_| SlotState::new()).collect(),
        dirty: std::array::from_fn(|_| SlotSet::new(capacity)),
    });
    let writer = Writer {
        table: Arc::clone(&table),
    };
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
    rows: Box<[Row]>,
    slots: Box<[SlotState]>,
    dirty: [SlotSet; CLASSES],
}

/// Whose row it is: the key's 41 bits, and above them the slot's binding.
fn tag(key: InstrumentKey, generation: u16) -> u64 {
    key.to_bits() | u64::from(generation) << 48
}

impl Table {
    fn slot(&self, slot: Slot) -> Option<&SlotState> {
        self.slots.get(slot.index())
    }

    fn row(&self, slot: Slot, key: InstrumentKey) -> Option<(&Row, u64)> {
        let generation = self.slot(slot)?.generation();
        Some((self.rows.get(slot.index())?, tag(key, generation)))
    }

    /// Number of slots.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.rows.len()
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
    #[must_use]
    pub fn resolve(&self, key: InstrumentKey) -> Option<(Slot, PriceStep)> {
        self.index.get(key)
    }

    /// The quote in the slot if it is `key`'s; none too before the first packet. Waits while
    /// a write is under way.
    #[must_use]
    pub fn read(&self, slot: Slot, key: InstrumentKey) -> Option<Quote> {
        let (row, tag) = self.row(slot, key)?;
        row::read(row, tag, key)
    }

    /// The quote of `key`.
    #[must_use]
    pub fn quote(&self, key: InstrumentKey) -> Option<Quote> {
        let (slot, _) = self.resolve(key)?;
        self.read(slot, key)
    }

    /// The last price in the slot if it is `key`'s: one cache line, where
    /// [`read`](Self::read) takes five.
    #[must_use]
    pub fn last(&self, slot: Slot, key: InstrumentKey) -> Option<LastPrice> {
        let (row, tag) = self.row(slot, key)?;
        row::read_last(row, tag)
    }

    /// Says when the slot's last price is at or below `lower`, or at or above `upper`, once:
    /// see [`Wrote::crossed`]. Only prices written from now on are compared, so that who arms
    /// reads the price after it, not before.
    pub fn arm(&self, slot: Slot, lower: Option<Price>, upper: Option<Price>) {
        if let Some(state) = self.slot(slot) {
            state.arm(lower, upper);
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
        self.rows.get(slot.index()).map_or(0, Row::version)
    }
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wrote {
    /// What was wanted of the slot.
    pub interest: Interest,
    /// Whether the price left the slot's roll band. The band is disarmed by it: true once.
    pub crossed: bool,
}

/// Writes the rows. There is one per table, and it belongs to the feed's thread.
#[derive(Debug)]
pub struct Writer {
    table: Arc<Table>,
}

impl Writer {
    /// The table it writes.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Whether a packet of the slot may come from `conn`. The first packet of a migration
    /// moves the slot's home.
    #[must_use]
    pub fn accepts(&mut self, slot: Slot, conn: ConnId) -> Accept {
        self.table
            .slot(slot)
            .map_or(Accept::Stranger, |state| state.accept(conn))
    }

    /// Writes what a packet of `key`, received at `recv`, says. Readers see all of it or
    /// nothing. A row that was another's is emptied first.
    pub fn write(
        &mut self,
        slot: Slot,
        key: InstrumentKey,
        recv: Utc,
        fill: impl FnOnce(&mut RowWriter<'_>),
    ) -> Wrote {
        let (Some(state), Some((row, tag))) = (self.table.slot(slot), self.table.row(slot, key))
        else {
            return Wrote::default();
        };
        let ltp = row.write(tag, |words| {
            let mut open = RowWriter::new(words, recv);
            fill(&mut open);
            open.given_ltp()
        });
        // Orders the row before the interest and the dirty sets. Without it, the last tick of
        // a quiet instrument could be missed by somebody who asks just now.
        fence(Ordering::SeqCst);
        let interest = state.interest();
        if interest.intersects(Interest::FAN) {
            for (class, dirty) in self.table.dirty.iter().enumerate() {
                if interest.contains(Interest::fan(class)) {
                    dirty.add(slot);
                }
            }
        }
        let crossed = interest.contains(Interest::ROLL) && ltp.is_some_and(|ltp| state.cross(ltp));
        Wrote { interest, crossed }
    }
}
