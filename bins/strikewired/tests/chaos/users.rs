//! What users hold, by plain sets: who is asked for it is never the book.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rand::prelude::*;
use rand_pcg::Pcg64;
use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_subscriptions::{Leg, Owner, OwnerKind, Role};
use strikewire_types::{InstrumentKey, Mode, PriceStep, Tier};

/// The day on which everything happens.
pub(crate) const DAY: &str = "2026-02-09";

/// Chains that users ask for.
const CHAINS: usize = 4;

/// A generated master, and its chains.
pub(crate) struct Master {
    pub(crate) registry: Arc<Registry>,
    chains: Vec<Chain>,
}

/// The options of an underlying and an expiry, by strike: call, then put.
struct Chain {
    underlying: InstrumentKey,
    rungs: Vec<[InstrumentKey; 2]>,
}

impl Master {
    /// The small one, made once.
    pub(crate) fn small() -> &'static Self {
        static MASTER: OnceLock<Master> = OnceLock::new();
        MASTER.get_or_init(|| Self::new(5_000))
    }

    /// One that has enough for the real limits, made once.
    pub(crate) fn large() -> &'static Self {
        static MASTER: OnceLock<Master> = OnceLock::new();
        MASTER.get_or_init(|| Self::new(12_000))
    }

    fn new(rows: usize) -> Self {
        let as_of = DAY.parse().unwrap();
        let mut csv = Vec::new();
        let spec = Spec {
            rows,
            ..Spec::new(as_of)
        };
        generate(&spec, &mut csv).unwrap();
        let registry = Registry::from_reader(&csv[..], &LoadOptions::new(as_of)).unwrap();
        let registry = Arc::new(registry);
        let mut chains: Vec<Chain> = registry
            .ladders()
            .filter_map(|ladder| {
                let underlying = ladder.price_source()?.key();
                let rungs = ladder.rungs().iter().filter_map(|rung| {
                    let key = |idx| registry.instrument(idx).key();
                    Some([key(rung.call()?), key(rung.put()?)])
                });
                let rungs: Vec<_> = rungs.collect();
                (rungs.len() >= 8).then_some(Chain { underlying, rungs })
            })
            .collect();
        // The longest first: those have room to roll.
        chains.sort_by_key(|chain| core::cmp::Reverse(chain.rungs.len()));
        assert!(chains.len() >= CHAINS, "{} chains", chains.len());
        Self { registry, chains }
    }

    /// Some contract of the chains that users ask for.
    pub(crate) fn any_contract(&self, rng: &mut Pcg64) -> InstrumentKey {
        let chain = &self.chains[rng.random_range(0..CHAINS)];
        chain.rungs[chain.rungs.len() / 2][rng.random_range(0..2)]
    }
}

/// What somebody holds.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
    chain: usize,
    centre: usize,
    /// Rungs on each side of the centre.
    half: usize,
    mode: Mode,
}

impl Claim {
    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }
}

/// All claims, the least recently used first.
pub(crate) struct Users {
    master: &'static Master,
    pub(crate) claims: Vec<Claim>,
    widest: usize,
}

impl Users {
    /// Users whose windows have up to `widest` rungs on each side.
    pub(crate) fn new(master: &'static Master, widest: usize) -> Self {
        Self {
            master,
            claims: Vec::new(),
            widest,
        }
    }

    /// A claim that somebody would like to have.
    pub(crate) fn wish(&self, rng: &mut Pcg64) -> Claim {
        let kinds = [
            (OwnerKind::Watchlist, 5),
            (OwnerKind::Watchlist, 5),
            (OwnerKind::Stream, 2),
            (OwnerKind::TierB, 2),
        ];
        let (kind, ids) = kinds[rng.random_range(0..kinds.len())];
        let owner = Owner {
            kind,
            id: rng.random_range(0..ids),
        };
        let chain = rng.random_range(0..CHAINS);
        let rungs = self.master.chains[chain].rungs.len();
        Claim {
            owner,
            tier: match kind {
                OwnerKind::TierB => Tier::B,
                _ => Tier::A,
            },
            chain,
            centre: rng.random_range(0..rungs),
            half: match kind {
                OwnerKind::TierB => rng.random_range(0..=self.widest / 2),
                _ => rng.random_range(0..=self.widest),
            },
            mode: Mode::ALL[rng.random_range(0..3)],
        }
    }

    /// One of the claims there are, with its window moved by a few rungs.
    pub(crate) fn rolled(&self, rng: &mut Pcg64) -> Option<Claim> {
        let mut claim = self.claims.choose(rng)?.clone();
        let rungs = self.master.chains[claim.chain].rungs.len();
        let by = rng.random_range(1..=1 + self.widest / 2);
        claim.centre = if rng.random() {
            (claim.centre + by).min(rungs - 1)
        } else {
            claim.centre.saturating_sub(by)
        };
        Some(claim)
    }

    /// What a claim consists of, as the book is asked for it.
    pub(crate) fn legs(&self, claim: &Claim) -> Vec<Leg> {
        let chain = &self.master.chains[claim.chain];
        let leg = |key, mode, role, distance: usize| Leg {
            key,
            step: PriceStep::PAISA,
            mode,
            role,
            distance: distance as u16,
        };
        let mut legs = vec![leg(chain.underlying, Mode::Ticker, Role::Underlying, 0)];
        let from = claim.centre.saturating_sub(claim.half);
        let to = (claim.centre + claim.half).min(chain.rungs.len() - 1);
        for at in from..=to {
            let distance = at.abs_diff(claim.centre);
            for key in chain.rungs[at] {
                legs.push(leg(key, claim.mode, Role::Contract, distance));
            }
        }
        legs
    }

    pub(crate) fn find(&self, owner: Owner) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.owner == owner)
    }

    /// The claim is made, or made anew; it is the most recently used one then.
    pub(crate) fn put(&mut self, claim: Claim) {
        self.remove(claim.owner);
        self.claims.push(claim);
    }

    /// The claim's window moves, which is not a use.
    pub(crate) fn roll(&mut self, rolled: Claim) {
        let old = self.claims.iter_mut().find(|c| c.owner == rolled.owner);
        *old.expect("a claim that rolls is there") = rolled;
    }

    pub(crate) fn remove(&mut self, owner: Owner) {
        self.claims.retain(|claim| claim.owner != owner);
    }

    /// What has to be on the wire, and in which mode.
    pub(crate) fn desired(&self) -> BTreeMap<InstrumentKey, Mode> {
        let mut desired = BTreeMap::new();
        for claim in &self.claims {
            for leg in self.legs(claim) {
                let mode = desired.entry(leg.key).or_insert(leg.mode);
                *mode = leg.mode.max(*mode);
            }
        }
        desired
    }
}
