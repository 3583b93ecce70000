//! A market, a feed with its faults and a broker that answers late, wrongly or not at all,
//! around one engine.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_broker::{Candle, CandleRequest, InstrumentClass, Interval, ReferenceError};
use strikewire_calendar::{Calendar, Class};
use strikewire_fanout::ValueId;
use strikewire_indicators::{Bar, Fill, IndicatorId, MinuteBuilder, Output, Tick, Timeframe};
use strikewire_leases::LeaseKey;
use strikewire_types::{InstrumentKey, Mono, Now, PriceStep, Segment, Utc};

use super::truth::{Trade, Truth};
use crate::Error;
use crate::bars::BarBatch;
use crate::indicators::engine::machine::{Action, Engine, Settings};
use crate::indicators::engine::{ComputeSpec, Computing, Latest};
use crate::owner::OwnerEvent;

pub(super) const SECOND: Duration = Duration::from_secs(1);
const FAR: Utc = Utc::from_nanos(i64::MAX);

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    /// Of a hundred calls, how many fail.
    pub(super) calls: u32,
    /// Answers take up to this long.
    pub(super) latency: Duration,
    /// Candles of this many minutes are not to be had.
    pub(super) without: Option<u16>,
    /// Candles of hours are counted from midnight.
    pub(super) misaligned: bool,
    /// There are no candles at all.
    pub(super) unsupported: bool,
    /// The account may not ask for candles.
    pub(super) not_entitled: bool,
    /// Of a hundred claims, how many are refused.
    pub(super) claims: u32,
}

pub(super) const SOUND: Faults = Faults {
    calls: 0,
    latency: Duration::from_millis(200),
    without: None,
    misaligned: false,
    unsupported: false,
    not_entitled: false,
    claims: 0,
};

/// The feed's side of an instrument, as the tap has it.
#[derive(Debug)]
struct Watched {
    builder: MinuteBuilder,
    /// On the wire from then on; absent while nobody claims it.
    wire_from: Option<Mono>,
    was_on: bool,
    heard: Option<Utc>,
    /// When the engine was told last that packets come.
    told: Option<Mono>,
    missing: Option<Utc>,
    changed: bool,
    last: Option<Tick>,
    /// Trades up to here were delivered or lost.
    seen: usize,
}

#[derive(Debug)]
struct Call {
    number: u64,
    request: CandleRequest,
    ends: Mono,
    result: Result<Vec<Candle>, ReferenceError>,
}

/// What was counted on the way: the model is worth nothing if these never happen.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) calls: usize,
    pub(super) failed_calls: usize,
    pub(super) refused_claims: usize,
    pub(super) evictions: usize,
    pub(super) outages: usize,
    pub(super) stalls: usize,
    pub(super) warm_finals: usize,
    pub(super) warm_forming: usize,
    pub(super) cold: usize,
    pub(super) releases: usize,
    pub(super) shown: usize,
}

pub(super) struct World {
    pub(super) now: Now,
    pub(super) rng: Pcg64,
    pub(super) engine: Engine,
    pub(super) computing: Computing,
    calendar: Arc<Calendar>,
    pub(super) truth: BTreeMap<InstrumentKey, Truth>,
    watched: BTreeMap<InstrumentKey, Watched>,
    calls: Vec<Call>,
    claims: Vec<(Mono, InstrumentKey, u64, bool)>,
    pub(super) faults: Faults,
    /// The feed is down until then.
    down_until: Mono,
    /// The engine does nothing until then.
    stalled_until: Mono,
    looked: i64,
    /// Instruments that are claimed.
    pub(super) held: BTreeSet<InstrumentKey>,
    pub(super) wanted: BTreeMap<LeaseKey, ComputeSpec>,
    pub(super) requests: Vec<CandleRequest>,
    pub(super) messages: HashMap<ValueId, Vec<String>>,
    closed: Vec<(InstrumentKey, Bar)>,
    missing: Vec<(InstrumentKey, Utc)>,
    /// Minutes that missed ticks after they were closed.
    pub(super) lost: Vec<(InstrumentKey, Utc)>,
    heard: Vec<InstrumentKey>,
    /// How far the engine's clock is ahead. What it says then is not checked.
    pub(super) ahead: Duration,
    events: Vec<OwnerEvent>,
    checked: HashMap<LeaseKey, (Utc, bool)>,
    pub(super) seen: Seen,
    pub(super) gone: Vec<LeaseKey>,
    pub(super) published: usize,
    batch_master: u64,
    /// The last events and calls, for tests that fail.
    told: std::collections::VecDeque<String>,
}

