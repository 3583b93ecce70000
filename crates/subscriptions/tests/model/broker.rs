//! The broker's side of the wire: messages in arrival order, limits enforced.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_broker::{WireBatch, WireOp};
use strikewire_types::{ConnId, InstrumentKey, Mode};

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) wires: Vec<BTreeMap<InstrumentKey, Mode>>,
    per_connection: usize,
    total: usize,
    per_batch: usize,
}

impl Broker {
    pub(crate) fn new(
        connections: usize,
        per_connection: usize,
        total: usize,
        per_batch: usize,
    ) -> Self {
        Self {
            wires: vec![BTreeMap::new(); connections],
            per_connection,
            total,
            per_batch,
        }
    }

    /// Takes a message. `migrating` are the instruments that may be on two
    /// connections.
    pub(crate) fn receive(&mut self, batch: &WireBatch, migrating: &BTreeSet<InstrumentKey>) {
        let at = batch.conn.index();
        assert!(!batch.keys.is_empty(), "an empty message");
        assert!(batch.keys.len() <= self.per_batch, "a message too large");
        for &key in &batch.keys {
            match batch.op {
                WireOp::Subscribe(mode) => {
                    let old = self.wires[at].insert(key, mode);
                    assert_eq!(old, None, "{key} subscribed twice on {}", batch.conn);
                    assert!(
                        self.on(key).len() == 1 || migrating.contains(&key),
                        "{key} on {:?} without a migration",
                        self.on(key)
                    );
                }
                WireOp::Unsubscribe(mode) => {
                    let old = self.wires[at].remove(&key);
                    assert_eq!(old, Some(mode), "{key} let go on {}", batch.conn);
                }
            }
        }
        assert!(self.wires[at].len() <= self.per_connection, "over the cap");
        assert!(self.len() <= self.total, "over the total");
    }

    /// A connection is gone, with all that was on it.
    pub(crate) fn drop_conn(&mut self, conn: ConnId) {
        self.wires[conn.index()].clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.wires.iter().map(BTreeMap::len).sum()
    }

    /// The connections an instrument is on.
    pub(crate) fn on(&self, key: InstrumentKey) -> Vec<ConnId> {
        (0..self.wires.len())
            .filter(|&at| self.wires[at].contains_key(&key))
            .map(ConnId::from_index)
            .collect()
    }
}
