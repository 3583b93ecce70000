mod sessions;

use core::hash::BuildHasher;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use strikewire_types::{Mono, Now};

use crate::key::check_session;
use crate::values::Values;
use crate::{
    Error, Gone, LeaseKey, Leased, Leases, Record, Released, Seen, Settings, Subscriber, Totals,
};
use sessions::Sessions;

/// Parts of the table that have a lock of their own; a power of two.
const SHARDS: usize = 32;

/// Leases of one process, gone with it. Never away; its futures are ready at once.
///
/// Time is what the caller says: idleness goes by [`Now::mono`], the times in records are
/// those of [`Now::utc`].
#[derive(Debug)]
pub struct MemoryLeases {
    settings: Settings,
    // Callers of different keys do not wait for each other. Where both are held, a shard is
    // locked before the sessions.
    shards: [Shard; SHARDS],
    sessions: Sessions,
    values: Values,
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    records: HashTable<Leasing>,
    /// When each record is to be looked at: not after the first of its subscribers can be
    /// idle. Heartbeats do not move it, so that they cost nothing here; the sweep does.
    due: BTreeSet<(Mono, LeaseKey)>,
}

/// All leases of one key.
#[derive(Debug)]
struct Leasing {
    key: LeaseKey,
    subscribers: HashTable<Mark>,
    created_at: i64,
    last_accessed: i64,
    due: Mono,
}

/// When a subscriber was last heard of.
#[derive(Debug)]
struct Mark {
    hash: u64,
    who: Subscriber,
    mono: Mono,
    seconds: i64,
    websocket: Option<Box<str>>,
}

/// A subscriber, with what it is found by in the tables: worked out once for all keys of a
/// call.
#[derive(Debug, Clone, Copy)]
struct Caller<'a> {
    who: &'a Subscriber,
    /// The hash of the session.
    session: u64,
    /// The hash of the subscriber.
    hash: u64,
}

impl<'a> Caller<'a> {
    fn new(who: &'a Subscriber) -> Self {
        let session = hash_of(&who.session);
        // Users of one session differ in the lowest bits, which spread them best.
        let hash = session ^ who.user;
        Self { who, session, hash }
    }

    fn is(&self, mark: &Mark) -> bool {
        let (one, other) = (&mark.who, self.who);
        mark.hash == self.hash
            && one.user == other.user
            && (Arc::ptr_eq(&one.session, &other.session) || one.session == other.session)
    }
}

/// The hash of a session: the process's own, because callers choose what sessions are called.
fn hash_of(session: &str) -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    STATE.hash_one(session)
}

/// The part of a table that a hash belongs to. By other bits than those that a table finds
/// its places by.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl Table {
    fn get(&self, key: &LeaseKey) -> Option<&Leasing> {
        self.records.find(key.hash_of_name(), |it| it.key == *key)
    }

    fn get_mut(&mut self, key: &LeaseKey) -> Option<&mut Leasing> {
        let same = |it: &Leasing| it.key == *key;
        self.records.find_mut(key.hash_of_name(), same)
    }

    /// Forgets a record that has no subscriber left.
    fn remove(&mut self, key: &LeaseKey) {
        let same = |it: &Leasing| it.key == *key;
        if let Ok(record) = self.records.find_entry(key.hash_of_name(), same) {
            let (record, _) = record.remove();
            self.due.remove(&(record.due, record.key));
        }
    }
}

