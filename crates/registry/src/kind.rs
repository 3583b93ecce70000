use core::fmt;
use core::str::FromStr;

use strikewire_types::ParseError;

/// What an instrument is, with the names of the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `INDEX`.
    Index,
    /// `EQUITY`: everything in the cash segments, bonds and funds included.
    Equity,
    /// `FUTIDX`.
    FutureIndex,
    /// `FUTSTK`.
    FutureStock,
    /// `FUTCUR`.
    FutureCurrency,
    /// `FUTCOM`.
    FutureCommodity,
    /// `OPTIDX`.
    OptionIndex,
    /// `OPTSTK`.
    OptionStock,
    /// `OPTCUR`.
    OptionCurrency,
    /// `OPTFUT`: an option on a commodity future.
    OptionCommodity,
}

impl Kind {
    /// Every kind, cash first, then futures, then options.
    pub const ALL: [Self; 10] = [
        Self::Index,
        Self::Equity,
        Self::FutureIndex,
        Self::FutureStock,
        Self::FutureCurrency,
        Self::FutureCommodity,
        Self::OptionIndex,
        Self::OptionStock,
        Self::OptionCurrency,
        Self::OptionCommodity,
    ];

    /// The name in the master, `OPTSTK`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "INDEX",
            Self::Equity => "EQUITY",
            Self::FutureIndex => "FUTIDX",
            Self::FutureStock => "FUTSTK",
            Self::FutureCurrency => "FUTCUR",
            Self::FutureCommodity => "FUTCOM",
            Self::OptionIndex => "OPTIDX",
            Self::OptionStock => "OPTSTK",
            Self::OptionCurrency => "OPTCUR",
            Self::OptionCommodity => "OPTFUT",
        }
    }

    /// Whether it has a strike.
    #[must_use]
    pub const fn is_option(self) -> bool {
        matches!(
            self,
            Self::OptionIndex | Self::OptionStock | Self::OptionCurrency | Self::OptionCommodity
        )
    }

    /// Whether it expires and has no strike.
    #[must_use]
    pub const fn is_future(self) -> bool {
        matches!(
            self,
            Self::FutureIndex | Self::FutureStock | Self::FutureCurrency | Self::FutureCommodity
        )
    }

    /// Whether it expires.
    #[must_use]
    pub const fn is_derivative(self) -> bool {
        self.is_option() || self.is_future()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                ParseError::new(
                    text,
                    "a kind: INDEX, EQUITY, FUTIDX, FUTSTK, FUTCUR, FUTCOM, OPTIDX, OPTSTK, \
                     OPTCUR or OPTFUT",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.as_str().starts_with("OPT"), kind.is_option());
            assert_eq!(kind.as_str().starts_with("FUT"), kind.is_future());
        }
        assert!("OPTBLN".parse::<Kind>().is_err());
    }
}
