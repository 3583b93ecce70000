//! `strikewire status`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strikewire_types::Clock;

use crate::admin::{Connections, by_connection, connections};
use crate::client::{Answer, Client, Server, short};
use crate::output::{Column, Output, Tone, grouped, table, tinted};
use crate::signals::stopped;
use crate::terminal::Page;

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Again and again, in place on a terminal, until interrupted
    #[arg(long, conflicts_with = "json")]
    follow: bool,
    /// How many seconds until it is asked for again
    #[arg(long, value_name = "SECONDS", default_value_t = 2, requires = "follow",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    #[command(flatten)]
    server: Server,
}

/// All that is asked for, as it came. What the server would not say is null.
#[derive(Serialize)]
struct Document {
    readiness: Value,
    /// Absent while the server is starting.
    subscriptions: Option<Value>,
    /// How many indicators are held; absent where the server has none.
    indicators: Option<Value>,
    /// Absent for those who are no admins.
    connections: Option<Value>,
}

/// The answers behind a [`Document`].
struct Answers {
    readiness: Answer,
    subscriptions: Option<Answer>,
    indicators: Option<Answer>,
    connections: Option<Answer>,
}

impl Answers {
    async fn ask(client: &Client) -> anyhow::Result<Self> {
        let get = |path: &'static [&'static str]| client.ask(Method::GET, path, &[], None::<&()>);
        // One that is starting says so with another status code.
        let readiness = get(&["readyz"]).await?.anyway();
        let subscriptions = get(&["api", "v2", "subscriptions", "status"]).await?;
        let subscriptions = match subscriptions.status {
            StatusCode::SERVICE_UNAVAILABLE => None,
            _ => Some(subscriptions.checked(client)?),
        };
        let indicators = get(&["api", "v2", "indicators", "metrics"]).await?;
        let indicators = match indicators.status {
            // An older server.
            StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE => None,
            _ => Some(indicators.checked(client)?),
        };
        let connections = get(&["api", "v2", "admin", "ws-status"]).await?;
        let connections = match connections.status {
            StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE => None,
            _ => Some(connections.checked(client)?),
        };
        Ok(Self {
            readiness,
            subscriptions,
            indicators,
            connections,
        })
    }

    fn document(&self) -> anyhow::Result<Document> {
        Ok(Document {
            readiness: self.readiness.read()?,
            subscriptions: self.subscriptions.as_ref().map(Answer::read).transpose()?,
            indicators: self.indicators.as_ref().map(Answer::read).transpose()?,
            connections: self.connections.as_ref().map(Answer::read).transpose()?,
        })
    }

    fn text(&self) -> anyhow::Result<String> {
        let subscriptions = self.subscriptions.as_ref().map(Answer::read).transpose()?;
        let indicators = self.indicators.as_ref().map(Answer::read).transpose()?;
        let connections = self.connections.as_ref().map(Answer::read).transpose()?;
        Ok(text(
            &self.readiness.read()?,
            subscriptions.as_ref(),
            indicators.as_ref(),
            connections.as_ref(),
        ))
    }
}

pub(crate) fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.server)?;
    if arguments.follow {
        let every = Duration::from_secs(arguments.every);
        return client.block_on(follow(&client, every));
    }
    let answers = client.block_on(Answers::ask(&client))?;
    let mut out = Output::new();
    if arguments.server.format.json {
        return out.json(&answers.document()?);
    }
    out.lines(&answers.text()?)
}

