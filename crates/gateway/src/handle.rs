mod chain;
mod price;
mod quotes;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_calendar::Calendar;
use strikewire_fanout::ClientId;
use strikewire_quotes::{Quote, Table};
use strikewire_registry::{ChainQuery, Expiring, LadderId, OtherExchange, Registry};
use strikewire_store::Reader;
use strikewire_types::{Clock, Exchange, Expiry, InstrumentKey};
use tokio::sync::{mpsc, oneshot};

pub use quotes::Quotes;

use crate::command::{ChainAsk, Command, Envelope, Reply};
use crate::desk::Desk;
use crate::hub::HubCommand;
use crate::item::Holding;
use crate::master::{Master, Shared as SharedMaster};
use crate::outbox::{self, Inbox, StreamLimits};
use crate::plan::Want;
use crate::tick::Wakers;
use crate::{
    ActiveRow, Added, Config, Counters, DryRun, Error, Explanation, Indicators, ItemFilter,
    ItemRequest, ItemView, PlanError, Readiness, Removed, StatusView, StreamClient, WsStatus,
};

pub(crate) use chain::render;

/// How often a request is tried whose price goes before it is done.
const PRICE_TRIES: usize = 3;

/// Asks the running gateway. Cheap to clone; every clone is the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    /// Another one in every run and on every node.
    run: u64,
}

/// What every clone of the handle shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) master: SharedMaster,
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) table: Arc<Table>,
    pub(crate) desk: Desk,
    pub(crate) clock: Clock,
    pub(crate) commands: mpsc::Sender<Envelope>,
    /// The hub, which ends with the owner.
    pub(crate) hub: mpsc::WeakUnboundedSender<HubCommand>,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) readiness: Arc<ArcSwap<Readiness>>,
    pub(crate) audit: Option<Reader>,
    pub(crate) last_id: AtomicU64,
    pub(crate) indicators: Indicators,
}

