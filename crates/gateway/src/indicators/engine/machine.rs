use core::time::Duration;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use strikewire_broker::{Candle, CandleRequest, InstrumentClass, ReferenceError};
use strikewire_calendar::{Calendar, Class};
use strikewire_fanout::ValueId;
use strikewire_indicators::{Bar, Fill, Timeframe};
use strikewire_leases::LeaseKey;
use strikewire_registry::Registry;
use strikewire_subscriptions::{Leg, Role};
use strikewire_types::{InstrumentKey, Mode, Mono, Now, Segment, Utc};

use super::calls::{Calls, What};
use super::claim::Claim;
use super::handle::{Ask, ComputeSpec, ComputeState, Computing, Published};
use super::history::minute_of;
use super::instrument::{Ctx, Instrument, Value};
use super::meters;
use crate::bars::BarBatch;
use crate::owner::OwnerEvent;

mod swap;
mod values;

/// How long a value of a stand-in is kept.
const MOCK_TTL: Duration = Duration::from_secs(300);

/// How long the number of a key is kept that nobody wants.
const NAMED_FOR: Duration = Duration::from_secs(60);

/// Values and numbers of keys that nobody wants, kept at most.
const RETAINED: usize = 20_000;

/// What is asked for at a time, before anything else has its turn again.
const ASKED: usize = 1_000;

/// The clock was set if its time went on by so much more or less than time did. Less than
/// that makes single ticks late, which the minutes themselves tell.
const STEP: Duration = Duration::from_secs(2);

/// The broker's candle of a minute is final this long after the minute's end, and no
/// sooner than ticks are.
const CANDLE_DELAY: Duration = Duration::from_secs(2);

/// How the engine works.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What a bar without a trade is.
    pub(crate) fill: Fill,
    /// A minute is closed this long after its end.
    pub(crate) grace: Duration,
    /// Whether candles are asked for.
    pub(crate) warm_up: bool,
    /// Whether values are those of a stand-in.
    pub(crate) mock: bool,
}

impl Settings {
    pub(super) fn candle_delay(&self) -> Duration {
        self.grace + CANDLE_DELAY
    }

    fn ttl(&self, timeframe: Timeframe) -> Duration {
        if self.mock {
            MOCK_TTL
        } else {
            timeframe.length()
        }
    }
}

/// What is to be done outside.
#[derive(Debug)]
pub(super) enum Action {
    /// Claim an instrument; the answer goes to [`Engine::handle_claimed`].
    Claim {
        number: u64,
        master: u64,
        leg: Leg,
    },
    Release {
        master: u64,
        key: InstrumentKey,
    },
    Watch {
        master: u64,
        key: InstrumentKey,
        class: Class,
    },
    Unwatch {
        master: u64,
        key: InstrumentKey,
    },
    /// Tell streams.
    Show {
        id: ValueId,
        message: String,
        urgent: bool,
    },
    /// There is nothing to tell any more.
    Hide {
        id: ValueId,
    },
    /// Values for whoever keeps them.
    Publish(Vec<Published>),
    /// Keys without a future.
    Gone(Vec<LeaseKey>),
}

/// Where a key is computed.
#[derive(Debug, Clone, Copy)]
struct Home {
    instrument: InstrumentKey,
    timeframe: Timeframe,
}

/// Computes what is wanted. Does no IO: what happens is told by the methods that begin
/// with `handle`, what is to be done is given by [`poll`](Self::poll) and
/// [`poll_call`](Self::poll_call).
pub(crate) struct Engine {
    settings: Settings,
    calendar: Arc<Calendar>,
    computing: Computing,
    /// Number of the instrument master that keys are of.
    master: u64,
    /// The one before and the one in force, once it changed.
    swap: Option<(Arc<Registry>, Arc<Registry>)>,
    instruments: HashMap<InstrumentKey, Instrument>,
    homes: HashMap<LeaseKey, Home>,
    /// Wanted in an instrument master that is yet to come.
    later: HashMap<LeaseKey, ComputeSpec>,
    calls: Calls,
    /// When instruments want to be looked at.
    wakes: BTreeSet<(Mono, InstrumentKey)>,
    /// Instruments whose forming minute changed, and that somebody streams.
    changed: HashSet<InstrumentKey>,
    /// When values of keys are forgotten that nobody wants.
    retained: HashMap<LeaseKey, Mono>,
    ends: BTreeSet<(Mono, LeaseKey)>,
    /// All minutes that ended by then were given.
    closed_to: Utc,
    /// When that was.
    collected: Option<Now>,
    last_number: u64,
    values: Vec<Value>,
    forming: Vec<Bar>,
    actions: Vec<Action>,
}

