//! Starts the binary and a stand-in, and asks them things.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use reqwest::StatusCode;
use serde_json::{Value, json};
use strikewire_dhan_sim::generate::{Spec, generate_to_path};
use strikewire_registry::{LoadOptions, Registry};
use tempfile::TempDir;

use crate::listing::Listing;
pub(crate) use crate::socket::Socket;
pub(crate) use crate::standin::{StandIn, quiet};

/// The day of the generated master.
pub(crate) const AS_OF: &str = "2026-02-09";
/// When the clock of every test starts.
pub(crate) const CLOCK: &str = "2026-02-09T10:00:00+05:30";
/// How long anything may take that should happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// One master for all tests: generating it is the slow part.
static MASTER: LazyLock<Master> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated-master.csv");
    let as_of = AS_OF.parse().expect("a date");
    let spec = Spec {
        rows: 60_000,
        ..Spec::new(as_of)
    };
    generate_to_path(&spec, &path).expect("a master");
    Master::load(path)
});

/// The real master, where the environment says that it is there.
static REAL: LazyLock<Option<Master>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os("STRIKEWIRE_REAL_DATA")?);
    let packed = File::open(folder.join("api-scrip-master.compact.2026-02.csv.gz")).ok()?;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-master.csv");
    let mut plain = File::create(&path).expect("a file");
    std::io::copy(&mut GzDecoder::new(packed), &mut plain).expect("it unpacks");
    Some(Master::load(path))
});

pub(crate) struct Master {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) registry: Arc<Registry>,
    pub(crate) listing: LazyLock<Listing, Box<dyn FnOnce() -> Listing + Send>>,
}

impl Master {
    fn load(path: PathBuf) -> Self {
        let options = LoadOptions::new(AS_OF.parse().expect("a date"));
        let registry = Registry::from_path(&path, &options).expect("it loads");
        let text = std::fs::read_to_string(&path).expect("it is there");
        let read = path.clone();
        Self {
            path,
            text,
            registry: Arc::new(registry),
            listing: LazyLock::new(Box::new(move || Listing::read(&read, AS_OF))),
        }
    }
}

/// The generated master.
pub(crate) fn master() -> &'static Master {
    &MASTER
}

/// The real master of February 2026; none when it is not there.
pub(crate) fn real_master() -> Option<&'static Master> {
    REAL.as_ref()
}

/// The strikes of a chain as the master's text has them, on one exchange: both legs
/// must be listed. Reads the file by itself, not through the registry.
pub(crate) fn strikes_in_text(
    master: &Master,
    exchange: &str,
    symbol: &str,
    expiry: &str,
) -> Vec<f64> {
    let mut legs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in master.text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let is_option = fields[3].starts_with("OPT") && fields[1] != "M" || fields[0] == "MCX";
        let mut name = fields[5].rsplitn(4, '-');
        let (Some(_), Some(_), Some(_), Some(underlying)) =
            (name.next(), name.next(), name.next(), name.next())
        else {
            continue;
        };
        if is_option
            && fields[0] == exchange
            && underlying == symbol
            && fields[8].starts_with(expiry)
        {
            legs.entry(fields[9].to_owned())
                .or_default()
                .insert(fields[10].to_owned());
        }
    }
    let mut strikes: Vec<f64> = legs
        .iter()
        .filter(|(_, legs)| legs.len() == 2)
        .map(|(strike, _)| strike.parse().expect("a strike"))
        .collect();
    strikes.sort_by(f64::total_cmp);
    strikes
}

/// The window around the money, the slow way: sort all strikes by distance.
pub(crate) fn window_in_text(strikes: &[f64], price: f64, width: usize) -> Vec<f64> {
    let atm = strikes
        .iter()
        .enumerate()
        .min_by(|(_, a), (_, b)| {
            let distance = |strike: &f64| (strike - price).abs();
            distance(a).total_cmp(&distance(b)).then(b.total_cmp(a))
        })
        .map(|(index, _)| index)
        .expect("there are strikes");
    let half = width / 2;
    strikes[atm.saturating_sub(half)..(atm + half + 1).min(strikes.len())].to_vec()
}

/// How the binary is started.
#[derive(Default)]
pub(crate) struct Launch<'a> {
    /// The configuration file.
    pub(crate) toml: &'a str,
    /// When its clock starts; as the stand-in's when absent.
    pub(crate) clock: Option<&'a str>,
    /// More of the environment.
    pub(crate) env: &'a [(&'a str, &'a str)],
    /// More arguments.
    pub(crate) args: &'a [&'a str],
    /// The directory of an earlier run; a new one when absent.
    pub(crate) data: Option<Arc<TempDir>>,
    /// Where the broker is to be found; the stand-in when absent.
    pub(crate) feed: Option<SocketAddr>,
}

