use serde_json::{Map, Value, json};

use crate::naive;
use crate::program::{AS_OF, json, master, table};

fn chain(more: &[&str]) -> Value {
    json(&[&["chain", master().path(), "--as-of", AS_OF], more].concat())
}

#[test]
fn chains_are_those_of_the_file() {
    let rows = master().rows();
    let lot = |exchange: &str, symbol: &str, date: &str| {
        let row = rows.iter().find(|row| {
            row.is_option() && (row.exchange, row.symbol(), row.expiry) == (exchange, symbol, date)
        });
        row.unwrap().lot as u64
    };
    for (exchange, symbol, prefix, default) in [
        ("NSE", "NIFTY", "", 101),
        ("NSE", "RELIANCE", "", 25),
        ("BSE", "RELIANCE", "BSE:", 25),
        ("MCX", "GOLD", "", 51),
    ] {
        let date = naive::option_expiries(&rows, exchange, symbol, AS_OF)[0];
        let ladder = naive::ladder(&rows, exchange, symbol, date);
        let strikes: Vec<i64> = ladder.keys().copied().collect();
        let middle = strikes[strikes.len() / 2] as f64 / 1e4;
        let last = strikes[strikes.len() - 1] as f64 / 1e4;
        for (ltp, width) in [
            (middle, Some(5)),
            (middle + 0.05, None),
            (last + 1000.0, Some(3)),
        ] {
            let price = ltp.to_string();
            let mut arguments = vec![symbol, date, "--ltp", &price, "--exchange", exchange];
            let asked = width.map(|width: usize| width.to_string());
            if let Some(asked) = &asked {
                arguments.extend(["--width", asked]);
            }
            let chain = chain(&arguments);
            let width = width.unwrap_or(default);
            let (window, atm) = naive::window(&ladder, ltp, width);
            let expiry = naive::expiry(date);
            let legs: Map<String, Value> = window
                .iter()
                .map(|strike| {
                    let ids = ladder[&((strike * 1e4).round() as i64)];
                    let mut legs = Map::new();
                    for (id, leg) in ids.into_iter().zip(["CE", "PE"]) {
                        if id.is_some() {
                            let token = format!("{prefix}{symbol}_{expiry}_{strike}{leg}");
                            legs.insert(leg.to_owned(), json!(token));
                        }
                    }
                    (strike.to_string(), Value::Object(legs))
                })
                .collect();
            let expected = json!({
                "symbol": symbol,
                "exchange": exchange,
                "expiry": expiry,
                "underlying_ltp": ltp,
                "price_source": "client",
                "price_stale": false,
                "atm_strike": atm,
                "lot_size": lot(exchange, symbol, date),
                "width": width,
                "window_cut": window.len() < width,
                "strikes": window,
                "strikes_ce_pe": legs,
                "ltp_outside_ladder": ltp > last,
            });
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(&chain[key], value, "{key} of {symbol} {date} at {ltp}");
            }
            let at = chain["calculated_at"].as_str().unwrap();
            assert!(at.ends_with("+05:30"), "{at}");
            assert!(chain.get("warnings").is_none());
            assert!(chain["underlying"].as_str().unwrap().contains(':'));
        }
    }
}

#[test]
fn an_expiry_of_another_exchange_is_said_so() {
    let rows = master().rows();
    let dates = |exchange| naive::option_expiries(&rows, exchange, "RELIANCE", AS_OF);
    let on_nse = dates("NSE");
    let only_on_bse = *dates("BSE")
        .iter()
        .find(|date| !on_nse.contains(date))
        .unwrap();
    let chain = chain(&["RELIANCE", only_on_bse, "--ltp", "1440"]);
    assert_eq!(chain["exchange"], "BSE");
    // The first of BSE's lies two days after the first of NSE's.
    let nearest = naive::expiry(on_nse[0]);
    assert_eq!(
        chain["warnings"],
        json!([{"code": "other_exchange", "nearest_on_nse": nearest}])
    );
    let shown = table(&[
        "chain",
        master().path(),
        "RELIANCE",
        only_on_bse,
        "--ltp",
        "1440",
        "--as-of",
        AS_OF,
    ]);
    assert!(
        shown.contains("NSE does not list") && shown.contains(&nearest),
        "{shown}"
    );
}

#[test]
fn the_money_is_marked_for_people() {
    let shown = table(&[
        "chain",
        master().path(),
        "NIFTY",
        "24FEB2026",
        "--ltp",
        "26010",
        "--width",
        "5",
        "--as-of",
        AS_OF,
    ]);
    let marked: Vec<&str> = shown
        .lines()
        .filter(|line| line.contains("  ATM  "))
        .collect();
    assert_eq!(marked.len(), 1, "{shown}");
    let words: Vec<&str> = marked[0].split_whitespace().collect();
    assert_eq!(
        words,
        [
            "NIFTY_24FEB2026_26000CE",
            "26000",
            "ATM",
            "NIFTY_24FEB2026_26000PE"
        ]
    );
}
