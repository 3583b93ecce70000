//! The sections on indicators: how bars are made, who may hold how many, and where that is
//! kept when several nodes share it.

use core::fmt;
use core::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use strikewire_gateway::IndicatorConfig;
use strikewire_gateway::leases::{RedisConfig, RedisUrl, Settings, TimeSource};
use strikewire_gateway::studies::Fill;

/// `[indicators]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IndicatorsSection {
    pub(super) ttl_s: u64,
    pub(super) sweep_s: u64,
    pub(super) max_per_user: usize,
    pub(super) max_keys: usize,
    pub(super) warm_up: bool,
    pub(super) fill: FillBars,
    pub(super) grace_ms: u64,
}

/// What becomes of a time without trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FillBars {
    None,
    Previous,
}

/// `[redis]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedisSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<SecretUrl>,
    pub(super) prefix: String,
    pub(super) timeout_ms: u64,
}

/// Where a Redis is; shown without its password, and not at all if it makes no sense.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct SecretUrl(pub(super) String);

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.parse::<RedisUrl>() {
            Ok(url) => serializer.collect_str(&url),
            Err(_) => serializer.serialize_str("***"),
        }
    }
}

impl Default for IndicatorsSection {
    fn default() -> Self {
        let (config, leases) = (IndicatorConfig::default(), Settings::default());
        Self {
            ttl_s: leases.idle.as_secs(),
            sweep_s: config.sweep.as_secs(),
            max_per_user: config.max_per_user,
            max_keys: config.max_keys,
            warm_up: config.warm_up,
            fill: match config.fill {
                Fill::None => FillBars::None,
                Fill::Previous => FillBars::Previous,
            },
            grace_ms: config.grace.as_millis() as u64,
        }
    }
}

impl Default for RedisSection {
    fn default() -> Self {
        Self {
            url: None,
            prefix: String::new(),
            timeout_ms: 500,
        }
    }
}

/// How indicators are computed and held.
pub(super) fn indicators(section: &IndicatorsSection) -> IndicatorConfig {
    IndicatorConfig {
        sweep: Duration::from_secs(section.sweep_s),
        fill: match section.fill {
            FillBars::None => Fill::None,
            FillBars::Previous => Fill::Previous,
        },
        grace: Duration::from_millis(section.grace_ms),
        max_per_user: section.max_per_user,
        max_keys: section.max_keys,
        warm_up: section.warm_up,
    }
}

/// How long leases last. The record of an indicator outlives the last word of its holders
/// by as much again.
pub(super) fn settings(section: &IndicatorsSection) -> Settings {
    let idle = Duration::from_secs(section.ttl_s);
    Settings {
        idle,
        key_ttl: idle * 2,
    }
}

/// Letters of a prefix at most.
const PREFIX_LIMIT: usize = 64;

/// The Redis that nodes share; none without a URL. A mock run keeps its values out of it,
/// and nodes on a simulated clock share that one, not the server's.
pub(super) fn redis(
    section: &RedisSection,
    is_mock: bool,
    is_simulated: bool,
) -> anyhow::Result<Option<RedisConfig>> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    ensure!(
        section.prefix.len() <= PREFIX_LIMIT && section.prefix.bytes().all(allowed),
        "redis.prefix: expected at most {PREFIX_LIMIT} of the letters A-Z, a-z, 0-9, '.', '_', \
         ':' and '-'"
    );
    let Some(SecretUrl(url)) = &section.url else {
        return Ok(None);
    };
    Ok(Some(RedisConfig {
        prefix: section.prefix.clone(),
        timeout: Duration::from_millis(section.timeout_ms),
        mock: is_mock,
        time: if is_simulated {
            TimeSource::Caller
        } else {
            TimeSource::Server
        },
        ..RedisConfig::new(url.parse().context("redis.url")?)
    }))
}