/// A configuration whose connections may be made as often as tests need, and shortly after
/// each other, unless it says how often itself.
fn with_many_attempts(toml: &str) -> String {
    const MANY: &str = "[dhan]\nconnect_burst = 10000\nconnect_spacing_ms = 10\n";
    if toml.contains("connect_burst") {
        toml.to_owned()
    } else if toml.contains("[dhan]\n") {
        toml.replacen("[dhan]\n", MANY, 1)
    } else {
        format!("{toml}\n{MANY}")
    }
}

/// Tests that need the whole machine run one after the other.
pub(crate) static WHOLE_MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The binary, which gets nothing of whoever runs the tests: they may have a server of their
/// own, with an account and a database.
pub(crate) fn strikewired() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strikewired"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "RUST_LOG" || text.starts_with("STRIKEWIRE_") || text.starts_with("DHAN_") {
            command.env_remove(&name);
        }
    }
    command
}

/// A client of servers on this machine, of which a proxy for the internet knows nothing.
pub(crate) fn http() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().build();
    client.expect("a client")
}

/// What a process says on its standard error.
type Log = Arc<Mutex<String>>;

/// The binary, running against a stand-in, until dropped.
pub(crate) struct Gateway {
    child: Child,
    rest: Rest,
    pub(crate) data: Arc<TempDir>,
    log: Log,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl core::ops::Deref for Gateway {
    type Target = Rest;

    fn deref(&self) -> &Rest {
        &self.rest
    }
}

/// A server's REST interface and its stream.
pub(crate) struct Rest {
    base: String,
    client: reqwest::Client,
}

impl Default for Rest {
    /// Of no server yet.
    fn default() -> Self {
        Self {
            base: String::new(),
            client: http(),
        }
    }
}

impl Gateway {
    pub(crate) async fn start(standin: &StandIn) -> Self {
        Self::start_with(standin, "").await
    }

    /// With a configuration file of `toml`.
    pub(crate) async fn start_with(standin: &StandIn, toml: &str) -> Self {
        Self::launch(
            standin,
            Launch {
                toml,
                ..Launch::default()
            },
        )
        .await
    }

    /// As `launch` says, once all its connections are up.
    pub(crate) async fn launch(standin: &StandIn, launch: Launch<'_>) -> Self {
        let gateway = Self::launch_at_once(standin, launch);
        gateway
            .until("all connections are up", async || {
                let (status, body) = gateway.get("/api/v2/admin/ws-status").await;
                status == StatusCode::OK
                    && body["connected_connections"] == body["total_connections"]
            })
            .await;
        gateway
    }

    /// As soon as it listens.
    pub(crate) fn launch_at_once(standin: &StandIn, launch: Launch<'_>) -> Self {
        let mut gateway = Self::spawn(standin, launch);
        let start = Instant::now();
        while gateway.rest.base.is_empty() {
            let log = gateway.logged();
            if let Some((_, rest)) = log.split_once("REST         ")
                && let Some((url, _)) = rest.split_once("/api/v2/")
            {
                url.clone_into(&mut gateway.rest.base);
                break;
            }
            assert!(start.elapsed() < SOON * 3, "no banner; it says: {log}");
            let ended = gateway.child.try_wait().expect("a child");
            assert_eq!(ended, None, "it ended before the banner");
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway
    }

    /// Starts the process and waits for nothing.
    fn spawn(standin: &StandIn, launch: Launch<'_>) -> Self {
        let data = launch
            .data
            .unwrap_or_else(|| Arc::new(TempDir::new().expect("a temporary directory")));
        let config = data.path().join("strikewire.toml");
        let toml = launch.toml;
        // Nothing is always on unless a test says so: they count what is on the wire.
        let standing = if toml.contains("tier_b") {
            ""
        } else {
            "tier_b = []\n"
        };
        let toml = with_many_attempts(toml);
        std::fs::write(&config, format!("{standing}{toml}")).expect("the configuration");
        let clock = launch
            .clock
            .map_or_else(|| standin.clock.now().utc.to_string(), str::to_owned);
        let feed = launch.feed.unwrap_or(standin.addr);
        let mut child = strikewired()
            .args(["--listen", "127.0.0.1:0", "--broker", "dhan"])
            .args(["--clock", &clock])
            .args(["--dhan-feed-url", &format!("ws://{feed}")])
            .args(["--dhan-api-url", &format!("http://{feed}")])
            .arg("--config")
            .arg(&config)
            .arg("--instruments")
            .arg(&standin.master.path)
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .args(launch.args)
            .env("DHAN_CLIENT_ID", "1000000001")
            .env("DHAN_ACCESS_TOKEN", "a-secret-token")
            .envs(launch.env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let log = Log::default();
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    *log += &line;
                    log.push('\n');
                }
            }
        });
        Self {
            child,
            rest: Rest::default(),
            data,
            log,
            reader: Some(reader),
        }
    }

    /// Starts it and waits until it ends by itself; gives the status and what it said.
    pub(crate) async fn run_to_its_end(
        standin: &StandIn,
        launch: Launch<'_>,
    ) -> (ExitStatus, String) {
        Self::spawn(standin, launch).ended().await
    }

    /// What it has said so far.
    pub(crate) fn logged(&self) -> String {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The database that it writes by default.
    pub(crate) fn database(&self) -> PathBuf {
        self.data.path().join("data").join("strikewire.db")
    }

    /// Sends it a signal, such as `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.process().to_string())
            .status()
            .expect("kill is there");
        assert!(sent.success(), "kill -{name}");
    }

    /// Kills it at once, as `kill -9` does; what it wrote stays.
    pub(crate) async fn kill(self) -> Arc<TempDir> {
        self.signal("KILL");
        let data = Arc::clone(&self.data);
        self.ended().await;
        data
    }

    /// Waits until it has ended; gives the status and all that was logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < SOON * 2, "the server does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read to its end");
        }
        (status, self.logged())
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM; gives the exit status and all that was logged.
    pub(crate) async fn terminate(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended().await
    }
}

