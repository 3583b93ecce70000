//! How often callers may ask.

use core::fmt;
use core::hash::Hash;
use core::net::{IpAddr, Ipv6Addr};
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use metrics::{Counter, counter};

use crate::settings::Rates;
use crate::{Code, Problem};

/// Keys that nobody has, of one address a second, in the long run.
const FAILURES_PER_S: u32 = 1;
/// Keys that nobody has, of one address at once.
const FAILURE_BURST: u32 = 20;
/// After so many questions what is not needed any more is let go, even if nobody sweeps.
const SWEEP_AFTER: u32 = 8_192;

type Limiter<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Limits of keys and addresses. What is kept of one is let go as soon as it may ask as
/// often as one that never asked.
pub(super) struct Limits<C: Clock = MonotonicClock> {
    clock: C,
    /// Made anew when the rates change.
    current: ArcSwapOption<Limiters<C>>,
    asked: AtomicU32,
    by_key: Counter,
    by_address: Counter,
    by_failures: Counter,
}

struct Limiters<C: Clock> {
    rates: Rates,
    keys: Limiter<u64, C>,
    addresses: Limiter<IpAddr, C>,
    failures: Limiter<IpAddr, C>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::with_clock(MonotonicClock)
    }
}

impl<C: Clock> fmt::Debug for Limits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn with_clock(clock: C) -> Self {
        let limited = |by| counter!("strikewire_rate_limited_total", "by" => by);
        Self {
            clock,
            current: ArcSwapOption::empty(),
            asked: AtomicU32::new(0),
            by_key: limited("key"),
            by_address: limited("address"),
            by_failures: limited("failures"),
        }
    }

    /// Counts a request with a key.
    pub(super) fn key(&self, key: u64, rates: &Rates) -> Result<(), Problem> {
        let limiters = self.current(rates);
        self.check(&limiters.keys, &key, &self.by_key, || {
            format!(
                "more than {} requests a second with this key, {} at once",
                rates.per_key, rates.key_burst
            )
        })
    }

    /// Counts a request of an address.
    pub(super) fn address(&self, from: Option<IpAddr>, rates: &Rates) -> Result<(), Problem> {
        let Some(from) = from.map(network) else {
            return Ok(());
        };
        let limiters = self.current(rates);
        self.check(&limiters.addresses, &from, &self.by_address, || {
            format!(
                "more than {} requests a second from this address, {} at once",
                rates.per_address, rates.address_burst
            )
        })
    }

    /// Counts a key that nobody has.
    pub(super) fn failure(&self, from: Option<IpAddr>, rates: &Rates) -> Result<(), Problem> {
        let Some(from) = from.map(network) else {
            return Ok(());
        };
        let limiters = self.current(rates);
        self.check(&limiters.failures, &from, &self.by_failures, || {
            "too many keys from this address that nobody has".to_owned()
        })
    }

    fn check<K: Hash + Eq + Clone>(
        &self,
        limiter: &Limiter<K, C>,
        who: &K,
        limited: &Counter,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        if self.asked.fetch_add(1, Relaxed) >= SWEEP_AFTER {
            self.sweep();
        }
        limiter.check_key(who).map_err(|until| {
            limited.increment(1);
            let wait = until.wait_time_from(self.clock.now());
            let mut problem = Problem::new(Code::RateLimited, detail());
            problem.retry_after = Some(whole_seconds(wait));
            problem
        })
    }

    /// Lets go of what limits nobody.
    pub(super) fn sweep(&self) {
        self.asked.store(0, Relaxed);
        if let Some(limiters) = &*self.current.load() {
            limiters.keys.retain_recent();
            limiters.addresses.retain_recent();
            limiters.failures.retain_recent();
        }
    }

    fn current(&self, rates: &Rates) -> Arc<Limiters<C>> {
        if let Some(limiters) = &*self.current.load()
            && limiters.rates == *rates
        {
            return Arc::clone(limiters);
        }
        let limiters = Arc::new(Limiters {
            rates: rates.clone(),
            keys: self.limiter(rates.per_key, rates.key_burst),
            addresses: self.limiter(rates.per_address, rates.address_burst),
            failures: self.limiter(FAILURES_PER_S, FAILURE_BURST),
        });
        self.current.store(Some(Arc::clone(&limiters)));
        limiters
    }

    fn limiter<K: Hash + Eq + Clone>(&self, per_s: u32, burst: u32) -> Limiter<K, C> {
        let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_s)).allow_burst(at_least_one(burst));
        RateLimiter::dashmap_with_clock(quota, self.clock.clone())
    }
}

fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

/// What is limited together: an IPv4 address, or the 64 bits of an IPv6 address that
/// one customer of a provider is given at least.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    const RATES: Rates = Rates {
        per_key: 10,
        key_burst: 3,
        per_address: 2,
        address_burst: 4,
    };

    fn limits() -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Limits::with_clock(clock.clone()), clock)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (limits, clock) = limits();
        for _ in 0..3 {
            limits.key(1, &RATES).unwrap();
        }
        let problem = limits.key(1, &RATES).unwrap_err();
        assert_eq!(problem.code, Code::RateLimited);
        assert_eq!(problem.retry_after, Some(1));
        // Nobody else is held up.
        limits.key(2, &RATES).unwrap();
        clock.advance(Duration::from_millis(99));
        limits.key(1, &RATES).unwrap_err();
        clock.advance(Duration::from_millis(1));
        limits.key(1, &RATES).unwrap();
        limits.key(1, &RATES).unwrap_err();
    }

    #[test]
    fn addresses_and_failures_are_counted_apart() {
        let (limits, clock) = limits();
        let from = address("203.0.113.7");
        for _ in 0..4 {
            limits.address(from, &RATES).unwrap();
        }
        limits.address(from, &RATES).unwrap_err();
        limits.address(None, &RATES).unwrap();
        for _ in 0..FAILURE_BURST {
            limits.failure(from, &RATES).unwrap();
        }
        let problem = limits.failure(from, &RATES).unwrap_err();
        assert_eq!(problem.retry_after, Some(1));
        clock.advance(Duration::from_secs(1));
        limits.failure(from, &RATES).unwrap();
        limits.failure(from, &RATES).unwrap_err();
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let (limits, _) = limits();
        for host in 1..=4 {
            limits
                .address(address(&format!("2001:db8:1:2::{host}")), &RATES)
                .unwrap();
        }
        let same = address("2001:db8:1:2:ffff::9");
        limits.address(same, &RATES).unwrap_err();
        limits.address(address("2001:db8:1:3::1"), &RATES).unwrap();
        // An IPv4 address that is written as IPv6 is the IPv4 address.
        assert_eq!(
            network("::ffff:192.0.2.1".parse().unwrap()),
            network("192.0.2.1".parse().unwrap())
        );
    }

    #[test]
    fn memory_is_bounded_by_what_asks_at_once() {
        let (limits, clock) = limits();
        for number in 0..50_000_u32 {
            let from = IpAddr::V4(number.into());
            limits.address(Some(from), &RATES).unwrap();
            clock.advance(Duration::from_millis(1));
        }
        // An address is forgotten when a burst would have passed: 2,000 are recent at most.
        let kept = limits.current(&RATES).addresses.len();
        assert!(kept <= 2_000 + SWEEP_AFTER as usize + 1, "{kept}");
        limits.sweep();
        let kept = limits.current(&RATES).addresses.len();
        assert!((400..=2_000).contains(&kept), "{kept}");
        clock.advance(Duration::from_secs(4));
        limits.sweep();
        assert_eq!(limits.current(&RATES).addresses.len(), 0);
    }

    #[test]
    fn changed_rates_hold_at_once() {
        let (limits, _) = limits();
        for _ in 0..3 {
            limits.key(1, &RATES).unwrap();
        }
        limits.key(1, &RATES).unwrap_err();
        let more = Rates {
            key_burst: 5,
            ..RATES
        };
        for _ in 0..5 {
            limits.key(1, &more).unwrap();
        }
        limits.key(1, &more).unwrap_err();
        // Nonsense is the least there is.
        let none = Rates {
            per_key: 0,
            key_burst: 0,
            ..RATES
        };
        limits.key(1, &none).unwrap();
        limits.key(1, &none).unwrap_err();
    }
}