impl MemoryLeases {
    /// No leases. Of the settings only `idle` counts here.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            shards: core::array::from_fn(|_| Shard::default()),
            sessions: Sessions::default(),
            values: Values::default(),
        }
    }

    /// Whether the subscriber holds the key.
    #[must_use]
    pub fn holds(&self, key: &LeaseKey, who: &Subscriber) -> bool {
        let caller = Caller::new(who);
        let table = self.table(key).lock();
        let record = table.get(key);
        record.is_some_and(|it| {
            it.subscribers
                .find(caller.hash, |it| caller.is(it))
                .is_some()
        })
    }

    /// When the subscriber was last heard of for the key; absent: it does not hold it.
    #[must_use]
    pub fn heard(&self, key: &LeaseKey, who: &Subscriber) -> Option<Mono> {
        let caller = Caller::new(who);
        let table = self.table(key).lock();
        let subscribers = &table.get(key)?.subscribers;
        let mark = subscribers.find(caller.hash, |it| caller.is(it))?;
        Some(mark.mono)
    }

    /// Keys that have a subscriber.
    #[must_use]
    pub fn len(&self) -> usize {
        let of_shard = |shard: &Shard| shard.0.lock().records.len();
        self.shards.iter().map(of_shard).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all values away: mock mode is left or entered.
    pub fn clear_values(&self) {
        self.values.clear();
    }

    fn table(&self, key: &LeaseKey) -> &Mutex<Table> {
        &self.shards[shard_of(key.hash_of_name())].0
    }

    fn lease(
        &self,
        now: Now,
        caller: &Caller<'_>,
        websocket: Option<&str>,
        key: &LeaseKey,
    ) -> Leased {
        let mut table = self.table(key).lock();
        let Table { records, due } = &mut *table;
        let same = |it: &Leasing| it.key == *key;
        let mut is_new = false;
        let mut entry = records
            .entry(key.hash_of_name(), same, |it| it.key.hash_of_name())
            .or_insert_with(|| {
                is_new = true;
                let at = now.mono + self.settings.idle;
                due.insert((at, key.clone()));
                Leasing::new(now, key, at)
            });
        let record = entry.get_mut();
        record.last_accessed = now.utc.as_seconds();
        let subscribers = &mut record.subscribers;
        match subscribers.entry(caller.hash, |it| caller.is(it), |it| it.hash) {
            Entry::Occupied(mut mark) => {
                let mark = mark.get_mut();
                mark.hear(now);
                if let Some(websocket) = websocket {
                    mark.websocket = Some(websocket.into());
                }
            }
            Entry::Vacant(place) => {
                place.insert(Mark::new(now, caller, websocket));
                self.sessions.add(caller, key);
            }
        }
        Leased {
            is_new,
            ref_count: record.ref_count(),
        }
    }

    /// Lets go of a key; where a websocket is given, only if the record names that one or
    /// none.
    fn let_go(&self, caller: &Caller<'_>, websocket: Option<&str>, key: &LeaseKey) -> Released {
        let mut table = self.table(key).lock();
        let Some(record) = table.get_mut(key) else {
            return Released {
                was_held: false,
                stopped: false,
                ref_count: 0,
            };
        };
        let mark = record
            .subscribers
            .find_entry(caller.hash, |it| caller.is(it));
        let (was_held, goes) = match mark {
            Ok(mark) => {
                let named = mark.get().websocket.as_deref();
                let goes = named.is_none() || websocket.is_none() || named == websocket;
                if goes {
                    mark.remove();
                }
                (true, goes)
            }
            Err(_) => (false, false),
        };
        let ref_count = record.ref_count();
        let stopped = goes && ref_count == 0;
        if goes {
            self.sessions.remove(caller, key);
        }
        if stopped {
            table.remove(key);
        }
        Released {
            was_held,
            stopped,
            ref_count,
        }
    }

    fn hear(&self, now: Now, caller: &Caller<'_>, key: &LeaseKey) -> bool {
        let mut table = self.table(key).lock();
        let Some(record) = table.get_mut(key) else {
            return false;
        };
        let mark = record.subscribers.find_mut(caller.hash, |it| caller.is(it));
        let Some(mark) = mark else {
            return false;
        };
        mark.hear(now);
        // Most are of the same second, and what is only read stays with every core.
        if record.last_accessed != mark.seconds {
            record.last_accessed = mark.seconds;
        }
        true
    }

    fn sweep_shard(&self, now: Mono, shard: &Shard, gone: &mut Vec<Gone>) {
        let mut table = shard.0.lock();
        while let Some((at, _)) = table.due.first()
            && *at <= now
            && let Some((_, key)) = table.due.pop_first()
        {
            let Some(record) = table.get_mut(&key) else {
                continue;
            };
            let idle = |mark: &mut Mark| now.since(mark.mono) >= self.settings.idle;
            let first = gone.len();
            for mark in record.subscribers.extract_if(idle) {
                self.sessions.remove(&Caller::new(&mark.who), &key);
                gone.push(Gone {
                    key: key.clone(),
                    subscriber: mark.who,
                    stopped: false,
                });
            }
            let earliest = record.subscribers.iter().map(|mark| mark.mono).min();
            if let Some(earliest) = earliest {
                record.due = earliest + self.settings.idle;
                let due = record.due;
                table.due.insert((due, key));
            } else {
                table.remove(&key);
                if let Some(last) = gone[first..].last_mut() {
                    last.stopped = true;
                }
            }
        }
    }
}

