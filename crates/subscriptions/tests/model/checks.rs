//! What must hold after every operation and at rest.

use std::collections::{BTreeMap, BTreeSet};

use rand::prelude::*;
use strikewire_subscriptions::{Effect, Owner, State};
use strikewire_types::{InstrumentKey, Mode, Tier};

use crate::mirror::Told;
use crate::naive::Legs;
use crate::run::{CONNECTIONS, Run, conn, nanos};
use crate::seen::Seen;

impl Run {
    /// At rest the wire is what is desired.
    pub(crate) fn check_rest(&self) {
        let desired = self.naive.desired();
        let status = self.book.status();
        let over = desired.len().saturating_sub(self.config.total);
        assert_eq!(status.unplaced, over);
        assert_eq!((status.lingering, status.migrating), (0, 0));
        assert_eq!(self.broker.len(), desired.len() - over);
        for (at, wire) in self.broker.wires.iter().enumerate() {
            assert_eq!(status.connections[at].charged, wire.len());
            assert_eq!(status.connections[at].in_flight, None);
            for (&key, &mode) in wire {
                assert_eq!(
                    desired.get(&key).map(|&(_, mode)| mode),
                    Some(mode),
                    "{key}"
                );
                assert_eq!(self.broker.on(key), [conn(at)]);
                let (_, row) = self.mirror.row(key).expect("bound");
                assert_eq!((row.home, row.target), (conn(at), None));
            }
        }
    }

    /// At rest a rebalance moves as few as it takes, and then they are even.
    pub(crate) fn even_out(&mut self, seen: &mut Seen) {
        let mut loads: Vec<usize> = self.broker.wires.iter().map(BTreeMap::len).collect();
        loads.sort_unstable();
        let all: usize = loads.iter().sum();
        // The heaviest connections keep the odd ones.
        let even = |nth: usize| (all + nth) / CONNECTIONS;
        let fewest: usize = (0..CONNECTIONS)
            .map(|n| loads[n].saturating_sub(even(n)))
            .sum();
        let room = self.config.total - all;
        let moved = self.book.rebalance(self.now, &mut self.effects);
        self.read(seen);
        assert_eq!(moved, fewest.min(room));
        self.settle(seen);
        if fewest <= room {
            let loads = self.broker.wires.iter().map(BTreeMap::len);
            assert!(loads.clone().max() <= loads.min().map(|least| least + 1));
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
        for &(old, new) in &told.changed {
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
        let migrating = self.mirror.rows.values().filter(|row| row.target.is_some());
        assert_eq!(status.migrating, migrating.count());
        let mut charged = 0;
        for (conn, wire) in status.connections.iter().zip(&self.broker.wires) {
            assert!(conn.charged <= self.config.per_connection);
            assert!(conn.charged >= wire.len());
            charged += conn.charged;
        }
        assert!(charged <= self.config.total);
        // Nobody waits without a reason.
        assert!(unplaced == 0 || charged == self.config.total);
        if self.rng.random_range(0..4) == 0 {
            self.check_views();
        }
    }

    /// The answers to queries are what the model and the mirror say.
    pub(crate) fn check_views(&self) {
        for row in self.mirror.rows.values() {
            let view = self.book.instrument(row.key).expect("bound");
            assert_eq!((view.home, view.migrating_to), (Some(row.home), row.target));
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
