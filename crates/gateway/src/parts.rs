use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::AtomicU64;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_broker::{self as broker, Feed, port};
use strikewire_calendar::Calendar;
use strikewire_fanout::Hub;
use strikewire_registry::Registry;
use strikewire_store::{Outcome, Reader, Recovered};
use strikewire_subscriptions::Book;
use strikewire_types::Clock;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::handle::{Gateway, Shared};
use crate::master::Master;
use crate::owner::{self, Inputs, Made, Owner};
use crate::tick::{TickPath, Wakers};
use crate::{Config, Counters, Journal, Readiness, hub};

/// Commands that may wait for the owner before those who send them wait too.
const COMMAND_QUEUE: usize = 1024;

/// A broker's feed with its tick path, to be started on the thread that polls it: its
/// sockets need not be able to move between threads.
pub type FeedTask =
    Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = Result<(), broker::Error>>>> + Send>;

/// A part of the gateway that must run for it to work.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The gateway in parts: a handle, and three tasks that must run for it to work.
pub struct Parts {
    /// For those who ask.
    pub gateway: Gateway,
    /// Runs the broker's feed and the tick path. Ends when the owner has ended.
    pub feed: FeedTask,
    /// Runs the owner of the book. Ends by [`Gateway::stop`].
    pub owner: Task,
    /// Serves streaming clients. Ends when the owner has ended.
    pub hub: Task,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

/// What a gateway is made of.
pub struct Setup<Fd, M> {
    /// How it behaves.
    pub config: Config,
    /// The instrument master of the day.
    pub registry: Arc<Registry>,
    /// What everything runs by.
    pub clock: Clock,
    /// When markets trade.
    pub calendar: Calendar,
    /// The broker's feed.
    pub feed: Fd,
    /// Makes the journal out of the sender through which it reports what is durable.
    pub journal: M,
    /// What was held before a restart.
    pub recovered: Recovered,
    /// Where the audit log is read; absent: there is none.
    pub audit: Option<Reader>,
}

impl<Fd, M> fmt::Debug for Setup<Fd, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Makes a gateway of its parts.
///
/// # Errors
///
/// When the capacities of the configuration make no sense.
pub fn build<Fd, J, M>(setup: Setup<Fd, M>) -> Result<Parts, strikewire_subscriptions::ConfigError>
where
    Fd: Feed + Send + 'static,
    J: Journal + 'static,
    M: FnOnce(UnboundedSender<Outcome>) -> J,
{
    let Setup {
        config,
        registry,
        clock,
        calendar,
        feed,
        journal,
        recovered,
        audit,
    } = setup;
    let master = Master::first(registry);
    let calendar = Arc::new(calendar);
    let book = Book::new(config.book)?;
    let connections = config.book.connections;
    let (table, writer) = strikewire_quotes::table(config.book.slots());
    let counters = Arc::new(Counters::new(connections));
    let wakers = Arc::new(Wakers::default());
    let now = clock.now();
    let readiness = Arc::new(ArcSwap::from_pointee(Readiness::starting(now.utc)));

    let (port, link) = port(connections);
    let (tick_tx, tick_rx) = mpsc::unbounded_channel();
    let (command_tx, command_rx) = mpsc::channel(COMMAND_QUEUE);
    let (outcome_tx, outcome_rx) = mpsc::unbounded_channel();
    let (hub_tx, hub_rx) = mpsc::unbounded_channel();

    let path = TickPath::new(
        table.clone(),
        writer,
        clock,
        tick_tx,
        wakers.clone(),
        counters.clone(),
    );
    let hub = Hub::new(table.clone(), config.seed);
    let owner = Owner::new(Made {
        config: config.clone(),
        master: master.clone(),
        calendar: calendar.clone(),
        recovered,
        table: table.clone(),
        counters: counters.clone(),
        readiness: readiness.clone(),
        hub: hub_tx,
        journal: Box::new(journal(outcome_tx)),
        book,
        now,
    });
    let inputs = Inputs {
        link,
        ticks: tick_rx,
        commands: command_rx,
        outcomes: outcome_rx,
    };
    Ok(Parts {
        gateway: Gateway::new(Shared {
            config,
            master,
            calendar,
            table,
            clock,
            commands: command_tx,
            wakers: wakers.clone(),
            counters,
            readiness,
            audit,
            last_id: AtomicU64::new(0),
        }),
        feed: Box::new(move || Box::pin(feed.run(port, path))),
        owner: Box::pin(owner::run(owner, inputs, clock)),
        hub: Box::pin(hub::run(hub, hub_rx, wakers)),
    })
}
