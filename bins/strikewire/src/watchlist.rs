//! `strikewire watchlist`.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strikewire_chain::Width;
use strikewire_gateway::InstrumentType;
use strikewire_types::{Exchange, Expiry, Mode, Price};

use crate::arguments::{price, width};
use crate::client::{Client, Server, short};
use crate::help;
use crate::output::{Column, or_empty, table};

#[derive(Debug, Subcommand)]
pub(crate) enum WatchlistCommand {
    /// Adds a chain, an equity or a future
    #[command(after_help = help::WATCHLIST_ADD)]
    Add(AddArguments),
    /// Removes an item
    #[command(after_help = help::WATCHLIST_REMOVE)]
    Remove {
        #[command(flatten)]
        item: Item,
        #[command(flatten)]
        server: Server,
    },
    /// The items, in the order of addition
    #[command(after_help = help::WATCHLIST_LIST)]
    List {
        /// The number of the user
        #[arg(long, value_name = "N", env = "STRIKEWIRE_USER")]
        user: u64,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    #[command(flatten)]
    item: Item,
    /// How many strikes: odd, 1 to 1001
    #[arg(long, value_name = "N", value_parser = width)]
    width: Option<Width>,
    /// ticker, quote or full
    #[arg(long)]
    mode: Option<Mode>,
    /// The underlying's price in rupees, until a live one is known
    #[arg(long, value_name = "P", value_parser = price)]
    ltp: Option<Price>,
    /// Stay where the price is now
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    server: Server,
}

/// Which item.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Item {
    /// The number of the user [default: the one whose key it is]
    #[arg(long = "user", value_name = "N", env = "STRIKEWIRE_USER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<u64>,
    /// The underlying, such as RELIANCE, or the equity itself
    symbol: String,
    /// EQUITY, STOCK_OPTION, INDEX_OPTION, COMMODITY_OPTION, CURRENCY_OPTION or FUTURE
    #[arg(long = "type", value_name = "TYPE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    instrument_type: Option<InstrumentType>,
    /// Such as 24FEB2026, 24-Feb-2026 or 2026-02-24
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<Expiry>,
    /// NSE, BSE or MCX
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<Exchange>,
}

#[derive(Serialize)]
struct AddBody<'a> {
    #[serde(flatten)]
    item: &'a Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    underlying_ltp: Option<Price>,
    follow: bool,
}

impl AddArguments {
    fn body(&self) -> AddBody<'_> {
        AddBody {
            item: &self.item,
            width: self.width.map(Width::get),
            mode: self.mode,
            underlying_ltp: self.ltp,
            follow: !self.no_follow,
        }
    }
}

pub(crate) fn run(command: WatchlistCommand) -> anyhow::Result<()> {
    match command {
        WatchlistCommand::Add(arguments) => Client::new(&arguments.server)?
            .post(&["api", "v2", "watchlist", "add"], &arguments.body())?
            .show(arguments.server.format, done),
        WatchlistCommand::Remove { item, server } => Client::new(&server)?
            .post(&["api", "v2", "watchlist", "remove"], &item)?
            .show(server.format, done),
        WatchlistCommand::List { user, server } => Client::new(&server)?
            .get(&["api", "v2", "watchlist", &user.to_string()], &[])?
            .show(server.format, list),
    }
}

#[derive(Deserialize)]
struct Done {
    message: String,
    #[serde(default)]
    warnings: Vec<Map<String, Value>>,
}

fn done(done: &Done) -> String {
    let mut text = done.message.clone();
    for warning in &done.warnings {
        let details: Vec<String> = warning
            .iter()
            .filter(|(name, _)| *name != "code")
            .map(|(name, value)| match value.as_str() {
                Some(value) => format!("{} {value}", name.replace('_', " ")),
                None => format!("{} {value}", name.replace('_', " ")),
            })
            .collect();
        let code = warning.get("code").and_then(Value::as_str);
        let code = code.unwrap_or("warning").replace('_', " ");
        text += &format!("\nnote: {code}: {}", details.join(", "));
    }
    text
}

#[derive(Deserialize)]
struct List {
    user_id: u64,
    items: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    symbol: String,
    exchange: String,
    expiry: Option<String>,
    instrument_type: String,
    width: Option<u16>,
    mode: String,
    follow: bool,
    added_at: String,
    strikes_subscribed: u64,
    state: String,
}

