//! What the broker finds wrong with what it is asked.

use core::mem::take;
use core::time::Duration;

use strikewire_broker::Fault;
use strikewire_types::{ConnId, Mono, Now, Slot};

use crate::Effect;
use crate::book::Book;
use crate::instruments::{Cx, roomiest};
use crate::table::{Life, Side, Task, Trust, Wire};
use crate::wire::Flight;

/// Why and how carefully a connection is used after the broker closed it because of
/// what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// Instruments of the last message that subscribed any, and after a fall of the one
    /// under way, too.
    recent: Vec<Slot>,
    /// Whether those are suspects.
    trying: bool,
    /// How many suspects are sent at a time; half a message if 0.
    size: usize,
    /// Whether there is a pause after each message, so that a fall is known to be the
    /// fault of the last one.
    careful: bool,
    /// When the pause ends, if there is one.
    pub(crate) until: Option<Mono>,
    /// When what was written last has survived for so long that suspects may follow.
    ripe: Mono,
    /// Until when it holds fewer instruments, if it does.
    pub(crate) shrunk: Option<Mono>,
}

impl Doubt {
    /// Whether nothing is to be sent for now.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.until.is_some()
    }

    /// How many suspects are sent at a time.
    pub(crate) fn batch(&self, per_batch: usize) -> usize {
        match self.size {
            0 => per_batch.div_ceil(2),
            size => size,
        }
    }

    /// Whether suspects may be sent. If not, there is a pause until they may.
    pub(crate) fn may_try(&mut self, now: Mono) -> bool {
        if now < self.ripe {
            self.until = Some(self.ripe);
        }
        !self.is_waiting()
    }

    /// A new life.
    pub(crate) fn begin(&mut self) {
        self.recent.clear();
        self.trying = false;
        self.ripe = Mono::default();
    }

    /// A message has been written.
    pub(crate) fn wrote(&mut self, now: Mono, flight: Flight, probation: Duration) {
        let trying = matches!(flight.task, Task::Try(_));
        if trying || matches!(flight.task, Task::Enter(_)) {
            self.recent = flight.slots;
            self.trying = trying;
            self.careful |= trying;
        }
        self.ripe = now + probation;
        if self.careful {
            self.until = Some(if trying {
                self.ripe
            } else {
                now + probation / 10
            });
        }
    }

    /// The connection fell, with what may not have been written.
    pub(crate) fn fall(&mut self, flight: Option<Flight>) {
        self.until = None;
        let Some(flight) = flight else { return };
        match flight.task {
            Task::Try(_) => {
                self.recent = flight.slots;
                self.trying = true;
            }
            Task::Enter(_) => self.recent.extend(flight.slots),
            Task::Change(_) | Task::Leave(_) => {}
        }
    }
}

impl Book {
    /// What follows when the broker closed a connection and said why. `held` is how many
    /// it may have counted on it.
    pub(crate) fn handle_fault(
        &mut self,
        cx: &mut Cx<'_>,
        id: ConnId,
        fault: Option<Fault>,
        held: usize,
    ) {
        match fault {
            Some(Fault::TooMany) => self.shrink(cx, id, held),
            Some(Fault::BadRequest) => self.suspect(cx, id),
            _ => {}
        }
    }

    /// One message less on a connection than was too many. What matters least of it goes
    /// elsewhere, or waits.
    fn shrink(&mut self, cx: &mut Cx<'_>, id: ConnId, held: usize) {
        let least = self.config.per_batch;
        let load = &mut self.tally.conns[id.index()];
        load.cap = held.saturating_sub(least).max(least).min(load.cap);
        let (cap, over) = (load.cap, load.charged.saturating_sub(load.cap));
        self.conns[id.index()].doubt.shrunk = Some(cx.now.mono + self.config.shrink_for);
        cx.effects.push(Effect::Shrunk { conn: id, cap });
        if over == 0 {
            return;
        }
        for (_, slot) in self.placed_on(id).into_iter().rev().take(over) {
            match roomiest(&self.tally.conns) {
                Some(to) => self.reassign(cx, slot, to),
                None => self.unplace(cx, slot),
            }
        }
    }

    /// Connections hold again what the broker allows.
    pub(crate) fn restore_caps(&mut self, is_due: impl Fn(Mono) -> bool) {
        for (conn, load) in self.conns.iter_mut().zip(&mut self.tally.conns) {
            if conn.doubt.shrunk.is_some_and(&is_due) {
                conn.doubt.shrunk = None;
                load.cap = self.config.per_connection;
            }
        }
    }

    /// What was sent last may be what the broker does not take: it is sent after
    /// everything else in smaller and smaller messages, and not any more if it brought
    /// the connection down alone.
    fn suspect(&mut self, cx: &mut Cx<'_>, id: ConnId) {
        let doubt = &mut self.conns[id.index()].doubt;
        let (recent, trying) = (take(&mut doubt.recent), take(&mut doubt.trying));
        let is_found = trying && recent.len() == 1;
        doubt.careful = true;
        doubt.size = if trying && !is_found {
            recent.len().div_ceil(2)
        } else {
            0
        };
        for slot in recent {
            let entry = &self.table[slot];
            let is_here = |home| entry.life == Life::Placed && home == id;
            if !entry.home().is_some_and(is_here) {
                continue;
            }
            self.update(cx, slot, |entry, effects| {
                entry.trust = Trust::Suspect;
                if is_found {
                    entry.trust = Trust::Refused;
                    let key = entry.key;
                    effects.push(Effect::Refused { slot, key });
                }
            });
        }
    }

    /// A connection survived its last message for long enough.
    pub(crate) fn end_pause(&mut self, cx: &mut Cx<'_>, id: ConnId) {
        let conn = &mut self.conns[id.index()];
        conn.doubt.until = None;
        if conn.work.is_empty() {
            conn.doubt.careful = false;
            conn.doubt.size = 0;
        }
        if !take(&mut conn.doubt.trying) {
            return;
        }
        let recent = take(&mut conn.doubt.recent);
        for &slot in &recent {
            let entry = &self.table[slot];
            let is_taken = |side: &Side| side.conn == id && side.wire != Wire::Idle;
            if entry.trust == Trust::Suspect && entry.sides.iter().flatten().any(is_taken) {
                self.update(cx, slot, |entry, _| entry.trust = Trust::Fine);
            }
        }
        // Should the broker have been slow, they are the likely ones after all.
        self.conns[id.index()].doubt.recent = recent;
    }

    /// Forgets what the broker did not take: all of it is sent again, as after a new
    /// instrument master.
    pub fn forgive(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut cx = Cx { now, effects };
        for slot in self.table.slots() {
            let entry = &self.table[slot];
            if entry.life != Life::Vacant && entry.trust != Trust::Fine {
                self.update(&mut cx, slot, |entry, _| entry.trust = Trust::Fine);
            }
        }
        self.finish(&mut cx);
    }
}
