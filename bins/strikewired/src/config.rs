mod file;

use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use jiff::civil::Time;
use secrecy::SecretString;
use strikewire_dhan::{BudgetConfig, TokenSource};
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::chain::{Defaults, Width};
use strikewire_store::DatabaseUrl;
use strikewire_types::ClockSpec;

use crate::{Args, Broker};
use file::{File, Secret};

/// The documented sample of the configuration file. It holds the defaults.
pub const SAMPLE: &str = include_str!("../strikewire.toml");

/// The configuration in force, checked.
#[derive(Debug, Clone)]
pub struct Config {
    file: File,
    clock: Option<ClockSpec>,
    gateway: strikewire_gateway::Config,
    database: Option<DatabaseUrl>,
    calendar: Calendar,
    reload_at: Time,
}

impl Config {
    /// The configuration of the file, the environment and the flags of `args`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds what is not known, or a value makes no
    /// sense; the message names the place and what is accepted.
    pub fn load(args: &Args) -> anyhow::Result<Self> {
        let mut file = match &args.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        if let Some(listen) = args.listen {
            file.listen = listen;
        }
        if let Some(data_dir) = &args.data_dir {
            file.data_dir.clone_from(data_dir);
        }
        if let Some(instruments) = &args.instruments {
            file.instruments = Some(instruments.clone());
        }
        if let Some(broker) = args.broker {
            file.broker = broker;
        }
        if let Some(url) = &args.dhan_feed_url {
            file.dhan.feed_url.clone_from(url);
        }
        if let Some(url) = &args.dhan_api_url {
            file.dhan.api_url.clone_from(url);
        }
        if let Some(url) = &args.database {
            file.database = Some(Secret(url.clone()));
        }
        if let Some(clock) = &args.clock {
            file.clock = Some(clock.to_string());
        }
        Self::validate(file)
    }

    fn validate(file: File) -> anyhow::Result<Self> {
        ensure!(
            file.listen.ip().is_loopback(),
            "listen = {}: without API keys only a loopback address is served, such as 127.0.0.1:8080",
            file.listen
        );
        ensure!(
            (1..=64).contains(&file.workers),
            "workers = {}: expected 1 to 64",
            file.workers
        );
        ensure!(
            (2_000..=400_000).contains(&file.sim.rows),
            "sim.rows = {}: expected 2000 to 400000",
            file.sim.rows
        );
        ensure!(
            (1..=36_500).contains(&file.store.retention_days),
            "store.retention_days = {}: expected 1 to 36500",
            file.store.retention_days
        );
        ensure!(
            file.store.audit_queue > 0,
            "store.audit_queue = 0: expected at least 1 record"
        );
        ensure!(
            file.chain.pre_open_lead_s <= 900,
            "chain.pre_open_lead_s = {}: expected 0 to 900 seconds",
            file.chain.pre_open_lead_s
        );
        ensure!(
            (0.0..=0.05).contains(&file.sim.volatility),
            "sim.volatility = {}: expected 0 to 0.05 of the price per minute",
            file.sim.volatility
        );
        ensure!(
            (0.0..=100.0).contains(&file.sim.rate),
            "sim.rate = {}: expected a multiple from 0 to 100",
            file.sim.rate
        );
        ensure!(
            (1..=65_536).contains(&file.stream.client_queue),
            "stream.client_queue = {}: expected 1 to 65536 messages",
            file.stream.client_queue
        );
        ensure!(
            (1..=10_000).contains(&file.dhan.connect_burst),
            "dhan.connect_burst = {}: expected 1 to 10000 attempts",
            file.dhan.connect_burst
        );
        ensure!(
            (1..=3_600).contains(&file.dhan.connect_refill_s),
            "dhan.connect_refill_s = {}: expected 1 to 3600 seconds",
            file.dhan.connect_refill_s
        );
        ensure!(
            file.dhan.connect_spacing_ms <= 60_000,
            "dhan.connect_spacing_ms = {}: expected 0 to 60000 milliseconds",
            file.dhan.connect_spacing_ms
        );
        let clock = file
            .clock
            .as_deref()
            .map(ClockSpec::from_str)
            .transpose()
            .context("clock")?;
        let width = |name: &str, width: u16| {
            Width::new(width.into()).with_context(|| format!("chain.{name} = {width}"))
        };
        let gateway = strikewire_gateway::Config {
            book: strikewire_gateway::subscriptions::Config {
                connections: file.dhan.connections,
                per_connection: file.dhan.per_connection,
                total: file.subscriptions.total.min(
                    file.dhan
                        .connections
                        .saturating_mul(file.dhan.per_connection),
                ),
                linger: Duration::from_secs(file.chain.linger_s),
                grace: Duration::from_secs(file.subscriptions.migration_grace_s),
                in_use: Duration::from_secs(file.subscriptions.in_use_s),
                quota: file.subscriptions.quota_per_user,
                fair_share: file.subscriptions.fair_share,
                ..Default::default()
            },
            widths: Defaults {
                stock: width("width_stock", file.chain.width_stock)?,
                index: width("width_index", file.chain.width_index)?,
                other: width("width_other", file.chain.width_other)?,
            },
            chain_ttl: Duration::from_secs(file.chain.ttl_s),
            price_wait: Duration::from_millis(file.chain.price_wait_ms),
            pre_open_lead: Duration::from_secs(file.chain.pre_open_lead_s),
            tier_b: file
                .tier_b
                .iter()
                .enumerate()
                .map(|(at, rule)| rule.rule(at))
                .collect::<anyhow::Result<_>>()?,
            client_queue: file.stream.client_queue,
            ..Default::default()
        };
        let database = file
            .database
            .as_ref()
            .map(|url| url.0.parse())
            .transpose()
            .context("database")?;
        let reload_at = time_of_day("master.reload_at", &file.master.reload_at)?;
        let calendar = calendar(&file)?;
        Ok(Self {
            file,
            clock,
            gateway,
            database,
            calendar,
            reload_at,
        })
    }

