//! The life of an instrument: held, placed, let go, gone.

use core::cmp::Reverse;

use strikewire_types::{ConnId, Now, Slot};

use crate::book::Book;
use crate::rank::Rank;
use crate::table::{Entry, HOME, Hold, Life, OTHER, Task, Wire};
use crate::{Effect, Leg, Owner, Why};

/// When something happens and where its effects go.
pub(crate) struct Cx<'a> {
    pub(crate) now: Now,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// How a holder lets go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LetGo {
    pub(crate) owner: Owner,
    pub(crate) why: Why,
    /// Whether the instrument stays on the wire for a while.
    pub(crate) lingers: bool,
}

impl Book {
    /// Changes an instrument and keeps the counts. Everything that is counted
    /// changes in here.
    pub(crate) fn update(&mut self, slot: Slot, change: impl FnOnce(&mut Entry)) {
        self.version += 1;
        let entry = &mut self.table[slot];
        self.tally.take(entry);
        change(entry);
        self.tally.put(entry);
    }

    /// Another holder of an instrument that has a slot. Whether it is the only one.
    pub(crate) fn gain(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Slot,
        hold: Hold,
        rank: Rank,
        owner: Owner,
    ) -> bool {
        if self.table[slot].life.is_desired() {
            self.rehold(cx, slot, None, hold, rank);
            return false;
        }
        self.stop_timer(slot);
        self.rerank(slot, rank);
        self.update(slot, |entry| {
            entry.holds.add(hold);
            entry.follow();
            entry.life = Life::Placed;
            entry.since = cx.now.utc;
        });
        self.tell_desired(cx, slot, owner);
        self.sync(cx, slot);
        true
    }

    /// The first holder of an instrument without a slot.
    pub(crate) fn enter(
        &mut self,
        cx: &mut Cx<'_>,
        leg: &Leg,
        hold: Hold,
        rank: Rank,
        owner: Owner,
    ) -> Slot {
        let slot = self.table.take(cx.now, leg.key, leg.step);
        // Behind others that wait it waits too: the most valuable is placed first.
        let home = if self.waiting.is_empty() {
            self.roomiest()
        } else {
            None
        };
        self.update(slot, |entry| {
            entry.holds.add(hold);
            entry.follow();
            entry.rank = rank;
            entry.settle_on(home);
        });
        self.tell_desired(cx, slot, owner);
        self.tell_bound(cx, slot);
        self.sync(cx, slot);
        slot
    }

    /// A holder of a desired instrument changes its part, or comes to the others.
    pub(crate) fn rehold(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Slot,
        old: Option<Hold>,
        new: Hold,
        rank: Rank,
    ) {
        let entry = &self.table[slot];
        let before = entry.shown;
        self.rerank(slot, rank.min(entry.rank));
        if old != Some(new) {
            self.update(slot, |entry| {
                if let Some(old) = old {
                    entry.holds.remove(old);
                }
                entry.holds.add(new);
                entry.follow();
            });
        }
        self.tell_changed(cx, slot, before);
        self.sync(cx, slot);
    }

    /// A holder lets go. Whether it was the last one.
    pub(crate) fn lose(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Slot,
        hold: Hold,
        distance: u16,
        how: LetGo,
    ) -> bool {
        let entry = &self.table[slot];
        let before = entry.shown;
        if entry.holds.all() > 1 {
            self.update(slot, |entry| {
                entry.holds.remove(hold);
                entry.follow();
            });
            self.tell_changed(cx, slot, before);
            self.sync(cx, slot);
            return false;
        }
        cx.effects.push(Effect::Undesired {
            slot,
            key: entry.key,
            owner: how.owner,
            why: how.why,
        });
        if entry.life == Life::Waiting {
            self.waiting.remove(&(entry.rank, slot));
        }
        if let (Life::Moving, Some(home)) = (entry.life, entry.home()) {
            cx.effects.push(Effect::Homed { slot, conn: home });
        }
        self.stop_timer(slot);
        self.update(slot, |entry| {
            entry.holds.remove(hold);
            entry.life = Life::Leaving;
            let on_wire = entry.sides[HOME].is_some_and(|side| side.wire != Wire::Idle);
            if how.lingers && on_wire {
                entry.life = Life::Lingering;
                entry.distance = distance;
            }
        });
        if self.table[slot].life == Life::Lingering {
            let deadline = cx.now.mono + self.config.linger;
            self.table[slot].deadline = Some(deadline);
            self.lingering.insert((deadline, Reverse(distance), slot));
        }
        self.sync(cx, slot);
        true
    }

    /// Assigns an instrument that waited to a connection that has room.
    fn place(&mut self, cx: &mut Cx<'_>, slot: Slot, conn: ConnId) {
        self.update(slot, |entry| entry.settle_on(Some(conn)));
        self.tell_bound(cx, slot);
        self.sync(cx, slot);
    }

    /// The connection for the next instrument: where the fewest will be once
    /// everything has settled, then which is charged for the fewest, then the first.
    /// One that is down takes its share, since it comes back. None when no connection
    /// has room or the total is reached.
    fn roomiest(&self) -> Option<ConnId> {
        if self.tally.charged >= self.config.total {
            return None;
        }
        self.tally
            .conns
            .iter()
            .enumerate()
            .filter(|(_, load)| load.charged < self.config.per_connection)
            .min_by_key(|(_, load)| (load.settled, load.charged))
            .map(|(conn, _)| ConnId::from_index(conn))
    }

