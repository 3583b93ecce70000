//! The bars of one timeframe, and the studies that advance with them.

use strikewire_calendar::{Calendar, Class};
use strikewire_indicators::{
    Aggregator, AnyStudy, Bar, Fill, IndicatorId, Output, Study, Timeframe,
};
use strikewire_leases::LeaseKey;
use strikewire_types::Utc;

use super::handle::ComputeState;
use super::history::day_of;

/// What an aggregator and studies have made of the minutes up to some point.
#[derive(Debug, Clone)]
pub(super) struct State {
    class: Class,
    aggregator: Aggregator,
    pub(super) studies: Vec<Computed>,
    /// The last bar that closed.
    pub(super) last: Option<Bar>,
    /// Bars that closed, and days that they are of.
    pub(super) bars: usize,
    pub(super) days: usize,
    /// The day of the last one.
    day: Option<i32>,
}

/// A study, and how far it can be trusted.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    study: AnyStudy,
    pub(super) warm_up: usize,
    /// Complete bars that it still needs until its value is right. Of one that begins anew
    /// with every day it is openings.
    pub(super) left: usize,
    anchored: bool,
}

impl Computed {
    fn new(id: &IndicatorId) -> Self {
        let study = id.build();
        let warm_up = study.warm_up();
        Self {
            study,
            warm_up,
            left: warm_up,
            anchored: id.anchored(),
        }
    }

    fn update(&mut self, bar: &Bar, day: i32, opens: bool) {
        self.study.update(&bar.ohlcv(day));
        if !bar.complete {
            self.left = self.warm_up;
        } else if opens || !self.anchored {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Begins with candles of `days` days. `from_listing`: there were none before them, so
    /// nothing is missing.
    pub(super) const fn begin(&mut self, days: usize, from_listing: bool) {
        // The open of a session is all that one needs that begins anew with it.
        if from_listing || (self.anchored && days >= 2) {
            self.left = 0;
        }
    }

    pub(super) fn value(&self) -> Option<Output> {
        self.study.value()
    }
}

impl State {
    /// Before any bar. `whole`: it will be given everything from the start of a bar on.
    pub(super) fn new<'a>(
        timeframe: Timeframe,
        class: Class,
        fill: Fill,
        whole: bool,
        ids: impl Iterator<Item = &'a IndicatorId>,
    ) -> Self {
        let mut aggregator = Aggregator::new(timeframe, class, fill);
        if whole {
            aggregator = aggregator.whole();
        }
        Self {
            class,
            aggregator,
            studies: ids.map(Computed::new).collect(),
            last: None,
            bars: 0,
            days: 0,
            day: None,
        }
    }

    /// Takes a bar of the timeframe itself.
    pub(super) fn take(&mut self, bar: &Bar, calendar: &Calendar) {
        let day = day_of(calendar, self.class, bar.start);
        let opens = self.day.is_some_and(|before| before != day);
        for computed in &mut self.studies {
            computed.update(bar, day, opens);
        }
        self.days += usize::from(self.day != Some(day));
        self.day = Some(day);
        self.last = Some(*bar);
        self.bars += 1;
    }

    /// Takes a minute; `each` sees the state after every bar that closes.
    pub(super) fn minute(
        &mut self,
        minute: &Bar,
        calendar: &Calendar,
        mut each: impl FnMut(&Self, &Bar),
    ) {
        let mut closed = Closed::default();
        (self.aggregator).minute(minute, calendar, &mut |bar| closed.push(bar));
        closed.give(|bar| {
            self.take(&bar, calendar);
            each(self, &bar);
        });
    }

    /// Minutes between two times are lost.
    pub(super) fn lose(&mut self, from: Utc, to: Utc) {
        self.aggregator.gap(from, to);
        for computed in &mut self.studies {
            computed.left = computed.warm_up;
        }
    }

    /// Closes what ended by `until`: all minutes up to then were given.
    pub(super) fn close(
        &mut self,
        until: Utc,
        calendar: &Calendar,
        mut each: impl FnMut(&Self, &Bar),
    ) {
        let mut closed = Closed::default();
        self.aggregator.close(until, &mut |bar| closed.push(bar));
        closed.give(|bar| {
            self.take(&bar, calendar);
            each(self, &bar);
        });
    }

    /// The bar that forms, with the minutes that are not final.
    pub(super) fn forming(&self, minutes: &[Bar], calendar: &Calendar) -> Option<Bar> {
        self.aggregator.forming(minutes, calendar)
    }

    /// What a study would say if `bar` closed now.
    pub(super) fn peek(&self, study: usize, bar: &Bar, day: i32) -> Option<Output> {
        self.studies.get(study)?.study.peek(&bar.ohlcv(day))
    }
}

/// Bars that one minute closed: mostly none or one, more only where times without trades
/// are filled.
#[derive(Default)]
struct Closed {
    first: Option<Bar>,
    more: Vec<Bar>,
}

impl Closed {
    fn push(&mut self, bar: Bar) {
        if self.first.is_none() {
            self.first = Some(bar);
        } else {
            self.more.push(bar);
        }
    }

