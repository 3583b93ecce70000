use core::fmt;
use core::str::FromStr;

use crate::ParseError;

/// Units in one rupee: prices and strikes are integers of 1e-4 rupee.
pub const SCALE: i64 = 10_000;

/// A price in units of 1e-4 rupee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(i64);

/// A strike in units of 1e-4 rupee, always above 0 in a listed contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Strike(i64);

/// The smallest step of a price, the tick size, in units of 1e-4 rupee. 0 when
/// the master gives none, which means 0.01 rupee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriceStep(u32);

impl PriceStep {
    /// 0.01 rupee, what a missing tick size means.
    pub const PAISA: Self = Self(100);

    /// A step of `raw` units of 1e-4 rupee.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The step in units of 1e-4 rupee as the master has it; 0 when it has none.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The unit in 1e-4 rupee that prices of this step are whole numbers of, on the wire
    /// below 131,072 rupees: 1 where the step is finer than 0.01 rupee, else 100.
    #[must_use]
    pub const fn unit(self) -> i64 {
        if self.0 == 0 || self.0 >= 100 { 100 } else { 1 }
    }
}

impl Price {
    /// 0 rupees.
    pub const ZERO: Self = Self(0);

    /// Half a step or more away from 0 counts as the next step.
    #[must_use]
    pub const fn round_to(self, step: i64) -> Self {
        if step <= 1 {
            return self;
        }
        let down = self.0.div_euclid(step) * step;
        Self(if self.0 - down >= step - (self.0 - down) {
            down.saturating_add(step)
        } else {
            down
        })
    }

    /// The price of a number of the wire: rounded once, to what the wire can tell.
    ///
    /// Below 131,072 rupees that is 0.01 rupee (0.0001 where the step is finer than
    /// 0.01); above, where neighbouring numbers are more than half a paisa apart, it
    /// is the step. Absent for numbers that are not finite or too large to hold.
    #[inline]
    #[must_use]
    pub fn from_wire(rupees: f32, step: PriceStep) -> Option<Self> {
        if rupees.abs() < 131_072.0 {
            return Some(Self::to_paisa(rupees, step));
        }
        let grid = i64::from(if step.0 == 0 { 100 } else { step.0 });
        is_bounded(rupees)
            .then(|| Self(nearest(f64::from(rupees) * SCALE as f64 / grid as f64) * grid))
    }

    /// The price of an average or a close on the wire, which need not lie on a step:
    /// 0.01 rupee (0.0001 where the step is finer) and never coarser than the number
    /// itself is.
    #[inline]
    #[must_use]
    pub fn from_wire_average(rupees: f32, step: PriceStep) -> Option<Self> {
        is_bounded(rupees).then(|| Self::to_paisa(rupees, step))
    }

    #[inline]
    fn to_paisa(rupees: f32, step: PriceStep) -> Self {
        let unit = step.unit();
        Self(nearest(f64::from(rupees) * (SCALE / unit) as f64) * unit)
    }
}

/// Whether a number of the wire can be held: finite, and at most 10^12 rupees.
#[inline]
fn is_bounded(rupees: f32) -> bool {
    rupees.abs() <= 1e12
}

/// The nearest integer, halves away from 0. `f64::round` is a call on machines
/// without SSE 4.1, and a full packet has sixteen prices.
#[inline]
fn nearest(number: f64) -> i64 {
    (number + 0.5_f64.copysign(number)) as i64
}

macro_rules! rupees {
    ($name:ident, $what:literal) => {
        impl $name {
            /// From units of 1e-4 rupee.
            #[must_use]
            pub const fn from_raw(raw: i64) -> Self {
                Self(raw)
            }

            /// In units of 1e-4 rupee.
            #[must_use]
            pub const fn raw(self) -> i64 {
                self.0
            }

            /// From whole rupees.
            #[must_use]
            pub const fn from_rupees(rupees: i32) -> Self {
                Self(rupees as i64 * SCALE)
            }

            /// In rupees: the double nearest to the exact value, whose shortest
            /// decimal is the exact value below 10^11 rupees.
            #[must_use]
            pub fn as_f64(self) -> f64 {
                self.0 as f64 / SCALE as f64
            }

            /// From a number of rupees, rounded to 1e-4; none when it is not finite
            /// or beyond 10^12.
            #[must_use]
            pub fn from_f64(rupees: f64) -> Option<Self> {
                (rupees.is_finite() && rupees.abs() <= 1e12)
                    .then(|| Self((rupees * SCALE as f64).round() as i64))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let whole = self.0.unsigned_abs() / SCALE as u64;
                let mut part = self.0.unsigned_abs() % SCALE as u64;
                let mut digits = 4;
                while digits > 0 && part % 10 == 0 {
                    part /= 10;
                    digits -= 1;
                }
                let sign = if self.0 < 0 { "-" } else { "" };
                if digits == 0 {
                    f.pad(&format!("{sign}{whole}"))
                } else {
                    f.pad(&format!("{sign}{whole}.{part:0digits$}"))
                }
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                parse_raw(text)
                    .map(Self)
                    .ok_or_else(|| ParseError::new(text, $what))
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_f64(self.as_f64())
            }
        }
    };
}

