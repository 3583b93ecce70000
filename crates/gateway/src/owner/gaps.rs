//! Times without data: which instruments missed something, from when to when, and why.
//!
//! When a connection falls, everything that was on its wire is marked. The first packet
//! of a marked instrument ends its gap, on whichever connection it comes; what does not
//! tick by itself soon after the connection is back is asked for by a REST snapshot,
//! the most important first.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strikewire_broker::DownCause;
use strikewire_quotes::Interest;
use strikewire_subscriptions::InstrumentView;
use strikewire_types::{ConnId, InstrumentKey, Mono, Now, Slot, Utc};

use super::Owner;
use crate::hub::HubCommand;
use crate::status::GapView;

/// Gaps that end within this time are told together.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How long a connection that is back may take to bring data by itself, before what is
/// still without is asked for by REST.
const SNAPSHOT_AFTER: Duration = Duration::from_secs(3);

/// What is known of gaps.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Instruments without data, by slot, and why.
    open: HashMap<Slot, (InstrumentKey, Arc<str>)>,
    /// Gaps that ended and were not told yet, by cause.
    ended: BTreeMap<Arc<str>, Ended>,
    /// When they are told.
    tell_at: Mono,
    /// The last gap of every instrument on the wire that had one.
    last: HashMap<InstrumentKey, GapView>,
    /// Connections that are back, and when what is still missing is asked for.
    snapshots: BTreeMap<ConnId, Mono>,
}

#[derive(Debug)]
struct Ended {
    keys: Vec<InstrumentKey>,
    from: Utc,
    to: Utc,
}

impl Gaps {
    /// The last gap of an instrument; without an end while it lasts.
    pub(super) fn of_instrument(&self, key: InstrumentKey) -> Option<GapView> {
        self.last.get(&key).cloned()
    }

    /// Whether what has a slot is without data since its connection fell.
    pub(super) fn is_open(&self, slot: Slot) -> bool {
        self.open.contains_key(&slot)
    }

    /// When there is something to tell or to ask for.
    pub(super) fn due(&self) -> Option<Mono> {
        let tell = (!self.ended.is_empty()).then_some(self.tell_at);
        let snapshot = self.snapshots.values().min().copied();
        tell.into_iter().chain(snapshot).min()
    }
}

impl Owner {
    /// A connection fell: what was on its wire gets no data from now on.
    pub(super) fn gap_begins(&mut self, conn: ConnId, cause: &DownCause) {
        self.gaps.snapshots.remove(&conn);
        let cause: Arc<str> = cause.to_string().into();
        for view in self.book.instruments() {
            // Who has brought nothing yet has nothing to miss.
            if view.home != Some(conn) || self.gaps.open.contains_key(&view.slot) {
                continue;
            }
            let Some(quote) = self.table.quote(view.key) else {
                continue;
            };
            self.table.add_interest(view.slot, Interest::GAP);
            self.gaps
                .open
                .insert(view.slot, (view.key, Arc::clone(&cause)));
            self.gaps.last.insert(
                view.key,
                GapView {
                    from: quote.recv,
                    to: None,
                    cause: Arc::clone(&cause),
                },
            );
        }
    }

    /// A connection is back: it has some time to bring data by itself.
    pub(super) fn gap_may_end(&mut self, now: Now, conn: ConnId) {
        if !self.gaps.open.is_empty() {
            let at = now.mono + SNAPSHOT_AFTER.mul_f64(self.speed);
            self.gaps.snapshots.insert(conn, at);
        }
    }

    /// The first packet of an instrument after its gap.
    pub(super) fn gap_ends(
        &mut self,
        now: Now,
        slot: Slot,
        key: InstrumentKey,
        from: Option<Utc>,
        to: Utc,
    ) {
        let open = self.gaps.open.remove(&slot);
        let missed = open.as_ref().is_some_and(|(was, _)| *was == key);
        self.indicators
            .heard_again(key, from.filter(|_| missed), to);
        let Some((was, cause)) = open else {
            return;
        };
        // The slot may be another's by now.
        let Some(from) = from.filter(|_| was == key) else {
            return;
        };
        if self.gaps.ended.is_empty() {
            self.gaps.tell_at = now.mono + TELL_EVERY.mul_f64(self.speed);
        }
        let ended = self
            .gaps
            .ended
            .entry(Arc::clone(&cause))
            .or_insert_with(|| Ended {
                keys: Vec::new(),
                from,
                to,
            });
        ended.keys.push(key);
        ended.from = ended.from.min(from);
        ended.to = ended.to.max(to);
        self.gaps.last.insert(
            key,
            GapView {
                from,
                to: Some(to),
                cause,
            },
        );
        metrics::counter!("strikewire_instrument_gaps_total").increment(1);
    }

    /// An instrument left its slot: there is nothing to be missed any more.
    pub(super) fn gap_forgotten(&mut self, slot: Slot, key: InstrumentKey) {
        self.gaps.last.remove(&key);
        if self.gaps.open.remove(&slot).is_some() {
            self.table.remove_interest(slot, Interest::GAP);
        }
    }

    /// Tells streams of gaps that ended, and asks for what does not tick by itself.
    pub(super) fn keep_gaps(&mut self, now: Now) {
        if !self.gaps.ended.is_empty() && self.gaps.tell_at <= now.mono {
            for (cause, ended) in core::mem::take(&mut self.gaps.ended) {
                let Ended { keys, from, to } = ended;
                self.tell_hub(HubCommand::Gap {
                    keys,
                    from,
                    to,
                    cause,
                });
            }
        }
        while let Some((conn, _)) = self.gaps.snapshots.iter().find(|(_, at)| **at <= now.mono) {
            let conn = *conn;
            self.gaps.snapshots.remove(&conn);
            self.ask_for_snapshots(conn);
        }
    }

    /// Asks by REST for what is on a connection and still without data.
    fn ask_for_snapshots(&mut self, conn: ConnId) {
        let missing = self.gaps.open.values().map(|(key, _)| *key);
        let mut views: Vec<InstrumentView> = missing
            .filter_map(|key| self.book.instrument(key))
            .filter(|view| view.home == Some(conn))
            .collect();
        if views.is_empty() {
            return;
        }
        tracing::info!(%conn, instruments = views.len(), "Asking for what missed data");
        views.sort_unstable_by_key(|view| view.worth);
        let wanted = views
            .into_iter()
            .filter_map(|view| Some((view.key, self.table.resolve(view.key)?.1)))
            .collect();
        self.desk.refresh(wanted);
    }
}
