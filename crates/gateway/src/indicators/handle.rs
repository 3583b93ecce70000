use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_calendar::Calendar;
use strikewire_leases::{LeaseKey, Leases, Record, Subscriber, Totals};
use strikewire_types::Utc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::lanes::{Op, Request};
use super::resolve::{self, Resolver};
use super::service::Service;
use super::store::Store;
use super::values::Values;
use super::{
    ComputeSpec, ComputeState, IndicatorLease, IndicatorRelease, IndicatorValue, IndicatorWant,
};
use crate::Error;
use crate::master::{Master, Shared as SharedMaster};

/// So many names are looked up before others have their turn.
const BEFORE_OTHERS: usize = 64;

/// Who wants which indicators, and their latest values. Cheap to clone; every clone is the
/// same node's.
///
/// A subscriber is a user in one of their sessions. It holds an indicator through a socket
/// of the stream or by request; what it holds lives until it lets go, its socket closes, its
/// session ends, or it has given no sign of life for a while. The first holder of an
/// indicator has this node compute it, the last one out ends that.
#[derive(Clone)]
pub struct Indicators {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) service: Arc<Service>,
    pub(super) values: Arc<Values>,
    pub(super) requests: UnboundedSender<Request>,
    pub(super) master: SharedMaster,
    pub(super) calendar: Arc<Calendar>,
    pub(super) is_mock: bool,
    /// Since when the store is away.
    pub(super) away: Mutex<Option<Utc>>,
}

