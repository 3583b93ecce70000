//! One instrument: its minutes, and the series that are made of them.

use core::time::Duration;

use strikewire_broker::InstrumentClass;
use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::{Bar, IndicatorId, Output, Timeframe};
use strikewire_leases::LeaseKey;
use strikewire_types::{InstrumentKey, Mono, Now, PriceStep, Utc};

use super::calls::Calls;
use super::claim::Claim;
use super::handle::ComputeState;
use super::history::{MINUTE, day_of, minute_of};
use super::series::{Series, State};
use super::tape::{Flow, Hole, Tape};
use super::{Settings, meters};

mod candles;

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
    /// Answers in a row without a candle while no ticks came.
    quiet: u32,
    /// Whether packets come, of trades or not, as far as is known.
    pub(super) heard: bool,
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
            quiet: 0,
            heard: false,
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

    pub(super) fn keys(&self) -> impl Iterator<Item = &LeaseKey> {
        let entries = self.series.iter().flat_map(|series| &series.entries);
        entries.map(|entry| &entry.key)
    }

    /// Says where keys are, of those that are elsewhere than was last said.
    pub(super) fn tell_states(&mut self, mut tell: impl FnMut(&LeaseKey, ComputeState)) {
        for series in &mut self.series {
            for (entry, study) in series.entries.iter_mut().zip(&series.live.studies) {
                let state = match self.claim {
                    Claim::Held if study.left == 0 => ComputeState::Warm,
                    Claim::Held | Claim::Asked { refusals: 0, .. } => ComputeState::Warming,
                    _ => ComputeState::OffWire,
                };
                if entry.state.replace(state) != Some(state) {
                    tell(&entry.key, state);
                }
            }
        }
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
            self.begin_flow(ctx);
        }
    }

    fn begin_flow(&mut self, ctx: &Ctx<'_>) {
        self.tape.begin_flow(ctx.now.utc);
        self.quiet = 0;
    }

    /// It has lost its place on the wire at `at`.
    pub(super) fn evict(&mut self, ctx: &Ctx<'_>, at: Utc) {
        self.claim = Claim::evicted(ctx.now.mono);
        self.heard = false;
        self.tape.end_flow(at);
    }

    /// A minute that was given out has missed trades.
    pub(super) fn lose(&mut self, ctx: &mut Ctx<'_>, start: Utc) {
        let is_known = match self.tape.flow {
            Flow::On { from, .. } => from <= start,
            Flow::Off { known_to } => known_to.is_some_and(|known_to| start < known_to),
        };
        if !is_known {
            // It is, or will be, asked for anyway.
            return;
        }
        if self.tape.at.is_some_and(|at| start < at) {
            self.begin_anew(ctx);
            return;
        }
        self.tape.miss(Hole::new(start, start + MINUTE));
        // What was shown of its bar, and of those after it, may be wrong.
        let Self { tape, series, .. } = self;
        for series in series {
            let Series { live, entries, .. } = series;
            if let Some(bar) = live.last {
                show_final(live, &bar, entries, tape, ctx.values);
            }
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
            self.heard = false;
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

    /// The clock was set: what was made of its time is worth nothing, and packets come to
    /// another builder.
    pub(super) fn restart(&mut self, ctx: &mut Ctx<'_>) {
        self.since = ctx.now;
        self.heard = false;
        self.tape.flow = Flow::Off { known_to: None };
        self.begin_anew(ctx);
    }

    /// Forgets minutes and bars, and waits for candles again. What was shown last is not
    /// trusted any more.
    pub(super) fn begin_anew(&mut self, ctx: &mut Ctx<'_>) {
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
            for entry in &mut series.entries {
                let Some((bar_time, value, warm @ true)) = &mut entry.shown else {
                    continue;
                };
                *warm = false;
                ctx.values.push(Value {
                    key: entry.key.clone(),
                    outputs: entry.id.outputs(),
                    value: *value,
                    bar_time: *bar_time,
                    is_final: true,
                    warm: false,
                    streamed: entry.streamed,
                });
            }
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
            if let Some(at) = calls.possible_at() {
                // What time has not made good until then is asked for.
                for entry in self.series.iter_mut().flat_map(|it| &mut it.entries) {
                    entry.cold = true;
                }
                self.wake_at(at);
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
