//! The sections on what callers meet: REST, the stream, keys, TLS; and on logs.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use strikewire_api::Settings;

use super::file::File;
use super::{LogFormat, LogLevel};

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    pub(super) cors_origins: Vec<String>,
    pub(super) request_timeout_s: u64,
    pub(super) header_timeout_s: u64,
    pub(super) max_connections: usize,
    pub(super) connections_per_address: usize,
    pub(super) session_idle_h: u64,
}

/// `[tls]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<PathBuf>,
}

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthSection {
    pub(super) key_requests_per_s: u32,
    pub(super) key_burst: u32,
    pub(super) address_requests_per_s: u32,
    pub(super) address_burst: u32,
}

/// `[stream]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StreamSection {
    pub(super) max_clients: usize,
    pub(super) clients_per_user: usize,
    pub(super) subscriptions: usize,
    pub(super) instruments: usize,
    pub(super) message_kib: usize,
    pub(super) messages_per_s: u32,
    pub(super) message_burst: u32,
    pub(super) ping_s: u64,
    pub(super) idle_s: u64,
    pub(super) client_queue: usize,
    pub(super) client_queue_kib: usize,
    pub(super) stall_s: u64,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogSection {
    pub(super) level: LogLevel,
    pub(super) format: LogFormat,
    pub(super) modules: BTreeMap<String, LogLevel>,
}

const HOUR: u64 = 60 * 60;
const KIB: usize = 1024;

impl Default for HttpSection {
    fn default() -> Self {
        let http = Settings::default().http;
        Self {
            cors_origins: http.cors_origins,
            request_timeout_s: http.request_timeout.as_secs(),
            header_timeout_s: http.header_timeout.as_secs(),
            max_connections: http.max_connections,
            connections_per_address: http.connections_per_address,
            session_idle_h: http.session_idle.as_secs() / HOUR,
        }
    }
}

impl Default for AuthSection {
    fn default() -> Self {
        let rates = Settings::default().rates;
        Self {
            key_requests_per_s: rates.per_key,
            key_burst: rates.key_burst,
            address_requests_per_s: rates.per_address,
            address_burst: rates.address_burst,
        }
    }
}

impl Default for StreamSection {
    fn default() -> Self {
        let stream = Settings::default().stream;
        Self {
            max_clients: stream.max_clients,
            clients_per_user: stream.clients_per_user,
            subscriptions: stream.subscriptions,
            instruments: stream.instruments,
            message_kib: stream.message_bytes / KIB,
            messages_per_s: stream.messages_per_s,
            message_burst: stream.message_burst,
            ping_s: stream.ping_every.as_secs(),
            idle_s: stream.idle_limit.as_secs(),
            client_queue: stream.client_queue,
            client_queue_kib: stream.client_queue_bytes / KIB,
            stall_s: stream.stall_limit.as_secs(),
        }
    }
}

/// What the interface is given; the numbers have been found to be in their ranges.
pub(super) fn settings(file: &File) -> anyhow::Result<Settings> {
    for (at, origin) in file.http.cors_origins.iter().enumerate() {
        ensure!(
            is_origin(origin),
            "http.cors_origins[{at}]: expected an origin such as https://desk.example, without \
             a path, or *"
        );
    }
    let stream = &file.stream;
    ensure!(
        stream.ping_s < stream.idle_s,
        "stream.idle_s = {}: expected more than stream.ping_s, which is {}",
        stream.idle_s,
        stream.ping_s
    );
    let mut settings = Settings::default();
    settings
        .http
        .cors_origins
        .clone_from(&file.http.cors_origins);
    settings.http.request_timeout = Duration::from_secs(file.http.request_timeout_s);
    settings.http.header_timeout = Duration::from_secs(file.http.header_timeout_s);
    settings.http.max_connections = file.http.max_connections;
    settings.http.connections_per_address = file.http.connections_per_address;
    settings.http.session_idle = Duration::from_secs(file.http.session_idle_h * HOUR);
    settings.rates.per_key = file.auth.key_requests_per_s;
    settings.rates.key_burst = file.auth.key_burst;
    settings.rates.per_address = file.auth.address_requests_per_s;
    settings.rates.address_burst = file.auth.address_burst;
    settings.stream.max_clients = stream.max_clients;
    settings.stream.clients_per_user = stream.clients_per_user;
    settings.stream.subscriptions = stream.subscriptions;
    settings.stream.instruments = stream.instruments;
    settings.stream.message_bytes = stream.message_kib * KIB;
    settings.stream.messages_per_s = stream.messages_per_s;
    settings.stream.message_burst = stream.message_burst;
    settings.stream.ping_every = Duration::from_secs(stream.ping_s);
    settings.stream.idle_limit = Duration::from_secs(stream.idle_s);
    settings.stream.client_queue = stream.client_queue;
    settings.stream.client_queue_bytes = stream.client_queue_kib * KIB;
    settings.stream.stall_limit = Duration::from_secs(stream.stall_s);
    Ok(settings)
}

/// Scheme, host and perhaps port, and nothing else.
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    text == "*"
        || host.is_some_and(|host| {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.:[]_".contains(c))
        })
}

/// Both files are named, or none.
pub(super) fn check_tls(section: &TlsSection) -> anyhow::Result<()> {
    match (&section.certificate, &section.key) {
        (Some(_), None) => bail!("tls.certificate without tls.key: expected both or none"),
        (None, Some(_)) => bail!("tls.key without tls.certificate: expected both or none"),
        _ => Ok(()),
    }
}

/// The levels as one line of directives, the way `RUST_LOG` has them.
pub(super) fn directives(section: &LogSection) -> anyhow::Result<String> {
    let mut line = section.level.as_str().to_owned();
    for (module, level) in &section.modules {
        let is_path = !module.is_empty()
            && module.split("::").all(|part| {
                !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_')
            });
        ensure!(
            is_path,
            "log.modules has {module:?}: expected the path of a module such as strikewire_dhan"
        );
        line += &format!(",{module}={}", level.as_str());
    }
    // What the ranges of the levels cannot say.
    line.parse::<tracing_subscriber::EnvFilter>()
        .context("log.modules")?;
    Ok(line)
}
