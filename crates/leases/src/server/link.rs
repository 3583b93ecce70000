//! The connection, and knowing whether there is one.

use core::fmt;
use core::hash::BuildHasher;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::{FixedState, RandomState};
use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, Pipeline, RedisError, Value};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{RedisConfig, scripts};
use crate::Error;
use scripts::Operation;

/// Between two looks at a connection that nobody uses.
const PROBE: Duration = Duration::from_secs(1);
/// Before connecting again, at first and at most.
const WAIT: Duration = Duration::from_millis(50);
const MOST_WAIT: Duration = Duration::from_secs(2);
/// Connecting may take this long, or the timeout of operations where that is longer.
const CONNECT: Duration = Duration::from_secs(2);
/// Commands that may wait to be written.
const QUEUE: usize = 1_024;

/// Whether Redis is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Whether operations go through. While this is false they fail at once.
    pub up: bool,
    /// How many connections there have been. Whoever sees the same number before and after
    /// an operation knows that the server was not started anew in between.
    pub generation: u64,
    /// Another number whenever the server may have lost what it knew: it was started anew, or
    /// emptied.
    pub data: u64,
}

/// A connection that is made again by itself.
pub(super) struct Link {
    client: Client,
    /// Without a password.
    server: String,
    timeout: Duration,
    /// What each look at the connection renews, and for how long.
    renewed: Vec<String>,
    renewal: Duration,
    /// What is asked of a new connection first: the scripts, and something to be written.
    greeting: Pipeline,
    /// The name of a key that lives as long as the server's data.
    marker: String,
    current: RwLock<Option<Current>>,
    health: watch::Sender<Health>,
    lost: Notify,
}

#[derive(Clone)]
struct Current {
    connection: MultiplexedConnection,
    generation: u64,
    /// What the marker said.
    mark: Arc<str>,
}

/// A new connection, and what identifies the server's data.
struct Greeted {
    connection: MultiplexedConnection,
    mark: String,
    run: String,
}

