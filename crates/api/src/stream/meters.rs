//! Figures of the stream's sockets.

use core::time::Duration;
use std::sync::LazyLock;

use metrics::{Counter, Histogram, counter, histogram};
use strikewire_fanout::Class;

use super::end::End;

/// Registered once, when the stream is offered.
pub(super) static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);

pub(super) struct Meters {
    flush: [Histogram; Class::ALL.len()],
    disconnected: [(&'static str, Counter); End::LABELS.len()],
    pub(super) refused_clients: Counter,
    pub(super) refused_origin: Counter,
    pub(super) refused_key: Counter,
    pub(super) refused_rate: Counter,
}

impl Meters {
    fn new() -> Self {
        let refused =
            |reason: &'static str| counter!("strikewire_stream_refused_total", "reason" => reason);
        Self {
            flush: Class::ALL.map(|class| {
                histogram!("strikewire_stream_flush_seconds", "class" => class.ms().to_string())
            }),
            disconnected: End::LABELS.map(|reason| {
                let name = "strikewire_stream_disconnected_total";
                (reason, counter!(name, "reason" => reason))
            }),
            refused_clients: refused("too_many_clients"),
            refused_origin: refused("origin"),
            refused_key: refused("unauthorized"),
            refused_rate: refused("rate"),
        }
    }

    /// A write ended that carried a tick received so long ago.
    pub(super) fn flushed(&self, class: Class, after: Duration) {
        self.flush[class.index()].record(after.as_secs_f64());
    }

    /// Somebody did not become a client because of this.
    pub(super) fn turned_away(&self, end: &End) {
        match end {
            End::RateLimited { .. } | End::Flood => self.refused_rate.increment(1),
            End::Unauthorized { .. } => self.refused_key.increment(1),
            _ => {}
        }
    }

    pub(super) fn ended(&self, end: &End) {
        let label = end.label();
        if let Some((_, counter)) = self.disconnected.iter().find(|(name, _)| *name == label) {
            counter.increment(1);
        }
    }
}
