use core::fmt;
use core::num::NonZeroU16;
use core::str::FromStr;
use core::time::Duration;

/// The longest timeframe in minutes: a session from 09:00 to 23:55 has 895.
const MOST_MINUTES: u16 = 900;

/// How long a bar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timeframe {
    /// So many minutes, counted from the open of the session; the last bar of a session
    /// may be shorter.
    Minutes(NonZeroU16),
    /// A trading day.
    Day,
}

/// A timeframe that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "timeframe {text:?}; expected 1min, 5min, 15min, 1h, 1d, or any number of minutes from 1min to {MOST_MINUTES}min"
)]
pub struct TimeframeError {
    text: String,
}

impl Timeframe {
    /// One minute.
    pub const MINUTE: Self = Self::Minutes(NonZeroU16::MIN);

    /// So many minutes; none when that is 0 or more than 900.
    #[must_use]
    pub fn minutes(minutes: u16) -> Option<Self> {
        NonZeroU16::new(minutes)
            .filter(|minutes| minutes.get() <= MOST_MINUTES)
            .map(Self::Minutes)
    }

    /// Its length; of a trading day that of a calendar day.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Minutes(minutes) => Duration::from_secs(60 * minutes.get() as u64),
            Self::Day => Duration::from_secs(86_400),
        }
    }
}

/// `1min`, `5min`, `1h`, `1d`: hours where they are whole.
impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minutes(minutes) if minutes.get() % 60 == 0 => {
                write!(f, "{}h", minutes.get() / 60)
            }
            Self::Minutes(minutes) => write!(f, "{minutes}min"),
            Self::Day => f.write_str("1d"),
        }
    }
}

/// Letters of any case; `60min` is `1h`, `1day` is `1d`.
impl FromStr for Timeframe {
    type Err = TimeframeError;

    fn from_str(text: &str) -> Result<Self, TimeframeError> {
        let error = || TimeframeError {
            text: text.chars().take(32).collect(),
        };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let (digits, unit) = text.split_at(split);
        if digits.starts_with('0') || digits.starts_with('+') {
            return Err(error());
        }
        let count: u16 = digits.parse().map_err(|_| error())?;
        match unit.to_ascii_lowercase().as_str() {
            "min" | "m" => Self::minutes(count),
            "h" => count.checked_mul(60).and_then(Self::minutes),
            "d" | "day" => (count == 1).then_some(Self::Day),
            _ => None,
        }
        .ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_spellings_are_one() {
        for (text, shown) in [
            ("1min", "1min"),
            ("5min", "5min"),
            ("15MIN", "15min"),
            ("1h", "1h"),
            ("60min", "1h"),
            ("2H", "2h"),
            ("90min", "90min"),
            ("7m", "7min"),
            ("1d", "1d"),
            ("1day", "1d"),
            ("900min", "15h"),
        ] {
            let timeframe: Timeframe = text.parse().expect(text);
            assert_eq!(timeframe.to_string(), shown);
            assert_eq!(shown.parse(), Ok(timeframe));
        }
        for text in [
            "", "min", "0min", "01min", "901min", "99999min", "2d", "1w", "-1min", "5 min", "1٣min",
        ] {
            assert!(text.parse::<Timeframe>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_is_long() {
        assert_eq!(Timeframe::Day.length().as_secs(), 86_400);
        assert_eq!(
            Timeframe::minutes(5).map(|it| it.length().as_secs()),
            Some(300)
        );
    }
}
