//! The one owner of the subscription book. It takes commands, crossings and
//! connection events one at a time, never waits, and parks each reply until the
//! journal says that the change behind it is durable.

mod chains;
mod conns;
mod day;
mod feed;
mod gaps;
mod indicators;
mod items;
mod parked;
mod plan;
mod query;
mod records;
mod recover;
mod run;
mod silence;
mod streams;
mod swap;
mod tier_b;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_broker::{Link, WireBatch, WireOp};
use strikewire_calendar::Calendar;
use strikewire_quotes::{Interest, Table};
use strikewire_registry::Registry;
use strikewire_store::Recovered;
use strikewire_subscriptions::{Book, Effect, Leg, Owner as Holder, OwnerKind, Refusal, Request};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Now, Tier};
use tokio::sync::mpsc::UnboundedSender;

use crate::bars::Era;
use crate::command::{Command, Envelope, Reply};
use crate::desk::Desk;
use crate::hub::HubCommand;
use crate::master::Shared as SharedMaster;
use crate::{Config, Counters, Error, Journal, Readiness};

use chains::Chains;
use conns::Conns;
use day::Day;
use feed::Feed;
use gaps::Gaps;
use indicators::Indicators;
use items::Items;
use parked::Parked;
use records::{Cause, Records};
use silence::Watch;
use streams::Streams;
use tier_b::TierB;

pub(crate) use chains::{ended, legs, middle_window, source_leg, source_of};
pub(crate) use indicators::{OwnerEvent, successor};
pub(crate) use run::{Inputs, run};

/// The owner's state. Its methods are spread over the modules by subject.
#[derive(Debug)]
pub(crate) struct Owner {
    config: Config,
    master: SharedMaster,
    registry: Arc<Registry>,
    calendar: Arc<Calendar>,
    table: Arc<Table>,
    desk: Desk,
    counters: Arc<Counters>,
    readiness: Arc<ArcSwap<Readiness>>,
    hub: UnboundedSender<HubCommand>,
    journal: Box<dyn Journal>,

    /// How many seconds of the clock pass in a real one. What concerns sockets takes real
    /// time.
    speed: f64,
    book: Book,
    /// What the book wants done, and why; emptied by [`settle`](Self::settle).
    effects: VecDeque<(Arc<Cause>, Effect)>,
    /// The effects of the change under way.
    fresh: Vec<Effect>,
    /// Whether a [`settle`](Self::settle) is under way.
    settling: bool,
    batch: WireBatch,
    chains: Chains,
    items: Items,
    streams: Streams,
    indicators: Indicators,
    parked: Parked,
    conns: Conns,
    feed: Feed,
    gaps: Gaps,
    watch: Watch,
    day: Day,
    tier_b: TierB,
    records: Records,
    /// Slots held for requests that wait for a price.
    holds: BTreeMap<u64, InstrumentKey>,
}

/// What an owner is made of.
pub(crate) struct Made {
    pub(crate) config: Config,
    pub(crate) master: SharedMaster,
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) recovered: Recovered,
    pub(crate) table: Arc<Table>,
    pub(crate) desk: Desk,
    pub(crate) counters: Arc<Counters>,
    pub(crate) readiness: Arc<ArcSwap<Readiness>>,
    pub(crate) hub: UnboundedSender<HubCommand>,
    /// Those who compute indicators.
    pub(crate) indicators: UnboundedSender<OwnerEvent>,
    pub(crate) era: Era,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) book: Book,
    pub(crate) now: Now,
    pub(crate) speed: f64,
}

impl Owner {
    pub(crate) fn new(made: Made) -> Self {
        let conns = Conns::new(made.config.book.connections, made.now);
        let watch = Watch::new(made.config.book.connections);
        let mut owner = Self {
            config: made.config,
            registry: made.master.load().registry.clone(),
            master: made.master,
            calendar: made.calendar,
            table: made.table,
            desk: made.desk,
            counters: made.counters,
            readiness: made.readiness,
            hub: made.hub,
            journal: made.journal,
            speed: made.speed,
            book: made.book,
            effects: VecDeque::new(),
            fresh: Vec::new(),
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
            indicators: Indicators::new(made.indicators, made.era),
            parked: Parked::default(),
            conns,
            feed: Feed::default(),
            gaps: Gaps::default(),
            watch,
            day: Day::default(),
            tier_b: TierB::default(),
            records: Records::new(made.now),
            holds: BTreeMap::new(),
        };
        // What is worth most on the wire is claimed first.
        owner.start_tier_b(made.now);
        owner.recover(made.now, &made.recovered);
        owner
    }

