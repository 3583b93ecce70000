mod behind;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strikewire_types::Utc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use self::behind::{Behind, Pass};
use crate::meters::Meters;
use crate::owed::Owed;
use crate::recorder::{Entry, Shared};
use crate::sql::Connection;
use crate::{Change, DatabaseUrl, Error, Options, Outcome, Seq, crash, tables};

/// No transaction takes longer while anything is well.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(10);

/// What is written behind is collected for this long first.
const COLLECT: Duration = Duration::from_millis(200);

/// The records' clock moves this far between two passes of pruning.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Waits between two tries: 100 ms, doubling to 2 s.
#[derive(Debug, Clone, Copy)]
struct Retry {
    wait: Duration,
    at: Instant,
}

impl Retry {
    fn after(earlier: Option<Self>) -> Self {
        let wait = earlier.map_or(Duration::from_millis(100), |retry| {
            (retry.wait * 2).min(Duration::from_secs(2))
        });
        Self {
            wait,
            at: Instant::now() + wait,
        }
    }
}

/// Writes what the recorder took.
#[derive(Debug)]
pub struct Writer {
    url: DatabaseUrl,
    retention: Duration,
    flush_limit: Duration,
    /// None after a failure: a new one is made for the next try.
    connection: Option<Connection>,
    outcome: UnboundedSender<Outcome>,
    shared: Arc<Shared>,
    closed: watch::Receiver<()>,
    /// A transaction was cut short because the recorder is gone and time is up.
    is_late: bool,
    meters: Meters,
    groups: Vec<Vec<Entry>>,
    owed: Owed,
    last_item: u64,
    /// There while the database cannot be written, with the reason.
    down: Option<(Retry, String)>,
    probes: u64,
    behind: Behind,
    /// When what waits behind is written.
    behind_due: Option<Instant>,
    behind_retry: Option<Retry>,
    /// Of the latest audit record written.
    clock: Option<Utc>,
    prune_at: Option<Utc>,
    pass: Option<Pass>,
}

impl Writer {
    pub(crate) fn new(
        options: Options,
        connection: Connection,
        last_item: u64,
        outcome: UnboundedSender<Outcome>,
        shared: Arc<Shared>,
        closed: watch::Receiver<()>,
    ) -> Self {
        Self {
            url: options.url,
            retention: options.retention,
            flush_limit: options.flush_limit,
            connection: Some(connection),
            outcome,
            shared,
            closed,
            is_late: false,
            meters: Meters::new(),
            groups: Vec::new(),
            owed: Owed::default(),
            last_item,
            down: None,
            probes: 0,
            behind: Behind::default(),
            // The projection is reset at once, whether or not anything waits.
            behind_due: Some(Instant::now()),
            behind_retry: None,
            clock: None,
            prune_at: None,
            pass: None,
        }
    }

