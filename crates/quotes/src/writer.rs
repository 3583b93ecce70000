//! The one writer of a table.

use std::sync::Arc;

use strikewire_types::{ConnId, InstrumentKey, Mode, Price, PriceStep, Slot, Utc};

use crate::guard::Open;
use crate::interest::Interest;
use crate::row::{self, Row, RowWriter};
use crate::slot::{Accept, SlotState};
use crate::sync::{Ordering, fence};
use crate::table::{Table, tag};

/// Writes whose consequences may wait for [`Writer::settle`].
const PENDING: usize = 64;

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wrote {
    /// What was wanted of the slot.
    pub interest: Interest,
    /// Whether the price left the slot's roll band. The band is disarmed by it: true once.
    pub crossed: bool,
    /// Whether the write ended a gap. After a put, [`Put`] has told.
    pub resumed: Option<Resumed>,
}

/// The first write of a slot that may have missed packets, see [`Interest::GAP`]. Told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// When the latest packet before it was received; absent when there was none.
    pub from: Option<Utc>,
}

/// A packet that is not from the home of its slot: to be dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger;

/// What came at once of a [`put`](Writer::put).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Put {
    /// Whether the packet was the first from the new side of a migration.
    pub flipped: bool,
    /// Whether the packet ended a gap.
    pub resumed: Option<Resumed>,
    /// Whether bars are built of the instrument, as of just before the packet was written:
    /// [`Interest::BARS`] is meant for whoever has the packet at hand, and no fence stands
    /// before it. A packet that comes at the moment in which bars begin to be wanted may or
    /// may not say so.
    pub bars: bool,
    /// Whether [`settle`](Writer::settle) must be called before the next put.
    pub full: bool,
}

/// A row that is open for a packet, see [`Writer::enter`].
#[derive(Debug)]
#[must_use]
pub struct Entry<'a> {
    /// To be filled.
    pub row: RowWriter<'a>,
    open: Open<'a>,
    pending: &'a mut Vec<Pending>,
    slot: Slot,
    key: InstrumentKey,
    put: Put,
}

impl Entry<'_> {
    /// Shows readers what was written. What else is wanted of the slot is done by
    /// [`Writer::settle`].
    #[inline(always)]
    pub fn done(self) -> Put {
        let Self {
            row,
            open,
            pending,
            slot,
            key,
            put,
        } = self;
        let ltp = row.finish();
        drop(open);
        pending.push(Pending { slot, key, ltp });
        Put {
            full: pending.len() >= PENDING,
            ..put
        }
    }
}

/// A write whose consequences are still to be looked at.
#[derive(Debug, Clone, Copy)]
struct Pending {
    slot: Slot,
    key: InstrumentKey,
    ltp: Option<Price>,
}

/// Writes the rows. There is one per table, and it belongs to the feed's thread.
///
/// A packet is either written with all its consequences, by [`write`](Self::write), or many
/// are put, each by [`enter`](Self::enter) or [`put`](Self::put), and then settled: what is wanted of a slot may be asked only behind a fence that
/// costs as much as a whole row, and one fence serves all that were put before it.
#[derive(Debug)]
pub struct Writer {
    table: Arc<Table>,
    pending: Vec<Pending>,
}