impl Indicators {
    /// Takes indicators for a subscriber, through a socket of the stream or by request: all
    /// of them or none. What it holds already counts once, and gets a sign of life.
    ///
    /// # Errors
    ///
    /// When an instrument, timeframe or indicator is unknown or cannot be, or the user or
    /// the node would have more than it may.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub async fn subscribe(
        &self,
        who: &Subscriber,
        socket: Option<&str>,
        wants: &[IndicatorWant],
    ) -> Result<Vec<IndicatorLease>, Error> {
        let master = self.master();
        let resolver = self.resolver(&master);
        let specs = wants
            .iter()
            .enumerate()
            .map(|(at, want)| resolver.current_spec(at, want))
            .collect::<Result<Vec<ComputeSpec>, Error>>()?;
        let leased = self
            .ask(who, |reply| Op::Subscribe {
                socket: socket.map(Arc::from),
                specs: specs.clone(),
                reply,
            })
            .await??;
        let leases = wants.iter().zip(specs).zip(leased);
        Ok(leases
            .map(|((want, spec), (leased, value))| IndicatorLease {
                want: want.clone(),
                value,
                key: spec.key,
                instrument: spec.instrument,
                is_new: leased.is_new,
                ref_count: leased.ref_count,
            })
            .collect())
    }

    /// Lets go of indicators of a subscriber, whichever sockets or requests hold them.
    ///
    /// # Errors
    ///
    /// When an instrument, timeframe or indicator is unknown; then nothing is let go of.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub async fn unsubscribe(
        &self,
        who: &Subscriber,
        wants: &[IndicatorWant],
    ) -> Result<Vec<IndicatorRelease>, Error> {
        let master = self.master();
        let resolver = self.resolver(&master);
        let keys = wants
            .iter()
            .enumerate()
            .map(|(at, want)| match self.held_as_named(who, want) {
                // It may not be listed any more.
                Some(key) => Ok(key),
                None => Ok(resolver.spec(at, want)?.key),
            })
            .collect::<Result<Vec<LeaseKey>, Error>>()?;
        let released = self
            .ask(who, |reply| Op::Unsubscribe {
                keys: keys.clone(),
                reply,
            })
            .await?;
        let releases = keys.into_iter().zip(released);
        Ok(releases
            .map(|(key, released)| IndicatorRelease {
                key,
                was_held: released.was_held,
                stopped: released.stopped,
                ref_count: released.ref_count,
            })
            .collect())
    }

    /// Notes a sign of life of a subscriber. Whether each indicator is alive; what is
    /// unknown is not. One that is alive but came through another node is held and computed
    /// here from now on.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub async fn heartbeat(
        &self,
        who: &Subscriber,
        wants: &[IndicatorWant],
    ) -> Result<Vec<bool>, Error> {
        let master = self.master();
        let resolver = self.resolver(&master);
        let mut specs = Vec::new();
        let mut keys: Vec<Option<LeaseKey>> = Vec::with_capacity(wants.len());
        for (at, want) in wants.iter().enumerate() {
            if at % BEFORE_OTHERS == BEFORE_OTHERS - 1 {
                tokio::task::yield_now().await;
            }
            // Most are held here, and named as they were answered.
            if let Some(key) = self.held_as_named(who, want) {
                keys.push(Some(key));
                continue;
            }
            match resolver.spec(at, want) {
                Ok(spec) => {
                    keys.push(Some(spec.key.clone()));
                    specs.push(spec);
                }
                // What could have been meant was looked for, which takes long.
                Err(_) => {
                    keys.push(None);
                    tokio::task::yield_now().await;
                }
            }
        }
        let known: Vec<LeaseKey> = keys.iter().flatten().cloned().collect();
        let mut alive = if known.is_empty() {
            Vec::new()
        } else {
            self.ask(who, |reply| Op::Heartbeat {
                keys: known,
                specs,
                reply,
            })
            .await?
        }
        .into_iter();
        Ok(keys
            .iter()
            .map(|key| key.is_some() && alive.next().unwrap_or(false))
            .collect())
    }

    /// Notes a sign of life of everything that a socket holds: what that is, by its
    /// canonical name, and whether it is alive.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub async fn heartbeat_socket(&self, socket: &str) -> Vec<(IndicatorWant, bool)> {
        let held = self.shared.service.book.lock().holders.of_socket(socket);
        let mut asked = Vec::with_capacity(held.len());
        for (who, keys) in held {
            let (reply, answer) = oneshot::channel();
            let op = Op::Heartbeat {
                keys: keys.clone(),
                specs: Vec::new(),
                reply,
            };
            self.tell(Request::Op { who, op });
            asked.push((keys, answer));
        }
        let mut answers = Vec::new();
        for (keys, answer) in asked {
            let alive = answer.await.unwrap_or_else(|_| vec![false; keys.len()]);
            answers.extend(keys.iter().map(IndicatorWant::of).zip(alive));
        }
        answers
    }

    /// Lets go of some indicators that a socket holds for a subscriber.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub async fn release_held(&self, who: &Subscriber, socket: &str, keys: &[LeaseKey]) {
        let let_go = self.ask(who, |reply| Op::LetGo {
            socket: socket.into(),
            keys: Some(keys.to_vec()),
            reply: Some(reply),
        });
        // One that cannot be done any more is done with the node.
        let _ = let_go.await;
    }

    /// Lets go of everything that a socket holds, also of what is being subscribed for it at
    /// the moment. Does not wait.
    pub fn release_socket(&self, socket: &str) {
        let socket = socket.into();
        self.tell(Request::ReleaseSocket { socket });
    }

    /// Lets go of everything of exactly that session, of one user or of any: it has ended.
    /// How many indicators that were.
    ///
    /// # Errors
    ///
    /// When the gateway is stopping.
    ///
    /// # Cancel safety
    ///
    /// It is done all the same.
    pub async fn release_session(&self, session: &str, user: Option<u64>) -> Result<usize, Error> {
        let (reply, answer) = oneshot::channel();
        self.tell(Request::ReleaseSession {
            session: session.into(),
            user,
            reply,
        });
        answer.await.map_err(|_| Error::Stopping)
    }

    /// What is kept alive, on all nodes: records by the names of their keys. Only those of a
    /// symbol or timeframe where one is named.
    ///
    /// # Errors
    ///
    /// When the symbol or timeframe is unknown.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn active(
        &self,
        symbol: Option<&str>,
        timeframe: Option<&str>,
    ) -> Result<BTreeMap<String, Record>, Error> {
        let symbol = match symbol {
            Some(symbol) => {
                let master = self.master();
                let resolver = self.resolver(&master);
                Some(resolver.instrument(symbol)?.token())
            }
            None => None,
        };
        let timeframe = match timeframe {
            Some(text) => Some(resolve::parse_timeframe(0, text)?.to_string()),
            None => None,
        };
        let (symbol, timeframe) = (symbol.as_deref(), timeframe.as_deref());
        let shared = match self.store() {
            Some(store) => self.said(store.active(symbol, timeframe).await),
            None => None,
        };
        let records = match shared {
            Some(records) => records,
            None => {
                let here = self.shared.service.mirror.active(symbol, timeframe);
                here.await.unwrap_or_default()
            }
        };
        Ok(records
            .into_iter()
            .map(|(key, record)| (key.lease_key(), record))
            .collect())
    }

    /// How many are kept alive, on all nodes.
    ///
    /// # Errors
    ///
    /// None at present.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn totals(&self) -> Result<Totals, Error> {
        let shared = match self.store() {
            Some(store) => self.said(store.totals().await),
            None => None,
        };
        match shared {
            Some(totals) => Ok(totals),
            None => Ok(self
                .shared
                .service
                .mirror
                .totals()
                .await
                .unwrap_or_default()),
        }
    }

    /// The latest value of an indicator: this node's or, where it computes none, the one
    /// that another node left. Values of a stand-in are this node's alone, and where values
    /// are a stand-in's, no others are read.
    ///
    /// # Errors
    ///
    /// When its instrument, timeframe or name is unknown, nobody has subscribed to it, or it
    /// has no value yet.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn value(&self, want: &IndicatorWant) -> Result<IndicatorValue, Error> {
        let key = {
            let master = self.master();
            self.resolver(&master).spec(0, want)?.key
        };
        let service = &self.shared.service;
        if let Some(latest) = service.engine.latest(&key) {
            return Ok(IndicatorValue::from(&*latest));
        }
        if let Some(text) = self.left(&key).await
            && let Ok(value) = serde_json::from_str::<IndicatorValue>(&text)
            && value.mock == self.shared.is_mock
        {
            return Ok(value);
        }
        Err(self.no_value(&key).await)
    }

    /// A value that is in memory or in the store.
    async fn left(&self, key: &LeaseKey) -> Option<String> {
        let service = &self.shared.service;
        if self.shared.is_mock {
            return self.shared.values.of_mock(key);
        }
        let now = service.clock.now();
        if let Some(text) = service.mirror.value(now, key).await.ok().flatten() {
            return Some(text);
        }
        self.said(self.store()?.value(now, key).await).flatten()
    }

    /// Why there is no value.
    async fn no_value(&self, key: &LeaseKey) -> Error {
        let service = &self.shared.service;
        let is_here = service.book.lock().holders.is_computed(key);
        let reason = match service.engine.state(key) {
            Some(ComputeState::OffWire) => {
                "its instrument is not on the wire: its market is closed, or there is no room"
            }
            Some(ComputeState::Gone) => "its instrument is not listed any more",
            Some(ComputeState::Warming) => "candles or the first bar are awaited",
            Some(ComputeState::Warm) | None if is_here => "the first bar is awaited",
            Some(ComputeState::Warm) | None => {
                let record = match self.store() {
                    Some(store) => self.said(store.record(key).await).flatten(),
                    None => None,
                };
                if record.is_none() {
                    let key = key.lease_key();
                    return Error::NotComputed { key };
                }
                "another node computes it, and has none"
            }
        };
        Error::NoValue {
            key: key.lease_key(),
            reason,
        }
    }

    /// Why leases are not what they should be: the store that nodes share is away. None when
    /// all is well.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        self.away_since()?;
        Some(
            "redis cannot be reached: leases of indicators and sessions are those of this node \
             until it can"
                .to_owned(),
        )
    }

    /// Since when it is so, as far as somebody asked.
    #[must_use]
    pub fn degraded_since(&self) -> Option<Utc> {
        self.away_since()
    }

    /// Whether values are those of a stand-in.
    #[must_use]
    pub fn is_mock(&self) -> bool {
        self.shared.is_mock
    }

    /// Whether a socket holds an indicator for a subscriber.
    pub(crate) fn holds(&self, who: &Subscriber, socket: &str, key: &LeaseKey) -> bool {
        let book = self.shared.service.book.lock();
        book.holders.holds_by(who, socket, key)
    }

    fn away_since(&self) -> Option<Utc> {
        let service = &self.shared.service;
        let store = service.store.as_deref()?;
        let mut away = self.shared.away.lock();
        if store.is_up() {
            *away = None;
        } else if away.is_none() {
            *away = Some(service.clock.now().utc);
        }
        *away
    }

    /// The store, while it can be reached.
    fn store(&self) -> Option<&dyn Store> {
        let store = self.shared.service.store.as_deref();
        store.filter(|store| store.is_up())
    }

    fn said<T>(&self, answer: Result<T, strikewire_leases::Error>) -> Option<T> {
        match answer {
            Ok(said) => Some(said),
            Err(error) => {
                self.shared.service.meters.failed(&error);
                None
            }
        }
    }

    fn master(&self) -> Arc<Master> {
        self.shared.master.load_full()
    }

    fn resolver<'a>(&'a self, master: &'a Master) -> Resolver<'a> {
        Resolver {
            master,
            calendar: &self.shared.calendar,
            now: self.shared.service.clock.now(),
        }
    }

    /// What a subscriber holds under exactly that name.
    fn held_as_named(&self, who: &Subscriber, want: &IndicatorWant) -> Option<LeaseKey> {
        let key = LeaseKey::new(&want.symbol, &want.timeframe, &want.indicator);
        let book = self.shared.service.book.lock();
        book.holders.holds(who, &key).then_some(key)
    }

    fn tell(&self, request: Request) {
        // Whoever waits for an answer hears that there is none.
        let _ = self.shared.requests.send(request);
    }

    async fn ask<T>(
        &self,
        who: &Subscriber,
        op: impl FnOnce(oneshot::Sender<T>) -> Op,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let who = who.clone();
        let op = op(reply);
        self.tell(Request::Op { who, op });
        answer.await.map_err(|_| Error::Stopping)
    }
}

#[cfg(test)]
impl Indicators {
    pub(super) fn service(&self) -> Arc<Service> {
        Arc::clone(&self.shared.service)
    }
}

impl fmt::Debug for Indicators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indicators")
            .field("mock", &self.shared.is_mock)
            .field("shared_store", &self.shared.service.store.is_some())
            .finish_non_exhaustive()
    }
}
