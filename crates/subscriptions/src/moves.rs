//! Moving instruments from one connection to another, and what time does.

use core::cmp::Reverse;

use strikewire_types::{ConnId, Mono, Now, Slot};

use crate::Effect;
use crate::book::Book;
use crate::instruments::Cx;
use crate::table::{Entry, HOME, Life, OTHER, Side, Trust, Wire};

/// The home of an instrument that is held and on one connection alone.
pub(crate) fn placed(entry: &Entry) -> Option<Side> {
    match (entry.life, entry.sides) {
        (Life::Placed, [Some(home), None]) => Some(home),
        _ => None,
    }
}

impl Book {
    /// Evens the connections out by moving as few instruments as it takes; says how
    /// many, those that are still to begin included.
    ///
    /// What matters least moves, so that the least harm is done. An instrument on the
    /// wire is subscribed on its new connection before it leaves the old one; at most
    /// [`Config::moves_at_once`](crate::Config::moves_at_once) do so at a time, and more
    /// begin as those end. With no room for both subscriptions one stays for another
    /// time. Connections that are down, or were for long and are just back, neither give
    /// nor take.
    pub fn rebalance(&mut self, now: Now, effects: &mut Vec<Effect>) -> usize {
        let mut cx = Cx { now, effects };
        let moved = self.even_out(&mut cx);
        self.finish(&mut cx);
        moved
    }

    /// Begins to even the connections out; how many move, now or later.
    pub(crate) fn even_out(&mut self, cx: &mut Cx<'_>) -> usize {
        let spare = self.spread();
        let mut moves = Vec::new();
        for at in (0..spare.len()).filter(|&at| spare[at] > 0) {
            moves.extend(self.placed_on(ConnId::from_index(at)));
        }
        moves.sort_unstable();
        self.moves = moves;
        let begun = self.go_on_moving(cx);
        let waits = !self.moves.is_empty();
        begun + if waits { self.surplus() } else { 0 }
    }

    /// Begins those moves that may be under way now; how many.
    pub(crate) fn go_on_moving(&mut self, cx: &mut Cx<'_>) -> usize {
        let mut begun = 0;
        if self.moves.is_empty() {
            return begun;
        }
        let mut spare = self.spread();
        while self.tally.moving < self.config.moves_at_once {
            if spare.iter().all(|&spare| spare <= 0) {
                self.moves.clear();
            }
            let Some(&(_, slot)) = self.moves.last() else {
                break;
            };
            let entry = &self.table[slot];
            let home = placed(entry).filter(|home| spare[home.conn.index()] > 0);
            let Some(home) = home.filter(|_| entry.trust == Trust::Fine) else {
                self.moves.pop();
                continue;
            };
            let is_full = home.wire != Wire::Idle && self.tally.charged >= self.config.total;
            let to = (0..spare.len())
                .filter(|&at| spare[at] < 0 && !is_full && self.tally.conns[at].has_room())
                .min_by_key(|&at| spare[at]);
            let Some(to) = to else {
                // Room comes when what is on its way out has gone, if something is.
                if self.tally.moving + self.tally.leaving > 0 {
                    break;
                }
                self.moves.pop();
                continue;
            };
            self.moves.pop();
            spare[home.conn.index()] -= 1;
            spare[to] += 1;
            begun += 1;
            self.start_move(cx, slot, home, ConnId::from_index(to));
        }
        begun
    }

    /// How many instruments are on connections that have too many.
    pub(crate) fn surplus(&self) -> usize {
        let spare = self.spread().into_iter();
        spare.map(|spare| usize::try_from(spare).unwrap_or(0)).sum()
    }

    /// How many instruments each connection has too many, or too few. The odd ones
    /// stay where the most are, so that the fewest move. One that may not hold an even
    /// share holds what it may.
    fn spread(&self) -> Vec<isize> {
        let mut spare = vec![0; self.conns.len()];
        let load = |at: usize| &self.tally.conns[at];
        let mut open: Vec<usize> = (0..self.conns.len())
            .filter(|&at| self.is_present(at))
            .collect();
        let mut all: usize = open.iter().map(|&at| load(at).settled).sum();
        loop {
            if open.is_empty() {
                return spare;
            }
            let (even, before) = (all / open.len(), open.len());
            open.retain(|&at| {
                let is_small = load(at).cap <= even;
                if is_small {
                    spare[at] = load(at).settled as isize - load(at).cap as isize;
                    all -= load(at).cap;
                }
                !is_small
            });
            if open.len() == before {
                break;
            }
        }
        open.sort_by_key(|&at| Reverse(load(at).settled));
        let (even, odd) = (all / open.len(), all % open.len());
        for (nth, &at) in open.iter().enumerate() {
            let share = even + usize::from(nth < odd);
            spare[at] = load(at).settled as isize - share as isize;
        }
        spare
    }

