//! The owner of the book: users' requests, what the driver reports, and what follows.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::prelude::*;
use strikewire_broker::{ConnEvent, WireBatch, WireOp};
use strikewire_subscriptions::{Book, Config, Effect, Request, State};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Segment, Slot};

use crate::client::{Client, Row};
use crate::users::{Claim, Users};
use crate::world::{Setting, What, World};

/// Without a packet for so long after its message, an instrument is asked for once more
/// if others tick.
const SILENCE: Duration = Duration::from_secs(8);

/// The same for one that had packets.
const LATER: Duration = Duration::from_secs(60);

/// Of so many contracts one trades all the time.
const ENOUGH: usize = 3;

pub(crate) struct Desk {
    pub(crate) book: Book,
    pub(crate) users: Users,
    /// Instruments that the book has set aside.
    pub(crate) refused: BTreeSet<InstrumentKey>,
    /// Whether an innocent instrument may have been set aside.
    pub(crate) slandered: bool,
    /// Whether data is to be expected at all.
    pub(crate) market_is_open: bool,
}

impl Desk {
    pub(crate) fn new(setting: Setting) -> Self {
        let widest = if setting.is_large { 30 } else { 2 };
        Self {
            book: Self::book(setting),
            users: Users::new(setting.master(), widest),
            refused: BTreeSet::new(),
            slandered: false,
            market_is_open: true,
        }
    }

    fn book(setting: Setting) -> Book {
        let config = Config {
            connections: setting.connections,
            per_connection: setting.per_connection,
            total: setting.total,
            per_batch: setting.per_batch,
            // A limit that was never there is found out while it is quiet.
            shrink_for: if setting.given < setting.per_connection {
                Duration::from_secs(3_600)
            } else {
                Duration::from_secs(300)
            },
            ..Config::default()
        };
        Book::new(config).expect("a configuration that a broker can mean")
    }
}

impl World {
    pub(crate) fn user_acts(&mut self) {
        match self.rng.random_range(0..100) {
            0..45 => {
                let wish = self.desk.users.wish(&mut self.rng);
                self.add(wish);
            }
            45..70 => {
                if let Some(rolled) = self.desk.users.rolled(&mut self.rng) {
                    self.seen.rolled += 1;
                    self.note(|| format!("user: roll {rolled:?}"));
                    let legs = self.desk.users.legs(&rolled);
                    let owner = rolled.owner;
                    self.desk.users.roll(rolled);
                    let mut effects = Vec::new();
                    self.desk.book.replace(self.now, owner, &legs, &mut effects);
                    self.settle(effects);
                }
            }
            70..95 => {
                let claim = self.desk.users.claims.choose(&mut self.rng);
                if let Some(owner) = claim.map(|claim| claim.owner) {
                    self.seen.removed += 1;
                    self.note(|| format!("user: remove {owner}"));
                    self.desk.users.remove(owner);
                    let mut effects = Vec::new();
                    self.desk.book.release(self.now, owner, &mut effects);
                    self.settle(effects);
                }
            }
            _ => self.even_out(),
        }
        if (0..self.setting.connections).any(|at| self.client.present[at].is_none()) {
            self.seen.changed_while_down += 1;
        }
        self.check_desired();
    }

    pub(crate) fn add(&mut self, wish: Claim) {
        let legs = self.desk.users.legs(&wish);
        let request = Request::new(wish.owner, wish.tier, legs);
        self.note(|| format!("user: add {wish:?}"));
        let Ok(plan) = self.desk.book.plan(self.now, &request) else {
            self.seen.refused_request += 1;
            return;
        };
        let before = self.desk.users.find(wish.owner).map(Claim::mode);
        let (up, down) = (before < Some(wish.mode()), before > Some(wish.mode()));
        self.seen.mode_up += u64::from(before.is_some() && up);
        self.seen.mode_down += u64::from(down);
        self.seen.added += 1;
        let mut effects = Vec::new();
        self.desk.book.apply(self.now, plan, &mut effects);
        self.desk.users.put(wish);
        self.settle(effects);
    }