    /// Writes until the recorder is dropped and everything is written. It goes on for
    /// [`Options::flush_limit`] after that at most, and logs what is lost.
    ///
    /// Groups go before everything else; a transaction of what is written behind is short.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: what was not written is lost, and a transaction under way is
    /// undone.
    pub async fn run(mut self) {
        let mut give_up: Option<Instant> = None;
        loop {
            // In this order: what is taken afterwards is all there is.
            let is_closed = self.closed.has_changed().is_err();
            self.take();
            let now = Instant::now();
            if is_closed {
                let is_failing = self.down.is_some() || self.behind_retry.is_some();
                let limit = *give_up.get_or_insert(now + self.flush_limit);
                if (is_failing && self.is_late) || limit <= now {
                    self.log_lost();
                    break;
                }
            }
            if let Some((retry, _)) = &self.down {
                if now < retry.at {
                    self.wait(is_closed, [Some(retry.at), give_up]).await;
                } else {
                    self.probe().await;
                }
                continue;
            }
            if !self.groups.is_empty() {
                self.write_groups().await;
                continue;
            }
            let behind_at = match (self.behind_due, self.behind_retry) {
                (_, Some(retry)) => Some(retry.at),
                (Some(_), None) if is_closed => Some(now),
                (due, None) => due,
            };
            if behind_at.is_some_and(|at| at <= now) {
                self.write_behind().await;
                continue;
            }
            if is_closed && behind_at.is_none() {
                break;
            }
            if !is_closed && self.behind_retry.is_none() && self.begin_pass() {
                self.prune().await;
                continue;
            }
            self.wait(is_closed, [behind_at, give_up]).await;
        }
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), connection.close()).await;
        }
    }

    /// Takes in what the recorder has.
    fn take(&mut self) {
        let mut inbox = self.shared.inbox();
        self.groups.append(&mut inbox.take_groups());
        self.behind.merge(inbox.take_latest());
        inbox.held = self.behind.len();
        inbox.held_since = self.behind.since();
        inbox.publish(&self.shared.stats);
        let waits = inbox.has_behind() || self.behind.len() > 0;
        drop(inbox);
        if waits && self.behind_due.is_none() {
            self.behind_due = Some(Instant::now() + COLLECT);
        }
        self.meters.publish(&self.shared.stats);
        if let Some((_, reason)) = &self.down {
            let reason = reason.clone();
            let groups = std::mem::take(&mut self.groups);
            self.fail(groups, &reason);
        }
    }

    /// Until there is work, one of the instants comes, or the recorder is dropped.
    async fn wait(&mut self, is_closed: bool, until: [Option<Instant>; 2]) {
        let wake = until.into_iter().flatten().min();
        let timer = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.work.notified() => {}
            () = timer => {}
            _ = self.closed.changed(), if !is_closed => {}
        }
    }

    /// Reports the asks of the groups as failed and keeps the rest.
    fn fail(&mut self, groups: Vec<Vec<Entry>>, reason: &str) {
        let mut failed = None;
        for entry in groups.into_iter().flatten() {
            if entry.ask {
                failed = Some(entry.seq);
            } else {
                self.owed.push(entry);
            }
        }
        if let Some(up_to) = failed {
            self.send(Outcome::Failed {
                up_to,
                reason: reason.to_owned(),
            });
        }
    }

    fn send(&self, outcome: Outcome) {
        // Nobody listens any more when the owner has ended; the rest is still written.
        let _ = self.outcome.send(outcome);
    }

    async fn write_groups(&mut self) {
        let groups = std::mem::take(&mut self.groups);
        let entries: Vec<&Entry> = groups.iter().flatten().collect();
        match self.commit(&entries).await {
            Ok(()) => {
                if let Some(last) = entries.last() {
                    self.durable(last.seq, groups.len() as u64);
                }
            }
            Err(error) => {
                drop(entries);
                let reason = error.with_causes();
                tracing::error!(reason, "The database cannot be written");
                self.fail(groups, &reason);
                self.shared.stats.down.store(true, Ordering::Relaxed);
                self.send(Outcome::Down {
                    reason: reason.clone(),
                });
                self.down = Some((Retry::after(None), reason));
            }
        }
    }

    fn durable(&self, up_to: Seq, groups: u64) {
        crash::point("after_commit");
        let stats = &self.shared.stats;
        stats.groups.fetch_add(groups, Ordering::Relaxed);
        self.meters.groups.increment(groups);
        self.send(Outcome::Durable(up_to));
    }

    /// Tries to write what is owed, or something tiny.
    async fn probe(&mut self) {
        let owed = std::mem::take(&mut self.owed);
        let entries: Vec<&Entry> = owed.entries().iter().collect();
        self.probes += 1;
        let result = self.commit(&entries).await;
        let wrote = entries.len() as u64;
        drop(entries);
        self.owed = owed;
        match (result, self.down.take()) {
            (Ok(()), _) => {
                if wrote > 0 {
                    self.durable(self.owed.up_to(), 0);
                }
                self.owed.clear();
                self.shared.stats.down.store(false, Ordering::Relaxed);
                self.behind_retry = None;
                tracing::info!(wrote, "The database can be written again");
                self.send(Outcome::Up);
            }
            (Err(error), earlier) => {
                let reason = error.with_causes();
                tracing::debug!(reason, "The database still cannot be written");
                let retry = Retry::after(earlier.map(|(retry, _)| retry));
                self.down = Some((retry, reason));
            }
        }
    }

    /// Writes the changes in one transaction; a probe when there are none.
    async fn commit(&mut self, entries: &[&Entry]) -> Result<(), Error> {
        let begun = Instant::now();
        let changes: Vec<&Change> = entries.iter().map(|entry| &entry.change).collect();
        let put = entries.iter().filter_map(|entry| match &entry.change {
            Change::Put(item) => Some(item.id),
            _ => None,
        });
        let last_item = put.max().filter(|id| *id > self.last_item);
        let probe = entries.is_empty().then_some(self.probes);
        let connection = &mut self.connection;
        let url = &self.url;
        let work = async {
            let connection = begin(connection, url).await?;
            tables::apply(connection, &changes).await?;
            if let Some(id) = last_item {
                tables::set_meta(connection, "last_item", id).await?;
            }
            if let Some(number) = probe {
                tables::set_meta(connection, "probe", number).await?;
            }
            crash::point("before_commit");
            connection.commit().await
        };
        let result = limited(self.closed.clone(), self.flush_limit, work).await;
        self.checked(result)?;
        self.last_item = last_item.unwrap_or(self.last_item);
        self.behind.forget(entries);
        let took = begun.elapsed();
        let stats = &self.shared.stats;
        stats.commits.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        stats.last_commit_nanos.store(nanos, Ordering::Relaxed);
        self.meters.commits.increment(1);
        self.meters.commit_seconds.record(took.as_secs_f64());
        Ok(())
    }

    /// After a failure the connection is given up: nobody knows what state it is in, and
    /// giving it up rolls back.
    fn checked(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &result {
            self.connection = None;
            self.is_late =
                matches!(error, Error::TimedOut { .. }) && self.closed.has_changed().is_err();
        }
        result
    }

    fn log_lost(&mut self) {
        let changes = self.owed.entries().len();
        let behind = self.shared.stats.behind_queue();
        tracing::error!(
            changes,
            behind,
            "The database did not take everything until the end: changes that happened and \
             records of the audit and the projections are lost"
        );
    }
}