pub(super) fn at(text: &str) -> Utc {
    let timestamp: jiff::Timestamp = format!("{text}+05:30").parse().expect(text);
    Utc::from_nanos(i64::try_from(timestamp.as_nanosecond()).expect(text))
}

pub(super) fn equity(id: u32) -> InstrumentKey {
    InstrumentKey::new(Segment::NseEq, id)
}

pub(super) const INDEX: InstrumentKey = InstrumentKey::new(Segment::IdxI, 13);

pub(super) fn spec(
    instrument: InstrumentKey,
    timeframe: &str,
    id: &str,
    streamed: bool,
) -> ComputeSpec {
    let id: IndicatorId = id.parse().expect(id);
    let symbol = instrument.to_string().replace(':', "_");
    ComputeSpec {
        key: LeaseKey::new(&symbol, timeframe, &id.to_string()),
        instrument,
        master: 0,
        class: Class::NseCash,
        instrument_class: if instrument.segment == Segment::IdxI {
            InstrumentClass::Index
        } else {
            InstrumentClass::Equity
        },
        step: PriceStep::PAISA,
        timeframe: timeframe.parse().expect(timeframe),
        id,
        streamed,
    }
}

pub(super) fn seconds(timeframe: Timeframe) -> i64 {
    i64::try_from(timeframe.length().as_secs()).expect("short")
}

pub(super) fn settings() -> Settings {
    Settings {
        fill: Fill::None,
        grace: SECOND,
        warm_up: true,
        mock: false,
    }
}

impl World {
    pub(super) fn new(seed: u64, start: &str, faults: Faults) -> Self {
        Self::with(seed, start, faults, settings())
    }

    pub(super) fn with(seed: u64, start: &str, faults: Faults, settings: Settings) -> Self {
        let calendar = Arc::new(Calendar::builtin());
        let computing = Computing::new();
        let now = Now {
            mono: Mono::from_nanos(1_000_000_000_000),
            utc: at(start),
        };
        Self {
            now,
            rng: Pcg64::seed_from_u64(seed),
            engine: Engine::new(settings, calendar.clone(), computing.clone(), 0),
            computing,
            calendar,
            truth: BTreeMap::new(),
            watched: BTreeMap::new(),
            calls: Vec::new(),
            claims: Vec::new(),
            faults,
            down_until: Mono::default(),
            stalled_until: Mono::default(),
            looked: i64::MIN,
            held: BTreeSet::new(),
            wanted: BTreeMap::new(),
            requests: Vec::new(),
            messages: HashMap::new(),
            closed: Vec::new(),
            missing: Vec::new(),
            lost: Vec::new(),
            heard: Vec::new(),
            ahead: Duration::ZERO,
            events: Vec::new(),
            checked: HashMap::new(),
            seen: Seen::default(),
            gone: Vec::new(),
            published: 0,
            batch_master: 0,
            told: std::collections::VecDeque::new(),
        }
    }

    pub(super) fn want(&mut self, spec: ComputeSpec) {
        self.wanted.insert(spec.key.clone(), spec.clone());
        self.computing.want(spec);
    }

    pub(super) fn unwant(&mut self, key: &LeaseKey) {
        self.wanted.remove(key);
        self.computing.unwant(key);
        self.checked.remove(key);
    }

    pub(super) fn latest(&self, spec: &ComputeSpec) -> Option<Arc<Latest>> {
        self.computing.latest(&spec.key)
    }

    /// The feed falls for a while.
    pub(super) fn fall(&mut self, how_long: Duration) {
        self.down_until = self.now.mono + how_long;
        self.seen.outages += 1;
    }

    /// The engine stands still for a while.
    pub(super) fn stall(&mut self, how_long: Duration) {
        self.stalled_until = self.now.mono + how_long;
        self.seen.stalls += 1;
    }

    /// A claim makes room for another.
    pub(super) fn evict(&mut self, key: InstrumentKey) {
        if self.held.remove(&key) {
            if let Some(watched) = self.watched.get_mut(&key) {
                watched.wire_from = None;
            }
            let at = self.now.utc;
            self.events.push(OwnerEvent::Evicted { key, at });
            self.seen.evictions += 1;
        }
    }

