//! Which candles an instrument asks for, when, and what it does with them.

use core::time::Duration;

use strikewire_broker::Interval;
use strikewire_indicators::Bar;
use strikewire_types::{InstrumentKey, Mono, Utc};

use super::{Ctx, Instrument};
use crate::indicators::engine::calls::{Answer, Ask, Calls, Reply, Urgency};
use crate::indicators::engine::history::{self, MINUTE, Need, Want, minute_of};
use crate::indicators::engine::meters;
use crate::indicators::engine::series::{Series, State};
use crate::indicators::engine::tape::{Flow, Hole};

/// How long the first tick is awaited before candles are asked for: with a tick of the
/// minute that forms, its beginning can be had at once.
const FIRST_TICK: Duration = Duration::from_millis(1_500);

/// How often a candle that is not there yet is asked for, and how much later each time.
const TRIES: u8 = 3;
const AGAIN: Duration = Duration::from_secs(10);

/// While no ticks come, candles are asked for this often at most, and half as often after
/// each answer that had none: that must not use up what the account may ask in a day.
const CATCH_UP: Duration = Duration::from_secs(300);
const RAREST_CATCH_UP: Duration = Duration::from_secs(3_600);

/// A hole that could not be repaired for this long is given up.
const GIVEN_UP: Duration = Duration::from_secs(1_800);

impl Instrument {
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
    pub(super) fn warm_up(
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
        let first = (long.and_then(|bars| bars.first()).map(|bar| bar.start))
            .or_else(|| answer.candles.first().map(|candle| candle.at.to_utc()));
        let from_listing = need.is_from_listing(first);
        for study in &mut state.studies {
            study.begin(state.days, from_listing);
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
    pub(super) fn fill_holes(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: InstrumentKey,
        calls: &mut Calls,
    ) -> bool {
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
    pub(super) fn catch_up(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: InstrumentKey,
        calls: &mut Calls,
    ) -> bool {
        let Flow::Off {
            known_to: Some(known_to),
        } = self.tape.flow
        else {
            return false;
        };
        let lengths = self.series.iter().map(|series| series.timeframe.length());
        // Connected, it only does not trade: nothing is missed from now on.
        let connected = self.heard && self.claim.is_held();
        let quiet = if connected { 0 } else { self.quiet };
        let rest = CATCH_UP.saturating_mul(2_u32.saturating_pow(quiet));
        let every = lengths
            .min()
            .unwrap_or(MINUTE)
            .max(rest.min(RAREST_CATCH_UP));
        // What a session ended with is not waited for longer than that.
        let close = ctx.calendar.session(self.class, known_to);
        let until = close.map_or(known_to + every, |it| (known_to + every).min(it.close));
        let due = until + ctx.settings.candle_delay();
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
        if connected {
            self.begin_flow(ctx);
            // What was missed until then is a hole.
            self.wake_at(ctx.now.mono + MINUTE);
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
                let candles: Vec<Bar> = candles.collect();
                self.quiet = if candles.is_empty() {
                    self.quiet.saturating_add(1)
                } else {
                    0
                };
                let hole = Hole::new(known_to, to);
                self.tape.repair(hole, candles.into_iter());
                self.tape.flow = Flow::Off { known_to: Some(to) };
                // Looked at again, so that it is known when.
                self.wake_at(ctx.now.mono + CATCH_UP);
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
