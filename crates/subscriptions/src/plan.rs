//! Admission without a change: what a request takes and whom it evicts.

use strikewire_types::{Now, Slot, Tier};

use crate::book::Book;
use crate::claims::{Claim, Held, charged};
use crate::victims::Need;
use crate::{Leg, OverQuota, Owner, Refusal, Request};

/// What admitting a request will do. Made by [`Book::plan`], used up by
/// [`Book::apply`].
#[derive(Debug, Clone)]
pub struct Plan {
    /// The book it was made for, as a count of its changes.
    pub(crate) version: u64,
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
    pub(crate) user: Option<u64>,
    pub(crate) legs: Vec<Wanted>,
    pub(crate) victims: Vec<Victim>,
    needed: usize,
    free: usize,
}

/// A claim that is evicted to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Victim {
    /// Whose claim.
    pub owner: Owner,
    /// How many slots it frees, after the victims before it. None is possible where it
    /// goes for its user's quota.
    pub frees: usize,
}

impl Plan {
    /// Who asked.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Slots that the request takes: instruments that nobody holds yet, less those
    /// that its owner's earlier claim alone holds and lets go, plus those that rolled
    /// legs are waiting for.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// Slots that nobody holds; legs that linger count as free.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.free
    }

    /// Instruments that the claim will hold, each counted once.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.legs.len()
    }

    /// The claims that have to go, in the order in which they are evicted.
    #[must_use]
    pub fn victims(&self) -> &[Victim] {
        &self.victims
    }

    /// The request again, each instrument once.
    pub(crate) fn into_request(self) -> Request {
        Request {
            owner: self.owner,
            tier: self.tier,
            user: self.user,
            legs: self.legs.into_iter().map(|wanted| wanted.leg).collect(),
        }
    }
}

/// A leg and the slot of its instrument, if it has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The slot, or the bits of the key, which are larger than any slot: one number
    /// to sort by.
    at: u64,
    pub(crate) leg: Leg,
}

impl Wanted {
    pub(crate) fn slot(&self) -> Option<Slot> {
        u32::try_from(self.at).ok().map(Slot)
    }

    pub(crate) const fn held_in(&self, slot: Slot) -> Held {
        Held {
            slot,
            distance: self.leg.distance,
            mode: self.leg.mode,
            role: self.leg.role,
        }
    }

    /// One leg for two of the same instrument.
    fn absorb(&mut self, other: &Leg) {
        self.leg.mode = self.leg.mode.max(other.mode);
        self.leg.role = self.leg.role.min(other.role);
        self.leg.distance = self.leg.distance.min(other.distance);
    }
}

/// What a request means for the count of desired instruments.
#[derive(Debug, Default)]
struct Demand {
    /// Held by nobody so far.
    new: usize,
    /// Held by the owner's earlier claim alone, and not wanted any more.
    dropped: usize,
    /// What evicting every other claim of tier A would free.
    evictable: usize,
}

impl Book {
    /// What admitting `request` at `now` would do; changes nothing.
    ///
    /// If it does not fit into what is free, claims of tier A other than the owner's
    /// own are chosen to go: those in use after all others, then the least recently
    /// used first. A claim that could free nothing is passed over. Claims are taken
    /// until what they free suffices, where a slot is free only when its last holder
    /// goes; then, from the last one taken back, each that is not needed is spared.
    ///
    /// With a [`quota`](crate::Config::quota), claims of the request's own user are
    /// taken first, in the same order, until the user is not over it. With
    /// [`fair_share`](crate::Config::fair_share), where slots lack, those of the
    /// request's own user come next for as long as that user is over the share, then
    /// those of all who are, each for as long as they are, and then the rest. Both
    /// count what users would hold after the request; the share is one of the users
    /// that there would be and of what tier B leaves as it is before.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if it cannot fit even with every such claim gone, or if it is over
    /// the quota by itself.
    pub fn plan(&self, now: Now, request: &Request) -> Result<Plan, Refusal> {
        let legs = self.resolve(&request.legs);
        let own = self.held_by(request.owner);
        let demand = self.demand(&legs, own);
        let free = self.config.total.saturating_sub(self.tally.desired);
        let over = self.tally.desired.saturating_sub(self.config.total);
        let needed = match demand.new.saturating_sub(demand.dropped) {
            0 => 0,
            more => more + over,
        };
        let need = Need {
            owner: request.owner,
            user: charged(request.tier, request.user),
            legs: &legs,
            own,
            short: needed.saturating_sub(free),
        };
        let quota = self.over_quota(&need);
        if quota.is_some() || need.short > demand.evictable {
            return Err(Refusal {
                needed,
                free,
                evictable: demand.evictable,
                quota,
            });
        }
        Ok(Plan {
            version: self.version,
            owner: request.owner,
            tier: request.tier,
            user: request.user,
            victims: self.victims(now, &need),
            legs,
            needed,
            free,
        })
    }

