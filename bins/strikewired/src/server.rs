use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use arc_swap::ArcSwap;
use strikewire_api::{Access, Api, Control, Door, Metrics, Tls};
use strikewire_dhan::{DhanFeed, DhanRest, FeedConfig, RestConfig, TokenSource};
use strikewire_dhan_sim::SimHandle;
use strikewire_gateway::leases::RedisLeases;
use strikewire_gateway::{Gateway, LeaseSetup, Parts, Reason, Setup};
use strikewire_store::Store;
use strikewire_types::{Clock, ist_date};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Urls;
use crate::reload::{ReloadTls, Reloader};
use crate::standin::Standin;
use crate::threads::{die, vital};
use crate::{Broker, Config, DataDir, access, master};

/// Everything must have ended this long after a stop was asked for.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long requests under way may take to end then.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);

/// A running server.
#[derive(Debug)]
pub struct Server {
    gateway: Gateway,
    addr: SocketAddr,
    broker: Broker,
    instruments: PathBuf,
    clock: Clock,
    stop: CancellationToken,
    access: Arc<Access>,
    tls: Option<Arc<Tls>>,
    control: Arc<dyn Control>,
    http: tokio::task::JoinHandle<()>,
    keys: tokio::task::JoinHandle<()>,
    hub: tokio::task::JoinHandle<()>,
    desk: tokio::task::JoinHandle<()>,
    indicators: tokio::task::JoinHandle<()>,
    keeper: tokio::task::JoinHandle<()>,
    database: String,
    redis: Option<String>,
    is_mock: bool,
    threads: Vec<JoinHandle<()>>,
    standin: Option<Standin>,
    // Last: the lock goes when everything else has.
    _data_dir: DataDir,
}

impl Server {
    /// Starts everything: the one place where the parts are put together. `metrics`
    /// renders the process's metrics in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// When the data directory is in use, the instrument master cannot be loaded, the
    /// certificate cannot be used, the address is taken, or it is a public one and there
    /// are no API keys.
    ///
    /// # Cancel safety
    ///
    /// Not safe: threads that were started go on.
    pub async fn start(
        config: Config,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let clock = config.clock().map_or_else(Clock::system, Clock::simulated);
        Self::start_at(config, clock, metrics).await
    }