impl Leases for MemoryLeases {
    async fn subscribe(
        &self,
        now: Now,
        who: &Subscriber,
        websocket: Option<&str>,
        keys: &[LeaseKey],
    ) -> Result<Vec<Leased>, Error> {
        who.check()?;
        let caller = Caller::new(who);
        let leased = keys
            .iter()
            .map(|key| self.lease(now, &caller, websocket, key));
        Ok(leased.collect())
    }

    async fn unsubscribe(
        &self,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, Error> {
        let caller = Caller::new(who);
        let released: Vec<_> = keys
            .iter()
            .map(|key| self.let_go(&caller, None, key))
            .collect();
        // Who held something was no stranger.
        if !released.iter().any(|it| it.was_held) {
            who.check()?;
        }
        Ok(released)
    }

    async fn leave(
        &self,
        who: &Subscriber,
        websocket: &str,
        keys: &[LeaseKey],
    ) -> Result<Vec<Released>, Error> {
        who.check()?;
        let caller = Caller::new(who);
        let websocket = Some(websocket);
        let released = keys.iter().map(|key| self.let_go(&caller, websocket, key));
        Ok(released.collect())
    }

    async fn heartbeat(
        &self,
        now: Now,
        who: &Subscriber,
        keys: &[LeaseKey],
    ) -> Result<Vec<bool>, Error> {
        let caller = Caller::new(who);
        let held: Vec<_> = keys
            .iter()
            .map(|key| self.hear(now, &caller, key))
            .collect();
        // Who holds something is no stranger.
        if !held.contains(&true) {
            who.check()?;
        }
        Ok(held)
    }

    async fn release(
        &self,
        _now: Now,
        session: &str,
        user: Option<u64>,
    ) -> Result<Vec<Gone>, Error> {
        check_session(session)?;
        let mut gone = Vec::new();
        // What is taken meanwhile by another caller came after the session's end.
        for (subscriber, key) in self.sessions.held(session, user) {
            let released = self.let_go(&Caller::new(&subscriber), None, &key);
            if released.was_held {
                gone.push(Gone {
                    key,
                    subscriber,
                    stopped: released.stopped,
                });
            }
        }
        Ok(gone)
    }

    async fn sweep(&self, now: Now) -> Result<Vec<Gone>, Error> {
        let mut gone = Vec::new();
        for shard in &self.shards {
            self.sweep_shard(now.mono, shard, &mut gone);
        }
        self.sessions.tidy();
        self.values.expire(now.mono);
        Ok(gone)
    }

    async fn alive(&self, pairs: &[(Subscriber, LeaseKey)]) -> Result<Vec<bool>, Error> {
        Ok(pairs
            .iter()
            .map(|(who, key)| self.holds(key, who))
            .collect())
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<Record>, Error> {
        let table = self.table(key).lock();
        let record = table.get(key);
        Ok(record.map(|it| it.record(self.settings.idle)))
    }

    async fn active(
        &self,
        symbol: Option<&str>,
        timeframe: Option<&str>,
    ) -> Result<Vec<(LeaseKey, Record)>, Error> {
        let asked = |key: &LeaseKey| {
            symbol.is_none_or(|symbol| key.symbol() == symbol)
                && timeframe.is_none_or(|timeframe| key.timeframe() == timeframe)
        };
        let mut all = Vec::new();
        for shard in &self.shards {
            let table = shard.0.lock();
            let those = table.records.iter().filter(|it| asked(&it.key));
            all.extend(those.map(|it| (it.key.clone(), it.record(self.settings.idle))));
        }
        all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        Ok(all)
    }

    async fn totals(&self) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        for shard in &self.shards {
            let table = shard.0.lock();
            for record in &table.records {
                totals.count(&record.key);
            }
        }
        totals.subscribers = self.sessions.subscribers();
        Ok(totals)
    }

    async fn put_values(
        &self,
        now: Now,
        values: &[(LeaseKey, String, Duration)],
    ) -> Result<(), Error> {
        for (key, json, ttl) in values {
            self.values.put(now.mono, key, json, *ttl);
        }
        Ok(())
    }

    async fn value(&self, now: Now, key: &LeaseKey) -> Result<Option<String>, Error> {
        Ok(self.values.get(now.mono, key))
    }

    async fn renew_values(&self, now: Now, keys: &[(LeaseKey, Duration)]) -> Result<(), Error> {
        for (key, ttl) in keys {
            self.values.renew(now.mono, key, *ttl);
        }
        Ok(())
    }

    async fn drop_values(&self, keys: &[LeaseKey]) -> Result<(), Error> {
        for key in keys {
            self.values.drop(key);
        }
        Ok(())
    }
}

impl Leasing {
    fn new(now: Now, key: &LeaseKey, due: Mono) -> Self {
        Self {
            key: key.clone(),
            subscribers: HashTable::new(),
            created_at: now.utc.as_seconds(),
            last_accessed: now.utc.as_seconds(),
            due,
        }
    }