    /// The claim of `owner`, if there is one.
    pub(crate) fn held_by(&self, owner: Owner) -> Option<&Claim> {
        self.claims.find(owner).map(|id| self.claims.get(id))
    }

    /// What is wrong if a request is over the quota of its user by itself.
    fn over_quota(&self, need: &Need<'_>) -> Option<OverQuota> {
        let (user, quota) = (need.user?, self.config.quota?);
        let asked = need.legs.len();
        (asked > quota).then(|| OverQuota {
            user,
            quota,
            held: need.others(self, user).legs,
            asked,
        })
    }

    /// A plan for what [`plan`](Self::plan) refuses: nobody is evicted, and what has
    /// no room waits.
    pub(crate) fn plan_waiting(&self, request: &Request) -> Plan {
        Plan {
            version: self.version,
            owner: request.owner,
            tier: request.tier,
            user: request.user,
            legs: self.resolve(&request.legs),
            victims: Vec::new(),
            needed: 0,
            free: 0,
        }
    }

    /// Finds the slots: first the legs that have one, by slot, then the others, by
    /// key; each instrument once.
    pub(crate) fn resolve(&self, legs: &[Leg]) -> Vec<Wanted> {
        let find = |&leg: &Leg| Wanted {
            at: match self.table.find(leg.key) {
                Some(slot) => slot.0.into(),
                None => leg.key.to_bits(),
            },
            leg,
        };
        let mut wanted: Vec<Wanted> = legs.iter().map(find).collect();
        wanted.sort_unstable_by_key(|wanted| wanted.at);
        wanted.dedup_by(|next, kept| {
            let same = next.at == kept.at;
            if same {
                kept.absorb(&next.leg);
            }
            same
        });
        wanted
    }

    fn demand(&self, legs: &[Wanted], own: Option<&Claim>) -> Demand {
        let mut demand = Demand {
            evictable: self.tally.desired - self.tally.tier_b,
            ..Demand::default()
        };
        for wanted in legs {
            let entry = wanted.slot().map(|slot| &self.table[slot]);
            match entry.filter(|entry| entry.life.is_desired()) {
                None => demand.new += 1,
                Some(entry) => demand.evictable -= usize::from(entry.shown.tier == Tier::A),
            }
        }
        let Some(own) = own else { return demand };
        for leg in own.legs.iter().filter(|leg| !is_wanted(legs, leg.slot)) {
            let entry = &self.table[leg.slot];
            let alone = entry.holds.all() == 1;
            demand.dropped += usize::from(alone);
            // What the owner alone keeps in tier B could be evicted after it.
            match (entry.shown.tier, own.tier) {
                (Tier::A, _) => demand.evictable -= usize::from(alone),
                (Tier::B, Tier::B) if !alone && entry.holds.of_tier(Tier::B) == 1 => {
                    demand.evictable += 1;
                }
                (Tier::B, _) => {}
            }
        }
        demand
    }
}

/// Whether the instrument in `slot` is among the legs that have a slot.
fn is_wanted(legs: &[Wanted], slot: Slot) -> bool {
    let at = u64::from(slot.0);
    legs.binary_search_by_key(&at, |wanted| wanted.at).is_ok()
}
