//! The stand-in on a loopback socket, and a feed that is pointed at it.

use std::cell::Cell;
use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use strikewire_broker::conformance::{Listed, Rig, Seat};
use strikewire_dhan::{BudgetConfig, DhanFeed, FeedConfig, Limits, TokenSource};
use strikewire_dhan_sim::core::{Event, SessionId};
use strikewire_dhan_sim::faults::{Fault, Sockets};
use strikewire_dhan_sim::generate::{Spec, generate};
use strikewire_dhan_sim::market::MarketConfig;
use strikewire_dhan_sim::{Config, Credentials, SimHandle, SimServer};
use strikewire_registry::{Kind, LoadOptions, Registry};
use strikewire_types::{Clock, ClockSpec, InstrumentKey, Price, Segment};

const TOKEN: &str = "eyJ0b2tlbiI6.s3cr3t-t0ken_";
const CLIENT: &str = "1000000001";

/// More shares than one message may name.
const SHARES: usize = 120;

pub(crate) struct DhanRig {
    config: FeedConfig,
    handle: SimHandle,
    /// Attempts that have been refused when refusing is to end.
    refuse_until: Cell<Option<u64>>,
}

fn registry() -> Arc<Registry> {
    static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
    Arc::clone(REGISTRY.get_or_init(|| {
        let as_of = "2026-02-09".parse().unwrap();
        let mut master = Vec::new();
        let spec = Spec {
            rows: 5_000,
            ..Spec::new(as_of)
        };
        generate(&spec, &mut master).unwrap();
        Arc::new(Registry::from_reader(&master[..], &LoadOptions::new(as_of)).unwrap())
    }))
}

pub(crate) async fn start() -> DhanRig {
    let clock: ClockSpec = "2026-02-09T10:00:00+05:30".parse().unwrap();
    let config = Config {
        market: MarketConfig {
            // Prices are what they are set to.
            volatility: 0.0,
            ..MarketConfig::default()
        },
        credentials: Some(Credentials {
            client_id: CLIENT.to_owned(),
            token: TOKEN.to_owned(),
        }),
        log: 10_000,
        poll_every: Duration::from_millis(10),
        ..Config::default()
    };
    let any_port = "127.0.0.1:0".parse().unwrap();
    let server = SimServer::bind(any_port, registry(), Clock::simulated(clock), config)
        .await
        .unwrap();
    let config = FeedConfig {
        url: server.url(),
        client_id: CLIENT.to_owned(),
        token: TokenSource::Fixed(TOKEN.into()),
        limits: Limits {
            first_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(20),
            ..Limits::default()
        },
        budget: BudgetConfig {
            size: 1_000,
            spacing: Duration::from_millis(1),
            ..BudgetConfig::default()
        },
        ..FeedConfig::default()
    };
    let handle = server.handle();
    tokio::spawn(server.run(pending()));
    DhanRig {
        config,
        handle,
        refuse_until: Cell::new(None),
    }
}

impl DhanRig {
    fn strike(&self, seat: u64, fault: Fault) {
        let sessions = self.handle.wire_state().into_keys();
        let hit: Vec<SessionId> = sessions.filter(|id| id.number() == seat).collect();
        self.handle.inject(fault.on(Sockets::Sessions(hit)));
    }
}

impl Rig for DhanRig {
    type Feed = DhanFeed;

    fn feed(&mut self) -> DhanFeed {
        DhanFeed::new(self.config.clone()).unwrap()
    }

    fn instruments(&self) -> Vec<Listed> {
        let registry = registry();
        let shares = registry
            .segment(Segment::NseEq)
            .filter(|share| share.kind() == Kind::Equity);
        let listed = shares.map(|share| Listed {
            key: share.key(),
            step: share.tick(),
        });
        let listed: Vec<Listed> = listed.take(SHARES).collect();
        assert_eq!(listed.len(), SHARES);
        listed
    }

    fn secret(&self) -> String {
        TOKEN.to_owned()
    }

    fn printed(&self) -> Vec<String> {
        let feed = DhanFeed::new(self.config.clone()).unwrap();
        vec![format!("{:?}", self.config), format!("{feed:?}")]
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }

    fn seats(&self) -> Vec<Seat> {
        let sessions = self.handle.wire_state().into_iter();
        sessions
            .map(|(id, held)| Seat {
                id: id.number(),
                held: held
                    .into_iter()
                    .filter_map(|(key, modes)| Some((key, modes.highest()?)))
                    .collect(),
            })
            .collect()
    }

    fn goodbyes(&self) -> usize {
        let log = self.handle.log();
        log.iter()
            .filter(|entry| entry.event == Event::Left)
            .count()
    }

    fn cut(&mut self, seat: u64) {
        self.strike(seat, Fault::Reset);
    }

    fn close(&mut self, seat: u64) {
        self.strike(
            seat,
            Fault::Close {
                code: 1001,
                reason: "maintenance".to_owned(),
            },
        );
    }

    fn refuse(&mut self, attempts: usize) {
        let refused = self.handle.counters().refused;
        self.refuse_until.set(Some(refused + attempts as u64));
        self.handle.inject(Fault::Refuse {
            status: 503,
            retry_after: None,
        });
    }

    fn update(&mut self, key: InstrumentKey, price: Price) {
        assert!(self.handle.set_price(key, price));
    }

    fn sent(&self, key: InstrumentKey) -> u64 {
        self.handle.sent(key)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
        let until = self.refuse_until.get();
        if until.is_some_and(|until| self.handle.counters().refused >= until) {
            self.refuse_until.set(None);
            self.handle.clear_faults();
        }
    }
}
