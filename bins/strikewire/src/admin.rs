//! `strikewire admin`.

use std::collections::BTreeMap;

use clap::Subcommand;
use comfy_table::Cell;
use serde::Deserialize;
use serde_json::json;
use strikewire_types::Expiry;

use crate::client::{Client, Server, short};
use crate::help;
use crate::output::{Column, Tone, grouped, or_empty, table, tinted};

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Lets go of every watchlist item and explicit subscription of tier A; the items stay
    /// listed as evicted
    #[command(after_help = help::ADMIN_UNSUBSCRIBE)]
    UnsubscribeAllTierA {
        #[command(flatten)]
        server: Server,
    },
    /// Evens the connections out
    #[command(after_help = help::ADMIN_REBALANCE)]
    Rebalance {
        #[command(flatten)]
        server: Server,
    },
    /// Calculates the chains of an expiry anew
    #[command(after_help = help::ADMIN_INVALIDATE)]
    InvalidateExpiry {
        /// The underlying, such as NIFTY
        symbol: String,
        /// Such as 24FEB2026, 24-Feb-2026 or 2026-02-24
        expiry: Expiry,
        #[command(flatten)]
        server: Server,
    },
    /// Takes what changed in the server's configuration, as far as that goes without a restart
    #[command(after_help = help::ADMIN_RELOAD)]
    ReloadConfig {
        #[command(flatten)]
        server: Server,
    },
    /// How the connections to the broker stand
    #[command(after_help = help::ADMIN_WS_STATUS)]
    WsStatus {
        #[command(flatten)]
        server: Server,
    },
}

pub(crate) fn run(command: AdminCommand) -> anyhow::Result<()> {
    let path = |last| ["api", "v2", "admin", last];
    match command {
        AdminCommand::UnsubscribeAllTierA { server } => Client::new(&server)?
            .post(&path("unsubscribe-all-tier-a"), &json!({}))?
            .show(server.format, unsubscribed),
        AdminCommand::Rebalance { server } => Client::new(&server)?
            .post(&path("rebalance-ws"), &json!({}))?
            .show(server.format, rebalanced),
        AdminCommand::InvalidateExpiry {
            symbol,
            expiry,
            server,
        } => Client::new(&server)?
            .post(
                &path("invalidate-expiry"),
                &json!({"symbol": symbol, "expiry": expiry}),
            )?
            .show(server.format, invalidated),
        AdminCommand::ReloadConfig { server } => Client::new(&server)?
            .post(&path("reload-config"), &json!({}))?
            .show(server.format, reloaded),
        AdminCommand::WsStatus { server } => Client::new(&server)?
            .get(&path("ws-status"), &[])?
            .show(server.format, connections),
    }
}

#[derive(Deserialize)]
struct Unsubscribed {
    unsubscribed: u64,
}

fn unsubscribed(answer: &Unsubscribed) -> String {
    format!("instruments unsubscribed: {}", grouped(answer.unsubscribed))
}

#[derive(Deserialize)]
struct Rebalanced {
    moved: u64,
    ws_usage: BTreeMap<u8, u64>,
}

fn rebalanced(answer: &Rebalanced) -> String {
    format!(
        "instruments that move: {}\nslots in use: {}",
        grouped(answer.moved),
        by_connection(&answer.ws_usage)
    )
}

