//! Takes and gives back leases, for one subscriber at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_fanout::ValueId;
use strikewire_leases::{
    Gone, LeaseKey, Leased, Leases, MemoryLeases, Released, Settings, Subscriber,
};
use strikewire_types::{Clock, Now};

use super::holders::{Holders, Limits, Taken};
use super::ledger::Ledger;
use super::meters::ServiceMeters;
use super::store::{Answer, Store};
use super::{Compute, ComputeSpec, IndicatorConfig};
use crate::Error;

/// How often a call is made that was answered over another connection than the one before.
const TRIES: usize = 3;

/// So many leases are asked about in one call.
const AT_ONCE: usize = 500;

/// Everything that a change of leases needs. What concerns one subscriber is done one after
/// the other, in the order in which it was asked for; [`Keeper`](super::lanes::Keeper) sees
/// to that.
///
/// There are two truths. The *mirror* is this node's own, in memory: who came through this
/// node, and when it gave a sign of life here. The *store* is the one that all nodes share,
/// where there is one; it decides who is alive and how many there are, as long as it can be
/// reached. While it cannot, the mirror answers, and [`Ledger`] keeps what the store has to
/// be told.
pub(super) struct Service {
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) engine: Box<dyn Compute>,
    pub(super) mirror: Arc<MemoryLeases>,
    pub(super) store: Option<Box<dyn Store>>,
    pub(super) book: Mutex<Book>,
    /// Tells the hub that a socket lost leases.
    pub(super) tell: Box<dyn Fn(Lost) + Send + Sync>,
    pub(super) meters: ServiceMeters,
}

/// Who holds what here, and what the store knows of it.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) holders: Holders,
    pub(super) ledger: Ledger,
}

/// Leases that a socket lost by something else than itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) socket: Arc<str>,
    pub(super) who: Subscriber,
    pub(super) keys: Vec<LeaseKey>,
    pub(super) detail: &'static str,
}

/// What a sweep found, by subscriber.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Leases of those that gave this node no sign of life.
    pub(super) idle: BTreeMap<Subscriber, Vec<LeaseKey>>,
    /// Those whom the store let go of, but that gave signs of life here.
    pub(super) lost: BTreeSet<Subscriber>,
    /// Leases that the store does not have, as far as was seen.
    pub(super) doubtful: BTreeMap<Subscriber, Vec<LeaseKey>>,
}

impl Service {
    pub(super) fn new(
        config: &IndicatorConfig,
        settings: Settings,
        clock: Clock,
        engine: Box<dyn Compute>,
        store: Option<Box<dyn Store>>,
        tell: Box<dyn Fn(Lost) + Send + Sync>,
    ) -> Self {
        Self {
            clock,
            settings,
            engine,
            mirror: Arc::new(MemoryLeases::new(settings)),
            store,
            book: Mutex::new(Book {
                holders: Holders::new(Limits {
                    per_user: config.max_per_user,
                    keys: config.max_keys,
                }),
                ledger: Ledger::default(),
            }),
            tell,
            meters: ServiceMeters::default(),
        }
    }

    /// Takes leases: all or none. What came of each, and what the hub calls its values.
    pub(super) async fn subscribe(
        &self,
        who: &Subscriber,
        socket: Option<&Arc<str>>,
        specs: &[ComputeSpec],
    ) -> Result<Vec<(Leased, ValueId)>, Error> {
        let keys: Vec<LeaseKey> = specs.iter().map(|spec| spec.key.clone()).collect();
        // What is owed goes first: the lease that is taken now must not be let go by it.
        self.settle(who).await;
        let values = self
            .book
            .lock()
            .holders
            .hold(who, socket, specs, &*self.engine)?;
        let now = self.clock.now();
        let websocket = socket.map(|socket| &**socket);
        let here = self.mirror.subscribe(now, who, websocket, &keys).await;
        let shared = self
            .ask(who, |store| store.subscribe(now, who, websocket, &keys))
            .await;
        let leased = match shared {
            Some(shared) => shared,
            // The mirror is never away.
            None => here.map_err(|_| Error::Stopping)?,
        };
        Ok(leased.into_iter().zip(values).collect())
    }

