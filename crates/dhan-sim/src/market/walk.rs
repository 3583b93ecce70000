use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64;

use super::mix::{mix, unit};
use super::past::{Bar, Past};
use super::time::{STEPS_PER_DAY, STEPS_PER_SECOND, day_of};

/// How much of its distance from home a walk gives up per step: half of it in about
/// four hours. Together with a volatility of 0.12 % a minute this keeps an index
/// within about 1.5 % of its start most of the time.
const PULL: f64 = 1.25e-5;

/// A leg ends with each minute, and so with each day.
pub(super) const LEG: u64 = 60 * STEPS_PER_SECOND;
const _: () = assert!(STEPS_PER_DAY.is_multiple_of(LEG));

/// A walk is caught up by at most this many steps; what lies before is left out, so
/// that a clock which jumps by years does not stop the market for minutes.
const MOST_STEPS: u64 = 30 * STEPS_PER_DAY;

/// A day opens about as far from the close before as it goes in this many steps, 20
/// minutes: half a percent for an index of the usual volatility.
const GAP: f64 = 20.0 * LEG as f64;

/// The way one underlying goes: logarithms of its level, which is 1 at the start.
///
/// It goes in legs of a minute, whose end, high and low are known when they begin;
/// single steps are made only in a leg that is not over. So a fast clock, or one that
/// jumps, costs little: a day is 1,440 legs and not 345,600 steps.
///
/// It depends on its seed and the number of steps alone, not on how often it was
/// looked at.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    rng: Pcg64,
    seed: u64,
    step: u64,
    leg: Leg,
    sigma: f64,
    home: f64,
    /// From home.
    deviation: f64,
    day: u64,
    open: f64,
    high: f64,
    low: f64,
    prev_close: f64,
}

/// The way from one deviation to another, between which steps are a Brownian bridge.
#[derive(Debug, Clone)]
struct Leg {
    /// The step that it ends with.
    to: u64,
    end: f64,
    high: f64,
    low: f64,
    /// Chooses the steps.
    seed: u64,
}

impl Leg {
    /// One that is over.
    const fn over(to: u64, end: f64) -> Self {
        Self {
            to,
            end,
            high: end,
            low: end,
            seed: 0,
        }
    }

    /// From `start`, of steps with a standard deviation of `sigma`.
    fn new(from: u64, start: f64, sigma: f64, rng: &mut Pcg64) -> Self {
        let to = (from / LEG + 1) * LEG;
        let steps = (to - from) as f64;
        let spread = sigma * steps.sqrt();
        let end = start * (1.0 - PULL * steps) + spread * normal(rng.next_u64());
        Self {
            to,
            end,
            high: (start + end + beyond(end - start, spread, rng.next_u64())) / 2.0,
            low: (start + end - beyond(end - start, spread, rng.next_u64())) / 2.0,
            seed: rng.next_u64(),
        }
    }

    /// The deviation at `step`, before the end, from the one a step earlier.
    fn step(&self, step: u64, before: f64, sigma: f64) -> f64 {
        let left = (self.to - step) as f64;
        let drift = (self.end - before) / (left + 1.0);
        let noise = (left / (left + 1.0)).sqrt() * normal(mix(self.seed, step));
        (before + drift + sigma * noise).clamp(self.low, self.high)
    }
}

/// How far a Brownian bridge of that spread goes beyond its ends, which lie `rise`
/// apart, and back.
pub(super) fn beyond(rise: f64, spread: f64, bits: u64) -> f64 {
    let random = 1.0 - unit(bits);
    (rise * rise - 2.0 * spread * spread * random.ln()).sqrt()
}

/// How far a walk gets away from home, in standard deviations of one step.
pub(super) fn reach() -> f64 {
    (2.0 * PULL).sqrt().recip()
}

/// How far `day` opens from the close before, a logarithm: up or down, never nowhere.
pub(super) fn opening_gap(seed: u64, day: u64, sigma: f64) -> f64 {
    let random = mix(seed ^ 0x6a9, day);
    let size = sigma * GAP.sqrt() * (0.5 + unit(random));
    if random & 1 == 0 { size } else { -size }
}

/// Four uniform numbers are close enough to a normal one.
pub(super) fn normal(bits: u64) -> f64 {
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    // Their variance is 1/3.
    (sum as f64 / 65_536.0 - 2.0) * 1.732_050_8
}

/// Levels at one moment, as multiples of the starting price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    pub(super) last: f64,
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) prev_close: f64,
}

