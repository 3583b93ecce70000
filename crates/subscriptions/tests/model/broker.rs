//! The broker's side of the wire: messages in arrival order, limits enforced.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_broker::{Fault, WireBatch, WireOp};
use strikewire_types::{ConnId, InstrumentKey, Mode};

/// What a broker may make of a second subscription and of letting go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Semantics {
    /// Every mode is a subscription of its own.
    Set,
    /// The last mode replaces the one before; letting go of another one is ignored.
    Last,
    /// Modes add up, and letting go of any ends all.
    Drop,
}

#[derive(Debug)]
pub(crate) struct Broker {
    /// In which modes the broker sends data.
    pub(crate) wires: Vec<BTreeMap<InstrumentKey, BTreeSet<Mode>>>,
    pub(crate) semantics: Semantics,
    /// What it does not take.
    pub(crate) poison: BTreeSet<InstrumentKey>,
    /// How many it takes on the first connection, which may be less than it says.
    pub(crate) secret_cap: Option<usize>,
    /// What may be subscribed once more.
    pub(crate) resent: BTreeSet<(ConnId, InstrumentKey)>,
    /// How often it was.
    pub(crate) renewed: u64,
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
            semantics: Semantics::Set,
            poison: BTreeSet::new(),
            secret_cap: None,
            resent: BTreeSet::new(),
            renewed: 0,
            per_connection,
            total,
            per_batch,
        }
    }

    /// Takes a message; what it finds wrong with it. `migrating` are the instruments
    /// that may be on two connections.
    pub(crate) fn receive(
        &mut self,
        batch: &WireBatch,
        migrating: &BTreeSet<InstrumentKey>,
    ) -> Option<Fault> {
        let at = batch.conn.index();
        assert!(!batch.keys.is_empty(), "an empty message");
        assert!(batch.keys.len() <= self.per_batch, "a message too large");
        let mut fault = None;
        for &key in &batch.keys {
            let modes = self.wires[at].entry(key).or_default();
            // Whatever the broker makes of it: never two modes at a time, and letting go
            // only of what is there.
            match batch.op {
                WireOp::Subscribe(mode) => {
                    if !modes.is_empty() {
                        assert_eq!(*modes, BTreeSet::from([mode]), "{key} in a second mode");
                        let again = self.resent.remove(&(batch.conn, key));
                        assert!(again, "{key} subscribed twice");
                        self.renewed += 1;
                    }
                    if self.semantics == Semantics::Last {
                        modes.clear();
                    }
                    modes.insert(mode);
                    assert!(
                        self.on(key).len() == 1 || migrating.contains(&key),
                        "{key} on {:?} without a migration",
                        self.on(key)
                    );
                    if self.poison.contains(&key) {
                        fault = Some(Fault::BadRequest);
                    }
                }
                WireOp::Unsubscribe(mode) => {
                    assert_eq!(*modes, BTreeSet::from([mode]), "{key} let go");
                    match self.semantics {
                        Semantics::Drop => modes.clear(),
                        Semantics::Set | Semantics::Last => {
                            modes.remove(&mode);
                        }
                    }
                    self.resent.remove(&(batch.conn, key));
                    if modes.is_empty() {
                        self.wires[at].remove(&key);
                    }
                }
            }
        }
        assert!(self.wires[at].len() <= self.per_connection, "over the cap");
        assert!(self.len() <= self.total, "over the total");
        let secret = self.secret_cap.filter(|_| at == 0);
        if secret.is_some_and(|cap| self.wires[at].len() > cap) {
            fault = Some(Fault::TooMany);
        }
        fault
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
