use core::fmt;
use core::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use strikewire_types::ClockSpec;

/// Market-data subscription gateway for Indian derivatives.
///
/// With no arguments everything is embedded: a stand-in for the broker on a loopback
/// socket, and a generated instrument master of the day. A flag wins over its
/// environment variable, which wins over the configuration file.
#[derive(Clone, Default, Parser)]
#[command(name = "strikewired", version, about)]
pub struct Args {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "STRIKEWIRE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address to serve REST and the stream on; without API keys a loopback one.
    #[arg(long, value_name = "ADDR", env = "STRIKEWIRE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where state is kept; one process per directory.
    #[arg(long, value_name = "DIR", env = "STRIKEWIRE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Instrument master, `.csv` or `.csv.gz`; generated when absent.
    #[arg(long, value_name = "FILE", env = "STRIKEWIRE_INSTRUMENTS")]
    pub instruments: Option<PathBuf>,
    /// Where market data comes from.
    #[arg(long, value_name = "BROKER", env = "STRIKEWIRE_BROKER")]
    pub broker: Option<Broker>,
    /// The address of Dhan's feed, or of a stand-in.
    #[arg(long, value_name = "URL", env = "STRIKEWIRE_DHAN_FEED_URL")]
    pub dhan_feed_url: Option<String>,
    /// The address of Dhan's REST calls, or of a stand-in.
    #[arg(long, value_name = "URL", env = "STRIKEWIRE_DHAN_API_URL")]
    pub dhan_api_url: Option<String>,
    /// Where watchlists, claims and the audit log are kept: postgres://USER:PASSWORD@HOST/DB
    /// or sqlite:PATH; absent: strikewire.db in the data directory.
    #[arg(
        long,
        value_name = "URL",
        env = "STRIKEWIRE_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// The Redis in which nodes share who holds indicators, sessions and values:
    /// redis://USER:PASSWORD@HOST:PORT/DB; absent: they are this node's own.
    #[arg(
        long,
        value_name = "URL",
        env = "STRIKEWIRE_REDIS",
        hide_env_values = true
    )]
    pub redis: Option<String>,
    /// Run on a simulated clock, such as 2026-02-09T10:00:00+05:30@1.
    #[arg(long, value_name = "TIME[@SPEED]", env = "STRIKEWIRE_CLOCK")]
    pub clock: Option<ClockSpec>,
    /// Print the configuration in force and exit.
    #[arg(long)]
    pub print_config: bool,
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args")
            .field("config", &self.config)
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("instruments", &self.instruments)
            .field("broker", &self.broker)
            .field("clock", &self.clock)
            .field("print_config", &self.print_config)
            // The addresses may have passwords in them.
            .finish_non_exhaustive()
    }
}

/// Where market data comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broker {
    /// The embedded stand-in for Dhan.
    #[default]
    Sim,
    /// Dhan, or a stand-in at the feed's address.
    Dhan,
}
