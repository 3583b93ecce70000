use core::cmp::Reverse;
use std::collections::BTreeSet;

use strikewire_types::{Mono, Now, Slot, Tier};

use crate::claims::{ClaimId, Claims, Held};
use crate::instruments::{Cx, LetGo};
use crate::plan::Wanted;
use crate::rank::Rank;
use crate::table::{Hold, Table, Tally};
use crate::wire::Conn;
use crate::{Applied, Config, ConfigError, Effect, Leg, Owner, Plan, Released, Role, Why};

/// Who holds which instruments, where they are, and what the wires still lack.
///
/// A machine without IO: requests, connection events and the time go in, effects and
/// wire batches come out. It is changed through `&mut` by one owner; everything that
/// changes appends its [`Effect`]s in order.
#[derive(Debug)]
pub struct Book {
    pub(crate) config: Config,
    pub(crate) claims: Claims,
    pub(crate) table: Table,
    pub(crate) conns: Vec<Conn>,
    pub(crate) tally: Tally,
    /// Desired instruments that no connection has room for, the most valuable first.
    pub(crate) waiting: BTreeSet<(Rank, Slot)>,
    /// What lingers: the oldest first, then the farthest from the money.
    pub(crate) lingering: BTreeSet<(Mono, Reverse<u16>, Slot)>,
    /// Migrations whose subscription has been written, by when they end at the latest.
    pub(crate) grace: BTreeSet<(Mono, Slot)>,
    /// Grows with every change of an instrument or a claim.
    pub(crate) version: u64,
    /// When ranks were last made to follow the uses: version and count of uses.
    pub(crate) ranked_at: Option<(u64, u64)>,
}

