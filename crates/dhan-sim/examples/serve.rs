//! Serves a generated master of today until interrupted:
//! `cargo run -p strikewire-dhan-sim --example serve -- [ADDRESS] [ROWS] [PACKETS_PER_FRAME]`.

use std::error::Error;
use std::sync::Arc;

use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_dhan_sim::{Config, SimServer};
use strikewire_registry::{Instrument, LoadOptions, Registry};
use strikewire_types::{Clock, Exchange, ist_date};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .unwrap_or_else(|| "127.0.0.1:9000".to_owned())
        .parse()?;
    let rows = arguments.next().map_or(Ok(50_000), |rows| rows.parse())?;
    let packets_per_frame = arguments.next().map_or(Ok(1), |packets| packets.parse())?;

    let clock = Clock::system();
    let as_of = ist_date(clock.now().utc);
    let mut master = Vec::new();
    generate(
        &Spec {
            rows,
            ..Spec::new(as_of)
        },
        &mut master,
    )?;
    let registry = Arc::new(Registry::from_reader(
        &master[..],
        &LoadOptions::new(as_of),
    )?);
    let config = Config {
        packets_per_frame,
        ..Config::default()
    };
    let server = SimServer::bind(address, Arc::clone(&registry), clock, config).await?;
    println!("{}", server.url());
    for symbol in ["NIFTY", "RELIANCE"] {
        if let Some(option) = near_the_money(&registry, symbol) {
            println!("{} {}", option.key(), option.token());
        }
    }
    server
        .run(async {
            // Without a handler the signal ends the process just the same.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await;
    Ok(())
}

/// The call in the middle of the nearest expiry, to try things with.
fn near_the_money<'r>(registry: &'r Registry, symbol: &str) -> Option<Instrument<'r>> {
    let expiry = *registry.option_expiries(Exchange::Nse, symbol).first()?;
    let rungs = registry.ladder(Exchange::Nse, symbol, expiry)?.rungs();
    Some(registry.instrument(rungs[rungs.len() / 2].call()?))
}