    /// Lets a little time pass.
    pub(super) fn step(&mut self, by: Duration) {
        self.now = self.now + by;
        self.tick();
        if self.now.mono < self.stalled_until {
            return;
        }
        let now = self.shown();
        for event in core::mem::take(&mut self.events) {
            self.told.push_back(format!("{} {event:?}", now.utc));
            self.engine.handle_event(now, event);
        }
        self.answer_claims();
        self.answer_calls();
        let batch = self.collect();
        self.engine.handle_asked(now);
        self.engine.handle_batch(now, now, &batch);
        self.engine.handle_beat(now, true);
        for (key, since) in &batch.missing {
            self.told
                .push_back(format!("{} {key} missing since {since}", now.utc));
        }
        while self.told.len() > 30 {
            self.told.pop_front();
        }
        self.act();
        while let Some((number, request)) = self.engine.poll_call(now) {
            self.call(number, request);
        }
        self.check();
    }

    /// What the engine's clock shows.
    fn shown(&self) -> Now {
        Now {
            utc: self.now.utc + self.ahead,
            ..self.now
        }
    }

    pub(super) fn run(&mut self, how_long: Duration, by: Duration) {
        let end = self.now.mono + how_long;
        while self.now.mono < end {
            self.step(by);
        }
    }

    /// Ticks that came since the last time.
    fn tick(&mut self) {
        let (now, down) = (self.now, self.now.mono < self.down_until);
        for (key, watched) in &mut self.watched {
            let truth = &self.truth[key];
            let is_on = !down && watched.wire_from.is_some_and(|from| from <= now.mono);
            // A tick takes 300 ms.
            let came = now.utc - Duration::from_millis(300);
            let trades = truth.before(came);
            let fresh = &trades[watched.seen.min(trades.len())..];
            watched.seen = trades.len();
            if !is_on {
                watched.was_on = false;
                watched.told = None;
                continue;
            }
            let before = now.mono - 60 * SECOND;
            if (!watched.was_on || !fresh.is_empty()) && watched.told.is_none_or(|it| it < before) {
                watched.told = Some(now.mono);
                self.heard.push(*key);
            }
            let mut closed = |bar| self.closed.push((*key, bar));
            if !watched.was_on {
                watched.was_on = true;
                if let Some(from) = watched.missing.take().or(watched.heard) {
                    watched.builder.gap(from, now.utc);
                    let (key, to) = (*key, now.utc);
                    self.events.push(OwnerEvent::Gap { key, from, to });
                }
                // What a subscription begins with.
                if let Some(last) = trades.last() {
                    let tick = tick(truth, last, trades);
                    if watched.last != Some(tick) {
                        watched.last = Some(tick);
                        watched.builder.tick(&tick, &self.calendar, &mut closed);
                    }
                    watched.changed = true;
                    watched.heard = Some(now.utc);
                }
                continue;
            }
            for (index, trade) in fresh.iter().enumerate() {
                let so_far = &trades[..trades.len() - fresh.len() + index + 1];
                let tick = tick(truth, trade, so_far);
                watched.last = Some(tick);
                watched.builder.tick(&tick, &self.calendar, &mut closed);
                watched.changed = true;
                watched.heard = Some(now.utc);
            }
        }
    }

    /// What the tap gives when it is asked.
    fn collect(&mut self) -> BarBatch {
        let now = self.shown().utc;
        let minute = (now - SECOND).as_nanos().div_euclid(60_000_000_000);
        if minute != self.looked {
            self.looked = minute;
            for (key, watched) in &mut self.watched {
                if !watched.was_on && watched.missing.is_none() {
                    let from = watched.heard.unwrap_or(now);
                    watched.missing = Some(from);
                    watched.builder.gap(from, FAR);
                    self.missing.push((*key, from));
                }
                let mut closed = |bar| self.closed.push((*key, bar));
                watched.builder.advance(now, &mut closed);
            }
        }
        let mut batch = BarBatch {
            closed: core::mem::take(&mut self.closed),
            missing: core::mem::take(&mut self.missing),
            lost: core::mem::take(&mut self.lost),
            heard: core::mem::take(&mut self.heard),
            master: self.batch_master,
            ..BarBatch::default()
        };
        for (key, watched) in &mut self.watched {
            if core::mem::take(&mut watched.changed) {
                let bars = [watched.builder.forming(), watched.builder.newest()];
                batch
                    .forming
                    .extend(bars.into_iter().flatten().map(|bar| (*key, bar)));
            }
        }
        batch
    }

    fn answer_claims(&mut self) {
        let now = self.shown();
        let (due, later) = core::mem::take(&mut self.claims)
            .into_iter()
            .partition(|(at, ..)| *at <= now.mono);
        self.claims = later;
        for (_, key, number, taken) in due {
            if taken {
                self.engine.handle_claimed(now, key, number, Ok(()));
            } else {
                self.engine
                    .handle_claimed(now, key, number, Err(Error::Stopping));
            }
        }
    }

