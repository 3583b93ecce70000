//! Which numbers the configuration takes.

use core::fmt;

use anyhow::ensure;

/// What a number of the configuration may be, both ends included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// Section and key.
    pub(super) key: &'static str,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) unit: &'static str,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} {}", self.min, self.max, self.unit)
    }
}

const fn range(key: &'static str, min: f64, max: f64, unit: &'static str) -> Range {
    Range {
        key,
        min,
        max,
        unit,
    }
}

/// The range of every number, but for `sim.seed`, which may be any.
pub(super) const RANGES: &[Range] = &[
    range("workers", 1.0, 64.0, "threads"),
    range("dhan.connections", 1.0, 5.0, "connections"),
    range("dhan.per_connection", 1.0, 5_000.0, "instruments"),
    range("dhan.connect_burst", 1.0, 10_000.0, "attempts"),
    range("dhan.connect_refill_s", 1.0, 3_600.0, "seconds"),
    range("dhan.connect_spacing_ms", 0.0, 60_000.0, "milliseconds"),
    range("sim.rows", 2_000.0, 400_000.0, "rows"),
    range("sim.volatility", 0.0, 0.05, "of the price per minute"),
    range("sim.rate", 0.0, 100.0, "times"),
    range("chain.width_stock", 1.0, 1_001.0, "strikes"),
    range("chain.width_index", 1.0, 1_001.0, "strikes"),
    range("chain.width_other", 1.0, 1_001.0, "strikes"),
    range("chain.ttl_s", 0.0, 86_400.0, "seconds"),
    range("chain.linger_s", 0.0, 3_600.0, "seconds"),
    range("chain.price_wait_ms", 0.0, 86_400_000.0, "milliseconds"),
    range("chain.pre_open_lead_s", 0.0, 900.0, "seconds"),
    range("subscriptions.total", 1.0, 25_000.0, "instruments"),
    range("subscriptions.in_use_s", 0.0, 86_400.0, "seconds"),
    range("subscriptions.migration_grace_s", 0.0, 3_600.0, "seconds"),
    range("subscriptions.quota_per_user", 1.0, 25_000.0, "instruments"),
    range("indicators.ttl_s", 30.0, 86_400.0, "seconds"),
    range("indicators.sweep_s", 1.0, 3_600.0, "seconds"),
    range("indicators.max_per_user", 1.0, 1_000_000.0, "indicators"),
    range("indicators.max_keys", 1.0, 1_000_000.0, "indicators"),
    range("indicators.grace_ms", 0.0, 30_000.0, "milliseconds"),
    range("redis.timeout_ms", 10.0, 10_000.0, "milliseconds"),
    range("store.retention_days", 1.0, 36_500.0, "days"),
    range("store.audit_queue", 1.0, 10_000_000.0, "records"),
    range("http.request_timeout_s", 1.0, 600.0, "seconds"),
    range("http.header_timeout_s", 1.0, 120.0, "seconds"),
    range("http.max_connections", 1.0, 1_000_000.0, "connections"),
    range(
        "http.connections_per_address",
        1.0,
        1_000_000.0,
        "connections",
    ),
    range("http.session_idle_h", 1.0, 8_760.0, "hours"),
    range("auth.key_requests_per_s", 1.0, 1_000_000.0, "requests"),
    range("auth.key_burst", 1.0, 1_000_000.0, "requests"),
    range("auth.address_requests_per_s", 1.0, 1_000_000.0, "requests"),
    range("auth.address_burst", 1.0, 1_000_000.0, "requests"),
    range("stream.max_clients", 1.0, 1_000_000.0, "clients"),
    range("stream.clients_per_user", 1.0, 1_000_000.0, "clients"),
    range("stream.subscriptions", 1.0, 10_000.0, "subscriptions"),
    range("stream.instruments", 1.0, 25_000.0, "instruments"),
    range("stream.message_kib", 1.0, 16_384.0, "KiB"),
    range("stream.messages_per_s", 1.0, 10_000.0, "messages"),
    range("stream.message_burst", 1.0, 100_000.0, "messages"),
    range("stream.ping_s", 1.0, 3_600.0, "seconds"),
    range("stream.idle_s", 2.0, 7_200.0, "seconds"),
    range("stream.client_queue", 1.0, 65_536.0, "messages"),
    range("stream.client_queue_kib", 16.0, 1_048_576.0, "KiB"),
    range("stream.stall_s", 1.0, 3_600.0, "seconds"),
];

/// The range of what stands at `key`, such as `stream.ping_s`.
pub(super) fn of(key: &str) -> Option<&'static Range> {
    RANGES.iter().find(|range| range.key == key)
}

/// Refuses a number that is out of its range. `settings` are all of the file.
pub(super) fn check(settings: &toml::Table) -> anyhow::Result<()> {
    for range in RANGES {
        let value = match range.key.split_once('.') {
            Some((section, key)) => settings
                .get(section)
                .and_then(toml::Value::as_table)
                .and_then(|section| section.get(key)),
            None => settings.get(range.key),
        };
        let number = match value {
            Some(toml::Value::Integer(number)) => *number as f64,
            Some(toml::Value::Float(number)) => *number,
            // Absent: an optional one that is not set.
            _ => continue,
        };
        ensure!(
            (range.min..=range.max).contains(&number),
            "{} = {number}: expected {range}",
            range.key
        );
    }
    Ok(())
}
