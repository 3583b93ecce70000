//! The strikes around the money, without a server: links `strikewire-registry` and
//! `strikewire-chain` alone.
//!
//! ```text
//! cargo run -p strikewire-examples --example chain_window
//! cargo run -p strikewire-examples --example chain_window -- MASTER.csv.gz 2026-02-09 NIFTY 25867.3
//! ```
//!
//! Without arguments it makes up a master of one stock.

use std::collections::HashSet;
use std::env;
use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use jiff::civil::Date;
use strikewire_chain::{Decision, Follower, PriceQuality, Width, Window};
use strikewire_examples::made_up_master;
use strikewire_registry::{ChainQuery, LoadOptions, Registry};
use strikewire_types::{Now, Price};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    print!("{}", report(&arguments)?);
    Ok(())
}

/// What is shown of `arguments`.
fn report(arguments: &[String]) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    let (registry, symbol, price) = match arguments {
        [] => {
            let options = LoadOptions::new(Date::constant(2026, 2, 9));
            let registry = Registry::from_reader(made_up_master().as_bytes(), &options)?;
            (registry, "TCS", Price::from_raw(26_415_000))
        }
        [master, day, symbol, price] => {
            let options = LoadOptions::new(day.parse()?);
            let registry = Registry::from_path(Path::new(master), &options)?;
            (registry, symbol.as_str(), price.parse()?)
        }
        _ => return Err("usage: chain_window [MASTER DAY SYMBOL PRICE]".into()),
    };
    writeln!(
        out,
        "{} instruments as of {}",
        registry.len(),
        registry.as_of()
    )?;

    let (exchange, expiries) = registry.expiries(None, symbol)?;
    for (expiry, kind) in &expiries {
        writeln!(out, "{symbol} on {exchange} expires {expiry} ({kind})")?;
    }

    // Without an expiry: the nearest.
    let query = ChainQuery {
        symbol,
        kind: None,
        exchange: None,
        expiry: None,
    };
    let ladder = registry.resolve_chain(&query)?.ladder;
    let width = Width::new(5)?;
    let window = Window::new(ladder, price, width)?;
    writeln!(
        out,
        "\n{} {} at {price}: {} is at the money",
        ladder.symbol(),
        ladder.expiry(),
        window.atm_strike()
    )?;
    for rung in window.rungs() {
        let token = |leg| registry.instrument(leg).token();
        writeln!(
            out,
            "{:>8}  {:<28}  {}",
            rung.strike,
            rung.call().map_or_else(String::new, token),
            rung.put().map_or_else(String::new, token)
        )?;
    }

    // A follower keeps a window around a price that moves, a step at a time: it rolls
    // when the price has gone by the distance to the next strike.
    writeln!(out)?;
    let step = window.strike_step().map_or(0, Price::raw);
    let mut follower = Follower::new(ladder.id(), width);
    let mut now = Now::default();
    for tenths in [0, 3, 9, 10, 12, 19, 20, 5, -5] {
        now = now + Duration::from_secs(1);
        let price = Price::from_raw(price.raw() + step * tenths / 10);
        let said = match follower.on_price(&registry, now, price, PriceQuality::Live) {
            Decision::Hold => "holds".to_owned(),
            Decision::Confirm => "jumped; the next price decides".to_owned(),
            Decision::Started { to } => {
                format!("starts around {}", to.window(&registry, price).atm_strike())
            }
            Decision::Rolled { from, to } => {
                let [before, after] = [from, to].map(|span| {
                    span.legs(&registry)
                        .map(|(leg, ..)| leg)
                        .collect::<HashSet<_>>()
                });
                format!(
                    "rolls to {}: {} contracts come, {} go",
                    to.window(&registry, price).atm_strike(),
                    after.difference(&before).count(),
                    before.difference(&after).count()
                )
            }
            Decision::Recalculated => "is calculated again, the same strikes".to_owned(),
        };
        writeln!(out, "{price:>10}  {said}")?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn the_made_up_master_shows_a_window_that_rolls() {
        let text = report(&[]).unwrap();
        for line in [
            "245 instruments as of 2026-02-09",
            "TCS on NSE expires 24FEB2026 (monthly)",
            "TCS 24FEB2026 at 2641.5: 2640 is at the money",
            "    2640  TCS_24FEB2026_2640CE          TCS_24FEB2026_2640PE",
            "      2643  holds",
            "    2646.5  rolls to 2645: 2 contracts come, 2 go",
        ] {
            assert!(
                text.lines().any(|said| said == line),
                "{line:?} in:\n{text}"
            );
        }
    }
}
