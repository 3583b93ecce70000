//! Starts the binary and a stand-in, and asks them things.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use strikewire_dhan_sim::core::{Event, LogEntry};
use strikewire_dhan_sim::generate::{Spec, generate_to_path};
use strikewire_dhan_sim::{Config, Report, SimHandle, SimServer};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_types::{Clock, InstrumentKey};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The day of the generated master.
pub(crate) const AS_OF: &str = "2026-02-09";
/// When the clock of every test starts.
pub(crate) const CLOCK: &str = "2026-02-09T10:00:00+05:30";
/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(20);

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
}

impl Master {
    fn load(path: PathBuf) -> Self {
        let options = LoadOptions::new(AS_OF.parse().expect("a date"));
        let registry = Registry::from_path(&path, &options).expect("it loads");
        let text = std::fs::read_to_string(&path).expect("it is there");
        Self {
            path,
            text,
            registry: Arc::new(registry),
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

/// A stand-in on a thread of its own, until dropped.
pub(crate) struct StandIn {
    pub(crate) master: &'static Master,
    pub(crate) handle: SimHandle,
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StandIn {
    pub(crate) fn start(addr: SocketAddr, config: Config) -> Self {
        Self::start_with(master(), addr, config)
    }

    /// With the instruments of `master`.
    pub(crate) fn start_with(master: &'static Master, addr: SocketAddr, config: Config) -> Self {
        let (stop_tx, stop_rx) = oneshot::channel();
        let (up_tx, up_rx) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let clock = Clock::simulated(CLOCK.parse().expect("a clock"));
                let server = SimServer::bind(addr, master.registry.clone(), clock, config)
                    .await
                    .expect("the stand-in's address is free");
                up_tx
                    .send((server.handle(), server.local_addr()))
                    .expect("the test waits");
                server
                    .run(async {
                        let _ = stop_rx.await;
                    })
                    .await;
            });
        });
        let (handle, addr) = up_rx.recv().expect("the stand-in starts");
        Self {
            master,
            handle,
            addr,
            stop: Some(stop_tx),
            thread: Some(thread),
        }
    }

    pub(crate) fn any() -> Self {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), quiet())
    }

    /// Everything on the wire, and on how many connections each instrument is.
    pub(crate) fn on_wire(&self) -> BTreeMap<InstrumentKey, usize> {
        let mut keys = BTreeMap::new();
        for session in self.handle.wire_state().into_values() {
            for key in session.into_keys() {
                *keys.entry(key).or_default() += 1;
            }
        }
        keys
    }

    /// The sizes of the connections.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.handle
            .wire_state()
            .values()
            .map(BTreeMap::len)
            .collect()
    }

    pub(crate) fn report(&self) -> Report {
        self.handle.counters()
    }

    /// Messages that subscribed or unsubscribed something, so far.
    pub(crate) fn messages(&self) -> u64 {
        self.report().total().messages
    }

    /// Instruments asked for, so far, however often.
    pub(crate) fn subscribed(&self) -> usize {
        let asked = |entry: LogEntry| match entry.event {
            Event::Request { code, keys } if code.is_subscribe() => keys.len(),
            _ => 0,
        };
        self.handle.log().into_iter().map(asked).sum()
    }

    /// Connections that said that they leave.
    pub(crate) fn goodbyes(&self) -> usize {
        self.handle
            .log()
            .iter()
            .filter(|entry| entry.event == Event::Left)
            .count()
    }

    pub(crate) fn stop(mut self) -> SocketAddr {
        self.end();
        self.addr
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stand-in did not panic");
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end();
    }
}

/// A market whose prices do not move by themselves, so that tests move them.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.market.volatility = 0.0;
    config.log = 100_000;
    config
}

/// The binary, running against a stand-in, until dropped.
pub(crate) struct Gateway {
    child: Child,
    base: String,
    client: reqwest::Client,
    pub(crate) data: TempDir,
    log: std::sync::mpsc::Receiver<String>,
}

impl Gateway {
    pub(crate) async fn start(standin: &StandIn) -> Self {
        Self::start_with(standin, "").await
    }

    /// With a configuration file of `toml`.
    pub(crate) async fn start_with(standin: &StandIn, toml: &str) -> Self {
        let data = TempDir::new().expect("a temporary directory");
        let config = data.path().join("strikewire.toml");
        std::fs::write(&config, toml).expect("the configuration");
        let mut child = Command::new(env!("CARGO_BIN_EXE_strikewired"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--broker",
                "dhan",
                "--clock",
                CLOCK,
            ])
            .args(["--dhan-feed-url", &format!("ws://{}", standin.addr)])
            .arg("--config")
            .arg(&config)
            .arg("--instruments")
            .arg(&standin.master.path)
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .env("DHAN_CLIENT_ID", "1000000001")
            .env("DHAN_ACCESS_TOKEN", "a-secret-token")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let (line_tx, line_rx) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line_tx.send(line).is_err() {
                    break;
                }
            }
        });
        let base = loop {
            let line = line_rx.recv_timeout(SOON * 3).expect("the banner comes");
            if let Some((_, url)) = line.split_once("REST         ") {
                break url.trim_end_matches("/api/v2/").to_owned();
            }
        };
        let gateway = Self {
            child,
            base,
            client: reqwest::Client::new(),
            data,
            log: line_rx,
        };
        gateway
            .until("all connections are up", async || {
                let (status, body) = gateway.get("/api/v2/admin/ws-status").await;
                status == StatusCode::OK
                    && body["connected_connections"] == body["total_connections"]
            })
            .await;
        gateway
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
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

    /// Waits until `check` holds.
    pub(crate) async fn until(&self, what: &str, mut check: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !check().await {
            assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
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

    /// Sends SIGTERM; gives the exit status and all that was logged.
    pub(crate) async fn terminate(mut self) -> (std::process::ExitStatus, String) {
        let killed = Command::new("kill")
            .arg(self.process().to_string())
            .status()
            .expect("kill is there");
        assert!(killed.success());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < SOON, "the server does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut log = String::new();
        while let Ok(line) = self.log.recv_timeout(Duration::from_secs(1)) {
            log += &line;
            log.push('\n');
        }
        (status, log)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// A client of the stream.
pub(crate) struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that were passed over while another was waited for.
    said: Vec<Value>,
}

impl Socket {
    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("the socket is open");
    }

    /// The next message that `wanted` accepts; none when the server closed.
    pub(crate) async fn find(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        if let Some(index) = self.said.iter().position(&mut wanted) {
            return Some(self.said.remove(index));
        }
        let found = tokio::time::timeout(SOON, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let value: Value = serde_json::from_str(&text).expect("JSON");
                        if wanted(&value) {
                            return Some(value);
                        }
                        self.said.push(value);
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("no such message within {SOON:?}; others: {:?}", self.said),
        }
    }

    pub(crate) async fn of_type(&mut self, kind: &str) -> Value {
        self.find(|message| message["type"] == kind)
            .await
            .unwrap_or_else(|| panic!("the server closed before {kind}"))
    }

    /// Waits for the server's close, and gives its code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let closed = tokio::time::timeout(SOON, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        });
        closed.await.expect("the server closes soon")
    }
}
