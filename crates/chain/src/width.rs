use core::fmt;

use serde::Serialize;
use strikewire_registry::Kind;

use crate::Error;

/// How many strikes a window has: odd, from 1 to 1001, half on each side of the
/// money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Width(u16);

impl Width {
    /// The most strikes a window can have.
    pub const MAX: u16 = 1001;

    /// A window of `strikes` strikes.
    ///
    /// # Errors
    ///
    /// When it is even, 0 or above 1001.
    pub fn new(strikes: u32) -> Result<Self, Error> {
        u16::try_from(strikes)
            .ok()
            .filter(|strikes| strikes % 2 == 1 && *strikes <= Self::MAX)
            .map(Self)
            .ok_or(Error::Width { width: strikes })
    }

    /// 25 for stocks, 101 for indices, 51 for commodities and currencies.
    #[must_use]
    pub fn default_for(kind: Kind) -> Self {
        Defaults::default().for_kind(kind)
    }

    /// How many strikes.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// How many strikes on each side of the money.
    #[must_use]
    pub const fn half(self) -> u16 {
        self.0 / 2
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<u32> for Width {
    type Error = Error;

    fn try_from(strikes: u32) -> Result<Self, Error> {
        Self::new(strikes)
    }
}

/// How wide a window is when nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// For options on stocks.
    pub stock: Width,
    /// For options on indices.
    pub index: Width,
    /// For options on commodities and currencies.
    pub other: Width,
}

impl Default for Defaults {
    /// 25, 101 and 51.
    fn default() -> Self {
        Self {
            stock: Width(25),
            index: Width(101),
            other: Width(51),
        }
    }
}

impl Defaults {
    /// The width for an underlying or contract of that kind.
    #[must_use]
    pub const fn for_kind(&self, kind: Kind) -> Width {
        match kind {
            Kind::Equity | Kind::FutureStock | Kind::OptionStock => self.stock,
            Kind::Index | Kind::FutureIndex | Kind::OptionIndex => self.index,
            Kind::FutureCurrency
            | Kind::FutureCommodity
            | Kind::OptionCurrency
            | Kind::OptionCommodity => self.other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_width_is_odd_and_bounded() {
        for width in 0..=70_000_u32 {
            let is_good = width % 2 == 1 && width <= 1001;
            assert_eq!(Width::new(width).is_ok(), is_good, "{width}");
        }
        assert_eq!(
            Width::new(24).unwrap_err().to_string(),
            "width 24 is not an odd number from 1 to 1001"
        );
    }

    #[test]
    fn defaults_are_by_kind() {
        assert_eq!(Width::default_for(Kind::OptionStock).get(), 25);
        assert_eq!(Width::default_for(Kind::OptionIndex).get(), 101);
        assert_eq!(Width::default_for(Kind::OptionCommodity).get(), 51);
        assert_eq!(Width::default_for(Kind::OptionCurrency).get(), 51);
    }
}
