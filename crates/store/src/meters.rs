use metrics::{Counter, Gauge, Histogram};

use crate::Stats;

/// Handles of the metrics, looked up once.
pub(crate) struct Meters {
    pub(crate) commits: Counter,
    pub(crate) groups: Counter,
    pub(crate) commit_seconds: Histogram,
    dropped: Counter,
    queue: Gauge,
    lag: Gauge,
    failing: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            commits: metrics::counter!("strikewire_store_commits_total"),
            groups: metrics::counter!("strikewire_store_groups_total"),
            commit_seconds: metrics::histogram!("strikewire_store_commit_seconds"),
            dropped: metrics::counter!("strikewire_store_audit_dropped_total"),
            queue: metrics::gauge!("strikewire_store_behind_queue"),
            lag: metrics::gauge!("strikewire_store_lag_seconds"),
            failing: metrics::gauge!("strikewire_store_failing"),
        }
    }

    pub(crate) fn publish(&self, stats: &Stats) {
        self.dropped.absolute(stats.dropped());
        self.queue.set(stats.behind_queue() as f64);
        self.lag.set(stats.lag().as_secs_f64());
        self.failing.set(if stats.failing() { 1.0 } else { 0.0 });
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
