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
    /// What. An instrument named twice counts once, in the highest mode.
    pub legs: Vec<Leg>,
}

/// A request that cannot fit, whoever is evicted for it. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "needs {needed} more slots, but {free} are free and {evictable} could be freed by eviction"
)]
pub struct Refusal {
    /// Slots that the request would take: the instruments that nobody holds yet, less
    /// those that its owner's earlier claim alone holds and would let go, plus those
    /// that rolled legs are waiting for.
    pub needed: usize,
    /// Slots that nobody holds. Legs that linger after a roll count as free.
    pub free: usize,
    /// Slots that evicting every other claim of tier A would free.
    pub evictable: usize,
}