impl Engine {
    pub(crate) fn new(
        settings: Settings,
        calendar: Arc<Calendar>,
        computing: Computing,
        master: u64,
    ) -> Self {
        Self {
            settings,
            calendar,
            computing,
            master,
            swap: None,
            instruments: HashMap::new(),
            homes: HashMap::new(),
            later: HashMap::new(),
            calls: Calls::default(),
            wakes: BTreeSet::new(),
            changed: HashSet::new(),
            retained: HashMap::new(),
            ends: BTreeSet::new(),
            closed_to: Utc::from_nanos(i64::MIN),
            collected: None,
            last_number: 0,
            values: Vec::new(),
            forming: Vec::new(),
            actions: Vec::new(),
        }
    }

    pub(super) const fn computing(&self) -> &Computing {
        &self.computing
    }

    /// Whether bars are built of anything.
    pub(super) fn is_busy(&self) -> bool {
        !self.instruments.is_empty()
    }

    /// What is to be done outside, in order.
    pub(super) fn poll(&mut self) -> Vec<Action> {
        core::mem::take(&mut self.actions)
    }

    /// The next call to the broker. Its answer goes to
    /// [`handle_candles`](Self::handle_candles).
    pub(super) fn poll_call(&mut self, now: Now) -> Option<(u64, CandleRequest)> {
        self.calls.next(now)
    }

    /// Somebody wants something, or does not any more.
    pub(super) fn handle_asked(&mut self, now: Now) {
        let asked = {
            let mut all = self.computing.shared.asked.lock();
            if all.len() <= ASKED {
                core::mem::take(&mut *all)
            } else {
                let some: Vec<LeaseKey> = all.keys().take(ASKED).cloned().collect();
                self.computing.shared.wake.notify_one();
                some.into_iter()
                    .filter_map(|key| all.remove_entry(&key))
                    .collect()
            }
        };
        // Each is looked at once, however many of its keys are wanted.
        let mut touched = HashSet::new();
        for (key, ask) in asked {
            match ask {
                Ask::Want(spec) => touched.extend(self.want(now, *spec)),
                Ask::Unwant => self.unwant(now, &key),
                Ask::Named => {
                    if !self.homes.contains_key(&key) && !self.retained.contains_key(&key) {
                        self.retain(&key, now.mono + NAMED_FOR);
                    }
                }
            }
        }
        for key in touched {
            self.look(now, key);
        }
    }

    /// The instrument that is to be looked at after that.
    fn want(&mut self, now: Now, spec: ComputeSpec) -> Option<InstrumentKey> {
        // A key that is computed is of the same instrument for good, through all masters,
        // however old the number is that it is asked for by.
        let key = if let Some(home) = self.homes.get(&spec.key) {
            home.instrument
        } else if spec.master > self.master {
            self.later.insert(spec.key.clone(), spec);
            return None;
        } else if let Some(key) = self.translate(spec.master, spec.instrument) {
            key
        } else {
            self.gone(now, vec![spec.key]);
            return None;
        };
        let home = Home {
            instrument: key,
            timeframe: spec.timeframe,
        };
        self.homes.insert(spec.key.clone(), home);
        if let Some(until) = self.retained.remove(&spec.key) {
            self.ends.remove(&(until, spec.key.clone()));
        }
        if let Entry::Vacant(vacant) = self.instruments.entry(key) {
            let claim = Claim::Due {
                at: now.mono,
                refusals: 0,
            };
            let instrument =
                Instrument::new(spec.class, spec.instrument_class, spec.step, claim, now);
            vacant.insert(instrument);
            self.actions.push(Action::Watch {
                master: self.master,
                key,
                class: spec.class,
            });
        }
        let (id, latest) = {
            let mut place = self.computing.shared.place(&spec.key);
            place.is_named = false;
            (place.id, place.latest.clone())
        };
        if spec.streamed
            && let Some(latest) = latest
        {
            self.actions.push(Action::Show {
                id,
                message: latest.to_message(),
                urgent: latest.is_final,
            });
        }
        let entry = (spec.key, spec.id, spec.streamed);
        self.call(now, key, |instrument, ctx| {
            instrument.add(ctx, spec.timeframe, entry);
        });
        Some(key)
    }

