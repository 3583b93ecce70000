use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::naive::{self, Row};
use crate::program::{AS_OF, json, master, run, table};

const INDICES: [&str; 6] = [
    "NIFTY",
    "BANKNIFTY",
    "SENSEX",
    "FINNIFTY",
    "MIDCPNIFTY",
    "BANKEX",
];
const FUTURES: [&str; 5] = ["GOLD", "SILVER", "CRUDEOIL", "NATURALGAS", "COPPER"];
const ENERGY: [&str; 2] = ["CRUDEOIL", "NATURALGAS"];

/// The line up to the day, and what more is given.
fn plan(more: &[&str]) -> Value {
    let line = ["plan", "--instruments", master().path(), "--as-of", AS_OF];
    json(&[&line, more].concat())
}

/// The strike in the middle of the nearest ladder.
fn middle(rows: &[Row<'_>], exchange: &str, symbol: &str) -> f64 {
    let date = naive::option_expiries(rows, exchange, symbol, AS_OF)[0];
    let strikes: Vec<i64> = naive::ladder(rows, exchange, symbol, date)
        .into_keys()
        .collect();
    strikes[strikes.len() / 2] as f64 / 1e4
}

/// Ids of the contracts within 50 strikes of `price`, of every expiry.
fn window_ids(rows: &[Row<'_>], exchange: &str, symbol: &str, price: f64) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    for date in naive::option_expiries(rows, exchange, symbol, AS_OF) {
        let ladder = naive::ladder(rows, exchange, symbol, date);
        for strike in naive::window(&ladder, price, 101).0 {
            let legs = ladder[&((strike * 1e4).round() as i64)];
            ids.extend(legs.into_iter().flatten());
        }
    }
    ids
}

fn exchange_of(rows: &[Row<'_>], symbol: &str) -> Option<&'static str> {
    ["NSE", "BSE"]
        .into_iter()
        .find(|exchange| !naive::option_expiries(rows, exchange, symbol, AS_OF).is_empty())
}

#[test]
fn the_defaults_take_what_the_master_lists() {
    let rows = master().rows();
    let plan = plan(&[]);
    let mut not_listed = BTreeSet::new();
    let mut index_options = 0;
    for symbol in INDICES {
        match exchange_of(&rows, symbol) {
            Some(exchange) => {
                let at = middle(&rows, exchange, symbol);
                index_options += window_ids(&rows, exchange, symbol, at).len();
            }
            None => {
                not_listed.insert(symbol);
            }
        }
    }
    let commodity_options: usize = ENERGY
        .iter()
        .map(|symbol| window_ids(&rows, "MCX", symbol, middle(&rows, "MCX", symbol)).len())
        .sum();
    let futures = rows
        .iter()
        .filter(|row| {
            row.kind == "FUTCOM"
                && row.exchange == "MCX"
                && FUTURES.contains(&row.symbol())
                && row.skip(AS_OF).is_none()
        })
        .count();
    assert!(index_options > 0 && commodity_options > 0 && futures > 0);
    for (name, expected) in [
        ("index_options", index_options),
        ("commodity_options", commodity_options),
        ("other_options", 0),
        ("futures", futures),
    ] {
        assert_eq!(plan[name], json!(expected), "{name}");
    }
    let all = plan["tier_b"].as_u64().unwrap();
    let underlyings = plan["underlyings"].as_u64().unwrap();
    let contracts = (index_options + commodity_options + futures) as u64;
    assert_eq!(all, contracts + underlyings);
    assert_eq!(plan["tier_a_room"], json!(25_000 - all));
    let by_connection = plan["by_connection"].as_object().unwrap();
    let on_each = by_connection.values().map(|count| count.as_u64().unwrap());
    assert_eq!((by_connection.len(), on_each.sum::<u64>()), (5, all));
    assert_eq!(plan["does_not_fit"], json!([]));
    let said: BTreeSet<&str> = plan["not_listed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|symbol| symbol.as_str().unwrap())
        .collect();
    assert_eq!(said, not_listed);
    let date = naive::option_expiries(&rows, "NSE", "NIFTY", AS_OF)[0];
    let assumed = format!(
        "NIFTY at {}, the middle of its ladder of {}",
        middle(&rows, "NSE", "NIFTY"),
        naive::expiry(date)
    );
    let all_assumed = plan["assumed"].as_array().unwrap();
    assert!(all_assumed.contains(&json!(assumed)), "{all_assumed:?}");
}

#[test]
fn a_given_price_moves_the_window() {
    let rows = master().rows();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("strikewire.toml");
    fs::write(
        &config,
        "[[tier_b]]\ncontracts = \"options\"\nsymbols = [\"NIFTY\"]\nwidth = 101\n",
    )
    .unwrap();
    let prices = folder.path().join("prices.json");
    // At the very end of all ladders half of each window is cut.
    fs::write(&prices, r#"{"nifty 50": 1}"#).unwrap();
    let (config, prices) = (config.to_str().unwrap(), prices.to_str().unwrap());
    let plan = plan(&["--config", config, "--prices", prices]);
    let expected = window_ids(&rows, "NSE", "NIFTY", 1.0).len();
    assert!(expected > 0);
    assert_eq!(plan["index_options"], json!(expected));
    // With the index itself.
    assert_eq!(plan["tier_b"], json!(expected + 1));
    assert_eq!(plan["assumed"], json!([]));
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("strikewire.toml");
    fs::write(&config, "[subscriptions]\ntotal = 100\n").unwrap();
    let config = config.to_str().unwrap();
    let tight = plan(&["--config", config]);
    let windows = tight["does_not_fit"].as_array().unwrap();
    assert!(
        windows
            .iter()
            .any(|window| window.as_str().unwrap().contains("NIFTY")),
        "{windows:?}"
    );
    let line = ["plan", "--instruments", master().path(), "--as-of", AS_OF];
    let shown = table(&[&line[..], &["--config", config]].concat());
    assert!(
        shown.contains("does not fit: ") && shown.contains("assumed: "),
        "{shown}"
    );
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let line = ["plan", "--instruments", master().path(), "--as-of", AS_OF];
    let check = |more: &[&str], named: &[&str]| {
        let ran = run(&[&line, more].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        for name in named {
            assert!(ran.stderr.contains(name), "no {name} in {}", ran.stderr);
        }
    };
    let prices = file("prices.json", r#"{"NIFTY": 26000, "NIFTTY": 1}"#);
    check(&["--prices", &prices], &[&prices, "NIFTTY"]);
    let prices = file("zero.json", r#"{"NIFTY": 0}"#);
    check(&["--prices", &prices], &[&prices, "NIFTY"]);
    let config = file("strikewire.toml", "[subscriptions]\nttotal = 1\n");
    check(&["--config", &config], &[&config, "ttotal"]);
    check(&["--config", "no-such.toml"], &["no-such.toml"]);
}
