use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_chain::{ChainFacts, ChainView, Width};
use strikewire_fanout::{ClientId, Message};
use strikewire_quotes::{Quote, Table};
use strikewire_registry::{Ladder, OtherExchange, Registry};
use strikewire_subscriptions::{Leg, Role};
use strikewire_types::{Clock, InstrumentKey, Mode};
use tokio::sync::{mpsc, oneshot};

use crate::command::{ChainAsk, Command, Reply};
use crate::hub::ANSWERS;
use crate::item::Holding;
use crate::price::source_price;
use crate::tick::Wakers;
use crate::{
    Added, ChainAnswer, ChainRequest, Config, Counters, Error, Explanation, ItemFilter,
    ItemRequest, ItemView, Readiness, Removed, StatusView, StreamClient, WsStatus,
};

/// Asks the running gateway. Cheap to clone; every clone is the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    registry: Arc<Registry>,
    table: Arc<Table>,
    clock: Clock,
    commands: mpsc::Sender<Command>,
    wakers: Arc<Wakers>,
    counters: Arc<Counters>,
    readiness: Arc<ArcSwap<Readiness>>,
    last_id: AtomicU64,
}

impl Gateway {
    #[allow(clippy::too_many_arguments)] // called once, by `build`
    pub(crate) fn new(
        config: Config,
        registry: Arc<Registry>,
        table: Arc<Table>,
        clock: Clock,
        commands: mpsc::Sender<Command>,
        wakers: Arc<Wakers>,
        counters: Arc<Counters>,
        readiness: Arc<ArcSwap<Readiness>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                registry,
                table,
                clock,
                commands,
                wakers,
                counters,
                readiness,
                last_id: AtomicU64::new(0),
            }),
        }
    }

    /// The instrument master.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
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
        let (spec, warning) = self.resolve_item(request)?;
        let _hold = match (spec.holding, request.price) {
            (Holding::Chain { ladder, width }, None) => {
                let ladder = self.registry().ladder_at(ladder);
                self.await_price(ladder, Some((width, spec.mode))).await?
            }
            _ => None,
        };
        let ask = ChainAsk {
            price: request.price,
            force: request.force,
        };
        let added = self
            .ask(|reply| Command::Add {
                ask,
                spec: Box::new(spec),
                reply,
            })
            .await?;
        Ok((added, warning))
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

    /// A chain, without subscribing it.
    ///
    /// # Errors
    ///
    /// When it is not listed or there is no price.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn read_chain(
        &self,
        request: &ChainRequest,
    ) -> Result<(ChainAnswer, Option<OtherExchange>), Error> {
        let (ladder, width, warning) = self.resolve_chain(request)?;
        let _hold = match request.price {
            None => self.await_price(ladder, None).await?,
            Some(_) => None,
        };
        let (ladder, ask) = (
            ladder.id(),
            ChainAsk {
                price: request.price,
                force: request.force,
            },
        );
        let answer = self
            .ask(|reply| Command::ReadChain {
                ladder,
                width,
                ask,
                reply,
            })
            .await?;
        Ok((answer, warning))
    }

    /// A calculated chain in the form of the contract.
    #[must_use]
    pub fn render(&self, answer: &ChainAnswer) -> ChainView {
        render(self.registry(), answer)
    }

    /// The last quotes of a chain's contracts, where there are any, by token.
    #[must_use]
    pub fn chain_quotes(&self, answer: &ChainAnswer) -> Vec<(String, Quote)> {
        answer
            .span
            .legs(self.registry())
            .filter_map(|(idx, _, _)| {
                let contract = self.registry().instrument(idx);
                Some((contract.token(), self.quote(contract.key())?))
            })
            .collect()
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
        self.ask(|reply| Command::Explain { key, reply }).await
    }

    /// Opens a stream: a handle to subscribe with, and the messages for the client.
    /// Dropping the handle lets go of everything it subscribed.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn open_stream(&self) -> Result<(StreamClient, mpsc::Receiver<Message>), Error> {
        let (outbox, messages) = mpsc::channel(self.shared.config.client_queue.max(1) + ANSWERS);
        let client = ClientId(self.next_id());
        self.send(Command::OpenStream { client, outbox }).await?;
        Ok((StreamClient::new(self.clone(), client), messages))
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

    async fn send(&self, command: Command) -> Result<(), Error> {
        self.shared
            .commands
            .send(command)
            .await
            .map_err(|_| Error::Stopping)
    }

    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Sends a command from where nothing can be awaited.
    pub(crate) fn send_detached(&self, command: Command) {
        if let Err(mpsc::error::TrySendError::Full(command)) =
            self.shared.commands.try_send(command)
        {
            let gateway = self.clone();
            tokio::spawn(async move { gateway.send(command).await });
        }
    }

    /// Sees to it that the price of a ladder's underlying is known: where it is not,
    /// the underlying is held, and the wait is for its first packet. `claim` is the
    /// width and mode of the chain that will be claimed; none to read it only.
    pub(crate) async fn await_price(
        &self,
        ladder: Ladder<'_>,
        claim: Option<(Width, Mode)>,
    ) -> Result<Option<Hold>, Error> {
        let source = crate::owner::source_of(ladder)?;
        let known = || {
            let now = self.shared.clock.now();
            source_price(&self.shared.table, &self.shared.config, now, source.key())
        };
        if known().is_some() {
            return Ok(None);
        }
        let hold = Hold {
            gateway: self.clone(),
            request: self.next_id(),
        };
        let leg = Leg {
            key: source.key(),
            step: source.tick(),
            mode: Mode::Ticker,
            role: Role::Underlying,
            distance: 0,
        };
        let chain = claim
            .map(|(width, mode)| crate::owner::middle_legs(self.registry(), ladder, width, mode))
            .transpose()?;
        self.ask(|reply| Command::Hold {
            request: hold.request,
            leg,
            chain,
            reply,
        })
        .await?;
        let wait = self.shared.config.price_wait;
        let arrived = tokio::time::timeout(wait, async {
            loop {
                let mut notified = core::pin::pin!(self.shared.wakers.price.notified());
                notified.as_mut().enable();
                // The previous close may arrive a moment before the first price.
                if known().is_some_and(|price| price.is_live()) {
                    return;
                }
                notified.await;
            }
        })
        .await;
        if arrived.is_err() && known().is_none() {
            return Err(Error::PriceUnavailable {
                symbol: ladder.symbol().to_owned(),
                instrument: source.key(),
                waited_ms: wait.as_millis(),
            });
        }
        Ok(Some(hold))
    }
}

/// Holds an underlying for as long as a request needs its price.
#[derive(Debug)]
pub(crate) struct Hold {
    gateway: Gateway,
    request: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gateway.send_detached(Command::Unhold {
            request: self.request,
        });
    }
}

/// A calculated chain in the form of the contract.
pub(crate) fn render(registry: &Registry, answer: &ChainAnswer) -> ChainView {
    ChainView::new(
        &answer.span.window(registry, answer.price.price),
        &ChainFacts {
            price_source: answer.price.source,
            price_time: answer.price.time,
            price_stale: answer.price.stale,
            live_ltp: answer.live.map(|live| live.price),
            calculated_at: answer.calculated_at,
        },
    )
}
