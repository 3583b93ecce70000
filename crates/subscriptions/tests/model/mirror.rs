//! What somebody believes who sees nothing but effects.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_subscriptions::{Effect, Owner};
use strikewire_types::{ConnId, InstrumentKey, Mode, Slot, Tier};

use crate::naive::Desired;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) key: InstrumentKey,
    pub(crate) home: ConnId,
    pub(crate) target: Option<ConnId>,
}

#[derive(Debug, Default)]
pub(crate) struct Mirror {
    pub(crate) rows: BTreeMap<Slot, Row>,
    pub(crate) desired: Desired,
    /// When a slot was last let go of, in nanoseconds, and whose it was.
    rested: BTreeMap<Slot, (u64, InstrumentKey)>,
    /// Instruments that were migrating and may still be on two connections.
    pub(crate) migrating: BTreeSet<InstrumentKey>,
    /// Connections that were named as having work.
    pub(crate) woken: BTreeSet<ConnId>,
    /// What the broker does not take.
    pub(crate) refused: BTreeSet<InstrumentKey>,
}

/// What one operation's effects said.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) evicted: Vec<(Owner, Owner, usize)>,
    pub(crate) changed: Vec<((Tier, Mode), (Tier, Mode))>,
    pub(crate) undesired: Vec<InstrumentKey>,
    pub(crate) bound: Vec<InstrumentKey>,
    pub(crate) unbound: Vec<InstrumentKey>,
    /// Who came home to another connection without a migration, and from where.
    pub(crate) rehomed: Vec<(ConnId, ConnId)>,
    pub(crate) migrated: usize,
    pub(crate) migrated_again: usize,
    pub(crate) handed_over: Vec<(ConnId, usize)>,
    pub(crate) rebalanced: Option<usize>,
    pub(crate) shrunk: usize,
    pub(crate) refused: usize,
}

impl Mirror {
    pub(crate) fn row(&self, key: InstrumentKey) -> Option<(Slot, Row)> {
        let mut rows = self.rows.iter();
        rows.find(|(_, row)| row.key == key)
            .map(|(&slot, &row)| (slot, row))
    }

    pub(crate) fn read(&mut self, now: u64, quarantine: u64, effects: &[Effect]) -> Told {
        let mut told = Told::default();
        for &effect in effects {
            match effect {
                Effect::Bind {
                    slot, key, home, ..
                } => {
                    assert!(self.row(key).is_none(), "{key} bound twice");
                    told.bound.push(key);
                    let target = None;
                    let old = self.rows.insert(slot, Row { key, home, target });
                    assert!(old.is_none(), "{slot:?} belongs to {old:?}");
                    if let Some(&(then, whose)) = self.rested.get(&slot) {
                        let rested = whose == key || now - then >= quarantine;
                        assert!(rested, "{slot:?} reused too early");
                    }
                }
                Effect::Unbind { slot, key } => {
                    let row = self.rows.remove(&slot).expect("bound");
                    assert_eq!(row.key, key);
                    self.rested.insert(slot, (now, key));
                    told.unbound.push(key);
                }
                Effect::Migrate { slot, from, to } => {
                    let row = self.rows.get_mut(&slot).expect("bound");
                    assert_eq!(row.home, from);
                    assert_ne!(from, to);
                    match row.target {
                        None => told.migrated += 1,
                        Some(target) => {
                            assert_eq!(target, to);
                            told.migrated_again += 1;
                        }
                    }
                    row.target = Some(to);
                    self.migrating.insert(row.key);
                }
                Effect::Homed { slot, conn } => {
                    let row = self.rows.get_mut(&slot).expect("bound");
                    if row.target.is_none() {
                        assert_ne!(row.home, conn);
                        told.rehomed.push((row.home, conn));
                    }
                    row.home = conn;
                    row.target = None;
                }
                Effect::Evicted { owner, by, freed } => told.evicted.push((owner, by, freed)),
                Effect::Desired {
                    key, tier, mode, ..
                } => {
                    let old = self.desired.insert(key, (tier, mode));
                    assert_eq!(old, None, "{key} was desired already");
                }
                Effect::Changed {
                    key, tier, mode, ..
                } => {
                    let new = (tier, mode);
                    let old = self.desired.insert(key, new).expect("desired");
                    assert_ne!(old, new, "{key} did not change");
                    told.changed.push((old, new));
                }
                Effect::Undesired { key, .. } => {
                    let old = self.desired.remove(&key);
                    assert!(old.is_some(), "{key} was not desired");
                    told.undesired.push(key);
                    self.refused.remove(&key);
                }
                Effect::Refused { slot, key } => {
                    assert_eq!(self.rows[&slot].key, key);
                    assert!(self.refused.insert(key), "{key} refused twice");
                    told.refused += 1;
                }
                Effect::HandedOver { conn, moved } => told.handed_over.push((conn, moved)),
                Effect::Rebalanced { moved } => told.rebalanced = Some(moved),
                Effect::Shrunk { .. } => told.shrunk += 1,
                Effect::Wake { conn } => {
                    self.woken.insert(conn);
                }
                other => panic!("an effect that nobody reads: {other:?}"),
            }
        }
        told
    }
}