    /// As an administrator orders it.
    pub(crate) fn even_out(&mut self) {
        let mut effects = Vec::new();
        let moved = self.desk.book.rebalance(self.now, &mut effects);
        self.note(|| format!("admin: rebalance moves {moved}"));
        self.seen.rebalance_on_order += moved as u64;
        self.settle(effects);
    }

    pub(crate) fn owner_hears(&mut self, event: &ConnEvent) {
        let mut effects = Vec::new();
        self.desk.book.handle_conn(self.now, event, &mut effects);
        self.settle(effects);
    }

    pub(crate) fn owner_hears_of_packet(&mut self, slot: Slot, conn: ConnId, key: InstrumentKey) {
        // As the gateway does: the slot may be another's by now.
        let view = self.desk.book.instrument(key);
        if view.is_some_and(|view| view.slot == slot) {
            let mut effects = Vec::new();
            self.desk
                .book
                .handle_first_packet(self.now, slot, conn, &mut effects);
            self.seen.migration_by_first_packet += u64::from(!effects.is_empty());
            self.settle(effects);
        }
    }

    /// Does what the effects ask for.
    pub(crate) fn settle(&mut self, effects: Vec<Effect>) {
        let mut awake = BTreeSet::new();
        for effect in effects {
            if !matches!(effect, Effect::Wake { .. }) {
                self.note(|| format!("book: {effect:?}"));
            }
            match effect {
                Effect::Bind {
                    slot, key, home, ..
                } => {
                    let row = Row {
                        key,
                        home,
                        next: None,
                        heard: [None; 3],
                        resent: None,
                    };
                    let before = self.client.rows.insert(slot, row);
                    assert!(before.is_none(), "{slot:?} is bound twice");
                    let other = self.client.slots.insert(key, slot);
                    assert!(other.is_none(), "{key} has two slots");
                }
                Effect::Unbind { slot, key } => {
                    let row = self.client.rows.remove(&slot);
                    assert_eq!(row.map(|row| row.key), Some(key), "{slot:?} is unbound");
                    self.client.slots.remove(&key);
                }
                Effect::Migrate { slot, to, .. } => {
                    if let Some(row) = self.client.rows.get_mut(&slot) {
                        row.next = (row.home != to).then_some(to);
                    }
                }
                Effect::Homed { slot, conn } => {
                    if let Some(row) = self.client.rows.get_mut(&slot) {
                        if row.home != conn {
                            // What came before came on another connection.
                            row.heard = [None; 3];
                        }
                        (row.home, row.next) = (conn, None);
                    }
                }
                Effect::Evicted { owner, .. } => {
                    self.seen.evicted += 1;
                    self.desk.users.remove(owner);
                }
                Effect::Wake { conn } => {
                    awake.insert(conn);
                }
                Effect::HandedOver { moved, .. } => self.seen.handed_over += moved as u64,
                Effect::Rebalanced { moved } => self.seen.rebalanced += moved as u64,
                Effect::Shrunk { .. } => self.seen.shrunk += 1,
                Effect::Refused { key, .. } => {
                    self.seen.refused_instrument += 1;
                    self.desk.refused.insert(key);
                }
                _ => {}
            }
        }
        for conn in awake {
            self.poll_book(conn);
        }
    }

    fn poll_book(&mut self, conn: ConnId) {
        let mut batch = WireBatch {
            conn,
            epoch: Epoch::default(),
            op: WireOp::Subscribe(Mode::Ticker),
            keys: Vec::new(),
        };
        if self.desk.book.poll_wire(self.now, conn, &mut batch) {
            assert!((1..=self.setting.per_batch).contains(&batch.keys.len()));
            self.tell_owner(What::Batch(batch));
        }
    }