    /// Takes leases away from a subscriber, whoever holds them for it.
    pub(super) async fn unsubscribe(&self, who: &Subscriber, keys: &[LeaseKey]) -> Vec<Released> {
        self.take(who, Some(keys), "unsubscribed by request");
        self.tell_gone(who, keys).await
    }

    /// The instruments of some keys are not listed any more.
    pub(super) async fn delist(&self, who: &Subscriber, keys: &[LeaseKey]) {
        self.take(who, Some(keys), "its instrument is not listed any more");
        self.tell_gone(who, keys).await;
    }

    /// A socket lets go of some of a subscriber's leases, or of all.
    pub(super) async fn let_go(&self, who: &Subscriber, socket: &str, keys: Option<&[LeaseKey]>) {
        let gone = self
            .book
            .lock()
            .holders
            .let_go(who, socket, keys, &*self.engine);
        if !gone.is_empty() {
            self.tell_gone(who, &gone).await;
        }
    }

    /// Mirror and store forget leases that have no holder here.
    async fn tell_gone(&self, who: &Subscriber, keys: &[LeaseKey]) -> Vec<Released> {
        let now = self.clock.now();
        let here = self.mirror.unsubscribe(who, keys).await;
        let shared = self.ask(who, |store| store.unsubscribe(who, keys)).await;
        match shared {
            Some(shared) => shared,
            None => {
                if self.may_know() {
                    self.book.lock().ledger.owe(who, keys, now.mono);
                }
                here.unwrap_or_default()
            }
        }
    }

    /// Lets go of everything of a subscriber: its session has ended. How much that was.
    pub(super) async fn release(&self, who: &Subscriber) -> usize {
        self.take(who, None, "the session has ended");
        let now = self.clock.now();
        let (session, user) = (&*who.session, Some(who.user));
        let here = self.mirror.release(now, session, user).await;
        let shared = self
            .ask(who, |store| store.release(now, session, user))
            .await;
        match shared {
            Some(shared) => shared.len(),
            None => {
                if self.may_know() {
                    self.book.lock().ledger.owe_session(who, now.mono);
                }
                here.map_or(0, |here| here.len())
            }
        }
    }

    /// Lets go of a session in the store, whoever's it is. Those who hold something here have
    /// been released before.
    pub(super) async fn release_any(&self, session: &Arc<str>) -> usize {
        let Some(store) = &self.store else {
            return 0;
        };
        let now = self.clock.now();
        if store.is_up() {
            match store.release(now, session, None).await {
                Ok(gone) => {
                    self.book.lock().ledger.paid_any(session);
                    return gone.len();
                }
                Err(error) => self.meters.failed(&error),
            }
        }
        if self.may_know() {
            self.book.lock().ledger.owe_any(session, now.mono);
        }
        0
    }

    /// Notes a sign of life. Whether each lease is alive; one that is, but that this node did
    /// not know, is held here from now on: the node that it came through may be no more.
    /// `specs` says what the keys are, for those.
    pub(super) async fn heartbeat(
        &self,
        who: &Subscriber,
        keys: &[LeaseKey],
        specs: &[ComputeSpec],
    ) -> Vec<bool> {
        let now = self.clock.now();
        let here = self.mirror.heartbeat(now, who, keys).await;
        let here = here.unwrap_or_else(|_| vec![false; keys.len()]);
        let Some(shared) = self.ask(who, |store| store.heartbeat(now, who, keys)).await else {
            return here;
        };
        let (mut lost, mut known, mut strange) = (Vec::new(), Vec::new(), Vec::new());
        {
            let book = self.book.lock();
            for ((key, here), shared) in keys.iter().zip(&here).zip(&shared) {
                match (book.holders.holds(who, key), shared) {
                    // Another node let go of it.
                    (true, false) => lost.push(key.clone()),
                    // A sweep here is about to.
                    (true, true) if !here => known.push(key.clone()),
                    (false, true) => strange.push(key.clone()),
                    _ => {}
                }
            }
        }
        self.lose(who, &lost).await;
        known.extend(self.adopt(who, &strange, specs));
        if !known.is_empty() {
            let _ = self.mirror.subscribe(now, who, None, &known).await;
        }
        shared
    }

