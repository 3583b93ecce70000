//! Where a plan would go.

use strikewire_types::{Mode, Slot};

use crate::Plan;
use crate::book::{Book, by_worth, split};
use crate::instruments::roomiest;
use crate::table::{HOME, Wire};
use crate::victims::Ground;

/// What a plan would do to the wires. Made by [`Book::forecast`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Forecast {
    /// Instruments that would be subscribed and that nobody holds yet, for each
    /// connection in order.
    pub by_connection: Vec<usize>,
    /// The messages that subscribe them: each is for one connection and one mode and
    /// has at most [`Config::per_batch`](crate::Config::per_batch) of them.
    pub messages: usize,
    /// Instruments that nobody would hold any more because of the evictions.
    pub leaves: usize,
}

impl Book {
    /// What a plan would do to the wires; changes nothing.
    ///
    /// New instruments are placed as [`apply`](Self::apply) places them. Those that
    /// have to wait until what goes has left the wire are placed as if all of it had
    /// left at once; really the room on one connection can come before that on
    /// another, so that only their sum is certain. A migration under way, rolled legs
    /// that wait for room and connections that are down make it differ, too.
    ///
    /// A plan is for the book it was made from: for another the numbers mean little.
    #[must_use]
    pub fn forecast(&self, plan: &Plan) -> Forecast {
        let mut arrivals = vec![[0; Mode::ALL.len()]; self.conns.len()];
        let mut loads = self.tally.conns.clone();
        let mut charged = self.tally.charged;
        // What goes.
        let own = self.held_by(plan.owner);
        let victims = plan.victims.iter().filter_map(|v| self.held_by(v.owner));
        let mut ground = Ground::new(self, &plan.legs, own);
        for claim in victims.clone() {
            ground.take(claim);
        }
        let claims = own.into_iter().chain(victims);
        let slots = claims.flat_map(|claim| &claim.legs).map(|leg| leg.slot);
        let mut gone: Vec<Slot> = slots.filter(|&slot| ground.is_free(slot)).collect();
        gone.sort_unstable();
        gone.dedup();
        for slot in gone {
            let entry = &self.table[slot];
            let Some(side) = entry.settled().and_then(|at| entry.sides[at]) else {
                continue;
            };
            let load = &mut loads[side.conn.index()];
            load.settled -= 1;
            if side.wire == Wire::Idle {
                load.charged -= 1;
                charged -= 1;
            }
        }
        // What comes back to where it is still charged.
        let (known, fresh) = split(&plan.legs);
        for wanted in known {
            let entry = wanted.slot().and_then(|slot| self.table.get(slot));
            let Some(entry) = entry.filter(|entry| !entry.life.is_desired()) else {
                continue;
            };
            if let Some(side) = entry.sides[HOME] {
                loads[side.conn.index()].settled += 1;
                if side.wire != Wire::Live(wanted.leg.mode) {
                    arrivals[side.conn.index()][wanted.leg.mode as usize] += 1;
                }
            }
        }
        // What is new, and once there is no room, as if all that goes had gone.
        let mut settle = self.tally.waiting > 0;
        let mut cleared = false;
        for at in by_worth(fresh) {
            settle |= charged >= self.config.total;
            let mut conn = roomiest(&loads).filter(|_| !settle);
            if conn.is_none() && !cleared {
                for load in &mut loads {
                    load.charged = load.settled;
                }
                charged = loads.iter().map(|load| load.settled).sum();
                (settle, cleared) = (false, true);
                conn = roomiest(&loads);
            }
            let Some(conn) = conn.filter(|_| charged < self.config.total) else {
                break;
            };
            let load = &mut loads[conn.index()];
            load.charged += 1;
            load.settled += 1;
            charged += 1;
            arrivals[conn.index()][fresh[at].leg.mode as usize] += 1;
        }
        let messages = arrivals.iter().flatten();
        Forecast {
            by_connection: arrivals.iter().map(|modes| modes.iter().sum()).collect(),
            messages: messages
                .map(|n: &usize| n.div_ceil(self.config.per_batch))
                .sum(),
            leaves: plan.victims.iter().map(|victim| victim.frees).sum(),
        }
    }
}
