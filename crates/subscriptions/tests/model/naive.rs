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
    pub(crate) legs: Legs,
    last_use: u64,
    pub(crate) streaming: bool,
}

/// All claims, the least recently used first.
#[derive(Debug)]
pub(crate) struct Naive {
    pub(crate) claims: Vec<Claim>,
    total: usize,
    /// Nanoseconds.
    in_use: u64,
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
    },
    Refused {
        needed: usize,
        free: usize,
        evictable: usize,
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
    pub(crate) fn new(total: usize, in_use: u64) -> Self {
        Self {
            claims: Vec::new(),
            total,
            in_use,
        }
    }

    pub(crate) fn desired(&self) -> Desired {
        desired_by(self.claims.iter())
    }

    pub(crate) fn find(&self, owner: Owner) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.owner == owner)
    }

    pub(crate) fn admit(&self, now: u64, owner: Owner, tier: Tier, legs: &Legs) -> Answer {
        let before = self.desired().len();
        let free = self.total.saturating_sub(before);
        let request = Claim {
            owner,
            tier,
            legs: legs.clone(),
            last_use: now,
            streaming: false,
        };
        let others = || self.claims.iter().filter(|claim| claim.owner != owner);
        // Counts what is desired after the request, with some claims gone.
        let without = |gone: &[&Claim]| {
            let stay = others().filter(|c| !gone.iter().any(|gone| gone.owner == c.owner));
            desired_by(stay.chain([&request])).len()
        };
        let after = without(&[]);
        if after <= before {
            return Answer::Fits {
                needed: 0,
                free,
                victims: Vec::new(),
                spared: 0,
                use_counts: false,
            };
        }
        let needed = after - before + before.saturating_sub(self.total);
        let short = after.saturating_sub(self.total);
        let protected: BTreeSet<InstrumentKey> =
            desired_by(others().filter(|c| c.tier == Tier::B).chain([&request]))
                .into_keys()
                .collect();
        let tier_a: Vec<&Claim> = others().filter(|c| c.tier == Tier::A).collect();
        let evictable = after - without(&tier_a);
        if short > evictable {
            return Answer::Refused {
                needed,
                free,
                evictable,
            };
        }
        let busy = |c: &Claim| c.streaming || now - c.last_use <= self.in_use;
        let mut queue: Vec<&Claim> = Vec::new();
        queue.extend(tier_a.iter().filter(|c| !busy(c)));
        queue.extend(tier_a.iter().filter(|c| busy(c)));
        queue.retain(|c| c.legs.keys().any(|key| !protected.contains(key)));
        let mut taken: Vec<&Claim> = Vec::new();
        for claim in queue {
            if after - without(&taken) >= short {
                break;
            }
            taken.push(claim);
        }
        let mut kept = taken.clone();
        for claim in taken.iter().rev() {
            let fewer: Vec<&Claim> = kept
                .iter()
                .filter(|c| c.owner != claim.owner)
                .copied()
                .collect();
            if after - without(&fewer) >= short {
                kept = fewer;
            }
        }
        let frees = |nth: usize| without(&kept[..nth]) - without(&kept[..=nth]);
        let first = tier_a.iter().find(|c| !c.legs.is_empty());
        let use_counts = first.is_some_and(|first| busy(first) && kept.iter().any(|c| !busy(c)));
        Answer::Fits {
            needed,
            free,
            use_counts,
            spared: taken.len() - kept.len(),
            victims: (0..kept.len())
                .map(|nth| (kept[nth].owner, frees(nth)))
                .collect(),
        }
    }

    /// Makes or replaces a claim; how many instruments nobody held before.
    pub(crate) fn put(&mut self, now: u64, owner: Owner, tier: Tier, legs: Legs) -> usize {
        let before = self.desired();
        let streaming = self.find(owner).is_some_and(|claim| claim.streaming);
        let new = legs.keys().filter(|key| !before.contains_key(key)).count();
        self.claims.retain(|claim| claim.owner != owner);
        self.claims.push(Claim {
            owner,
            tier,
            legs,
            last_use: now,
            streaming,
        });
        new
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
