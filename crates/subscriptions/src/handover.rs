//! Connections that are down for long, and what follows when they are back.

use core::time::Duration;

use strikewire_types::{ConnId, Mono, Slot};

use crate::Effect;
use crate::book::Book;
use crate::instruments::Cx;
use crate::moves::placed;
use crate::rank::Rank;
use crate::table::Trust;

/// How long after a handover to look whether there is room for the rest.
const AGAIN: Duration = Duration::from_secs(5);

/// What the book knows of a connection that is down, or has not been up for long.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    /// Since when it is down: from the last fall on before which it had been up for
    /// [`Config::settle`](crate::Config::settle), so that coming back for a moment does
    /// not count.
    pub(crate) since: Mono,
    /// Whether it will not try to come back.
    pub(crate) for_good: bool,
    /// How many instruments it handed to others since.
    pub(crate) handed_over: usize,
    /// When it is looked at again, in case there is more room by then.
    look: Mono,
}

impl Book {
    /// Takes note that a connection is down, and whether it stays so.
    pub(crate) fn miss(&mut self, id: ConnId, for_good: bool) {
        self.conns[id.index()].absence.for_good = for_good;
        self.tally.conns[id.index()].away |= for_good;
    }

    /// Whether a connection is up, and has been for long enough if it was down for long.
    pub(crate) fn is_present(&self, at: usize) -> bool {
        self.conns[at].up.is_some() && !self.tally.conns[at].away
    }

    /// When the absence of a connection leads to something, if it does.
    ///
    /// The grace of one that is down counts from when another came up at the earliest:
    /// while the whole feed is down there is nobody to hand anything to, and when it is
    /// back its connections come one after the other.
    pub(crate) fn absence_ends(&self, at: usize) -> Option<Mono> {
        let (conn, load) = (&self.conns[at], &self.tally.conns[at]);
        if let Some(since) = conn.up {
            return load.away.then(|| since + self.config.settle);
        }
        let others = (0..self.conns.len()).filter(|&other| self.is_present(other));
        let back = others.clone().filter_map(|at| self.conns[at].up).min()?;
        let has_room = |at: usize| self.tally.conns[at].has_room();
        if load.away && (load.settled == 0 || !others.clone().any(has_room)) {
            return None;
        }
        let absence = &conn.absence;
        let due = if absence.for_good {
            back + self.config.settle
        } else {
            back.max(absence.since) + self.config.handover
        };
        Some(due.max(absence.look))
    }

    /// Does what absences lead to: who is back counts before anything is handed over.
    pub(crate) fn end_absences(&mut self, cx: &mut Cx<'_>) {
        let mut evens_out = false;
        for at in self.due_absences(cx.now.mono, true) {
            let absence = &mut self.conns[at].absence;
            let handed_over = core::mem::take(&mut absence.handed_over) > 0;
            self.tally.conns[at].away = false;
            evens_out |= handed_over || self.surplus() >= self.config.per_batch;
        }
        if evens_out {
            let moved = self.even_out(cx);
            if moved > 0 {
                cx.effects.push(Effect::Rebalanced { moved });
            }
        }
        for at in self.due_absences(cx.now.mono, false) {
            self.tally.conns[at].away = true;
            self.conns[at].absence.look = cx.now.mono + AGAIN;
            self.hand_over(cx, ConnId::from_index(at));
        }
    }

    /// The connections whose absence leads to something now, of those that are up or of
    /// those that are down.
    fn due_absences(&self, now: Mono, up: bool) -> Vec<usize> {
        let is_due = |&at: &usize| {
            self.conns[at].up.is_some() == up && self.absence_ends(at).is_some_and(|due| due <= now)
        };
        (0..self.conns.len()).filter(is_due).collect()
    }

    /// Assigns what matters most of a connection that is down to others, as far as they
    /// have room. What the broker may not take stays, so that it does no harm there.
    fn hand_over(&mut self, cx: &mut Cx<'_>, from: ConnId) {
        let mut moved = 0;
        for (_, slot) in self.placed_on(from) {
            if self.table[slot].trust != Trust::Fine {
                continue;
            }
            let to = (0..self.conns.len())
                .filter(|&at| self.is_present(at) && self.tally.conns[at].has_room())
                .min_by_key(|&at| self.tally.conns[at].settled);
            let Some(to) = to else { break };
            self.reassign(cx, slot, ConnId::from_index(to));
            moved += 1;
        }
        if moved > 0 {
            self.conns[from.index()].absence.handed_over += moved;
            cx.effects.push(Effect::HandedOver { conn: from, moved });
        }
    }

    /// What is on one connection and no other, the most valuable first.
    pub(crate) fn placed_on(&mut self, conn: ConnId) -> Vec<(Rank, Slot)> {
        self.refresh_ranks();
        let here = self
            .table
            .iter()
            .filter(|(_, entry)| placed(entry).is_some_and(|home| home.conn == conn));
        let mut here: Vec<(Rank, Slot)> = here.map(|(slot, entry)| (entry.rank, slot)).collect();
        here.sort_unstable();
        here
    }
}