    /// Holds leases that came through another node. Those that are held then.
    fn adopt(&self, who: &Subscriber, keys: &[LeaseKey], specs: &[ComputeSpec]) -> Vec<LeaseKey> {
        let mut adopted = Vec::new();
        let mut book = self.book.lock();
        for spec in specs.iter().filter(|spec| keys.contains(&spec.key)) {
            let one = core::slice::from_ref(spec);
            match book.holders.hold(who, None, one, &*self.engine) {
                Ok(_) => adopted.push(spec.key.clone()),
                // It lives on; what computes it is another node, if there is one.
                Err(error) => tracing::debug!(%who, %error, "Lease not adopted"),
            }
        }
        self.meters.adopted(adopted.len());
        adopted
    }

    /// Lets go of leases here that were swept out of the mirror, unless they were taken
    /// again meanwhile. The store has a sweep of its own: the subscriber may give signs of
    /// life to another node.
    pub(super) fn expire(&self, who: &Subscriber, keys: &[LeaseKey]) {
        let gone: Vec<LeaseKey> = keys
            .iter()
            .filter(|key| !self.mirror.holds(key, who))
            .cloned()
            .collect();
        let taken = self.take(who, Some(&gone), "no sign of life in time");
        self.meters.expired(taken);
    }

    /// Lets go of those who gave no sign of life, in the mirror and in the store, and looks
    /// whether the store has what is held here: another node may have let go of it.
    pub(super) async fn sweep(&self) -> Swept {
        self.meters.sweep();
        let now = self.clock.now();
        let mut swept = Swept::default();
        for Gone {
            key, subscriber, ..
        } in self.mirror.sweep(now).await.unwrap_or_default()
        {
            swept.idle.entry(subscriber).or_default().push(key);
        }
        if let Some(store) = self.store.as_deref().filter(|store| store.is_up())
            && let Err(error) = self.sweep_store(store, now, &mut swept).await
        {
            self.meters.failed(&error);
        }
        let mut book = self.book.lock();
        let Book { holders, ledger } = &mut *book;
        ledger.forget_older(now.mono, self.settings.idle, |who| holders.has(who));
        swept
    }

    async fn sweep_store(
        &self,
        store: &dyn Store,
        now: Now,
        swept: &mut Swept,
    ) -> Result<(), strikewire_leases::Error> {
        let generation = store.generation();
        let gone = store.sweep(now).await?;
        let held = {
            let mut book = self.book.lock();
            let Book { holders, ledger } = &mut *book;
            for Gone {
                key, subscriber, ..
            } in gone
            {
                // It could not be told of signs of life for a while.
                if holders.holds(&subscriber, &key) && self.mirror.holds(&key, &subscriber) {
                    ledger.unsettle(&subscriber);
                    swept.lost.insert(subscriber);
                }
            }
            let settled = |who: &Subscriber| ledger.is_settled(who, generation);
            holders.pairs(settled)
        };
        for some in held.chunks(AT_ONCE) {
            let alive = store.alive(some).await?;
            for ((who, key), _) in some.iter().zip(alive).filter(|(_, alive)| !alive) {
                swept
                    .doubtful
                    .entry(who.clone())
                    .or_default()
                    .push(key.clone());
            }
        }
        Ok(())
    }

    /// Lets go of leases here that the store does not have.
    pub(super) async fn check(&self, who: &Subscriber, keys: &[LeaseKey]) {
        let pairs: Vec<_> = keys.iter().map(|key| (who.clone(), key.clone())).collect();
        let Some(alive) = self.ask(who, |store| store.alive(&pairs)).await else {
            return;
        };
        let doubtful = keys.iter().zip(alive);
        let lost: Vec<LeaseKey> = doubtful
            .filter(|(_, alive)| !alive)
            .map(|(key, _)| key.clone())
            .collect();
        self.lose(who, &lost).await;
    }

