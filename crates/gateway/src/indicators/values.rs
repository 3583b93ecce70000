//! Latest values on their way from the engine to where they are read.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_leases::{LeaseKey, Leases, MockValues};
use strikewire_types::{Clock, Mono};
use tokio::sync::Notify;

use super::service::Service;
use super::store::Store;
use super::{Published, Sink};

/// What has been published is written this often.
const WRITE_EVERY: Duration = Duration::from_millis(250);

/// Values of what is held are kept from ending this often: the shortest lasts a minute.
const RENEW_EVERY: Duration = Duration::from_secs(20);

/// So many values go into one call.
const AT_ONCE: usize = 500;

/// Takes values from the engine, which never waits for it: of each key the last one is kept
/// until it is written. Those of a stand-in stay in this process.
pub(super) struct Values {
    clock: Clock,
    mock: MockValues,
    pending: Mutex<HashMap<LeaseKey, Pending>>,
    wake: Notify,
    delisted: Box<dyn Fn(Vec<LeaseKey>) + Send + Sync>,
}

struct Pending {
    json: Arc<str>,
    ttl: Duration,
    since: Mono,
}

impl Values {
    pub(super) fn new(
        clock: Clock,
        delisted: impl Fn(Vec<LeaseKey>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock,
            mock: MockValues::new(),
            pending: Mutex::default(),
            wake: Notify::new(),
            delisted: Box::new(delisted),
        }
    }

    /// The latest value of a stand-in.
    pub(super) fn of_mock(&self, key: &LeaseKey) -> Option<String> {
        self.mock.value(self.clock.now(), key)
    }
}

impl Sink for Values {
    fn publish(&self, values: Vec<Published>) {
        let now = self.clock.now();
        let mut pending = self.pending.lock();
        for value in values {
            if value.mock {
                self.mock.put(now, &value.key, &value.json);
                continue;
            }
            let Published { key, json, ttl, .. } = value;
            let since = now.mono;
            pending.insert(key, Pending { json, ttl, since });
        }
        if !pending.is_empty() {
            self.wake.notify_one();
        }
    }

    fn gone(&self, keys: Vec<LeaseKey>) {
        (self.delisted)(keys);
    }
}

/// Writes what is published into mirror and store, until it is dropped.
pub(super) async fn write(values: Arc<Values>, service: Arc<Service>) {
    let speed = service.clock.speed().max(1.0);
    let mut renewal = tokio::time::interval(RENEW_EVERY.div_f64(speed).max(WRITE_EVERY));
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // What the store has not been told yet.
    let mut unsent = HashMap::new();
    let mut health = service.store.as_ref().map(|store| store.health().clone());
    let mut generation = 0;
    loop {
        tokio::select! {
            true = super::lanes::changed(&mut health) => {
                write_again(&service, &mut generation, &mut unsent).await;
            }
            () = values.wake.notified() => {
                let pending = core::mem::take(&mut *values.pending.lock());
                write_some(&service, pending, &mut unsent).await;
                tokio::time::sleep(WRITE_EVERY).await;
            }
            _ = renewal.tick() => {
                renew(&service).await;
                write_some(&service, HashMap::new(), &mut unsent).await;
            }
        }
    }
}

/// Has the store told the latest value of everything that is held here, where the connection
/// is a new one: it may have lost them, or they may have ended meanwhile.
async fn write_again(
    service: &Service,
    generation: &mut u64,
    unsent: &mut HashMap<LeaseKey, Pending>,
) {
    let Some(store) = service.store.as_deref().filter(|store| store.is_up()) else {
        return;
    };
    let current = store.generation();
    if core::mem::replace(generation, current) == current {
        return;
    }
    let computed = service.book.lock().holders.computed();
    let now = service.clock.now();
    for (key, ttl) in computed {
        // The mirror is never away. What waits is newer.
        if let Ok(Some(json)) = service.mirror.value(now, &key).await {
            let (json, since) = (json.into(), now.mono);
            unsent.entry(key).or_insert(Pending { json, ttl, since });
        }
    }
    write_some(service, HashMap::new(), unsent).await;
}

async fn write_some(
    service: &Service,
    pending: HashMap<LeaseKey, Pending>,
    unsent: &mut HashMap<LeaseKey, Pending>,
) {
    let now = service.clock.now();
    let texts: Vec<(LeaseKey, String, Duration)> = pending
        .iter()
        .map(|(key, it)| (key.clone(), it.json.as_ref().to_owned(), it.ttl))
        .collect();
    if !texts.is_empty() {
        // The mirror is never away.
        let _ = service.mirror.put_values(now, &texts).await;
    }
    let Some(store) = service.store.as_deref() else {
        return;
    };
    unsent.extend(pending);
    // What has lasted its time without the store is of no use to anybody.
    unsent.retain(|_, it| now.mono.since(it.since) < it.ttl);
    if let Err(error) = send(service, store, unsent).await {
        service.meters.failed(&error);
    }
}

async fn send(
    service: &Service,
    store: &dyn Store,
    unsent: &mut HashMap<LeaseKey, Pending>,
) -> Result<(), strikewire_leases::Error> {
    let all: Vec<(LeaseKey, String, Duration)> = unsent
        .iter()
        .map(|(key, it)| (key.clone(), it.json.as_ref().to_owned(), it.ttl))
        .collect();
    for some in all.chunks(AT_ONCE) {
        if !store.is_up() {
            break;
        }
        store.put_values(service.clock.now(), some).await?;
        for (key, ..) in some {
            unsent.remove(key);
        }
    }
    Ok(())
}

/// Has the values of everything that is held here last on.
async fn renew(service: &Service) {
    let computed = service.book.lock().holders.computed();
    let now = service.clock.now();
    // The mirror is never away.
    let _ = service.mirror.renew_values(now, &computed).await;
    let Some(store) = service.store.as_deref() else {
        return;
    };
    for some in computed.chunks(AT_ONCE) {
        if !store.is_up() {
            return;
        }
        if let Err(error) = store.renew_values(now, some).await {
            return service.meters.failed(&error);
        }
    }
}
