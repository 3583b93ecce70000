use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use strikewire_broker::{
    ConnEvent, DownCause, Error, Feed, Gap, Link, MarketState, Notice, Report, Sink, Target,
    Update, WireBatch, WireOp, port,
};
use strikewire_dhan::{BudgetConfig, DhanFeed, FeedConfig, FeedStats, Limits, TokenSource};
use strikewire_types::{
    ConnId, Epoch, InstrumentKey, Mode, Mono, Now, PriceStep, Segment, Slot, Utc,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, LocalSet};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) const TOKEN: &str = "eyJ0b2tlbiI6.s3cr3t-t0ken_";
pub(crate) const CLIENT: &str = "1000000001";
pub(crate) const NIFTY: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);
pub(crate) const OPTION: InstrumentKey = InstrumentKey::new(Segment::NseFno, 35_060);

/// What the sink was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Frame(ConnId, usize),
    Update(ConnId, InstrumentKey, Box<Update>),
    Undecoded(ConnId, u8, usize),
    MarketState(ConnId, Segment, u32),
    Gap(ConnId, Gap),
    TurnDone,
}

/// A sink that knows two instruments, and whose clock moves by a second whenever it
/// is asked.
struct Recorder {
    seen: UnboundedSender<Seen>,
    targets: HashMap<InstrumentKey, Target>,
    clock: Cell<u64>,
}

/// What the recorder's clock shows when it is asked for the `n`th time.
pub(crate) fn tick(n: u64) -> Now {
    Now {
        mono: Mono::from_nanos(n * 1_000_000_000),
        utc: Utc::default() + Duration::from_secs(n),
    }
}

impl Recorder {
    fn tell(&self, seen: Seen) {
        // A test that has seen enough does not listen any more.
        let _ = self.seen.send(seen);
    }
}

impl Sink for Recorder {
    fn now(&self) -> Now {
        self.clock.set(self.clock.get() + 1);
        tick(self.clock.get())
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        self.targets.get(&key).copied()
    }

    fn apply(&mut self, conn: ConnId, target: &Target, _: Now, update: &Update) {
        self.tell(Seen::Update(conn, target.key, Box::new(*update)));
    }

    fn market_state(&mut self, conn: ConnId, _: Now, segment: Segment, state: MarketState) {
        self.tell(Seen::MarketState(conn, segment, state.code));
    }

    fn gap(&mut self, conn: ConnId, gap: Gap) {
        self.tell(Seen::Gap(conn, gap));
    }

    fn frame(&mut self, conn: ConnId, _: Now, frame: &Bytes) {
        self.tell(Seen::Frame(conn, frame.len()));
    }

    fn undecoded(&mut self, conn: ConnId, _: Now, code: u8, bytes: &[u8]) {
        self.tell(Seen::Undecoded(conn, code, bytes.len()));
    }

    fn turn_done(&mut self, _: Now) {
        self.tell(Seen::TurnDone);
    }
}

/// Runs a test on a current-thread runtime, with a deadline that only a failure meets.
pub(crate) fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .expect("the test came to an end");
    });
}

/// Limits under which nothing happens by time alone, and retries come at once.
pub(crate) fn patient() -> Limits {
    Limits {
        connect: Duration::from_secs(600),
        upgrade: Duration::from_secs(600),
        silence: Duration::from_secs(600),
        first_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(1),
        ..Limits::default()
    }
}

/// A budget that is never used up, and no spacing.
pub(crate) fn plenty() -> BudgetConfig {
    BudgetConfig {
        size: 10_000,
        spacing: Duration::ZERO,
        ..BudgetConfig::default()
    }
}

/// A feed that runs, and the ends that a test holds.
pub(crate) struct Rig {
    pub(crate) listener: TcpListener,
    pub(crate) link: Link,
    /// Events that came while a notice was waited for.
    pub(crate) events: VecDeque<ConnEvent>,
    pub(crate) seen: UnboundedReceiver<Seen>,
    pub(crate) stats: Arc<FeedStats>,
    pub(crate) feed: JoinHandle<Result<(), Error>>,
}

impl Rig {
    pub(crate) async fn new(connections: usize, limits: &Limits) -> Self {
        Self::with(connections, |config| config.limits = *limits).await
    }

    pub(crate) async fn with_token(
        connections: usize,
        limits: &Limits,
        token: TokenSource,
    ) -> Self {
        let change = |config: &mut FeedConfig| {
            config.limits = *limits;
            config.token = token;
        };
        Self::with(connections, change).await
    }

