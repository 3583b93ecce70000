//! What a scenario is played on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use strikewire_broker::{
    ConnEvent, DownCause, Feed, Gap, Link, MarketState, Notice, Sink, Target, Update, WireBatch,
    WireOp, port,
};
use strikewire_dhan::{BudgetConfig, DhanFeed, FeedConfig, Limits, TokenSource};
use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_dhan_sim::script::Script;
use strikewire_dhan_sim::{Config, SimHandle, SimServer};
use strikewire_registry::{LoadOptions, Registry};
use strikewire_subscriptions::{Book, Effect, Leg, Owner, OwnerKind, Request, Role};
use strikewire_types::{
    Clock, ClockSpec, ConnId, Epoch, InstrumentKey, Mode, Mono, Now, PriceStep, Segment, Slot, Tier,
};
use tempfile::TempDir;
use tokio::task::LocalSet;

/// How much faster the stand-in's clock runs.
const SPEED: u32 = 20;

/// Only a failure takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

const DAY: &str = "2026-02-09";

/// How many instruments there are, and how often the broker looks for something to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) instruments: usize,
    pub(crate) poll_every: Duration,
}

impl Load {
    /// So much that each connection takes several messages.
    const USUAL: Self = Self {
        instruments: 600,
        poll_every: Duration::from_millis(20),
    };

    /// For a broker that writes byte by byte.
    pub(crate) const SMALL: Self = Self {
        instruments: 40,
        poll_every: Duration::from_millis(500),
    };
}

/// What the feed's thread and the test both look at.
#[derive(Default)]
struct Seen {
    targets: BTreeMap<InstrumentKey, Target>,
    gaps: Vec<Gap>,
    ticked: BTreeSet<InstrumentKey>,
    undecoded: usize,
}

struct Recorder {
    seen: Rc<RefCell<Seen>>,
    clock: Cell<u64>,
}

impl Sink for Recorder {
    fn now(&self) -> Now {
        self.clock.set(self.clock.get() + 1);
        Now {
            mono: Mono::from_nanos(self.clock.get()),
            ..Now::default()
        }
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        self.seen.borrow().targets.get(&key).copied()
    }

    fn apply(&mut self, _: ConnId, target: &Target, _: Now, _: &Update) {
        self.seen.borrow_mut().ticked.insert(target.key);
    }

    fn market_state(&mut self, _: ConnId, _: Now, _: Segment, _: MarketState) {}

    fn gap(&mut self, _: ConnId, gap: Gap) {
        self.seen.borrow_mut().gaps.push(gap);
    }

    fn frame(&mut self, _: ConnId, _: Now, _: &Bytes) {}

    fn undecoded(&mut self, _: ConnId, _: Now, _: u8, _: &[u8]) {
        self.seen.borrow_mut().undecoded += 1;
    }

    fn turn_done(&mut self, _: Now) {}
}

pub(crate) struct Stage {
    handle: SimHandle,
    clock: Clock,
    begun: Now,
    link: Link,
    book: Book,
    seen: Rc<RefCell<Seen>>,
    desired: BTreeSet<InstrumentKey>,
    folder: TempDir,
    pub(crate) downs: Vec<DownCause>,
    pub(crate) notices: Vec<Notice>,
}

fn registry() -> Arc<Registry> {
    static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
    Arc::clone(REGISTRY.get_or_init(|| {
        let as_of = DAY.parse().unwrap();
        let mut master = Vec::new();
        let spec = Spec {
            rows: 5_000,
            ..Spec::new(as_of)
        };
        generate(&spec, &mut master).unwrap();
        Arc::new(Registry::from_reader(&master[..], &LoadOptions::new(as_of)).unwrap())
    }))
}

/// Plays a scenario with a feed and a book on five connections.
pub(crate) fn on_stage(scenario: &str, test: impl AsyncFnOnce(&mut Stage)) {
    on_stage_with(scenario, Load::USUAL, test);
}

/// The same with another load.
pub(crate) fn on_stage_with(scenario: &str, load: Load, test: impl AsyncFnOnce(&mut Stage)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut stage = Stage::new(scenario, load).await;
        test(&mut stage).await;
    });
}