    /// Stands for the gateway's: an instrument that stays silent while others tick is
    /// asked for once more.
    pub(crate) fn look_for_silence(&mut self) {
        let now = self.now.mono;
        let mut silent = Vec::new();
        // Of very many some are quiet for long.
        let later = if self.setting.is_large {
            LATER * 10
        } else {
            LATER
        };
        let others = self.client.last_data.iter().max().copied().flatten();
        for (&slot, row) in &self.client.rows {
            let Some(wire) = self.desk.book.on_wire(slot) else {
                continue;
            };
            let heard = row.heard[wire.mode as usize];
            // The first packet may be the last one of an earlier subscription.
            let (last, patience) = match heard.filter(|heard| *heard >= wire.since) {
                Some(heard) => (heard, later),
                None => (wire.since, SILENCE),
            };
            if now.since(last) > patience
                && others.is_some_and(|others| others.since(last) > patience / 2)
                && row.resent.is_none_or(|resent| now.since(resent) > patience)
            {
                silent.push(slot);
            }
        }
        for slot in silent {
            let mut effects = Vec::new();
            if self.desk.book.resend(self.now, slot, &mut effects) {
                self.seen.resend += 1;
                self.note(|| format!("silent: {slot:?}"));
                if let Some(row) = self.client.rows.get_mut(&slot) {
                    row.resent = Some(now);
                }
            }
            self.settle(effects);
        }
    }

    /// Tells the machine where data is to be expected: where an underlying or enough
    /// contracts belong. One or two of those may well be quiet for a while.
    pub(crate) fn set_expectations(&mut self) {
        for at in 0..self.setting.connections {
            let conn = ConnId::from_index(at);
            let there = self.client.rows.values().filter(|row| row.home == conn);
            let weights = there.map(|row| match row.key.segment {
                Segment::IdxI | Segment::NseEq => ENOUGH,
                _ => 1,
            });
            let expected = self.desk.market_is_open && weights.sum::<usize>() >= ENOUGH;
            self.client
                .fleet
                .handle_expectation(self.now, conn, expected);
        }
        self.act();
    }

    /// The process is killed, and another one begins with what is in its files: the
    /// claims and the budget.
    pub(crate) fn restart(&mut self) {
        self.seen.restart += 1;
        self.note(|| "== restart".to_owned());
        self.forget_the_process();
        for at in 0..self.setting.connections {
            if let Some(socket) = self.client.present[at].take() {
                self.let_go(socket);
            }
        }
        let seed = self.rng.random();
        let stored = self.client.stored.clone();
        let fresh = Client::new(self.setting, seed, stored, self.now);
        let old = core::mem::replace(&mut self.client, fresh);
        self.client.sockets = old.sockets;
        self.client.attempts = old.attempts;
        self.client.token_file = old.token_file;
        self.client.unreachable_until = old.unreachable_until;
        self.desk.book = Desk::book(self.setting);
        self.desk.refused.clear();
        // Rolls may have gone beyond the total; otherwise what fitted before fits.
        let overfull = self.desk.users.desired().len() > self.setting.total;
        for claim in self.desk.users.claims.clone() {
            let legs = self.desk.users.legs(&claim);
            let request = Request::new(claim.owner, claim.tier, legs);
            let mut effects = Vec::new();
            match self.desk.book.plan(self.now, &request) {
                Ok(plan) => {
                    let applied = self.desk.book.apply(self.now, plan, &mut effects);
                    assert!(applied.evicted == 0 || overfull, "{} evicts", claim.owner);
                }
                Err(refusal) => {
                    assert!(overfull, "{} does not come back: {refusal}", claim.owner);
                    self.desk.users.remove(claim.owner);
                }
            }
            self.settle(effects);
        }
    }

    /// What the book has to have on the wire.
    pub(crate) fn check_desired(&self) {
        let desired = self.desk.users.desired();
        let views = self.desk.book.instruments();
        let held: Vec<_> = views.filter(|view| view.state == State::Desired).collect();
        assert_eq!(held.len(), desired.len(), "desired instruments");
        for view in held {
            assert_eq!(Some(&view.mode), desired.get(&view.key), "{}", view.key);
        }
    }
}
