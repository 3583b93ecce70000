use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;

/// India is 5 h 30 min ahead of UTC the whole year.
pub const IST_OFFSET_SECONDS: i32 = 19_800;

fn ist() -> Offset {
    Offset::from_seconds(IST_OFFSET_SECONDS).expect("an offset may be up to 25 hours")
}

/// A point on the monotonic clock: nanoseconds since an origin of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(u64);

impl Mono {
    /// From nanoseconds since the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier`; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 with
/// the offset of India and milliseconds, or as many digits as the precision says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Utc(i64);

impl Utc {
    /// From nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// How long after `earlier`; zero if it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(if nanos < 0 { 0 } else { nanos.unsigned_abs() })
    }
}

impl Add<Duration> for Utc {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Utc {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every i64 of nanoseconds lies inside what a timestamp can be.
        let timestamp =
            Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(Timestamp::UNIX_EPOCH);
        let digits = f.precision().unwrap_or(3);
        write!(f, "{:.digits$}", timestamp.display_with_offset(ist()))
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Utc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When the exchange says something happened: whole seconds since the Unix epoch,
/// in true UTC (the wire has the wall clock of India; the decoder takes it back).
/// Shown as RFC 3339 with the offset of India.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ExchangeTime(i64);

impl ExchangeTime {
    /// From whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    /// As a point in time.
    #[must_use]
    pub const fn to_utc(self) -> Utc {
        Utc(self.0.saturating_mul(1_000_000_000))
    }
}

impl fmt::Display for ExchangeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_second(self.0) {
            Ok(timestamp) => write!(f, "{}", timestamp.display_with_offset(ist())),
            Err(_) => write!(f, "{}s", self.0),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ExchangeTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What time it is, given to everything that needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For durations: time to live, back-off, linger, cool-down.
    pub mono: Mono,
    /// For dates: sessions, expiries, end of day, audit.
    pub utc: Utc,
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self {
            mono: self.mono + duration,
            utc: self.utc + duration,
        }
    }
}

/// The civil date in India at `utc`.
#[must_use]
pub fn ist_date(utc: Utc) -> Date {
    Timestamp::from_nanosecond(i128::from(utc.0))
        .map_or(Date::ZERO, |timestamp| ist().to_datetime(timestamp).date())
}

/// The time of day in India at `utc`.
#[must_use]
pub fn ist_time(utc: Utc) -> Time {
    Timestamp::from_nanosecond(i128::from(utc.0)).map_or(Time::midnight(), |timestamp| {
        ist().to_datetime(timestamp).time()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_india() {
        // 2026-06-10T09:49:57 in India; see data of the feed in docs/DHAN.md.
        let utc = Utc::from_nanos(1_781_065_197_817_220_000);
        assert_eq!(utc.to_string(), "2026-06-10T09:49:57.817+05:30");
        assert_eq!(format!("{utc:.6}"), "2026-06-10T09:49:57.817220+05:30");
        assert_eq!(
            ExchangeTime::from_seconds(1_781_065_197).to_string(),
            "2026-06-10T09:49:57+05:30"
        );
        for extreme in [i64::MIN, i64::MAX] {
            let _ = Utc::from_nanos(extreme).to_string();
            let _ = ExchangeTime::from_seconds(extreme).to_string();
        }
    }

    #[test]
    fn the_day_changes_at_midnight_in_india() {
        let before = Utc::from_nanos(1_770_575_399_999_999_999);
        assert_eq!(ist_date(before).to_string(), "2026-02-08");
        let after = before + Duration::from_nanos(1);
        assert_eq!(ist_date(after).to_string(), "2026-02-09");
        assert_eq!(after - Duration::from_nanos(1), before);
        assert_eq!(ist_time(before).to_string(), "23:59:59.999999999");
        assert_eq!(ist_time(after).to_string(), "00:00:00");
    }
}
