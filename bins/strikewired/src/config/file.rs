//! The configuration file as it is written, and its defaults.

use core::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use strikewire_gateway::chain::Width;
use strikewire_gateway::{Contracts, TierBRule};
use strikewire_store::DatabaseUrl;
use strikewire_types::Mode;

use super::interface::{AuthSection, HttpSection, LogSection, StreamSection, TlsSection};
use super::leases::{IndicatorsSection, RedisSection};
use crate::Broker;

/// The file as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: SocketAddr,
    pub(super) data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instruments: Option<PathBuf>,
    pub(super) broker: Broker,
    pub(super) mock: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clock: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<Secret>,
    pub(super) workers: usize,
    pub(super) dhan: Dhan,
    pub(super) sim: Sim,
    pub(super) master: Master,
    pub(super) chain: Chain,
    pub(super) subscriptions: Subscriptions,
    pub(super) indicators: IndicatorsSection,
    pub(super) redis: RedisSection,
    pub(super) calendar: CalendarFile,
    pub(super) eod: EndOfDay,
    pub(super) store: Store,
    pub(super) http: HttpSection,
    pub(super) tls: TlsSection,
    pub(super) auth: AuthSection,
    pub(super) stream: StreamSection,
    pub(super) log: LogSection,
    pub(super) tier_b: Vec<TierB>,
}

/// A text that is not shown again, such as a URL with a password.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

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
pub(super) struct Master {
    pub(super) reload_at: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CalendarFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overrides: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EndOfDay {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) retention_days: u64,
    pub(super) audit_queue: usize,
}

/// A rule of what is always on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TierB {
    pub(super) contracts: Contracts,
    pub(super) symbols: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exchange: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) width: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expiries: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dhan {
    pub(super) feed_url: String,
    pub(super) api_url: String,
    pub(super) master_url: String,
    pub(super) connections: usize,
    pub(super) per_connection: usize,
    pub(super) connect_burst: u32,
    pub(super) connect_refill_s: u64,
    pub(super) connect_spacing_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sim {
    pub(super) rows: usize,
    pub(super) seed: u64,
    pub(super) volatility: f64,
    pub(super) rate: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Chain {
    pub(super) width_stock: u16,
    pub(super) width_index: u16,
    pub(super) width_other: u16,
    pub(super) ttl_s: u64,
    pub(super) linger_s: u64,
    pub(super) price_wait_ms: u64,
    pub(super) pre_open_lead_s: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Subscriptions {
    pub(super) total: usize,
    pub(super) in_use_s: u64,
    pub(super) migration_grace_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quota_per_user: Option<usize>,
    pub(super) fair_share: bool,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: "strikewire-data".into(),
            instruments: None,
            broker: Broker::default(),
            mock: false,
            clock: None,
            database: None,
            workers: 2,
            dhan: Dhan::default(),
            sim: Sim::default(),
            master: Master::default(),
            chain: Chain::default(),
            subscriptions: Subscriptions::default(),
            indicators: IndicatorsSection::default(),
            redis: RedisSection::default(),
            calendar: CalendarFile::default(),
            eod: EndOfDay::default(),
            store: Store::default(),
            http: HttpSection::default(),
            tls: TlsSection::default(),
            auth: AuthSection::default(),
            stream: StreamSection::default(),
            log: LogSection::default(),
            tier_b: TierBRule::defaults().iter().map(TierB::from).collect(),
        }
    }
}

impl Default for Dhan {
    fn default() -> Self {
        Self {
            feed_url: strikewire_dhan::FEED_URL.to_owned(),
            api_url: strikewire_dhan::rest::API_URL.to_owned(),
            master_url: strikewire_dhan::rest::MASTER_URL.to_owned(),
            connections: strikewire_dhan::MAX_CONNECTIONS,
            per_connection: strikewire_dhan::MAX_PER_CONNECTION,
            connect_burst: 10,
            connect_refill_s: 12,
            connect_spacing_ms: 500,
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
            contracts: rule.contracts,
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
    pub(super) fn rule(&self, at: usize) -> anyhow::Result<TierBRule> {
        ensure!(
            !self.symbols.is_empty(),
            "tier_b[{at}].symbols is empty: expected at least one symbol"
        );
        ensure!(
            self.expiries != Some(0),
            "tier_b[{at}].expiries = 0: expected at least 1"
        );
        Ok(TierBRule {
            contracts: self.contracts,
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
