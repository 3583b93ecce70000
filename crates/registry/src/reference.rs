//! The shapes of references: `RELIANCE_24FEB2026_1440CE`, `GOLD_02APR2026_FUT`,
//! `RELIANCE`. Nothing is looked up here.

use jiff::civil::Date;
use strikewire_types::{Exchange, Expiry, InstrumentKey, OptionType, Strike};

/// When a contract expires, as somebody wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Not named: the nearest.
    Nearest,
    On(Expiry),
    /// Without a year: the nearest on that day and month.
    DayMonth(i8, i8),
}

impl When {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(expiry) = text.parse() {
            return Some(Self::On(expiry));
        }
        let (day, month) = Expiry::parse_day_month(text)?;
        // Is there such a day at all? In a leap year there would be.
        Date::new(2024, month, day).ok()?;
        Some(Self::DayMonth(day, month))
    }

    /// The day that is meant, on or after `as_of` where the year was left out.
    pub(crate) fn dated(self, as_of: Date) -> Option<Expiry> {
        match self {
            Self::Nearest => None,
            Self::On(expiry) => Some(expiry),
            // There are at most eight years from one 29 February to the next.
            Self::DayMonth(day, month) => (as_of.year()..=as_of.year().saturating_add(8))
                .filter_map(|year| Date::new(year, month, day).ok())
                .find(|date| *date >= as_of)
                .map(Expiry::new),
        }
    }

    pub(crate) fn matches(self, expiry: Expiry) -> bool {
        match self {
            Self::Nearest => true,
            Self::On(wanted) => wanted == expiry,
            Self::DayMonth(day, month) => {
                (expiry.date().day(), expiry.date().month()) == (day, month)
            }
        }
    }
}

impl From<Option<Expiry>> for When {
    fn from(expiry: Option<Expiry>) -> Self {
        expiry.map_or(Self::Nearest, Self::On)
    }
}

/// A reference, before anything is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference<'t> {
    Key(InstrumentKey),
    /// A token, with the exchange if one was named.
    Token(Option<Exchange>, Shape<'t>),
    /// What stands before the colon is neither a segment nor an exchange, or what
    /// stands behind a segment is no id.
    Malformed,
}

impl<'t> Reference<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let text = text.trim();
        let Some((prefix, rest)) = text.split_once(':') else {
            return Self::Token(None, Shape::of(text));
        };
        let exchange = Exchange::ALL
            .into_iter()
            .find(|exchange| exchange.as_str().eq_ignore_ascii_case(prefix));
        match exchange {
            Some(exchange) => Self::Token(Some(exchange), Shape::of(rest)),
            None => text.parse().map_or(Self::Malformed, Self::Key),
        }
    }
}

/// A token without its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape<'t> {
    Option {
        symbol: &'t str,
        when: When,
        strike: Strike,
        option_type: OptionType,
    },
    Future {
        symbol: &'t str,
        when: When,
    },
    /// Whatever has neither shape.
    Cash(&'t str),
}

impl<'t> Shape<'t> {
    /// Reads from the right, because symbols contain `-` and `&`.
    pub(crate) fn of(text: &'t str) -> Self {
        Self::contract(text).unwrap_or(Self::Cash(text))
    }

    fn contract(text: &'t str) -> Option<Self> {
        let (rest, last) = text.rsplit_once('_')?;
        let (symbol, when) = rest.rsplit_once('_')?;
        let when = When::parse(when)?;
        if symbol.is_empty() {
            return None;
        }
        if last.eq_ignore_ascii_case("FUT") {
            return Some(Self::Future { symbol, when });
        }
        let (strike, option_type) = last.split_at_checked(last.len().checked_sub(2)?)?;
        Some(Self::Option {
            symbol,
            when,
            strike: strike.parse().ok()?,
            option_type: option_type.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_are_read_from_the_right() {
        let option = |symbol, when: &str, strike: &str, option_type| Shape::Option {
            symbol,
            when: When::parse(when).unwrap(),
            strike: strike.parse().unwrap(),
            option_type,
        };
        assert_eq!(
            Shape::of("RELIANCE_24FEB2026_1440CE"),
            option("RELIANCE", "24FEB2026", "1440", OptionType::Call)
        );
        assert_eq!(
            Shape::of("bajaj-auto_24feb_9000.5pe"),
            option("bajaj-auto", "24FEB", "9000.5", OptionType::Put)
        );
        assert_eq!(
            Shape::of("A_B_24FEB2026_1CE"),
            option("A_B", "24FEB2026", "1", OptionType::Call)
        );
        let when = When::parse("02APR2026").unwrap();
        assert_eq!(
            Shape::of("GOLD_02APR2026_FUT"),
            Shape::Future {
                symbol: "GOLD",
                when
            }
        );
        for text in [
            "",
            "_",
            "RELIANCE",
            "M&M",
            "RELIANCE_FUT",
            "_24FEB2026_FUT",
            "X_24FEB2026_CE",
            "X_24FEB2026_1440",
            "X_é_1é",
            "X_30FEB_1CE",
        ] {
            assert_eq!(Shape::of(text), Shape::Cash(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", tail in "_[0-9]{0,2}[A-Zé]{0,3}[0-9]{0,4}_[0-9.é]{0,4}(CE|PE|FUT)?") {
            Shape::of(&text);
            let both = text + &tail;
            Shape::of(&both);
            Reference::of(&both);
        }
    }
}