    fn unwant(&mut self, now: Now, key: &LeaseKey) {
        self.later.remove(key);
        let Some(home) = self.homes.remove(key) else {
            if !self.retained.contains_key(key) {
                self.retain(key, now.mono + NAMED_FOR);
            }
            return;
        };
        self.remove(key, home);
        let named = now.mono + NAMED_FOR;
        // As long as it is kept elsewhere: from when it was written.
        let until = self.computing.latest(key).map_or(named, |latest| {
            let age = now.utc.since(latest.at);
            let left = self.settings.ttl(home.timeframe).saturating_sub(age);
            named.max(now.mono + left)
        });
        self.retain(key, until);
        self.hide(key, None);
    }

    /// Takes a key from its instrument, and lets go of that with the last one.
    fn remove(&mut self, key: &LeaseKey, home: Home) {
        let Some(instrument) = self.instruments.get_mut(&home.instrument) else {
            return;
        };
        if !instrument.remove(home.timeframe, key) {
            return;
        }
        self.drop_instrument(home.instrument);
        let (master, key) = (self.master, home.instrument);
        self.actions.push(Action::Unwatch { master, key });
        self.actions.push(Action::Release { master, key });
    }

    fn drop_instrument(&mut self, key: InstrumentKey) -> Option<Instrument> {
        let instrument = self.instruments.remove(&key)?;
        if let Some(at) = instrument.wakes {
            self.wakes.remove(&(at, key));
        }
        self.changed.remove(&key);
        self.calls.drop_waiting(key);
        Some(instrument)
    }

    /// Keys whose instruments are not listed any more.
    fn gone(&mut self, now: Now, keys: Vec<LeaseKey>) {
        for key in &keys {
            self.homes.remove(key);
            // The place is kept for whoever asks what became of the key.
            drop(self.computing.shared.place(key));
            self.retain(key, now.mono + NAMED_FOR);
            self.hide(key, Some(ComputeState::Gone));
        }
        if !keys.is_empty() {
            self.actions.push(Action::Gone(keys));
        }
    }

    /// The owner says something of an instrument.
    pub(super) fn handle_event(&mut self, now: Now, event: OwnerEvent) {
        match event {
            OwnerEvent::Evicted { key, at } => {
                self.with(now, key, |instrument, ctx| instrument.evict(ctx, at));
            }
            OwnerEvent::Suspended { key, at } => {
                tracing::debug!(instrument = %key, %at, "Indicators rest while the market is closed");
                self.with(now, key, |instrument, _| {
                    instrument.claim = Claim::Suspended;
                    instrument.heard = false;
                });
            }
            OwnerEvent::Resumed { key } => {
                self.with(now, key, |instrument, _| instrument.claim = Claim::Held);
            }
            OwnerEvent::Gap { key, from, to } => {
                self.with(now, key, |instrument, ctx| instrument.gap(ctx, from, to));
            }
            OwnerEvent::Gone { key, at } => {
                tracing::debug!(instrument = %key, %at, "No more indicators of an expired contract");
                if let Some(instrument) = self.drop_instrument(key) {
                    let master = self.master;
                    self.actions.push(Action::Unwatch { master, key });
                    self.gone(now, instrument.keys().cloned().collect());
                }
            }
            OwnerEvent::MasterChanged {
                number,
                before,
                registry,
            } => self.change_master(now, number, before, registry),
            OwnerEvent::Bound { key } => self.look(now, key),
            // Bars close by themselves: their last minute ends with the session.
            OwnerEvent::SessionClosed { class, at } => {
                tracing::debug!(%class, %at, "Session closed");
            }
        }
    }

    /// The owner's answer to a claim: whether it was taken.
    pub(super) fn handle_claimed(
        &mut self,
        now: Now,
        key: InstrumentKey,
        number: u64,
        taken: Result<(), crate::Error>,
    ) {
        self.with(now, key, |instrument, _| {
            let Claim::Asked {
                number: asked,
                refusals,
            } = instrument.claim
            else {
                return;
            };
            if asked != number {
                return;
            }
            instrument.claim = match taken {
                Ok(()) => Claim::Held,
                Err(error) => {
                    if refusals == 0 {
                        tracing::warn!(%error, instrument = %key, "No room to compute indicators");
                    }
                    Claim::refused(refusals, now.mono)
                }
            };
        });
    }