    /// As [`start`](Self::start), on a clock that others run by too.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Not safe: threads that were started go on.
    pub async fn start_at(
        config: Config,
        clock: Clock,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let data_dir = DataDir::lock(config.data_dir())?;
        let settings = Arc::new(ArcSwap::from_pointee(config.settings()));
        let tls = config
            .tls()
            .map(|(certificate, key)| Tls::load(certificate, key).map(Arc::new))
            .transpose()
            .context("tls")?;
        let options = config.store();
        let database = options.url.to_string();
        let store = Store::open(&options)
            .await
            .with_context(|| format!("the database {database}"))?;
        // One that is away is connected to when it is back.
        let redis = config.redis();
        let redis_at = redis.as_ref().map(|redis| redis.url.to_string());
        if redis.is_some() && (config.is_mock() || clock.is_simulated()) {
            tracing::warn!(
                mock = config.is_mock(),
                simulated_clock = clock.is_simulated(),
                "Leases of a server for tries go to Redis: it must not share redis.prefix with real ones"
            );
        }
        let shared = match redis {
            Some(redis) => Some(
                RedisLeases::connect(redis, config.leases())
                    .await
                    .map(Arc::new)
                    .context("redis")?,
            ),
            None => None,
        };
        let access = Access::of(store.reader());
        let access = Arc::new(match &shared {
            Some(shared) => access.with_shared_sessions(shared.sessions()),
            None => access,
        });
        access
            .refresh()
            .await
            .with_context(|| format!("the database {database}"))?;
        access::check_address(&config, &access, tls.is_some())?;
        let listener = TcpListener::bind(config.listen())
            .await
            .with_context(|| format!("listen = {}", config.listen()))?;
        let addr = listener.local_addr()?;
        let seed = run_seed(&clock);
        let account = match config.broker() {
            Broker::Dhan => Some(Account::new(&config, seed)?),
            Broker::Sim => None,
        };
        let rest = account.as_ref().map(|account| account.rest.clone());
        let source = master::Source::new(&config, rest);
        let now = clock.now().utc;
        if let Err(error) = source.fetch(ist_date(now)).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "No instrument master of today"
            );
        }
        let (registry, instruments) = source.load(now)?;
        let recovered = store
            .recover()
            .await
            .with_context(|| format!("the database {database}"))?;
        let audit = store.reader();

        let mut notes = Vec::new();
        let (standin, Account { feed, rest }) = match account {
            Some(account) => (None, account),
            None => {
                let standin = Standin::start(registry.clone(), clock, config.sim()).await?;
                if config.is_endless() {
                    notes.push(endless_session(&clock));
                }
                let account = Account::embedded(&config, &standin, seed)?;
                (Some(standin), account)
            }
        };

        let stats = feed.stats();
        let gateway_config = strikewire_gateway::Config {
            seed,
            ..config.gateway().clone()
        };
        let mut writer = None;
        let Parts {
            gateway,
            feed,
            owner,
            hub,
            desk,
            indicators,
        } = strikewire_gateway::build(Setup {
            config: gateway_config,
            registry,
            clock,
            calendar: config.calendar(),
            feed,
            reference: rest,
            journal: |outcome| {
                let (recorder, made) = store.start(outcome);
                writer = Some(made);
                recorder
            },
            recovered,
            audit: Some(audit),
            leases: LeaseSetup {
                shared,
                mock: config.is_mock(),
                settings: config.leases(),
            },
        })?;
        let mut threads = Vec::new();
        if let Some(writer) = writer {
            threads.push(vital("store", move || writer.run())?);
        }
        threads.extend([
            vital("owner", move || owner)?,
            vital("feed", move || async move {
                if let Err(error) = feed().await {
                    tracing::error!(%error, "The feed cannot run");
                    die("feed");
                }
            })?,
        ]);
        let hub = tokio::spawn(hub);
        let desk = tokio::spawn(desk);
        let indicators = tokio::spawn(indicators);
        let keeper = tokio::spawn(master::keep(
            source,
            gateway.clone(),
            standin.as_ref().map(|standin| standin.handle.clone()),
            config.reload_at(),
        ));

        let stop = CancellationToken::new();
        let reload_tls = tls.clone().map(|tls| -> ReloadTls {
            Box::new(move || tls.reload().map_err(|error| error.to_string()))
        });
        let control: Arc<dyn Control> =
            Arc::new(Reloader::new(&config, Arc::clone(&settings), reload_tls));
        let metrics = move || {
            crate::meters::show_feed(&stats);
            metrics()
        };
        let api = Api::new(strikewire_api::Setup {
            gateway: gateway.clone(),
            metrics: Metrics::new(metrics),
            notes,
            stop: stop.clone(),
            run: seed,
            access: Arc::clone(&access),
            settings: Arc::clone(&settings),
            control: Some(Arc::clone(&control)),
        });
        let door = Door {
            settings: Arc::clone(&settings),
            tls: tls.clone(),
            stop: stop.clone(),
        };
        let router = strikewire_api::router(api);
        let http = tokio::spawn(strikewire_api::serve(listener, router, door));
        let keys = tokio::spawn(access::keep(
            Arc::clone(&access),
            settings,
            gateway.clone(),
            clock,
        ));

        Ok(Self {
            gateway,
            addr,
            broker: config.broker(),
            instruments,
            clock,
            stop,
            access,
            tls,
            control,
            http,
            keys,
            hub,
            desk,
            indicators,
            keeper,
            database,
            redis: redis_at,
            is_mock: config.is_mock(),
            threads,
            standin,
            _data_dir: data_dir,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The embedded stand-in, if that is the broker.
    #[must_use]
    pub fn standin(&self) -> Option<&SimHandle> {
        self.standin.as_ref().map(|standin| &standin.handle)
    }

    /// The gateway inside.
    #[must_use]
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Takes a changed configuration.
    #[must_use]
    pub fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.control)
    }

    /// Who may do what.
    #[must_use]
    pub const fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// What a person who started it wants to know.
    #[must_use]
    pub fn banner(&self) -> String {
        let addr = self.addr;
        let registry = self.gateway.registry();
        let report = registry.report();
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "\nStrikewire {}", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(
            text,
            "  instruments  {} loaded as of {} from {}",
            report.loaded,
            registry.as_of(),
            self.instruments.display()
        );
        let _ = match (&self.standin, self.clock.is_simulated()) {
            (Some(standin), false) => writeln!(
                text,
                "  broker       embedded stand-in for Dhan at {}; every day is one session \
                 from 00:00 to 24:00, without end of day",
                standin.url
            ),
            (Some(standin), true) => {
                writeln!(
                    text,
                    "  broker       embedded stand-in for Dhan at {}",
                    standin.url
                )
            }
            (None, _) => writeln!(text, "  broker       {:?}", self.broker),
        };
        let _ = writeln!(text, "  database     {}", self.database);
        if let Some(redis) = &self.redis {
            let away = match self.gateway.indicators().degraded() {
                Some(_) => ", which is away: leases and sessions are this node's own until then",
                None => "",
            };
            let _ = writeln!(text, "  redis        {redis}{away}");
        }
        let _ = writeln!(text, "  clock        {}", self.clock.now().utc);
        let (http, ws) = match self.tls {
            Some(_) => ("https", "wss"),
            None => ("http", "ws"),
        };
        if self.is_mock {
            let _ = writeln!(
                text,
                "  indicators   mock: their values are marked, kept in memory and never shared"
            );
        }
        let _ = writeln!(text, "  REST         {http}://{addr}/api/v2/");
        let _ = writeln!(text, "  stream       {ws}://{addr}/api/v2/stream");
        let _ = writeln!(text, "  pages        {http}://{addr}/docs");
        let _ = writeln!(text, "  readiness    {http}://{addr}/readyz");
        let _ = writeln!(text, "  metrics      {http}://{addr}/metrics");
        let header = if self.access.keys_on() {
            let keys = self.access.active_keys();
            let _ = writeln!(text, "  access       with API keys, {keys} active");
            "-H \"Authorization: Bearer $STRIKEWIRE_API_KEY\" "
        } else {
            let _ = writeln!(
                text,
                "  access       without API keys: this machine only, and everybody is admin; \
                 `strikewire auth new-key` makes one"
            );
            ""
        };
        let _ = writeln!(
            text,
            "\nTry: curl -s {header}'{http}://{addr}/api/v2/option-chain/NIFTY?width=5'\n"
        );
        text
    }

    /// Serves until `asked` completes, then stops.
    ///
    /// # Errors
    ///
    /// When something did not end in time.
    ///
    /// # Cancel safety
    ///
    /// Not safe: threads that were started go on.
    pub async fn run_until(mut self, asked: impl Future<Output = ()>) -> anyhow::Result<()> {
        tokio::select! {
            () = asked => {}
            ended = &mut self.hub => {
                if ended.is_err() {
                    die("hub");
                }
            }
            ended = &mut self.desk => {
                if ended.is_err() {
                    die("desk");
                }
            }
            ended = &mut self.indicators => {
                if ended.is_err() {
                    die("indicators");
                }
            }
            ended = &mut self.keeper => {
                if ended.is_err() {
                    die("keeper of the instrument master");
                }
            }
            // These two end only when they are told to.
            _ = &mut self.http => die("accept loop"),
            _ = &mut self.keys => die("keeper of the keys"),
        }
        self.stop().await
    }

    /// Stops: no new connections, goodbye to the clients and to the broker.
    ///
    /// # Errors
    ///
    /// When something did not end in time.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what has not ended goes on.
    pub async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("Stopping");
        self.keeper.abort();
        self.keys.abort();
        // Before the streams close, so that these let go of nothing: their clients go on at
        // another node, or here after a restart, or what they hold expires.
        if !self.indicators.is_finished() {
            self.indicators.abort();
            let _ = self.indicators.await;
        }
        self.stop.cancel();
        let gateway = self.gateway;
        let standin = self.standin;
        let threads = self.threads;
        let mut http = self.http;
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
            // The stand-in hears the goodbye before it goes.
            if let Some(standin) = standin {
                let _ = standin.stop().join();
            }
        });
        let all = async {
            gateway.stop().await;
            let requests = async {
                // One that never comes to its end is not waited for.
                if tokio::time::timeout(REQUEST_LIMIT, &mut http)
                    .await
                    .is_err()
                {
                    tracing::warn!("Requests that did not end in time are dropped");
                    http.abort();
                }
            };
            let _ = tokio::join!(ended, requests);
        };
        tokio::time::timeout(STOP_LIMIT, all)
            .await
            .with_context(|| format!("not everything ended within {} s", STOP_LIMIT.as_secs()))?;
        tracing::info!("Stopped");
        Ok(())
    }
}