    /// The configuration as a file.
    ///
    /// # Errors
    ///
    /// When a path is not Unicode.
    pub fn to_toml(&self) -> anyhow::Result<String> {
        Ok(toml::to_string(&self.file)?)
    }

    /// Threads of the runtime that serves REST and the stream.
    #[must_use]
    pub const fn workers(&self) -> usize {
        self.file.workers
    }

    pub(crate) const fn listen(&self) -> SocketAddr {
        self.file.listen
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.file.data_dir
    }

    pub(crate) fn instruments(&self) -> Option<&Path> {
        self.file.instruments.as_deref()
    }

    pub(crate) const fn broker(&self) -> Broker {
        self.file.broker
    }

    pub(crate) const fn clock(&self) -> Option<ClockSpec> {
        self.clock
    }

    /// How the gateway behaves.
    #[must_use]
    pub const fn gateway(&self) -> &strikewire_gateway::Config {
        &self.gateway
    }

    /// When markets trade. With the embedded stand-in and no simulated clock every day is
    /// one session, without end of day.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        if self.is_endless() {
            Calendar::endless()
        } else {
            self.calendar.clone()
        }
    }

    pub(crate) const fn is_endless(&self) -> bool {
        matches!(self.file.broker, Broker::Sim) && self.clock.is_none()
    }

    /// When, in India, the instrument master of a new day is loaded.
    pub(crate) const fn reload_at(&self) -> Time {
        self.reload_at
    }

    /// How the database is kept.
    pub(crate) fn store(&self) -> strikewire_store::Options {
        let url = self
            .database
            .clone()
            .unwrap_or_else(|| DatabaseUrl::Sqlite(self.file.data_dir.join("strikewire.db")));
        strikewire_store::Options {
            retention: Duration::from_secs(self.file.store.retention_days * 24 * 60 * 60),
            audit_queue: self.file.store.audit_queue,
            ..strikewire_store::Options::new(url)
        }
    }

    pub(crate) const fn generated(&self) -> (usize, u64) {
        (self.file.sim.rows, self.file.sim.seed)
    }

    pub(crate) fn sim(&self) -> strikewire_dhan_sim::Config {
        strikewire_dhan_sim::Config {
            market: MarketConfig {
                seed: self.file.sim.seed,
                volatility: self.file.sim.volatility,
                rate: self.file.sim.rate,
                ..MarketConfig::default()
            },
            connections: self.file.dhan.connections,
            instruments: self.file.dhan.per_connection,
            ..Default::default()
        }
    }

    /// Who is known to Dhan: a client id and where its token comes from.
    ///
    /// # Errors
    ///
    /// When they are not in the environment.
    pub(crate) fn credentials() -> anyhow::Result<(String, TokenSource)> {
        let client_id = std::env::var("DHAN_CLIENT_ID")
            .context("broker = dhan: the environment has no DHAN_CLIENT_ID")?;
        let token = match (
            std::env::var("DHAN_ACCESS_TOKEN_FILE"),
            std::env::var("DHAN_ACCESS_TOKEN"),
        ) {
            (Ok(path), _) => TokenSource::File(path.into()),
            (Err(_), Ok(token)) => TokenSource::Fixed(SecretString::from(token)),
            (Err(_), Err(_)) => bail!(
                "broker = dhan: the environment has neither DHAN_ACCESS_TOKEN_FILE nor \
                 DHAN_ACCESS_TOKEN"
            ),
        };
        Ok((client_id, token))
    }

    /// Dhan's addresses.
    pub(crate) fn dhan_urls(&self) -> Urls {
        Urls {
            feed: self.file.dhan.feed_url.clone(),
            api: self.file.dhan.api_url.clone(),
            master: self.file.dhan.master_url.clone(),
        }
    }

    /// How to keep a feed. The attempts to connect to an account outlive the process; the
    /// embedded stand-in is another broker every time.
    pub(crate) fn feed(&self, seed: u64) -> strikewire_dhan::FeedConfig {
        let dhan = &self.file.dhan;
        strikewire_dhan::FeedConfig {
            connections: dhan.connections,
            per_connection: dhan.per_connection,
            budget: BudgetConfig {
                path: (self.file.broker == Broker::Dhan)
                    .then(|| self.file.data_dir.join("connect-budget.json")),
                size: dhan.connect_burst,
                refill: Duration::from_secs(dhan.connect_refill_s),
                spacing: Duration::from_millis(dhan.connect_spacing_ms),
            },
            seed,
            ..Default::default()
        }
    }
}