/// `5,000 on 1, 300 on 2`.
pub(crate) fn by_connection(usage: &BTreeMap<u8, u64>) -> String {
    let each = usage
        .iter()
        .map(|(connection, slots)| format!("{} on {connection}", grouped(*slots)));
    each.collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
struct Invalidated {
    recalculated: u64,
}

fn invalidated(answer: &Invalidated) -> String {
    format!("chains calculated anew: {}", grouped(answer.recalculated))
}

#[derive(Deserialize)]
struct Reloaded {
    changed: Vec<String>,
    needs_restart: Vec<String>,
}

fn reloaded(answer: &Reloaded) -> String {
    let Reloaded {
        changed,
        needs_restart,
    } = answer;
    let mut text = match changed.as_slice() {
        [] if needs_restart.is_empty() => "nothing has changed".to_owned(),
        [] => "nothing has changed that could be taken now".to_owned(),
        changed => format!("in force now: {}", changed.join(", ")),
    };
    if !needs_restart.is_empty() {
        text += &format!("\nafter a restart: {}", needs_restart.join(", "));
    }
    text
}

/// How the connections stand.
#[derive(Deserialize)]
pub(crate) struct Connections {
    per_connection: BTreeMap<u8, Connection>,
    #[serde(default)]
    account_contended: bool,
    held: Option<Held>,
}

#[derive(Deserialize)]
struct Held {
    until: String,
    reason: String,
}

#[derive(Deserialize)]
struct Connection {
    state: String,
    since: String,
    subscriptions: u64,
    attempts: u64,
    last_error: Option<String>,
    last_packet_age_ms: Option<u64>,
    packets_per_s: u64,
    next_retry: Option<String>,
}

impl Connections {
    /// Of all connections together.
    pub(crate) fn packets_per_s(&self) -> u64 {
        let each = self.per_connection.values();
        each.map(|connection| connection.packets_per_s).sum()
    }
}

pub(crate) fn connections(answer: &Connections) -> String {
    let mut rows = table(&[
        Column::Number("connection"),
        Column::Text("state"),
        Column::Text("since"),
        Column::Number("slots"),
        Column::Number("packets/s"),
        Column::Number("last packet, ms"),
        Column::Number("attempts"),
        Column::Text("next attempt"),
        Column::Text("last error"),
    ]);
    for (id, connection) in &answer.per_connection {
        let next = connection.next_retry.as_deref().map(short);
        let tone = match connection.state.as_str() {
            "live" => Tone::Good,
            "backoff" | "stopped" => Tone::Bad,
            _ => Tone::Worrying,
        };
        rows.add_row([
            Cell::new(id),
            tinted(&connection.state, tone),
            Cell::new(short(&connection.since)),
            Cell::new(grouped(connection.subscriptions)),
            Cell::new(grouped(connection.packets_per_s)),
            Cell::new(or_empty(connection.last_packet_age_ms.map(grouped))),
            Cell::new(connection.attempts),
            Cell::new(or_empty(next)),
            Cell::new(or_empty(connection.last_error.as_ref())),
        ]);
    }
    let mut text = rows.trim_fmt();
    if answer.account_contended {
        text += "\n\nothers use up the account's connections: one at a time is tried";
    }
    if let Some(held) = &answer.held {
        text += &format!(
            "\n\nnothing is tried before {}: {}",
            short(&held.until),
            held.reason
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, from_value};

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn commands_are_as_documented() {
        let parsed = |more: &[&str]| {
            let line = [&["strikewire", "admin"], more].concat();
            Arguments::try_parse_from(line).map(|arguments| arguments.command)
        };
        for line in [
            &["unsubscribe-all-tier-a"][..],
            &["rebalance", "--json"],
            &["reload-config"],
            &["ws-status", "--server", "http://127.0.0.1:9999"],
        ] {
            assert!(matches!(parsed(line), Ok(Command::Admin(_))), "{line:?}");
        }
        match parsed(&["invalidate-expiry", "NIFTY", "2026-02-10"]).unwrap() {
            Command::Admin(AdminCommand::InvalidateExpiry { symbol, expiry, .. }) => {
                assert_eq!(
                    (symbol.as_str(), expiry.to_string().as_str()),
                    ("NIFTY", "10FEB2026")
                );
            }
            other => panic!("{other:?}"),
        }
        assert!(parsed(&["invalidate-expiry", "NIFTY"]).is_err());
        assert!(parsed(&["invalidate-expiry", "NIFTY", "10FEB"]).is_err());
    }

    #[test]
    fn answers_are_sentences() {
        fn said<T: serde::de::DeserializeOwned>(text: fn(&T) -> String, answer: Value) -> String {
            text(&from_value(answer).unwrap())
        }
        assert_eq!(
            said(
                unsubscribed,
                json!({"success": true, "unsubscribed": 12_345})
            ),
            "instruments unsubscribed: 12,345"
        );
        assert_eq!(
            said(
                rebalanced,
                json!({"success": true, "moved": 40,
                                    "ws_usage": {"1": 5_000, "2": 300}})
            ),
            "instruments that move: 40\nslots in use: 5,000 on 1, 300 on 2"
        );
        assert_eq!(
            said(invalidated, json!({"success": true, "recalculated": 2})),
            "chains calculated anew: 2"
        );
        for (answer, text) in [
            (
                json!({"changed": [], "needs_restart": []}),
                "nothing has changed",
            ),
            (
                json!({"changed": ["stream.max_clients", "log.level"], "needs_restart": []}),
                "in force now: stream.max_clients, log.level",
            ),
            (
                json!({"changed": [], "needs_restart": ["listen"]}),
                "nothing has changed that could be taken now\nafter a restart: listen",
            ),
        ] {
            assert_eq!(said(reloaded, answer), text);
        }
    }

    #[test]
    fn connections_are_a_table() {
        let answer = json!({"total_connections": 2, "connected_connections": 1, "per_connection": {
            "1": {"state": "live", "since": "2026-02-09T09:00:00.000+05:30", "subscriptions": 4_321,
                  "attempts": 0, "last_error": null, "last_packet_age_ms": 3,
                  "packets_per_s": 15_000, "next_retry": null},
            "2": {"state": "backoff", "since": "2026-02-09T10:00:00.000+05:30", "subscriptions": 0,
                  "attempts": 3, "last_error": "refused", "last_packet_age_ms": null,
                  "packets_per_s": 0, "next_retry": "2026-02-09T10:00:08.000+05:30"},
        }, "account_contended": true,
           "held": {"until": "2026-02-09T10:00:30.000+05:30", "reason": "the broker answered 429"}});
        let expected = "\
connection  state    since                slots  packets/s  last packet, ms  attempts  next attempt         last error
         1  live     2026-02-09 09:00:00  4,321     15,000                3         0
         2  backoff  2026-02-09 10:00:00      0          0                          3  2026-02-09 10:00:08  refused

others use up the account's connections: one at a time is tried

nothing is tried before 2026-02-09 10:00:30: the broker answered 429";
        assert_eq!(connections(&from_value(answer).unwrap()), expected);
    }
}
