use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use strikewire_broker::InstrumentClass;
use strikewire_calendar::Class;
use strikewire_fanout::ValueId;
use strikewire_indicators::{IndicatorId, Timeframe};
use strikewire_leases::LeaseKey;
use strikewire_types::{InstrumentKey, PriceStep};
use tokio::sync::Notify;

use super::Latest;

/// What is to be computed.
#[derive(Debug, Clone)]
pub(crate) struct ComputeSpec {
    pub(crate) key: LeaseKey,
    /// By the instrument master of number `master`.
    pub(crate) instrument: InstrumentKey,
    /// Number of the instrument master that `instrument` is of.
    pub(crate) master: u64,
    pub(crate) class: Class,
    pub(crate) instrument_class: InstrumentClass,
    pub(crate) step: PriceStep,
    pub(crate) timeframe: Timeframe,
    pub(crate) id: IndicatorId,
    /// Whether somebody streams it, so that values of forming bars are of use.
    pub(crate) streamed: bool,
}

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComputeState {
    /// Its instrument is not on the wire: the book has no room for it, or the market is
    /// closed.
    OffWire,
    /// Candles are awaited, or enough bars.
    Warming,
    /// Values are right.
    Warm,
    /// The contract has expired, or is not listed any more.
    Gone,
}

/// A value that changed.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) key: LeaseKey,
    /// As REST answers it.
    pub(crate) json: Arc<str>,
    /// How long it is kept.
    pub(crate) ttl: Duration,
    pub(crate) mock: bool,
}

/// Who is told what the engine finds, besides the hub. Neither call may wait.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Values that changed, at most one per key: final ones, and those of forming bars
    /// that somebody streams.
    fn publish(&self, values: Vec<Published>);

    /// Instruments of these keys are not listed any more: there will be no further values,
    /// whoever holds them.
    fn gone(&self, keys: Vec<LeaseKey>);
}

/// Tells the engine what is wanted, and reads what it found. Cheap to clone; every clone
/// is the same engine's.
#[derive(Clone)]
pub(crate) struct Computing {
    pub(super) shared: Arc<Shared>,
}

/// What the handle and the engine share.
pub(super) struct Shared {
    /// What changed since the engine looked last; of a key only the last word.
    pub(super) asked: Mutex<HashMap<LeaseKey, Ask>>,
    pub(super) wake: Notify,
    pub(super) board: DashMap<LeaseKey, Place>,
    last_id: AtomicU64,
}

#[derive(Debug, Clone)]
pub(super) enum Ask {
    Want(Box<ComputeSpec>),
    /// Nobody wants it any more.
    Unwant,
    /// Somebody was told its number, and may never want it.
    Named,
}

/// What others can see of a key.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: ValueId,
    pub(super) latest: Option<Arc<Latest>>,
    pub(super) state: Option<ComputeState>,
    /// Somebody was told the number not long ago: it must not change now.
    pub(super) is_named: bool,
}

impl Shared {
    pub(super) fn place(
        &self,
        key: &LeaseKey,
    ) -> dashmap::mapref::one::RefMut<'_, LeaseKey, Place> {
        self.board.entry(key.clone()).or_insert_with(|| Place {
            id: ValueId(self.last_id.fetch_add(1, Relaxed) + 1),
            latest: None,
            state: None,
            is_named: false,
        })
    }
}

impl fmt::Debug for Computing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computing")
            .field("places", &self.shared.board.len())
            .finish_non_exhaustive()
    }
}

impl Computing {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                asked: Mutex::default(),
                wake: Notify::new(),
                board: DashMap::new(),
                last_id: AtomicU64::new(0),
            }),
        }
    }

    /// Has a key computed from now on, or changes how. Of several calls for a key the last
    /// one counts.
    pub(crate) fn want(&self, spec: ComputeSpec) {
        let key = spec.key.clone();
        self.ask(key, Ask::Want(Box::new(spec)));
    }

    /// Nobody here wants the key any more. Its latest value stays for a while.
    pub(crate) fn unwant(&self, key: &LeaseKey) {
        self.ask(key.clone(), Ask::Unwant);
    }

    /// The number that the hub knows the key's values by. It stays the same while the key
    /// is wanted and its latest value kept; a number never comes again for another key.
    pub(crate) fn value_id(&self, key: &LeaseKey) -> ValueId {
        let (id, is_new) = {
            let mut place = self.shared.place(key);
            let is_new = place.state.is_none() && place.latest.is_none();
            place.is_named = true;
            (place.id, is_new)
        };
        if is_new {
            // So that a key which nobody then wants is forgotten.
            let mut asked = self.shared.asked.lock();
            asked.entry(key.clone()).or_insert(Ask::Named);
            self.shared.wake.notify_one();
        }
        id
    }

    /// The latest value: of the last bar that closed, or of the one that forms where
    /// somebody streams it.
    pub(crate) fn latest(&self, key: &LeaseKey) -> Option<Arc<Latest>> {
        self.shared.board.get(key)?.latest.clone()
    }

    /// Where a key is; absent when it is not computed.
    pub(crate) fn state(&self, key: &LeaseKey) -> Option<ComputeState> {
        self.shared.board.get(key)?.state
    }

    fn ask(&self, key: LeaseKey, ask: Ask) {
        self.shared.asked.lock().insert(key, ask);
        self.shared.wake.notify_one();
    }
}
