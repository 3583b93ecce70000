//! What leases are, said as plainly as possible: a list that is searched from end to end.

use std::collections::{BTreeMap, BTreeSet};

use strikewire_leases::{Gone, LeaseKey, Record, Seen, Subscriber, Totals};
use strikewire_types::Now;

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) leases: Vec<Lease>,
    /// When a key got its first subscriber, and when it was last touched.
    since: BTreeMap<LeaseKey, (i64, i64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) key: LeaseKey,
    pub(crate) who: Subscriber,
    heard: i64,
    websocket: Option<String>,
}

impl Model {
    pub(crate) fn count(&self, key: &LeaseKey) -> u32 {
        let of_key = self.leases.iter().filter(|lease| lease.key == *key);
        u32::try_from(of_key.count()).unwrap()
    }

    pub(crate) fn holds(&self, who: &Subscriber, key: &LeaseKey) -> bool {
        self.leases
            .iter()
            .any(|it| it.who == *who && it.key == *key)
    }

    pub(crate) fn subscribe(
        &mut self,
        now: Now,
        who: &Subscriber,
        websocket: Option<&str>,
        key: &LeaseKey,
    ) -> (bool, u32) {
        let heard = now.utc.as_seconds();
        let is_new = self.count(key) == 0;
        if is_new {
            self.since.insert(key.clone(), (heard, heard));
        }
        if !self.heartbeat(now, who, key) {
            self.leases.push(Lease {
                key: key.clone(),
                who: who.clone(),
                heard,
                websocket: None,
            });
            self.since.get_mut(key).unwrap().1 = heard;
        }
        for lease in &mut self.leases {
            if lease.who == *who && lease.key == *key && websocket.is_some() {
                lease.websocket = websocket.map(str::to_owned);
            }
        }
        (is_new, self.count(key))
    }

    pub(crate) fn heartbeat(&mut self, now: Now, who: &Subscriber, key: &LeaseKey) -> bool {
        let heard = now.utc.as_seconds();
        for lease in &mut self.leases {
            if lease.who == *who && lease.key == *key {
                lease.heard = heard;
                self.since.get_mut(key).unwrap().1 = heard;
                return true;
            }
        }
        false
    }

    pub(crate) fn unsubscribe(&mut self, who: &Subscriber, key: &LeaseKey) -> (bool, bool, u32) {
        let held = self.holds(who, key);
        self.leases.retain(|it| it.who != *who || it.key != *key);
        let left = self.count(key);
        (held, held && left == 0, left)
    }

    /// Takes out those that `ends` says, and holds what a store says against that.
    pub(crate) fn end(&mut self, ends: impl Fn(&Lease) -> bool, told: &[Gone]) {
        let (gone, kept) = self.leases.drain(..).partition(ends);
        let gone: Vec<Lease> = gone;
        self.leases = kept;
        let mut expected: Vec<_> = gone
            .iter()
            .map(|it| (it.key.clone(), it.who.clone()))
            .collect();
        let mut found: Vec<_> = told
            .iter()
            .map(|it| (it.key.clone(), it.subscriber.clone()))
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        let touched: BTreeSet<_> = gone.iter().map(|it| &it.key).collect();
        for key in touched {
            let last = told.iter().filter(|it| it.key == *key && it.stopped);
            assert_eq!(last.count(), usize::from(self.count(key) == 0), "{key}");
        }
    }

    /// Those that were silent for more than `idle` seconds.
    pub(crate) fn sweep(&mut self, now: Now, idle: i64, told: &[Gone]) {
        let now = now.utc.as_seconds();
        self.end(|lease| now - lease.heard >= idle, told);
    }

    pub(crate) fn record(&self, key: &LeaseKey, ttl: u32) -> Option<Record> {
        let of_key = self.leases.iter().filter(|lease| lease.key == *key);
        let subscribers: BTreeMap<_, _> = of_key
            .map(|lease| {
                let seen = Seen {
                    last_active: lease.heard,
                    websocket_id: lease.websocket.clone(),
                };
                (
                    format!("{}_session_{}", lease.who.user, lease.who.session),
                    seen,
                )
            })
            .collect();
        let (created_at, last_accessed) = *self.since.get(key)?;
        (!subscribers.is_empty()).then(|| Record {
            indicator_id: key.indicator_id().to_owned(),
            symbol: key.symbol().to_owned(),
            timeframe: key.timeframe().to_owned(),
            ref_count: self.count(key),
            subscribers,
            created_at,
            last_accessed,
            ttl,
        })
    }

    pub(crate) fn keys(&self) -> BTreeSet<LeaseKey> {
        self.leases.iter().map(|lease| lease.key.clone()).collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for key in self.keys() {
            totals.keys += 1;
            *totals.by_symbol.entry(key.symbol().to_owned()).or_default() += 1;
            *totals
                .by_timeframe
                .entry(key.timeframe().to_owned())
                .or_default() += 1;
        }
        let subscribers: BTreeSet<_> = self.leases.iter().map(|lease| &lease.who).collect();
        totals.subscribers = subscribers.len() as u64;
        totals
    }
}