/// Until interrupted. A server that goes away may come back.
async fn follow(client: &Client, every: Duration) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stopped().context("cannot listen for signals")?);
    let mut out = Output::new();
    let mut page = Page::new();
    let mut last = None;
    loop {
        let asked = tokio::select! {
            () = &mut stop => return Ok(()),
            asked = Answers::ask(client) => asked,
        };
        let heading = format!(
            "{} at {}",
            client.server(),
            short(&Clock::system().now().utc.to_string())
        );
        let body = match (asked.and_then(|answers| answers.text()), &last) {
            (Ok(text), _) => last.insert(text).clone(),
            (Err(error), None) => return Err(error),
            (Err(error), Some(text)) => format!("{error:#}\n\nbefore that:\n{text}"),
        };
        match &mut page {
            Some(page) => page.draw(&mut out, &format!("{heading}\n\n{body}"))?,
            None => out.lines(&format!("{heading}\n{body}\n"))?,
        }
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
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
    #[serde(default)]
    lingering: u64,
    #[serde(default)]
    unplaced: u64,
    #[serde(default)]
    silent: u64,
    #[serde(default)]
    unconfirmed_modes: u64,
    #[serde(default)]
    refused: u64,
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

#[derive(Deserialize)]
struct Indicators {
    total_subscriptions: u64,
    total_subscribers: u64,
}

fn text(
    readiness: &Readiness,
    subscriptions: Option<&Subscriptions>,
    indicators: Option<&Indicators>,
    sockets: Option<&Connections>,
) -> String {
    let mut sheet = table(&[Column::Text("status"), Column::Text("")]);
    let tone = match readiness.status.as_str() {
        "ready" => Tone::Good,
        "degraded" => Tone::Worrying,
        _ => Tone::Bad,
    };
    sheet.set_header(vec![
        tinted("status", Tone::Strong),
        tinted(&readiness.status, tone),
    ]);
    if let Some(subscriptions) = subscriptions {
        for (name, value) in subscriptions.rows() {
            sheet.add_row([name, &value]);
        }
    }
    if let Some(indicators) = indicators.filter(|found| found.total_subscriptions > 0) {
        let (held, by) = (indicators.total_subscriptions, indicators.total_subscribers);
        let held = format!("{} held by {} sessions", grouped(held), grouped(by));
        sheet.add_row(["indicators", &held]);
    }
    if let Some(sockets) = sockets {
        sheet.add_row(["packets/s", &grouped(sockets.packets_per_s())]);
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
    if let Some(Subscriptions { tier_b, .. }) = subscriptions {
        for Waiting { window, reason } in &tier_b.waiting {
            text += &format!("\nwaiting: {window}: {reason}");
        }
        for symbol in &tier_b.not_listed {
            text += &format!("\nnot listed: {symbol}");
        }
    }
    match sockets {
        Some(sockets) => text += &format!("\n\n{}", connections(sockets)),
        None if subscriptions.is_some() => {
            text += "\n\nits connections are shown to a key with the role admin";
        }
        None => {}
    }
    text
}

impl Subscriptions {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let by_mode = self.by_mode.iter();
        let by_mode: Vec<String> = by_mode
            .map(|(mode, count)| format!("{} {mode}", grouped(*count)))
            .collect();
        let mut rows = vec![
            (
                "subscribed",
                format!(
                    "{} of {} ({} %)",
                    grouped(self.total_subscriptions),
                    grouped(self.max_capacity),
                    self.utilization_percent
                ),
            ),
            ("tier A", grouped(self.tier_a_count)),
            ("tier B", grouped(self.tier_b_count)),
            (
                "windows of tier B",
                format!("{} of {}", self.tier_b.held, self.tier_b.windows),
            ),
            ("modes", by_mode.join(", ")),
            (
                "connections",
                format!(
                    "{} of {}",
                    self.connected_connections, self.total_connections
                ),
            ),
            ("slots in use", by_connection(&self.ws_usage)),
        ];
        // What is usually 0 is not worth a line then.
        for (name, count) in [
            ("lingering", self.lingering),
            ("wait for room", self.unplaced),
            ("silent", self.silent),
            ("in their old mode", self.unconfirmed_modes),
            ("refused", self.refused),
        ] {
            if count > 0 {
                rows.push((name, grouped(count)));
            }
        }
        rows
    }
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
            "total_connections": 5, "lingering": 0, "unplaced": 0, "silent": 3,
            "tier_b": {"windows": 40, "held": 39, "waiting": [
                {"window": "MCX CRUDEOIL 19FEB2026 options, 101 strikes", "reason": "no price yet"}
            ], "not_listed": ["BANKEX"]}
        });
        let sockets = json!({"per_connection": {
            "1": {"state": "live", "since": "2026-02-09T09:00:00.000+05:30", "subscriptions": 3_804,
                  "attempts": 0, "last_error": null, "last_packet_age_ms": 3,
                  "packets_per_s": 15_000, "next_retry": null},
            "2": {"state": "live", "since": "2026-02-09T09:00:01.000+05:30", "subscriptions": 3_803,
                  "attempts": 0, "last_error": null, "last_packet_age_ms": 12,
                  "packets_per_s": 100, "next_retry": null},
        }, "account_contended": false, "held": null});
        let sheet = "\
status             degraded
subscribed         7,607 of 25,000 (30.43 %)
tier A             7
tier B             7,600
windows of tier B  39 of 40
modes              7,600 full, 0 quote, 7 ticker
connections        2 of 5
slots in use       3,804 on 1, 3,803 on 2
silent             3
";
        let said = "\
master_stale: the master is of yesterday (since 2026-02-09 08:45:00)
waiting: MCX CRUDEOIL 19FEB2026 options, 101 strikes: no price yet
not listed: BANKEX

";
        let readiness: Readiness = serde_json::from_value(readiness).unwrap();
        let subscriptions: Subscriptions = serde_json::from_value(subscriptions).unwrap();
        let sockets: Connections = serde_json::from_value(sockets).unwrap();
        // What is 0 is not worth a line.
        let none = Indicators {
            total_subscriptions: 0,
            total_subscribers: 0,
        };
        assert_eq!(
            text(&readiness, Some(&subscriptions), None, Some(&sockets)),
            format!(
                "{sheet}packets/s          15,100\n{said}\
connection  state  since                slots  packets/s  last packet, ms  attempts  next attempt  last error
         1  live   2026-02-09 09:00:00  3,804     15,000                3         0
         2  live   2026-02-09 09:00:01  3,803        100               12         0"
            )
        );
        assert_eq!(
            text(&readiness, Some(&subscriptions), Some(&none), None),
            format!("{sheet}{said}its connections are shown to a key with the role admin")
        );
        let some = Indicators {
            total_subscriptions: 1_204,
            total_subscribers: 35,
        };
        let held = "indicators         1,204 held by 35 sessions\n";
        assert_eq!(
            text(&readiness, Some(&subscriptions), Some(&some), None),
            format!("{sheet}{held}{said}its connections are shown to a key with the role admin")
        );
        let starting = Readiness {
            status: "starting".to_owned(),
            reasons: Vec::new(),
        };
        assert_eq!(text(&starting, None, None, None), "status  starting");
    }
}
