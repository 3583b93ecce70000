//! What goes to the wire first.

use strikewire_types::Tier;

use crate::Role;

/// How valuable an instrument is on the wire; the least is the most valuable.
///
/// Underlyings come first, then tier B, then tier A. Inside a class the claims of
/// tier B come in the order they were made, which lets their owner say what matters
/// most, and those of tier A by their last use, the most recent first. Inside a
/// claim the legs nearest to the money come first. An instrument is worth what it is
/// worth to the best of its holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u64);

/// Class, order and distance share 64 bits: 2, 46 and 16.
const ORDER_BITS: u32 = 46;
const ORDER_MASK: u64 = (1 << ORDER_BITS) - 1;

impl Rank {
    /// Behind everything.
    pub(crate) const LAST: Self = Self(u64::MAX);

    /// The worth of a leg `distance` rungs from the money to a claim that was made as
    /// the `made`th and last used as the `used`th of all uses.
    pub(crate) const fn new(role: Role, tier: Tier, made: u64, used: u64, distance: u16) -> Self {
        let class = match (role, tier) {
            (Role::Underlying, _) => 0,
            (Role::Contract, Tier::B) => 1,
            (Role::Contract, Tier::A) => 2,
        };
        let order = match tier {
            Tier::B => made & ORDER_MASK,
            Tier::A => ORDER_MASK - (used & ORDER_MASK),
        };
        Self((class << (ORDER_BITS + 16)) | (order << 16) | distance as u64)
    }

    /// As a number of the same order.
    pub(crate) const fn worth(self) -> u64 {
        self.0
    }

    /// The same order turned round: what is worth least goes first.
    pub(crate) const fn reversed(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underlyings_then_tier_b_then_the_most_recently_used() {
        let contract = Role::Contract;
        let ranks = [
            Rank::new(Role::Underlying, Tier::B, 1, 9, 0),
            Rank::new(Role::Underlying, Tier::A, 9, 1, 0),
            Rank::new(contract, Tier::B, 3, 5, 40),
            Rank::new(contract, Tier::B, 4, 6, 0),
            Rank::new(contract, Tier::A, 1, 8, 0),
            Rank::new(contract, Tier::A, 1, 8, 12),
            Rank::new(contract, Tier::A, 2, 7, 0),
            Rank::LAST,
        ];
        assert!(ranks.is_sorted());
        assert!(ranks.iter().rev().map(|rank| rank.reversed()).is_sorted());
    }
}
