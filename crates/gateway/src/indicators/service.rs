//! Takes and gives back leases, for one subscriber at a time.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_fanout::ValueId;
use strikewire_leases::{
    Gone, LeaseKey, Leased, Leases, MemoryLeases, Released, Settings, Subscriber,
};
use strikewire_types::{Clock, Now};

use super::holders::{Holders, Limits, Taken};
use super::ledger::{Ledger, Owed};
use super::meters::ServiceMeters;
use super::store::{Answer, Store};
use super::{Compute, ComputeSpec, IndicatorConfig};
use crate::Error;

/// How often a call is made that was answered over another connection than the one before.
const TRIES: usize = 3;

/// So many leases are asked about in one call.
const AT_ONCE: usize = 500;

/// Three quarters of the idle time: who was silent for longer is not made new by telling the
/// store again.
fn recent(idle: Duration) -> Duration {
    idle * 3 / 4
}

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

impl Book {
    /// The store may lack anything that a subscriber holds.
    fn doubt(&mut self, who: &Subscriber) {
        let keys = self.holders.keys_of(who);
        if !keys.is_empty() {
            self.ledger.take(who, &keys);
            self.ledger.unsettle(who);
        }
    }
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
        let values = {
            let mut book = self.book.lock();
            let values = book.holders.hold(who, socket, specs, &*self.engine)?;
            if self.store.is_some() {
                book.ledger.take(who, &keys);
            }
            values
        };
        let now = self.clock.now();
        let websocket = socket.map(|socket| &**socket);
        let here = self.mirror.subscribe(now, who, websocket, &keys).await;
        let shared = self
            .ask(who, |store| store.subscribe(now, who, websocket, &keys))
            .await;
        let leased = match shared {
            Some(shared) => {
                self.book.lock().ledger.told(who, &keys, now.mono);
                shared
            }
            // The mirror is never away.
            None => here.map_err(|_| Error::Stopping)?,
        };
        Ok(leased.into_iter().zip(values).collect())
    }

    /// Takes leases away from a subscriber, whoever holds them for it.
    pub(super) async fn unsubscribe(&self, who: &Subscriber, keys: &[LeaseKey]) -> Vec<Released> {
        self.take(who, Some(keys), "unsubscribed by request");
        self.tell_gone(who, None, keys).await
    }

    /// The instruments of some keys are not listed any more.
    pub(super) async fn delist(&self, who: &Subscriber, keys: &[LeaseKey]) {
        self.take(who, Some(keys), "its instrument is not listed any more");
        self.tell_gone(who, None, keys).await;
    }

    /// A socket lets go of some of a subscriber's leases, or of all. In the store only where
    /// the record still names a socket of this node: the subscriber may have come to another
    /// one meanwhile.
    pub(super) async fn let_go(&self, who: &Subscriber, socket: &str, keys: Option<&[LeaseKey]>) {
        let gone = self
            .book
            .lock()
            .holders
            .let_go(who, socket, keys, &*self.engine);
        for (named, keys) in &gone {
            self.tell_gone(who, Some(named), keys).await;
        }
    }

    /// Mirror and store forget leases that have no holder here; the store, where a socket is
    /// given, only those whose record names that one or none.
    async fn tell_gone(
        &self,
        who: &Subscriber,
        socket: Option<&Arc<str>>,
        keys: &[LeaseKey],
    ) -> Vec<Released> {
        let now = self.clock.now();
        let here = self.mirror.unsubscribe(who, keys).await;
        let shared = self
            .ask(who, |store| forget(store, who, socket, keys))
            .await;
        match shared {
            Some(shared) => shared,
            None => {
                if self.may_know() {
                    self.book.lock().ledger.owe(who, socket, keys, now.mono);
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

    /// Lets go of a session in the store, whoever's it is; how much that was, or nothing where
    /// it could not be asked. Those who held something here have been released before; those
    /// who hold something now took it since, and are to be [retold](Self::retell).
    pub(super) async fn release_any(&self, session: &Arc<str>) -> Option<usize> {
        let store = self.store.as_deref()?;
        let now = self.clock.now();
        if self.may_know() {
            self.book.lock().ledger.owe_any(session, now.mono);
        }
        if !store.is_up() {
            return None;
        }
        match store.release(now, session, None).await {
            Ok(gone) => {
                let mut book = self.book.lock();
                book.ledger.paid_any(session);
                for who in book.holders.of_session(session) {
                    book.doubt(&who);
                }
                Some(gone.len())
            }
            Err(error) => {
                self.meters.failed(&error);
                None
            }
        }
    }

    /// Tells the store again what a subscriber holds, all of which it may not have.
    pub(super) async fn retell(&self, who: &Subscriber) {
        self.book.lock().doubt(who);
        self.settle(who).await;
    }

    /// Notes a sign of life. Whether each lease is alive; one that is, but that this node did
    /// not know, is held here from now on: the node that it came through may be no more.
    /// One that cannot be held here, because this node has enough, is not alive here.
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
        let shared = self.ask(who, |store| store.heartbeat(now, who, keys)).await;
        let Some(mut shared) = shared else {
            return here;
        };
        let (mut lost, mut known, mut strange) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut book = self.book.lock();
            book.ledger.told(who, &[], now.mono);
            let is_certain = self.is_certain(&book, who);
            for ((key, here), shared) in keys.iter().zip(&here).zip(&mut shared) {
                match (book.holders.holds(who, key), *shared) {
                    // Another node let go of it.
                    (true, false) if is_certain => lost.push(key.clone()),
                    (true, false) => {
                        *shared = *here;
                        book.doubt(who);
                    }
                    // A sweep here is about to.
                    (true, true) if !here => known.push(key.clone()),
                    (false, true) => strange.push(key.clone()),
                    _ => {}
                }
            }
        }
        self.lose(who, &lost).await;
        let adopted = self.adopt(who, &strange, specs);
        for (key, alive) in keys.iter().zip(&mut shared) {
            *alive &= !strange.contains(key) || adopted.contains(key);
        }
        known.extend(adopted);
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
                // It ends by itself, unless it has signs of life on another node.
                Err(error) => tracing::debug!(%who, %error, "Lease not adopted"),
            }
        }
        self.meters.not_adopted(keys.len() - adopted.len());
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
        {
            let mut book = self.book.lock();
            if !self.is_certain(&book, who) {
                return book.doubt(who);
            }
        }
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
            let (generation, data) = (store.generation(), store.data());
            let now = self.clock.now();
            let (owed, held) = {
                let book = self.book.lock();
                if book.ledger.is_settled(who, generation) {
                    return Some(generation);
                }
                let long = self.settings.idle / 2;
                let held = Held {
                    by_socket: book.holders.by_websocket(who),
                    fresh: book.ledger.fresh(who, data, now.mono, long),
                };
                (book.ledger.owed(who), held)
            };
            match self.tell_all(store, now, who, &owed, held).await {
                Ok((count, lost)) if store.generation() == generation => {
                    self.meters.reconciled(count);
                    let now = now.mono;
                    let is_certain = {
                        let mut book = self.book.lock();
                        book.ledger.settle(who, generation, data, now);
                        let is_certain = self.is_certain(&book, who);
                        if !is_certain {
                            book.doubt(who);
                        }
                        is_certain
                    };
                    if is_certain {
                        self.lose(who, &lost).await;
                    }
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

    /// Tells the store what was let go of, and looks what it has of what is held. What it
    /// should have and has not was let go of on another node, and is not told again. How much
    /// was told or looked at, and what is lost.
    async fn tell_all(
        &self,
        store: &dyn Store,
        now: Now,
        who: &Subscriber,
        owed: &Owed,
        held: Held,
    ) -> Result<(usize, Vec<LeaseKey>), strikewire_leases::Error> {
        if owed.session {
            let user = Some(who.user);
            store.release(now, &who.session, user).await?;
        }
        let mut count = 0;
        for (socket, keys) in &owed.keys {
            forget(store, who, socket.as_ref(), keys).await?;
            count += keys.len();
        }
        let keys = held.by_socket.values().flatten();
        let pairs: Vec<_> = keys.map(|key| (who.clone(), key.clone())).collect();
        if pairs.is_empty() {
            return Ok((count, Vec::new()));
        }
        count += pairs.len();
        let mut alive = store.alive(&pairs).await?.into_iter();
        let (mut beating, mut lost) = (Vec::new(), Vec::new());
        let mut missing = Vec::new();
        for (socket, keys) in held.by_socket {
            let mut some = Vec::new();
            for key in keys {
                let heard = self.mirror.heard(&key, who);
                let heard =
                    heard.is_some_and(|heard| now.mono.since(heard) < recent(self.settings.idle));
                let may_lack = held.fresh.as_ref().is_none_or(|it| it.contains(&key));
                match alive.next().unwrap_or(false) {
                    true if heard => beating.push(key),
                    false if !may_lack => lost.push(key),
                    false if heard => some.push(key),
                    // It is about to be let go of.
                    _ => {}
                }
            }
            missing.push((socket, some));
        }
        if !beating.is_empty() {
            store.heartbeat(now, who, &beating).await?;
        }
        for (socket, keys) in missing.iter().filter(|(_, keys)| !keys.is_empty()) {
            store.subscribe(now, who, socket.as_deref(), keys).await?;
        }
        Ok((count, lost))
    }

    /// Whether the store has all that a subscriber holds here, unless another node let go of
    /// it: nothing is under way that takes away more than it should.
    fn is_certain(&self, book: &Book, who: &Subscriber) -> bool {
        let store = self.store.as_deref();
        !book.ledger.owes_any(&who.session)
            && store.is_some_and(|store| book.ledger.is_settled(who, store.generation()))
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

/// What a subscriber holds here.
struct Held {
    by_socket: BTreeMap<Option<Arc<str>>, Vec<LeaseKey>>,
    /// What of it the store need not have; absent: any of it.
    fresh: Option<BTreeSet<LeaseKey>>,
}

/// Has the store forget leases; where a socket is given, only if it is the one that the
/// record names.
fn forget<'a>(
    store: &'a dyn Store,
    who: &'a Subscriber,
    socket: Option<&'a Arc<str>>,
    keys: &'a [LeaseKey],
) -> Answer<'a, Vec<Released>> {
    match socket {
        Some(socket) => store.leave(who, socket, keys),
        None => store.unsubscribe(who, keys),
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
