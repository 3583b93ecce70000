//! What was before the market opened.

use super::mix::mix;
use super::time::{STEPS_PER_DAY, day_of};
use super::walk::{LEG, beyond, normal, opening_gap, reach};

/// The way of a walk over some time, logarithms of its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    /// The step that the time begins with.
    pub(super) at: u64,
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) close: f64,
}

impl Bar {
    /// Together with one that follows it.
    pub(super) const fn join(self, next: Self) -> Self {
        Self {
            at: self.at,
            open: self.open,
            high: self.high.max(next.high),
            low: self.low.min(next.low),
            close: next.close,
        }
    }
}

const HOUR: u64 = 60 * LEG;
const _: () = assert!(STEPS_PER_DAY.is_multiple_of(HOUR));

/// The days before a walk began, at a level of 1, and the hours of its first day.
///
/// A walk goes forward only, so this is another one that leads to its beginning. Where
/// a day opens and closes and how far it goes follows from the seed and the day alone;
/// hours are made from their day, minutes from their hour, such that their extremes are
/// the day's. So a year of days costs no more than a year of days.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    pub(super) seed: u64,
    /// Standard deviation of one step.
    pub(super) sigma: f64,
    /// The step with which the walk began.
    pub(super) start: u64,
    /// Of the day before that one.
    pub(super) prev_close: f64,
}

impl Past {
    /// The minutes up to here are made here; the one in which the walk began is not.
    pub(super) const fn end(&self) -> u64 {
        self.start / LEG * LEG
    }

    /// The first day's hours before the walk began; none if it began with the day.
    pub(super) fn today(&self) -> Option<Bar> {
        let day = day_of(self.start);
        let steps = self.end() - day * STEPS_PER_DAY;
        if steps == 0 {
            return None;
        }
        let seed = self.seed_of(day);
        let open = self.sigma * (steps as f64).sqrt().min(reach()) * normal(mix(seed, 4));
        Some(self.bar(day * STEPS_PER_DAY, steps, (open, 0.0), seed))
    }

    /// A day before that.
    pub(super) fn day(&self, day: u64) -> Bar {
        let open = self.close(day.saturating_sub(1)) + opening_gap(self.seed, day, self.sigma);
        let way = (open, self.close(day));
        self.bar(day * STEPS_PER_DAY, STEPS_PER_DAY, way, self.seed_of(day))
    }

    fn close(&self, day: u64) -> f64 {
        if day + 1 == day_of(self.start) {
            return self.prev_close;
        }
        self.sigma * reach() * normal(mix(self.seed_of(day), 5))
    }

    fn seed_of(&self, day: u64) -> u64 {
        mix(self.seed ^ 0x9a57, day)
    }

    /// The bars of the minutes of a day up to the walk's beginning.
    pub(super) fn minutes(&self, day: u64) -> impl Iterator<Item = Bar> {
        let from = day * STEPS_PER_DAY;
        let whole = if day == day_of(self.start) {
            self.today().map(|bar| (bar, self.end()))
        } else {
            (from < self.end()).then(|| (self.day(day), from + STEPS_PER_DAY))
        };
        let this = *self;
        whole
            .into_iter()
            .flat_map(move |(bar, to)| this.split(bar, to, HOUR, this.seed_of(day)))
            .flat_map(move |(bar, to)| this.split(bar, to, LEG, mix(this.seed, bar.at)))
            .map(|(bar, _)| bar)
    }

    /// Cuts a bar that lasts up to `to` into bars that end with each multiple of
    /// `length`, one of which goes as high and one as low as the whole. With each, where
    /// it ends.
    fn split(&self, whole: Bar, to: u64, length: u64, seed: u64) -> Vec<(Bar, u64)> {
        let mut parts: Vec<(Bar, u64)> = Vec::with_capacity(60);
        let (mut at, mut level) = (whole.at, whole.open);
        while at < to {
            let end = ((at / length + 1) * length).min(to);
            let (left, steps) = ((to - at) as f64, (end - at) as f64);
            let seed = mix(seed, at);
            let close = if end == to {
                whole.close
            } else {
                let drift = (whole.close - level) * steps / left;
                let noise = (steps * (left - steps) / left).sqrt() * normal(mix(seed, 4));
                (level + drift + self.sigma * noise).clamp(whole.low, whole.high)
            };
            let mut part = self.bar(at, end - at, (level, close), seed);
            part.high = part.high.min(whole.high);
            part.low = part.low.max(whole.low);
            parts.push((part, end));
            (at, level) = (end, close);
        }
        let highest = parts
            .iter_mut()
            .max_by(|a, b| a.0.high.total_cmp(&b.0.high));
        if let Some((part, _)) = highest {
            part.high = whole.high;
        }
        let lowest = parts.iter_mut().min_by(|a, b| a.0.low.total_cmp(&b.0.low));
        if let Some((part, _)) = lowest {
            part.low = whole.low;
        }
        parts
    }

