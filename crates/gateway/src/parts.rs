use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::AtomicU64;
use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_broker::{self as broker, Feed, Reference, port};
use strikewire_calendar::Calendar;
use strikewire_fanout::Hub;
use strikewire_registry::Registry;
use strikewire_store::{Outcome, Reader, Recovered};
use strikewire_subscriptions::{Book, Config as BookConfig};
use strikewire_types::Clock;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;

use crate::bars::{self, Era, Tap};
use crate::desk::{self, Desk};
use crate::handle::{Gateway, Shared};
use crate::indicators::{self, Computing, Engine, LeaseSetup, Outside};
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

/// The gateway in parts: a handle, and five tasks that must run for it to work.
pub struct Parts {
    /// For those who ask.
    pub gateway: Gateway,
    /// Runs the broker's feed and the tick path. Ends when the owner has ended.
    pub feed: FeedTask,
    /// Runs the owner of the book. Ends by [`Gateway::stop`].
    pub owner: Task,
    /// Serves streaming clients. Ends when the owner has ended.
    pub hub: Task,
    /// Asks the broker for what is not streamed. Ends when the owner has ended.
    pub desk: Task,
    /// Computes indicators and keeps their leases. Ends when the owner has ended.
    pub indicators: Task,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}

/// What a gateway is made of.
pub struct Setup<Fd, R, M> {
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
    /// The broker's request side.
    pub reference: R,
    /// Makes the journal out of the sender through which it reports what is durable.
    pub journal: M,
    /// What was held before a restart.
    pub recovered: Recovered,
    /// Where the audit log is read; absent: there is none.
    pub audit: Option<Reader>,
    /// Where it is kept who wants which indicator.
    pub leases: LeaseSetup,
}

impl<Fd, R, M> fmt::Debug for Setup<Fd, R, M> {
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
pub fn build<Fd, R, J, M>(
    setup: Setup<Fd, R, M>,
) -> Result<Parts, strikewire_subscriptions::ConfigError>
where
    Fd: Feed + Send + 'static,
    R: Reference,
    J: Journal + 'static,
    M: FnOnce(UnboundedSender<Outcome>) -> J,
{
    let Setup {
        config,
        registry,
        clock,
        calendar,
        feed,
        reference,
        journal,
        recovered,
        audit,
        leases,
    } = setup;
    let reference = Arc::new(reference);
    let master = Master::first(registry);
    let calendar = Arc::new(calendar);
    let book = Book::new(in_real_time(config.book, clock.speed()))?;
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
    let (answer_tx, answer_rx) = mpsc::channel(desk::ANSWERS);
    // Desk and engine end with the owner.
    let (owner_lives, owner_ended) = oneshot::channel();
    let (owner_lives_too, owner_ended_too) = oneshot::channel();
    let desk = Desk::new(&config, clock);

    let era = Era::default();
    let grace = config.indicators.grace;
    let tap = Tap::new(table.clone(), calendar.clone(), era.clone(), grace);
    let (bars, bar_commands) = bars::channel();
    let (indicator_tx, indicator_rx) = mpsc::unbounded_channel();
    let path = TickPath::new(
        writer,
        clock,
        tap,
        tick_tx,
        wakers.clone(),
        counters.clone(),
    );
    let hub = Hub::new(table.clone(), config.seed);
    let weak_hub = hub_tx.downgrade();
    let computing = Computing::new();
    let engine = Engine::new(
        indicators::Settings {
            fill: config.indicators.fill,
            grace,
            warm_up: config.indicators.warm_up,
            mock: leases.mock,
        },
        calendar.clone(),
        computing.clone(),
        master.load().number,
    );
    let (indicators, sink, keeping) = indicators::make(indicators::Made {
        config: config.indicators,
        leases,
        computing,
        hub: weak_hub.clone(),
        clock,
        master: master.clone(),
        calendar: calendar.clone(),
    });
    let outside = Outside {
        clock,
        bars,
        events: indicator_rx,
        commands: command_tx.downgrade(),
        hub: weak_hub.clone(),
        sink,
    };
    let owner = Owner::new(Made {
        config: config.clone(),
        master: master.clone(),
        calendar: calendar.clone(),
        recovered,
        table: table.clone(),
        desk: desk.clone(),
        counters: counters.clone(),
        readiness: readiness.clone(),
        hub: hub_tx,
        indicators: indicator_tx,
        era,
        journal: Box::new(journal(outcome_tx)),
        book,
        now,
        speed: clock.speed(),
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
            desk: desk.clone(),
            clock,
            commands: command_tx,
            hub: weak_hub,
            wakers: wakers.clone(),
            counters,
            readiness,
            audit,
            indicators,
            last_id: AtomicU64::new(0),
        }),
        feed: Box::new({
            let desk = desk.clone();
            move || {
                Box::pin(desk::run_feed(
                    feed,
                    port,
                    path,
                    desk,
                    answer_rx,
                    bar_commands,
                ))
            }
        }),
        owner: Box::pin(async move {
            let _lives: (oneshot::Sender<_>, oneshot::Sender<_>) = (owner_lives, owner_lives_too);
            owner::run(owner, inputs, clock).await;
        }),
        desk: Box::pin(desk::run(
            desk,
            Arc::clone(&reference),
            clock,
            answer_tx,
            owner_ended,
        )),
        indicators: Box::pin(async move {
            // Whoever keeps leases ends with the last handle, or here.
            tokio::select! {
                () = indicators::run(engine, outside, reference, owner_ended_too) => {}
                () = keeping => {}
            }
        }),
        hub: Box::pin(hub::run(hub, hub_rx, wakers)),
    })
}

/// What the book waits for sockets, in the time of a clock that passes `speed` seconds in
/// a real one.
fn in_real_time(book: BookConfig, speed: f64) -> BookConfig {
    let scaled = |time: Duration| {
        Duration::try_from_secs_f64(time.as_secs_f64() * speed).unwrap_or(Duration::MAX)
    };
    BookConfig {
        grace: scaled(book.grace),
        handover: scaled(book.handover),
        settle: scaled(book.settle),
        probation: scaled(book.probation),
        ..book
    }
}
