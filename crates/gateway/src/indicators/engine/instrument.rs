//! One instrument: its minutes, and the series that are made of them.

use core::time::Duration;

use strikewire_broker::{InstrumentClass, Interval};
use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::{Bar, IndicatorId, Output, Timeframe};
use strikewire_leases::LeaseKey;
use strikewire_types::{InstrumentKey, Mono, Now, PriceStep, Utc};

use super::calls::{Answer, Ask, Calls, Reply, Urgency};
use super::claim::Claim;
use super::history::{self, MINUTE, Need, Want, day_of, minute_of};
use super::series::{Series, State};
use super::tape::{Flow, Hole, Tape};
use super::{Settings, meters};

/// How long the first tick is awaited before candles are asked for: with a tick of the
/// minute that forms, its beginning can be had at once.
const FIRST_TICK: Duration = Duration::from_millis(1_500);

/// How often a candle that is not there yet is asked for, and how much later each time.
const TRIES: u8 = 3;
const AGAIN: Duration = Duration::from_secs(10);

/// While no ticks come, candles are asked for this often at most: that must not use up what
/// the account may ask in a day.
const CATCH_UP: Duration = Duration::from_secs(300);

/// A hole that could not be repaired for this long is given up.
const GIVEN_UP: Duration = Duration::from_secs(1_800);

/// A value that is new.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) key: LeaseKey,
    pub(super) outputs: &'static [&'static str],
    pub(super) value: Option<Output>,
    pub(super) bar_time: Utc,
    pub(super) is_final: bool,
    pub(super) warm: bool,
    pub(super) streamed: bool,
}

/// What an instrument needs to do anything.
pub(super) struct Ctx<'a> {
    pub(super) now: Now,
    pub(super) settings: &'a Settings,
    /// Whether candles can be had.
    pub(super) candles: bool,
    /// All minutes that ended by then were given.
    pub(super) closed_to: Utc,
    pub(super) calendar: &'a Calendar,
    pub(super) values: &'a mut Vec<Value>,
}

#[derive(Debug)]
pub(super) struct Instrument {
    pub(super) class: Class,
    pub(super) kind: InstrumentClass,
    pub(super) step: PriceStep,
    pub(super) claim: Claim,
    pub(super) tape: Tape,
    pub(super) series: Vec<Series>,
    /// When it was first wanted.
    pub(super) since: Now,
    /// When it wants to be looked at again.
    pub(super) wakes: Option<Mono>,
}

impl Instrument {
    pub(super) fn new(
        class: Class,
        kind: InstrumentClass,
        step: PriceStep,
        claim: Claim,
        now: Now,
    ) -> Self {
        Self {
            class,
            kind,
            step,
            claim,
            tape: Tape::new(),
            series: Vec::new(),
            since: now,
            wakes: None,
        }
    }

    /// Adds a key, or changes whether it is streamed.
    pub(super) fn add(
        &mut self,
        ctx: &mut Ctx<'_>,
        timeframe: Timeframe,
        (key, id, streamed): (LeaseKey, IndicatorId, bool),
    ) {
        let at = self.place_of(timeframe).unwrap_or_else(|| {
            (self.series).push(Series::new(timeframe, self.class, ctx.settings.fill));
            self.series.len() - 1
        });
        let series = &mut self.series[at];
        let was_streamed = series.add(key, id, streamed);
        series.peeked = None;
        // Of a key that is not streamed any more the final value is the latest again.
        let Series { live, entries, .. } = series;
        if was_streamed && let Some(bar) = live.last {
            show_final(live, &bar, entries, &self.tape, ctx.values);
        }
    }

    /// Removes a key; true when it was the last one.
    pub(super) fn remove(&mut self, timeframe: Timeframe, key: &LeaseKey) -> bool {
        if let Some(at) = self.place_of(timeframe) {
            self.series[at].remove(key);
            if self.series[at].entries.is_empty() {
                self.series.swap_remove(at);
            }
        }
        self.series.is_empty()
    }