impl Gateway {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            // The seed of the configuration may be the same on two nodes.
            run: RandomState::new().hash_one(0_u8),
        }
    }

    /// A random number of this run.
    pub(crate) const fn run(&self) -> u64 {
        self.run
    }

    /// Who wants which indicators, and their latest values.
    #[must_use]
    pub fn indicators(&self) -> &Indicators {
        &self.shared.indicators
    }

    /// The instrument master in force. Another may be in force a moment later; who holds
    /// this one sees it whole.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.shared.master.load().registry)
    }

    pub(crate) fn master(&self) -> Arc<Master> {
        self.shared.master.load_full()
    }

    /// When markets trade.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.shared.calendar
    }

    /// Whether the last session of some contracts has ended.
    #[must_use]
    pub fn has_ended(&self, it: &Expiring<'_>) -> bool {
        crate::owner::ended(&self.shared.calendar, self.shared.clock.now(), it)
    }

    /// The clock that everything runs by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What the feed thread counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Whether it does its job.
    #[must_use]
    pub fn readiness(&self) -> Arc<Readiness> {
        self.shared.readiness.load_full()
    }

    /// The last quote of an instrument; absent when it is not subscribed or nothing
    /// came yet.
    #[must_use]
    pub fn quote(&self, key: InstrumentKey) -> Option<Quote> {
        self.shared.table.quote(key)
    }

    /// Adds an item to a list, waiting for the price of the underlying if need be.
    ///
    /// # Errors
    ///
    /// When the item is not listed, does not fit, has other settings already, or no
    /// price comes in time.
    ///
    /// # Cancel safety
    ///
    /// The item may or may not have been added.
    pub async fn add_item(
        &self,
        request: &ItemRequest,
    ) -> Result<(Added, Option<OtherExchange>), Error> {
        self.in_master(|master| async move {
            let (spec, warning) = self.resolve_item(&master.registry, request)?;
            let _hold = match (spec.holding, request.price) {
                (Holding::Chain { ladder, width }, None) => {
                    let ladder = master.registry.ladder_at(ladder);
                    let claim = Some((width, spec.mode));
                    self.await_price(&master, ladder, claim).await?
                }
                _ => None,
            };
            let ask = ChainAsk {
                price: request.price,
                force: request.force,
            };
            let spec = Box::new(spec);
            let added = self
                .ask_of(&master, |reply| Command::Add { ask, spec, reply })
                .await?;
            Ok((added, warning))
        })
        .await
    }

    /// Removes an item from a watchlist.
    ///
    /// # Errors
    ///
    /// When no item matches, or several do.
    ///
    /// # Cancel safety
    ///
    /// The item may or may not have been removed.
    pub async fn remove_item(&self, user: u64, filter: ItemFilter) -> Result<Removed, Error> {
        self.ask(|reply| Command::Remove {
            user,
            filter,
            reply,
        })
        .await
    }

    /// The items of a user's watchlist, in the order of addition.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn list_items(&self, user: u64) -> Result<Vec<ItemView>, Error> {
        self.ask(|reply| Command::List { user, reply }).await
    }

    /// Totals of the subscription book.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn status(&self) -> Result<StatusView, Error> {
        self.ask(|reply| Command::Status { reply }).await
    }

    /// All about the connections.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn ws_status(&self) -> Result<WsStatus, Error> {
        self.ask(|reply| Command::WsStatus { reply }).await
    }

    /// Who holds an instrument and how it stands on the wire; none when nobody does.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn explain(&self, key: InstrumentKey) -> Result<Option<Explanation>, Error> {
        let master = self.master();
        self.ask_of(&master, |reply| Command::Explain { key, reply })
            .await
    }

    /// Everything that somebody holds, in no particular order.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn active(&self) -> Result<Vec<ActiveRow>, Error> {
        self.ask(|reply| Command::Active { reply }).await
    }

    /// What some requests would take and evict, together. Changes nothing.
    ///
    /// # Errors
    ///
    /// When one of them names what is not listed: the first that does is said.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn plan(&self, requests: &[ItemRequest]) -> Result<DryRun, PlanError> {
        self.in_master(|master| async move {
            let mut wants = Vec::with_capacity(requests.len());
            for (at, request) in requests.iter().enumerate() {
                let price = request.price;
                match self.resolve_item(&master.registry, request) {
                    Ok((spec, _)) => wants.push(Want { spec, price }),
                    Err(error) => {
                        let request = Some(at);
                        return Ok(Err(PlanError { request, error }));
                    }
                }
            }
            self.ask_of(&master, |reply| Command::Plan { wants, reply })
                .await
                .map(Ok)
        })
        .await?
    }

    /// Lets go of the tier A claims of all items, which stay on their lists as evicted.
    /// How many instruments left.
    ///
    /// # Errors
    ///
    /// When it cannot be made durable.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been done.
    pub async fn unsubscribe_tier_a(&self) -> Result<usize, Error> {
        self.ask(|reply| Command::UnsubscribeTierA { reply }).await
    }

    /// Evens the connections out. How many instruments move.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been done.
    pub async fn rebalance(&self) -> Result<usize, Error> {
        self.ask(|reply| Command::Rebalance { reply }).await
    }

    /// Calculates the chains of an expiry anew, on every exchange that lists it. How many
    /// were known.
    ///
    /// # Errors
    ///
    /// When it is not listed.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been done.
    pub async fn invalidate(&self, symbol: &str, expiry: Expiry) -> Result<usize, Error> {
        self.in_master(|master| async move {
            let registry = &master.registry;
            let mut ladders: Vec<LadderId> = Exchange::ALL
                .into_iter()
                .filter_map(|exchange| registry.ladder(exchange, symbol, expiry))
                .map(|ladder| ladder.id())
                .collect();
            if ladders.is_empty() {
                // Says what is listed instead.
                let query = ChainQuery {
                    symbol,
                    kind: None,
                    exchange: None,
                    expiry: Some(expiry),
                };
                ladders.push(registry.resolve_chain(&query)?.ladder.id());
            }
            self.ask_of(&master, |reply| Command::Invalidate { ladders, reply })
                .await
        })
        .await
    }

    /// Goes over to the instrument master of another day. Claims are carried over by
    /// contract.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been done.
    pub async fn swap_master(&self, registry: Arc<Registry>) -> Result<(), Error> {
        self.ask(|reply| Command::SwapMaster { registry, reply })
            .await
    }

    /// Says that the instrument master of the day cannot be had, and why; or that it can.
    /// Readiness shows it.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been said.
    pub async fn master_stale(&self, detail: Option<String>) {
        let _ = self.send(Command::MasterStale { detail }).await;
    }

    /// Where the audit log is read; none when the gateway keeps none.
    #[must_use]
    pub fn audit(&self) -> Option<&Reader> {
        self.shared.audit.as_ref()
    }

    /// Opens a stream: a handle to subscribe with, and the messages for the client, of which
    /// so many may wait.
    /// Dropping the handle lets go of everything it subscribed.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn open_stream(&self, limits: StreamLimits) -> Result<(StreamClient, Inbox), Error> {
        let (outbox, inbox) = outbox::outbox(limits);
        let client = ClientId(self.next_id());
        // Before the client can ask the owner anything, or answer itself.
        if !self.tell_hub(HubCommand::Open { client, outbox }) {
            return Err(Error::Stopping);
        }
        let streamer = StreamClient::new(self.clone(), client);
        self.send(Command::OpenStream { client }).await?;
        Ok((streamer, inbox))
    }

    /// Tells the hub something; false when it has ended.
    pub(crate) fn tell_hub(&self, command: HubCommand) -> bool {
        let hub = self.shared.hub.upgrade();
        hub.is_some_and(|hub| hub.send(command).is_ok())
    }

    /// Ends the gateway: what is under way is finished, then the owner, the feed and
    /// the hub end one after the other.
    ///
    /// # Cancel safety
    ///
    /// The gateway may or may not have been asked.
    pub async fn stop(&self) {
        let _ = self.send(Command::Stop).await;
    }

    fn next_id(&self) -> u64 {
        self.shared.last_id.fetch_add(1, Relaxed) + 1
    }

    /// Does `work` with the master in force, again should another one come in between, or
    /// the price that it needs go.
    pub(crate) async fn in_master<T, F>(
        &self,
        mut work: impl FnMut(Arc<Master>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = 0;
        loop {
            match work(self.master()).await {
                Err(Error::MasterChanged) => {}
                // It has no holder now: the next try asks for its price or holds it.
                Err(Error::PriceGone { symbol, instrument }) => {
                    tries += 1;
                    if tries == PRICE_TRIES {
                        return Err(Error::PriceUnavailable {
                            symbol,
                            instrument,
                            waited_ms: self.shared.config.price_wait.as_millis(),
                            quote: "what there was is gone again".into(),
                        });
                    }
                }
                done => return done,
            }
        }
    }

    async fn send(&self, command: Command) -> Result<(), Error> {
        self.send_of(self.shared.master.load().number, command)
            .await
    }

    async fn send_of(&self, master: u64, command: Command) -> Result<(), Error> {
        self.shared
            .commands
            .send(Envelope { master, command })
            .await
            .map_err(|_| Error::Stopping)
    }

    /// Asks something that means the same in every master.
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Asks something whose ladders and instruments were found in `master`.
    pub(crate) async fn ask_of<T>(
        &self,
        master: &Master,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send_of(master.number, command(reply)).await?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Sends a command from where nothing can be awaited.
    pub(crate) fn send_detached(&self, command: Command) {
        let master = self.shared.master.load().number;
        let envelope = Envelope { master, command };
        if let Err(mpsc::error::TrySendError::Full(envelope)) =
            self.shared.commands.try_send(envelope)
        {
            let commands = self.shared.commands.clone();
            tokio::spawn(async move { commands.send(envelope).await });
        }
    }
}