    fn handle_command(&mut self, now: Now, Envelope { master, command }: Envelope) {
        if master != self.master.load().number && !command.outlives_master() {
            // Its ladders and instruments are those of another master.
            return command.refuse(Error::MasterChanged);
        }
        self.note_reads(now);
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
            Command::OpenStream { client } => self.open_stream(client),
            Command::CloseStream { client } => self.close_stream(now, client),
            Command::StreamTicks {
                client,
                sub,
                most,
                ticks,
                reply,
            } => {
                let done = self
                    .may_subscribe(client, most)
                    .and_then(|()| self.stream_ticks(now, client, sub, ticks));
                answer(reply, done);
            }
            Command::StreamChain {
                client,
                sub,
                most,
                chain,
                reply,
            } => {
                let done = self
                    .may_subscribe(client, most)
                    .and_then(|()| self.stream_chain(now, client, sub, chain));
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
            Command::ClaimIndicator { leg, reply } => {
                let done = self.claim_indicator(now, leg);
                answer(reply, done);
            }
            Command::ReleaseIndicator { key } => self.release_indicator(now, master, key),
            Command::Status { reply } => answer(reply, Ok(self.status())),
            Command::Explain { key, reply } => answer(reply, Ok(self.explain(key))),
            Command::Active { reply } => answer(reply, Ok(self.active())),
            Command::Plan { wants, reply } => answer(reply, Ok(self.dry_run(now, &wants))),
            Command::UnsubscribeTierA { reply } => self.unsubscribe_tier_a(now, reply),
            Command::Rebalance { reply } => answer(reply, Ok(self.rebalance(now))),
            Command::Invalidate { ladders, reply } => {
                answer(reply, Ok(self.invalidate(now, &ladders)));
            }
            Command::WsStatus { reply } => answer(reply, Ok(self.ws_status(now))),
            Command::SwapMaster { registry, reply } => {
                self.swap_master(now, &registry);
                answer(reply, Ok(()));
            }
            Command::MasterStale { detail } => self.master_stale(now, detail),
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
        let claim = |legs| Request::new(request_holder(request), Tier::A, legs);
        let plan = self.book.plan(now, &claim(vec![leg]))?;
        if !plan.victims().is_empty() {
            let Some(legs) = chain else {
                let status = self.book.status();
                return Err(Refusal {
                    needed: 1,
                    free: status.free,
                    evictable: 0,
                    quota: None,
                }
                .into());
            };
            self.book.plan(now, &claim(legs))?;
        }
        let cause = self.records.causes.waited.clone();
        self.change(&cause, |book, effects| book.apply(now, plan, effects));
        self.holds.insert(request, leg.key);
        self.settle(now);
        self.wake_waiters(leg.key);
        Ok(())
    }

    fn unhold(&mut self, now: Now, request: u64) {
        if let Some(key) = self.holds.remove(&request) {
            let cause = self.records.causes.waited.clone();
            self.change(&cause, |book, effects| {
                book.release(now, request_holder(request), effects)
            });
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

    /// Changes the book and remembers why; [`settle`](Self::settle) does what it asks for.
    fn change<T>(
        &mut self,
        cause: &Arc<Cause>,
        change: impl FnOnce(&mut Book, &mut Vec<Effect>) -> T,
    ) -> T {
        let done = change(&mut self.book, &mut self.fresh);
        let fresh = self.fresh.drain(..);
        self.effects
            .extend(fresh.map(|effect| (Arc::clone(cause), effect)));
        done
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
        while let Some((cause, effect)) = self.effects.pop_front() {
            match effect {
                Effect::Bind {
                    slot,
                    key,
                    step,
                    home,
                } => {
                    self.table.bind(key, slot, step, home);
                    self.record_slot(slot, Some(key));
                    self.records.changed(key);
                    changed.push(key);
                }
                Effect::Unbind { slot, key } => {
                    self.table.unbind(key);
                    self.table.disarm(slot);
                    self.table
                        .remove_interest(slot, Interest::WAIT | Interest::BARS);
                    self.indicators.unbound(now, key);
                    self.gap_forgotten(slot, key);
                    self.watch.forget(key);
                    self.record_slot(slot, None);
                    changed.push(key);
                }
                Effect::Migrate { slot, from, to } => {
                    self.table.migrate(slot, to);
                    self.record_move(now, slot, from, to);
                }
                Effect::Homed { slot, conn } => {
                    self.table.set_home(slot, conn);
                    self.record_home(slot);
                }
                Effect::Evicted { owner, by, freed } => self.evicted(now, owner, by, freed),
                Effect::Wake { conn } => self.conns.wake(conn),
                Effect::Desired { key, owner, .. } => {
                    self.record_desired(now, &cause, key, owner);
                }
                Effect::Changed { key, .. } => self.records.changed(key),
                Effect::Undesired {
                    key, owner, why, ..
                } => self.record_undesired(now, &cause, key, owner, why),
                Effect::HandedOver { conn, moved } => {
                    tracing::warn!(%conn, moved, "Instruments handed to other connections");
                    metrics::counter!("strikewire_handed_over_total").increment(moved as u64);
                }
                Effect::Rebalanced { moved } => {
                    tracing::info!(moved, "Connections are evened out");
                    metrics::counter!("strikewire_rebalanced_total").increment(moved as u64);
                }
                Effect::Shrunk { conn, cap } => {
                    tracing::warn!(%conn, cap, "The broker takes fewer instruments than it should");
                }
                Effect::Refused { key, .. } => {
                    tracing::error!(%key, "The broker does not take an instrument");
                    self.records.changed(key);
                }
                // Kinds that are yet to come ask nothing of this owner.
                _ => {}
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
            self.listen(*key);
        }
        self.tell_hub(HubCommand::SlotsChanged(changed));
    }

    /// A claim made room for another.
    fn evicted(&mut self, now: Now, holder: Holder, by: Holder, freed: usize) {
        tracing::info!(%holder, %by, freed, "Claim evicted");
        metrics::counter!("strikewire_evictions_total").increment(1);
        self.record_eviction(holder, by, freed);
        match holder.kind {
            OwnerKind::Watchlist | OwnerKind::Explicit => {
                self.item_evicted(now, holder);
            }
            OwnerKind::Stream => self.stream_evicted(now, holder),
            OwnerKind::Indicator => self.indicator_evicted(now, holder),
            OwnerKind::Request => {
                if let Some(key) = self.holds.remove(&holder.id) {
                    self.rest_waiters(key);
                }
            }
            // Never evicted.
            OwnerKind::TierB => {}
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