    /// Takes the keys of another instrument, which begin anew here.
    pub(super) fn take_over(&mut self, ctx: &mut Ctx<'_>, other: Self) {
        for series in other.series {
            for entry in series.entries {
                let key = (entry.key, entry.id, entry.streamed);
                self.add(ctx, series.timeframe, key);
            }
        }
    }

    fn place_of(&self, timeframe: Timeframe) -> Option<usize> {
        (self.series.iter()).position(|series| series.timeframe == timeframe)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&LeaseKey, bool)> {
        self.series.iter().flat_map(|series| {
            let warm = series.live.studies.iter().map(|study| study.left == 0);
            series.entries.iter().map(|entry| &entry.key).zip(warm)
        })
    }

    pub(super) fn is_streamed(&self) -> bool {
        (self.series.iter()).any(|series| series.entries.iter().any(|entry| entry.streamed))
    }

    /// Minutes that ended, in order.
    pub(super) fn close(&mut self, ctx: &mut Ctx<'_>, minute: Bar) {
        meters::minute(&minute);
        let Some(minute) = self.tape.close(minute) else {
            return;
        };
        if !minute.complete {
            self.tape.miss(Hole::new(minute.start, minute.end));
        }
        let Self { tape, series, .. } = self;
        for series in series {
            let Series { live, entries, .. } = series;
            live.minute(&minute, ctx.calendar, |state, bar| {
                show_final(state, bar, entries, tape, ctx.values);
            });
        }
        self.settle(ctx);
    }

    /// Minutes that have not ended. `ticks`: of them, and none are known to be missing since.
    pub(super) fn form(&mut self, ctx: &Ctx<'_>, minutes: &[Bar], ticks: bool) {
        self.tape.form(minutes);
        if ticks && self.claim.is_held() {
            self.tape.begin_flow(ctx.now.utc);
        }
    }

    /// All minutes that have ended were given.
    pub(super) fn close_bars(&mut self, ctx: &mut Ctx<'_>) {
        let Self { tape, series, .. } = self;
        for series in series {
            let Series { live, entries, .. } = series;
            live.close(ctx.closed_to, ctx.calendar, |state, bar| {
                show_final(state, bar, entries, tape, ctx.values);
            });
        }
    }

    /// Values of bars that form, of keys that somebody streams.
    pub(super) fn peek(&mut self, ctx: &mut Ctx<'_>, minutes: &mut Vec<Bar>) {
        self.tape.forming(minutes);
        for series in &mut self.series {
            if !series.entries.iter().any(|entry| entry.streamed) {
                continue;
            }
            let Some(bar) = series.live.forming(minutes, ctx.calendar) else {
                continue;
            };
            if series.peeked.replace(bar) == Some(bar) {
                continue;
            }
            let day = day_of(ctx.calendar, self.class, bar.start);
            for (at, entry) in series.entries.iter().enumerate() {
                let value = entry
                    .streamed
                    .then(|| series.live.peek(at, &bar, day))
                    .flatten();
                if value.is_none() {
                    continue;
                }
                meters::forming();
                let trusted = is_trusted(&self.tape, &series.live, at, &entry.id, &bar);
                ctx.values.push(Value {
                    key: entry.key.clone(),
                    outputs: entry.id.outputs(),
                    value,
                    bar_time: bar.start,
                    is_final: false,
                    warm: trusted && bar.complete,
                    streamed: true,
                });
            }
        }
    }

    /// No packets come since `at`, although they might.
    pub(super) fn silence(&mut self, at: Utc) {
        // Of a closed market none are awaited.
        if self.claim != Claim::Suspended {
            self.tape.end_flow(at);
        }
    }

    /// Packets may be missing between two times.
    pub(super) fn gap(&mut self, ctx: &mut Ctx<'_>, from: Utc, to: Utc) {
        let is_too_old = self.tape.at.is_some_and(|at| minute_of(from) < at);
        if to.since(from) > Duration::from_secs(86_400) || is_too_old {
            // What is settled may be wrong: all begins again.
            self.begin_anew(ctx);
            return;
        }
        self.tape.miss(Hole::new(from, to).since(to));
    }