    /// Ends every public change: room that came goes to those that wait, legs that
    /// linger make way for the rest of them, connections with work are named.
    pub(crate) fn finish(&mut self, cx: &mut Cx<'_>) {
        while let Some(&(_, slot)) = self.waiting.first() {
            let Some(conn) = self.roomiest() else { break };
            self.waiting.pop_first();
            self.place(cx, slot, conn);
        }
        while self.tally.waiting > self.tally.leaving {
            let Some(&(_, _, slot)) = self.lingering.first() else {
                break;
            };
            self.end_linger(cx, slot);
        }
        for (at, conn) in self.conns.iter().enumerate() {
            if conn.ready && !conn.work.is_empty() {
                let conn = ConnId::from_index(at);
                cx.effects.push(Effect::Wake { conn });
            }
        }
    }

    /// Sends what lingers on its way out.
    pub(crate) fn end_linger(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        self.stop_timer(slot);
        self.update(slot, |entry| entry.life = Life::Leaving);
        self.sync(cx, slot);
    }

    /// Forgets the linger or the grace of an instrument, if one runs.
    pub(crate) fn stop_timer(&mut self, slot: Slot) {
        let entry = &mut self.table[slot];
        let Some(deadline) = entry.deadline.take() else {
            return;
        };
        if entry.life == Life::Lingering {
            self.lingering
                .remove(&(deadline, Reverse(entry.distance), slot));
        } else {
            self.grace.remove(&(deadline, slot));
        }
    }

    /// Gives an instrument another worth, which is part of where it is queued.
    pub(crate) fn rerank(&mut self, slot: Slot, rank: Rank) {
        let entry = &mut self.table[slot];
        if entry.rank == rank {
            return;
        }
        if entry.life == Life::Waiting {
            self.waiting.remove(&(entry.rank, slot));
            self.waiting.insert((rank, slot));
        }
        for side in entry.sides.iter_mut().flatten() {
            if let Some(task) = side.task {
                let work = &mut self.conns[side.conn.index()].work;
                work.remove(task, entry.rank, slot);
                work.insert(task, rank, slot);
            }
        }
        entry.rank = rank;
    }

    /// Brings the queues in line with what an instrument is and what its wires are,
    /// and ends what has nothing left to do.
    pub(crate) fn sync(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        let entry = &mut self.table[slot];
        match (entry.life, entry.sides[HOME]) {
            (Life::Waiting, _) => {
                self.waiting.insert((entry.rank, slot));
                return;
            }
            (Life::Lingering, Some(home)) if home.wire == Wire::Idle => {
                self.stop_timer(slot);
                self.update(slot, |entry| entry.life = Life::Leaving);
            }
            _ => {}
        }
        if self.sync_side(slot, OTHER) {
            self.update(slot, |entry| entry.sides[OTHER] = None);
        }
        if self.sync_side(slot, HOME) {
            self.update(slot, |entry| entry.sides[HOME] = entry.sides[OTHER].take());
            if let Some(conn) = self.table[slot].home() {
                cx.effects.push(Effect::Homed { slot, conn });
            }
        }
        let entry = &self.table[slot];
        if entry.life == Life::Leaving && entry.home().is_none() {
            self.leave(cx, slot);
        }
    }

    /// Queues what one side needs next. Whether the side is over.
    fn sync_side(&mut self, slot: Slot, at: usize) -> bool {
        let entry = &mut self.table[slot];
        let (kept, lingers) = (entry.keeps(at), entry.life == Life::Lingering);
        let mode = entry.shown.mode;
        let Some(side) = &mut entry.sides[at] else {
            return false;
        };
        let conn = &mut self.conns[side.conn.index()];
        let task = match side.wire {
            Wire::Idle if kept => Some(Task::Enter(mode)),
            Wire::Live(old) if !kept => Some(Task::Leave(old)),
            Wire::Live(old) if old != mode && !lingers => Some(Task::Change(old)),
            // In flight: what comes next is known when it has been written.
            _ => None,
        };
        if side.task != task {
            if let Some(task) = side.task {
                conn.work.remove(task, entry.rank, slot);
            }
            if let Some(task) = task {
                conn.work.insert(task, entry.rank, slot);
            }
            side.task = task;
        }
        side.wire == Wire::Idle && !kept
    }

    /// The last side of an instrument that nobody holds is over.
    fn leave(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        let entry = &self.table[slot];
        if entry.bound {
            let key = entry.key;
            cx.effects.push(Effect::Unbind { slot, key });
        }
        self.update(slot, |entry| entry.life = Life::Vacant);
        self.table.give_back(cx.now, slot, self.config.quarantine);
    }

    fn tell_desired(&self, cx: &mut Cx<'_>, slot: Slot, owner: Owner) {
        let entry = &self.table[slot];
        cx.effects.push(Effect::Desired {
            slot,
            key: entry.key,
            tier: entry.shown.tier,
            mode: entry.shown.mode,
            owner,
        });
    }

    fn tell_bound(&self, cx: &mut Cx<'_>, slot: Slot) {
        let entry = &self.table[slot];
        if let Some(home) = entry.home() {
            cx.effects.push(Effect::Bind {
                slot,
                key: entry.key,
                step: entry.step,
                home,
            });
        }
    }

    fn tell_changed(&self, cx: &mut Cx<'_>, slot: Slot, before: Hold) {
        let entry = &self.table[slot];
        if entry.shown != before {
            cx.effects.push(Effect::Changed {
                slot,
                key: entry.key,
                tier: entry.shown.tier,
                mode: entry.shown.mode,
            });
        }
    }
}
