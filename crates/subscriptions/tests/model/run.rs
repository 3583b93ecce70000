//! One random run: what is asked of the book.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::prelude::*;
use rand_pcg::Pcg64;
use strikewire_subscriptions::{
    Book, Config, Effect, Leg, OverQuota, Owner, OwnerKind, Refusal, Request, Role, State, Why,
};
use strikewire_types::{ConnId, InstrumentKey, Mode, Mono, Now, PriceStep, Segment, Slot, Tier};

use crate::broker::{Broker, Semantics};
use crate::driver::Socket;
use crate::mirror::Mirror;
use crate::naive::{Answer, Asks, Legs, Limits, Naive};
use crate::seen::Seen;

pub(crate) const CONNECTIONS: usize = 3;
const OPERATIONS: usize = 80;
const RING: u32 = 34;

pub(crate) struct Run {
    pub(crate) rng: Pcg64,
    pub(crate) now: Now,
    pub(crate) config: Config,
    pub(crate) book: Book,
    pub(crate) naive: Naive,
    pub(crate) broker: Broker,
    pub(crate) mirror: Mirror,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) slots: BTreeMap<Slot, InstrumentKey>,
    /// When the book heard last that a message with an instrument was written.
    pub(crate) confirmed: BTreeMap<InstrumentKey, Mono>,
    /// Since when each connection is up, as far as the book knows.
    pub(crate) up_since: Vec<Option<Now>>,
    /// Whether instruments may move: not at rest, until somebody asks for it.
    pub(crate) evens_out: bool,
    /// Which of them will not try to come back.
    pub(crate) gone_for_good: Vec<bool>,
}

pub(crate) fn key(place: u32) -> InstrumentKey {
    // Ids are shared between segments.
    let segment = [Segment::NseFno, Segment::BseFno][place as usize % 2];
    InstrumentKey::new(segment, 100 + place / 2)
}

