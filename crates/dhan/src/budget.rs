//! How often connections may be tried, whatever happens: a bucket of attempts that
//! outlives the process, so that restarts cannot cheat.
//!
//! Dhan locks an account out when it is asked too often, the longer the more one asks.
//! [`Budget`] is the account's allowance, without a clock or a file: a full bucket has
//! ten attempts, and one more comes every 12 s. It also knows a lock-out that is in
//! force. What of it must survive is a [`Stored`], which is written before each attempt;
//! [`BudgetFile`] does so.
//!
//! While the process lives, time is the monotonic clock's, so nothing that is done to the
//! wall clock yields attempts or takes them away; across a restart the wall clock is all
//! there is. A wall clock that went back yields nothing, and a lock-out never lasts
//! longer than it would have from its beginning.
//!
//! ```
//! use strikewire_dhan::Limits;
//! use strikewire_dhan::budget::{Budget, BudgetConfig};
//! use strikewire_types::Now;
//!
//! let (config, limits, now) = (BudgetConfig::default(), Limits::default(), Now::default());
//! let mut budget = Budget::new(&config, &limits, None, now);
//! let attempts = core::iter::from_fn(|| budget.spend(now).then_some(())).count();
//! assert_eq!(attempts, 10);
//! // The process ends and another one begins 30 s later.
//! let (stored, later) = (budget.stored(now), now + core::time::Duration::from_secs(30));
//! let budget = Budget::new(&config, &limits, Some(&stored), later);
//! assert_eq!(budget.left(later.mono), 2);
//! ```

mod file;

use core::time::Duration;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use strikewire_types::{Mono, Now, Utc};

use crate::Error;
use crate::connection::{Limits, doubled};

pub use file::BudgetFile;

/// How many attempts there are, and where that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetConfig {
    /// The file that keeps the budget across restarts; its folder must exist. None keeps
    /// it in memory only. Default none.
    pub path: Option<PathBuf>,
    /// Attempts in a full bucket, at least 1. Default 10.
    pub size: u32,
    /// How long it takes for another one to come. Default 12 s.
    pub refill: Duration,
    /// Between two attempts while a connection is up, and from a probe that came up to
    /// the next attempt. Default 500 ms.
    pub spacing: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            path: None,
            size: 10,
            refill: Duration::from_secs(12),
            spacing: Duration::from_millis(500),
        }
    }
}

/// What of a budget outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    version: u32,
    /// When this was so, in milliseconds since 1970.
    at_ms: i64,
    /// Time towards attempts that has been gathered and not spent.
    credit_ms: u64,
    /// Upgrades refused with 429 in a row.
    refusals: u32,
    /// The lock-out in force, if any.
    lockout: Option<StoredLockout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct StoredLockout {
    since_ms: i64,
    wait_ms: u64,
}

const VERSION: u32 = 1;

impl Stored {
    /// What to go on with when what was stored cannot be understood: one attempt.
    #[must_use]
    pub fn one_attempt(config: &BudgetConfig, now: Utc) -> Self {
        Self {
            version: VERSION,
            at_ms: millis(now),
            credit_ms: whole_millis(config.refill),
            refusals: 0,
            lockout: None,
        }
    }

    /// As text: one JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers only: it has nothing that JSON does not.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From [`to_json`](Self::to_json).
    ///
    /// # Errors
    ///
    /// When it is not JSON, lacks a field, or is of another version.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let bad = |reason: String| Error::Budget { reason };
        let stored: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if stored.version != VERSION {
            return Err(bad(format!(
                "version is {}; expected {VERSION}",
                stored.version
            )));
        }
        Ok(stored)
    }
}

/// The attempts that are left.
#[derive(Debug, Clone)]
pub struct Budget {
    size: u32,
    refill: Duration,
    /// Time gathered by `at`; `refill` of it is one attempt.
    credit: Duration,
    at: Mono,
    refusals: u32,
    lockout: Option<Lockout>,
}

#[derive(Debug, Clone, Copy)]
struct Lockout {
    since: Utc,
    wait: Duration,
    until: Mono,
}

