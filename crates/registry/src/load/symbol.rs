use strikewire_types::OptionType;

const MONTHS: [&[u8; 3]; 12] = [
    b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC",
];

/// The parts of a derivative's trading symbol: `BAJAJ-AUTO-Feb2026-9000-CE`,
/// `GOLD-02Apr2026-FUT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TradingSymbol<'a> {
    pub(super) underlying: &'a str,
    /// Some segments name the day, others only the month.
    pub(super) day: Option<i8>,
    pub(super) month: i8,
    pub(super) year: i16,
    /// The strike as text, and the type.
    pub(super) option: Option<(&'a str, OptionType)>,
}

/// Splits from the right, because underlyings contain `-` and `&` too.
pub(super) fn split(text: &str) -> Option<TradingSymbol<'_>> {
    let (rest, last) = text.rsplit_once('-')?;
    let (rest, option) = match last {
        "FUT" => (rest, None),
        "CE" | "PE" => {
            let option_type = if last == "CE" {
                OptionType::Call
            } else {
                OptionType::Put
            };
            let (rest, strike) = rest.rsplit_once('-')?;
            (rest, Some((strike, option_type)))
        }
        _ => return None,
    };
    let (underlying, expiry) = rest.rsplit_once('-')?;
    let expiry = expiry.as_bytes();
    let month_at = expiry.len().checked_sub(7)?;
    let (day, month_year) = expiry.split_at(month_at);
    let (month, year) = month_year.split_at(3);
    let day = match day {
        [] => None,
        [_, _] => Some(digits(day)? as i8),
        _ => return None,
    };
    let month = MONTHS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(month))?;
    (!underlying.is_empty()).then_some(TradingSymbol {
        underlying,
        day,
        month: month as i8 + 1,
        year: digits(year)? as i16,
        option,
    })
}

/// The value of at most four digits.
pub(super) fn digits(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    text.iter().try_fold(0, |value, &byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + u16::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn underlyings_keep_their_dashes() {
        let check = |text, underlying, day, month, year, option| {
            let expected = TradingSymbol {
                underlying,
                day,
                month,
                year,
                option,
            };
            assert_eq!(split(text), Some(expected), "{text}");
        };
        check(
            "BAJAJ-AUTO-Feb2026-9000-CE",
            "BAJAJ-AUTO",
            None,
            2,
            2026,
            Some(("9000", OptionType::Call)),
        );
        check(
            "M&M-Mar2026-3100-PE",
            "M&M",
            None,
            3,
            2026,
            Some(("3100", OptionType::Put)),
        );
        check("GOLD-02Apr2026-FUT", "GOLD", Some(2), 4, 2026, None);
        check(
            "USDINR-26Sep2024-83.2-CE",
            "USDINR",
            Some(26),
            9,
            2024,
            Some(("83.2", OptionType::Call)),
        );
        check("NIFTY-Mar2026-FUT", "NIFTY", None, 3, 2026, None);
        for text in [
            "",
            "-",
            "RELIANCE",
            "RELIANCE-FUT",
            "-Feb2026-FUT",
            "X-Feb26-FUT",
            "X-Foo2026-FUT",
            "X-1Feb2026-FUT",
            "X-Feb2026-CE",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", tail in "-[0-9]{0,3}[A-Za-zé]{0,4}[0-9]{0,5}-(FUT|1-CE|PE)") {
            split(&text);
            split(&(text + &tail));
        }
    }
}
