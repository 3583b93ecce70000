//! The part of the writer that writes behind, in slices.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use strikewire_types::Utc;
use tokio::time::Instant;

use super::{PRUNE_EVERY, Retry, Writer, begin, limited};
use crate::recorder::{AtmKey, Entry, Latest};
use crate::{AtmRow, AuditRecord, Change, Error, List, Seq, SubscriptionRow, Use, projections};

/// Rows of one slice: together what takes some 20 ms, which is what a group may have to
/// wait for.
const AUDIT: usize = 1_000;
const USES: usize = 500;
const SUBSCRIPTIONS: usize = 250;
const WINDOWS: usize = 250;

/// What was taken from the recorder and is to be written behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Whether the projection of subscriptions was reset.
    is_reset: bool,
    /// With the last change that was recorded before the use.
    uses: BTreeMap<(List, u64), (Seq, Use)>,
    subscriptions: BTreeMap<Box<str>, SubscriptionRow>,
    windows: BTreeMap<AtmKey, AtmRow>,
    latest_since: Option<std::time::Instant>,
    /// The slice of the audit that is being written.
    audit: Vec<(std::time::Instant, AuditRecord)>,
}

/// The rows of one transaction.
struct Slice {
    uses: Vec<(Seq, Use)>,
    subscriptions: Vec<SubscriptionRow>,
    windows: Vec<AtmRow>,
}

/// The clock of the records, by which old ones are pruned, goes on by at most this much
/// with each slice.
const MOST_AT_ONCE: Duration = Duration::from_secs(24 * 60 * 60);

impl Behind {
    pub(super) fn merge(&mut self, latest: Latest) {
        self.uses.extend(latest.uses);
        self.subscriptions.extend(latest.subscriptions);
        self.windows.extend(latest.windows);
        self.latest_since = self.latest_since.or(latest.since);
    }

    pub(super) fn len(&self) -> usize {
        self.uses.len() + self.subscriptions.len() + self.windows.len() + self.audit.len()
    }

    pub(super) fn since(&self) -> Option<std::time::Instant> {
        let audit = self.audit.first().map(|(since, _)| *since);
        [self.latest_since, audit].into_iter().flatten().min()
    }

    /// Drops uses from before a put of their item that was written: it is newer.
    pub(super) fn forget(&mut self, written: &[&Entry]) {
        for entry in written {
            if let Change::Put(item) = &entry.change
                && let Some((recorded, _)) = self.uses.get(&(item.list, item.id))
                && *recorded < entry.seq
            {
                self.uses.remove(&(item.list, item.id));
            }
        }
    }

    fn take_slice(&mut self) -> Slice {
        Slice {
            uses: take(&mut self.uses, USES),
            subscriptions: take(&mut self.subscriptions, SUBSCRIPTIONS),
            windows: take(&mut self.windows, WINDOWS),
        }
    }

    fn put_back(&mut self, slice: Slice) {
        for (recorded, used) in slice.uses {
            self.uses.insert((used.list, used.id), (recorded, used));
        }
        for row in slice.subscriptions {
            self.subscriptions.insert(row.token.clone(), row);
        }
        for row in slice.windows {
            let key = (row.underlying.clone(), row.exchange, row.expiry, row.width);
            self.windows.insert(key, row);
        }
    }
}

fn take<K: Ord, V>(map: &mut BTreeMap<K, V>, limit: usize) -> Vec<V> {
    let mut values = Vec::with_capacity(map.len().min(limit));
    while values.len() < limit
        && let Some((_, value)) = map.pop_first()
    {
        values.push(value);
    }
    values
}

/// A pass over the audit that removes what is too old, step by step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    before: Utc,
    from: i64,
    /// The last record that can be too old; absent until it was looked for.
    end: Option<i64>,
}

