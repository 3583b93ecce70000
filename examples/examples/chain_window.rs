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
use strikewire_registry::{ChainQuery, LoadOptions, Registry};
use strikewire_types::{Now, Price};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (registry, symbol, price) = match arguments.as_slice() {
        [] => {
            let options = LoadOptions::new(Date::constant(2026, 2, 9));
            let registry = Registry::from_reader(made_up()?.as_bytes(), &options)?;
            (registry, "TCS", Price::from_raw(26_415_000))
        }
        [master, day, symbol, price] => {
            let options = LoadOptions::new(day.parse()?);
            let registry = Registry::from_path(Path::new(master), &options)?;
            (registry, symbol.as_str(), price.parse()?)
        }
        _ => return Err("usage: chain_window [MASTER DAY SYMBOL PRICE]".into()),
    };
    println!("{} instruments as of {}", registry.len(), registry.as_of());

    let (exchange, expiries) = registry.expiries(None, symbol)?;
    for (expiry, kind) in &expiries {
        println!("{symbol} on {exchange} expires {expiry} ({kind})");
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
    println!(
        "\n{} {} at {price}: {} is at the money",
        ladder.symbol(),
        ladder.expiry(),
        window.atm_strike()
    );
    for rung in window.rungs() {
        let token = |leg| registry.instrument(leg).token();
        println!(
            "{:>8}  {:<28}  {}",
            rung.strike,
            rung.call().map_or_else(String::new, token),
            rung.put().map_or_else(String::new, token)
        );
    }

    // A follower keeps a window around a price that moves, a step at a time: it rolls
    // when the price has gone by the distance to the next strike.
    println!();
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
        println!("{price:>10}  {said}");
    }
    Ok(())
}

/// A master with one stock and its options of two expiries, five rupees apart.
fn made_up() -> Result<String, std::fmt::Error> {
    let mut master = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
        SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
        SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,\
        SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME\n\
        NSE,E,11536,EQUITY,0,TCS,1.0,Tata Consultancy Services,,,,10.0000,NA,ES,EQ,\
        TATA CONSULTANCY SERV LT\n"
        .to_owned();
    let mut id = 50_000;
    for (month, day) in [("Feb", "2026-02-24"), ("Mar", "2026-03-30")] {
        for strike in (2500..=2800).step_by(5) {
            for leg in ["CE", "PE"] {
                id += 1;
                writeln!(
                    master,
                    "NSE,D,{id},OPTSTK,0,TCS-{month}2026-{strike}-{leg},175.0,,{day} 14:30:00,\
                     {strike}.00000,{leg},5.0000,M,OP,,"
                )?;
            }
        }
    }
    Ok(master)
}