/// Where a broker is.
#[derive(Debug)]
pub(crate) struct Urls {
    pub(crate) feed: String,
    pub(crate) api: String,
    pub(crate) master: String,
}

/// A time of day such as `08:30`.
fn time_of_day(key: &str, text: &str) -> anyhow::Result<Time> {
    text.parse()
        .map_err(|_| anyhow!("{key} = {text}: expected a time of day in India such as 08:30"))
}

/// The calendar of the file: the built-in one, with the overrides it names.
fn calendar(file: &File) -> anyhow::Result<Calendar> {
    let mut calendar = Calendar::builtin();
    if let Some(path) = &file.calendar.overrides {
        let name = || format!("calendar.overrides: {}", path.display());
        let text = std::fs::read_to_string(path).with_context(name)?;
        calendar = calendar.with_overrides(&text).with_context(name)?;
    }
    if let Some(at) = &file.eod.at {
        calendar = calendar.with_end_of_day_at(time_of_day("eod.at", at)?);
    }
    Ok(calendar)
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_holds_the_defaults() {
        let sample: File = toml::from_str(SAMPLE).unwrap();
        assert_eq!(sample, File::default());
        // Every key of the defaults is shown.
        let keys = |text: &str| {
            let value: toml::Table = toml::from_str(text).unwrap();
            let mut keys = Vec::new();
            for (name, value) in value {
                match value {
                    toml::Value::Table(table) => {
                        keys.extend(table.keys().map(|key| format!("{name}.{key}")));
                    }
                    _ => keys.push(name),
                }
            }
            keys
        };
        let defaults = toml::to_string(&File::default()).unwrap();
        assert_eq!(keys(SAMPLE), keys(&defaults));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let check = |text: &str, expected: &str| {
            let error = match toml::from_str::<File>(text) {
                Ok(file) => format!("{:#}", Config::validate(file).unwrap_err()),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(expected), "{text}: {error}");
        };
        check("listen = '0.0.0.0:8080'", "loopback");
        check("lisen = '127.0.0.1:8080'", "lisen");
        check("[chain]\nwidth_stock = 24", "width_stock");
        check("[sim]\nvolatility = -1.0", "sim.volatility");
        check("clock = 'noon'", "clock");
        check("broker = 'zerodha'", "zerodha");
        check("[dhan]\nconnect_burst = 0", "dhan.connect_burst");
        check("[dhan]\nconnect_refill_s = 0", "dhan.connect_refill_s");
        check(
            "[dhan]\nconnect_spacing_ms = 600000",
            "dhan.connect_spacing_ms",
        );
        check("[stream]\nclient_queue = 0", "stream.client_queue");
        check("[store]\nretention_days = 0", "store.retention_days");
        check("[master]\nreload_at = 'dawn'", "master.reload_at");
        check("[eod]\nat = '25:00'", "eod.at");
        check("database = 'mysql://u:hunter2@h/d'", "postgres://");
        let rule = "[[tier_b]]\ncontracts = 'options'\nsymbols = ['NIFTY']\n";
        check(&format!("{rule}width = 100"), "tier_b[0].width");
        check(&format!("{rule}exchange = 'NYSE'"), "tier_b[0].exchange");
        check(
            "[[tier_b]]\ncontracts = 'options'\nsymbols = []",
            "tier_b[0].symbols",
        );
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("strikewire.toml");
        std::fs::write(&path, "listen = '127.0.0.1:1111'\nworkers = 3\n").unwrap();
        let args = Args {
            config: Some(path),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 2222))),
            ..Args::default()
        };
        let config = Config::load(&args).unwrap();
        assert_eq!(config.listen().port(), 2222);
        assert_eq!(config.workers(), 3);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            if let Ok(file) = toml::from_str::<File>(&text) {
                let _ = Config::validate(file);
            }
        }

        #[test]
        fn no_value_panics(key in "[a-z_]{1,20}", value in "[-0-9.a-z'\"\\[\\]]{0,12}") {
            if let Ok(file) = toml::from_str::<File>(&format!("[dhan]\n{key} = {value}")) {
                let _ = Config::validate(file);
            }
        }

        #[test]
        fn no_number_panics(connections: usize, per_connection: usize, width: u16, ttl: u64) {
            let mut file = File::default();
            file.dhan.connections = connections;
            file.dhan.per_connection = per_connection;
            file.chain.width_stock = width;
            file.chain.ttl_s = ttl;
            let _ = Config::validate(file);
        }
    }
}