/// Begins a transaction, on a new connection when there is none or it was lost while
/// nothing was under way.
async fn begin<'a>(
    connection: &'a mut Option<Connection>,
    url: &DatabaseUrl,
) -> Result<&'a mut Connection, Error> {
    if let Some(mut open) = connection.take() {
        match open.begin().await {
            Ok(()) => return Ok(connection.insert(open)),
            // A file has no connection to lose: it is locked, or worse.
            Err(error) if matches!(open, Connection::Sqlite(_)) => return Err(error),
            Err(_) => {}
        }
    }
    let mut open = Connection::open(url).await?;
    open.begin().await?;
    Ok(connection.insert(open))
}

/// Runs `work`, but not for longer than [`TRANSACTION_LIMIT`], nor than `flush` after the
/// recorder is gone.
async fn limited(
    mut closed: watch::Receiver<()>,
    flush: Duration,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let doing = "a transaction";
    let late = async {
        // Nothing is ever sent: a change is the end.
        let _ = closed.changed().await;
        sleep(flush).await;
    };
    tokio::select! {
        biased;
        result = work => result,
        () = sleep(TRANSACTION_LIMIT) => Err(Error::TimedOut { doing, limit: TRANSACTION_LIMIT }),
        () = late => Err(Error::TimedOut { doing, limit: flush }),
    }
}