    /// Forgets minutes and bars, and waits for candles again.
    pub(super) fn begin_anew(&mut self, ctx: &Ctx<'_>) {
        let flow = match self.tape.flow {
            Flow::On { from, .. } => Flow::On {
                from: from.max(minute_of(ctx.now.utc) + MINUTE),
                since: ctx.now.utc,
            },
            Flow::Off { .. } => Flow::Off { known_to: None },
        };
        self.tape = Tape::new();
        self.tape.flow = flow;
        for series in &mut self.series {
            series.reset(self.class, ctx.settings.fill);
        }
    }

    /// Feeds the settled states what will not change any more.
    fn settle(&mut self, ctx: &Ctx<'_>) {
        let waiting = ctx.candles && self.series.iter().any(Series::is_cold);
        let Some(to) = self.tape.settles_to(waiting) else {
            return;
        };
        while let Some(minute) = self.tape.minutes.front().copied()
            && minute.start < to
        {
            self.tape.minutes.pop_front();
            for series in &mut self.series {
                series.settled.minute(&minute, ctx.calendar, |_, _| {});
            }
        }
        // Keys that begin later expect that what has ended is closed.
        for series in &mut self.series {
            series.settled.close(to, ctx.calendar, |_, _| {});
        }
        self.tape.at = Some(to);
        while let Some(hole) = self.tape.holes.first().copied()
            && hole.from < to
        {
            self.give_up(hole);
        }
    }

    /// A hole that nothing will fill: only time makes it good.
    fn give_up(&mut self, hole: Hole) {
        self.tape.holes.retain(|other| *other != hole);
        for series in &mut self.series {
            series.settled.lose(hole.from, hole.to);
            series.live.lose(hole.from, hole.to);
        }
        meters::repaired(false);
    }

    /// Computes everything again that came after what is settled.
    fn replay(&mut self, ctx: &mut Ctx<'_>) {
        let Self { tape, series, .. } = self;
        for series in series {
            series.live = series.settled.clone();
            for minute in &tape.minutes {
                series.live.minute(minute, ctx.calendar, |_, _| {});
            }
            series.live.close(ctx.closed_to, ctx.calendar, |_, _| {});
            series.peeked = None;
            let Series { live, entries, .. } = series;
            if let Some(bar) = live.last {
                show_final(live, &bar, entries, tape, ctx.values);
            }
        }
    }

    /// Asks for what is missing, and takes what is there.
    pub(super) fn consider(&mut self, ctx: &mut Ctx<'_>, key: InstrumentKey, calls: &mut Calls) {
        self.wakes = None;
        if !ctx.candles {
            while let Some(hole) = self.tape.holes.first().copied() {
                self.give_up(hole);
            }
            return;
        }
        let mut changed = false;
        for at in 0..self.series.len() {
            changed |= self.warm_up(ctx, key, calls, at);
        }
        changed |= self.fill_holes(ctx, key, calls);
        changed |= self.catch_up(ctx, key, calls);
        if changed {
            self.replay(ctx);
            self.settle(ctx);
        }
    }

    pub(super) fn wake_at(&mut self, at: Mono) {
        self.wakes = Some(self.wakes.map_or(at, |known| known.min(at)));
    }

    /// The moment at which the clock will show `at`, or a little later.
    fn moment(ctx: &Ctx<'_>, at: Utc) -> Mono {
        ctx.now.mono + at.since(ctx.now.utc) + Duration::from_millis(1)
    }

    fn asks(&self, key: InstrumentKey, interval: Interval, from: Utc, not_before: Utc) -> Ask {
        Ask {
            what: (key, interval),
            class: self.kind,
            step: self.step,
            from,
            not_before,
            urgency: if self.is_streamed() {
                Urgency::Streamed
            } else {
                Urgency::WarmUp
            },
        }
    }

