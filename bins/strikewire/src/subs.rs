//! `strikewire subs`.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strikewire_types::{Exchange, Tier};

use crate::arguments::limit;
use crate::client::{Client, Server, short};
use crate::help;
use crate::output::{Column, Output, or_empty, table};

/// The most instruments that the server gives at once.
const LONGEST_PAGE: usize = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum SubsCommand {
    /// What is subscribed, by token
    #[command(after_help = help::SUBS_LIST)]
    List(ListArguments),
    /// Who holds an instrument, since when and why, and how it stands on the wire
    #[command(after_help = help::SUBS_EXPLAIN)]
    Explain {
        /// SEGMENT:ID or a token: NSE_FNO:35060, RELIANCE, RELIANCE_24FEB2026_1440CE
        token: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only of this tier, TIER_A or TIER_B
    #[arg(long)]
    tier: Option<Tier>,
    /// Only of this symbol, such as NIFTY
    #[arg(long)]
    symbol: Option<String>,
    /// Only of this exchange: NSE, BSE or MCX
    #[arg(long)]
    exchange: Option<Exchange>,
    /// Only on this connection, counted from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    ws: Option<u8>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    limit: usize,
    /// Where to go on, as the page before said
    #[arg(long)]
    cursor: Option<String>,
    /// All of them, however many
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
    #[command(flatten)]
    server: Server,
}

pub(crate) fn run(command: SubsCommand) -> anyhow::Result<()> {
    match command {
        SubsCommand::List(arguments) => {
            let client = Client::new(&arguments.server)?;
            if arguments.all {
                return all(&client, arguments);
            }
            let query = query(&arguments);
            client
                .get(&PATH, &query)?
                .show(arguments.server.format, list)
        }
        SubsCommand::Explain { token, server } => Client::new(&server)?
            .get(&["api", "v2", "subscriptions", &token], &[])?
            .show(server.format, explanation),
    }
}

const PATH: [&str; 4] = ["api", "v2", "subscriptions", "active"];

/// Page after page, shown as one.
fn all(client: &Client, mut arguments: ListArguments) -> anyhow::Result<()> {
    arguments.limit = LONGEST_PAGE;
    let mut items = Vec::new();
    loop {
        let page: Page = client.get(&PATH, &query(&arguments))?.read()?;
        items.extend(page.items);
        match page.next_cursor {
            // A cursor that leads nowhere would be followed for ever.
            Some(next) if arguments.cursor.as_ref() != Some(&next) => {
                arguments.cursor = Some(next);
            }
            _ => break,
        }
    }
    let whole = Page {
        items,
        next_cursor: None,
    };
    let mut out = Output::new();
    if arguments.server.format.json {
        return out.json(&whole);
    }
    let whole = serde_json::to_value(whole).and_then(serde_json::from_value);
    out.lines(&list(
        &whole.context("the server's answer is not as expected")?,
    ))
}

/// A page as it came.
#[derive(Deserialize, Serialize)]
struct Page {
    items: Vec<Value>,
    next_cursor: Option<String>,
}

fn query(arguments: &ListArguments) -> Vec<(&'static str, String)> {
    let given = [
        ("tier", arguments.tier.map(|tier| tier.to_string())),
        ("symbol", arguments.symbol.clone()),
        (
            "exchange",
            arguments.exchange.map(|exchange| exchange.to_string()),
        ),
        ("ws", arguments.ws.map(|ws| ws.to_string())),
        ("limit", Some(arguments.limit.to_string())),
        ("cursor", arguments.cursor.clone()),
    ];
    given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    token: String,
    tier: String,
    mode: String,
    state: String,
    ws_connection_id: Option<u8>,
    subscribed_at: String,
    holders: u64,
}

fn list(list: &List) -> String {
    if list.items.is_empty() {
        return "nothing is subscribed".to_owned();
    }
    let mut rows = table(&[
        Column::Text("token"),
        Column::Text("tier"),
        Column::Text("mode"),
        Column::Text("state"),
        Column::Number("connection"),
        Column::Number("holders"),
        Column::Text("since"),
    ]);
    for item in &list.items {
        rows.add_row([
            item.token.as_str(),
            &item.tier,
            &item.mode,
            &item.state,
            &or_empty(item.ws_connection_id),
            &item.holders.to_string(),
            &short(&item.subscribed_at),
        ]);
    }
    let mut text = rows.trim_fmt();
    if let Some(cursor) = &list.next_cursor {
        text += &format!("\nmore with --cursor {cursor}");
    }
    text
}

#[derive(Deserialize)]
struct Explanation {
    token: String,
    instrument: String,
    tier: String,
    mode: String,
    state: String,
    ws_connection_id: Option<u8>,
    subscribed_at: String,
    last_tick_age_ms: Option<u64>,
    missing: Option<Missing>,
    last_gap: Option<Gap>,
    holders: Vec<Holder>,
}

#[derive(Deserialize)]
struct Missing {
    what: String,
    since: String,
    resent: bool,
}

#[derive(Deserialize)]
struct Gap {
    from: String,
    to: Option<String>,
    cause: String,
}

#[derive(Deserialize)]
struct Holder {
    kind: String,
    user_id: Option<u64>,
    why: String,
    tier: String,
    mode: String,
    since: String,
    #[serde(default)]
    displaced: Vec<String>,
}

fn explanation(about: &Explanation) -> String {
    let mut sheet = table(&[Column::Text("token"), Column::Text(&about.token)]);
    let connection = match about.ws_connection_id {
        Some(id) => id.to_string(),
        None => "waits for one".to_owned(),
    };
    let last_tick = match about.last_tick_age_ms {
        Some(age) => format!("{age} ms ago"),
        None => "none yet".to_owned(),
    };
    let missing = about.missing.as_ref().map(|missing| {
        let what = match missing.what.as_str() {
            "mode" => "data in its mode",
            _ => "data",
        };
        let resent = if missing.resent {
            ", asked for again"
        } else {
            ""
        };
        format!("{what}, since {}{resent}", short(&missing.since))
    });
    let gap = about.last_gap.as_ref().map(|gap| {
        let to = gap.to.as_deref().map_or("now".into(), short);
        format!("{} to {to}: {}", short(&gap.from), gap.cause)
    });
    for (name, value) in [
        ("instrument", about.instrument.as_str()),
        ("state", &about.state),
        ("connection", &connection),
        ("since", &short(&about.subscribed_at)),
        ("tier", &about.tier),
        ("mode", &about.mode),
        ("last tick", &last_tick),
        ("holders", &about.holders.len().to_string()),
    ] {
        sheet.add_row([name, value]);
    }
    for (name, value) in [("lacks", missing), ("last gap", gap)] {
        if let Some(value) = value {
            sheet.add_row([name, &value]);
        }
    }
    let mut text = sheet.trim_fmt();
    for holder in &about.holders {
        let user = holder.user_id.map(|user| format!(" of user {user}"));
        text += &format!(
            "\n\n{}{}: {}\n  since {}, {}, {}",
            holder.kind,
            or_empty(user),
            holder.why,
            short(&holder.since),
            holder.tier,
            holder.mode
        );
        for displaced in &holder.displaced {
            text += &format!("\n  displaced {displaced}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parsed(more: &[&str]) -> ListArguments {
        let line = [&["strikewire", "subs", "list"], more].concat();
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Subs(SubsCommand::List(arguments)) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_asked_becomes_a_query() {
        let query = |more: &[&str]| query(&parsed(more));
        assert_eq!(query(&[]), [("limit", "100".to_owned())]);
        let all = [
            "--tier",
            "tier_b",
            "--symbol",
            "M&M",
            "--exchange",
            "nse",
            "--ws",
            "2",
            "--limit",
            "7",
            "--cursor",
            "4d",
        ];
        let expected = [
            ("tier", "TIER_B"),
            ("symbol", "M&M"),
            ("exchange", "NSE"),
            ("ws", "2"),
            ("limit", "7"),
            ("cursor", "4d"),
        ];
        assert_eq!(
            query(&all),
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        for bad in [
            ["--ws", "0"],
            ["--ws", "x"],
            ["--tier", "C"],
            ["--limit", "1001"],
        ] {
            let line = [&["strikewire", "subs", "list"], &bad[..]].concat();
            assert!(Arguments::try_parse_from(line).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_page_is_a_table() {
        let page = |next: Option<&str>| {
            let page = json!({"items": [
                {"token": "NIFTY", "instrument": "IDX_I:13", "symbol": "NIFTY", "exchange": "NSE",
                 "tier": "TIER_B", "mode": "ticker", "state": "subscribed", "ws_connection_id": 1,
                 "subscribed_at": "2026-02-09T10:00:00.623+05:30", "holders": 12},
                {"token": "NIFTY_10FEB2026_25500CE", "instrument": "NSE_FNO:35137",
                 "symbol": "NIFTY", "exchange": "NSE", "expiry": "10FEB2026", "strike": 25500.0,
                 "option_type": "CE", "tier": "TIER_A", "mode": "full", "state": "pending",
                 "ws_connection_id": null, "subscribed_at": "2026-02-09T10:00:01.000+05:30",
                 "holders": 1}
            ], "next_cursor": next});
            list(&serde_json::from_value(page).unwrap())
        };
        let expected = "\
token                    tier    mode    state       connection  holders  since
NIFTY                    TIER_B  ticker  subscribed           1       12  2026-02-09 10:00:00
NIFTY_10FEB2026_25500CE  TIER_A  full    pending                       1  2026-02-09 10:00:01";
        assert_eq!(page(None), expected);
        assert_eq!(
            page(Some("4e")),
            format!("{expected}\nmore with --cursor 4e")
        );
        let empty = json!({"items": [], "next_cursor": null});
        assert_eq!(
            list(&serde_json::from_value(empty).unwrap()),
            "nothing is subscribed"
        );
    }

    #[test]
    fn an_explanation_names_everybody() {
        let about = json!({
            "token": "RELIANCE", "instrument": "NSE_EQ:2885", "symbol": "RELIANCE",
            "exchange": "NSE", "tier": "TIER_A", "mode": "ticker", "state": "subscribed",
            "ws_connection_id": 1, "subscribed_at": "2026-02-09T10:00:00.623+05:30",
            "last_tick_age_ms": 31,
            "missing": {"what": "mode", "since": "2026-02-09T10:00:07.000+05:30", "resent": true},
            "last_gap": {"from": "2026-02-09T09:59:58.000+05:30", "to": null,
                         "cause": "disconnected with code 807"},
            "holders": [
                {"kind": "watchlist", "user_id": 1, "tier": "TIER_A", "mode": "ticker",
                 "why": "underlying of NSE STOCK_OPTION RELIANCE 24FEB2026",
                 "since": "2026-02-09T10:00:00.624+05:30",
                 "displaced": ["watchlist of user 7: NSE STOCK_OPTION TCS 24FEB2026 (50 slots)"]},
                {"kind": "stream", "why": "ticks", "tier": "TIER_A", "mode": "ticker",
                 "since": "2026-02-09T10:00:05.000+05:30"},
            ]
        });
        let expected = "\
token       RELIANCE
instrument  NSE_EQ:2885
state       subscribed
connection  1
since       2026-02-09 10:00:00
tier        TIER_A
mode        ticker
last tick   31 ms ago
holders     2
lacks       data in its mode, since 2026-02-09 10:00:07, asked for again
last gap    2026-02-09 09:59:58 to now: disconnected with code 807

watchlist of user 1: underlying of NSE STOCK_OPTION RELIANCE 24FEB2026
  since 2026-02-09 10:00:00, TIER_A, ticker
  displaced watchlist of user 7: NSE STOCK_OPTION TCS 24FEB2026 (50 slots)

stream: ticks
  since 2026-02-09 10:00:05, TIER_A, ticker";
        assert_eq!(
            explanation(&serde_json::from_value(about).unwrap()),
            expected
        );
    }
}
