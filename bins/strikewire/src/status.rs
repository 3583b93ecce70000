//! `strikewire status`.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin::by_connection;
use crate::client::{Client, Server, short};
use crate::output::{Column, Output, grouped, table};

/// How often the status is asked for again.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Again every two seconds, until interrupted
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Serialize)]
struct Status {
    readiness: Value,
    subscriptions: Value,
}

pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.server)?;
    let mut out = Output::new();
    loop {
        // A server that is starting says so, with another status code.
        let readiness = client.get_anyway(&["readyz"])?;
        let subscriptions = client.get(&["api", "v2", "subscriptions", "status"], &[])?;
        if arguments.server.format.json {
            return out.json(&Status {
                readiness: readiness.read()?,
                subscriptions: subscriptions.read()?,
            });
        }
        out.lines(&text(&readiness.read()?, &subscriptions.read()?))?;
        if !arguments.follow {
            return Ok(());
        }
        out.lines("")?;
        thread::sleep(FOLLOW_EVERY);
    }
}

#[derive(Deserialize)]
struct Readiness {
    status: String,
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    detail: String,
    since: String,
}

#[derive(Deserialize)]
struct Subscriptions {
    total_subscriptions: u64,
    max_capacity: u64,
    utilization_percent: f64,
    ws_usage: BTreeMap<u8, u64>,
    tier_a_count: u64,
    tier_b_count: u64,
    by_mode: BTreeMap<String, u64>,
    connected_connections: u64,
    total_connections: u64,
    tier_b: TierB,
}

#[derive(Deserialize)]
struct TierB {
    windows: u64,
    held: u64,
    waiting: Vec<Waiting>,
    not_listed: Vec<String>,
}

#[derive(Deserialize)]
struct Waiting {
    window: String,
    reason: String,
}

fn text(readiness: &Readiness, subscriptions: &Subscriptions) -> String {
    let Subscriptions {
        total_subscriptions,
        max_capacity,
        utilization_percent,
        connected_connections,
        total_connections,
        tier_b,
        ..
    } = subscriptions;
    let mut sheet = table(&[Column::Text("status"), Column::Text(&readiness.status)]);
    let by_mode = subscriptions.by_mode.iter();
    let by_mode: Vec<String> = by_mode
        .map(|(mode, count)| format!("{} {mode}", grouped(*count)))
        .collect();
    for (name, value) in [
        (
            "subscribed",
            format!(
                "{} of {} ({utilization_percent} %)",
                grouped(*total_subscriptions),
                grouped(*max_capacity)
            ),
        ),
        ("tier A", grouped(subscriptions.tier_a_count)),
        ("tier B", grouped(subscriptions.tier_b_count)),
        (
            "windows of tier B",
            format!("{} of {}", tier_b.held, tier_b.windows),
        ),
        ("modes", by_mode.join(", ")),
        (
            "connections",
            format!("{connected_connections} of {total_connections}"),
        ),
        ("slots in use", by_connection(&subscriptions.ws_usage)),
    ] {
        sheet.add_row([name, &value]);
    }
    let mut text = sheet.trim_fmt();
    for Reason {
        code,
        detail,
        since,
    } in &readiness.reasons
    {
        text += &format!("\n{code}: {detail} (since {})", short(since));
    }
    for Waiting { window, reason } in &tier_b.waiting {
        text += &format!("\nwaiting: {window}: {reason}");
    }
    for symbol in &tier_b.not_listed {
        text += &format!("\nnot listed: {symbol}");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn one_document_is_not_followed() {
        let parsed =
            |more: &[&str]| Arguments::try_parse_from([&["strikewire", "status"], more].concat());
        assert!(parsed(&["--follow"]).is_ok());
        assert!(parsed(&["--json"]).is_ok());
        assert!(parsed(&["--follow", "--json"]).is_err());
    }

    #[test]
    fn everything_is_on_one_sheet() {
        let readiness = json!({"status": "degraded", "reasons": [
            {"code": "master_stale", "detail": "the master is of yesterday",
             "since": "2026-02-09T08:45:00.000+05:30"}
        ]});
        let subscriptions = json!({
            "total_subscriptions": 7_607, "max_capacity": 25_000, "utilization_percent": 30.43,
            "ws_usage": {"1": 3_804, "2": 3_803}, "tier_a_count": 7, "tier_b_count": 7_600,
            "by_mode": {"ticker": 7, "quote": 0, "full": 7_600}, "connected_connections": 2,
            "total_connections": 5, "lingering": 0, "unplaced": 0,
            "tier_b": {"windows": 40, "held": 39, "waiting": [
                {"window": "MCX CRUDEOIL 19FEB2026 options, 101 strikes", "reason": "no price yet"}
            ], "not_listed": ["BANKEX"]}
        });
        let expected = "\
status             degraded
subscribed         7,607 of 25,000 (30.43 %)
tier A             7
tier B             7,600
windows of tier B  39 of 40
modes              7,600 full, 0 quote, 7 ticker
connections        2 of 5
slots in use       3,804 on 1, 3,803 on 2
master_stale: the master is of yesterday (since 2026-02-09 08:45:00)
waiting: MCX CRUDEOIL 19FEB2026 options, 101 strikes: no price yet
not listed: BANKEX";
        let text = text(
            &serde_json::from_value(readiness).unwrap(),
            &serde_json::from_value(subscriptions).unwrap(),
        );
        assert_eq!(text, expected);
    }
}