    /// Lets go of leases here that another node let go of.
    async fn lose(&self, who: &Subscriber, keys: &[LeaseKey]) {
        if !keys.is_empty() {
            self.take(who, Some(keys), "let go of on another node");
            // The mirror is never away.
            let _ = self.mirror.unsubscribe(who, keys).await;
        }
    }

    /// Takes leases away and tells the sockets that held them. How many there were.
    fn take(&self, who: &Subscriber, keys: Option<&[LeaseKey]>, detail: &'static str) -> usize {
        let taken = self.book.lock().holders.take(who, keys, &*self.engine);
        let count = taken.len();
        for lost in by_socket(who, taken, detail) {
            (self.tell)(lost);
        }
        count
    }

    /// Asks the store about a subscriber, after it has been told everything. None: it cannot
    /// be reached, and nobody knows whether it did what was asked.
    async fn ask<'s, T>(
        &'s self,
        who: &'s Subscriber,
        call: impl Fn(&'s dyn Store) -> Answer<'s, T>,
    ) -> Option<T> {
        let store = self.store.as_deref()?;
        for _ in 0..TRIES {
            let Some(generation) = self.settle(who).await else {
                // It has something to be told when it is back.
                self.book.lock().ledger.unsettle(who);
                return None;
            };
            match call(store).await {
                Ok(answer) if store.generation() == generation => return Some(answer),
                // It may have been asked after a restart that lost everything.
                Ok(_) => self.book.lock().ledger.unsettle(who),
                Err(error) => {
                    self.meters.failed(&error);
                    self.book.lock().ledger.unsettle(who);
                    return None;
                }
            }
        }
        None
    }

    /// Tells the store everything of a subscriber that it does not know, first what was let
    /// go of, then what is held. The number of the connection; none: it cannot be reached.
    pub(super) async fn settle(&self, who: &Subscriber) -> Option<u64> {
        let store = self.store.as_deref()?;
        for _ in 0..TRIES {
            if !store.is_up() {
                return None;
            }
            let generation = store.generation();
            let (owed, held) = {
                let book = self.book.lock();
                if book.ledger.is_settled(who, generation) {
                    return Some(generation);
                }
                (book.ledger.owed(who), book.holders.by_websocket(who))
            };
            let told = async {
                let now = self.clock.now();
                if owed.session {
                    let user = Some(who.user);
                    store.release(now, &who.session, user).await?;
                }
                if !owed.keys.is_empty() {
                    store.unsubscribe(who, &owed.keys).await?;
                }
                let mut count = owed.keys.len();
                for (socket, keys) in &held {
                    store.subscribe(now, who, socket.as_deref(), keys).await?;
                    count += keys.len();
                }
                Ok::<usize, strikewire_leases::Error>(count)
            };
            match told.await {
                Ok(count) if store.generation() == generation => {
                    self.meters.reconciled(count);
                    self.book.lock().ledger.settle(who, generation);
                    return Some(generation);
                }
                Ok(_) => {}
                Err(error) => {
                    self.meters.failed(&error);
                    self.book.lock().ledger.unsettle(who);
                    return None;
                }
            }
        }
        None
    }

    /// Whether the store may know something of those who were here: it was reached once.
    fn may_know(&self) -> bool {
        self.store
            .as_deref()
            .is_some_and(|store| store.generation() > 0)
    }

    /// Forgets a subscriber that holds nothing.
    pub(super) fn tidy(&self, who: &Subscriber) {
        let mut book = self.book.lock();
        if !book.holders.has(who) {
            book.ledger.tidy(who);
        }
    }
}

fn by_socket(who: &Subscriber, taken: Vec<Taken>, detail: &'static str) -> Vec<Lost> {
    let mut lost: Vec<Lost> = Vec::new();
    for it in taken {
        for socket in it.sockets {
            match lost.iter_mut().find(|lost| lost.socket == socket) {
                Some(lost) => lost.keys.push(it.key.clone()),
                None => lost.push(Lost {
                    socket,
                    who: who.clone(),
                    keys: vec![it.key.clone()],
                    detail,
                }),
            }
        }
    }
    lost
}