    fn start_move(&mut self, cx: &mut Cx<'_>, slot: Slot, home: Side, to: ConnId) {
        if home.wire == Wire::Idle {
            // Nothing to make before the break: it was never sent.
            self.reassign(cx, slot, to);
        } else {
            let from = home.conn;
            self.update(cx, slot, |entry, effects| {
                entry.sides[OTHER] = Some(Side::idle(to));
                entry.life = Life::Moving;
                effects.push(Effect::Migrate { slot, from, to });
            });
        }
    }

    /// Gives an instrument that is on no wire another home.
    pub(crate) fn reassign(&mut self, cx: &mut Cx<'_>, slot: Slot, to: ConnId) {
        self.leave_queue(slot);
        self.update(cx, slot, |entry, effects| {
            entry.sides[HOME] = Some(Side::idle(to));
            effects.push(Effect::Homed { slot, conn: to });
        });
    }

    /// Takes its home from an instrument that is on no wire: it waits for another one.
    pub(crate) fn unplace(&mut self, cx: &mut Cx<'_>, slot: Slot) {
        self.leave_queue(slot);
        self.update(cx, slot, |entry, effects| {
            entry.sides[HOME] = None;
            entry.life = Life::Waiting;
            let key = entry.key;
            effects.push(Effect::Unbind { slot, key });
        });
    }

    fn leave_queue(&mut self, slot: Slot) {
        if let Some(home) = self.table[slot].sides[HOME]
            && home.task.is_some()
        {
            self.conns[home.conn.index()].work.remove();
        }
    }

    /// Ends a migration on the new side or back on the old one. What is then the
    /// other side is on its way out.
    pub(crate) fn end_move(&mut self, cx: &mut Cx<'_>, slot: Slot, arrived: bool) {
        self.stop_timer(slot);
        self.update(cx, slot, |entry, effects| {
            entry.life = Life::Placed;
            if arrived {
                entry.sides.swap(HOME, OTHER);
            }
            if let Some(conn) = entry.home() {
                effects.push(Effect::Homed { slot, conn });
            }
        });
    }

    /// Takes note that a packet of the instrument in `slot` came from `conn`. Ends
    /// its migration if that is where it goes; else nothing changes. Where its
    /// subscription there is just being replaced, the migration goes on, and
    /// [`Effect::Migrate`] says so again.
    pub fn handle_first_packet(
        &mut self,
        now: Now,
        slot: Slot,
        conn: ConnId,
        effects: &mut Vec<Effect>,
    ) {
        let mut cx = Cx { now, effects };
        let Some(entry) = self.table.get(slot) else {
            return;
        };
        let (Life::Moving, Some(side)) = (entry.life, entry.sides[OTHER]) else {
            return;
        };
        if side.conn != conn {
            return;
        }
        if let Wire::Idle | Wire::Unsubscribing(_) = side.wire {
            // Its mode is being changed there, or the packet is older than the move.
            // Without the old side there would be no data until that is done.
            if let Some(from) = entry.home() {
                cx.effects.push(Effect::Migrate {
                    slot,
                    from,
                    to: conn,
                });
            }
            return;
        }
        self.end_move(&mut cx, slot, true);
        self.finish(&mut cx);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next; none
    /// while nothing waits for time to pass.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let linger = self.lingering.first().map(|&(deadline, ..)| deadline);
        let grace = self.grace.first().map(|&(deadline, _)| deadline);
        let conns = self.conns.iter().enumerate();
        let conns = conns.flat_map(|(at, conn)| {
            let doubt = &conn.doubt;
            [doubt.until, doubt.shrunk, self.absence_ends(at)]
        });
        conns.flatten().chain(linger).chain(grace).min()
    }

    /// Ends what has lingered long enough and the migrations whose first packet does
    /// not come. Connections that are down for long hand over what matters most, and
    /// get a share back when they return, where one moves at least a message's worth or
    /// something was handed over. Does nothing when called too early.
    pub fn handle_timeout(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut cx = Cx { now, effects };
        while let Some(&(deadline, _, slot)) = self.lingering.first() {
            if deadline > now.mono {
                break;
            }
            self.end_linger(&mut cx, slot);
        }
        while let Some(&(deadline, slot)) = self.grace.first() {
            if deadline > now.mono {
                break;
            }
            let live = |side: Side| matches!(side.wire, Wire::Live(_) | Wire::Renew(_));
            if self.table[slot].sides[OTHER].is_some_and(live) {
                self.end_move(&mut cx, slot, true);
            } else {
                // Its mode is just being changed: the grace begins again after that.
                self.stop_timer(slot);
            }
        }
        let is_due = |at: Mono| at <= now.mono;
        for at in 0..self.conns.len() {
            if self.conns[at].doubt.until.is_some_and(is_due) {
                self.end_pause(&mut cx, ConnId::from_index(at));
            }
        }
        self.restore_caps(is_due);
        self.end_absences(&mut cx);
        self.finish(&mut cx);
    }
}
