//! What must hold after every operation and at rest.

use std::collections::{BTreeMap, BTreeSet};

use rand::prelude::*;
use strikewire_subscriptions::{Effect, OnWire, Owner, State, Status};
use strikewire_types::{ConnId, InstrumentKey, Mode, Tier};

use crate::broker::Semantics;
use crate::mirror::Told;
use crate::naive::Legs;
use crate::run::{CONNECTIONS, Run, conn, nanos};
use crate::seen::Seen;

impl Run {
    /// At rest the wire is what is desired.
    pub(crate) fn check_rest(&self) {
        let desired = self.naive.desired();
        let status = self.book.status();
        let caps: usize = status.connections.iter().map(|conn| conn.cap).sum();
        let over = desired.len().saturating_sub(self.config.total.min(caps));
        assert_eq!(status.unplaced, over);
        assert_eq!((status.lingering, status.migrating), (0, 0));
        let refused = &self.mirror.refused;
        assert_eq!((status.suspects, status.refused), (0, refused.len()));
        assert_eq!(self.broker.len(), desired.len() - over - refused.len());
        for (at, wire) in self.broker.wires.iter().enumerate() {
            let aside = |key: &&InstrumentKey| self.mirror.row(**key).unwrap().1.home == conn(at);
            let aside = refused.iter().filter(aside).count();
            assert_eq!(status.connections[at].charged, wire.len() + aside);
            assert_eq!(status.connections[at].handed_over, 0);
            assert_eq!(status.connections[at].in_flight, None);
            for (&key, modes) in wire {
                let mode = desired[&key].1;
                assert_eq!(*modes, BTreeSet::from([mode]), "{key}");
                assert_eq!(self.broker.on(key), [conn(at)]);
                let (slot, row) = self.mirror.row(key).expect("bound");
                assert_eq!((row.home, row.target), (conn(at), None));
                let wire = OnWire {
                    conn: conn(at),
                    mode,
                    since: self.confirmed[&key],
                };
                assert_eq!(self.book.on_wire(slot), Some(wire));
            }
        }
    }

    /// Who is handed over, and when, by the rule: from a connection that is down, to
    /// others, once one of them has been up for the grace.
    pub(crate) fn check_handover(&self, before: &Status, told: &Told, seen: &mut Seen) {
        let up_for = |at: usize| self.up_since[at].map(|up| self.now.mono.since(up.mono));
        let from = |conn: ConnId| told.rehomed.iter().filter(move |(from, _)| *from == conn);
        for &(conn, moved) in &told.handed_over {
            let at = conn.index();
            assert!(!before.connections[at].up);
            assert_eq!(from(conn).count(), moved);
            let there = (0..CONNECTIONS).filter_map(up_for).max();
            let patience = if self.gone_for_good[at] {
                self.config.settle
            } else {
                self.config.handover
            };
            assert!(there >= Some(patience), "{conn} after {there:?}");
            seen.handed_over += moved as u64;
            seen.handed_over_for_good += u64::from(self.gone_for_good[at]);
            let status = self.book.status();
            let left = self.mirror.rows.values().filter(|row| row.home == conn);
            seen.stays_for_lack_of_room += u64::from(left.count() > 0);
            let on = &status.connections[at];
            assert_eq!(on.handed_over, before.connections[at].handed_over + moved);
        }
        for (at, conn) in before.connections.iter().enumerate() {
            let is_told = told.handed_over.iter().any(|(from, _)| from.index() == at);
            if !conn.up && !is_told {
                assert_eq!(from(conn.conn).count(), 0);
            }
        }
        for &(_, to) in &told.rehomed {
            assert!(before.connections[to.index()].up);
        }
    }

    /// At rest a rebalance moves as few as it takes, and then they are even.
    pub(crate) fn even_out(&mut self, seen: &mut Seen) {
        if !self.mirror.refused.is_empty() {
            // What is not on the wire does not move.
            return;
        }
        let loads: Vec<usize> = self.broker.wires.iter().map(BTreeMap::len).collect();
        let caps = |run: &Self| -> Vec<usize> {
            let conns = run.book.status().connections.into_iter();
            conns.map(|conn| conn.cap).collect()
        };
        let before = caps(self);
        // One after the other where the fewest are; the heaviest keep the odd ones.
        let mut shares = [0; CONNECTIONS];
        for _ in 0..loads.iter().sum() {
            let open = (0..CONNECTIONS).filter(|&at| shares[at] < before[at]);
            let least = open.min_by_key(|&at| (shares[at], usize::MAX - loads[at]));
            shares[least.expect("room")] += 1;
        }
        let surplus = |n: usize| loads[n].saturating_sub(shares[n]);
        let fewest: usize = (0..CONNECTIONS).map(surplus).sum();
        let is_full = self.config.total == loads.iter().sum::<usize>();
        let moved = self.book.rebalance(self.now, &mut self.effects);
        self.evens_out = true;
        self.read(seen);
        assert_eq!(moved, if is_full { 0 } else { fewest });
        self.settle(seen);
        // Unless the broker turned out to take less.
        if !is_full && caps(self) == before {
            assert_eq!(self.book.rebalance(self.now, &mut self.effects), 0);
        }
    }

