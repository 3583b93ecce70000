//! The one owner of the subscription book. It takes commands, crossings and
//! connection events one at a time, never waits, and parks each reply until the
//! journal says that the change behind it is durable.

mod chains;
mod conns;
mod items;
mod parked;
mod query;
mod run;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_broker::{Link, WireBatch, WireOp};
use strikewire_quotes::{Interest, Table};
use strikewire_registry::Registry;
use strikewire_subscriptions::{Book, Effect, Leg, Owner as Holder, OwnerKind, Refusal, Request};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Now, Tier};
use tokio::sync::mpsc::UnboundedSender;

use crate::command::{Command, Reply};
use crate::hub::HubCommand;
use crate::{Config, Counters, Error, Journal, Readiness};

use chains::Chains;
use conns::Conns;
use items::Items;
use parked::Parked;
use streams::Streams;

pub(crate) use chains::{middle_legs, source_of};
pub(crate) use run::{Inputs, run};

/// The owner's state. Its methods are spread over the modules by subject.
#[derive(Debug)]
pub(crate) struct Owner {
    config: Config,
    registry: Arc<Registry>,
    table: Arc<Table>,
    counters: Arc<Counters>,
    readiness: Arc<ArcSwap<Readiness>>,
    hub: UnboundedSender<HubCommand>,
    journal: Box<dyn Journal>,

    book: Book,
    /// What the book wants done; emptied by [`settle`](Self::settle).
    effects: Vec<Effect>,
    /// Whether a [`settle`](Self::settle) is under way.
    settling: bool,
    batch: WireBatch,
    chains: Chains,
    items: Items,
    streams: Streams,
    parked: Parked,
    conns: Conns,
    /// Slots held for requests that wait for a price.
    holds: BTreeMap<u64, InstrumentKey>,
}

/// What an owner is made of.
pub(crate) struct Made {
    pub(crate) config: Config,
    pub(crate) registry: Arc<Registry>,
    pub(crate) table: Arc<Table>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) readiness: Arc<ArcSwap<Readiness>>,
    pub(crate) hub: UnboundedSender<HubCommand>,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) book: Book,
    pub(crate) now: Now,
}

impl Owner {
    pub(crate) fn new(made: Made) -> Self {
        let conns = Conns::new(made.config.book.connections, made.now);
        Self {
            config: made.config,
            registry: made.registry,
            table: made.table,
            counters: made.counters,
            readiness: made.readiness,
            hub: made.hub,
            journal: made.journal,
            book: made.book,
            effects: Vec::new(),
            settling: false,
            batch: WireBatch {
                conn: ConnId::from_index(0),
                epoch: Epoch::default(),
                op: WireOp::Subscribe(Mode::Ticker),
                keys: Vec::new(),
            },
            chains: Chains::default(),
            items: Items::default(),
            streams: Streams::default(),
            parked: Parked::default(),
            conns,
            holds: BTreeMap::new(),
        }
    }

    fn handle_command(&mut self, now: Now, command: Command) {
        match command {
            Command::Hold {
                request,
                leg,
                chain,
                reply,
            } => match self.hold(now, request, leg, chain) {
                Err(error) => answer(reply, Err(error)),
                Ok(()) => {
                    if reply.send(Ok(())).is_err() {
                        // The request has gone, and its `Unhold` may have come before this.
                        self.unhold(now, request);
                    }
                }
            },
            Command::Unhold { request } => self.unhold(now, request),
            Command::Add { ask, spec, reply } => self.add_item(now, ask, &spec, reply),
            Command::Remove {
                user,
                filter,
                reply,
            } => self.remove_item(now, user, &filter, reply),
            Command::List { user, reply } => answer(reply, Ok(self.list_items(user))),
            Command::ReadChain {
                ladder,
                width,
                ask,
                reply,
            } => {
                let chain = self.read_chain(now, ladder, width, ask);
                answer(reply, chain);
            }
            Command::OpenStream { client, outbox } => self.open_stream(client, outbox),
            Command::CloseStream { client } => self.close_stream(now, client),
            Command::StreamTicks {
                client,
                sub,
                ticks,
                reply,
            } => {
                let done = self.stream_ticks(now, client, sub, ticks);
                answer(reply, done);
            }
            Command::StreamChain {
                client,
                sub,
                chain,
                reply,
            } => {
                let done = self.stream_chain(now, client, sub, chain);
                answer(reply, done);
            }
            Command::StreamUnsubscribe {
                client,
                sub,
                ack,
                reply,
            } => {
                let done = self.stream_unsubscribe(now, client, sub, ack);
                answer(reply, done);
            }
            Command::Status { reply } => answer(reply, Ok(self.status())),
            Command::Explain { key, reply } => answer(reply, Ok(self.explain(key))),
            Command::WsStatus { reply } => answer(reply, Ok(self.ws_status(now))),
            // Seen by the loop before it gets here.
            Command::Stop => {}
        }
    }