    fn answer_calls(&mut self) {
        let now = self.shown();
        let (due, later): (Vec<Call>, Vec<Call>) = core::mem::take(&mut self.calls)
            .into_iter()
            .partition(|call| call.ends <= now.mono);
        self.calls = later;
        for call in due {
            let what = (call.request.key, call.request.interval);
            self.told
                .push_back(format!("{} {:?}", now.utc, call.request));
            self.engine
                .handle_candles(now, what, call.number, call.result);
        }
    }

    fn call(&mut self, number: u64, request: CandleRequest) {
        let same = |call: &&Call| {
            call.request.key == request.key && call.request.interval == request.interval
        };
        assert_eq!(self.calls.iter().find(same).map(|call| call.request), None);
        assert!(self.calls.len() < 2, "more than two calls at a time");
        self.seen.calls += 1;
        self.requests.push(request);
        let latency = self.faults.latency.mul_f64(self.rng.random());
        let result = self.answer(&request);
        self.seen.failed_calls += usize::from(result.is_err());
        self.calls.push(Call {
            number,
            request,
            ends: self.now.mono + latency,
            result,
        });
    }

    fn answer(&mut self, request: &CandleRequest) -> Result<Vec<Candle>, ReferenceError> {
        let call = "candles";
        let (code, detail) = ("X".to_owned(), "made up".to_owned());
        if self.faults.unsupported {
            return Err(ReferenceError::Unsupported { what: call });
        }
        if self.faults.not_entitled {
            return Err(ReferenceError::NotEntitled { call, code, detail });
        }
        if self.rng.random_range(0..100) < self.faults.calls {
            return Err(match self.rng.random_range(0..3) {
                0 => ReferenceError::Limited {
                    call,
                    code,
                    detail,
                    retry_after: Some(3 * SECOND),
                },
                1 => ReferenceError::Unexpected { call, detail },
                _ => ReferenceError::Unavailable { call, detail },
            });
        }
        if let Interval::Minutes(minutes) = request.interval
            && self.faults.without == Some(minutes)
        {
            return Err(ReferenceError::Rejected { call, code, detail });
        }
        let mut candles = self.truth[&request.key].candles(request, self.now.utc);
        if self.faults.misaligned && request.interval == Interval::Minutes(60) {
            for candle in &mut candles {
                let seconds = candle.at.as_seconds() + 900;
                candle.at = strikewire_types::ExchangeTime::from_seconds(seconds);
            }
        }
        if candles.is_empty() {
            return Err(ReferenceError::NoData { call, detail });
        }
        Ok(candles)
    }

    fn act(&mut self) {
        for action in self.engine.poll() {
            match action {
                Action::Claim { number, leg, .. } => {
                    let taken = self.rng.random_range(0..100) >= self.faults.claims;
                    let at = self.now.mono + self.rng.random_range(1..30) * SECOND / 10;
                    self.claims.push((at, leg.key, number, taken));
                    if taken {
                        self.held.insert(leg.key);
                        let wire = at + self.rng.random_range(1..20) * SECOND / 10;
                        if let Some(watched) = self.watched.get_mut(&leg.key) {
                            watched.wire_from = Some(wire);
                        }
                    } else {
                        self.seen.refused_claims += 1;
                    }
                }
                Action::Release { key, .. } => {
                    self.held.remove(&key);
                    self.seen.releases += 1;
                }
                Action::Watch { key, class, .. } => {
                    let mut builder = MinuteBuilder::new(class).grace(SECOND);
                    builder.advance(self.shown().utc, &mut |_| {});
                    let came = self.now.utc - Duration::from_millis(300);
                    let watched = Watched {
                        builder,
                        // Claimed already, where another master brought a new watch.
                        wire_from: self.held.contains(&key).then_some(self.now.mono),
                        was_on: false,
                        heard: None,
                        told: None,
                        missing: None,
                        changed: false,
                        last: None,
                        seen: self.truth[&key].before(came).len(),
                    };
                    assert!(self.watched.insert(key, watched).is_none(), "{key} twice");
                }
                Action::Unwatch { key, .. } => {
                    assert!(self.watched.remove(&key).is_some(), "{key} is not watched");
                    self.closed.retain(|(other, _)| *other != key);
                    self.heard.retain(|other| *other != key);
                }
                Action::Show { id, message, .. } => {
                    self.seen.shown += 1;
                    self.messages.entry(id).or_default().push(message);
                }
                Action::Hide { id } => {
                    self.messages.remove(&id);
                }
                Action::Publish(values) => {
                    let keys: HashSet<LeaseKey> =
                        values.iter().map(|value| value.key.clone()).collect();
                    assert_eq!(keys.len(), values.len());
                    self.published += values.len();
                }
                Action::Gone(keys) => self.gone.extend(keys),
            }
        }
    }