fn script(scenario: &str) -> Script {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/dhan-sim/scenarios");
    let path = folder.join(format!("{scenario}.toml"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

impl Stage {
    async fn new(scenario: &str, load: Load) -> Self {
        let spec: ClockSpec = format!("{DAY}T10:00:00+05:30@{SPEED}").parse().unwrap();
        let clock = Clock::simulated(spec);
        let config = Config {
            script: script(scenario),
            market: MarketConfig {
                rate: 4.0,
                ..MarketConfig::default()
            },
            poll_every: load.poll_every,
            ..Config::default()
        };
        let any_port = "127.0.0.1:0".parse().unwrap();
        let server = SimServer::bind(any_port, registry(), clock, config)
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "the-first-token").unwrap();
        let feed = DhanFeed::new(FeedConfig {
            url: server.url(),
            client_id: "1000000001".to_owned(),
            token: TokenSource::File(token),
            limits: Limits {
                stall: Duration::from_secs(30) / SPEED,
                first_data: Duration::from_secs(30) / SPEED,
                refused_token: Duration::from_secs(30) / SPEED,
                first_backoff: Duration::from_millis(25),
                max_backoff: Duration::from_secs(30) / SPEED,
                ..Limits::default()
            },
            budget: BudgetConfig {
                refill: Duration::from_secs(12) / SPEED,
                spacing: Duration::from_millis(25),
                ..BudgetConfig::default()
            },
            ..FeedConfig::default()
        })
        .unwrap();
        let seen = Rc::new(RefCell::new(Seen::default()));
        let sink = Recorder {
            seen: Rc::clone(&seen),
            clock: Cell::new(0),
        };
        let (port, link) = port(feed.capabilities().connections);
        let handle = server.handle();
        tokio::task::spawn_local(server.run(pending()));
        tokio::task::spawn_local(feed.run(port, sink));
        let mut stage = Self {
            handle,
            begun: clock.now(),
            clock,
            link,
            book: Book::new(strikewire_subscriptions::Config::default()).unwrap(),
            seen,
            desired: BTreeSet::new(),
            folder,
            downs: Vec::new(),
            notices: Vec::new(),
        };
        stage.ask(load.instruments);
        stage
    }

    /// Asks for options of the nearest chains, in mode full.
    fn ask(&mut self, instruments: usize) {
        let registry = registry();
        let options = registry.instruments().filter(|i| i.kind().is_option());
        let keys: Vec<InstrumentKey> = options.map(|i| i.key()).take(instruments).collect();
        assert_eq!(keys.len(), instruments);
        let legs = keys.iter().map(|&key| Leg {
            key,
            step: PriceStep::PAISA,
            mode: Mode::Full,
            role: Role::Contract,
            distance: 0,
        });
        let owner = Owner {
            kind: OwnerKind::Watchlist,
            id: 1,
        };
        let request = Request::new(owner, Tier::A, legs.collect());
        let now = self.now();
        let plan = self.book.plan(now, &request).unwrap();
        let mut effects = Vec::new();
        self.book.apply(now, plan, &mut effects);
        self.desired = keys.into_iter().collect();
        self.settle(effects);
    }

    fn now(&self) -> Now {
        self.clock.now()
    }

    /// How much of the stand-in's time has passed.
    pub(crate) fn sim_time(&self) -> Duration {
        self.now().mono.since(self.begun.mono)
    }

    fn settle(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Bind { slot, key, .. } => self.bind(slot, key),
                Effect::Unbind { key, .. } => {
                    self.seen.borrow_mut().targets.remove(&key);
                }
                Effect::Wake { conn } => {
                    let mut batch = WireBatch {
                        conn,
                        epoch: Epoch::default(),
                        op: WireOp::Subscribe(Mode::Full),
                        keys: Vec::new(),
                    };
                    if self.book.poll_wire(self.now(), conn, &mut batch) {
                        self.link.send(batch);
                    }
                }
                _ => {}
            }
        }
    }

    fn bind(&mut self, slot: Slot, key: InstrumentKey) {
        let step = PriceStep::PAISA;
        let target = Target { key, slot, step };
        self.seen.borrow_mut().targets.insert(key, target);
    }

    fn heed(&mut self, event: &ConnEvent) {
        if let ConnEvent::Down { cause, .. } = event {
            self.downs.push(cause.clone());
        }
        let mut effects = Vec::new();
        self.book.handle_conn(self.now(), event, &mut effects);
        self.settle(effects);
    }

    /// Waits until `done` is true, as the owner of the book.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !done(self) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited for {what}; downs: {:?}, notices: {:?}",
                self.downs,
                self.notices
            );
            let step = Duration::from_millis(5);
            if let Ok(Some(event)) = tokio::time::timeout(step, self.link.event()).await {
                self.heed(&event);
            }
            while let Some(notice) = self.link.try_notice() {
                self.notices.push(notice);
            }
            let mut effects = Vec::new();
            self.book.handle_timeout(self.now(), &mut effects);
            self.settle(effects);
        }
    }

    /// Waits until the broker sends what is desired, each on one connection, in mode full,
    /// and nothing else.
    pub(crate) async fn whole(&mut self) {
        self.until("the wire to be what is desired", |stage| {
            let wire = stage.handle.wire_state();
            let held = wire.values().flat_map(|held| held.iter());
            let full: Vec<InstrumentKey> = held
                .filter(|(_, modes)| modes.iter().eq([Mode::Full]))
                .map(|(key, _)| *key)
                .collect();
            let all: usize = wire.values().map(BTreeMap::len).sum();
            all == full.len()
                && full.len() == stage.desired.len()
                && full.into_iter().collect::<BTreeSet<_>>() == stage.desired
        })
        .await;
    }

    /// Waits until every instrument has brought a packet from now on.
    pub(crate) async fn everything_ticks(&mut self) {
        self.seen.borrow_mut().ticked.clear();
        self.until("a packet of every instrument", |stage| {
            stage.seen.borrow().ticked.len() == stage.desired.len()
        })
        .await;
    }

    pub(crate) fn expect_traffic(&self) {
        for at in 0..5 {
            self.link.expect_traffic(ConnId::from_index(at), true);
        }
    }

    pub(crate) fn write_token(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
    }

    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.seen.borrow().gaps.clone()
    }

    pub(crate) fn undecoded(&self) -> usize {
        self.seen.borrow().undecoded
    }
}