    /// Gives cold keys of a series their past; true when there was one.
    fn warm_up(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: InstrumentKey,
        calls: &mut Calls,
        at: usize,
    ) -> bool {
        let series = &mut self.series[at];
        for (entry, study) in series.entries.iter_mut().zip(&series.live.studies) {
            // So many bars have come meanwhile that candles are not needed.
            entry.cold &= study.left > 0;
        }
        if !series.is_cold() {
            return false;
        }
        if let Some(until) = self.too_early(ctx) {
            self.wake_at(until);
            return false;
        }
        let series = &self.series[at];
        let cold = || {
            let studies = series.entries.iter().zip(&series.live.studies);
            studies.filter(|(entry, _)| entry.cold)
        };
        let want = Want {
            timeframe: series.timeframe,
            class: self.class,
            fill: ctx.settings.fill,
            bars: cold().map(|(_, study)| study.warm_up).max().unwrap_or(0),
            anchored: cold().any(|(entry, _)| entry.id.anchored()),
            minutes_only: series.minutes_only,
            all: series.all,
        };
        // What comes after that is made of minutes that are kept.
        let need = want.need(ctx.calendar, self.tape.at.unwrap_or(ctx.now.utc));
        // Both are asked for before either is awaited.
        let long = need.longer.map(|longer| {
            let ask = self.asks(key, longer.interval, longer.from, longer.to);
            calls.ask(ctx.now, ask)
        });
        let not_before = self.minutes_not_before(ctx.settings.candle_delay());
        let ask = self.asks(key, Interval::Minutes(1), need.minutes_from, not_before);
        let minutes = calls.ask(ctx.now, ask);
        let long = match long {
            None => None,
            Some(Reply::Ready(answer)) => {
                let to = need.longer.map_or(need.minutes_from, |longer| longer.to);
                let bars = history::longer(&answer.candles, self.kind, &want, ctx.calendar, to);
                if bars.is_none() {
                    self.series[at].minutes_only = true;
                    return self.warm_up(ctx, key, calls, at);
                }
                bars
            }
            Some(Reply::Failed { refused: true, .. }) if !want.minutes_only => {
                self.series[at].minutes_only = true;
                return self.warm_up(ctx, key, calls, at);
            }
            Some(Reply::Failed { until, .. }) => {
                meters::warmed_up(false);
                self.wake_at(until);
                return false;
            }
            Some(Reply::Pending | Reply::Never) => return false,
        };
        match minutes {
            Reply::Ready(answer) => self.begin(ctx, at, &want, &need, long.as_deref(), &answer),
            Reply::Failed { until, .. } => {
                meters::warmed_up(false);
                self.wake_at(until);
                false
            }
            Reply::Pending | Reply::Never => false,
        }
    }

    /// Until when it is better not to ask yet.
    fn too_early(&self, ctx: &Ctx<'_>) -> Option<Mono> {
        let awaited = self.since.mono + FIRST_TICK;
        let is_open = || ctx.calendar.session(self.class, ctx.now.utc).is_some();
        if matches!(self.tape.flow, Flow::Off { .. }) && ctx.now.mono < awaited && is_open() {
            return Some(awaited);
        }
        // The candle of a minute that has just ended may not be whole.
        let settled = minute_of(ctx.now.utc) + ctx.settings.candle_delay();
        (ctx.now.utc < settled).then(|| Self::moment(ctx, settled))
    }

    /// Before when candles of minutes must not have been asked for: they would not meet the
    /// minutes that are kept.
    fn minutes_not_before(&self, delay: Duration) -> Utc {
        let from_ticks = match self.tape.flow {
            Flow::On { since, .. } if self.tape.at.is_none() => since,
            _ => Utc::from_nanos(i64::MIN),
        };
        let has_warm =
            (self.series.iter()).any(|series| series.entries.iter().any(|entry| !entry.cold));
        match self.tape.at {
            // The first minutes must have been final by then.
            Some(at) if has_warm => from_ticks.max(at + delay),
            _ => from_ticks,
        }
    }

