use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::time::SystemTime;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{Mono, Now, ParseError, Utc};

/// Where time comes from: the system, or a simulation that starts at a given point
/// and runs at a given speed.
///
/// Both derive from [`tokio::time::Instant`], so a test that pauses tokio's time
/// stops them too. Copies of a clock agree.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    simulated: Option<ClockSpec>,
}

impl Clock {
    /// The clock of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self {
            origin: Instant::now(),
            simulated: None,
        }
    }

    /// A clock that starts now at `spec.start` and runs `spec.speed` times as fast.
    #[must_use]
    pub fn simulated(spec: ClockSpec) -> Self {
        Self {
            origin: Instant::now(),
            simulated: Some(spec),
        }
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.origin.elapsed();
        match self.simulated {
            Some(spec) => {
                let elapsed = elapsed.mul_f64(spec.speed);
                Now {
                    mono: Mono::default() + elapsed,
                    utc: spec.start + elapsed,
                }
            }
            None => Now {
                mono: Mono::default() + elapsed,
                utc: system_utc(),
            },
        }
    }

    /// Seconds of this clock in a real second.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.simulated.map_or(1.0, |spec| spec.speed)
    }

    /// Whether this is a simulation.
    #[must_use]
    pub const fn is_simulated(&self) -> bool {
        self.simulated.is_some()
    }

    /// Waits until [`now`](Self::now) has reached `at`.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing but time passes.
    pub async fn sleep_until(&self, at: Mono) {
        let duration = Duration::from_nanos(at.as_nanos());
        let real = match self.simulated {
            // Rounded up, so that the clock has surely reached it.
            Some(spec) => duration.div_f64(spec.speed) + Duration::from_nanos(1),
            None => duration,
        };
        match self.origin.checked_add(real) {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => core::future::pending().await,
        }
    }

    /// Waits for `duration` of this clock.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing but time passes.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().mono + duration).await;
    }
}

fn system_utc() -> Utc {
    let nanos = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    };
    Utc::from_nanos(nanos)
}

/// Where a simulated clock starts and how fast it runs: `TIME[@SPEED]`, such as
/// `2026-02-09T10:00:00+05:30@1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockSpec {
    /// The first time it shows.
    pub start: Utc,
    /// Seconds it shows per second that passes, 0.001 to 100,000. Default 1.
    pub speed: f64,
}

impl FromStr for ClockSpec {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = || {
            ParseError::new(
                text,
                "a clock: a time with its offset and, after @, a speed from 0.001 to 100000, \
                 such as 2026-02-09T10:00:00+05:30@1",
            )
        };
        let (time, speed) = text.split_once('@').unwrap_or((text, "1"));
        let timestamp: Timestamp = time.parse().map_err(|_| bad())?;
        let nanos = i64::try_from(timestamp.as_nanosecond()).map_err(|_| bad())?;
        let speed: f64 = speed.parse().map_err(|_| bad())?;
        if !(0.001..=100_000.0).contains(&speed) {
            return Err(bad());
        }
        Ok(Self {
            start: Utc::from_nanos(nanos),
            speed,
        })
    }
}

impl fmt::Display for ClockSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.start, self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_simulation_follows_tokio() {
        let spec: ClockSpec = "2026-02-09T10:00:00+05:30@60".parse().unwrap();
        let clock = Clock::simulated(spec);
        assert_eq!(clock.now().utc.to_string(), "2026-02-09T10:00:00.000+05:30");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now().utc.to_string(), "2026-02-09T10:01:00.000+05:30");
        clock.sleep(Duration::from_secs(120)).await;
        assert!(clock.now().mono >= Mono::default() + Duration::from_secs(180));
        // Tokio wakes on whole milliseconds, 60 of these.
        let late = clock.now().utc.since(spec.start + Duration::from_secs(180));
        assert!(late <= Duration::from_millis(60), "{late:?}");
    }

    #[test]
    fn a_clock_without_an_offset_or_with_a_silly_speed_is_refused() {
        for text in [
            "",
            "2026-02-09T10:00:00",
            "2026-02-09T10:00:00Z@0",
            "2026-02-09T10:00:00Z@nan",
            "now",
        ] {
            assert!(text.parse::<ClockSpec>().is_err(), "{text}");
        }
    }
}
