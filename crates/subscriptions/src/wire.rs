//! Desired against wire, connection by connection, one batch at a time.

use core::cmp::Reverse;

use strikewire_broker::{ConnEvent, DownCause, WireBatch, WireOp};
use strikewire_types::{ConnId, Epoch, Mode, Mono, Now, Slot};

use crate::Effect;
use crate::book::Book;
use crate::faults::Doubt;
use crate::handover::Absence;
use crate::instruments::Cx;
use crate::rank::Rank;
use crate::table::{HOME, Life, OTHER, Task, Wire};
use crate::work::{Hint, Work, holds};

/// What the book knows of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conn {
    /// Since when it is up, if it is.
    pub(crate) up: Option<Mono>,
    /// The newest life that was spoken of.
    pub(crate) epoch: Option<Epoch>,
    /// Whether it can take a batch.
    pub(crate) ready: bool,
    /// The batch that may not have been written yet.
    pub(crate) flight: Option<Flight>,
    pub(crate) work: Work,
    pub(crate) absence: Absence,
    pub(crate) doubt: Doubt,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) slots: Vec<Slot>,
    pub(crate) task: Task,
    pub(crate) since: Mono,
}

/// That an instrument is on a wire. Told by [`Book::on_wire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnWire {
    /// The connection.
    pub conn: ConnId,
    /// The mode it is subscribed in, which is about to change where its holders ask for
    /// another one.
    pub mode: Mode,
    /// When the message that subscribed it was reported as written, the last one if
    /// there were several.
    pub since: Mono,
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
                if conn.up.is_some() {
                    self.take_down(&mut cx, id);
                }
                let conn = &mut self.conns[id.index()];
                conn.up = Some(now.mono);
                conn.absence.for_good = false;
                conn.doubt.begin();
                conn.epoch = Some(epoch);
                self.refresh_ranks();
            }
            ConnEvent::Ready { epoch, .. } if conn.up.is_some() && Some(epoch) == last => {
                self.conns[id.index()].ready = true;
                self.confirm(&mut cx, id);
            }
            ConnEvent::Down {
                epoch,
                ref cause,
                retry_in,
                ..
            } if Some(epoch) == last || is_after(epoch, last) => {
                if conn.up.is_some() {
                    let held = self.take_down(&mut cx, id);
                    if let DownCause::Disconnected { fault, .. } = *cause {
                        self.handle_fault(&mut cx, id, fault, held);
                    }
                }
                self.miss(id, retry_in.is_none());
            }
            _ => return,
        }
        self.finish(&mut cx);
    }

    /// Nothing is on the wire of the connection any more: all that belongs there is a
    /// difference from now on. How many the broker may have counted on it.
    fn take_down(&mut self, cx: &mut Cx<'_>, id: ConnId) -> usize {
        let settle = self.config.settle;
        let conn = &mut self.conns[id.index()];
        if let Some(since) = conn.up.take()
            && cx.now.mono.since(since) >= settle
        {
            conn.absence.since = cx.now.mono;
        }
        conn.ready = false;
        let flight = conn.flight.take();
        conn.doubt.fall(flight);
        conn.work.clear();
        let mut held = 0;
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
                held += usize::from(side.wire != Wire::Idle);
                side.wire = Wire::Idle;
                side.task = None;
            }
            // What has not left its old connection yet goes back there.
            let returns = entry.life == Life::Placed && at == HOME && entry.sides[OTHER].is_some();
            if entry.life == Life::Moving || returns {
                self.end_move(cx, slot, at == HOME);
            } else {
                self.sync(cx, slot);
            }
        }
        held
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
                        entry.written = cx.now.mono;
                        has_arrived = entry.life == Life::Moving && at == OTHER;
                    }
                    Wire::Unsubscribing(_) => side.wire = Wire::Idle,
                    Wire::Idle | Wire::Live(_) | Wire::Renew(_) => {}
                }
            }
            if has_arrived && self.table.detail(slot).deadline.is_none() {
                let deadline = cx.now.mono + self.config.grace;
                self.table.detail_mut(slot).deadline = Some(deadline);
                self.grace.insert((deadline, slot));
            }
            self.sync(cx, slot);
        }
        let probation = self.config.probation;
        self.conns[id.index()]
            .doubt
            .wrote(cx.now.mono, flight, probation);
    }

    /// Fills `batch` with the most valuable difference for a connection that is
    /// ready, which it then is no more until the driver says so. False, and `batch`
    /// is as it was, when the connection is not ready or there is nothing to do.
    ///
    /// Letting go of instruments comes first where others wait for their room, and
    /// last otherwise. Underlyings are subscribed first, then tier B in the order
    /// its claims were made, then tier A by last use; inside a claim the legs nearest
    /// to the money come first. A mode is changed by unsubscribing the old one and
    /// then subscribing the new one. What the broker may not take comes after
    /// everything, and alone for a while: there can be work and nothing to send yet.
    pub fn poll_wire(&mut self, now: Now, conn: ConnId, batch: &mut WireBatch) -> bool {
        let room_needed = self.tally.waiting > 0;
        let id = conn;
        let Some(conn) = self
            .conns
            .get_mut(id.index())
            .filter(|conn| conn.ready && !conn.doubt.is_waiting())
        else {
            return false;
        };
        let task = conn.work.next(id, &self.table, room_needed);
        let (Some(epoch), Some(task)) = (conn.epoch, task) else {
            return false;
        };
        if matches!(task, Task::Try(_)) && !conn.doubt.may_try(now.mono) {
            return false;
        }
        let (op, wire) = match task {
            Task::Enter(mode) | Task::Try(mode) => {
                (WireOp::Subscribe(mode), Wire::Subscribing(mode))
            }
            Task::Change(mode) | Task::Leave(mode) => {
                (WireOp::Unsubscribe(mode), Wire::Unsubscribing(mode))
            }
        };
        batch.conn = id;
        batch.epoch = epoch;
        batch.op = op;
        batch.keys.clear();
        let most = match task {
            Task::Try(_) => conn.doubt.batch(self.config.per_batch),
            _ => self.config.per_batch,
        };
        let mut slots = Vec::with_capacity(most.min(self.table.slots().len()));
        let mut hints: Vec<Hint> = Vec::with_capacity(slots.capacity());
        loop {
            let room = most - slots.len();
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
            task,
            since: now.mono,
        });
        true
    }

    /// Subscribes an instrument once more, in its mode and without letting go of it
    /// first: for one that stays silent although it should not. Whether it will be; it
    /// is not, and nothing changes, unless it is held, subscribed on its home as its
    /// holders want it, and not on the move to another connection.
    pub fn resend(&mut self, now: Now, slot: Slot, effects: &mut Vec<Effect>) -> bool {
        let mut cx = Cx { now, effects };
        let Some(entry) = self.table.get(slot) else {
            return false;
        };
        let (Life::Placed, Some(mut home)) = (entry.life, entry.sides[HOME]) else {
            return false;
        };
        if home.wire != Wire::Live(entry.shown.mode) {
            return false;
        }
        home.wire = Wire::Renew(entry.shown.mode);
        self.table[slot].sides[HOME] = Some(home);
        self.sync(&mut cx, slot);
        self.finish(&mut cx);
        true
    }

    /// How an instrument is subscribed on its home. None while it is not, or its message
    /// has not been reported as written, or it migrates or is on its way out.
    #[must_use]
    pub fn on_wire(&self, slot: Slot) -> Option<OnWire> {
        let entry = self.table.get(slot)?;
        let home = entry.sides[HOME]?;
        match (entry.life, home.wire) {
            (Life::Placed, Wire::Live(mode) | Wire::Renew(mode)) => Some(OnWire {
                conn: home.conn,
                mode,
                since: entry.written,
            }),
            _ => None,
        }
    }

    /// Makes every rank follow the last uses, if there were any since.
    pub(crate) fn refresh_ranks(&mut self) {
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