    /// Makes the states of cold keys out of candles; false when there were too few, and
    /// more are asked for.
    fn begin(
        &mut self,
        ctx: &mut Ctx<'_>,
        at: usize,
        want: &Want,
        need: &Need,
        long: Option<&[Bar]>,
        answer: &Answer,
    ) -> bool {
        // Candles of minutes that began before this are final.
        let known_to = minute_of(answer.asked.utc - ctx.settings.candle_delay());
        let meets = self.tape.at.filter(|at| *at <= known_to);
        let end = meets.unwrap_or(known_to);
        let series = &self.series[at];
        let ids = || {
            let cold = series.entries.iter().filter(|entry| entry.cold);
            cold.map(|entry| &entry.id)
        };
        let mut state = State::new(want.timeframe, want.class, want.fill, true, ids());
        for bar in long.unwrap_or_default() {
            state.take(bar, ctx.calendar);
        }
        let from = if long.is_some() {
            need.minutes_from
        } else {
            Utc::from_nanos(i64::MIN)
        };
        for minute in history::minutes(&answer.candles, self.kind, from, end) {
            state.minute(&minute, ctx.calendar, |_, _| {});
        }
        state.close(end, ctx.calendar, |_, _| {});
        let is_short = state.bars < want.bars || (want.anchored && state.days < 2);
        if is_short && !want.all && !need.is_farthest {
            self.series[at].all = true;
            self.wake_at(ctx.now.mono);
            return false;
        }
        for study in &mut state.studies {
            study.left = 0;
        }
        if meets.is_none() {
            self.begin_at(ctx, end, answer);
        }
        self.series[at].begin(state);
        meters::warmed_up(true);
        true
    }

    /// The first candles of the instrument: what was computed without them does not count.
    fn begin_at(&mut self, ctx: &Ctx<'_>, known_to: Utc, answer: &Answer) {
        let far = Utc::from_nanos(i64::MAX);
        let seams = history::minutes(&answer.candles, self.kind, known_to, far).collect();
        self.tape.at = Some(known_to);
        self.tape.minutes.retain(|minute| minute.start >= known_to);
        self.tape.join(seams, known_to, answer.asked);
        for series in &mut self.series {
            series.reset(self.class, ctx.settings.fill);
        }
    }

    /// Repairs what candles can repair by now; true when something was.
    fn fill_holes(&mut self, ctx: &mut Ctx<'_>, key: InstrumentKey, calls: &mut Calls) -> bool {
        let mut repaired = false;
        for hole in self.tape.holes.clone() {
            let due = hole.to + ctx.settings.candle_delay() + AGAIN * u32::from(hole.tries);
            if ctx.now.utc < due {
                self.wake_at(Self::moment(ctx, due));
                repaired |= self.seam(ctx, key, calls, hole);
                continue;
            }
            let ask = Ask {
                urgency: Urgency::Repair,
                ..self.asks(key, Interval::Minutes(1), hole.from, due)
            };
            match calls.ask(ctx.now, ask) {
                Reply::Ready(answer) => repaired |= self.fill(ctx, hole, &answer),
                Reply::Failed { until, refused } => {
                    if refused || ctx.now.utc.since(hole.to) > GIVEN_UP {
                        self.give_up(hole);
                        repaired = true;
                    } else {
                        self.wake_at(until);
                    }
                }
                Reply::Pending | Reply::Never => {}
            }
        }
        repaired
    }

    /// Asks for the beginning of the minute in which ticks came again; true when it is there.
    fn seam(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: InstrumentKey,
        calls: &mut Calls,
        hole: Hole,
    ) -> bool {
        let Some(since) = hole.wants_seam(ctx.now.utc) else {
            return false;
        };
        // Keys that are cold ask by themselves, for more.
        if self.series.iter().all(Series::is_cold) {
            return false;
        }
        let ask = self.asks(key, Interval::Minutes(1), hole.from, since);
        let Reply::Ready(answer) = calls.ask(ctx.now, ask) else {
            return false;
        };
        let far = Utc::from_nanos(i64::MAX);
        let seams = history::minutes(&answer.candles, self.kind, hole.from, far).collect();
        self.tape.seam(hole, seams)
    }

