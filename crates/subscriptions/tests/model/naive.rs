//! What is desired and who is evicted, worked out from the rules with plain sets.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_subscriptions::Owner;
use strikewire_types::{InstrumentKey, Mode, Tier};

pub(crate) type Legs = BTreeMap<InstrumentKey, Mode>;
pub(crate) type Desired = BTreeMap<InstrumentKey, (Tier, Mode)>;

#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
    /// Who asked for it to be charged to them.
    pub(crate) user: Option<u64>,
    pub(crate) legs: Legs,
    last_use: u64,
    pub(crate) streaming: bool,
}

impl Claim {
    fn is_of(&self, user: Option<u64>) -> bool {
        user.is_some() && self.tier == Tier::A && self.user == user
    }
}

/// All claims, the least recently used first.
#[derive(Debug)]
pub(crate) struct Naive {
    pub(crate) claims: Vec<Claim>,
    pub(crate) limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    /// Nanoseconds.
    pub(crate) in_use: u64,
    pub(crate) quota: Option<usize>,
    pub(crate) fair_share: bool,
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks<'a> {
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
    pub(crate) user: Option<u64>,
    pub(crate) legs: &'a Legs,
}

/// What an admission comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Fits {
        needed: usize,
        free: usize,
        victims: Vec<(Owner, usize)>,
        spared: usize,
        /// Whether somebody in use stays who would go by last use alone.
        use_counts: bool,
        /// Victims that go for their user's quota.
        for_quota: usize,
        /// Victims of the asking user, and of others, who are over their share, while
        /// somebody stays who would go before them by use alone.
        own_share: usize,
        others_share: usize,
    },
    Refused {
        needed: usize,
        free: usize,
        evictable: usize,
        /// What the user holds otherwise, if it is for the quota.
        over_quota: Option<usize>,
    },
}

fn desired_by<'a>(claims: impl Iterator<Item = &'a Claim>) -> Desired {
    let mut desired = Desired::new();
    for claim in claims {
        for (&key, &mode) in &claim.legs {
            let entry = desired.entry(key).or_insert((claim.tier, mode));
            entry.0 = entry.0.max(claim.tier);
            entry.1 = entry.1.max(mode);
        }
    }
    desired
}

