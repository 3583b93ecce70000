//! `strikewire sim`: the stand-in for the broker, until it is told to stop.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_dhan_sim::script::Script;
use strikewire_dhan_sim::{Config, ModeSemantics, SimHandle, SimServer};
use strikewire_registry::Registry;
use strikewire_types::{Clock, ClockSpec, ParseError, ist_date};
use tracing_subscriber::EnvFilter;

use crate::arguments::{Day, load};
use crate::output::{Output, grouped};
use crate::prices;
use crate::signals::stopped;

/// How often the counters are logged, if they changed.
const REPORT_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct SimArguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9010")]
    listen: SocketAddr,
    /// The instrument master in the compact layout, .csv or .csv.gz
    #[arg(long, value_name = "FILE")]
    instruments: PathBuf,
    /// Run on a simulated clock, such as 2026-02-09T10:00:00+05:30@1; the speed may be
    /// left out. Without --as-of the day is the clock's
    #[arg(long, value_name = "TIME[@SPEED]")]
    clock: Option<ClockSpec>,
    #[command(flatten)]
    day: Day,
    /// Chooses the ways of all prices
    #[arg(long, value_name = "N", default_value_t = MarketConfig::default().seed)]
    seed: u64,
    /// Starting prices: a JSON object of instruments and rupees, such as
    /// {"NIFTY": 25800, "NSE_EQ:2885": 1441.5}; others start at the middle of their ladder
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Standard deviation of an index's relative change over a minute
    #[arg(long, value_name = "V", default_value_t = MarketConfig::default().volatility, value_parser = volatility)]
    volatility: f64,
    /// Trades per second as a multiple of the usual ones
    #[arg(long, value_name = "N", default_value_t = MarketConfig::default().rate, value_parser = rate)]
    rate: f64,
    /// Packets in one frame at most; the official Python client decodes only the first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = packets)]
    packets_per_frame: usize,
    /// What several modes of one instrument mean, which the broker does not say: set (the
    /// highest is sent, an unsubscribe takes its own mode away), last (the last subscribe
    /// replaces), or any-unsubscribe (a set, but any unsubscribe drops the instrument)
    #[arg(long, value_name = "RULE", default_value_t)]
    modes: ModeSemantics,
    /// A script of faults in TOML: what goes wrong when. docs/STANDIN.md has the keys
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
}

pub(crate) fn run(arguments: &SimArguments) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let as_of = arguments
        .day
        .get_or(|| arguments.clock.map(|clock| ist_date(clock.start)));
    let registry = Arc::new(load(&arguments.instruments, as_of)?);
    let prices = match &arguments.prices {
        Some(file) => prices::load(file, &registry)?,
        None => HashMap::new(),
    };
    let script = match &arguments.script {
        Some(file) => faults(file)?,
        None => Script::default(),
    };
    let config = Config {
        market: MarketConfig {
            seed: arguments.seed,
            volatility: arguments.volatility,
            rate: arguments.rate,
            prices,
        },
        packets_per_frame: arguments.packets_per_frame,
        modes: arguments.modes,
        script,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(arguments, registry, config))
}

fn faults(file: &Path) -> anyhow::Result<Script> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.parse()
        .with_context(|| format!("cannot use {}", file.display()))
}

async fn serve(
    arguments: &SimArguments,
    registry: Arc<Registry>,
    config: Config,
) -> anyhow::Result<()> {
    // Before anybody can know that we run, and wants to stop us.
    let stop = stopped().context("cannot listen for signals")?;
    let clock = arguments.clock.map_or_else(Clock::system, Clock::simulated);
    let server = SimServer::bind(arguments.listen, Arc::clone(&registry), clock, config)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    // It serves all the same when nobody reads this.
    let _ = Output::new().lines(&banner(arguments, &registry, &server));
    let handle = server.handle();
    tokio::select! {
        () = server.run(stop) => {}
        () = report(&handle) => {}
    }
    let total = handle.counters().total();
    tracing::info!(packets = total.packets, "stopped");
    Ok(())
}

fn banner(arguments: &SimArguments, registry: &Registry, server: &SimServer) -> String {
    let url = server.url();
    let file = arguments.instruments.display();
    let clock = arguments
        .clock
        .map_or_else(|| "the system's".to_owned(), |clock| clock.to_string());
    let faults = match &arguments.script {
        Some(file) => format!("Faults of {}\n", file.display()),
        None => String::new(),
    };
    format!(
        "Stand-in for the Dhan feed on {url}\n\
         {} instruments of {file} as of {}, clock {clock}, seed {}\n\
         {faults}\
         \n\
         Any client id and token will do:\n\
         \x20 any client   {url}?version=2&authType=2&clientId=1&token=any\n\
         \x20 strikewired  DHAN_CLIENT_ID=1 DHAN_ACCESS_TOKEN=any strikewired --broker dhan \
         --dhan-feed-url {url} --instruments {file}\n\
         \x20 dhanhq       MarketFeed.market_feed_wss = \"{url}\"\n\
         \n\
         Ctrl-C stops it.",
        grouped(registry.len() as u64),
        registry.as_of(),
        arguments.seed,
    )
}

/// Logs what goes on. Never done.
async fn report(handle: &SimHandle) {
    let mut last = handle.counters();
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        let now = handle.counters();
        if now != last {
            let total = now.total();
            tracing::info!(
                connected = now.connected,
                refused = now.refused,
                displaced = now.displaced,
                instruments = total.instruments,
                packets = total.packets,
                dropped = total.dropped,
                "serving"
            );
            last = now;
        }
    }
}

fn number(
    text: &str,
    allowed: impl Fn(f64) -> bool,
    expected: &'static str,
) -> Result<f64, ParseError> {
    let number = text.parse().ok().filter(|number| allowed(*number));
    number.ok_or_else(|| ParseError::new(text, expected))
}

fn volatility(text: &str) -> Result<f64, ParseError> {
    number(
        text,
        |v| (0.0..=0.1).contains(&v),
        "a volatility from 0 to 0.1 a minute",
    )
}

fn rate(text: &str) -> Result<f64, ParseError> {
    number(
        text,
        |rate| (0.001..=1000.0).contains(&rate),
        "a rate from 0.001 to 1000",
    )
}

fn packets(text: &str) -> Result<usize, ParseError> {
    let packets = text
        .parse()
        .ok()
        .filter(|packets| (1..=1000).contains(packets));
    packets.ok_or_else(|| ParseError::new(text, "a number of packets from 1 to 1000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked_where_they_are_written() {
        assert_eq!(volatility("0"), Ok(0.0));
        assert_eq!(rate("2.5"), Ok(2.5));
        assert_eq!(packets("1"), Ok(1));
        for text in ["-1", "nan", "inf", "x", ""] {
            assert!(volatility(text).is_err() && rate(text).is_err() && packets(text).is_err());
        }
    }
}
