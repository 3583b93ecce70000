use super::past::{Bar, Past};
use super::time::{STEPS_PER_DAY, day_of};
use super::walk::{LEG, Levels, Walk};

/// All prices jump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    /// With this step.
    pub(super) at: u64,
    /// By this logarithm.
    pub(super) by: f64,
    /// Whether it is how a day opens, counted from the close before.
    pub(super) opens: bool,
}

/// What was done to a walk from outside.
#[derive(Debug, Clone, Copy)]
enum Event {
    Put(f64),
    Shift(f64),
    Reopen(f64),
}

impl Event {
    fn happen(self, walk: &mut Walk) {
        match self {
            Self::Put(home) => walk.put(home),
            Self::Shift(by) => walk.shift(by),
            Self::Reopen(by) => walk.reopen(by),
        }
    }
}

/// A walk, its levels at the step they were last asked for, and what is needed to walk
/// it again: its history is not kept but repeated.
#[derive(Debug)]
pub(super) struct Track {
    past: Past,
    /// The walk as it was when it began, or after steps were left out.
    origin: Walk,
    /// What happened since then, and when.
    events: Vec<(u64, Event)>,
    walk: Walk,
    at: u64,
    levels: Levels,
    /// How many of the market's jumps it has made.
    jumps: usize,
}

impl Track {
    pub(super) fn new(walk: Walk) -> Self {
        Self {
            past: walk.past(),
            origin: walk.clone(),
            events: Vec::new(),
            at: walk.step(),
            levels: walk.levels(),
            walk,
            jumps: 0,
        }
    }

    pub(super) const fn levels(&self) -> Levels {
        self.levels
    }

    /// The level around which it walks.
    pub(super) fn home(&self) -> f64 {
        self.walk.home()
    }

    pub(super) fn catch_up(&mut self, step: u64, jumps: &[Jump]) {
        let next = |made: usize| jumps.get(made).filter(|jump| jump.at <= step);
        if self.at == step && next(self.jumps).is_none() {
            return;
        }
        while let Some(jump) = next(self.jumps) {
            self.go_to(jump.at);
            self.happen(if jump.opens {
                Event::Reopen(jump.by)
            } else {
                Event::Shift(jump.by)
            });
            self.jumps += 1;
        }
        self.go_to(step);
        self.at = step;
        self.levels = self.walk.levels();
    }

    fn go_to(&mut self, step: u64) {
        if self.walk.skip(step) {
            self.origin = self.walk.clone();
            self.events.clear();
        }
        self.walk.advance(step);
    }

    /// Moves to the level with this logarithm, where it has been caught up to.
    pub(super) fn put(&mut self, home: f64) {
        self.happen(Event::Put(home));
        self.levels = self.walk.levels();
    }

    fn happen(&mut self, event: Event) {
        event.happen(&mut self.walk);
        self.events.push((self.walk.step(), event));
    }

    /// The bars of the minutes of days up to the one it was caught up to, its last
    /// minute as far as it has come. Days of which steps were left out are not whole.
    pub(super) fn minutes(&self, days: core::ops::RangeInclusive<u64>) -> Vec<Bar> {
        let mut bars = Vec::new();
        let last_made = (*days.end()).min(day_of(self.past.start));
        for day in *days.start()..=last_made {
            bars.extend(self.past.minutes(day));
        }
        self.repeat(|bar| {
            if days.contains(&day_of(bar.at)) {
                bars.push(bar);
            }
        });
        bars
    }

    /// The bars of whole days, the last one as far as it has come.
    pub(super) fn days(&self, days: core::ops::RangeInclusive<u64>) -> Vec<Bar> {
        let mut bars = Vec::new();
        let first = day_of(self.past.start);
        for day in *days.start()..=*days.end().min(&first) {
            if day < first {
                bars.push(self.past.day(day));
            } else {
                bars.extend(self.past.today());
            }
        }
        self.repeat(|bar| {
            let day = day_of(bar.at);
            if !days.contains(&day) {
                return;
            }
            match bars.last_mut().filter(|last| day_of(last.at) == day) {
                Some(last) => *last = last.join(bar),
                None => bars.push(bar),
            }
        });
        bars
    }

    /// Walks again from the origin, minute by minute. The last step of a minute is the
    /// first of the next one, except that of a day, after which the next one opens.
    fn repeat(&self, mut each: impl FnMut(Bar)) {
        let mut walk = self.origin.clone();
        let mut events = self.events.iter().peekable();
        let mut from = walk.step() / LEG * LEG;
        while from <= self.at {
            walk.advance(from.max(walk.step()));
            walk.begin_bar();
            let end = from + LEG;
            while let Some((step, event)) = events.next_if(|(step, _)| *step < end) {
                walk.advance(*step);
                event.happen(&mut walk);
            }
            let last = if end.is_multiple_of(STEPS_PER_DAY) {
                end - 1
            } else {
                end
            };
            walk.advance(last.min(self.at));
            each(walk.bar(from));
            from = end;
        }
    }
}