impl Writer {
    /// Writes one slice.
    pub(super) async fn write_behind(&mut self) {
        let slice = self.behind.take_slice();
        if self.behind.audit.is_empty() {
            let mut inbox = self.shared.inbox();
            self.behind.audit = inbox.take_audit(AUDIT);
            inbox.held = self.behind.len() + slice.uses.len();
            inbox.held += slice.subscriptions.len() + slice.windows.len();
            let since = self.behind.since();
            inbox.held_since = since;
            inbox.publish(&self.shared.stats);
        }
        match self.write_slice(&slice).await {
            Ok(()) => {
                let is_full = self.behind.audit.len() >= AUDIT || {
                    let Behind {
                        uses,
                        subscriptions,
                        windows,
                        ..
                    } = &self.behind;
                    !(uses.is_empty() && subscriptions.is_empty() && windows.is_empty())
                };
                let latest = self.behind.audit.iter().map(|(_, record)| record.at).max();
                self.clock = match (self.clock, latest) {
                    // One record with a time far ahead must not make all others old.
                    (Some(clock), Some(latest)) => {
                        Some(clock.max(latest.min(clock + MOST_AT_ONCE)))
                    }
                    (clock, latest) => clock.or(latest),
                };
                self.behind.audit.clear();
                self.behind.is_reset = true;
                if self.behind.len() == 0 {
                    self.behind.latest_since = None;
                }
                self.behind_retry = None;
                let failing = &self.shared.stats.behind_failing;
                if failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("Audit and projections can be written again");
                }
                // Otherwise what comes is collected first.
                self.behind_due = is_full.then(Instant::now);
            }
            Err(error) => {
                self.behind.put_back(slice);
                self.behind_failed(&error);
            }
        }
    }

    fn behind_failed(&mut self, error: &Error) {
        let reason = error.with_causes();
        let failing = &self.shared.stats.behind_failing;
        if !failing.swap(true, Ordering::Relaxed) {
            tracing::error!(reason, "Audit and projections cannot be written");
        }
        self.behind_retry = Some(Retry::after(self.behind_retry));
    }

    async fn write_slice(&mut self, slice: &Slice) -> Result<(), Error> {
        let is_reset = self.behind.is_reset;
        let audit: Vec<&AuditRecord> = self.behind.audit.iter().map(|(_, r)| r).collect();
        let uses: Vec<Use> = slice.uses.iter().map(|(_, used)| *used).collect();
        let rows = audit.len() + uses.len() + slice.subscriptions.len() + slice.windows.len();
        if is_reset && rows == 0 {
            return Ok(());
        }
        let connection = &mut self.connection;
        let url = &self.url;
        let work = async {
            let connection = begin(connection, url).await?;
            if !is_reset {
                projections::forget_subscriptions(connection).await?;
            }
            projections::audit(connection, &audit).await?;
            projections::uses(connection, &uses).await?;
            projections::subscriptions(connection, &slice.subscriptions).await?;
            projections::windows(connection, &slice.windows).await?;
            connection.commit().await
        };
        let result = limited(self.closed.clone(), self.flush_limit, work).await;
        self.checked(result)
    }

    /// Whether there is something to prune: a pass under way, or one that is due by the
    /// clock of the records.
    pub(super) fn begin_pass(&mut self) -> bool {
        if self.pass.is_some() {
            return true;
        }
        let Some(clock) = self.clock else {
            return false;
        };
        if self.prune_at.is_some_and(|at| clock < at) {
            return false;
        }
        self.prune_at = Some(clock + PRUNE_EVERY);
        let retention = i64::try_from(self.retention.as_nanos()).unwrap_or(i64::MAX);
        self.pass = Some(Pass {
            before: Utc::from_nanos(clock.as_nanos().saturating_sub(retention)),
            from: i64::MIN,
            end: None,
        });
        true
    }

    /// One step of the pass under way.
    pub(super) async fn prune(&mut self) {
        let Some(pass) = self.pass else {
            return;
        };
        let mut next = None;
        let connection = &mut self.connection;
        let url = &self.url;
        let work = async {
            let connection = begin(connection, url).await?;
            let end = match pass.end {
                Some(end) => Some(end),
                None => projections::prune_end(connection, pass.before).await?,
            };
            let from = match end {
                Some(end) => {
                    projections::prune_step(connection, pass.from, end, pass.before).await?
                }
                None => None,
            };
            match from {
                Some(from) => next = Some(Pass { from, end, ..pass }),
                None => projections::prune_subscriptions(connection, pass.before).await?,
            }
            connection.commit().await
        };
        let result = limited(self.closed.clone(), self.flush_limit, work).await;
        match self.checked(result) {
            Ok(()) => self.pass = next,
            Err(error) => self.behind_failed(&error),
        }
    }
}
