mod changes;
mod file;
mod interface;
mod leases;
mod ranges;
mod read;

use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use jiff::civil::Time;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use strikewire_api::Settings;
use strikewire_dhan::{BudgetConfig, TokenSource};
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::chain::{Defaults, Width};
use strikewire_gateway::leases::{RedisConfig, Settings as LeaseSettings};
use strikewire_store::DatabaseUrl;
use strikewire_types::ClockSpec;

use crate::{Args, Broker};
use file::{File, Secret};
use leases::SecretUrl;

/// The documented sample of the configuration file. It holds the defaults.
pub const SAMPLE: &str = include_str!("../strikewire.toml");

/// The configuration in force, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it was made of, to make it again.
    args: Args,
    file: File,
    settings: Settings,
    log: String,
    clock: Option<ClockSpec>,
    gateway: strikewire_gateway::Config,
    database: Option<DatabaseUrl>,
    redis: Option<RedisConfig>,
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
            Some(path) => read::read(path)?,
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
        if let Some(url) = &args.redis {
            file.redis.url = Some(SecretUrl(url.clone()));
        }
        if let Some(clock) = &args.clock {
            file.clock = Some(clock.to_string());
        }
        Ok(Self {
            args: args.clone(),
            ..Self::validate(file)?
        })
    }

    /// The same, of what file and environment hold by now.
    pub(crate) fn again(&self) -> anyhow::Result<Self> {
        Self::load(&self.args)
    }

    fn validate(file: File) -> anyhow::Result<Self> {
        ranges::check(&settings_of(&file)?)?;
        for (key, url) in [
            ("dhan.feed_url", &file.dhan.feed_url),
            ("dhan.api_url", &file.dhan.api_url),
            ("dhan.master_url", &file.dhan.master_url),
        ] {
            // Shown in logs and by --print-config, so there must be nothing secret in it.
            ensure!(
                !url.contains(['@', '?', '#']),
                "{key}: expected an address without user name, password or query"
            );
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
            indicators: leases::indicators(&file.indicators),
            ..Default::default()
        };
        let database = file
            .database
            .as_ref()
            .map(|url| url.0.parse())
            .transpose()
            .context("database")?;
        let redis = leases::redis(&file.redis, is_mock(&file), clock.is_some())?;
        let reload_at = time_of_day("master.reload_at", &file.master.reload_at)?;
        let calendar = calendar(&file)?;
        let settings = interface::settings(&file)?;
        interface::check_tls(&file.tls)?;
        let log = interface::directives(&file.log)?;
        Ok(Self {
            args: Args::default(),
            settings,
            log,
            file,
            clock,
            gateway,
            database,
            redis,
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

    /// Limits and origins of the interface.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// The files of the interface's certificate and its private key, in PEM; none without
    /// TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        let tls = &self.file.tls;
        Some((tls.certificate.as_deref()?, tls.key.as_deref()?))
    }

    /// Levels of logs, the way `RUST_LOG` has them.
    pub(crate) fn log_directives(&self) -> &str {
        &self.log
    }

    /// What logs look like.
    pub(crate) const fn log_format(&self) -> LogFormat {
        self.file.log.format
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
    #[must_use]
    pub fn store(&self) -> strikewire_store::Options {
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

    /// Whether values of indicators come from prices that nobody traded at.
    #[must_use]
    pub const fn is_mock(&self) -> bool {
        is_mock(&self.file)
    }

    /// The Redis that nodes share leases and sessions in; none: they are this node's own.
    pub(crate) fn redis(&self) -> Option<RedisConfig> {
        self.redis.clone()
    }

    /// How long leases of indicators last.
    pub(crate) fn leases(&self) -> LeaseSettings {
        leases::settings(&self.file.indicators)
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

/// From when on something is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What logs look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    Human,
    Json,
}

/// Where a broker is.
#[derive(Debug)]
pub(crate) struct Urls {
    pub(crate) feed: String,
    pub(crate) api: String,
    pub(crate) master: String,
}

/// Whether prices come from a stand-in, by itself or because the file says so.
const fn is_mock(file: &File) -> bool {
    file.mock || matches!(file.broker, Broker::Sim)
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

/// All of a file as a table, secrets masked.
fn settings_of(file: &File) -> anyhow::Result<toml::Table> {
    toml::Table::try_from(file).context("the configuration")
}

#[cfg(test)]
mod tests;
