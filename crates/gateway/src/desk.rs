//! What is asked of the broker instead of being streamed: quotes of instruments that
//! nobody subscribed, or whose feed had a gap.
//!
//! One task owns the broker's [`Reference`](strikewire_broker::Reference) and is the only
//! one to ask it for quotes. Wishes come in by a [`Desk`]; each key is wished for once
//! however many want it, and what somebody waits for goes first. Every answer goes to the
//! rows by way of the feed's thread, the only writer of rows; those who wait get it
//! directly.

mod prices;
mod queue;
mod rows;
mod run;
#[cfg(test)]
mod tests;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use strikewire_broker::{ReferenceError, Snapshot};
use strikewire_types::{Clock, InstrumentKey, Now, PriceStep};
use tokio::sync::{Notify, oneshot};

use crate::{Config, Error};

use prices::Prices;
use queue::{Queue, Taken, Urgency};

pub(crate) use rows::{ANSWERS, Answers, run_feed};
pub(crate) use run::run;

/// An answer no older than this is given again.
const REUSED_FOR: Duration = Duration::from_secs(1);

/// Instruments, in addition to those that can be on the wire, whose quotes can be wished
/// for at a time.
const EXTRA: usize = 1024;

/// Why there is no quote.
#[derive(Debug, Clone)]
enum NoQuote {
    /// The broker said so.
    Refused(Arc<ReferenceError>),
    /// The broker's answer has nothing about the instrument.
    Unknown,
    /// Ids mean other contracts now.
    MasterChanged,
}

type Waiter = oneshot::Sender<Result<Arc<Snapshot>, NoQuote>>;

/// Asks the broker for quotes. Cheap to clone; every clone is the same desk.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Tells the task that there is more to ask for.
    wake: Notify,
    /// Counts instrument masters, for answers that were asked for in another.
    generation: AtomicU64,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// What is asked for by the call under way, and who waits for it.
    under_way: HashMap<InstrumentKey, Vec<Waiter>>,
    prices: Prices,
    standing: Standing,
}

impl State {
    fn show(&self) {
        metrics::gauge!("strikewire_reference_queue").set(self.queue.len() as f64);
    }
}

/// Whether it makes sense to ask.
#[derive(Debug, Clone)]
enum Standing {
    Open,
    /// The broker has no quotes to ask for.
    Unsupported(Arc<ReferenceError>),
    /// The task has ended.
    Closed,
}

/// A call to the broker.
struct Call {
    generation: u64,
    wanted: Vec<(InstrumentKey, PriceStep)>,
    /// Those of `wanted` that closed a gap.
    gaps: Vec<Taken>,
}