    /// What the feed's thread has built up to `collected`.
    pub(super) fn handle_batch(&mut self, now: Now, collected: Now, batch: &BarBatch) {
        meters::ticks(batch.late, batch.out_of_session);
        if self
            .collected
            .replace(collected)
            .is_some_and(|before| is_step(before, collected))
        {
            self.restart(now, collected);
            return;
        }
        if batch.master != self.master {
            return;
        }
        let mut touched = HashSet::new();
        // Bars that were collected before an instrument came (again) are of another watch.
        let is_stranger = |instrument: &Instrument| instrument.since.mono >= collected.mono;
        let missing: HashSet<InstrumentKey> = batch.missing.iter().map(|(key, _)| *key).collect();
        // Before the minutes that ended without their last trades.
        for (key, since) in &batch.missing {
            if self.call(now, *key, |instrument, _| {
                if !is_stranger(instrument) {
                    instrument.silence(*since);
                }
            }) {
                touched.insert(*key);
            }
        }
        for (key, bar) in &batch.closed {
            if self.call(now, *key, |instrument, ctx| {
                if !is_stranger(instrument) {
                    instrument.close(ctx, *bar);
                }
            }) {
                touched.insert(*key);
            }
        }
        for (key, start) in &batch.lost {
            if self.call(now, *key, |instrument, ctx| {
                if !is_stranger(instrument) {
                    instrument.lose(ctx, *start);
                }
            }) {
                touched.insert(*key);
            }
        }
        for key in batch.heard.iter().filter(|key| !missing.contains(key)) {
            self.call(now, *key, |instrument, _| {
                if !is_stranger(instrument) && !core::mem::replace(&mut instrument.heard, true) {
                    touched.insert(*key);
                }
            });
        }
        for bars in batch.forming.chunk_by(|(one, _), (next, _)| one == next) {
            let key = bars[0].0;
            let mut minutes = core::mem::take(&mut self.forming);
            minutes.clear();
            minutes.extend(bars.iter().map(|(_, bar)| *bar));
            let ticks = !missing.contains(&key);
            let (mut formed, mut began) = (false, false);
            self.call(now, key, |instrument, ctx| {
                if is_stranger(instrument) {
                    return;
                }
                let before = instrument.tape.flow;
                instrument.form(ctx, &minutes, ticks);
                began = before != instrument.tape.flow;
                formed = true;
            });
            self.forming = minutes;
            if formed {
                self.changed.insert(key);
            }
            if began {
                touched.insert(key);
            }
        }
        let before = minute_of(self.closed_to);
        self.closed_to = self.closed_to.max(collected.utc - self.settings.grace);
        if minute_of(self.closed_to) > before {
            let keys: Vec<InstrumentKey> = self.instruments.keys().copied().collect();
            for key in keys {
                self.call(now, key, Instrument::close_bars);
            }
        }
        for key in touched {
            self.look(now, key);
        }
        self.publish(now);
    }

    /// The clock was set. What was closed by the other time, asked for and awaited is worth
    /// nothing: all begins again, with builders that know no other time.
    fn restart(&mut self, now: Now, collected: Now) {
        tracing::warn!(to = %collected.utc, "The clock was set: all indicators begin again");
        self.closed_to = collected.utc - self.settings.grace;
        self.calls.clear();
        let keys: Vec<InstrumentKey> = self.instruments.keys().copied().collect();
        for key in keys {
            let master = self.master;
            let mut class = None;
            self.call(now, key, |instrument, ctx| {
                instrument.restart(ctx);
                class = Some(instrument.class);
            });
            if let Some(class) = class {
                self.actions.push(Action::Unwatch { master, key });
                self.actions.push(Action::Watch { master, key, class });
            }
            self.look(now, key);
        }
    }

    /// The answer to a call.
    pub(super) fn handle_candles(
        &mut self,
        now: Now,
        what: What,
        number: u64,
        result: Result<Vec<Candle>, ReferenceError>,
    ) {
        if let Some(key) = self.calls.answered(now, what, number, result) {
            self.look(now, key);
        }
        self.publish(now);
    }

    /// Time has passed. Once in a while, `forming`: values of bars that form are computed.
    pub(super) fn handle_beat(&mut self, now: Now, forming: bool) {
        while let Some((at, key)) = self.wakes.first().copied()
            && at <= now.mono
        {
            self.wakes.pop_first();
            if let Some(instrument) = self.instruments.get_mut(&key) {
                instrument.wakes = None;
                self.look(now, key);
            }
        }
        self.expire(now);
        if forming {
            let mut minutes = core::mem::take(&mut self.forming);
            for key in core::mem::take(&mut self.changed) {
                self.call(now, key, |instrument, ctx| {
                    instrument.peek(ctx, &mut minutes);
                });
            }
            self.forming = minutes;
        }
        self.publish(now);
    }