    /// A feed of so many connections, with patient limits and attempts in plenty, changed
    /// by `change`.
    pub(crate) async fn with(connections: usize, change: impl FnOnce(&mut FeedConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = FeedConfig {
            url: format!("ws://{}", listener.local_addr().unwrap()),
            client_id: CLIENT.to_owned(),
            token: TokenSource::Fixed(TOKEN.into()),
            connections,
            limits: patient(),
            budget: plenty(),
            ..FeedConfig::default()
        };
        change(&mut config);
        let feed = DhanFeed::new(config).unwrap();
        let (tell, seen) = unbounded_channel();
        let targets = [NIFTY, OPTION].into_iter().zip(0..).map(|(key, slot)| {
            let step = PriceStep::from_raw(500);
            (
                key,
                Target {
                    key,
                    slot: Slot(slot),
                    step,
                },
            )
        });
        let sink = Recorder {
            seen: tell,
            targets: targets.collect(),
            clock: Cell::new(0),
        };
        let (port, link) = port(connections);
        let stats = feed.stats();
        Self {
            listener,
            link,
            events: VecDeque::new(),
            seen,
            stats,
            feed: tokio::task::spawn_local(feed.run(port, sink)),
        }
    }

    pub(crate) async fn notice(&mut self) -> Notice {
        loop {
            match self.link.report().await.expect("the feed runs") {
                Report::Notice(notice) => return notice,
                Report::Conn(event) => self.events.push_back(event),
            }
        }
    }

    /// The next connection, upgraded.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer::upgrade(stream).await
    }

    pub(crate) async fn event(&mut self) -> ConnEvent {
        match self.events.pop_front() {
            Some(event) => event,
            None => self.link.event().await.expect("the feed runs"),
        }
    }

    /// Waits for `Up` and `Ready`, whatever the connection.
    pub(crate) async fn up(&mut self) -> (ConnId, Epoch) {
        let ConnEvent::Up { conn, epoch } = self.event().await else {
            panic!("not up")
        };
        assert_eq!(self.event().await, ConnEvent::Ready { conn, epoch });
        (conn, epoch)
    }

    /// Waits for `Down` and gives the cause and the time to the next attempt.
    pub(crate) async fn down(&mut self) -> (ConnId, Epoch, DownCause, Option<Duration>) {
        match self.event().await {
            ConnEvent::Down {
                conn,
                epoch,
                cause,
                retry_in,
            } => (conn, epoch, cause, retry_in),
            other => panic!("not down: {other:?}"),
        }
    }

    /// One connection, upgraded and reported.
    pub(crate) async fn connected(&mut self) -> (Peer, ConnId, Epoch) {
        let peer = self.accept().await;
        let (conn, epoch) = self.up().await;
        (peer, conn, epoch)
    }

    pub(crate) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.expect("the feed runs")
    }
}

/// The broker's end of a connection.
pub(crate) struct Peer {
    /// Path and query of the upgrade.
    pub(crate) uri: String,
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Peer {
    pub(crate) async fn upgrade(stream: TcpStream) -> Self {
        let mut uri = String::new();
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            uri = request.uri().to_string();
            Ok(response)
        };
        let socket = accept_hdr_async(stream, note).await.unwrap();
        Self { uri, socket }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next text from the feed.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.socket.next().await.expect("a message").unwrap() {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not a text: {other:?}"),
            }
        }
    }
}

pub(crate) fn batch(conn: ConnId, epoch: Epoch, keys: &[InstrumentKey]) -> WireBatch {
    WireBatch {
        conn,
        epoch,
        op: WireOp::Subscribe(Mode::Full),
        keys: keys.to_vec(),
    }
}

/// A ticker packet, laid out by hand.
pub(crate) fn ticker(key: InstrumentKey, ltp: f32) -> Vec<u8> {
    let mut bytes = vec![2, 16, 0, key.segment.code()];
    bytes.extend(key.id.0.to_le_bytes());
    bytes.extend(ltp.to_le_bytes());
    bytes.extend(1_781_084_997_u32.to_le_bytes());
    bytes
}

/// A disconnect packet, laid out by hand.
pub(crate) fn disconnect(code: u16) -> Message {
    let mut bytes = vec![50, 10, 0, 0, 0, 0, 0, 0];
    bytes.extend(code.to_le_bytes());
    Message::binary(bytes)
}