    /// While no ticks come, candles are looked at now and then; true when there were some.
    fn catch_up(&mut self, ctx: &mut Ctx<'_>, key: InstrumentKey, calls: &mut Calls) -> bool {
        let Flow::Off {
            known_to: Some(known_to),
        } = self.tape.flow
        else {
            return false;
        };
        let lengths = self.series.iter().map(|series| series.timeframe.length());
        let every = lengths.min().unwrap_or(MINUTE).max(CATCH_UP);
        let due = known_to + every + ctx.settings.candle_delay();
        if ctx.now.utc < due {
            self.wake_at(Self::moment(ctx, due));
            return false;
        }
        let next = match ctx.calendar.session_before(self.class, ctx.now.utc) {
            Some(session) if known_to < session.close => None,
            _ => ctx.calendar.session_after(self.class, ctx.now.utc),
        };
        if let Some(next) = next {
            // Nothing trades until then.
            self.wake_at(Self::moment(ctx, next.open));
            return false;
        }
        let ask = Ask {
            urgency: Urgency::CatchUp,
            ..self.asks(key, Interval::Minutes(1), known_to, due)
        };
        match calls.ask(ctx.now, ask) {
            Reply::Ready(answer) => {
                let to = minute_of(answer.asked.utc - ctx.settings.candle_delay());
                let candles = history::minutes(&answer.candles, self.kind, known_to, to);
                let hole = Hole::new(known_to, to);
                self.tape.repair(hole, candles);
                self.tape.flow = Flow::Off { known_to: Some(to) };
                self.wake_at(Self::moment(ctx, to + every));
                true
            }
            Reply::Failed { until, .. } => {
                self.wake_at(until);
                false
            }
            Reply::Pending | Reply::Never => false,
        }
    }

    fn fill(&mut self, ctx: &Ctx<'_>, hole: Hole, answer: &Answer) -> bool {
        let candles: Vec<Bar> =
            history::minutes(&answer.candles, self.kind, hole.from, hole.to).collect();
        if hole.tries < TRIES && self.tape.unconfirmed(&hole, &candles) {
            // The broker's candles lag behind its ticks.
            if let Some(known) = self.tape.holes.iter_mut().find(|other| **other == hole) {
                known.tries += 1;
                let again =
                    hole.to + ctx.settings.candle_delay() + AGAIN * u32::from(hole.tries + 1);
                self.wake_at(Self::moment(ctx, again));
            }
            return false;
        }
        self.tape.repair(hole, candles.into_iter());
        meters::repaired(true);
        true
    }
}

/// Whether what a study says of `bar` is right.
fn is_trusted(tape: &Tape, state: &State, study: usize, id: &IndicatorId, bar: &Bar) -> bool {
    state.studies.get(study).is_some_and(|it| it.left == 0) && tape.is_known(bar, id.needs_volume())
}

/// Shows what the studies say after a bar that closed, where that is news.
fn show_final(
    state: &State,
    bar: &Bar,
    entries: &mut [super::series::Entry],
    tape: &Tape,
    values: &mut Vec<Value>,
) {
    for (at, entry) in entries.iter_mut().enumerate() {
        let value = state
            .studies
            .get(at)
            .and_then(super::series::Computed::value);
        let warm = value.is_some() && is_trusted(tape, state, at, &entry.id, bar);
        let shown = (bar.start, value, warm);
        if entry.shown.replace(shown) == Some(shown) {
            continue;
        }
        values.push(Value {
            key: entry.key.clone(),
            outputs: entry.id.outputs(),
            value,
            bar_time: bar.start,
            is_final: true,
            warm,
            streamed: entry.streamed,
        });
    }
}
