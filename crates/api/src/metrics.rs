use core::fmt;

use metrics::{counter, gauge};
use strikewire_gateway::{Error, Gateway};

/// Renders the metrics of the process. The recorder belongs to the binary.
pub struct Metrics {
    render: Box<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics that `render` turns into the text format of Prometheus.
    #[must_use]
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            render: Box::new(render),
        }
    }

    /// Brings what is read from the gateway up to date, and renders everything.
    pub(crate) async fn render(&self, gateway: &Gateway) -> Result<String, Error> {
        let status = gateway.status().await?;
        for (tier, count) in [("a", status.tier_a_count), ("b", status.tier_b_count)] {
            gauge!("strikewire_subscriptions", "tier" => tier).set(count as f64);
        }
        for (mode, count) in &status.by_mode {
            gauge!("strikewire_subscriptions_by_mode", "mode" => mode.as_str()).set(*count as f64);
        }
        gauge!("strikewire_subscriptions_capacity").set(status.max_capacity as f64);
        gauge!("strikewire_subscriptions_lingering").set(status.lingering as f64);
        gauge!("strikewire_subscriptions_unplaced").set(status.unplaced as f64);
        let tier_b = &status.tier_b;
        for (state, count) in [("held", tier_b.held), ("waiting", tier_b.waiting.len())] {
            gauge!("strikewire_tier_b_windows", "state" => state).set(count as f64);
        }

        gauge!("strikewire_subscriptions_refused").set(status.refused as f64);

        let wires = gateway.ws_status().await?;
        gauge!("strikewire_account_contended").set(f64::from(u8::from(wires.account_contended)));
        for (id, conn) in &wires.per_connection {
            let id = id.to_string();
            gauge!("strikewire_connection_up", "connection" => id.clone()).set(
                if conn.state == strikewire_gateway::ConnState::Live {
                    1.0
                } else {
                    0.0
                },
            );
            gauge!("strikewire_connection_slots", "connection" => id.clone())
                .set(conn.subscriptions as f64);
            if let Some(age) = conn.last_packet_age_ms {
                gauge!("strikewire_feed_age_seconds", "connection" => id).set(age as f64 / 1000.0);
            }
        }

        let counters = gateway.counters();
        for (id, conn) in counters.conns() {
            let id = id.to_string();
            let count = |name: &'static str, value: u64| {
                counter!(name, "connection" => id.clone()).absolute(value);
            };
            count("strikewire_feed_frames_total", conn.frames());
            count("strikewire_feed_bytes_total", conn.bytes());
            count("strikewire_feed_packets_total", conn.packets());
            count("strikewire_feed_stranger_packets_total", conn.strangers());
            count(
                "strikewire_feed_undecoded_packets_total",
                conn.undecoded_packets(),
            );
            count("strikewire_feed_gaps_total", conn.gaps());
        }
        for (code, undecoded) in counters.undecoded() {
            counter!("strikewire_feed_undecoded_by_code_total", "code" => code.to_string())
                .absolute(undecoded.count);
        }
        counter!("strikewire_feed_unresolved_packets_total")
            .absolute(counters.unresolved_packets());
        Ok((self.render)())
    }
}