impl Naive {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            claims: Vec::new(),
            limits,
        }
    }

    pub(crate) fn desired(&self) -> Desired {
        desired_by(self.claims.iter())
    }

    pub(crate) fn find(&self, owner: Owner) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.owner == owner)
    }

    pub(crate) fn admit(&self, now: u64, asks: Asks<'_>) -> Answer {
        let Limits { total, quota, .. } = self.limits;
        let owner = asks.owner;
        let before = self.desired();
        let tier_b = before.values().filter(|(tier, _)| *tier == Tier::B).count();
        let before = before.len();
        let free = total.saturating_sub(before);
        let request = Claim {
            owner,
            tier: asks.tier,
            user: asks.user,
            legs: asks.legs.clone(),
            last_use: now,
            streaming: false,
        };
        let user = request.user.filter(|_| request.tier == Tier::A);
        let others = || self.claims.iter().filter(|claim| claim.owner != owner);
        let stay = |gone: &[&Claim]| -> Vec<&Claim> {
            let is_gone = |c: &&Claim| gone.iter().any(|gone| gone.owner == c.owner);
            others().filter(|c| !is_gone(c)).chain([&request]).collect()
        };
        // Counts what is desired after the request, with some claims gone.
        let without = |gone: &[&Claim]| desired_by(stay(gone).into_iter()).len();
        // What a user holds then.
        let held = |user: Option<u64>, gone: &[&Claim]| -> usize {
            let claims = stay(gone).into_iter().filter(|c| c.is_of(user));
            claims.map(|c| c.legs.len()).sum()
        };
        let over_quota = |gone: &[&Claim]| quota.is_some_and(|quota| held(user, gone) > quota);
        let after = without(&[]);
        let needed = if after > before {
            after - before + before.saturating_sub(total)
        } else {
            0
        };
        let short = needed.saturating_sub(free);
        let tier_a: Vec<&Claim> = others().filter(|c| c.tier == Tier::A).collect();
        let evictable = after - without(&tier_a);
        let never = over_quota(&tier_a);
        if never || short > evictable {
            return Answer::Refused {
                needed,
                free,
                evictable,
                over_quota: never.then(|| held(user, &[]) - request.legs.len()),
            };
        }
        let protected: BTreeSet<InstrumentKey> =
            desired_by(others().filter(|c| c.tier == Tier::B).chain([&request]))
                .into_keys()
                .collect();
        let users: BTreeSet<u64> = stay(&[])
            .iter()
            .filter(|c| c.tier == Tier::A)
            .filter_map(|c| c.user)
            .collect();
        let share = total.saturating_sub(tier_b) / users.len().max(1);
        let busy = |c: &Claim| c.streaming || now - c.last_use <= self.limits.in_use;
        let mut queue: Vec<&Claim> = Vec::new();
        queue.extend(tier_a.iter().filter(|c| !busy(c)));
        queue.extend(tier_a.iter().filter(|c| busy(c)));
        let can_free = |c: &Claim| c.legs.keys().any(|key| !protected.contains(key));
        // In which turn a claim goes next, after those taken.
        let turn = |c: &Claim, taken: &[&Claim]| -> Option<u8> {
            if taken.iter().any(|taken| taken.owner == c.owner) {
                return None;
            }
            if over_quota(taken) {
                return c.is_of(user).then_some(0);
            }
            if after - without(taken) >= short || !can_free(c) {
                return None;
            }
            let charged = c.user.filter(|_| c.tier == Tier::A);
            let greedy = charged.is_some() && held(charged, taken) > share;
            Some(match (self.limits.fair_share && greedy, c.is_of(user)) {
                (true, true) => 1,
                (true, false) => 2,
                (false, _) => 3,
            })
        };
        let mut taken: Vec<&Claim> = Vec::new();
        let mut turns: BTreeMap<Owner, u8> = BTreeMap::new();
        loop {
            let next = queue.iter().filter_map(|c| Some((turn(c, &taken)?, *c)));
            // The first of those whose turn is first.
            let Some((turn, claim)) = next.min_by_key(|&(turn, _)| turn) else {
                break;
            };
            turns.insert(claim.owner, turn);
            taken.push(claim);
        }
        let mut kept = taken.clone();
        for claim in taken.iter().rev() {
            let fewer: Vec<&Claim> = kept
                .iter()
                .filter(|c| c.owner != claim.owner)
                .copied()
                .collect();
            if after - without(&fewer) >= short && !over_quota(&fewer) {
                kept = fewer;
            }
        }
        let frees = |nth: usize| without(&kept[..nth]) - without(&kept[..=nth]);
        let first = tier_a.iter().find(|c| !c.legs.is_empty());
        let use_counts = first.is_some_and(|first| busy(first) && kept.iter().any(|c| !busy(c)));
        let spares = |c: &&Claim| can_free(c) && !kept.iter().any(|kept| kept.owner == c.owner);
        let place = |c: &Claim| queue.iter().position(|other| other.owner == c.owner);
        let first_spared = queue.iter().position(spares);
        let early = |c: &Claim| first_spared.is_some_and(|first| place(c) > Some(first));
        let of_turn = |turn: u8, early: &dyn Fn(&Claim) -> bool| {
            let victims = kept.iter().filter(|c| turns[&c.owner] == turn);
            victims.filter(|c| early(c)).count()
        };
        Answer::Fits {
            needed,
            free,
            use_counts,
            spared: taken.len() - kept.len(),
            for_quota: of_turn(0, &|_| true),
            own_share: of_turn(1, &early),
            others_share: of_turn(2, &early),
            victims: (0..kept.len())
                .map(|nth| (kept[nth].owner, frees(nth)))
                .collect(),
        }
    }

    /// Makes or replaces a claim; how many instruments nobody held before.
    pub(crate) fn put(&mut self, now: u64, asks: Asks<'_>) -> usize {
        let before = self.desired();
        let (owner, legs) = (asks.owner, asks.legs);
        let streaming = self.find(owner).is_some_and(|claim| claim.streaming);
        let new = legs.keys().filter(|key| !before.contains_key(key)).count();
        self.claims.retain(|claim| claim.owner != owner);
        self.claims.push(Claim {
            owner,
            tier: asks.tier,
            user: asks.user,
            legs: legs.clone(),
            last_use: now,
            streaming,
        });
        new
    }

    /// Takes some legs from a claim, which ends if none is left; how many it held and
    /// how many of them nobody holds now.
    pub(crate) fn drop_legs(
        &mut self,
        owner: Owner,
        go: impl Fn(InstrumentKey) -> bool,
    ) -> (usize, usize) {
        let before = self.desired().len();
        let mut dropped = 0;
        for claim in self.claims.iter_mut().filter(|claim| claim.owner == owner) {
            let had = claim.legs.len();
            claim.legs.retain(|&key, _| !go(key));
            dropped = had - claim.legs.len();
        }
        if dropped > 0 {
            self.claims
                .retain(|claim| claim.owner != owner || !claim.legs.is_empty());
        }
        (dropped, before - self.desired().len())
    }

    /// Ends a claim; how many instruments it held and how many nobody holds now.
    pub(crate) fn remove(&mut self, owner: Owner) -> (usize, usize) {
        let before = self.desired().len();
        let held = self.find(owner).map_or(0, |claim| claim.legs.len());
        self.claims.retain(|claim| claim.owner != owner);
        (held, before - self.desired().len())
    }

    pub(crate) fn roll(&mut self, owner: Owner, legs: &Legs) {
        for claim in self.claims.iter_mut().filter(|claim| claim.owner == owner) {
            claim.legs = legs.clone();
        }
    }

    pub(crate) fn touch(&mut self, now: u64, owner: Owner) {
        if let Some(at) = self.claims.iter().position(|claim| claim.owner == owner) {
            let mut claim = self.claims.remove(at);
            claim.last_use = now;
            self.claims.push(claim);
        }
    }

    pub(crate) fn stream(&mut self, owner: Owner, open: bool) {
        for claim in self.claims.iter_mut().filter(|claim| claim.owner == owner) {
            claim.streaming = open;
        }
    }
}
