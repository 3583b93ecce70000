use core::fmt;

use strikewire_types::{InstrumentKey, Mode, PriceStep, Tier};

/// Who holds instruments. An owner has at most one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// What it is.
    pub kind: OwnerKind,
    /// Which one of that kind; the book does not look into it.
    pub id: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// What an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnerKind {
    /// An item of a user's watchlist.
    Watchlist,
    /// A subscription asked for by itself.
    Explicit,
    /// A window of the always-on configuration.
    TierB,
    /// A subscription of a stream client.
    Stream,
    /// An indicator that somebody leases.
    Indicator,
    /// A request that waits for a price.
    Request,
}

impl OwnerKind {
    /// One word, `watchlist`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watchlist => "watchlist",
            Self::Explicit => "explicit",
            Self::TierB => "tier_b",
            Self::Stream => "stream",
            Self::Indicator => "indicator",
            Self::Request => "request",
        }
    }
}

/// What an instrument is to its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The price that a chain hangs on. Goes to the wire before everything else.
    Underlying,
    /// What was asked for.
    Contract,
}

/// One instrument of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    /// Which instrument.
    pub key: InstrumentKey,
    /// Its tick size, handed on when it gets a slot.
    pub step: PriceStep,
    /// How much of it.
    pub mode: Mode,
    /// What it is to the claim.
    pub role: Role,
    /// Distance from the money in rungs of the ladder; 0 where there is no ladder.
    /// Nearer legs go to the wire first and leave it last.
    pub distance: u16,
}

/// Asks for instruments. If the owner has a claim already, this replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For whom.
    pub owner: Owner,
    /// As what. Tier B is never evicted.
    pub tier: Tier,
    /// Who is charged for it in tier A, by [`Config::quota`](crate::Config::quota) and
    /// [`Config::fair_share`](crate::Config::fair_share); nobody if absent.
    pub user: Option<u64>,
    /// What. An instrument named twice counts once, in the highest mode.
    pub legs: Vec<Leg>,
}

impl Request {
    /// Asks for instruments; nobody is charged.
    #[must_use]
    pub const fn new(owner: Owner, tier: Tier, legs: Vec<Leg>) -> Self {
        Self {
            owner,
            tier,
            user: None,
            legs,
        }
    }

    /// The same, charged to a user.
    #[must_use]
    pub const fn charged_to(mut self, user: u64) -> Self {
        self.user = Some(user);
        self
    }
}

/// A request that cannot fit, whoever is evicted for it. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Slots that the request would take: the instruments that nobody holds yet, less
    /// those that its owner's earlier claim alone holds and would let go, plus those
    /// that rolled legs are waiting for.
    pub needed: usize,
    /// Slots that nobody holds. Legs that linger after a roll count as free.
    pub free: usize,
    /// Slots that evicting every other claim of tier A would free.
    pub evictable: usize,
    /// The quota that it would not keep, even with every other claim of its user
    /// evicted. Absent if what lacks is slots.
    pub quota: Option<OverQuota>,
}

/// A request for more than one user may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverQuota {
    /// Who is charged.
    pub user: u64,
    /// The most that one user may hold.
    pub quota: usize,
    /// What the user's other claims of tier A hold: the sum of their instruments.
    pub held: usize,
    /// Instruments of the request, each counted once.
    pub asked: usize,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            needed,
            free,
            evictable,
            quota,
        } = self;
        match quota {
            Some(OverQuota {
                user,
                quota,
                held,
                asked,
            }) => write!(
                f,
                "asks for {asked} instruments for user {user}, who may hold at most {quota} \
                 and holds {held} in other claims"
            ),
            None => write!(
                f,
                "needs {needed} more slots, but {free} are free and {evictable} could be \
                 freed by eviction"
            ),
        }
    }
}

impl core::error::Error for Refusal {}
