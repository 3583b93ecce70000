use core::time::Duration;

use strikewire_types::Mono;

/// After a refusal a claim is asked for again this much later; twice as much after each
/// further one.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// After an eviction, which said that there is no room.
const EVICTED_REST: Duration = Duration::from_secs(5);

/// Whether an instrument is on the wire for what is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is asked for from then on.
    Due {
        at: Mono,
        refusals: u32,
    },
    /// The owner has been asked.
    Asked {
        number: u64,
        refusals: u32,
    },
    Held,
    /// Held, but off the wire while the market is closed.
    Suspended,
}

impl Claim {
    pub(super) const fn is_held(&self) -> bool {
        matches!(self, Self::Held)
    }

    pub(super) fn refused(refusals: u32, now: Mono) -> Self {
        let rest = REST.saturating_mul(2_u32.saturating_pow(refusals));
        Self::Due {
            at: now + rest.min(LONGEST_REST),
            refusals: refusals.saturating_add(1),
        }
    }

    pub(super) fn evicted(now: Mono) -> Self {
        Self::Due {
            at: now + EVICTED_REST,
            refusals: 0,
        }
    }
}
