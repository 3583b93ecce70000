//! Puts the parts together: the adapter, the gateway, its interface, and a socket.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use strikewire_api::{Access, Api, Door, Metrics, Settings, router, serve};
use strikewire_examples::made_up_master;
use strikewire_gateway::calendar::Calendar;
use strikewire_gateway::registry::{LoadOptions, Registry};
use strikewire_gateway::types::{Clock, ClockSpec, ist_date};
use strikewire_gateway::{Config, Gateway, MemoryJournal, Parts, Setup, build};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adapter::{BazaarFeed, BazaarReference};
use crate::bazaar::Bazaar;

/// A morning on which the made-up instruments trade.
const MORNING: &str = "2026-02-09T10:00:00+05:30@1";
/// How often prices move.
const STEP: Duration = Duration::from_millis(100);

/// Everything, running.
pub(crate) struct House {
    pub(crate) addr: SocketAddr,
    gateway: Gateway,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    feed: JoinHandle<()>,
}

impl House {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self, Box<dyn Error>> {
        // The clock of everything. `Clock::system()` would do outside of an example, where
        // it should not matter when it is run.
        let clock = Clock::simulated(MORNING.parse::<ClockSpec>()?);
        let options = LoadOptions::new(ist_date(clock.now().utc));
        let registry = Registry::from_reader(made_up_master().as_bytes(), &options)?;
        let registry = Arc::new(registry);
        let bazaar = Bazaar::of(&registry, clock);

        let mut config = Config::default();
        // What the broker allows is said once, and goes to the book, which keeps to it.
        config.book.connections = BazaarFeed::CAPABILITIES.connections;
        config.book.per_connection = BazaarFeed::CAPABILITIES.per_connection;
        config.book.per_batch = BazaarFeed::CAPABILITIES.per_batch;
        config.book.total = config.book.connections * config.book.per_connection;
        // Nothing is always on.
        config.tier_b.clear();
        let Parts {
            gateway,
            feed,
            owner,
            hub,
            desk,
            indicators,
        } = build(Setup {
            config,
            registry,
            clock,
            calendar: Calendar::builtin(),
            feed: BazaarFeed::new(bazaar.clone(), "a-secret-key"),
            reference: BazaarReference::new(bazaar.clone()),
            // Watchlists live as long as the process; `strikewire_store` has a journal that
            // writes them to a database.
            journal: MemoryJournal::new,
            recovered: Default::default(),
            audit: None,
            // Who holds indicators is kept in memory.
            leases: Default::default(),
        })?;

        let mut tasks = JoinSet::new();
        for task in [owner, hub, desk, indicators] {
            tasks.spawn(task);
        }
        // The feed and all that ticks do have a thread of their own.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let feed = std::thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || {
                if let Err(error) = runtime.block_on(feed()) {
                    eprintln!("{error}");
                }
            })?;

        let stop = CancellationToken::new();
        let settings = Arc::new(ArcSwap::from_pointee(Settings::default()));
        let api = Api::new(strikewire_api::Setup {
            gateway: gateway.clone(),
            // No recorder of metrics is installed, so there are none to show.
            metrics: Metrics::new(String::new),
            notes: Vec::new(),
            stop: stop.clone(),
            run: 1,
            // Without keys everybody is admin: for addresses of this machine only.
            access: Arc::new(Access::default()),
            settings: settings.clone(),
            control: None,
        });
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let door = Door {
            settings,
            tls: None,
            stop: stop.clone(),
        };
        tasks.spawn(serve(listener, router(api), door));
        // The market.
        tasks.spawn({
            let stop = stop.clone();
            async move {
                let mut rng = Pcg64Mcg::seed_from_u64(1);
                while stop
                    .run_until_cancelled(tokio::time::sleep(STEP))
                    .await
                    .is_some()
                {
                    bazaar.walk(&mut rng);
                }
            }
        });
        Ok(Self {
            addr,
            gateway,
            stop,
            tasks,
            feed,
        })
    }

    /// Says goodbye to the clients and to the broker.
    pub(crate) async fn close(self) -> Result<(), Box<dyn Error>> {
        self.stop.cancel();
        self.gateway.stop().await;
        self.tasks.join_all().await;
        self.feed.join().map_err(|_| "the feed panicked")?;
        Ok(())
    }
}