impl Desk {
    pub(crate) fn new(config: &Config, clock: Clock) -> Self {
        let capacity = config.book.total.saturating_add(EXTRA);
        let state = State {
            queue: Queue::new(capacity),
            under_way: HashMap::new(),
            prices: Prices::new(config.live_within.max(config.live_within_mcx)),
            standing: Standing::Open,
        };
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(state),
                wake: Notify::new(),
                generation: AtomicU64::new(0),
            }),
        }
    }

    /// Brings rows up to date after a gap in the feed, the most important first. Those
    /// that wait to be asked for already keep their place; what goes beyond the book's
    /// capacity is left out.
    pub(crate) fn refresh(&self, wanted: Vec<(InstrumentKey, PriceStep)>) {
        self.wish(wanted, Urgency::Gap);
    }

    /// Asks for prices to begin with, before gaps are closed.
    pub(crate) fn start_prices(&self, wanted: Vec<(InstrumentKey, PriceStep)>) {
        self.wish(wanted, Urgency::Start);
    }

    fn wish(&self, wanted: Vec<(InstrumentKey, PriceStep)>, urgency: Urgency) {
        let left_out = {
            let mut state = self.shared.state.lock();
            if !matches!(state.standing, Standing::Open) {
                return;
            }
            let refused = wanted
                .into_iter()
                .filter(|(key, step)| !state.queue.wish(*key, *step, urgency))
                .count();
            state.show();
            refused
        };
        if left_out > 0 {
            tracing::warn!(left_out, "Too many quotes to ask for");
        }
        self.shared.wake.notify_one();
    }

    /// The latest quote of an instrument. All who wait for the same one share a call,
    /// and an answer of a moment ago is given again.
    ///
    /// # Errors
    ///
    /// [`Error::NoQuote`] when the broker gives none, [`Error::MasterChanged`] and
    /// [`Error::Stopping`].
    ///
    /// # Cancel safety
    ///
    /// Safe. What nobody waits for any more is not asked for.
    pub(crate) async fn shared_quote(
        &self,
        key: InstrumentKey,
        step: PriceStep,
    ) -> Result<Arc<Snapshot>, Error> {
        let no_quote = |reason: String| Error::NoQuote {
            instrument: key,
            reason,
        };
        let answer = {
            let mut state = self.shared.state.lock();
            match &state.standing {
                Standing::Open => {}
                Standing::Unsupported(error) => return Err(no_quote(error.to_string())),
                Standing::Closed => return Err(Error::Stopping),
            }
            let now = self.shared.clock.now();
            if let Some(snapshot) = state.prices.younger_than(now, key, REUSED_FOR) {
                return Ok(snapshot);
            }
            let (waiter, answer) = oneshot::channel();
            match state.under_way.get_mut(&key) {
                Some(waiters) => waiters.push(waiter),
                None => state.queue.wait_for(key, step, waiter),
            }
            answer
        };
        self.shared.wake.notify_one();
        match answer.await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(NoQuote::Refused(error))) => Err(no_quote(error.to_string())),
            Ok(Err(NoQuote::Unknown)) => Err(no_quote("the broker does not know it".into())),
            Ok(Err(NoQuote::MasterChanged)) => Err(Error::MasterChanged),
            Err(_) => Err(Error::Stopping),
        }
    }

    /// What was answered not long ago to somebody who waited for the quote of `key`.
    pub(crate) fn answer_of(&self, now: Now, key: InstrumentKey) -> Option<Arc<Snapshot>> {
        self.shared.state.lock().prices.get(now, key)
    }

    /// Another instrument master is in force: an id may mean another contract, so what
    /// was asked and answered before means nothing.
    pub(crate) fn forget(&self) {
        let waiters: Vec<Waiter> = {
            let mut state = self.shared.state.lock();
            self.shared.generation.fetch_add(1, Relaxed);
            state.prices.clear();
            let under_way = core::mem::take(&mut state.under_way);
            let waiting = state.queue.clear();
            state.show();
            under_way.into_values().flatten().chain(waiting).collect()
        };
        answer(waiters, &Err(NoQuote::MasterChanged));
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Relaxed)
    }

    /// How urgent the most urgent wish is.
    fn most_urgent(&self) -> Option<Urgency> {
        self.shared.state.lock().queue.most_urgent()
    }

    /// Takes what is asked for next, at most `most` instruments that are at least as urgent
    /// as `least`; none when nobody waits any more for what there was.
    fn next_call(&self, most: usize, least: Urgency) -> Option<Call> {
        let mut state = self.shared.state.lock();
        let mut call = Call {
            generation: self.generation(),
            wanted: Vec::new(),
            gaps: Vec::new(),
        };
        while call.wanted.len() < most
            && let Some((mut taken, waiters)) = state.queue.take(least)
        {
            call.wanted.push((taken.key, taken.step));
            state.under_way.insert(taken.key, waiters);
            if taken.wished == Some(Urgency::Gap) {
                taken.tries += 1;
                call.gaps.push(taken);
            }
        }
        state.show();
        (!call.wanted.is_empty()).then_some(call)
    }

    /// Gives an answer to those who wait for it. What of it is for the rows.
    fn answered(&self, call: &Call, at: Now, snapshots: Vec<Snapshot>) -> Vec<Arc<Snapshot>> {
        let snapshots: Vec<Arc<Snapshot>> = snapshots.into_iter().map(Arc::new).collect();
        let mut state = self.shared.state.lock();
        if call.generation != self.generation() {
            return Vec::new();
        }
        for snapshot in &snapshots {
            // Waiters are for one key of one call: a second answer finds none.
            let waiters = state.under_way.remove(&snapshot.key).unwrap_or_default();
            if !waiters.is_empty() {
                state.prices.put(at, snapshot);
            }
            answer(waiters, &Ok(Arc::clone(snapshot)));
        }
        for (_, waiters) in state.under_way.drain() {
            answer(waiters, &Err(NoQuote::Unknown));
        }
        snapshots
    }

    /// Tells those who wait that the call failed. What was to close a gap is asked for
    /// again where that may help.
    fn failed(&self, call: &Call, error: ReferenceError) {
        let again = error.is_transient();
        let error = Arc::new(error);
        let mut state = self.shared.state.lock();
        if call.generation != self.generation() {
            return;
        }
        for (_, waiters) in state.under_way.drain() {
            answer(waiters, &Err(NoQuote::Refused(Arc::clone(&error))));
        }
        if matches!(*error, ReferenceError::Unsupported { .. }) {
            let waiting = state.queue.clear();
            answer(waiting, &Err(NoQuote::Refused(Arc::clone(&error))));
            state.standing = Standing::Unsupported(error);
        } else if again {
            for taken in &call.gaps {
                state.queue.give_back(taken);
            }
        }
    }

    /// Nobody asks any more: whoever waits is told by their channel's end.
    fn close(&self) {
        let mut state = self.shared.state.lock();
        state.standing = Standing::Closed;
        state.under_way.clear();
        state.queue.clear();
    }
}

/// Sends an answer to all who wait for it; some may have gone.
fn answer(waiters: impl IntoIterator<Item = Waiter>, said: &Result<Arc<Snapshot>, NoQuote>) {
    for waiter in waiters {
        let _ = waiter.send(said.clone());
    }
}