    pub(crate) fn read(&mut self, seen: &mut Seen) -> Told {
        let now = self.now.mono.as_nanos();
        for effect in &self.effects {
            if let Effect::Bind { slot, key, .. } = *effect {
                let old = self.slots.insert(slot, key);
                seen.slot_reused += u64::from(old.is_some_and(|old| old != key));
            }
        }
        let rest = nanos(self.config.quarantine);
        let told = self.mirror.read(now, rest, &self.effects);
        self.effects.clear();
        // Nothing moves from rest unless somebody asked or the book says why.
        self.evens_out |= told.rebalanced.is_some();
        assert!(self.evens_out || told.migrated == 0);
        for &(old, new) in &told.changed {
            let changed = u64::from(new.1 != old.1);
            match self.broker.semantics {
                Semantics::Set => seen.mode_change_in_a_set += changed,
                Semantics::Last => seen.mode_change_the_last_wins += changed,
                Semantics::Drop => seen.mode_change_any_drops += changed,
            }
            seen.mode_up += u64::from(new.1 > old.1);
            seen.mode_down += u64::from(new.1 < old.1);
            seen.tier_up += u64::from(new.0 > old.0);
            seen.tier_down += u64::from(new.0 < old.0);
        }
        for &key in &told.unbound {
            assert_eq!(self.broker.on(key), [], "{key} is still on a wire");
            let outboxes = self
                .sockets
                .iter()
                .filter_map(|socket| socket.outbox.as_ref());
            assert!(
                !outboxes
                    .flat_map(|batch| &batch.keys)
                    .any(|sent| *sent == key)
            );
        }
        told
    }

    pub(crate) fn check(&mut self) {
        // What is left here has nothing to read but whom to wake.
        assert!(
            self.effects
                .iter()
                .all(|e| matches!(e, Effect::Wake { .. }))
        );
        self.effects.clear();
        self.forget_settled();
        // What is wrong stays wrong: every other step will do.
        if self.rng.random() {
            return;
        }
        let desired = self.naive.desired();
        assert_eq!(self.mirror.desired, desired);
        let status = self.book.status();
        let tier_b = desired
            .values()
            .filter(|(tier, _)| *tier == Tier::B)
            .count();
        assert_eq!((status.desired, status.tier_b), (desired.len(), tier_b));
        assert_eq!(status.tier_a, desired.len() - tier_b);
        assert_eq!(status.free, self.config.total.saturating_sub(desired.len()));
        assert_eq!(status.claims, self.naive.claims.len());
        for mode in Mode::ALL {
            let of_mode = desired.values().filter(|value| value.1 == mode).count();
            assert_eq!(status.by_mode[mode as usize], of_mode);
        }
        let bound: BTreeSet<InstrumentKey> = self.mirror.rows.values().map(|row| row.key).collect();
        let unplaced = desired.keys().filter(|key| !bound.contains(key)).count();
        assert_eq!(status.unplaced, unplaced);
        assert_eq!(status.refused, self.mirror.refused.len());
        let poison = &self.broker.poison;
        assert!(self.mirror.refused.is_subset(poison), "a wrong one refused");
        let migrating = self.mirror.rows.values().filter(|row| row.target.is_some());
        assert_eq!(status.migrating, migrating.count());
        let mut charged = 0;
        for (conn, wire) in status.connections.iter().zip(&self.broker.wires) {
            assert!(conn.cap <= self.config.per_connection);
            assert!(conn.charged <= conn.cap);
            assert!(conn.charged >= wire.len());
            charged += conn.charged;
        }
        assert!(charged <= self.config.total);
        assert!(status.migrating <= self.config.moves_at_once);
        // Nobody waits without a reason.
        let room = |conn: &strikewire_subscriptions::ConnStatus| conn.charged < conn.cap;
        let full = !status.connections.iter().any(room);
        assert!(unplaced == 0 || full || charged == self.config.total);
        if self.rng.random_range(0..4) == 0 {
            self.check_views();
        }
    }

    /// The answers to queries are what the model and the mirror say.
    pub(crate) fn check_views(&self) {
        for row in self.mirror.rows.values() {
            let view = self.book.instrument(row.key).expect("bound");
            assert_eq!((view.home, view.migrating_to), (Some(row.home), row.target));
            assert_eq!(view.refused, self.mirror.refused.contains(&row.key));
            let holders = self
                .naive
                .claims
                .iter()
                .filter(|c| c.legs.contains_key(&row.key));
            assert_eq!(view.holders, holders.count());
            assert_eq!(view.state == State::Desired, view.holders > 0);
        }
        for claim in &self.naive.claims {
            let view = self.book.claim(claim.owner).expect("a claim");
            let legs: Legs = view.legs().map(|leg| (leg.key, leg.mode)).collect();
            assert_eq!((view.len(), &legs), (legs.len(), &claim.legs));
            assert_eq!(
                (view.tier(), view.is_streaming(), view.user()),
                (claim.tier, claim.streaming, claim.user)
            );
        }
        let mut by_use: Vec<(u64, Owner)> = self
            .book
            .claims()
            .map(|claim| (claim.used(), claim.owner()))
            .collect();
        by_use.sort_unstable();
        let by_use: Vec<Owner> = by_use.into_iter().map(|(_, owner)| owner).collect();
        let expected: Vec<Owner> = self.naive.claims.iter().map(|c| c.owner).collect();
        assert_eq!(by_use, expected);
    }

    /// An instrument that is on its home alone has finished migrating.
    pub(crate) fn forget_settled(&mut self) {
        if self.mirror.migrating.is_empty() {
            return;
        }
        let outboxes = self.sockets.iter().flat_map(|socket| &socket.outbox);
        let sent: BTreeSet<InstrumentKey> = outboxes.flat_map(|batch| batch.keys.clone()).collect();
        let (mirror, broker) = (&mut self.mirror, &self.broker);
        let rows = &mirror.rows;
        mirror.migrating.retain(|&key| {
            let row = rows.values().find(|row| row.key == key);
            let moving = row.is_some_and(|row| row.target.is_some());
            let home = row.map(|row| row.home);
            let elsewhere = broker.on(key).into_iter().any(|conn| Some(conn) != home);
            moving || sent.contains(&key) || elsewhere
        });
    }
}
