use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strikewire_types::{Exchange, Expiry, Utc};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, watch};

use crate::sql::Connection;
use crate::{
    Action, AtmRow, AuditRecord, Change, List, Options, Outcome, Seq, SubscriptionRow, Use, Writer,
};

/// A change on its way.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    pub(crate) change: Change,
    /// Whether somebody waits for it, and it is dropped when it cannot be written.
    pub(crate) ask: bool,
}

pub(crate) type AtmKey = (Box<str>, Exchange, Expiry, u16);

/// The latest of everything that is overwritten.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    /// With the last change that was recorded before the use.
    pub(crate) uses: HashMap<(List, u64), (Seq, Use)>,
    pub(crate) subscriptions: HashMap<Box<str>, SubscriptionRow>,
    pub(crate) windows: HashMap<AtmKey, AtmRow>,
    /// When the oldest of them came.
    pub(crate) since: Option<Instant>,
}

impl Latest {
    pub(crate) fn len(&self) -> usize {
        self.uses.len() + self.subscriptions.len() + self.windows.len()
    }
}

/// Audit records that were dropped, one after the other.
#[derive(Debug, Clone, Copy)]
struct Gap {
    count: u64,
    first: Utc,
    last: Utc,
}

/// What waits to be taken by the writer. The lock is held to add or take only, never
/// across an await.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    groups: Vec<Vec<Entry>>,
    latest: Latest,
    audit: VecDeque<(Instant, AuditRecord)>,
    gap: Option<Gap>,
    /// How many records written behind the writer has taken and not written.
    pub(crate) held: usize,
    /// When the oldest of those came.
    pub(crate) held_since: Option<Instant>,
}

impl Inbox {
    pub(crate) fn take_groups(&mut self) -> Vec<Vec<Entry>> {
        mem::take(&mut self.groups)
    }

    pub(crate) fn take_latest(&mut self) -> Latest {
        mem::take(&mut self.latest)
    }

    /// The next records of the audit, at most `limit`; before them, in their place, a
    /// record of those that were dropped.
    pub(crate) fn take_audit(&mut self, limit: usize) -> Vec<(Instant, AuditRecord)> {
        let mut records = Vec::new();
        if let Some(gap) = self.gap.take() {
            let since = self.audit.front().map_or_else(Instant::now, |(at, _)| *at);
            records.push((since, gap.record()));
        }
        let count = self.audit.len().min(limit);
        records.extend(self.audit.drain(..count));
        records
    }

    /// Whether records wait to be written behind.
    pub(crate) fn has_behind(&self) -> bool {
        self.behind() > 0 || self.gap.is_some()
    }

    fn behind(&self) -> usize {
        self.audit.len() + self.latest.len()
    }

    /// Brings the figures up to date.
    pub(crate) fn publish(&self, stats: &Stats) {
        stats
            .behind
            .store((self.behind() + self.held) as u64, Ordering::Relaxed);
        let oldest = [
            self.held_since,
            self.latest.since,
            self.audit.front().map(|(since, _)| *since),
        ]
        .into_iter()
        .flatten()
        .min();
        stats.oldest.store(
            oldest.map_or(0, |since| stats.nanos(since)),
            Ordering::Relaxed,
        );
    }
}

impl Gap {
    fn record(self) -> AuditRecord {
        AuditRecord {
            action: Action::Gap,
            token: "".into(),
            reason: format!(
                "{} records from {} to {} are missing: too many waited to be written",
                self.count, self.first, self.last
            )
            .into(),
            owner: "store".into(),
            at: self.last,
        }
    }
}

/// What recorder and writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    inbox: Mutex<Inbox>,
    pub(crate) work: Notify,
    pub(crate) stats: Arc<Stats>,
}

impl Shared {
    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn pair(
    options: Options,
    connection: Connection,
    last_item: u64,
    outcome: UnboundedSender<Outcome>,
) -> (Recorder, Writer) {
    let shared = Arc::new(Shared {
        inbox: Mutex::default(),
        work: Notify::new(),
        stats: Arc::new(Stats::new()),
    });
    let (alive, closed) = watch::channel(());
    let recorder = Recorder {
        audit_queue: options.audit_queue,
        shared: Arc::clone(&shared),
        group: Vec::new(),
        last: Seq(0),
        _alive: alive,
    };
    let writer = Writer::new(options, connection, last_item, outcome, shared, closed);
    (recorder, writer)
}

/// Takes what is to be kept; never waits for the database.
///
/// Dropping it has the writer write everything and end. A group that was not committed
/// by then is not written.
#[derive(Debug)]
pub struct Recorder {
    audit_queue: usize,
    shared: Arc<Shared>,
    group: Vec<Entry>,
    last: Seq,
    /// Its drop tells the writer that nothing more comes.
    _alive: watch::Sender<()>,
}

impl Recorder {
    /// A change for a request that is answered only when it is durable: dropped and
    /// reported as failed when it cannot be written.
    pub fn ask(&mut self, change: Change) -> Seq {
        self.push(change, true)
    }