/// The two sides of a broker's account.
#[derive(Debug)]
struct Account {
    feed: DhanFeed,
    rest: DhanRest,
}

impl Account {
    /// Dhan's, with the credentials of the environment.
    fn new(config: &Config, seed: u64) -> anyhow::Result<Self> {
        let (client_id, token) = Config::credentials()?;
        Self::at(config, config.dhan_urls(), client_id, token, seed)
    }

    /// The embedded stand-in's, which takes any.
    fn embedded(config: &Config, standin: &Standin, seed: u64) -> anyhow::Result<Self> {
        let token = TokenSource::Fixed("embedded".to_owned().into());
        let urls = Urls {
            feed: standin.url.clone(),
            api: standin.api_url.clone(),
            master: standin.api_url.clone(),
        };
        Self::at(config, urls, "embedded".into(), token, seed)
    }

    fn at(
        config: &Config,
        urls: Urls,
        client_id: String,
        token: TokenSource,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let rest = DhanRest::new(RestConfig {
            url: urls.api,
            master_url: urls.master,
            client_id: client_id.clone(),
            token: token.clone(),
            seed,
            ..Default::default()
        })?;
        let feed = DhanFeed::new(FeedConfig {
            url: urls.feed,
            client_id,
            token,
            ..config.feed(seed)
        })?;
        Ok(Self { feed, rest })
    }
}

/// Completes at Ctrl-C or SIGTERM.
///
/// # Cancel safety
///
/// Safe.
pub async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be caught");
                core::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

/// Differs from run to run, except on a simulated clock.
fn run_seed(clock: &Clock) -> u64 {
    let nanos = clock.now().utc.as_nanos().unsigned_abs();
    if clock.is_simulated() {
        nanos
    } else {
        nanos ^ (u64::from(std::process::id()) << 32)
    }
}

fn endless_session(clock: &Clock) -> Reason {
    Reason {
        code: "embedded_session",
        detail: "the embedded stand-in has one session from 00:00 to 24:00 every day, without \
                 end of day"
            .into(),
        since: clock.now().utc,
    }
}