rupees!(
    Price,
    "a price in rupees with at most four decimals, such as 1440.05"
);
rupees!(
    Strike,
    "a strike in rupees with at most four decimals, such as 312.5"
);

/// Reads `-?digits(.digits)?` exactly; decimals past the fourth must be zeros.
fn parse_raw(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || whole.len() > 14 || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut raw = whole.parse::<i64>().ok()? * SCALE;
    let mut unit = SCALE;
    for byte in part.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        unit /= 10;
        if unit == 0 && byte != b'0' {
            return None;
        }
        raw += i64::from(byte - b'0') * unit;
    }
    (!digits.ends_with('.')).then_some(sign * raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_wire_is_rounded_once() {
        let check = |rupees: f32, step: u32, expected: &str| {
            let price = Price::from_wire(rupees, PriceStep::from_raw(step)).unwrap();
            assert_eq!(price.to_string(), expected, "{rupees} at {step}");
        };
        check(152.3, 500, "152.3");
        check(1440.05, 500, "1440.05");
        check(23378.35, 500, "23378.35");
        check(22_952.95, 500, "22952.95");
        check(83.1925, 25, "83.1925");
        check(26512.35, 0, "26512.35");
        // Above 131,072 the spacing of the wire is 1/64: only the step can be told.
        check(160_123.0, 10_000, "160123");
        check(160_122.98, 10_000, "160123");
        check(262_143.97, 500, "262143.95");
        check(0.0, 500, "0");
        check(-152.3, 500, "-152.3");
        for rupees in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            assert_eq!(Price::from_wire(rupees, PriceStep::PAISA), None);
        }
    }

    #[test]
    fn texts_are_read_exactly() {
        for (text, raw) in [
            ("1440.05", 14_400_500),
            ("0.0001", 1),
            ("-0.01", -100),
            ("25000.00000", 250_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Price::from_raw(raw)), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "1e3",
            "0.00001",
            "NaN",
            "inf",
            "+1",
            " 1",
            "1 ",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }

    #[test]
    fn halves_go_up() {
        assert_eq!(Price::from_raw(15).round_to(10), Price::from_raw(20));
        assert_eq!(Price::from_raw(14).round_to(10), Price::from_raw(10));
        assert_eq!(Price::from_raw(-15).round_to(10), Price::from_raw(-10));
    }

    proptest! {
        #[test]
        fn every_price_on_the_wire_comes_back(paise in 1_i64..13_107_200) {
            let rupees = (paise as f64 / 100.0) as f32;
            let price = Price::from_wire(rupees, PriceStep::from_raw(500)).unwrap();
            prop_assert_eq!(price.raw(), paise * 100);
        }

        #[test]
        fn every_step_above_the_limit_comes_back(steps in 131_072_i64..2_000_000) {
            let price = Price::from_wire(steps as f32, PriceStep::from_raw(10_000)).unwrap();
            prop_assert_eq!(price.raw(), steps * SCALE);
        }

        #[test]
        fn display_and_parse_agree(raw in -10_i64.pow(16)..10_i64.pow(16)) {
            let price = Price::from_raw(raw);
            prop_assert_eq!(price.to_string().parse(), Ok(price));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<Price>();
        }

        #[test]
        fn no_number_panics(bits: u32, step: u32) {
            let _ = Price::from_wire(f32::from_bits(bits), PriceStep::from_raw(step));
            let _ = Price::from_wire_average(f32::from_bits(bits), PriceStep::from_raw(step));
        }
    }
}