    fn ref_count(&self) -> u32 {
        u32::try_from(self.subscribers.len()).unwrap_or(u32::MAX)
    }

    fn record(&self, idle: Duration) -> Record {
        let subscribers: BTreeMap<_, _> = self
            .subscribers
            .iter()
            .map(|mark| (mark.who.to_string(), mark.seen()))
            .collect();
        Record {
            indicator_id: self.key.indicator_id().to_owned(),
            symbol: self.key.symbol().to_owned(),
            timeframe: self.key.timeframe().to_owned(),
            ref_count: self.ref_count(),
            subscribers,
            created_at: self.created_at,
            last_accessed: self.last_accessed,
            ttl: seconds(idle),
        }
    }
}

impl Mark {
    fn new(now: Now, caller: &Caller<'_>, websocket: Option<&str>) -> Self {
        Self {
            hash: caller.hash,
            who: caller.who.clone(),
            mono: now.mono,
            seconds: now.utc.as_seconds(),
            websocket: websocket.map(Into::into),
        }
    }

    fn hear(&mut self, now: Now) {
        // Callers read the clock before they come here, and may overtake each other.
        self.mono = self.mono.max(now.mono);
        self.seconds = now.utc.as_seconds();
    }

    fn seen(&self) -> Seen {
        Seen {
            last_active: self.seconds,
            websocket_id: self.websocket.as_deref().map(str::to_owned),
        }
    }
}

/// Whole seconds, as a record says them.
pub(crate) fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl Totals {
    pub(crate) fn count(&mut self, key: &LeaseKey) {
        self.keys += 1;
        for (counts, name) in [
            (&mut self.by_symbol, key.symbol()),
            (&mut self.by_timeframe, key.timeframe()),
        ] {
            match counts.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(name.to_owned(), 1);
                }
            }
        }
    }
}