pub(crate) fn conn(at: usize) -> ConnId {
    ConnId::from_index(at)
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

impl Run {
    pub(crate) fn new(seed: u64) -> Self {
        let per_connection = 7;
        let config = Config {
            connections: CONNECTIONS,
            per_connection,
            // Sometimes less than what the connections hold.
            total: if seed.is_multiple_of(3) { 18 } else { 21 },
            per_batch: 2,
            in_use: Duration::from_secs(3),
            moves_at_once: [1, 2, 500][seed as usize % 3],
            quota: (seed % 4 == 1 || seed % 4 == 3).then_some(10),
            fair_share: seed % 4 >= 2,
            ..Config::default()
        };
        let limits = Limits {
            total: config.total,
            in_use: nanos(config.in_use),
            quota: config.quota,
            fair_share: config.fair_share,
        };
        let mut broker = Broker::new(CONNECTIONS, per_connection, config.total, config.per_batch);
        broker.semantics = [Semantics::Set, Semantics::Last, Semantics::Drop][seed as usize % 3];
        // Some brokers do not take everything, or not as many as they say.
        if seed % 5 == 1 {
            broker.poison = [3, 17, 24].map(key).into();
        }
        if seed % 5 == 2 {
            broker.secret_cap = Some(4);
        }
        Self {
            rng: Pcg64::seed_from_u64(seed),
            now: Now::default() + Duration::from_secs(1),
            book: Book::new(config).expect("a valid configuration"),
            naive: Naive::new(limits),
            broker,
            mirror: Mirror::default(),
            sockets: (0..CONNECTIONS).map(|_| Socket::default()).collect(),
            effects: Vec::new(),
            slots: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            up_since: vec![None; CONNECTIONS],
            evens_out: false,
            gone_for_good: vec![false; CONNECTIONS],
            config,
        }
    }

    pub(crate) fn drive(mut self, seen: &mut Seen) {
        for _ in 0..OPERATIONS {
            self.step(seen);
        }
        self.settle(seen);
        self.even_out(seen);
        seen.renewed_on_the_wire += self.broker.renewed;
    }

    fn clock(&self) -> u64 {
        self.now.mono.as_nanos()
    }

    fn step(&mut self, seen: &mut Seen) {
        let at = self.rng.random_range(0..CONNECTIONS);
        match self.rng.random_range(0..100) {
            0..10 => self.request(seen),
            10..16 => self.request_one(seen),
            16..23 => self.roll(seen),
            23..27 => {
                let owner = self.owner();
                self.release(owner, seen);
            }
            27 => self.thin_out(at, seen),
            28 => self.drop_legs(seen),
            29..31 => {
                let owner = self.owner();
                self.book.touch(self.now, owner);
                self.naive.touch(self.clock(), owner);
            }
            31..34 => {
                let open = self.rng.random_range(0..4) > 0;
                let owner = self.owner();
                self.book.set_streaming(owner, open);
                self.naive.stream(owner, open);
            }
            34..43 => {
                let step = Duration::from_millis(self.rng.random_range(0..2_500));
                self.now = self.now + step;
                if self.rng.random() {
                    self.timeout(seen);
                }
            }
            43..47 => self.connect(at),
            47..49 => self.disconnect(at),
            49..51 => self.speak_of_the_past(at, seen),
            51..68 => self.deliver(at, seen),
            68..82 => self.poll(at, seen),
            82..92 => self.write(at),
            92..96 => self.packet(seen),
            96 => self.rebalance(seen),
            97 => self.unsettle(seen),
            98 => self.resend(seen),
            _ => match self.rng.random_range(0..8) {
                0 => self.lose_all(seen),
                1..4 if !self.broker.poison.is_empty() => self.forgive(seen),
                1..4 if self.broker.secret_cap.is_some() => self.wait_for_long(seen),
                4 => self.wait_for_long(seen),
                _ => self.settle(seen),
            },
        }
        self.check();
    }

    /// Much happens to one instrument that migrates.
    fn unsettle(&mut self, seen: &mut Seen) {
        self.settle(seen);
        for at in 0..CONNECTIONS {
            self.thin_out(at, seen);
        }
        let mut rows = self.mirror.rows.values();
        let Some(row) = rows.find(|row| row.target.is_some()).copied() else {
            return;
        };
        let (home, target) = (row.home.index(), row.target.map_or(0, ConnId::index));
        let place = (0..RING).find(|&place| key(place) == row.key).unwrap_or(0);
        if self.rng.random() {
            // It arrives, and is wanted in another mode before anybody hears of it.
            self.poll(target, seen);
            self.write(target);
            self.deliver(target, seen);
            for _ in 0..3 {
                self.ask_for(place, seen);
            }
            self.poll(target, seen);
            self.packet(seen);
        }
        for _ in 0..16 {
            match self.rng.random_range(0..9) {
                0 => self.ask_for(place, seen),
                1 | 2 => self.poll(target, seen),
                3 | 4 => self.write(target),
                5 | 6 => self.deliver(target, seen),
                7 => self.packet(seen),
                _ => self.poll(home, seen),
            }
        }
        if self.rng.random_range(0..3) == 0 {
            let at = [home, target][self.rng.random_range(0..2)];
            self.disconnect(at);
            while !self.sockets[at].events.is_empty() {
                self.deliver(at, seen);
            }
        }
    }

    /// A new instrument master: what the broker did not take may be taken now.
    fn forgive(&mut self, seen: &mut Seen) {
        if self.rng.random() {
            self.broker.poison.clear();
        }
        self.book.forgive(self.now, &mut self.effects);
        let status = self.book.status();
        assert_eq!((status.suspects, status.refused), (0, 0));
        seen.forgiven += core::mem::take(&mut self.mirror.refused).len() as u64;
        self.read(seen);
    }

    /// Until a connection may hold again what it should.
    fn wait_for_long(&mut self, seen: &mut Seen) {
        let caps = |run: &Self| -> usize {
            let conns = run.book.status().connections;
            conns.iter().map(|conn| conn.cap).sum()
        };
        let before = caps(self);
        self.now = self.now + self.config.shrink_for;
        self.timeout(seen);
        assert_eq!(caps(self), CONNECTIONS * self.config.per_connection);
        seen.cap_restored += u64::from(caps(self) > before);
        // Who is up has been so for long: what is down has nothing on it that could be
        // elsewhere.
        let status = self.book.status();
        let mut up = status.connections.iter().filter(|conn| conn.up).peekable();
        if up.peek().is_none() || status.suspects + status.refused > 0 {
            return;
        }
        let is_full = up.all(|conn| conn.charged == conn.cap);
        for conn in status.connections.iter().filter(|conn| !conn.up) {
            assert!(is_full || conn.charged == 0, "{conn:?}");
        }
    }

    fn owner(&mut self) -> Owner {
        let (kind, ids) = [
            (OwnerKind::Watchlist, 4),
            (OwnerKind::Watchlist, 4),
            (OwnerKind::Stream, 2),
            (OwnerKind::Explicit, 1),
            (OwnerKind::TierB, 2),
        ][self.rng.random_range(0..5)];
        Owner {
            kind,
            id: self.rng.random_range(0..ids),
        }
    }

    /// Mostly an owner's own user.
    fn user(&mut self, owner: Owner) -> Option<u64> {
        match self.rng.random_range(0..8) {
            0 => None,
            1 => Some(self.rng.random_range(0..3)),
            _ => Some(owner.id % 3),
        }
    }

    fn leg(&mut self, place: u32, distance: u16, mode: Mode) -> Leg {
        let role = if self.rng.random_range(0..8) == 0 {
            Role::Underlying
        } else {
            Role::Contract
        };
        Leg {
            key: key(place % RING),
            step: PriceStep::PAISA,
            mode,
            role,
            distance,
        }
    }

    /// A window of neighbours, sometimes with a leg named twice.
    fn window(&mut self, from: u32, width: u32) -> Vec<Leg> {
        let mode = Mode::ALL[self.rng.random_range(0..3)];
        let mut legs = Vec::new();
        for place in 0..width {
            let distance = (2 * place).abs_diff(width) as u16;
            legs.push(self.leg(from + place, distance, mode));
        }
        if self.rng.random_range(0..4) == 0 {
            let mode = Mode::ALL[self.rng.random_range(0..3)];
            let place = from + self.rng.random_range(0..=width);
            legs.push(self.leg(place, 9, mode));
        }
        legs
    }

    fn request_one(&mut self, seen: &mut Seen) {
        let place = self.rng.random_range(0..RING);
        self.ask_for(place, seen);
    }

    fn ask_for(&mut self, place: u32, seen: &mut Seen) {
        let owner = Owner {
            kind: OwnerKind::Request,
            id: self.rng.random_range(0..10),
        };
        let mode = Mode::ALL[self.rng.random_range(0..3)];
        let legs = vec![self.leg(place, 0, mode)];
        let user = self.user(owner);
        let request = Request::new(owner, Tier::A, legs);
        self.admit(&Request { user, ..request }, seen);
    }

    fn request(&mut self, seen: &mut Seen) {
        let owner = self.owner();
        let tier = match owner.kind {
            OwnerKind::TierB => Tier::B,
            OwnerKind::Explicit if self.rng.random() => Tier::B,
            _ => Tier::A,
        };
        let from = self.rng.random_range(0..RING);
        let width = match self.rng.random_range(0..12) {
            0 => 0,
            1 => self.rng.random_range(10..22),
            _ => self.rng.random_range(1..8),
        };
        let legs = self.window(from, width);
        let user = self.user(owner);
        let request = Request::new(owner, tier, legs);
        self.admit(&Request { user, ..request }, seen);
    }

    fn admit(&mut self, request: &Request, seen: &mut Seen) {
        let owner = request.owner;
        let wanted = collapse(&request.legs);
        let asks = Asks {
            owner,
            tier: request.tier,
            user: request.user,
            legs: &wanted,
        };
        let expected = self.naive.admit(self.clock(), asks);
        let lingering: BTreeSet<InstrumentKey> = self.lingering();
        let leaving = self.leaving();
        let answer = self.book.plan(self.now, request);
        match (answer, expected) {
            (
                Err(refusal),
                Answer::Refused {
                    needed,
                    free,
                    evictable,
                    over_quota,
                },
            ) => {
                let over = over_quota.zip(request.user).zip(self.config.quota);
                let expected = Refusal {
                    needed,
                    free,
                    evictable,
                    quota: over.map(|((held, user), quota)| OverQuota {
                        user,
                        quota,
                        held,
                        asked: wanted.len(),
                    }),
                };
                assert_eq!(refusal, expected);
                seen.refusal += u64::from(over.is_none());
                seen.quota_refusal += u64::from(over.is_some());
            }
            (
                Ok(plan),
                Answer::Fits {
                    needed,
                    free,
                    victims,
                    spared,
                    use_counts,
                    for_quota,
                    own_share,
                    others_share,
                },
            ) => {
                assert_eq!((plan.needed(), plan.free()), (needed, free));
                let planned: Vec<(Owner, usize)> =
                    plan.victims().iter().map(|v| (v.owner, v.frees)).collect();
                assert_eq!(planned, victims);
                let leaves: usize = victims.iter().map(|victim| victim.1).sum();
                let forecast = self.book.forecast(&plan);
                assert_eq!(forecast.leaves, leaves);
                let applied = self.book.apply(self.now, plan, &mut self.effects);
                assert_eq!(applied.held, wanted.len());
                assert_eq!(applied.evicted, victims.len());
                let coming: usize = forecast.by_connection.iter().sum();
                assert!(coming <= applied.new_on_wire);
                let evicted = victims
                    .iter()
                    .map(|&(victim, frees)| (victim, owner, frees));
                let evicted: Vec<(Owner, Owner, usize)> = evicted.collect();
                let new = self.naive.put(self.clock(), asks);
                assert_eq!(applied.new_on_wire, new);
                for &(victim, ..) in &evicted {
                    self.naive.remove(victim);
                }
                let told = self.read(seen);
                assert_eq!(told.evicted, evicted);
                seen.eviction += evicted.len() as u64;
                seen.spared_victim += spared as u64;
                seen.use_counted += u64::from(use_counts);
                seen.quota_eviction += for_quota as u64;
                let both = for_quota > 0 && victims.len() > for_quota;
                seen.quota_and_slots_evict += u64::from(both);
                seen.share_evicts_own += own_share as u64;
                seen.share_evicts_the_greedy += others_share as u64;
                let still = self.lingering();
                let gone = |key: &&InstrumentKey| !still.contains(key) && !wanted.contains_key(key);
                seen.linger_reclaimed_by_admission += lingering.iter().filter(gone).count() as u64;
                let again = |key: &&InstrumentKey| wanted.contains_key(key);
                seen.lingering_wanted_again += lingering.iter().filter(again).count() as u64;
                // Who was not unbound keeps its slot, without being bound anew.
                for (key, slot) in leaving.iter().filter(|(key, _)| wanted.contains_key(key)) {
                    assert_eq!(self.mirror.row(*key).map(|(slot, _)| slot), Some(*slot));
                    assert!(!told.bound.contains(key));
                    seen.let_go_and_wanted_again += 1;
                }
            }
            (answer, expected) => panic!("{answer:?}, but by the rules {expected:?}"),
        }
    }

    fn roll(&mut self, seen: &mut Seen) {
        let owner = self.owner();
        let Some(claim) = self.naive.find(owner) else {
            self.book.replace(self.now, owner, &[], &mut self.effects);
            assert!(
                self.effects
                    .iter()
                    .all(|e| matches!(e, Effect::Wake { .. }))
            );
            return;
        };
        let width = claim.legs.len() as u32;
        let place = |key: &InstrumentKey| (0..RING).find(|&place| self::key(place) == *key);
        let first = claim.legs.keys().next().and_then(place).unwrap_or(0);
        let shift = self.rng.random_range(0..5);
        let width = width + u32::from(self.rng.random_range(0..6) == 0);
        let legs = self.window(first + RING + shift - 2, width);
        let wanted = collapse(&legs);
        let before = self.naive.desired();
        let full = before.len() == self.config.total;
        self.book.replace(self.now, owner, &legs, &mut self.effects);
        self.naive.roll(owner, &wanted);
        let comes = wanted.keys().any(|key| !before.contains_key(key));
        seen.roll_at_a_full_book += u64::from(full && comes);
        let told = self.read(seen);
        assert_eq!(told.evicted, []);
        seen.roll_waiting_for_room += u64::from(self.book.status().unplaced > 0);
    }

    /// Lets go of what single-legged claims hold on one connection, which leaves the
    /// connections uneven, and evens them out again.
    fn thin_out(&mut self, at: usize, seen: &mut Seen) {
        let homes: Vec<InstrumentKey> = self
            .mirror
            .rows
            .values()
            .filter(|row| row.home == conn(at))
            .map(|row| row.key)
            .collect();
        let there: Vec<Owner> = self
            .naive
            .claims
            .iter()
            .filter(|c| c.owner.kind == OwnerKind::Request)
            .filter(|c| c.legs.keys().any(|key| homes.contains(key)))
            .map(|c| c.owner)
            .collect();
        for owner in there {
            self.release(owner, seen);
        }
        self.rebalance(seen);
    }

    fn release(&mut self, owner: Owner, seen: &mut Seen) {
        let released = self.book.release(self.now, owner, &mut self.effects);
        let expected = self.naive.remove(owner);
        assert_eq!((released.held, released.leaving), expected);
        let homes: BTreeMap<InstrumentKey, ConnId> = self
            .mirror
            .rows
            .values()
            .map(|row| (row.key, row.home))
            .collect();
        let told = self.read(seen);
        let lingering = self.lingering();
        assert!(told.undesired.iter().all(|key| !lingering.contains(key)));
        let status = self.book.status();
        for key in told.undesired {
            if let Some(home) = homes.get(&key)
                && !status.connections[home.index()].up
            {
                seen.unsubscribe_while_down += 1;
                assert!(told.unbound.contains(&key));
            }
        }
    }

    /// Some legs of a claim go, as when one of several exchanges closes.
    fn drop_legs(&mut self, seen: &mut Seen) {
        let owner = self.owner();
        let (of, which) = (self.rng.random_range(1..4), self.rng.random_range(0..3));
        let go = |key: InstrumentKey| (key.id.0 + u32::from(key.segment.code())) % of == which % of;
        let claim = self.book.claim(owner);
        let used = claim.map(|claim| claim.used());
        let dropped = self.book.drop_legs(self.now, owner, go, &mut self.effects);
        let expected = self.naive.drop_legs(owner, go);
        assert_eq!((dropped.held, dropped.leaving), expected);
        assert!(dropped.contracts_held <= dropped.held);
        assert!(dropped.contracts_leaving <= dropped.leaving);
        let claim = self.book.claim(owner);
        assert_eq!(claim.is_some(), self.naive.find(owner).is_some());
        assert!(claim.is_none_or(|claim| Some(claim.used()) == used));
        seen.leg_dropped += dropped.held as u64;
        seen.claim_dropped_out += u64::from(used.is_some() && claim.is_none());
        for effect in &self.effects {
            if let Effect::Undesired { owner: by, why, .. } = *effect {
                assert_eq!((by, why), (owner, Why::Released));
            }
        }
        let told = self.read(seen);
        assert_eq!(told.undesired.len(), dropped.leaving);
        let lingering = self.lingering();
        assert!(told.undesired.iter().all(|key| !lingering.contains(key)));
    }

    pub(crate) fn timeout(&mut self, seen: &mut Seen) {
        let lingering = self.lingering().len();
        let before = self.book.status();
        self.book.handle_timeout(self.now, &mut self.effects);
        let told = self.read(seen);
        let after = self.book.status();
        seen.linger_ran_out += (lingering - self.lingering().len()) as u64;
        seen.migration_by_grace += before.migrating.saturating_sub(after.migrating) as u64;
        assert_eq!(told.refused, 0);
        seen.suspect_cleared += before.suspects.saturating_sub(after.suspects) as u64;
        self.check_handover(&before, &told, seen);
        if let Some(moved) = told.rebalanced {
            assert!(moved > 0);
            seen.rebalanced_by_itself += 1;
        }
        let next = self.book.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now.mono));
    }

    pub(crate) fn rebalance(&mut self, seen: &mut Seen) {
        let moved = self.book.rebalance(self.now, &mut self.effects);
        self.evens_out = true;
        let told = self.read(seen);
        let begun = told.migrated + told.rehomed.len();
        assert!(begun <= moved);
        assert_eq!(told.rebalanced, None);
        seen.rebalance_of_nothing += u64::from(moved == 0);
        seen.rebalance_in_steps += u64::from(begun < moved);
    }

    /// What nobody holds and is still on its way out.
    fn leaving(&self) -> BTreeMap<InstrumentKey, Slot> {
        let leaves = self.book.instruments();
        let leaves = leaves.filter(|i| i.state == State::Leaving);
        leaves.map(|i| (i.key, i.slot)).collect()
    }

    pub(crate) fn lingering(&self) -> BTreeSet<InstrumentKey> {
        let lingers = self
            .book
            .instruments()
            .filter(|i| i.state == State::Lingering);
        lingers.map(|i| i.key).collect()
    }
}

fn collapse(legs: &[Leg]) -> Legs {
    let mut collapsed = Legs::new();
    for leg in legs {
        let mode = collapsed.entry(leg.key).or_insert(leg.mode);
        *mode = leg.mode.max(*mode);
    }
    collapsed
}
