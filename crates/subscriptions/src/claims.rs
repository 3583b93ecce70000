//! Who holds what, and the order in which claims were used.

use core::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use strikewire_types::{Mode, Mono, Now, Slot, Tier, Utc};

use crate::lru::Order;
use crate::rank::Rank;
use crate::{Owner, Role};

/// One instrument of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) slot: Slot,
    pub(crate) distance: u16,
    pub(crate) mode: Mode,
    pub(crate) role: Role,
}

#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
    /// Whom it is charged to in tier A.
    pub(crate) user: Option<u64>,
    /// By slot, each once. Changed by [`Claims::set_legs`] alone.
    pub(crate) legs: Vec<Held>,
    pub(crate) since: Utc,
    pub(crate) last_use: Mono,
    pub(crate) streaming: bool,
    /// How many claims had been made before it.
    made: u64,
    /// How many uses of any claim there had been before its last one.
    pub(crate) used: u64,
}

/// What a user's claims of tier A come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) claims: usize,
    /// The sum over the claims: an instrument in two of them counts twice.
    pub(crate) legs: usize,
}

impl Claim {
    /// Whose account it is on: nobody's in tier B.
    pub(crate) fn charged(&self) -> Option<u64> {
        charged(self.tier, self.user)
    }

    /// What one of its legs is worth.
    pub(crate) const fn rank(&self, role: Role, distance: u16) -> Rank {
        Rank::new(role, self.tier, self.made, self.used, distance)
    }

    /// The leg in `slot`, if it holds it.
    pub(crate) fn leg(&self, slot: Slot) -> Option<Held> {
        let at = self.legs.binary_search_by_key(&slot, |leg| leg.slot).ok()?;
        Some(self.legs[at])
    }

    pub(crate) fn in_use(&self, now: Mono, window: Duration) -> bool {
        self.streaming || now.since(self.last_use) <= window
    }
}

/// Whose account a claim in `tier` for `user` is on.
pub(crate) fn charged(tier: Tier, user: Option<u64>) -> Option<u64> {
    user.filter(|_| tier == Tier::A)
}

/// Where a claim is kept, for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClaimId(u32);

#[derive(Debug)]
pub(crate) struct Claims {
    claims: Vec<Option<Claim>>,
    vacant: Vec<u32>,
    by_owner: HashMap<Owner, u32, RandomState>,
    /// Users with claims of tier A.
    accounts: HashMap<u64, Account, RandomState>,
    /// Claims of tier A by their last use.
    order: Order,
    made: u64,
    used: u64,
}

impl Claims {
    pub(crate) fn new() -> Self {
        Self {
            claims: Vec::new(),
            vacant: Vec::new(),
            by_owner: HashMap::default(),
            accounts: HashMap::default(),
            order: Order::new(),
            made: 0,
            used: 0,
        }
    }

    pub(crate) fn find(&self, owner: Owner) -> Option<ClaimId> {
        self.by_owner.get(&owner).copied().map(ClaimId)
    }

    pub(crate) fn get(&self, id: ClaimId) -> &Claim {
        self.claims[id.0 as usize]
            .as_ref()
            .expect("an id is dropped when its claim is removed")
    }

    pub(crate) fn get_mut(&mut self, id: ClaimId) -> &mut Claim {
        self.claims[id.0 as usize]
            .as_mut()
            .expect("an id is dropped when its claim is removed")
    }

    /// The claim of `owner`, made if need be, in `tier`, charged to `user` and used now.
    pub(crate) fn claim(
        &mut self,
        now: Now,
        owner: Owner,
        tier: Tier,
        user: Option<u64>,
    ) -> ClaimId {
        if let Some(id) = self.find(owner) {
            if self.get(id).tier == Tier::A {
                self.order.remove(id.0);
            }
            let claim = self.get_mut(id);
            let (before, legs) = (claim.charged(), claim.legs.len());
            claim.tier = tier;
            claim.user = user;
            self.credit(before, legs);
            self.charge(charged(tier, user), legs);
            if tier == Tier::A {
                self.order.push(id.0);
            }
            self.stamp(now, id);
            return id;
        }
        self.charge(charged(tier, user), 0);
        let claim = Claim {
            owner,
            tier,
            user,
            legs: Vec::new(),
            since: now.utc,
            last_use: now.mono,
            streaming: false,
            made: self.made,
            used: self.used,
        };
        self.made += 1;
        self.used += 1;
        let at = if let Some(at) = self.vacant.pop() {
            self.claims[at as usize] = Some(claim);
            at
        } else {
            self.claims.push(Some(claim));
            self.claims.len() as u32 - 1
        };
        self.by_owner.insert(owner, at);
        if tier == Tier::A {
            self.order.push(at);
        }
        ClaimId(at)
    }

    pub(crate) fn remove(&mut self, owner: Owner) -> Option<Claim> {
        let at = self.by_owner.remove(&owner)?;
        let claim = self.claims[at as usize].take()?;
        if claim.tier == Tier::A {
            self.order.remove(at);
        }
        self.vacant.push(at);
        self.credit(claim.charged(), claim.legs.len());
        Some(claim)
    }

    /// Gives a claim other legs; they are by slot, each once. What it had before.
    pub(crate) fn set_legs(&mut self, id: ClaimId, legs: Vec<Held>) -> Vec<Held> {
        let claim = self.get_mut(id);
        let new = legs.len();
        let old = core::mem::replace(&mut claim.legs, legs);
        let user = claim.charged();
        // In this order, so that the account stays.
        self.charge(user, new);
        self.credit(user, old.len());
        old
    }

    /// Puts a claim with so many legs on an account.
    fn charge(&mut self, user: Option<u64>, legs: usize) {
        if let Some(user) = user {
            let account = self.accounts.entry(user).or_default();
            account.claims += 1;
            account.legs += legs;
        }
    }

    /// Takes a claim with so many legs off an account.
    fn credit(&mut self, user: Option<u64>, legs: usize) {
        let Some(user) = user else { return };
        if let Some(account) = self.accounts.get_mut(&user) {
            account.claims -= 1;
            account.legs -= legs;
            if account.claims == 0 {
                self.accounts.remove(&user);
            }
        }
    }

    /// What the claims of a user come to.
    pub(crate) fn account(&self, user: u64) -> Account {
        self.accounts.get(&user).copied().unwrap_or_default()
    }

    /// How many users have claims of tier A.
    pub(crate) fn users(&self) -> usize {
        self.accounts.len()
    }

    pub(crate) fn touch(&mut self, now: Now, owner: Owner) {
        let Some(id) = self.find(owner) else { return };
        if self.get(id).tier == Tier::A {
            self.order.remove(id.0);
            self.order.push(id.0);
        }
        self.stamp(now, id);
    }

    fn stamp(&mut self, now: Now, id: ClaimId) {
        let used = self.used;
        self.used += 1;
        let claim = self.get_mut(id);
        claim.used = used;
        claim.last_use = now.mono;
    }

    /// Grows with every use: equal numbers mean an equal order.
    pub(crate) const fn uses(&self) -> u64 {
        self.used
    }

    pub(crate) fn len(&self) -> usize {
        self.by_owner.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().flatten()
    }

    /// Claims of tier A, the least recently used first.
    pub(crate) fn by_use(&self) -> impl Iterator<Item = &Claim> {
        self.order.iter().map(|at| self.get(ClaimId(at)))
    }
}