impl Budget {
    /// The budget that was `stored`, or a full one.
    #[must_use]
    pub fn new(config: &BudgetConfig, limits: &Limits, stored: Option<&Stored>, now: Now) -> Self {
        let size = config.size.max(1);
        let full = config.refill.saturating_mul(size);
        let mut budget = Self {
            size,
            refill: config.refill,
            credit: full,
            at: now.mono,
            refusals: 0,
            lockout: None,
        };
        let Some(stored) = stored else {
            return budget;
        };
        let passed = now.utc.since(utc(stored.at_ms));
        budget.credit = Duration::from_millis(stored.credit_ms)
            .saturating_add(passed)
            .min(full);
        budget.refusals = stored.refusals;
        budget.lockout = stored.lockout.and_then(|lockout| {
            let since = utc(lockout.since_ms);
            // No more than the rule can have asked for, whatever the file says.
            let longest = limits.lockout_max.max(limits.retry_after_max);
            let wait = Duration::from_millis(lockout.wait_ms)
                .min(longest.saturating_add(limits.max_backoff));
            let rest = wait.saturating_sub(now.utc.since(since));
            (rest > Duration::ZERO).then(|| Lockout {
                since: since.min(now.utc),
                wait,
                until: now.mono + rest,
            })
        });
        budget
    }

    /// When there is an attempt to spend.
    #[must_use]
    pub fn ready_at(&self) -> Mono {
        self.at + self.refill.saturating_sub(self.credit)
    }

    /// Attempts that can be made at `now` without waiting.
    #[must_use]
    pub fn left(&self, now: Mono) -> u32 {
        let nanos = self.refill.as_nanos();
        match self.credit_at(now).as_nanos().checked_div(nanos) {
            Some(attempts) => u32::try_from(attempts).unwrap_or(self.size),
            None => self.size,
        }
    }

    /// Takes an attempt, if there is one.
    pub fn spend(&mut self, now: Now) -> bool {
        let credit = self.credit_at(now.mono);
        let Some(rest) = credit.checked_sub(self.refill) else {
            return false;
        };
        self.credit = rest;
        self.at = now.mono.max(self.at);
        true
    }

    fn credit_at(&self, now: Mono) -> Duration {
        self.credit
            .saturating_add(now.since(self.at))
            .min(self.refill.saturating_mul(self.size))
    }

    /// Locks the account out, because an upgrade was refused as one too many: for longer
    /// with each refusal in a row, or as long as the broker asked for, and `jitter` more.
    /// Refusals of attempts that were under way when a lock-out began do not count.
    pub fn refuse(
        &mut self,
        now: Now,
        limits: &Limits,
        retry_after: Option<Duration>,
        jitter: Duration,
    ) {
        let in_force = self.locked_until().filter(|&until| now.mono < until);
        if in_force.is_none() {
            self.refusals = self.refusals.saturating_add(1);
        }
        let times = self.refusals.saturating_sub(1);
        let floor = doubled(limits.lockout, times, limits.lockout_max);
        let asked = retry_after.unwrap_or_default().min(limits.retry_after_max);
        let wait = floor.max(asked).saturating_add(jitter);
        let until = now.mono + wait;
        if in_force.is_none_or(|before| before < until) {
            let since = now.utc;
            self.lockout = Some(Lockout { since, wait, until });
        }
    }

    /// When the lock-out ends or has ended; absent when there was none.
    #[must_use]
    pub fn locked_until(&self) -> Option<Mono> {
        self.lockout.map(|lockout| lockout.until)
    }

    /// Earlier refusals do not count any more. Says whether there were any.
    pub fn forgive(&mut self) -> bool {
        core::mem::take(&mut self.refusals) > 0
    }

    /// What of it must survive, as it is at `now`.
    #[must_use]
    pub fn stored(&self, now: Now) -> Stored {
        let lockout = self.lockout.filter(|lockout| now.mono < lockout.until);
        Stored {
            version: VERSION,
            at_ms: millis(now.utc),
            credit_ms: whole_millis(self.credit_at(now.mono)),
            refusals: self.refusals,
            lockout: lockout.map(|lockout| StoredLockout {
                since_ms: millis(lockout.since),
                wait_ms: whole_millis(lockout.wait),
            }),
        }
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Rounded up: time that has not quite passed gathers nothing.
fn millis(utc: Utc) -> i64 {
    utc.as_nanos().div_euclid(1_000_000).saturating_add(1)
}

fn utc(millis: i64) -> Utc {
    Utc::from_nanos(millis.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests;