impl Book {
    /// An empty book; every connection is down.
    ///
    /// # Errors
    ///
    /// If `config` has a limit that no broker can mean.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            claims: Claims::new(),
            table: Table::new(config.slots()),
            conns: (0..config.connections).map(|_| Conn::default()).collect(),
            tally: Tally::new(config.connections),
            waiting: BTreeSet::new(),
            lingering: BTreeSet::new(),
            grace: BTreeSet::new(),
            version: 0,
            ranked_at: None,
            config,
        })
    }

    /// Admits what was planned; counts as a use of the claim. Cannot fail.
    ///
    /// A claim that the owner has already is replaced, and what it alone held goes at
    /// once. A new instrument whose room is still taken by one on its way out waits
    /// until that has been written.
    ///
    /// A plan is for the book it was made from. If anything changed in between it is
    /// made again; should that be refused, nobody is evicted and what has no room
    /// waits.
    pub fn apply(&mut self, now: Now, plan: Plan, effects: &mut Vec<Effect>) -> Applied {
        let plan = if plan.version == self.version {
            plan
        } else {
            let request = plan.into_request();
            self.plan(now, &request)
                .unwrap_or_else(|_| self.plan_waiting(&request))
        };
        let mut cx = Cx { now, effects };
        let old = self.claims.find(plan.owner);
        let old_tier = old.map_or(plan.tier, |id| self.claims.get(id).tier);
        let id = self.claims.claim(now, plan.owner, plan.tier);
        let goes = LetGo {
            owner: plan.owner,
            why: Why::Replaced,
            lingers: false,
        };
        let (known, fresh) = split(&plan.legs);
        let (held, revived) = self.change(&mut cx, id, old_tier, known, goes);
        for victim in &plan.victims {
            cx.effects.push(Effect::Evicted {
                owner: victim.owner,
                by: plan.owner,
                freed: victim.frees,
            });
            self.drop_claim(&mut cx, victim.owner, Why::Evicted);
        }
        self.enter_all(&mut cx, id, held, fresh);
        self.version += 1;
        self.finish(&mut cx);
        Applied {
            held: plan.legs.len(),
            new_on_wire: revived + fresh.len(),
            evicted: plan.victims.len(),
        }
    }

    /// Gives the claim of `owner` other legs in the same tier: a roll. Cannot fail,
    /// and does nothing for an owner without a claim. It is not a use.
    ///
    /// Legs that go and that nobody else holds linger on the wire. Where their room is
    /// needed they go first, the farthest from the money at the head, and nobody else
    /// is evicted: a leg that still has no room waits and is placed as room comes.
    pub fn replace(&mut self, now: Now, owner: Owner, legs: &[Leg], effects: &mut Vec<Effect>) {
        let mut cx = Cx { now, effects };
        let Some(id) = self.claims.find(owner) else {
            return;
        };
        let legs = self.resolve(legs);
        let goes = LetGo {
            owner,
            why: Why::Rolled,
            lingers: true,
        };
        let tier = self.claims.get(id).tier;
        let (known, fresh) = split(&legs);
        let (held, _) = self.change(&mut cx, id, tier, known, goes);
        self.enter_all(&mut cx, id, held, fresh);
        self.version += 1;
        self.finish(&mut cx);
    }

    /// Ends the claim of `owner`. What nobody else holds leaves the wire at once.
    pub fn release(&mut self, now: Now, owner: Owner, effects: &mut Vec<Effect>) -> Released {
        let mut cx = Cx { now, effects };
        let released = self.drop_claim(&mut cx, owner, Why::Released);
        self.finish(&mut cx);
        released
    }

    /// Takes note that the claim of `owner` was used, if there is one: it becomes the
    /// most recently used and counts as in use for [`Config::in_use`].
    pub fn touch(&mut self, now: Now, owner: Owner) {
        self.claims.touch(now, owner);
    }

    /// Says whether a stream of the claim of `owner` is open, which counts as in use
    /// however long ago its last use was, until it is said again or the claim ends.
    /// Closing one is not a use by itself.
    pub fn set_streaming(&mut self, owner: Owner, open: bool) {
        if let Some(id) = self.claims.find(owner) {
            self.claims.get_mut(id).streaming = open;
        }
    }

    /// Changes a claim to the legs of `known`, all of which have a slot, and lets go
    /// of the others. What it holds then, and how many of them nobody held before.
    fn change(
        &mut self,
        cx: &mut Cx<'_>,
        id: ClaimId,
        old_tier: Tier,
        known: &[Wanted],
        goes: LetGo,
    ) -> (Vec<Held>, usize) {
        let claim = self.claims.get_mut(id);
        let tier = claim.tier;
        let old = core::mem::take(&mut claim.legs);
        let mut old = old.into_iter().peekable();
        let mut held = Vec::with_capacity(known.len());
        let mut outgoing = Vec::new();
        let mut new = 0;
        for wanted in known {
            let Some(slot) = wanted.slot() else { continue };
            while let Some(leg) = old.next_if(|leg| leg.slot < slot) {
                outgoing.push(leg);
            }
            let leg = wanted.held_in(slot);
            let hold = Hold {
                tier,
                mode: leg.mode,
            };
            let rank = self.claims.get(id).rank(leg.role, leg.distance);
            if let Some(before) = old.next_if(|before| before.slot == slot) {
                let before = Hold {
                    tier: old_tier,
                    mode: before.mode,
                };
                self.rehold(cx, slot, Some(before), hold, rank);
            } else {
                new += usize::from(self.gain(cx, slot, hold, rank, goes.owner));
            }
            held.push(leg);
        }
        // What comes was held first, so that nothing wanted leaves in between.
        outgoing.extend(old);
        for leg in outgoing {
            let hold = Hold {
                tier: old_tier,
                mode: leg.mode,
            };
            self.lose(cx, leg.slot, hold, leg.distance, goes);
        }
        (held, new)
    }

    /// Adds legs without a slot to what a claim holds, the most valuable first.
    fn enter_all(&mut self, cx: &mut Cx<'_>, id: ClaimId, mut held: Vec<Held>, fresh: &[Wanted]) {
        let claim = self.claims.get(id);
        let (owner, tier) = (claim.owner, claim.tier);
        let rank = |wanted: &Wanted| claim.rank(wanted.leg.role, wanted.leg.distance);
        let mut fresh: Vec<(Rank, &Wanted)> = fresh.iter().map(|leg| (rank(leg), leg)).collect();
        fresh.sort_by_key(|&(rank, _)| rank);
        held.reserve_exact(fresh.len());
        for (rank, wanted) in fresh {
            let hold = Hold {
                tier,
                mode: wanted.leg.mode,
            };
            let slot = self.enter(cx, &wanted.leg, hold, rank, owner);
            held.push(wanted.held_in(slot));
        }
        held.sort_unstable_by_key(|leg| leg.slot);
        self.claims.get_mut(id).legs = held;
    }

    fn drop_claim(&mut self, cx: &mut Cx<'_>, owner: Owner, why: Why) -> Released {
        let mut released = Released::default();
        let Some(claim) = self.claims.remove(owner) else {
            return released;
        };
        self.version += 1;
        let how = LetGo {
            owner,
            why,
            lingers: false,
        };
        released.held = claim.legs.len();
        for leg in &claim.legs {
            let hold = Hold {
                tier: claim.tier,
                mode: leg.mode,
            };
            let last = self.lose(cx, leg.slot, hold, leg.distance, how);
            let contract = leg.role == Role::Contract;
            released.leaving += usize::from(last);
            released.contracts_held += usize::from(contract);
            released.contracts_leaving += usize::from(last && contract);
        }
        released
    }
}

/// The legs that have a slot, and the others.
fn split(legs: &[Wanted]) -> (&[Wanted], &[Wanted]) {
    legs.split_at(legs.partition_point(|wanted| wanted.slot().is_some()))
}
