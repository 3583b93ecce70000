use core::fmt;
use core::str::FromStr;

use crate::ParseError;

/// A segment of the feed, with Dhan's numbers (annexure of the DhanHQ v2
/// documentation). 6 is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Segment {
    /// Indices of NSE and BSE.
    IdxI = 0,
    /// NSE cash.
    NseEq = 1,
    /// NSE futures and options.
    NseFno = 2,
    /// NSE currency derivatives.
    NseCurrency = 3,
    /// BSE cash.
    BseEq = 4,
    /// MCX commodity derivatives.
    McxComm = 5,
    /// BSE currency derivatives.
    BseCurrency = 7,
    /// BSE futures and options.
    BseFno = 8,
}

impl Segment {
    /// Every segment, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::IdxI,
        Self::NseEq,
        Self::NseFno,
        Self::NseCurrency,
        Self::BseEq,
        Self::McxComm,
        Self::BseCurrency,
        Self::BseFno,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The segment of a number on the wire; none for 6 and above 8.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::IdxI,
            1 => Self::NseEq,
            2 => Self::NseFno,
            3 => Self::NseCurrency,
            4 => Self::BseEq,
            5 => Self::McxComm,
            7 => Self::BseCurrency,
            8 => Self::BseFno,
            _ => return None,
        })
    }

    /// The name in requests and answers, `NSE_FNO`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdxI => "IDX_I",
            Self::NseEq => "NSE_EQ",
            Self::NseFno => "NSE_FNO",
            Self::NseCurrency => "NSE_CURRENCY",
            Self::BseEq => "BSE_EQ",
            Self::McxComm => "MCX_COMM",
            Self::BseCurrency => "BSE_CURRENCY",
            Self::BseFno => "BSE_FNO",
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Segment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|segment| segment.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                ParseError::new(
                    text,
                    "a segment: IDX_I, NSE_EQ, NSE_FNO, NSE_CURRENCY, BSE_EQ, MCX_COMM, \
                     BSE_CURRENCY or BSE_FNO",
                )
            })
    }
}

/// An exchange, in the order in which an unnamed one is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exchange {
    /// National Stock Exchange.
    Nse,
    /// Bombay Stock Exchange.
    Bse,
    /// Multi Commodity Exchange.
    Mcx,
}

impl Exchange {
    /// NSE, BSE, MCX: the order of the exchange rule.
    pub const ALL: [Self; 3] = [Self::Nse, Self::Bse, Self::Mcx];

    /// `NSE`, `BSE` or `MCX`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nse => "NSE",
            Self::Bse => "BSE",
            Self::Mcx => "MCX",
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Exchange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|exchange| exchange.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseError::new(text, "an exchange: NSE, BSE or MCX"))
    }
}

/// The broker's number of an instrument. Unique only inside a [`Segment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SecurityId(pub u32);

impl fmt::Display for SecurityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The key of an instrument: segment and security id, `NSE_FNO:35060`.
///
/// Valid for one day's master only: brokers give ids to other contracts later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentKey {
    /// The segment.
    pub segment: Segment,
    /// The security id inside the segment.
    pub id: SecurityId,
}

impl InstrumentKey {
    /// The key of `id` in `segment`.
    #[must_use]
    pub const fn new(segment: Segment, id: u32) -> Self {
        Self {
            segment,
            id: SecurityId(id),
        }
    }

    /// One integer for both parts, never 0: bit 40 is always set.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (1 << 40) | ((self.segment.code() as u64) << 32) | self.id.0 as u64
    }

    /// The key of an integer made by [`to_bits`](Self::to_bits); none for any other.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits >> 40 != 1 {
            return None;
        }
        let Some(segment) = Segment::from_code((bits >> 32) as u8) else {
            return None;
        };
        Some(Self::new(segment, bits as u32))
    }
}

impl fmt::Display for InstrumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.id)
    }
}

impl FromStr for InstrumentKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = || ParseError::new(text, "an instrument key such as NSE_FNO:35060");
        let (segment, id) = text.split_once(':').ok_or_else(bad)?;
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        Ok(Self::new(segment.parse()?, id.parse().map_err(|_| bad())?))
    }
}

/// Call or put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionType {
    /// `CE`.
    Call,
    /// `PE`.
    Put,
}

impl OptionType {
    /// `CE` or `PE`, as the exchanges write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "CE",
            Self::Put => "PE",
        }
    }
}

impl fmt::Display for OptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OptionType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [Self::Call, Self::Put]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| ParseError::new(text, "an option type: CE or PE"))
    }
}

#[cfg(feature = "serde")]
macro_rules! serialize_as_str {
    ($($name:ty),*) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )*};
}

#[cfg(feature = "serde")]
serialize_as_str!(Segment, Exchange, OptionType, crate::Tier, crate::Mode);

#[cfg(feature = "serde")]
impl serde::Serialize for InstrumentKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_numbers_are_dhans() {
        let numbers = [
            ("IDX_I", 0),
            ("NSE_EQ", 1),
            ("NSE_FNO", 2),
            ("NSE_CURRENCY", 3),
            ("BSE_EQ", 4),
            ("MCX_COMM", 5),
            ("BSE_CURRENCY", 7),
            ("BSE_FNO", 8),
        ];
        for (name, code) in numbers {
            let segment: Segment = name.parse().unwrap();
            assert_eq!(segment.code(), code);
            assert_eq!(Segment::from_code(code), Some(segment));
            assert_eq!(segment.to_string(), name);
        }
        assert_eq!(Segment::from_code(6), None);
        assert_eq!(Segment::from_code(9), None);
    }

    #[test]
    fn a_key_survives_its_bits() {
        for segment in Segment::ALL {
            for id in [0, 1, 13, 35_060, u32::MAX] {
                let key = InstrumentKey::new(segment, id);
                assert_eq!(InstrumentKey::from_bits(key.to_bits()), Some(key));
                assert_eq!(key.to_string().parse(), Ok(key));
            }
        }
        for bits in [0, 1, 13, u64::MAX, (1 << 40) | (6 << 32)] {
            assert_eq!(InstrumentKey::from_bits(bits), None);
        }
    }

    #[test]
    fn a_bad_key_says_what_a_key_is() {
        for text in [
            "",
            "NSE_FNO",
            "NSE_FNO:",
            "NSE_FNO:-1",
            "NSE_FNO:+1",
            "X:1",
            "IDX_I:99999999999",
        ] {
            let error = text.parse::<InstrumentKey>().unwrap_err();
            assert!(error.to_string().contains("is not a"), "{error}");
        }
    }
}