    fn give(self, each: impl FnMut(Bar)) {
        self.first.into_iter().chain(self.more).for_each(each);
    }
}

/// One timeframe of an instrument.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) timeframe: Timeframe,
    /// In the order of the studies of both states.
    pub(super) entries: Vec<Entry>,
    /// After the minutes that nothing will change any more: from here everything is
    /// computed again when a later one is repaired.
    pub(super) settled: State,
    /// After all minutes.
    pub(super) live: State,
    /// The broker has no candles of this length that fit.
    pub(super) minutes_only: bool,
    /// There were too few candles: all there are.
    pub(super) all: bool,
    /// The bar that the last values of a forming one were computed of.
    pub(super) peeked: Option<Bar>,
}

/// A key that is computed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: LeaseKey,
    pub(super) id: IndicatorId,
    /// Whether somebody streams it.
    pub(super) streamed: bool,
    /// Whether it has not seen the candles of the past.
    pub(super) cold: bool,
    /// The last final value that was shown: of which bar, what, and whether it was warm.
    pub(super) shown: Option<(Utc, Option<Output>, bool)>,
    /// What the board says of it.
    pub(super) state: Option<ComputeState>,
}

impl Series {
    pub(super) fn new(timeframe: Timeframe, class: Class, fill: Fill) -> Self {
        let state = State::new(timeframe, class, fill, false, core::iter::empty());
        Self {
            timeframe,
            entries: Vec::new(),
            settled: state.clone(),
            live: state,
            minutes_only: false,
            all: false,
            peeked: None,
        }
    }

    /// Adds a key, or changes whether it is streamed: true if it was and is not any more.
    pub(super) fn add(&mut self, key: LeaseKey, id: IndicatorId, streamed: bool) -> bool {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            let was_streamed = core::mem::replace(&mut entry.streamed, streamed) && !streamed;
            if was_streamed {
                entry.shown = None;
            }
            return was_streamed;
        }
        self.settled.studies.push(Computed::new(&id));
        self.live.studies.push(Computed::new(&id));
        self.entries.push(Entry {
            key,
            id,
            streamed,
            cold: true,
            shown: None,
            state: None,
        });
        false
    }

    pub(super) fn remove(&mut self, key: &LeaseKey) {
        if let Some(at) = self.entries.iter().position(|entry| entry.key == *key) {
            self.entries.swap_remove(at);
            self.settled.studies.swap_remove(at);
            self.live.studies.swap_remove(at);
        }
    }

    pub(super) fn is_cold(&self) -> bool {
        self.entries.iter().any(|entry| entry.cold)
    }

    /// Forgets what was computed: before any minute.
    pub(super) fn reset(&mut self, class: Class, fill: Fill) {
        let ids = self.entries.iter().map(|entry| &entry.id);
        self.settled = State::new(self.timeframe, class, fill, false, ids);
        self.live = self.settled.clone();
        self.all = false;
        for entry in &mut self.entries {
            entry.cold = true;
        }
    }

    /// Gives keys that were cold what was made of the candles for them, which ends where
    /// the settled state is.
    pub(super) fn begin(&mut self, mut begun: State) {
        let all = self.entries.iter().all(|entry| entry.cold);
        let mut studies = core::mem::take(&mut begun.studies).into_iter();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if entry.cold
                && let Some(computed) = studies.next()
            {
                self.settled.studies[at] = computed;
                entry.cold = false;
            }
        }
        if all {
            let studies = core::mem::take(&mut self.settled.studies);
            self.settled = State { studies, ..begun };
        }
    }
}