    /// What is said to be right is right.
    fn check(&mut self) {
        if !self.ahead.is_zero() {
            return;
        }
        let now = self.now.utc;
        for (key, spec) in &self.wanted {
            let Some(latest) = self.computing.latest(key) else {
                continue;
            };
            if !latest.warm {
                self.seen.cold += 1;
                continue;
            }
            let truth = self.truth.get_mut(&spec.instrument).expect("it trades");
            let seconds = seconds(spec.timeframe);
            let expected = if latest.is_final {
                let before = self.checked.insert(key.clone(), (latest.at, true));
                if before == Some((latest.at, true)) {
                    continue;
                }
                self.seen.warm_finals += 1;
                truth.at_close(seconds, &spec.id, latest.bar_time)
            } else {
                // What is lost since the feed fell a moment ago nobody can know.
                let is_on = self
                    .watched
                    .get(&spec.instrument)
                    .is_some_and(|it| it.was_on);
                if latest.at != now || !is_on {
                    continue;
                }
                // Only some: it takes the whole past each time.
                if self.rng.random_range(0..50) != 0 {
                    continue;
                }
                self.seen.warm_forming += 1;
                let came = now - Duration::from_millis(300);
                let (bar, expected) = truth.forming(seconds, &spec.id, came);
                assert_eq!(bar, latest.bar_time, "{key:?} at {now}");
                expected
            };
            let (Some(value), Some(expected)) = (latest.value, expected) else {
                panic!("{key:?}: {latest:?}, expected {expected:?}, at {now}");
            };
            assert!(
                near(&value, &expected),
                "{key:?} at {now}: {latest:?}, expected {expected:?}, {}, {:?}",
                self.engine.tape(spec.instrument),
                self.told
            );
        }
    }

    /// Everything that is wanted has the value of the last bar that closed.
    pub(super) fn check_settled(&mut self) {
        // The last minute has had its grace.
        let closed = self.now.utc - 2 * SECOND;
        for (key, spec) in &self.wanted {
            let truth = &self.truth[&spec.instrument];
            let seconds = seconds(spec.timeframe);
            let Some(bar) = truth.last_closed(seconds, closed) else {
                continue;
            };
            let latest = self.computing.latest(key).unwrap_or_else(|| {
                panic!("{key:?} has no value at {}", self.now.utc);
            });
            // Where nothing has traded since the feed came back, or only a moment ago, that is
            // not known yet.
            let since = self.engine.flows_since(spec.instrument);
            if !latest.warm && since.is_none_or(|since| self.now.utc.since(since) < 70 * SECOND) {
                continue;
            }
            assert!(latest.warm, "{key:?} at {}: {latest:?}", self.now.utc);
            let shown = latest.bar_time;
            let is_last = shown == bar || (!latest.is_final && shown > bar);
            assert!(
                is_last,
                "{key:?} at {}: {latest:?}, last {bar}",
                self.now.utc
            );
        }
    }

    pub(super) fn calls_under_way(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn watched(&self) -> usize {
        self.watched.len()
    }

    /// The feed's thread forgets what it builds, as another master makes it.
    pub(super) fn forget_watches(&mut self) {
        self.watched.clear();
        self.closed.clear();
        self.missing.clear();
        self.lost.clear();
        self.heard.clear();
        self.batch_master += 1;
    }

    /// Claims go over to other keys.
    pub(super) fn move_held(&mut self, moved: &[(InstrumentKey, InstrumentKey)]) {
        self.held = moved.iter().map(|(_, new)| *new).collect();
    }

    /// Says something to the engine as the owner.
    pub(super) fn tell(&mut self, event: OwnerEvent) {
        self.events.push(event);
    }
}

fn tick(truth: &Truth, trade: &Trade, so_far: &[Trade]) -> Tick {
    Tick {
        ltp: trade.price,
        ltt: Utc::from_nanos(trade.at * 1_000_000_000),
        volume: truth.has_volume.then(|| Truth::volume_of_day(so_far)),
        oi: None,
    }
}

pub(super) fn near(one: &Output, other: &Output) -> bool {
    let (one, other) = (one.as_slice(), other.as_slice());
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            // Relative to the price, of which most of these are differences.
            (one - other).abs() <= 1e-7 * other.abs().max(1_000.0)
        })
}