impl Walk {
    /// `sigma` is the standard deviation of one step.
    pub(super) fn new(seed: u64, start: u64, sigma: f64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let prev_close = (unit(rng.next_u64()) - 0.5) * 0.01;
        let mut walk = Self {
            rng,
            seed,
            step: start,
            leg: Leg::over(start, 0.0),
            sigma,
            home: 0.0,
            deviation: 0.0,
            day: day_of(start),
            open: 0.0,
            high: 0.0,
            low: 0.0,
            prev_close,
        };
        if let Some(before) = walk.past().today() {
            walk.open = before.open;
            walk.high = before.high;
            walk.low = before.low;
        }
        walk
    }

    /// What was before it began; for one that has gone nowhere yet.
    pub(super) fn past(&self) -> Past {
        Past {
            seed: self.seed,
            sigma: self.sigma,
            start: self.step,
            prev_close: self.prev_close,
        }
    }

    /// Leaves out what lies too long before `to`; whether there was anything.
    pub(super) fn skip(&mut self, to: u64) -> bool {
        let earliest = to.saturating_sub(MOST_STEPS) / LEG * LEG;
        let is_late = earliest > self.leg.to;
        if is_late {
            self.step = earliest;
            self.deviation = self.leg.end;
            self.leg = Leg::over(earliest, self.leg.end);
            self.day = day_of(earliest);
        }
        is_late
    }

    pub(super) fn advance(&mut self, to: u64) {
        while self.step < to {
            if self.step == self.leg.to {
                self.leg = Leg::new(self.step, self.deviation, self.sigma, &mut self.rng);
            }
            if to < self.leg.to {
                self.step_to(to);
            } else {
                self.finish_leg();
            }
        }
    }

    /// Within the leg.
    fn step_to(&mut self, to: u64) {
        while self.step < to {
            self.step += 1;
            self.deviation = self.leg.step(self.step, self.deviation, self.sigma);
            self.touch();
        }
    }

    fn finish_leg(&mut self) {
        let day = day_of(self.leg.to);
        if day == self.day {
            self.high = self.high.max(self.home + self.leg.high);
            self.low = self.low.min(self.home + self.leg.low);
        } else {
            self.step_to(self.leg.to - 1);
            self.prev_close = self.home + self.deviation;
            self.leg.end += opening_gap(self.seed, day, self.sigma);
            self.begin(self.home + self.leg.end);
            self.day = day;
        }
        self.step = self.leg.to;
        self.deviation = self.leg.end;
        self.touch();
    }

    /// At `level`, a time begins of which the first, highest and lowest are kept.
    fn begin(&mut self, level: f64) {
        (self.open, self.high, self.low) = (level, level, level);
    }

    fn touch(&mut self) {
        let level = self.home + self.deviation;
        self.high = self.high.max(level);
        self.low = self.low.min(level);
    }

    /// Moves to the level with this logarithm and stays around there.
    pub(super) fn put(&mut self, home: f64) {
        self.home = home;
        self.deviation = 0.0;
        self.leg = if self.step == self.leg.to {
            Leg::over(self.step, 0.0)
        } else {
            Leg::new(self.step, 0.0, self.sigma, &mut self.rng)
        };
        self.touch();
    }

    /// Jumps by `by`, a logarithm, and goes on around there.
    pub(super) fn shift(&mut self, by: f64) {
        self.home += by;
        self.touch();
    }

    /// The day, which has just begun, opens `by` from the close before, a logarithm,
    /// and not where it would have; it goes on around there.
    pub(super) fn reopen(&mut self, by: f64) {
        let level = self.prev_close + by;
        self.home += level - (self.home + self.deviation);
        self.begin(level);
    }

    /// Forgets what was highest and lowest, for a bar that begins here.
    pub(super) fn begin_bar(&mut self) {
        self.begin(self.home + self.deviation);
    }

    /// The bar that was begun at `at`.
    pub(super) const fn bar(&self, at: u64) -> Bar {
        Bar {
            at,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.home + self.deviation,
        }
    }

    pub(super) const fn step(&self) -> u64 {
        self.step
    }

    /// The level around which it walks.
    pub(super) fn home(&self) -> f64 {
        self.home.exp()
    }

