//! Moving instruments from one connection to another, and what time does.

use core::cmp::Reverse;

use strikewire_types::{ConnId, Mono, Now, Slot};

use crate::Effect;
use crate::book::Book;
use crate::instruments::Cx;
use crate::table::{HOME, Life, OTHER, Side, Wire};

impl Book {
    /// Evens the connections out by moving as few instruments as it takes; says how
    /// many it began to move.
    ///
    /// An instrument on the wire is subscribed on its new connection before it leaves
    /// the old one; with no room for both, it stays for another time. Connections
    /// that are down neither give nor take.
    pub fn rebalance(&mut self, now: Now, effects: &mut Vec<Effect>) -> usize {
        let mut cx = Cx { now, effects };
        let mut spare = self.spread();
        let mut moved = 0;
        for slot in self.table.slots() {
            let entry = &self.table[slot];
            let (Life::Placed, [Some(home), None]) = (entry.life, entry.sides) else {
                continue;
            };
            if spare[home.conn.index()] <= 0 {
                continue;
            }
            let on_wire = home.wire != Wire::Idle;
            if on_wire && self.tally.charged >= self.config.total {
                continue;
            }
            let room = |at: usize| self.tally.conns[at].charged < self.config.per_connection;
            let Some(to) = (0..spare.len())
                .filter(|&at| spare[at] < 0 && room(at))
                .min_by_key(|&at| spare[at])
            else {
                continue;
            };
            spare[home.conn.index()] -= 1;
            spare[to] += 1;
            moved += 1;
            self.start_move(&mut cx, slot, home, ConnId::from_index(to));
        }
        self.finish(&mut cx);
        moved
    }

    /// How many instruments each connection has too many, or too few. The odd ones
    /// stay where the most are, so that the fewest move.
    fn spread(&self) -> Vec<isize> {
        let mut spare = vec![0; self.conns.len()];
        let settled = |at: usize| self.tally.conns[at].settled;
        let mut up: Vec<usize> = (0..self.conns.len())
            .filter(|&at| self.conns[at].up)
            .collect();
        if up.is_empty() {
            return spare;
        }
        up.sort_by_key(|&at| Reverse(settled(at)));
        let all: usize = up.iter().map(|&at| settled(at)).sum();
        let (even, odd) = (all / up.len(), all % up.len());
        for (nth, &at) in up.iter().enumerate() {
            let share = even + usize::from(nth < odd);
            spare[at] = settled(at) as isize - share as isize;
        }
        spare
    }

    fn start_move(&mut self, cx: &mut Cx<'_>, slot: Slot, home: Side, to: ConnId) {
        if home.wire == Wire::Idle {
            // Nothing to make before the break: it was never sent.
            if home.task.is_some() {
                self.conns[home.conn.index()].work.remove();
            }
            self.update(cx, slot, |entry, effects| {
                entry.sides[HOME] = Some(Side::idle(to));
                effects.push(Effect::Homed { slot, conn: to });
            });
        } else {
            let from = home.conn;
            self.update(cx, slot, |entry, effects| {
                entry.sides[OTHER] = Some(Side::idle(to));
                entry.life = Life::Moving;
                effects.push(Effect::Migrate { slot, from, to });
            });
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
    /// its migration if that is where it goes; else nothing changes.
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
        if side.conn == conn && side.wire != Wire::Idle {
            self.end_move(&mut cx, slot, true);
            self.finish(&mut cx);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next; none
    /// while nothing lingers and no migration waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        let linger = self.lingering.first().map(|&(deadline, ..)| deadline);
        let grace = self.grace.first().map(|&(deadline, _)| deadline);
        linger.into_iter().chain(grace).min()
    }

    /// Ends what has lingered long enough and the migrations whose first packet does
    /// not come. Does nothing when called too early.
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
            let live = |side: Side| matches!(side.wire, Wire::Live(_));
            if self.table[slot].sides[OTHER].is_some_and(live) {
                self.end_move(&mut cx, slot, true);
            } else {
                // Its mode is just being changed: the grace begins again after that.
                self.stop_timer(slot);
            }
        }
        self.finish(&mut cx);
    }
}
