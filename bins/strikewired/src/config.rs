use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use jiff::civil::Time;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use strikewire_dhan::TokenSource;
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::chain::{Defaults, Width};
use strikewire_gateway::{Contracts, TierBRule};
use strikewire_store::DatabaseUrl;
use strikewire_types::{ClockSpec, Mode};

use crate::{Args, Broker};

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

/// The file as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: SocketAddr,
    data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    instruments: Option<PathBuf>,
    broker: Broker,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<Secret>,
    workers: usize,
    dhan: Dhan,
    sim: Sim,
    master: Master,
    chain: Chain,
    subscriptions: Subscriptions,
    calendar: CalendarFile,
    eod: EndOfDay,
    store: Store,
    stream: Stream,
    tier_b: Vec<TierB>,
}

/// A text that is not shown again, such as a URL with a password.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
struct Secret(String);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<DatabaseUrl>() {
            Ok(url) => serializer.collect_str(&url),
            Err(_) => serializer.serialize_str("***"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Master {
    reload_at: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CalendarFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EndOfDay {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    retention_days: u64,
    audit_queue: usize,
}

/// A rule of what is always on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TierB {
    contracts: ContractsName,
    symbols: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiries: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContractsName {
    Options,
    Futures,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Dhan {
    feed_url: String,
    connections: usize,
    per_connection: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sim {
    rows: usize,
    seed: u64,
    volatility: f64,
    rate: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Chain {
    width_stock: u16,
    width_index: u16,
    width_other: u16,
    ttl_s: u64,
    linger_s: u64,
    price_wait_ms: u64,
    pre_open_lead_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Subscriptions {
    total: usize,
    in_use_s: u64,
    migration_grace_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_per_user: Option<usize>,
    fair_share: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Stream {
    client_queue: usize,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: "strikewire-data".into(),
            instruments: None,
            broker: Broker::default(),
            clock: None,
            database: None,
            workers: 2,
            dhan: Dhan::default(),
            sim: Sim::default(),
            master: Master::default(),
            chain: Chain::default(),
            subscriptions: Subscriptions::default(),
            calendar: CalendarFile::default(),
            eod: EndOfDay::default(),
            store: Store::default(),
            stream: Stream::default(),
            tier_b: TierBRule::defaults().iter().map(TierB::from).collect(),
        }
    }
}

impl Default for Dhan {
    fn default() -> Self {
        Self {
            feed_url: strikewire_dhan::FEED_URL.to_owned(),
            connections: strikewire_dhan::MAX_CONNECTIONS,
            per_connection: strikewire_dhan::MAX_PER_CONNECTION,
        }
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self {
            rows: 289_000,
            seed: 1,
            volatility: 0.0012,
            rate: 1.0,
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            width_stock: 25,
            width_index: 101,
            width_other: 51,
            ttl_s: 300,
            linger_s: 5,
            price_wait_ms: 2_000,
            pre_open_lead_s: 120,
        }
    }
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            total: 25_000,
            in_use_s: 60,
            migration_grace_s: 5,
            quota_per_user: None,
            fair_share: false,
        }
    }
}

impl Default for Master {
    fn default() -> Self {
        Self {
            reload_at: "08:30".into(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            retention_days: 90,
            audit_queue: 200_000,
        }
    }
}

impl From<&TierBRule> for TierB {
    fn from(rule: &TierBRule) -> Self {
        Self {
            contracts: match rule.contracts {
                Contracts::Options => ContractsName::Options,
                Contracts::Futures => ContractsName::Futures,
            },
            symbols: rule.symbols.clone(),
            exchange: rule.exchange.map(|exchange| exchange.to_string()),
            width: rule.width.map(Width::get),
            mode: (rule.mode != Mode::Full).then(|| rule.mode.to_string()),
            expiries: rule.expiries,
        }
    }
}

impl TierB {
    /// The rule as the gateway has it; `at` is its place in the file, from 0.
    fn rule(&self, at: usize) -> anyhow::Result<TierBRule> {
        ensure!(
            !self.symbols.is_empty(),
            "tier_b[{at}].symbols is empty: expected at least one symbol"
        );
        ensure!(
            self.expiries != Some(0),
            "tier_b[{at}].expiries = 0: expected at least 1"
        );
        Ok(TierBRule {
            contracts: match self.contracts {
                ContractsName::Options => Contracts::Options,
                ContractsName::Futures => Contracts::Futures,
            },
            symbols: self.symbols.clone(),
            exchange: self
                .exchange
                .as_deref()
                .map(str::parse)
                .transpose()
                .with_context(|| format!("tier_b[{at}].exchange"))?,
            width: self
                .width
                .map(|width| Width::new(u32::from(width)))
                .transpose()
                .with_context(|| format!("tier_b[{at}].width"))?,
            mode: self
                .mode
                .as_deref()
                .map(str::parse)
                .transpose()
                .with_context(|| format!("tier_b[{at}].mode"))?
                .unwrap_or(Mode::Full),
            expiries: self.expiries,
        })
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { client_queue: 256 }
    }
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
        if file.broker == Broker::Dhan && file.instruments.is_none() {
            bail!("broker = dhan: --instruments must name Dhan's instrument master of the day");
        }
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

    /// How to reach Dhan.
    ///
    /// # Errors
    ///
    /// When the credentials are not in the environment.
    pub(crate) fn dhan(&self, seed: u64) -> anyhow::Result<strikewire_dhan::FeedConfig> {
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
        Ok(strikewire_dhan::FeedConfig {
            url: self.file.dhan.feed_url.clone(),
            client_id,
            token,
            ..self.feed(seed)
        })
    }

    /// What every feed has in common.
    pub(crate) fn feed(&self, seed: u64) -> strikewire_dhan::FeedConfig {
        strikewire_dhan::FeedConfig {
            connections: self.file.dhan.connections,
            per_connection: self.file.dhan.per_connection,
            seed,
            ..Default::default()
        }
    }
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
        check("broker = 'dhan'", "--instruments");
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
