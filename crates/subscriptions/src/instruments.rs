//! The life of an instrument: held, placed, let go, gone.

use core::cmp::Reverse;

use strikewire_types::{ConnId, Now, Slot};

use crate::book::Book;
use crate::rank::Rank;
use crate::table::{Entry, HOME, Hold, Life, Load, OTHER, Task};
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
    /// Changes an instrument, keeps the counts and does what follows from it: queues
    /// what its wires have to do and ends what has nothing left to do. Everything that
    /// is counted changes in here, and each instrument is looked up and counted once.
    pub(crate) fn update(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Slot,
        change: impl FnOnce(&mut Entry, &mut Vec<Effect>),
    ) {
        self.version += 1;
        let entry = &mut self.table[slot];
        self.tally.take(entry);
        change(entry, cx.effects);
        self.follow(cx, slot);
        self.tally.put(&self.table[slot]);
    }

    /// Does what follows from a change of an instrument's wires alone.
    pub(crate) fn sync(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        let entry = &self.table[slot];
        if entry.is_over(HOME) || entry.is_over(OTHER) || entry.lingers_nowhere() {
            self.update(cx, slot, |_, _| {});
        } else {
            self.follow(cx, slot);
        }
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
        self.table.detail_mut(slot).since = cx.now.utc;
        self.update(cx, slot, |entry, effects| {
            entry.holds.add(hold);
            entry.follow();
            entry.life = Life::Placed;
            effects.push(desired(slot, entry, owner));
        });
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
        // Behind others that wait it waits too: the most valuable is placed first.
        let home = if self.tally.waiting == 0 {
            self.roomiest()
        } else {
            None
        };
        self.version += 1;
        let slot = self.table.take(cx.now, leg.key, leg.step);
        let entry = &mut self.table[slot];
        entry.holds.add(hold);
        entry.shown = hold;
        entry.rank = rank;
        cx.effects.push(desired(slot, entry, owner));
        entry.settle_on(home);
        // All that follows for something new, without looking for it.
        if let (Some(home), Some(side)) = (home, &mut entry.sides[HOME]) {
            let task = Task::Enter(hold.mode);
            side.task = Some(task);
            self.conns[home.index()].work.insert(task, rank, slot);
            cx.effects.push(Effect::Bind {
                slot,
                key: leg.key,
                step: leg.step,
                home,
            });
        } else {
            self.waiting.insert((rank, slot));
        }
        self.tally.put(entry);
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
        let rank = rank.min(self.table[slot].rank);
        self.rerank(slot, rank);
        if old == Some(new) {
            return;
        }
        self.update(cx, slot, |entry, effects| {
            let before = entry.shown;
            if let Some(old) = old {
                entry.holds.remove(old);
            }
            entry.holds.add(new);
            entry.follow();
            effects.extend(changed(slot, entry, before));
        });
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
        if entry.holds.all() > 1 {
            self.update(cx, slot, |entry, effects| {
                let before = entry.shown;
                entry.holds.remove(hold);
                entry.follow();
                effects.extend(changed(slot, entry, before));
            });
            return false;
        }
        if entry.life == Life::Waiting {
            self.waiting.remove(&(entry.rank, slot));
        }
        if entry.is_unsent() {
            self.forget(cx, slot, how);
            return true;
        }
        self.stop_timer(slot);
        let lingers = how.lingers && self.table[slot].is_on_wire();
        self.update(cx, slot, |entry, effects| {
            effects.push(Effect::Undesired {
                slot,
                key: entry.key,
                owner: how.owner,
                why: how.why,
            });
            if let (Life::Moving, Some(conn)) = (entry.life, entry.home()) {
                effects.push(Effect::Homed { slot, conn });
            }
            entry.holds.remove(hold);
            entry.life = if lingers {
                Life::Lingering
            } else {
                Life::Leaving
            };
        });
        if lingers {
            let deadline = cx.now.mono + self.config.linger;
            let detail = self.table.detail_mut(slot);
            detail.distance = distance;
            detail.deadline = Some(deadline);
            self.lingering.insert((deadline, Reverse(distance), slot));
        }
        true
    }

    /// The last holder lets go of what no wire was told of, so that it is over at once.
    /// The same would follow from [`update`](Self::update), with more looking around.
    fn forget(&mut self, cx: &mut Cx<'_>, slot: Slot, how: LetGo) {
        self.version += 1;
        let entry = &self.table[slot];
        self.tally.take(entry);
        let key = entry.key;
        cx.effects.push(Effect::Undesired {
            slot,
            key,
            owner: how.owner,
            why: how.why,
        });
        if let Some(side) = entry.sides[HOME] {
            if side.task.is_some() {
                self.conns[side.conn.index()].work.remove();
            }
            cx.effects.push(Effect::Unbind { slot, key });
        }
        self.table.give_back(cx.now, slot, self.config.quarantine);
    }

    /// Assigns an instrument that waited to a connection that has room.
    fn place(&mut self, cx: &mut Cx<'_>, slot: Slot, conn: ConnId) {
        let step = self.table.detail(slot).step;
        self.update(cx, slot, |entry, effects| {
            entry.settle_on(Some(conn));
            effects.push(Effect::Bind {
                slot,
                key: entry.key,
                step,
                home: conn,
            });
        });
    }

    /// The connection for the next instrument, as [`roomiest`] says. None when the
    /// total is reached, too.
    fn roomiest(&self) -> Option<ConnId> {
        if self.tally.charged >= self.config.total {
            return None;
        }
        roomiest(&self.tally.conns)
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
        self.go_on_moving(cx);
        if self.tally.desired == 0 {
            self.restore_caps(|_| true);
        }
        for (at, conn) in self.conns.iter_mut().enumerate() {
            let id = ConnId::from_index(at);
            conn.work.tidy(id, &self.table);
            if conn.ready && !conn.doubt.is_waiting() && !conn.work.is_empty() {
                cx.effects.push(Effect::Wake { conn: id });
            }
        }
    }

    /// Sends what lingers on its way out.
    pub(crate) fn end_linger(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        self.stop_timer(slot);
        self.update(cx, slot, |entry, _| entry.life = Life::Leaving);
    }

    /// Forgets the linger or the grace of an instrument, if one runs.
    pub(crate) fn stop_timer(&mut self, slot: Slot) {
        let life = self.table[slot].life;
        if !matches!(life, Life::Lingering | Life::Moving) {
            return;
        }
        let detail = self.table.detail_mut(slot);
        let distance = detail.distance;
        let Some(deadline) = detail.deadline.take() else {
            return;
        };
        if life == Life::Lingering {
            self.lingering.remove(&(deadline, Reverse(distance), slot));
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
        for side in entry.sides.iter().flatten() {
            if let Some(task) = side.task {
                let work = &mut self.conns[side.conn.index()].work;
                work.rerank(task, rank, slot);
            }
        }
        entry.rank = rank;
    }

    /// Brings the queues in line with what an instrument is and what its wires are,
    /// and ends what has nothing left to do. The instrument is out of the counts, or
    /// nothing of it that is counted changes.
    fn follow(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        if self.table[slot].lingers_nowhere() {
            self.stop_timer(slot);
            self.table[slot].life = Life::Leaving;
        }
        let entry = &mut self.table[slot];
        if entry.life == Life::Waiting {
            self.waiting.insert((entry.rank, slot));
            return;
        }
        for at in [OTHER, HOME] {
            let Some(mut side) = entry.sides[at] else {
                continue;
            };
            let task = entry.task(at, side.wire);
            if side.task == task {
                continue;
            }
            let work = &mut self.conns[side.conn.index()].work;
            if let Some(task) = task {
                work.insert(task, entry.rank, slot);
            }
            if side.task.is_some() {
                work.remove();
            }
            side.task = task;
            entry.sides[at] = Some(side);
        }
        if entry.is_over(OTHER) {
            entry.sides[OTHER] = None;
        }
        if entry.is_over(HOME) {
            entry.sides[HOME] = entry.sides[OTHER].take();
            if let Some(conn) = entry.home() {
                cx.effects.push(Effect::Homed { slot, conn });
            }
        }
        // The last side of an instrument that nobody holds is over.
        if entry.life == Life::Leaving && entry.home().is_none() {
            if entry.bound {
                let key = entry.key;
                cx.effects.push(Effect::Unbind { slot, key });
            }
            self.table.give_back(cx.now, slot, self.config.quarantine);
        }
    }
}

/// The connection for an instrument: where the fewest will be once everything has
/// settled, then which is charged for the fewest, then the first. One that is down
/// takes its share, since it comes back; one that is down for long takes what no other
/// has room for. None when no connection has room.
pub(crate) fn roomiest(conns: &[Load]) -> Option<ConnId> {
    let mut best = None;
    for (at, load) in conns.iter().enumerate() {
        let worth = (load.away, load.settled, load.charged);
        if load.has_room() && best.is_none_or(|(least, _)| worth < least) {
            best = Some((worth, at));
        }
    }
    best.map(|(_, at)| ConnId::from_index(at))
}

const fn desired(slot: Slot, entry: &Entry, owner: Owner) -> Effect {
    Effect::Desired {
        slot,
        key: entry.key,
        tier: entry.shown.tier,
        mode: entry.shown.mode,
        owner,
    }
}

fn changed(slot: Slot, entry: &Entry, before: Hold) -> Option<Effect> {
    (entry.shown != before).then_some(Effect::Changed {
        slot,
        key: entry.key,
        tier: entry.shown.tier,
        mode: entry.shown.mode,
    })
}