fn list(list: &List) -> String {
    if list.items.is_empty() {
        return format!("user {} watches nothing", list.user_id);
    }
    let mut rows = table(&[
        Column::Text("symbol"),
        Column::Text("type"),
        Column::Text("exchange"),
        Column::Text("expiry"),
        Column::Number("width"),
        Column::Text("mode"),
        Column::Text("follows"),
        Column::Number("contracts"),
        Column::Text("state"),
        Column::Text("added"),
    ]);
    for item in &list.items {
        rows.add_row([
            item.symbol.as_str(),
            &item.instrument_type,
            &item.exchange,
            &or_empty(item.expiry.as_ref()),
            &or_empty(item.width),
            &item.mode,
            if item.follow { "yes" } else { "no" },
            &item.strikes_subscribed.to_string(),
            &item.state,
            &short(&item.added_at),
        ]);
    }
    rows.trim_fmt()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parsed(more: &[&str]) -> WatchlistCommand {
        let line = [&["strikewire", "watchlist"], more].concat();
        match Arguments::try_parse_from(line).unwrap().command {
            Command::Watchlist(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_added_becomes_a_body() {
        let body = |more: &[&str]| {
            let line = [&["add", "--user", "7", "RELIANCE"], more].concat();
            match parsed(&line) {
                WatchlistCommand::Add(arguments) => serde_json::to_value(arguments.body()).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            body(&[]),
            json!({"user_id": 7, "symbol": "RELIANCE", "follow": true})
        );
        match parsed(&["add", "RELIANCE"]) {
            WatchlistCommand::Add(arguments) => assert_eq!(
                serde_json::to_value(arguments.body()).unwrap(),
                json!({"symbol": "RELIANCE", "follow": true}),
                "with a key the user is known"
            ),
            other => panic!("{other:?}"),
        }
        let all = [
            "--type",
            "stock_option",
            "--expiry",
            "2026-02-24",
            "--exchange",
            "nse",
            "--width",
            "25",
            "--mode",
            "quote",
            "--ltp",
            "1440.05",
            "--no-follow",
        ];
        assert_eq!(
            body(&all),
            json!({"user_id": 7, "symbol": "RELIANCE", "instrument_type": "STOCK_OPTION",
                   "expiry": "24FEB2026", "exchange": "NSE", "width": 25, "mode": "quote",
                   "underlying_ltp": 1440.05, "follow": false})
        );
        match parsed(&["remove", "--user", "7", "M&M", "--expiry", "24FEB2026"]) {
            WatchlistCommand::Remove { item, .. } => assert_eq!(
                serde_json::to_value(item).unwrap(),
                json!({"user_id": 7, "symbol": "M&M", "expiry": "24FEB2026"})
            ),
            other => panic!("{other:?}"),
        }
        for bad in [
            &["add", "--user", "7"][..],
            &["add", "--user", "-1", "RELIANCE"],
            &["add", "--user", "7", "RELIANCE", "--width", "24"],
            &["add", "--user", "7", "RELIANCE", "--type", "SWAP"],
            &["list"],
        ] {
            let line = [&["strikewire", "watchlist"], bad].concat();
            assert!(Arguments::try_parse_from(line).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_was_done_is_said_with_the_warnings() {
        let answer = json!({"success": true, "message": "RELIANCE added", "strikes_subscribed": 6,
                            "warnings": [{"code": "other_exchange",
                                          "nearest_on_nse": "24FEB2026"}]});
        assert_eq!(
            done(&serde_json::from_value(answer).unwrap()),
            "RELIANCE added\nnote: other exchange: nearest on nse 24FEB2026"
        );
    }

    #[test]
    fn a_list_is_a_table() {
        let items = json!({"user_id": 7, "items": [
            {"symbol": "RELIANCE", "exchange": "NSE", "expiry": "24FEB2026",
             "instrument_type": "STOCK_OPTION", "width": 25, "mode": "full", "follow": true,
             "added_at": "2026-02-09T10:00:00.624+05:30", "added_order": 1,
             "trading_day": "2026-02-09", "strikes_subscribed": 50, "state": "live"},
            {"symbol": "TCS", "exchange": "NSE", "instrument_type": "EQUITY", "mode": "full",
             "follow": true, "added_at": "2026-02-09T10:00:01.000+05:30", "added_order": 2,
             "trading_day": "2026-02-09", "strikes_subscribed": 0, "state": "evicted"},
        ]});
        let expected = "\
symbol    type          exchange  expiry     width  mode  follows  contracts  state    added
RELIANCE  STOCK_OPTION  NSE       24FEB2026     25  full  yes             50  live     2026-02-09 10:00:00
TCS       EQUITY        NSE                         full  yes              0  evicted  2026-02-09 10:00:01";
        assert_eq!(list(&serde_json::from_value(items).unwrap()), expected);
        let none = json!({"user_id": 7, "items": []});
        assert_eq!(
            list(&serde_json::from_value(none).unwrap()),
            "user 7 watches nothing"
        );
    }
}