    /// Claims an underlying for a request that waits for its price.
    ///
    /// Where that needs an eviction, the request must have a chance: one that only
    /// reads evicts nobody, and one whose chain could not fit at any price neither.
    fn hold(
        &mut self,
        now: Now,
        request: u64,
        leg: Leg,
        chain: Option<Vec<Leg>>,
    ) -> Result<(), Error> {
        let claim = |legs| Request {
            owner: request_holder(request),
            tier: Tier::A,
            legs,
        };
        let plan = self.book.plan(now, &claim(vec![leg]))?;
        if !plan.victims().is_empty() {
            let Some(legs) = chain else {
                let status = self.book.status();
                return Err(Refusal {
                    needed: 1,
                    free: status.free,
                    evictable: 0,
                }
                .into());
            };
            self.book.plan(now, &claim(legs))?;
        }
        self.book.apply(now, plan, &mut self.effects);
        self.holds.insert(request, leg.key);
        self.settle(now);
        self.wake_waiters(leg.key);
        Ok(())
    }

    fn unhold(&mut self, now: Now, request: u64) {
        if let Some(key) = self.holds.remove(&request) {
            self.book
                .release(now, request_holder(request), &mut self.effects);
            self.settle(now);
            self.rest_waiters(key);
        }
    }

    /// Ends [`wake_waiters`](Self::wake_waiters) unless another request waits for it.
    fn rest_waiters(&self, key: InstrumentKey) {
        if !self.holds.values().any(|held| *held == key)
            && let Some((slot, _)) = self.table.resolve(key)
        {
            self.table.remove_interest(slot, Interest::WAIT);
        }
    }

    /// Marks the row of `key` as waited for, so that its next update wakes requests.
    fn wake_waiters(&self, key: InstrumentKey) {
        if let Some((slot, _)) = self.table.resolve(key) {
            self.table.add_interest(slot, Interest::WAIT);
        }
    }

    /// Does what the book's last change asks for: rows, chains, clients, records.
    ///
    /// Effects are done in the order in which the book made them. What an effect leads
    /// to (a chain without its last follower, the roll of another) makes more of them,
    /// which come after those that are there already.
    fn settle(&mut self, now: Now) {
        if self.settling {
            return;
        }
        self.settling = true;
        let mut changed = Vec::new();
        // Letting go of evicted claims makes more effects.
        while !self.effects.is_empty() {
            for effect in core::mem::take(&mut self.effects) {
                match effect {
                    Effect::Bind {
                        slot,
                        key,
                        step,
                        home,
                    } => {
                        self.table.bind(key, slot, step, home);
                        changed.push(key);
                    }
                    Effect::Unbind { slot, key } => {
                        self.table.unbind(key);
                        self.table.disarm(slot);
                        self.table.remove_interest(slot, Interest::WAIT);
                        changed.push(key);
                    }
                    Effect::Migrate { slot, to, .. } => self.table.migrate(slot, to),
                    Effect::Homed { slot, conn } => self.table.set_home(slot, conn),
                    Effect::Evicted { owner, by, freed } => self.evicted(now, owner, by, freed),
                    Effect::Wake { conn } => self.conns.wake(conn),
                    Effect::Desired {
                        key,
                        tier,
                        mode,
                        owner,
                        ..
                    } => {
                        tracing::debug!(%key, %tier, %mode, ?owner, "Subscribe");
                    }
                    Effect::Changed {
                        key, tier, mode, ..
                    } => {
                        tracing::debug!(%key, %tier, %mode, "Change");
                    }
                    Effect::Undesired {
                        key, owner, why, ..
                    } => {
                        tracing::debug!(%key, ?owner, ?why, "Unsubscribe");
                    }
                    // Kinds that are yet to come ask nothing of this owner.
                    _ => {}
                }
            }
        }
        self.settling = false;
        if changed.is_empty() {
            return;
        }
        for key in &changed {
            if self.chains.is_source(*key) {
                self.arm(now, *key);
            }
            if self.holds.values().any(|held| held == key) {
                self.wake_waiters(*key);
            }
        }
        self.tell_hub(HubCommand::SlotsChanged(changed));
    }

    /// A claim made room for another.
    fn evicted(&mut self, now: Now, holder: Holder, by: Holder, freed: usize) {
        tracing::info!(%holder, %by, freed, "Claim evicted");
        metrics::counter!("strikewire_evictions_total").increment(1);
        match holder.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => self.item_evicted(now, holder),
            OwnerKind::Stream => self.stream_evicted(now, holder),
            OwnerKind::Request => {
                if let Some(key) = self.holds.remove(&holder.id) {
                    self.rest_waiters(key);
                }
            }
            _ => {}
        }
    }

    /// Sends every connection that can take it its most valuable difference.
    fn feed_wires(&mut self, now: Now, link: &mut Link) {
        while let Some(conn) = self.conns.next_awake() {
            if self.book.poll_wire(now, conn, &mut self.batch) {
                link.send(self.batch.clone());
            }
            self.settle(now);
        }
    }

    fn tell_hub(&self, command: HubCommand) {
        // The hub goes only after the owner; a send fails only while all stops.
        let _ = self.hub.send(command);
    }
}

/// The claim of a waiting request.
const fn request_holder(request: u64) -> Holder {
    Holder {
        kind: OwnerKind::Request,
        id: request,
    }
}

/// Sends an answer; whoever asked may have gone.
fn answer<T>(reply: Reply<T>, result: Result<T, Error>) {
    let _ = reply.send(result);
}