    /// Of so many steps, from one level to another. It goes no farther than what calls
    /// the walk home allows.
    fn bar(&self, at: u64, steps: u64, (open, close): (f64, f64), seed: u64) -> Bar {
        let spread = self.sigma * (steps as f64).sqrt().min(2.0 * reach());
        let beyond = |bits| beyond(close - open, spread, bits);
        let high = (open + close + beyond(mix(seed, 1))) / 2.0;
        let low = (open + close - beyond(mix(seed, 2))) / 2.0;
        Bar {
            at,
            open,
            high: high.max(open).max(close),
            low: low.min(open).min(close),
            close,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGMA: f64 = 7.5e-5;

    fn past(start: u64, sigma: f64) -> Past {
        Past {
            seed: 7,
            sigma,
            start,
            prev_close: 0.004,
        }
    }

    fn check_day(past: &Past, day: u64, whole: Bar, to: u64) {
        let minutes: Vec<Bar> = past.minutes(day).collect();
        let times: Vec<u64> = minutes.iter().map(|bar| bar.at).collect();
        let expected: Vec<u64> = (day * STEPS_PER_DAY..to).step_by(LEG as usize).collect();
        assert_eq!(times, expected);
        for bar in &minutes {
            assert!(bar.low <= bar.open.min(bar.close), "{bar:?}");
            assert!(bar.high >= bar.open.max(bar.close), "{bar:?}");
        }
        for pair in minutes.windows(2) {
            assert_eq!(pair[0].close, pair[1].open);
        }
        let joined = minutes.iter().copied().reduce(Bar::join).unwrap();
        assert_eq!(joined, whole);
    }

    #[test]
    fn days_are_what_their_minutes_add_up_to() {
        let start = 20_000 * STEPS_PER_DAY + 10 * HOUR + 17 * LEG + 5;
        let past = past(start, SIGMA);
        for day in 19_990..20_000 {
            let whole = past.day(day);
            check_day(&past, day, whole, (day + 1) * STEPS_PER_DAY);
            let gap = (whole.open - past.close(day - 1)).abs() / SIGMA;
            assert!((30.0..110.0).contains(&gap), "{gap}");
            assert!(whole.high - whole.low < 0.2, "{whole:?}");
        }
        assert_eq!(past.day(19_999).close, 0.004);
        let today = past.today().unwrap();
        assert_eq!(today.close, 0.0);
        check_day(&past, 20_000, today, past.end());
        assert_eq!(past.minutes(20_001).count(), 0);
    }

    #[test]
    fn a_market_that_stands_still_stood_still() {
        let past = past(20_000 * STEPS_PER_DAY + HOUR, 0.0);
        let today = past.today().unwrap();
        assert_eq!((today.open, today.high, today.low), (0.0, 0.0, 0.0));
        assert_eq!(past.day(19_000).high, 0.0);
    }

    proptest! {
        #[test]
        fn any_beginning_has_a_past(start in 0..40_000 * STEPS_PER_DAY, sigma in 0.0..0.01_f64) {
            let past = past(start, sigma);
            let day = day_of(start);
            match past.today() {
                Some(today) => check_day(&past, day, today, past.end()),
                None => prop_assert_eq!(past.minutes(day).count(), 0),
            }
        }
    }

    #[test]
    fn its_minutes_vary_as_the_walk_does() {
        let past = past(20_000 * STEPS_PER_DAY, SIGMA);
        let minutes: Vec<Bar> = (19_980..20_000).flat_map(|day| past.minutes(day)).collect();
        let squares = minutes.iter().map(|bar| (bar.close - bar.open).powi(2));
        let spread = (squares.sum::<f64>() / minutes.len() as f64).sqrt();
        let ratio = spread / (SIGMA * (LEG as f64).sqrt());
        assert!((0.85..1.15).contains(&ratio), "{ratio}");
        let first = minutes[0];
        assert!(first.high > first.low);
    }
}
