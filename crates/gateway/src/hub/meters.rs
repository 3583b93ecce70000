//! The hub's figures as metrics.

use metrics::{Counter, Gauge, counter, gauge};
use strikewire_fanout::Stats;

/// Registered once: looking a metric up by its name costs more than counting.
pub(super) struct Meters {
    clients: Gauge,
    subscriptions: Gauge,
    queue_depth: Gauge,
    messages: Counter,
    bytes: Counter,
    conflated: Counter,
    dropped: Counter,
    lagged: Counter,
    resumed: Counter,
    snapshots: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            clients: gauge!("strikewire_stream_clients"),
            subscriptions: gauge!("strikewire_stream_subscriptions"),
            queue_depth: gauge!("strikewire_stream_queue_depth_max"),
            messages: counter!("strikewire_stream_messages_total"),
            bytes: counter!("strikewire_stream_bytes_total"),
            conflated: counter!("strikewire_stream_conflated_total"),
            dropped: counter!("strikewire_stream_dropped_total"),
            lagged: counter!("strikewire_stream_lagged_total"),
            resumed: counter!("strikewire_stream_resumed_total", "result" => "resumed"),
            snapshots: counter!("strikewire_stream_resumed_total", "result" => "snapshot"),
        }
    }

    /// `deepest` is the length of the longest queue since the last time.
    pub(super) fn show(&self, stats: &Stats, deepest: usize) {
        self.clients.set(stats.clients as f64);
        self.subscriptions.set(stats.subscriptions as f64);
        self.queue_depth.set(deepest as f64);
        self.messages.absolute(stats.messages);
        self.bytes.absolute(stats.bytes);
        self.conflated.absolute(stats.conflated);
        self.dropped.absolute(stats.dropped);
        self.lagged.absolute(stats.lagged);
        self.resumed.absolute(stats.resumed);
        self.snapshots.absolute(stats.resume_refused);
    }
}
