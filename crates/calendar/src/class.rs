use core::fmt;
use core::str::FromStr;

use strikewire_types::ParseError;

/// An exchange and a kind of product that trade at the same times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Shares and indices of NSE.
    NseCash,
    /// Futures and options on shares and indices at NSE.
    NseDerivatives,
    /// Currency derivatives of NSE.
    NseCurrency,
    /// Shares and indices of BSE.
    BseCash,
    /// Futures and options on shares and indices at BSE.
    BseDerivatives,
    /// Currency derivatives of BSE.
    BseCurrency,
    /// Metals, energy and indices of MCX: into the night.
    Mcx,
    /// Agricultural goods of MCX that close in the afternoon.
    McxAgri,
    /// Agricultural goods of MCX with an international reference, that close in the
    /// evening.
    McxAgriEvening,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 9] = [
        Self::NseCash,
        Self::NseDerivatives,
        Self::NseCurrency,
        Self::BseCash,
        Self::BseDerivatives,
        Self::BseCurrency,
        Self::Mcx,
        Self::McxAgri,
        Self::McxAgriEvening,
    ];

    /// The name in calendar files, `nse_cash`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NseCash => "nse_cash",
            Self::NseDerivatives => "nse_derivatives",
            Self::NseCurrency => "nse_currency",
            Self::BseCash => "bse_cash",
            Self::BseDerivatives => "bse_derivatives",
            Self::BseCurrency => "bse_currency",
            Self::Mcx => "mcx",
            Self::McxAgri => "mcx_agri",
            Self::McxAgriEvening => "mcx_agri_evening",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

pub(crate) const EXPECTED: &str = "a class: nse_cash, nse_derivatives, nse_currency, bse_cash, \
                                   bse_derivatives, bse_currency, mcx, mcx_agri or mcx_agri_evening";

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Class {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| ParseError::new(text, EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_in_its_place_and_has_a_name_that_is_read_back() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            assert_eq!(class.to_string().parse(), Ok(class));
            assert!(EXPECTED.contains(class.as_str()));
        }
        assert!("NSE_CASH".parse::<Class>().is_err());
        assert!("".parse::<Class>().is_err());
    }
}