impl Writer {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self {
            table,
            pending: Vec::with_capacity(PENDING),
        }
    }

    /// The table it writes.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Whether a packet of the slot may come from `conn`. The first packet of a migration
    /// moves the slot's home.
    #[inline]
    #[must_use]
    pub fn accepts(&mut self, slot: Slot, conn: ConnId) -> Accept {
        self.table
            .slot(slot)
            .map_or(Accept::Stranger, |state| state.accept(conn))
    }

    /// Fetches what a packet of `mode` will be written to, so that a write a little later
    /// need not wait for memory.
    #[inline(always)]
    pub fn prepare(&self, slot: Slot, mode: Mode) {
        if let Some(row) = self.table.row(slot) {
            row.fetch(mode);
        }
    }

    /// Begins to write what a packet of `key` from `conn`, received at `recv`, says, with
    /// prices kept as `step` says. Readers see all of it or nothing, from when it is
    /// [`done`](Entry::done). A row that was another's is emptied first.
    ///
    /// The first packet of a migration moves the slot's home; one that is not from home is
    /// none for this row.
    ///
    /// # Errors
    ///
    /// When the packet is not from the slot's home.
    #[inline(always)]
    pub fn enter(
        &mut self,
        conn: ConnId,
        slot: Slot,
        key: InstrumentKey,
        step: PriceStep,
        recv: Utc,
    ) -> Result<Entry<'_>, Stranger> {
        let row = self.table.row(slot).ok_or(Stranger)?;
        let accept = row.state.accept(conn);
        if accept == Accept::Stranger {
            return Err(Stranger);
        }
        let tag = tag(key, row.state.generation());
        let interest = row.state.interest();
        let resumed = resumed(row, interest, tag);
        let open = row.state.guard.open(tag, row);
        let mut writer = RowWriter::new(row, step);
        writer.received(recv);
        Ok(Entry {
            row: writer,
            open,
            pending: &mut self.pending,
            slot,
            key,
            put: Put {
                flipped: accept == Accept::Flipped,
                resumed,
                bars: interest.contains(Interest::BARS),
                full: false,
            },
        })
    }

    /// [`enter`](Self::enter)s, fills and is done.
    ///
    /// # Errors
    ///
    /// When the packet is not from the slot's home.
    pub fn put(
        &mut self,
        conn: ConnId,
        slot: Slot,
        key: InstrumentKey,
        step: PriceStep,
        recv: Utc,
        fill: impl FnOnce(&mut RowWriter<'_>),
    ) -> Result<Put, Stranger> {
        let mut entry = self.enter(conn, slot, key, step, recv)?;
        fill(&mut entry.row);
        Ok(entry.done())
    }

    /// Looks at what is wanted of every slot that was put since the last time, and tells
    /// of those of which something is: whose they are, in the order in which they were
    /// put.
    #[inline]
    pub fn settle(&mut self, mut told: impl FnMut(Slot, InstrumentKey, Wrote)) {
        if self.pending.is_empty() {
            return;
        }
        // Orders the rows before the interest and the dirty sets. Without it, the last
        // tick of a quiet instrument could be missed by somebody who asks just now.
        fence(Ordering::SeqCst);
        for pending in &self.pending {
            let Some(state) = self.table.slot(pending.slot) else {
                continue;
            };
            let interest = state.interest();
            if !interest.is_empty() {
                let wrote = self.table.serve(pending.slot, state, interest, pending.ltp);
                told(pending.slot, pending.key, wrote);
            }
        }
        self.pending.clear();
    }

    /// Writes what a packet of `key`, received at `recv`, says, with all that follows from
    /// it. Readers see all of it or nothing. A row that was another's is emptied first.
    pub fn write(
        &mut self,
        slot: Slot,
        key: InstrumentKey,
        recv: Utc,
        fill: impl FnOnce(&mut RowWriter<'_>),
    ) -> Wrote {
        let Some(row) = self.table.row(slot) else {
            return Wrote::default();
        };
        let tag = tag(key, row.state.generation());
        let resumed = resumed(row, row.state.interest(), tag);
        let open = row.state.guard.open(tag, row);
        let mut writer = RowWriter::new(row, PriceStep::PAISA);
        writer.received(recv);
        fill(&mut writer);
        let ltp = writer.finish();
        drop(open);
        Wrote {
            resumed,
            ..self.table.fence_and_serve(slot, row.state, ltp)
        }
    }

    /// Writes the answer to a request that was made at `asked_at` and came at `at`, with
    /// all that follows from it; nothing if a packet was received in between. It ends a gap
    /// as a packet does, but is none: when the latest was received stays, and its mode.
    pub fn write_answer(
        &mut self,
        slot: Slot,
        key: InstrumentKey,
        step: PriceStep,
        (asked_at, at): (Utc, Utc),
        fill: impl FnOnce(&mut RowWriter<'_>),
    ) -> Option<Wrote> {
        let row = self.table.row(slot)?;
        let tag = tag(key, row.state.generation());
        if row::written_recv(row, tag).is_some_and(|recv| recv > asked_at) {
            return None;
        }
        let resumed = resumed(row, row.state.interest(), tag);
        let open = row.state.guard.open(tag, row);
        let mut writer = RowWriter::new(row, step);
        fill(&mut writer);
        writer.asked(at);
        let ltp = writer.finish();
        drop(open);
        Some(Wrote {
            resumed,
            ..self.table.fence_and_serve(slot, row.state, ltp)
        })
    }
}

/// Whether a packet that is about to be written ends a gap. The mark is set long before the
/// first packet of another connection, or another life of the same, can come: it needs no
/// fence.
#[inline]
fn resumed(row: Row<'_>, interest: Interest, tag: u64) -> Option<Resumed> {
    if !interest.contains(Interest::GAP) {
        return None;
    }
    end_gap(row, tag)
}

#[cold]
fn end_gap(row: Row<'_>, tag: u64) -> Option<Resumed> {
    // Not when the owner has taken it back.
    let before = row.state.take_interest(Interest::GAP);
    before.contains(Interest::GAP).then(|| Resumed {
        from: row::written_recv(row, tag),
    })
}

impl Table {
    fn fence_and_serve(&self, slot: Slot, state: &SlotState, ltp: Option<Price>) -> Wrote {
        // As in `settle`.
        fence(Ordering::SeqCst);
        self.serve(slot, state, state.interest(), ltp)
    }

    /// Does what is wanted of a slot that was written.
    fn serve(
        &self,
        slot: Slot,
        state: &SlotState,
        interest: Interest,
        ltp: Option<Price>,
    ) -> Wrote {
        if interest.intersects(Interest::FAN) {
            for (class, dirty) in self.dirty.iter().enumerate() {
                if interest.contains(Interest::fan(class)) {
                    dirty.add(slot);
                }
            }
        }
        let crossed = interest.contains(Interest::ROLL)
            && ltp
                .zip(self.band(slot))
                .is_some_and(|(ltp, band)| state.cross(band, ltp));
        Wrote {
            interest,
            crossed,
            resumed: None,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use strikewire_types::Segment;

    use super::*;

    const CONN: ConnId = ConnId::from_index(0);

    #[test]
    fn every_packet_of_a_slot_whose_bars_are_wanted_says_so_and_no_other_does() {
        let (table, mut writer) = crate::table(2);
        let keys = [1, 2].map(|id| InstrumentKey::new(Segment::NseFno, id));
        let mut put = |number: u32| {
            let key = keys[number as usize];
            let recv = Utc::from_nanos(1);
            let put = writer.put(CONN, Slot(number), key, PriceStep::PAISA, recv, |row| {
                row.ltp(Price::from_rupees(1));
            });
            writer.settle(|_, _, _| {});
            put.map(|put| put.bars)
        };
        for (key, slot) in keys.into_iter().zip([Slot(0), Slot(1)]) {
            table.bind(key, slot, PriceStep::PAISA, CONN);
        }
        table.add_interest(Slot(0), Interest::BARS);
        for _ in 0..3 {
            assert_eq!((put(0), put(1)), (Ok(true), Ok(false)));
        }
        // Whoever has the slot next wants nothing yet.
        table.unbind(keys[0]);
        table.bind(keys[0], Slot(0), PriceStep::PAISA, CONN);
        assert_eq!(put(0), Ok(false));
        table.add_interest(Slot(0), Interest::BARS | Interest::GAP);
        assert_eq!(put(0), Ok(true));
        table.remove_interest(Slot(0), Interest::BARS);
        assert_eq!(put(0), Ok(false));
    }
}
