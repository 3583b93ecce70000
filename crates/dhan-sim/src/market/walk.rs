use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64;

use super::mix::unit;
use super::time::{STEPS_PER_DAY, day_of};

/// How much of its distance from home a walk gives up per step: half of it in about
/// four hours. Together with a volatility of 0.12 % a minute this keeps an index
/// within about 1.5 % of its start most of the time.
const PULL: f64 = 1.25e-5;

/// A walk is caught up by at most this many steps; what lies before is left out, so
/// that a clock which jumps by years does not stop the market for minutes.
const MOST_STEPS: u64 = 10 * STEPS_PER_DAY;

/// The way one underlying goes: logarithms of its level, which is 1 at the start.
///
/// It depends on its seed and the number of steps alone, not on how often it was
/// looked at.
#[derive(Debug)]
pub(super) struct Walk {
    rng: Pcg64,
    step: u64,
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
        Self {
            rng,
            step: start,
            sigma,
            home: 0.0,
            deviation: 0.0,
            day: day_of(start),
            open: 0.0,
            high: 0.0,
            low: 0.0,
            prev_close,
        }
    }

    pub(super) fn advance(&mut self, to: u64) {
        self.step = self.step.max(to.saturating_sub(MOST_STEPS));
        while self.step < to {
            self.step += 1;
            if self.step >= (self.day + 1) * STEPS_PER_DAY {
                self.day = day_of(self.step);
                self.prev_close = self.home + self.deviation;
                self.move_by_one();
                let level = self.home + self.deviation;
                (self.open, self.high, self.low) = (level, level, level);
            } else {
                self.move_by_one();
                self.touch();
            }
        }
    }

    fn move_by_one(&mut self) {
        // Four uniform numbers are close enough to a normal one: variance 1/3.
        let bits = self.rng.next_u64();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        let noise = (sum as f64 / 65_536.0 - 2.0) * 1.732_050_8;
        self.deviation += self.sigma * noise - PULL * self.deviation;
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
        self.touch();
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
    fn a_jump_of_years_takes_no_years() {
        let mut walk = Walk::new(3, 0, SIGMA);
        walk.advance(u64::MAX / 2);
        assert!(walk.levels().last > 0.0);
    }
}
