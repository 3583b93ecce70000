//! The metrics of the process: what is asked of the gateway when somebody reads them, how
//! long requests take, and the table of all there are.

mod buckets;
mod metric;
mod requests;
mod table;

#[cfg(test)]
mod tests;

use core::fmt;

use metrics::{counter, gauge};
use strikewire_gateway::calendar::Class;
use strikewire_gateway::{ConnState, Error, Gateway};

pub use metric::{Bound, Kind, Label, Metric, describe_metrics};
pub(crate) use requests::measure;
pub use table::METRICS;

/// Renders the metrics of the process. The recorder belongs to the binary.
pub struct Metrics {
    render: Box<dyn Fn() -> String + Send + Sync>,
    requests: requests::Requests,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Packet codes from here on are counted as one: the broker's own are below.
const UNHEARD_OF: u8 = 64;

impl Metrics {
    /// Metrics that `render` turns into the text format of Prometheus.
    #[must_use]
    pub fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            render: Box::new(render),
            requests: requests::Requests::default(),
        }
    }

    /// Brings what is read from the gateway up to date, and renders everything.
    pub(crate) async fn render(&self, gateway: &Gateway) -> Result<String, Error> {
        show_book(gateway).await?;
        show_connections(gateway).await?;
        show_feed(gateway);
        show_day(gateway);
        Ok((self.render)())
    }
}

async fn show_book(gateway: &Gateway) -> Result<(), Error> {
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
    gauge!("strikewire_subscriptions_refused").set(status.refused as f64);
    let tier_b = &status.tier_b;
    for (state, count) in [("held", tier_b.held), ("waiting", tier_b.waiting.len())] {
        gauge!("strikewire_tier_b_windows", "state" => state).set(count as f64);
    }
    Ok(())
}

async fn show_connections(gateway: &Gateway) -> Result<(), Error> {
    let wires = gateway.ws_status().await?;
    gauge!("strikewire_account_contended").set(one_if(wires.account_contended));
    gauge!("strikewire_connects_held").set(one_if(wires.held.is_some()));
    for (id, conn) in &wires.per_connection {
        let id = id.to_string();
        let up = conn.state == ConnState::Live;
        gauge!("strikewire_connection_up", "connection" => id.clone()).set(one_if(up));
        for state in [
            ConnState::Connecting,
            ConnState::Live,
            ConnState::Backoff,
            ConnState::Stopped,
        ] {
            let name = state.as_str();
            gauge!("strikewire_connection_state", "connection" => id.clone(), "state" => name)
                .set(one_if(conn.state == state));
        }
        gauge!("strikewire_connection_slots", "connection" => id.clone())
            .set(conn.subscriptions as f64);
        // Counted where it happens; it is there from the start.
        counter!("strikewire_connection_downs_total", "connection" => id.clone()).increment(0);
        if let Some(age) = conn.last_packet_age_ms {
            gauge!("strikewire_feed_age_seconds", "connection" => id).set(age as f64 / 1000.0);
        }
    }
    Ok(())
}

fn show_feed(gateway: &Gateway) {
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
    let mut others = 0;
    for (code, undecoded) in counters.undecoded() {
        if code < UNHEARD_OF {
            counter!("strikewire_feed_undecoded_by_code_total", "code" => code.to_string())
                .absolute(undecoded.count);
        } else {
            others += undecoded.count;
        }
    }
    counter!("strikewire_feed_undecoded_by_code_total", "code" => "other").absolute(others);
    counter!("strikewire_feed_unresolved_packets_total").absolute(counters.unresolved_packets());
}

fn show_day(gateway: &Gateway) {
    let readiness = crate::rest::readiness(gateway);
    gauge!("strikewire_ready").set(one_if(readiness.status != "starting"));
    for code in table::READINESS {
        let said = readiness.reasons.iter().any(|reason| reason.code == *code);
        gauge!("strikewire_readiness_reason", "code" => *code).set(one_if(said));
    }
    let now = gateway.clock().now().utc;
    for class in Class::ALL {
        let open = gateway.calendar().expects_traffic(class, now);
        gauge!("strikewire_market_open", "class" => class.as_str()).set(one_if(open));
    }
    let registry = gateway.registry();
    gauge!("strikewire_instruments").set(registry.report().loaded as f64);
    let age = strikewire_gateway::types::ist_date(now)
        .since(registry.as_of())
        .map_or(0, |since| since.get_days());
    gauge!("strikewire_instruments_age_days").set(f64::from(age));
}

const fn one_if(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}