/// Ends its task when it is dropped.
#[derive(Debug)]
pub(super) struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("server", &self.server)
            .field("health", &*self.health.borrow())
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects, and goes on trying where that fails.
    pub(super) async fn open(
        config: &RedisConfig,
        mut greeting: Pipeline,
        renewed: Vec<String>,
        renewal: Duration,
    ) -> Result<(Arc<Self>, Keeper), Error> {
        let info = config.url.info()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            // An error says that the process has chosen one already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let server = config.url.to_string();
        let client = Client::open(info.set_tcp_settings(tcp)).map_err(|source| Error::Refused {
            server: server.clone(),
            doing: "the configuration",
            source,
        })?;
        // A replica, a full server, one that is still loading: of no use.
        let probe = format!("{}indicator_lease:probe", config.prefix);
        greeting.cmd("SET").arg(probe).arg(1).arg("PX").arg(10_000);
        let link = Arc::new(Self {
            client,
            server,
            timeout: config.timeout,
            renewed,
            renewal,
            greeting,
            marker: format!("{}indicator_lease:data", config.prefix),
            current: RwLock::new(None),
            health: watch::Sender::new(Health::default()),
            lost: Notify::new(),
        });
        metrics::gauge!("strikewire_redis_up").set(0.0);
        let mocks = (!config.mock).then(|| mock_pattern(&config.prefix));
        let (tried, first) = oneshot::channel();
        let keeper = Keeper(tokio::spawn(keep(Arc::clone(&link), mocks, tried)));
        // The keeper ends only when it is dropped.
        let _ = first.await;
        Ok((link, keeper))
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// An answer that is none of ours.
    pub(super) fn odd(&self, doing: &'static str, expected: &'static str) -> Error {
        Error::Answer {
            server: self.server.clone(),
            doing,
            expected,
        }
    }

    fn unavailable(&self, reason: impl Into<String>) -> Error {
        Error::Unavailable {
            server: self.server.clone(),
            reason: reason.into(),
        }
    }

    /// Runs a script, and gives it to the server first where that does not know it.
    pub(super) async fn run(&self, operation: &Operation, cmd: &Cmd) -> Result<Value, Error> {
        match self.query(operation.name, cmd).await {
            Err(Error::Refused { source, .. }) if scripts::is_unknown(&source) => {}
            other => return other,
        }
        // The script did not run, so nothing is done twice.
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(operation.load()).ignore();
        pipeline.add_command(cmd.clone());
        self.pipeline(operation.name, &pipeline)
            .await?
            .pop()
            .ok_or_else(|| self.odd(operation.name, "an answer"))
    }

    /// One command.
    pub(super) async fn query(&self, doing: &'static str, cmd: &Cmd) -> Result<Value, Error> {
        let mut current = self.current()?;
        let asked = cmd.query_async(&mut current.connection);
        self.finish(doing, current.generation, asked, false).await
    }

    /// One command that reads much. That it takes long does not mean that the connection is of
    /// no use to others.
    pub(super) async fn read(&self, doing: &'static str, cmd: &Cmd) -> Result<Value, Error> {
        let mut current = self.current()?;
        let asked = cmd.query_async(&mut current.connection);
        self.finish(doing, current.generation, asked, true).await
    }

    /// Several commands at once; the answers of those that are not ignored.
    pub(super) async fn pipeline(
        &self,
        doing: &'static str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, Error> {
        let mut current = self.current()?;
        let asked = pipeline.query_async(&mut current.connection);
        self.finish(doing, current.generation, asked, false).await
    }

    fn current(&self) -> Result<Current, Error> {
        let current = self.current.read().clone();
        current.ok_or_else(|| self.unavailable("there is no connection"))
    }

    async fn finish<T>(
        &self,
        doing: &'static str,
        generation: u64,
        asked: impl Future<Output = Result<T, RedisError>>,
        is_bulk: bool,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let result = timeout(self.timeout, asked).await;
        metrics::histogram!("strikewire_redis_seconds", "op" => doing)
            .record(began.elapsed().as_secs_f64());
        let error = match result {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                let reason = format!("no answer within {:?}", self.timeout);
                if is_bulk {
                    count("timeout");
                } else {
                    self.lose(generation, "timeout", &reason);
                }
                return Err(self.unavailable(reason));
            }
        };
        if scripts::is_unknown(&error) || !is_away(&error) {
            if !scripts::is_unknown(&error) {
                count("server");
            }
            return Err(Error::Refused {
                server: self.server.clone(),
                doing,
                source: error,
            });
        }
        let reason = error.to_string();
        self.lose(generation, "closed", &reason);
        Err(self.unavailable(reason))
    }

    /// Says that a connection is of no use any more. Whoever comes meanwhile is told at once,
    /// and does not wait.
    fn lose(&self, generation: u64, kind: &'static str, reason: &str) {
        count(kind);
        let lost = self.health.send_if_modified(|health| {
            let mut current = self.current.write();
            let same = current
                .as_ref()
                .is_some_and(|it| it.generation == generation);
            if same {
                *current = None;
                health.up = false;
            }
            same
        });
        if lost {
            metrics::gauge!("strikewire_redis_up").set(0.0);
            tracing::warn!(server = %self.server, reason, "redis is away");
            self.lost.notify_one();
        }
    }

    fn take(&self, greeted: Greeted) {
        let Greeted {
            connection,
            mark,
            run,
        } = greeted;
        let data = FixedState::default().hash_one((&mark, &run));
        self.health.send_modify(|health| {
            health.generation += 1;
            health.up = true;
            health.data = data;
            // Whoever gets an answer over it and then looks at the health waits for this to
            // end.
            *self.current.write() = Some(Current {
                connection,
                generation: health.generation,
                mark: mark.into(),
            });
        });
        metrics::gauge!("strikewire_redis_up").set(1.0);
        metrics::counter!("strikewire_redis_connects_total").increment(1);
        tracing::info!(server = %self.server, "redis is there");
    }

    /// A connection over which something could be written.
    async fn attempt(&self) -> Result<Greeted, RedisError> {
        let limit = self.timeout.max(CONNECT);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let connecting = async {
            let client = &self.client;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            self.greeting.exec_async(&mut connection).await?;
            let mark = self.mark(&mut connection).await?;
            // A server that does not say it is taken for a new one each time.
            let run = redis::cmd("INFO").arg("server").to_owned();
            let run = run.query_async::<String>(&mut connection).await;
            let run = run.ok().and_then(|info| {
                let line = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
                Some(line.trim().to_owned())
            });
            let run = run.unwrap_or_else(|| self.nonce());
            Ok(Greeted {
                connection,
                mark,
                run,
            })
        };
        match timeout(limit, connecting).await {
            Ok(result) => result,
            Err(_) => Err(RedisError::from(std::io::Error::from(
                std::io::ErrorKind::TimedOut,
            ))),
        }
    }

    /// What the marker says; whoever finds none writes another one.
    async fn mark(&self, connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
        let mut pipeline = Pipeline::with_capacity(2);
        let set = pipeline.cmd("SET").arg(&self.marker).arg(self.nonce());
        set.arg("NX").arg("PX").arg(millis(self.renewal)).ignore();
        pipeline.cmd("GET").arg(&self.marker);
        let (mark,): (String,) = pipeline.query_async(connection).await?;
        Ok(mark)
    }

    /// A text that no other node, and no other call, has.
    fn nonce(&self) -> String {
        let generation = self.health.borrow().generation;
        let hash =
            RandomState::default().hash_one((std::process::id(), generation, Instant::now()));
        let at = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        format!("{hash:016x}{:x}", at.as_nanos())
    }

    /// Looks after a connection until it is lost.
    async fn watch(&self) {
        let mut renewal = Pipeline::new();
        for key in &self.renewed {
            let renew = renewal.cmd("PEXPIRE").arg(key);
            renew.arg(millis(self.renewal)).ignore();
        }
        let renew = renewal.cmd("PEXPIRE").arg(&self.marker);
        renew.arg(millis(self.renewal)).ignore();
        renewal.cmd("GET").arg(&self.marker);
        while self.health.borrow().up {
            if timeout(PROBE, self.lost.notified()).await.is_err() {
                let Ok(current) = self.current() else {
                    continue;
                };
                // A failure has been seen to.
                let Ok(mark) = self.pipeline("probe", &renewal).await else {
                    continue;
                };
                let mark: Option<String> = redis::from_redis_value(Value::Array(mark))
                    .map_or(None, |(mark,): (Option<String>,)| mark);
                if mark.as_deref() != Some(&*current.mark) {
                    self.lose(current.generation, "emptied", "its data was removed");
                }
            }
        }
    }

    /// Takes away what other programs left of a mock run. Values of ours never come here.
    async fn clear_mocks(&self, pattern: &str) -> Result<(), Error> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern);
            scan.arg("COUNT").arg(1_000);
            let found = self.query("scan", &scan).await?;
            let (next, keys): (u64, Vec<Vec<u8>>) =
                redis::from_redis_value(found).map_err(|_| self.odd("scan", "keys"))?;
            if !keys.is_empty() {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(keys);
                self.query("scan", &unlink).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

async fn keep(link: Arc<Link>, mut mocks: Option<String>, tried: oneshot::Sender<()>) {
    let mut tried = Some(tried);
    let mut wait = WAIT;
    let mut silent = false;
    loop {
        match link.attempt().await {
            Ok(connection) => {
                link.take(connection);
                silent = false;
            }
            Err(error) => {
                count("connect");
                if !silent {
                    tracing::warn!(server = %link.server, %error, "redis cannot be reached");
                }
                silent = true;
            }
        }
        if let Some(tried) = tried.take() {
            let _ = tried.send(());
        }
        if !silent {
            if let Some(pattern) = mocks.take()
                && let Err(error) = link.clear_mocks(&pattern).await
            {
                tracing::warn!(server = %link.server, %error, "values of mock runs may be left");
                mocks = Some(pattern);
            }
            let since = Instant::now();
            link.watch().await;
            if since.elapsed() > PROBE {
                wait = WAIT;
            }
        }
        sleep(wait).await;
        wait = (wait * 2).min(MOST_WAIT);
    }
}

fn count(kind: &'static str) {
    metrics::counter!("strikewire_redis_errors_total", "kind" => kind).increment(1);
}

/// What a server says that is of no use for now: it starts, only reads, or takes no more.
/// They come before the text of an error, see
/// <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>.
const USELESS: [&str; 10] = [
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "NOAUTH",
];

/// Whether an error means that this connection, or the server behind it, is of no use for
/// now.
fn is_away(error: &RedisError) -> bool {
    match error.clone().into_server_errors() {
        Some(errors) => errors
            .iter()
            .any(|(_, error)| USELESS.contains(&error.code())),
        None => error.is_unrecoverable_error() || error.is_timeout() || error.is_io_error(),
    }
}

/// Every name that a mock value has, as a pattern.
fn mock_pattern(prefix: &str) -> String {
    let mut pattern = String::new();
    for letter in prefix.chars() {
        if "*?[]^\\-".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern + "mock_indicator_value:*"
}

/// As Redis takes it: at least one.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, u64::MAX >> 12)
}
