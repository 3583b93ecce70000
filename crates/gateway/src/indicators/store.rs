//! The store that several nodes share, as a node without it can be built.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use strikewire_leases::{
    Error, Gone, Health, LeaseKey, Leased, Leases, Record, RedisLeases, Released, Subscriber,
    Totals,
};
use strikewire_types::Now;
use tokio::sync::watch;

/// What the store says, when it says something.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// [`Leases`] as an object, with the health of the connection to it.
pub(super) trait Store: Send + Sync {
    fn subscribe<'a>(
        &'a self,
        now: Now,
        who: &'a Subscriber,
        websocket: Option<&'a str>,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<Leased>>;
    fn unsubscribe<'a>(
        &'a self,
        who: &'a Subscriber,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<Released>>;
    fn leave<'a>(
        &'a self,
        who: &'a Subscriber,
        websocket: &'a str,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<Released>>;
    fn heartbeat<'a>(
        &'a self,
        now: Now,
        who: &'a Subscriber,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<bool>>;
    fn release<'a>(
        &'a self,
        now: Now,
        session: &'a str,
        user: Option<u64>,
    ) -> Answer<'a, Vec<Gone>>;
    fn sweep(&self, now: Now) -> Answer<'_, Vec<Gone>>;
    fn alive<'a>(&'a self, pairs: &'a [(Subscriber, LeaseKey)]) -> Answer<'a, Vec<bool>>;
    fn record<'a>(&'a self, key: &'a LeaseKey) -> Answer<'a, Option<Record>>;
    fn active<'a>(
        &'a self,
        symbol: Option<&'a str>,
        timeframe: Option<&'a str>,
    ) -> Answer<'a, Vec<(LeaseKey, Record)>>;
    fn totals(&self) -> Answer<'_, Totals>;
    fn put_values<'a>(
        &'a self,
        now: Now,
        values: &'a [(LeaseKey, String, Duration)],
    ) -> Answer<'a, ()>;
    fn value<'a>(&'a self, now: Now, key: &'a LeaseKey) -> Answer<'a, Option<String>>;
    fn renew_values<'a>(&'a self, now: Now, keys: &'a [(LeaseKey, Duration)]) -> Answer<'a, ()>;
    /// How the connection is, and changes of that.
    fn health(&self) -> &watch::Receiver<Health>;

    /// Whether it answers, as far as is known.
    fn is_up(&self) -> bool {
        self.health().borrow().up
    }

    /// Counts the connections that were made; none yet: 0.
    fn generation(&self) -> u64 {
        self.health().borrow().generation
    }

    /// Changes when the store may have lost what it knew.
    fn data(&self) -> u64 {
        self.health().borrow().data
    }
}

/// A store and the health of the connection to it.
pub(super) struct Connected<L> {
    leases: Arc<L>,
    health: watch::Receiver<Health>,
}

impl Connected<RedisLeases> {
    pub(super) fn redis(leases: Arc<RedisLeases>) -> Self {
        let health = leases.health();
        Self { leases, health }
    }
}

impl<L> Connected<L> {
    #[cfg(test)]
    pub(super) fn new(leases: Arc<L>, health: watch::Receiver<Health>) -> Self {
        Self { leases, health }
    }
}

impl<L: Leases> Store for Connected<L> {
    fn subscribe<'a>(
        &'a self,
        now: Now,
        who: &'a Subscriber,
        websocket: Option<&'a str>,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<Leased>> {
        Box::pin(self.leases.subscribe(now, who, websocket, keys))
    }

    fn unsubscribe<'a>(
        &'a self,
        who: &'a Subscriber,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<Released>> {
        Box::pin(self.leases.unsubscribe(who, keys))
    }

    fn leave<'a>(
        &'a self,
        who: &'a Subscriber,
        websocket: &'a str,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<Released>> {
        Box::pin(self.leases.leave(who, websocket, keys))
    }

    fn heartbeat<'a>(
        &'a self,
        now: Now,
        who: &'a Subscriber,
        keys: &'a [LeaseKey],
    ) -> Answer<'a, Vec<bool>> {
        Box::pin(self.leases.heartbeat(now, who, keys))
    }

    fn release<'a>(
        &'a self,
        now: Now,
        session: &'a str,
        user: Option<u64>,
    ) -> Answer<'a, Vec<Gone>> {
        Box::pin(self.leases.release(now, session, user))
    }

    fn sweep(&self, now: Now) -> Answer<'_, Vec<Gone>> {
        Box::pin(self.leases.sweep(now))
    }

    fn alive<'a>(&'a self, pairs: &'a [(Subscriber, LeaseKey)]) -> Answer<'a, Vec<bool>> {
        Box::pin(self.leases.alive(pairs))
    }

    fn record<'a>(&'a self, key: &'a LeaseKey) -> Answer<'a, Option<Record>> {
        Box::pin(self.leases.record(key))
    }

    fn active<'a>(
        &'a self,
        symbol: Option<&'a str>,
        timeframe: Option<&'a str>,
    ) -> Answer<'a, Vec<(LeaseKey, Record)>> {
        Box::pin(self.leases.active(symbol, timeframe))
    }

    fn totals(&self) -> Answer<'_, Totals> {
        Box::pin(self.leases.totals())
    }

    fn put_values<'a>(
        &'a self,
        now: Now,
        values: &'a [(LeaseKey, String, Duration)],
    ) -> Answer<'a, ()> {
        Box::pin(self.leases.put_values(now, values))
    }

    fn value<'a>(&'a self, now: Now, key: &'a LeaseKey) -> Answer<'a, Option<String>> {
        Box::pin(self.leases.value(now, key))
    }

    fn renew_values<'a>(&'a self, now: Now, keys: &'a [(LeaseKey, Duration)]) -> Answer<'a, ()> {
        Box::pin(self.leases.renew_values(now, keys))
    }

    fn health(&self) -> &watch::Receiver<Health> {
        &self.health
    }
}
