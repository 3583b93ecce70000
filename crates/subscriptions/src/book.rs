use core::cmp::Reverse;
use std::collections::BTreeSet;

use strikewire_types::{InstrumentKey, Mono, Now, Slot, Tier};

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
    /// What a rebalance may still move, what matters least at the end.
    pub(crate) moves: Vec<(Rank, Slot)>,
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
            moves: Vec::new(),
            tally: Tally::new(config.connections, config.per_connection),
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
    ///
    /// Claims that are admitted again in the order of their last use, from the least
    /// recent on, have that order again; see
    /// [`ClaimView::used`](crate::ClaimView::used).
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
        let id = self.claims.claim(now, plan.owner, plan.tier, plan.user);
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

    /// Ends the claim of `owner`. What nobody else holds leaves the wire at once, as
    /// far as the book is concerned: its message goes out when its connection is polled.
    ///
    /// What is on a wire and is asked for again before that, in the same mode, stays
    /// there as if it had never been let go: the same slot, no message, and between
    /// [`Effect::Undesired`] and [`Effect::Desired`] neither [`Effect::Unbind`] nor
    /// [`Effect::Bind`]. So all claims can be released and others admitted in one turn,
    /// as on a change of day, and the wires see the difference. What was on no wire,
    /// since it had not been sent or its connection is down, goes at once and gets a
    /// slot anew.
    pub fn release(&mut self, now: Now, owner: Owner, effects: &mut Vec<Effect>) -> Released {
        let mut cx = Cx { now, effects };
        let released = self.drop_claim(&mut cx, owner, Why::Released);
        self.finish(&mut cx);
        released
    }

    /// Lets go of some legs of the claim of `owner`: those for which `go` is true. What
    /// nobody else holds leaves the wire at once. It is not a use. A claim that holds
    /// nothing any more ends.
    ///
    /// What is returned counts the legs that went.
    pub fn drop_legs(
        &mut self,
        now: Now,
        owner: Owner,
        mut go: impl FnMut(InstrumentKey) -> bool,
        effects: &mut Vec<Effect>,
    ) -> Released {
        let mut cx = Cx { now, effects };
        let Some(id) = self.claims.find(owner) else {
            return Released::default();
        };
        let claim = self.claims.get(id);
        let tier = claim.tier;
        let (gone, kept): (Vec<Held>, Vec<Held>) = claim
            .legs
            .iter()
            .partition(|leg| go(self.table[leg.slot].key));
        if gone.is_empty() {
            return Released::default();
        }
        if kept.is_empty() {
            self.claims.remove(owner);
        } else {
            self.claims.set_legs(id, kept);
        }
        let goes = LetGo {
            owner,
            why: Why::Released,
            lingers: false,
        };
        let released = self.let_go(&mut cx, tier, &gone, goes);
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
        let tier = self.claims.get(id).tier;
        let old = self.claims.set_legs(id, Vec::new());
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
        held.reserve_exact(fresh.len());
        for at in by_worth(fresh) {
            let wanted = &fresh[at];
            let claim = self.claims.get(id);
            let hold = Hold {
                tier: claim.tier,
                mode: wanted.leg.mode,
            };
            let rank = claim.rank(wanted.leg.role, wanted.leg.distance);
            let slot = self.enter(cx, &wanted.leg, hold, rank, claim.owner);
            held.push(wanted.held_in(slot));
        }
        held.sort_unstable_by_key(|leg| leg.slot);
        self.claims.set_legs(id, held);
    }

    fn drop_claim(&mut self, cx: &mut Cx<'_>, owner: Owner, why: Why) -> Released {
        let Some(claim) = self.claims.remove(owner) else {
            return Released::default();
        };
        let goes = LetGo {
            owner,
            why,
            lingers: false,
        };
        self.let_go(cx, claim.tier, &claim.legs, goes)
    }

    /// A claim in `tier` holds these legs no more.
    fn let_go(&mut self, cx: &mut Cx<'_>, tier: Tier, legs: &[Held], goes: LetGo) -> Released {
        self.version += 1;
        let mut released = Released {
            held: legs.len(),
            ..Released::default()
        };
        // Looking at all of them first, memory is waited for once and not for each.
        let alone = |leg: &&Held| self.table[leg.slot].holds.all() == 1;
        cx.effects.reserve(legs.iter().filter(alone).count());
        for leg in legs {
            let hold = Hold {
                tier,
                mode: leg.mode,
            };
            let last = self.lose(cx, leg.slot, hold, leg.distance, goes);
            let contract = leg.role == Role::Contract;
            released.leaving += usize::from(last);
            released.contracts_held += usize::from(contract);
            released.contracts_leaving += usize::from(last && contract);
        }
        released
    }
}

/// The legs of one claim from the most valuable on, by index: a sort of plain numbers,
/// which takes a fraction of one of the legs.
pub(crate) fn by_worth(legs: &[Wanted]) -> impl Iterator<Item = usize> + use<> {
    let worth = |(at, wanted): (usize, &Wanted)| {
        let leg = &wanted.leg;
        ((leg.role as u64) << 48) | (u64::from(leg.distance) << 32) | at as u64
    };
    let mut order: Vec<u64> = legs.iter().enumerate().map(worth).collect();
    order.sort_unstable();
    order.into_iter().map(|worth| worth as u32 as usize)
}

/// The legs that have a slot, and the others.
pub(crate) fn split(legs: &[Wanted]) -> (&[Wanted], &[Wanted]) {
    legs.split_at(legs.partition_point(|wanted| wanted.slot().is_some()))
}
