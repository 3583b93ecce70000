use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use jiff::civil::Date;
use strikewire_types::InstrumentKey;

use super::request::Failure;

/// How often may be asked, by real time; the defaults are the broker's limits. A zero
/// duration or count is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestLimits {
    /// Between two quote calls, of whichever of the three. Default 1 s.
    pub quote_every: Duration,
    /// Between two calls of the same chain. Default 3 s.
    pub chain_every: Duration,
    /// Charts and expiry lists in a second. Default 5.
    pub data_per_second: usize,
    /// Charts and expiry lists in 24 hours. Default 100,000.
    pub data_per_day: u32,
    /// Refused calls in ten seconds after which everything is answered with 805, until
    /// less were refused. Default 10.
    pub patience: usize,
}

impl Default for RestLimits {
    fn default() -> Self {
        Self {
            quote_every: Duration::from_secs(1),
            chain_every: Duration::from_secs(3),
            data_per_second: 5,
            data_per_day: 100_000,
            patience: 10,
        }
    }
}

/// A client that keeps to a limit exactly is not refused because a packet took less long
/// than the one before.
const JITTER: Duration = Duration::from_millis(50);

const DAY: Duration = Duration::from_secs(86_400);

const ANGRY: Duration = Duration::from_secs(10);

/// What a call is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    Quote,
    Chain(InstrumentKey, Date),
    Data,
}

/// Which calls were made when.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) config: RestLimits,
    quote: Option<Duration>,
    chains: HashMap<(InstrumentKey, Date), Duration>,
    data: VecDeque<Duration>,
    data_today: u32,
    /// When the day of `data_today` began.
    since: Duration,
    refused: VecDeque<Duration>,
}

impl Limits {
    /// Counts a call at a time that never goes back.
    pub(super) fn pass(&mut self, at: Duration, family: Family) -> Result<(), Failure> {
        while self.refused.front().is_some_and(|then| at - *then >= ANGRY) {
            self.refused.pop_front();
        }
        let patience = self.config.patience;
        let is_blocked = patience > 0 && self.refused.len() >= patience;
        if !is_blocked && self.admit(at, family) {
            return Ok(());
        }
        self.refused.push_back(at);
        // As many as are looked at.
        if self.refused.len() > patience.max(1) {
            self.refused.pop_front();
        }
        Err(if is_blocked {
            Failure::Blocked
        } else {
            Failure::TooOften
        })
    }

    fn admit(&mut self, at: Duration, family: Family) -> bool {
        let config = self.config;
        let is_over = |then: Duration, every: Duration| at - then + JITTER >= every;
        match family {
            Family::Quote => {
                let admitted = self
                    .quote
                    .is_none_or(|then| is_over(then, config.quote_every));
                if admitted {
                    self.quote = Some(at);
                }
                admitted
            }
            Family::Chain(underlying, expiry) => {
                self.chains
                    .retain(|_, then| !is_over(*then, config.chain_every));
                let admitted = !self.chains.contains_key(&(underlying, expiry));
                if admitted {
                    self.chains.insert((underlying, expiry), at);
                }
                admitted
            }
            Family::Data => {
                if at - self.since >= DAY {
                    (self.since, self.data_today) = (at, 0);
                }
                let second = Duration::from_secs(1);
                while self.data.front().is_some_and(|then| is_over(*then, second)) {
                    self.data.pop_front();
                }
                let admitted = (config.data_per_second == 0
                    || self.data.len() < config.data_per_second)
                    && (config.data_per_day == 0 || self.data_today < config.data_per_day);
                if admitted {
                    self.data.push_back(at);
                    self.data_today += 1;
                }
                admitted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use strikewire_types::Segment;

    use super::*;

    fn chain(id: u32, day: i8) -> Family {
        Family::Chain(
            InstrumentKey::new(Segment::IdxI, id),
            Date::constant(2026, 2, day),
        )
    }

    /// Calls at so many milliseconds, and whether each is admitted.
    fn check(calls: &[(u64, Family, bool)]) {
        let mut limits = Limits::default();
        for (at, family, expected) in calls {
            let at = Duration::from_millis(*at);
            assert_eq!(
                limits.pass(at, *family).is_ok(),
                *expected,
                "{at:?} {family:?}"
            );
        }
    }

    #[test]
    fn a_family_has_its_pace() {
        use Family::{Data, Quote};
        check(&[
            (0, Quote, true),
            (900, Quote, false),
            (960, Quote, true),
            (1_900, Quote, false),
            (1_960, Quote, true),
        ]);
        check(&[
            (0, chain(13, 10), true),
            (10, chain(13, 17), true),
            (20, chain(25, 10), true),
            (2_900, chain(13, 10), false),
            (2_960, chain(13, 10), true),
            (2_965, chain(13, 17), true),
        ]);
        check(&[
            (0, Data, true),
            (1, Data, true),
            (2, Data, true),
            (3, Data, true),
            (4, Data, true),
            (5, Data, false),
            (949, Data, false),
            (950, Data, true),
            (951, Data, true),
            (952, Data, true),
            (953, Data, true),
            (954, Data, true),
            (955, Data, false),
            (956, Quote, true),
        ]);
    }

    #[test]
    fn who_does_not_stop_is_blocked_until_he_does() {
        let mut limits = Limits::default();
        let mut call = |ms| limits.pass(Duration::from_millis(ms), Family::Quote);
        assert_eq!(call(0), Ok(()));
        for ms in 1..=10 {
            assert_eq!(call(ms), Err(Failure::TooOften), "{ms}");
        }
        // Also when it would be time: he is not heard.
        for ms in [11, 2_000, 9_000, 10_000] {
            assert_eq!(call(ms), Err(Failure::Blocked), "{ms}");
        }
        assert_eq!(call(20_001), Ok(()));
    }

    #[test]
    fn a_day_has_an_end_and_nothing_is_no_limit() {
        let mut limits = Limits::default();
        limits.config.data_per_day = 3;
        let mut calls = |from: u64| {
            (0..5)
                .filter(|i| {
                    limits
                        .pass(Duration::from_secs(from + i), Family::Data)
                        .is_ok()
                })
                .count()
        };
        assert_eq!((calls(0), calls(50_000), calls(86_400)), (3, 0, 3));

        let mut free = Limits {
            config: RestLimits {
                quote_every: Duration::ZERO,
                chain_every: Duration::ZERO,
                data_per_second: 0,
                data_per_day: 0,
                patience: 0,
            },
            ..Limits::default()
        };
        for family in [Family::Quote, Family::Data, chain(13, 10)] {
            for _ in 0..1_000 {
                assert_eq!(free.pass(Duration::ZERO, family), Ok(()));
            }
        }
    }
}