    /// Looks at what an instrument needs.
    fn look(&mut self, now: Now, key: InstrumentKey) {
        self.with(now, key, |_, _| {});
    }

    /// Does something with an instrument, and then looks at what it needs.
    fn with(
        &mut self,
        now: Now,
        key: InstrumentKey,
        does: impl FnOnce(&mut Instrument, &mut Ctx<'_>),
    ) {
        let mut before = None;
        self.visit(now, key, |instrument, ctx, calls| {
            before = instrument.wakes;
            does(instrument, ctx);
            instrument.consider(ctx, key, calls);
        });
        let Some(instrument) = self.instruments.get_mut(&key) else {
            return;
        };
        match instrument.claim {
            Claim::Due { at, refusals } if at <= now.mono => {
                self.last_number += 1;
                let number = self.last_number;
                instrument.claim = Claim::Asked { number, refusals };
                self.actions.push(Action::Claim {
                    number,
                    master: self.master,
                    leg: leg(key, instrument),
                });
            }
            Claim::Due { at, .. } => instrument.wake_at(at),
            _ => {}
        }
        if before != instrument.wakes {
            if let Some(before) = before {
                self.wakes.remove(&(before, key));
            }
            if let Some(at) = instrument.wakes {
                self.wakes.insert((at, key));
            }
        }
        self.changed.insert(key);
        let board = &self.computing.shared.board;
        instrument.tell_states(|lease, state| {
            if let Some(mut place) = board.get_mut(lease) {
                place.state = Some(state);
            }
        });
        self.publish(now);
    }

    /// Does something with an instrument that changes nothing that it needs. Whether it is
    /// there.
    fn call(
        &mut self,
        now: Now,
        key: InstrumentKey,
        does: impl FnOnce(&mut Instrument, &mut Ctx<'_>),
    ) -> bool {
        self.visit(now, key, |instrument, ctx, _| does(instrument, ctx))
    }

    /// Gives an instrument what it works with. Whether it is there.
    fn visit(
        &mut self,
        now: Now,
        key: InstrumentKey,
        does: impl FnOnce(&mut Instrument, &mut Ctx<'_>, &mut Calls),
    ) -> bool {
        let Some(instrument) = self.instruments.get_mut(&key) else {
            return false;
        };
        let mut ctx = Ctx {
            now,
            settings: &self.settings,
            candles: self.settings.warm_up && self.calls.are_possible(now),
            closed_to: self.closed_to,
            calendar: &self.calendar,
            values: &mut self.values,
        };
        does(instrument, &mut ctx, &mut self.calls);
        true
    }

    /// What is known of the minutes of an instrument: for tests that fail.
    #[cfg(test)]
    pub(super) fn tape(&self, key: InstrumentKey) -> String {
        format!("{:#?}", self.instruments.get(&key).map(|it| &it.tape))
    }

    /// Since when ticks of an instrument come: for tests.
    #[cfg(test)]
    pub(super) fn flows_since(&self, key: InstrumentKey) -> Option<Utc> {
        match self.instruments.get(&key)?.tape.flow {
            super::tape::Flow::On { since, .. } => Some(since),
            super::tape::Flow::Off { .. } => None,
        }
    }

    /// Everything that is remembered: for tests.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.instruments.len()
            + self.homes.len()
            + self.later.len()
            + self.calls.len()
            + self.wakes.len()
            + self.changed.len()
            + self.retained.len()
            + self.ends.len()
            + self.computing.shared.board.len()
    }
}

/// Whether the clock was set between two times.
fn is_step(before: Now, after: Now) -> bool {
    let expected = before.utc + after.mono.since(before.mono);
    expected.since(after.utc).max(after.utc.since(expected)) > STEP
}

/// How an instrument is claimed: an index has no more than a ticker's packets.
fn leg(key: InstrumentKey, instrument: &Instrument) -> Leg {
    let is_index = key.segment == Segment::IdxI || instrument.kind == InstrumentClass::Index;
    Leg {
        key,
        step: instrument.step,
        mode: if is_index { Mode::Ticker } else { Mode::Quote },
        role: Role::Contract,
        distance: 0,
    }
}