impl Rest {
    /// Of a server that listens at `addr`.
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self {
            base: format!("http://{addr}"),
            client: http(),
        }
    }

    /// Where it listens: host and port.
    pub(crate) fn authority(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    pub(crate) async fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// As [`post`](Self::post); none when the server died before it answered.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let response = self
            .client
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        let value = serde_json::from_str(&text).ok()?;
        Some((status, value))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.post_raw(path, "application/json", body.to_string())
            .await
    }

    pub(crate) async fn post_raw(
        &self,
        path: &str,
        kind: &str,
        body: String,
    ) -> (StatusCode, Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.base))
            .header("content-type", kind)
            .body(body)
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// As [`post`](Self::post), with the `Retry-After` of the answer.
    pub(crate) async fn post_with_retry(
        &self,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Option<String>, Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .expect("the server answers");
        let status = response.status();
        let retry = response.headers().get("retry-after");
        let retry = retry.map(|value| value.to_str().expect("a text").to_owned());
        let text = response.text().await.expect("a body");
        (status, retry, serde_json::from_str(&text).expect("JSON"))
    }

    /// Adds a chain or an instrument to a watchlist.
    pub(crate) async fn add(&self, user: u64, symbol: &str, more: Value) -> Value {
        let (status, answer) = self
            .post("/api/v2/watchlist/add", &request(user, symbol, more))
            .await;
        assert_eq!(status, StatusCode::OK, "{symbol}: {answer}");
        assert_eq!(answer["success"], true);
        answer
    }

    pub(crate) async fn remove(&self, user: u64, symbol: &str) -> Value {
        let body = json!({"user_id": user, "symbol": symbol});
        let (status, answer) = self.post("/api/v2/watchlist/remove", &body).await;
        assert_eq!(status, StatusCode::OK, "{symbol}: {answer}");
        answer
    }

    pub(crate) async fn status(&self) -> Value {
        self.ok("/api/v2/subscriptions/status").await
    }

    pub(crate) async fn stream(&self) -> Socket {
        let url = format!("{}/api/v2/stream", self.base.replacen("http", "ws", 1));
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("the stream opens");
        Socket {
            socket,
            said: Vec::new(),
        }
    }

    /// As [`ok`](Self::ok), of a server that may still be starting.
    pub(crate) async fn ok_or_starting(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        let expected = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
        assert!(expected.contains(&status), "{path}: {status} {body}");
        body
    }

    /// Waits until `check` holds.
    pub(crate) async fn until(&self, what: &str, check: impl AsyncFnMut() -> bool) {
        self.until_within(SOON, what, check).await;
    }

    /// Waits until `check` holds, but no longer than `limit`.
    pub(crate) async fn until_within(
        &self,
        limit: Duration,
        what: &str,
        mut check: impl AsyncFnMut() -> bool,
    ) {
        let start = Instant::now();
        while !check().await {
            assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the stand-in has exactly `count` instruments on the wire.
    pub(crate) async fn until_on_wire(&self, standin: &StandIn, count: usize) {
        self.until(&format!("{count} instruments on the wire"), async || {
            standin.on_wire().len() == count
        })
        .await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("-- what the server said:\n{}--", self.logged());
        }
    }
}

/// The body of an add.
pub(crate) fn request(user: u64, symbol: &str, more: Value) -> Value {
    let mut body = json!({"user_id": user, "symbol": symbol});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}
