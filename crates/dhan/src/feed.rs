use core::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use secrecy::SecretString;
use strikewire_broker::{Capabilities, Feed, Port, Sink};

use crate::Error;
use crate::budget::BudgetConfig;
use crate::connection::Limits;
use crate::credentials::{Endpoint, TokenSource};
use crate::driver::Driver;
use crate::stats::FeedStats;
use crate::wire::MAX_INSTRUMENTS;

/// Where Dhan's feed is.
pub const FEED_URL: &str = "wss://api-feed.dhan.co";

/// Connections that Dhan gives an account; one more, and the oldest is closed.
pub const MAX_CONNECTIONS: usize = 5;

/// Instruments that Dhan allows on a connection.
pub const MAX_PER_CONNECTION: usize = 5_000;

/// How to reach the feed. The client id and the token have no default that works:
///
/// ```
/// use strikewire_dhan::{DhanFeed, FeedConfig, TokenSource};
///
/// let feed = DhanFeed::new(FeedConfig {
///     client_id: "1000000001".to_owned(),
///     token: TokenSource::File("/run/secrets/dhan-token".into()),
///     ..FeedConfig::default()
/// })?;
/// # Ok::<(), strikewire_dhan::Error>(())
/// ```
#[derive(Clone)]
pub struct FeedConfig {
    /// The address, `ws://` or `wss://`, without a query. Default [`FEED_URL`].
    pub url: String,
    /// The id of the Dhan account. Default none.
    pub client_id: String,
    /// Where the access token comes from. Default none.
    pub token: TokenSource,
    /// Connections to keep alive: this process's share of the account's
    /// [`MAX_CONNECTIONS`]. Default 5.
    pub connections: usize,
    /// Instruments on each, at most [`MAX_PER_CONNECTION`]. Default 5,000.
    pub per_connection: usize,
    /// The times of the connections.
    pub limits: Limits,
    /// How often connections may be tried, and where that is kept across restarts.
    pub budget: BudgetConfig,
    /// Certificate authorities to trust besides the public ones, which are Mozilla's.
    /// Default none.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// For the jitter of the waits. Give every process another one, or they will
    /// return in step. Default 0.
    pub seed: u64,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            url: FEED_URL.to_owned(),
            client_id: String::new(),
            token: TokenSource::Fixed(SecretString::default()),
            connections: MAX_CONNECTIONS,
            per_connection: MAX_PER_CONNECTION,
            limits: Limits::default(),
            budget: BudgetConfig::default(),
            extra_roots: Vec::new(),
            seed: 0,
        }
    }
}

impl fmt::Debug for FeedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address is shown only when it cannot have a token in it.
        let url = match Endpoint::parse(&self.url) {
            Ok(_) => self.url.as_str(),
            Err(_) => "not a feed url",
        };
        f.debug_struct("FeedConfig")
            .field("url", &url)
            .field("client_id", &self.client_id)
            .field("token", &self.token)
            .field("connections", &self.connections)
            .field("per_connection", &self.per_connection)
            .field("limits", &self.limits)
            .field("budget", &self.budget)
            .field("extra_roots", &self.extra_roots.len())
            .field("seed", &self.seed)
            .finish()
    }
}

/// Dhan's feed over a few sockets, see [`Feed`].
///
/// It runs as one future on a current-thread runtime with IO and time enabled. All
/// sockets are polled in one loop, with a bounded number of frames per socket and
/// turn; nothing lies between a socket and the sink.
///
/// A connection that the broker has turned away for good (data APIs not subscribed,
/// client id invalid) is reported down without a next attempt, until there is another
/// token; the feed itself goes on until the other end of the port is dropped.
#[derive(Debug)]
pub struct DhanFeed {
    pub(crate) endpoint: Endpoint,
    pub(crate) client_id: String,
    pub(crate) token: TokenSource,
    pub(crate) connections: usize,
    pub(crate) per_connection: usize,
    pub(crate) limits: Limits,
    pub(crate) budget: BudgetConfig,
    /// None for an address without TLS.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) seed: u64,
    pub(crate) stats: Arc<FeedStats>,
}

impl DhanFeed {
    /// A feed that has not begun.
    ///
    /// `wss://` uses rustls with the aws-lc-rs provider, whatever the program has
    /// installed for itself.
    ///
    /// # Errors
    ///
    /// When the configuration can never work. The token is looked at when a
    /// connection is made, not here.
    pub fn new(config: FeedConfig) -> Result<Self, Error> {
        let endpoint = Endpoint::parse(&config.url)?;
        if config.client_id.trim().is_empty() {
            return Err(Error::ClientIdMissing);
        }
        if !(1..=MAX_CONNECTIONS).contains(&config.connections) {
            return Err(Error::Connections {
                got: config.connections,
                max: MAX_CONNECTIONS,
            });
        }
        if !(1..=MAX_PER_CONNECTION).contains(&config.per_connection) {
            return Err(Error::PerConnection {
                got: config.per_connection,
                max: MAX_PER_CONNECTION,
            });
        }
        let tls = match endpoint.is_tls() {
            true => Some(tls(&config.extra_roots)?),
            false => None,
        };
        Ok(Self {
            endpoint,
            client_id: config.client_id.trim().to_owned(),
            token: config.token,
            connections: config.connections,
            per_connection: config.per_connection,
            limits: config.limits,
            budget: config.budget,
            tls,
            seed: config.seed,
            stats: Arc::new(FeedStats::new(config.connections)),
        })
    }

    /// What it counts while it runs.
    #[must_use]
    pub fn stats(&self) -> Arc<FeedStats> {
        Arc::clone(&self.stats)
    }
}

impl Feed for DhanFeed {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            connections: self.connections,
            per_connection: self.per_connection,
            per_batch: MAX_INSTRUMENTS,
        }
    }

    /// See [`Feed::run`]. Needs a tokio runtime with IO and time enabled.
    ///
    /// # Errors
    ///
    /// When the port is not made for as many connections as the feed has.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the sockets without a goodbye to the broker.
    async fn run(self, port: Port, sink: impl Sink) -> Result<(), strikewire_broker::Error> {
        if port.connections() != self.connections {
            let error = Error::Port {
                got: port.connections(),
                expected: self.connections,
            };
            return Err(strikewire_broker::Error::new("dhan", error.to_string()));
        }
        Driver::new(self, port, sink).run().await;
        Ok(())
    }
}

/// TLS with the one provider of the workspace, whatever else is linked.
fn tls(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<rustls::ClientConfig>, Error> {
    let bad = |source| Error::Roots { source };
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra_roots {
        roots.add(root.clone()).map_err(bad)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
