//! What can be changed while the server runs.

use core::time::Duration;

/// Limits and origins. A change holds for requests and clients from then on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Settings {
    /// REST.
    pub http: Http,
    /// The stream.
    pub stream: Stream,
    /// How often callers may ask, where there are keys.
    pub rates: Rates,
}

/// REST.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Http {
    /// Origins whose pages may use REST and the stream, such as `https://desk.example`;
    /// `*` is any. Pages of the server's own origin always may.
    pub cors_origins: Vec<String>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections of one address, or of one IPv6 network of 64 bits, at once.
    pub connections_per_address: usize,
    /// How long a session lasts that nobody uses.
    pub session_idle: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            max_connections: 10_000,
            connections_per_address: 5_000,
            session_idle: Duration::from_secs(12 * 60 * 60),
        }
    }
}

/// The stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stream {
    /// Clients at once.
    pub max_clients: usize,
    /// Clients of one user at once, where there are keys.
    pub clients_per_user: usize,
    /// Subscriptions of one client.
    pub subscriptions: usize,
    /// Instruments in one subscription of ticks.
    pub instruments: usize,
    /// Bytes of a client's message.
    pub message_bytes: usize,
    /// Messages of one client a second, in the long run.
    pub messages_per_s: u32,
    /// Messages of one client at once.
    pub message_burst: u32,
    /// After how long without a message from a client it is pinged.
    pub ping_every: Duration,
    /// After how long without a sign of life a client is let go.
    pub idle_limit: Duration,
    /// Messages that wait for one client.
    pub client_queue: usize,
    /// Bytes that wait for one client; a single message may be longer.
    pub client_queue_bytes: usize,
    /// How long a client's queue may stay full until it is let go.
    pub stall_limit: Duration,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            max_clients: 5_000,
            clients_per_user: 50,
            subscriptions: 100,
            instruments: 5_000,
            message_bytes: 256 * 1024,
            messages_per_s: 20,
            message_burst: 200,
            ping_every: Duration::from_secs(20),
            idle_limit: Duration::from_secs(60),
            client_queue: 1_024,
            client_queue_bytes: 1024 * 1024,
            stall_limit: Duration::from_secs(30),
        }
    }
}

/// How often callers may ask. They hold where there are keys: without, only this machine
/// is served.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rates {
    /// Requests with one key a second, in the long run.
    pub per_key: u32,
    /// Requests with one key at once.
    pub key_burst: u32,
    /// Requests of one address a second, in the long run, whatever their keys.
    pub per_address: u32,
    /// Requests of one address at once.
    pub address_burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            per_key: 200,
            key_burst: 400,
            per_address: 500,
            address_burst: 1_000,
        }
    }
}

/// What became of a request to take a changed configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Keys of the configuration that hold from now on, such as `stream.max_clients`.
    pub changed: Vec<String>,
    /// Keys that differ and hold after a restart only.
    pub needs_restart: Vec<String>,
}

/// Who can take a changed configuration.
pub trait Control: Send + Sync + core::fmt::Debug {
    /// Reads the configuration again and takes what can change at run time. All or nothing:
    /// with a mistake in it everything stays as it is.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    fn reload(&self) -> Result<Reloaded, String>;
}