    pub(super) fn levels(&self) -> Levels {
        Levels {
            last: (self.home + self.deviation).exp(),
            open: self.open.exp(),
            high: self.high.exp(),
            low: self.low.exp(),
            prev_close: self.prev_close.exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGMA: f64 = 7.5e-5;

    #[test]
    fn looking_often_does_not_change_the_way() {
        let mut once = Walk::new(7, 1_000, SIGMA);
        once.advance(1_000 + 5_000);
        let mut often = Walk::new(7, 1_000, SIGMA);
        for step in 1_000..=6_000 {
            often.advance(step);
            let levels = often.levels();
            assert!(levels.low <= levels.last && levels.last <= levels.high);
            assert!(levels.low <= levels.open && levels.open <= levels.high);
        }
        assert_eq!(once.levels(), often.levels());
        let mut other = Walk::new(8, 1_000, SIGMA);
        other.advance(6_000);
        assert_ne!(once.levels(), other.levels());
    }

    #[test]
    fn a_day_hands_its_last_level_to_the_next() {
        let midnight = 20_000 * STEPS_PER_DAY;
        let mut walk = Walk::new(1, midnight - 100, SIGMA);
        walk.advance(midnight - 1);
        let before = walk.levels();
        walk.advance(midnight);
        let after = walk.levels();
        assert_eq!(after.prev_close, before.last);
        assert_eq!(
            (after.open, after.high, after.low),
            (after.last, after.last, after.last)
        );
        // The gap of a day, half to one and a half times what 20 minutes bring, and
        // the quarter of a second in which it happened.
        let gap = (after.open / before.last).ln().abs() / (SIGMA * 4_800_f64.sqrt());
        assert!((0.4..1.6).contains(&gap), "{gap}");
        walk.reopen(1.05_f64.ln());
        let scripted = walk.levels();
        assert!((scripted.last / before.last - 1.05).abs() < 1e-12);
        assert_eq!(scripted.open, scripted.last);
        assert_eq!(scripted.prev_close, before.last);
    }

    #[test]
    fn a_market_that_stands_still_opens_where_it_closed() {
        let mut walk = Walk::new(1, 5, 0.0);
        walk.advance(10 * STEPS_PER_DAY);
        let Levels {
            last, open, high, ..
        } = walk.levels();
        assert_eq!((last, open, high), (1.0, 1.0, 1.0));
    }

    #[test]
    fn it_moves_and_comes_back() {
        let mut walk = Walk::new(3, 0, SIGMA);
        let (mut moved, mut farthest) = (0, 0.0_f64);
        let mut mark = walk.levels().last;
        // Three days, looked at once a minute.
        for minute in 1..=3 * 24 * 60 {
            walk.advance(minute * 240);
            let last = walk.levels().last;
            farthest = farthest.max((last - 1.0).abs());
            // A strike step of NIFTY, 50 in 25,500.
            if (last - mark).abs() > 0.002 {
                moved += 1;
                mark = last;
            }
        }
        assert!((600..2_500).contains(&moved), "{moved} steps in three days");
        assert!(farthest < 0.08, "{farthest}");
    }

    #[test]
    fn it_can_be_put_somewhere() {
        let mut walk = Walk::new(3, 0, SIGMA);
        walk.advance(1_000);
        walk.put(1.1_f64.ln());
        assert!((walk.levels().last - 1.1).abs() < 1e-12);
        assert!((walk.levels().high - 1.1).abs() < 1e-12);
        walk.advance(1_400);
        assert!((walk.levels().last - 1.1).abs() < 0.02);
    }

    #[test]
    fn a_shift_is_kept() {
        let mut walks = [Walk::new(3, 0, SIGMA), Walk::new(3, 0, SIGMA)];
        walks[0].advance(1_000);
        let before = walks[0].levels();
        walks[0].shift(1.02_f64.ln());
        let after = walks[0].levels();
        assert!((after.last / before.last - 1.02).abs() < 1e-12);
        assert_eq!((after.open, after.low), (before.open, before.low));
        assert!(after.high >= after.last);
        for walk in &mut walks {
            walk.advance(50_000);
        }
        let [shifted, plain] = walks.map(|walk| walk.levels().last);
        assert!((shifted / plain - 1.02).abs() < 1e-12);
    }

    /// Legs and the steps in them are one walk: over any time it varies by its sigma, a
    /// little less within a leg, whose high and low cut its steps.
    #[test]
    fn steps_and_legs_vary_alike() {
        let spread = |stride: u64| {
            let mut walk = Walk::new(11, 0, SIGMA);
            let mut last = 0.0;
            let mut sum = 0.0;
            let count = 20_000;
            for i in 1..=count {
                walk.advance(i * stride);
                let level = walk.levels().last.ln();
                sum += (level - last) * (level - last);
                last = level;
            }
            (sum / count as f64 / stride as f64).sqrt() / SIGMA
        };
        for stride in [1, 7, 60, 240, 330] {
            let ratio = spread(stride);
            assert!((0.85..1.1).contains(&ratio), "{stride}: {ratio}");
        }
    }

    #[test]
    fn a_jump_of_years_takes_no_years() {
        let mut walk = Walk::new(3, 0, SIGMA);
        assert!(walk.skip(u64::MAX / 2));
        walk.advance(u64::MAX / 2);
        assert!(!walk.skip(u64::MAX / 2 + 1));
        assert!(walk.levels().last > 0.0);
    }
}
