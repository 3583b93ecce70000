//! A book of subscriptions in the standard library's maps and sets.

use std::collections::{BTreeMap, HashMap, HashSet};

use strikewire_broker::WireOp;
use strikewire_subscriptions::{Leg, Owner, Role};
use strikewire_types::{InstrumentKey, Mode};

/// Who holds what, on which connection, and what is on the wires. Tier A only.
#[derive(Debug, Clone)]
pub struct Plain {
    total: usize,
    per_batch: usize,
    claims: HashMap<Owner, Claim>,
    /// Claims by last use.
    by_use: BTreeMap<u64, Owner>,
    uses: u64,
    instruments: HashMap<InstrumentKey, Instrument>,
    conns: Vec<Conn>,
}

#[derive(Debug, Clone)]
struct Claim {
    used: u64,
    legs: HashMap<InstrumentKey, Leg>,
}

#[derive(Debug, Clone)]
struct Instrument {
    holders: HashMap<Owner, Mode>,
    conn: usize,
}

impl Instrument {
    fn mode(&self) -> Mode {
        self.holders.values().copied().max().unwrap_or(Mode::Ticker)
    }
}

#[derive(Debug, Clone, Default)]
struct Conn {
    assigned: HashSet<InstrumentKey>,
    wire: HashMap<InstrumentKey, Mode>,
    to_subscribe: HashSet<InstrumentKey>,
    to_unsubscribe: HashSet<InstrumentKey>,
}

impl Conn {
    /// Another mode: out of the old one and into the new one.
    fn change(&mut self, key: InstrumentKey) {
        self.to_unsubscribe.insert(key);
        self.to_subscribe.insert(key);
    }
}

impl Plain {
    /// An empty book for `conns` connections, `total` instruments and messages of
    /// `per_batch`.
    #[must_use]
    pub fn new(conns: usize, total: usize, per_batch: usize) -> Self {
        Self {
            total,
            per_batch,
            claims: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            instruments: HashMap::new(),
            conns: vec![Conn::default(); conns],
        }
    }

    /// Instruments that somebody holds.
    #[must_use]
    pub fn desired(&self) -> usize {
        self.instruments.len()
    }

    /// Instruments on the wires.
    #[must_use]
    pub fn on_wire(&self) -> usize {
        self.conns.iter().map(|conn| conn.wire.len()).sum()
    }

    /// A claim of `owner`, which has none, on `legs`. The least recently used claims go
    /// until it fits; says whether it does.
    pub fn admit(&mut self, owner: Owner, legs: &[Leg]) -> bool {
        let new = legs
            .iter()
            .filter(|leg| !self.instruments.contains_key(&leg.key))
            .count();
        while self.instruments.len() + new > self.total {
            let Some((_, &oldest)) = self.by_use.first_key_value() else {
                return false;
            };
            self.release(oldest);
        }
        self.uses += 1;
        self.by_use.insert(self.uses, owner);
        let claim = Claim {
            used: self.uses,
            legs: legs.iter().map(|leg| (leg.key, *leg)).collect(),
        };
        self.claims.insert(owner, claim);
        for leg in legs {
            if let Some(instrument) = self.instruments.get_mut(&leg.key) {
                let before = instrument.mode();
                instrument.holders.insert(owner, leg.mode);
                if instrument.mode() != before {
                    self.conns[instrument.conn].change(leg.key);
                }
                continue;
            }
            let conn = (0..self.conns.len())
                .min_by_key(|&conn| self.conns[conn].assigned.len())
                .unwrap_or(0);
            let instrument = Instrument {
                holders: HashMap::from([(owner, leg.mode)]),
                conn,
            };
            self.instruments.insert(leg.key, instrument);
            self.conns[conn].assigned.insert(leg.key);
            self.conns[conn].to_subscribe.insert(leg.key);
        }
        true
    }

    /// Ends the claim of `owner`. How many instruments nobody holds then.
    pub fn release(&mut self, owner: Owner) -> usize {
        let Some(claim) = self.claims.remove(&owner) else {
            return 0;
        };
        self.by_use.remove(&claim.used);
        let mut gone = 0;
        for key in claim.legs.keys() {
            let Some(instrument) = self.instruments.get_mut(key) else {
                continue;
            };
            let before = instrument.mode();
            instrument.holders.remove(&owner);
            let conn = &mut self.conns[instrument.conn];
            if !instrument.holders.is_empty() {
                if instrument.mode() != before {
                    conn.change(*key);
                }
                continue;
            }
            gone += 1;
            conn.assigned.remove(key);
            conn.to_subscribe.remove(key);
            if conn.wire.contains_key(key) {
                conn.to_unsubscribe.insert(*key);
            }
            self.instruments.remove(key);
        }
        gone
    }

    /// Nothing is on the wire of a connection any more, and all of it is to be
    /// subscribed again.
    pub fn reconnect(&mut self, conn: usize) {
        let conn = &mut self.conns[conn];
        conn.wire.clear();
        conn.to_unsubscribe.clear();
        conn.to_subscribe.clone_from(&conn.assigned);
    }

    /// Everything a connection has to send, message by message: what goes, and then what
    /// comes, underlyings first, then by last use and distance from the money.
    pub fn drain(&mut self, conn: usize, mut send: impl FnMut(WireOp, &[InstrumentKey])) {
        let Self {
            claims,
            instruments,
            conns,
            per_batch,
            ..
        } = self;
        let conn = &mut conns[conn];
        let mut gone: HashMap<Mode, Vec<InstrumentKey>> = HashMap::new();
        for key in conn.to_unsubscribe.drain() {
            if let Some(mode) = conn.wire.remove(&key) {
                gone.entry(mode).or_default().push(key);
            }
        }
        for (mode, keys) in gone {
            for batch in keys.chunks(*per_batch) {
                send(WireOp::Unsubscribe(mode), batch);
            }
        }
        let mut new: HashMap<Mode, Vec<_>> = HashMap::new();
        for key in conn.to_subscribe.drain() {
            let Some(instrument) = instruments.get(&key) else {
                continue;
            };
            let worth = |owner: &Owner| -> Option<(Role, u64, u16)> {
                let claim = claims.get(owner)?;
                let leg = claim.legs.get(&key)?;
                Some((leg.role, u64::MAX - claim.used, leg.distance))
            };
            let worth = instrument.holders.keys().filter_map(worth).min();
            let mode = instrument.mode();
            conn.wire.insert(key, mode);
            new.entry(mode).or_default().push((worth, key));
        }
        for (mode, mut keys) in new {
            keys.sort_unstable();
            let keys: Vec<InstrumentKey> = keys.into_iter().map(|(_, key)| key).collect();
            for batch in keys.chunks(*per_batch) {
                send(WireOp::Subscribe(mode), batch);
            }
        }
    }
}