    /// A change that has happened anyway: written again and again, in order, until it is.
    pub fn must(&mut self, change: Change) -> Seq {
        self.push(change, false)
    }

    fn push(&mut self, change: Change, ask: bool) -> Seq {
        self.last = Seq(self.last.0 + 1);
        self.group.push(Entry {
            seq: self.last,
            change,
            ask,
        });
        self.last
    }

    /// Ends a group: its changes become durable together, or its asks not at all. Nothing
    /// is sent to the writer before.
    pub fn commit(&mut self) {
        if self.group.is_empty() {
            return;
        }
        let group = mem::take(&mut self.group);
        self.shared.inbox().groups.push(group);
        self.shared.work.notify_one();
    }

    /// Uses of items: written within about a second, the latest of each item only.
    pub fn used(&mut self, uses: Vec<Use>) {
        let last = self.last;
        self.behind(|latest| {
            for used in uses {
                latest.uses.insert((used.list, used.id), (last, used));
            }
        });
    }

    /// A row of the projection `subscriptions`; the latest of each token is written.
    pub fn subscription(&mut self, row: SubscriptionRow) {
        self.behind(|latest| {
            latest.subscriptions.insert(row.token.clone(), row);
        });
    }

    /// A row of the projection `atm_cache`; the latest of each key is written.
    pub fn atm(&mut self, row: AtmRow) {
        self.behind(|latest| {
            let key = (row.underlying.clone(), row.exchange, row.expiry, row.width);
            latest.windows.insert(key, row);
        });
    }

    fn behind(&self, add: impl FnOnce(&mut Latest)) {
        let mut inbox = self.shared.inbox();
        let first = !inbox.has_behind();
        inbox.latest.since.get_or_insert_with(Instant::now);
        add(&mut inbox.latest);
        if inbox.latest.len() == 0 {
            inbox.latest.since = None;
        }
        inbox.publish(&self.shared.stats);
        drop(inbox);
        if first {
            self.shared.work.notify_one();
        }
    }

    /// A record of the audit, written behind, in order. When more than
    /// [`Options::audit_queue`] wait the oldest is dropped, and a record of the gap is
    /// written in its place.
    pub fn audit(&mut self, record: AuditRecord) {
        let mut inbox = self.shared.inbox();
        let first = !inbox.has_behind();
        inbox.audit.push_back((Instant::now(), record));
        while inbox.audit.len() > self.audit_queue {
            let Some((_, lost)) = inbox.audit.pop_front() else {
                break;
            };
            let gap = inbox.gap.get_or_insert(Gap {
                count: 0,
                first: lost.at,
                last: lost.at,
            });
            gap.count += 1;
            gap.last = lost.at;
            self.shared.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
        inbox.publish(&self.shared.stats);
        drop(inbox);
        if first {
            self.shared.work.notify_one();
        }
    }

    /// Figures about the writer, always current.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.shared.stats)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.group.is_empty() {
            tracing::warn!(
                changes = self.group.len(),
                "A group of changes was not committed and is not written"
            );
        }
    }
}

/// Figures about the writer.
#[derive(Debug)]
pub struct Stats {
    origin: Instant,
    behind: AtomicU64,
    /// Nanoseconds from the origin to the arrival of the oldest that waits; 0 for none.
    oldest: AtomicU64,
    dropped: AtomicU64,
    pub(crate) down: AtomicBool,
    pub(crate) behind_failing: AtomicBool,
    pub(crate) commits: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) last_commit_nanos: AtomicU64,
}

impl Stats {
    fn new() -> Self {
        Self {
            origin: Instant::now(),
            behind: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            down: AtomicBool::new(false),
            behind_failing: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            last_commit_nanos: AtomicU64::new(0),
        }
    }

    /// Never 0, which stands for none.
    fn nanos(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).max(1)
    }

    /// How many records wait to be written behind.
    #[must_use]
    pub fn behind_queue(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }

    /// For how long the oldest record that is written behind has waited; zero when none
    /// waits.
    #[must_use]
    pub fn lag(&self) -> Duration {
        match self.oldest.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            oldest => Duration::from_nanos(self.nanos(Instant::now()).saturating_sub(oldest)),
        }
    }

    /// [`lag`](Self::lag) in whole milliseconds.
    #[must_use]
    pub fn lag_ms(&self) -> u64 {
        u64::try_from(self.lag().as_millis()).unwrap_or(u64::MAX)
    }

    /// How many audit records were dropped because too many waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether the database cannot be written at the moment.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.down.load(Ordering::Relaxed) || self.behind_failing.load(Ordering::Relaxed)
    }

    /// How many transactions of groups were committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How many groups became durable.
    #[must_use]
    pub fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    /// How long the last transaction of groups took; zero before the first.
    #[must_use]
    pub fn last_commit(&self) -> Duration {
        Duration::from_nanos(self.last_commit_nanos.load(Ordering::Relaxed))
    }
}
