//! Desired against wire, connection by connection, one batch at a time.

use core::cmp::Reverse;

use strikewire_broker::{ConnEvent, WireBatch, WireOp};
use strikewire_types::{ConnId, Epoch, Mono, Now, Slot};

use crate::Effect;
use crate::book::Book;
use crate::instruments::Cx;
use crate::rank::Rank;
use crate::table::{HOME, Life, OTHER, Task, Wire};
use crate::work::{Hint, Work, holds};

/// What the book knows of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) up: bool,
    /// The newest life that was spoken of.
    pub(crate) epoch: Option<Epoch>,
    /// Whether it can take a batch.
    pub(crate) ready: bool,
    /// The batch that may not have been written yet.
    pub(crate) flight: Option<Flight>,
    pub(crate) work: Work,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) slots: Vec<Slot>,
    pub(crate) since: Mono,
}

/// Whether `epoch` comes after `last`, which may be long ago.
fn is_after(epoch: Epoch, last: Option<Epoch>) -> bool {
    last.is_none_or(|last| epoch != last && epoch.0.wrapping_sub(last.0) <= u32::MAX / 2)
}

impl Book {
    /// Takes note of what happened to a connection. What is said about an earlier
    /// life of it changes nothing, nor does a connection that there is not.
    pub fn handle_conn(&mut self, now: Now, event: &ConnEvent, effects: &mut Vec<Effect>) {
        let mut cx = Cx { now, effects };
        let id = event.conn();
        let Some(conn) = self.conns.get(id.index()) else {
            return;
        };
        let last = conn.epoch;
        match *event {
            ConnEvent::Up { epoch, .. } if is_after(epoch, last) => {
                if conn.up {
                    self.take_down(&mut cx, id);
                }
                let conn = &mut self.conns[id.index()];
                conn.up = true;
                conn.epoch = Some(epoch);
                self.refresh_ranks();
            }
            ConnEvent::Ready { epoch, .. } if conn.up && Some(epoch) == last => {
                self.conns[id.index()].ready = true;
                self.confirm(&mut cx, id);
            }
            ConnEvent::Down { epoch, .. }
                if conn.up && (Some(epoch) == last || is_after(epoch, last)) =>
            {
                self.take_down(&mut cx, id);
            }
            _ => return,
        }
        self.finish(&mut cx);
    }

    /// Nothing is on the wire of the connection any more: all that belongs there is a
    /// difference from now on.
    fn take_down(&mut self, cx: &mut Cx<'_>, id: ConnId) {
        let conn = &mut self.conns[id.index()];
        conn.up = false;
        conn.ready = false;
        conn.flight = None;
        conn.work.clear();
        for slot in self.table.slots() {
            let entry = &mut self.table[slot];
            let Some(at) = entry
                .sides
                .iter()
                .position(|side| side.is_some_and(|side| side.conn == id))
            else {
                continue;
            };
            if let Some(side) = &mut entry.sides[at] {
                side.wire = Wire::Idle;
                side.task = None;
            }
            if entry.life == Life::Moving {
                self.end_move(cx, slot, at == HOME);
            } else {
                self.sync(cx, slot);
            }
        }
    }

    /// The batch in flight has been written.
    fn confirm(&mut self, cx: &mut Cx<'_>, id: ConnId) {
        let Some(flight) = self.conns[id.index()].flight.take() else {
            return;
        };
        for &slot in &flight.slots {
            let entry = &mut self.table[slot];
            let mut has_arrived = false;
            for (at, side) in entry.sides.iter_mut().enumerate() {
                let Some(side) = side.as_mut().filter(|side| side.conn == id) else {
                    continue;
                };
                match side.wire {
                    Wire::Subscribing(mode) => {
                        side.wire = Wire::Live(mode);
                        has_arrived = entry.life == Life::Moving && at == OTHER;
                    }
                    Wire::Unsubscribing(_) => side.wire = Wire::Idle,
                    Wire::Idle | Wire::Live(_) => {}
                }
            }
            if has_arrived && self.table.detail(slot).deadline.is_none() {
                let deadline = cx.now.mono + self.config.grace;
                self.table.detail_mut(slot).deadline = Some(deadline);
                self.grace.insert((deadline, slot));
            }
            self.sync(cx, slot);
        }
    }

    /// Fills `batch` with the most valuable difference for a connection that is
    /// ready, which it then is no more until the driver says so. False, and `batch`
    /// is as it was, when the connection is not ready or there is nothing to do.
    ///
    /// Letting go of instruments comes first where others wait for their room, and
    /// last otherwise. Underlyings are subscribed first, then tier B in the order
    /// its claims were made, then tier A by last use; inside a claim the legs nearest
    /// to the money come first. A mode is changed by unsubscribing the old one and
    /// then subscribing the new one.
    pub fn poll_wire(&mut self, now: Now, conn: ConnId, batch: &mut WireBatch) -> bool {
        let room_needed = self.tally.waiting > 0;
        let id = conn;
        let Some(conn) = self.conns.get_mut(id.index()).filter(|conn| conn.ready) else {
            return false;
        };
        let task = conn.work.next(id, &self.table, room_needed);
        let (Some(epoch), Some(task)) = (conn.epoch, task) else {
            return false;
        };
        let (op, wire) = match task {
            Task::Enter(mode) => (WireOp::Subscribe(mode), Wire::Subscribing(mode)),
            Task::Change(mode) | Task::Leave(mode) => {
                (WireOp::Unsubscribe(mode), Wire::Unsubscribing(mode))
            }
        };
        batch.conn = id;
        batch.epoch = epoch;
        batch.op = op;
        batch.keys.clear();
        let mut slots = Vec::with_capacity(self.config.per_batch.min(self.table.slots().len()));
        let mut hints: Vec<Hint> = Vec::with_capacity(slots.capacity());
        loop {
            let room = self.config.per_batch - slots.len();
            conn.work.pop(task, room, &mut hints);
            if hints.is_empty() {
                break;
            }
            for hint in hints.drain(..) {
                if !holds(&self.table, id, task, hint) {
                    continue;
                }
                let Reverse((_, slot)) = hint;
                let entry = &mut self.table[slot];
                for side in entry.sides.iter_mut().flatten() {
                    if side.conn == id {
                        side.wire = wire;
                        side.task = None;
                    }
                }
                conn.work.done();
                batch.keys.push(entry.key);
                slots.push(slot);
            }
        }
        conn.ready = false;
        conn.flight = Some(Flight {
            slots,
            since: now.mono,
        });
        true
    }

    /// Makes every rank follow the last uses, if there were any since.
    fn refresh_ranks(&mut self) {
        let state = (self.version, self.claims.uses());
        if self.ranked_at == Some(state) {
            return;
        }
        self.ranked_at = Some(state);
        let mut ranks = vec![Rank::LAST; self.table.slots().len()];
        for claim in self.claims.iter() {
            for leg in &claim.legs {
                let rank = &mut ranks[leg.slot.index()];
                *rank = claim.rank(leg.role, leg.distance).min(*rank);
            }
        }
        for (slot, rank) in self.table.slots().zip(ranks) {
            if self.table[slot].life.is_desired() {
                self.rerank(slot, rank);
            }
        }
    }
}
