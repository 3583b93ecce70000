//! What is counted of who holds what.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use strikewire_leases::{Error, LeaseKey};

use super::labels::Labels;

/// Handles to the metrics of the table of holders.
pub(super) struct Meters {
    labels: Labels,
    keys: Gauge,
    subscribers: Gauge,
}

impl core::fmt::Debug for Meters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            labels: Labels::default(),
            keys: gauge!("strikewire_indicator_keys"),
            subscribers: gauge!("strikewire_indicator_subscribers"),
        }
    }
}

impl Meters {
    pub(super) fn keys(&self, change: f64) {
        self.keys.increment(change);
    }

    pub(super) fn subscribers(&self, change: f64) {
        self.subscribers.increment(change);
    }

    /// Handles to the metrics of one key, looked up once.
    pub(super) fn of(&self, key: &LeaseKey) -> KeyMeters {
        let named = self
            .labels
            .of(key.symbol(), key.timeframe(), key.indicator_id());
        KeyMeters {
            subscriptions: counter!(
                "indicator_subscriptions_total",
                "symbol" => Arc::clone(&named.symbol),
                "timeframe" => Arc::clone(&named.timeframe),
                "indicator" => named.indicator,
            ),
            active: gauge!(
                "indicator_active_subscriptions",
                "symbol" => named.symbol,
                "timeframe" => named.timeframe,
            ),
        }
    }
}

pub(super) struct KeyMeters {
    subscriptions: Counter,
    active: Gauge,
}

impl core::fmt::Debug for KeyMeters {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyMeters").finish_non_exhaustive()
    }
}

impl KeyMeters {
    pub(super) fn subscribed(&self) {
        self.subscriptions.increment(1);
        self.active.increment(1.0);
    }

    pub(super) fn unsubscribed(&self) {
        self.active.decrement(1.0);
    }
}

/// Handles to what is counted of leases.
pub(super) struct ServiceMeters {
    sweeps: Counter,
    adopted: Counter,
    not_adopted: Counter,
    expired: Counter,
    reconciled: Counter,
}

impl Default for ServiceMeters {
    fn default() -> Self {
        Self {
            sweeps: counter!("indicator_cleanup_runs_total"),
            adopted: counter!("strikewire_indicator_adopted_total"),
            not_adopted: counter!("strikewire_indicator_not_adopted_total"),
            expired: counter!("strikewire_indicator_expired_total"),
            reconciled: counter!("strikewire_indicator_reconciled_total"),
        }
    }
}

impl ServiceMeters {
    pub(super) fn sweep(&self) {
        self.sweeps.increment(1);
    }

    pub(super) fn adopted(&self, leases: usize) {
        self.adopted.increment(leases as u64);
    }

    pub(super) fn not_adopted(&self, leases: usize) {
        self.not_adopted.increment(leases as u64);
    }

    pub(super) fn expired(&self, leases: usize) {
        self.expired.increment(leases as u64);
    }

    pub(super) fn reconciled(&self, leases: usize) {
        self.reconciled.increment(leases as u64);
    }

    /// The store did not answer. It counts that itself.
    #[expect(
        clippy::unused_self,
        reason = "reads as what it is, a thing that is noted"
    )]
    pub(super) fn failed(&self, error: &Error) {
        tracing::debug!(%error, "The store of leases did not answer");
    }
}
