use core::fmt;
use core::str::FromStr;

use jiff::civil::Date;

use crate::ParseError;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

const EXPECTED: &str = "an expiry such as 24FEB2026, 24-Feb-2026 or 2026-02-24";

/// The day on which a contract expires, in India. Shown as `24FEB2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(Date);

impl Expiry {
    /// The expiry on `date`.
    #[must_use]
    pub const fn new(date: Date) -> Self {
        Self(date)
    }

    /// The civil date in India.
    #[must_use]
    pub const fn date(self) -> Date {
        self.0
    }

    /// Reads a day and month without a year, `24FEB` or `24-Feb`: (day, month).
    #[must_use]
    pub fn parse_day_month(text: &str) -> Option<(i8, i8)> {
        let text = text.replace('-', "");
        let split = text.find(|c: char| !c.is_ascii_digit())?;
        let (day, month) = text.split_at(split);
        if day.is_empty() || day.len() > 2 {
            return None;
        }
        let day: i8 = day.parse().ok()?;
        (1..=31)
            .contains(&day)
            .then_some((day, month_number(month)?))
    }
}

fn month_number(text: &str) -> Option<i8> {
    let index = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(text))?;
    i8::try_from(index + 1).ok()
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = MONTHS[usize::from(self.0.month().unsigned_abs() - 1)];
        f.pad(&format!("{:02}{month}{:04}", self.0.day(), self.0.year()))
    }
}

impl FromStr for Expiry {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = || ParseError::new(text, EXPECTED);
        let bytes = text.as_bytes();
        // 2026-02-24
        if bytes.len() == 10 && bytes[4] == b'-' {
            return text.parse::<Date>().map(Self).map_err(|_| bad());
        }
        let plain = text.replace('-', "");
        if !plain.is_ascii() || plain.len() < 8 || plain.len() > 9 {
            return Err(bad());
        }
        let (rest, year) = plain.split_at(plain.len() - 4);
        let (day, month) = Self::parse_day_month(rest).ok_or_else(bad)?;
        if !year.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let year: i16 = year.parse().map_err(|_| bad())?;
        Date::new(year, month, day).map(Self).map_err(|_| bad())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Expiry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether an expiry is the last of its calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ExpiryKind {
    /// Any other.
    Weekly,
    /// The last listed expiry of its calendar month.
    Monthly,
}

impl ExpiryKind {
    /// `weekly` or `monthly`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
}

impl fmt::Display for ExpiryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_spellings_are_one_expiry() {
        for text in [
            "24FEB2026",
            "24feb2026",
            "24-Feb-2026",
            "24-FEB-2026",
            "2026-02-24",
        ] {
            assert_eq!(
                text.parse::<Expiry>().unwrap().to_string(),
                "24FEB2026",
                "{text}"
            );
        }
        assert_eq!(
            "2FEB2026".parse::<Expiry>().unwrap().to_string(),
            "02FEB2026"
        );
    }

    #[test]
    fn what_is_no_expiry_is_refused() {
        for text in [
            "",
            "FEB2026",
            "30FEB2026",
            "24FEB26",
            "24FEB",
            "2026-13-01",
            "24XXX2026",
            "٢٤FEB2026",
            "24FEB-026",
        ] {
            assert!(text.parse::<Expiry>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_year_may_be_left_to_the_caller() {
        assert_eq!(Expiry::parse_day_month("24FEB"), Some((24, 2)));
        assert_eq!(Expiry::parse_day_month("2-mar"), Some((2, 3)));
        assert_eq!(Expiry::parse_day_month("32FEB"), None);
        assert_eq!(Expiry::parse_day_month("FEB"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Expiry>();
            let _ = Expiry::parse_day_month(&text);
        }

        #[test]
        fn display_and_parse_agree(year in 1_i16..=9999, month in 1_i8..=12, day in 1_i8..=28) {
            let expiry = Expiry::new(Date::new(year, month, day).unwrap());
            prop_assert_eq!(expiry.to_string().parse(), Ok(expiry));
        }
    }
}
