//! How much of an instrument is traded and held. Nothing is remembered: both follow
//! from the instrument's salt and the time.

use strikewire_registry::Kind;

use super::listing::Listing;
use super::mix::{mix, unit};
use super::quote::Interest;
use super::time::{STEPS_PER_DAY, day_of};

/// What a day's trade is at most, as a multiple of the usual.
const BUSIEST: f64 = 1.3;

/// Open interest is known at these many points of a day; between them it moves evenly.
const KNOTS: u64 = 8;

impl Listing {
    const fn is_index(&self) -> bool {
        matches!(self.kind, Kind::Index)
    }

    /// Traded up to and with `step` on its day, on which so many lots are usual: 0 with
    /// the first one. It grows in proportion to the day, by a little more or less at
    /// each step.
    pub(super) fn volume(&self, step: u64, daily_lots: u64) -> u32 {
        let passed = step % STEPS_PER_DAY;
        if self.is_index() || passed == 0 {
            return 0;
        }
        let busy = BUSIEST - 0.6 * unit(mix(self.salt ^ 0xb5, day_of(step)));
        let passed = (passed as f64 + unit(mix(!self.salt, step))) / STEPS_PER_DAY as f64;
        let lots = (daily_lots as f64 * busy * passed) as u64;
        u32::try_from(lots * u64::from(self.lot)).unwrap_or(u32::MAX)
    }

    /// Open interest at `step`; absent where there is none.
    pub(super) fn interest(&self, step: u64) -> Option<Interest> {
        if matches!(self.kind, Kind::Index | Kind::Equity) {
            return None;
        }
        const PART: u64 = STEPS_PER_DAY / KNOTS;
        const { assert!(STEPS_PER_DAY.is_multiple_of(KNOTS)) };
        let day = day_of(step);
        let ends = (self.held_after(day.saturating_sub(1)), self.held_after(day));
        let (whole, part) = (step % STEPS_PER_DAY / PART, step % PART);
        let prev = ends.0;
        let (mut now, mut high, mut low) = (prev, prev, prev);
        for knot in 1..=whole {
            now = self.held_at(day, knot, ends);
            (high, low) = (high.max(now), low.min(now));
        }
        if part > 0 {
            let next = self.held_at(day, whole + 1, ends);
            now += (next - now) * part as f64 / PART as f64;
            (high, low) = (high.max(now), low.min(now));
        }
        let quantity = |lots: f64| lots as u32 * self.lot;
        Some(Interest {
            now: quantity(now),
            high: quantity(high),
            low: quantity(low),
            prev: quantity(prev),
        })
    }

    /// Lots held at the end of a day: what is usual, and a twentieth more or less.
    fn held_after(&self, day: u64) -> f64 {
        self.held() * (0.95 + 0.1 * unit(mix(self.salt ^ 0x01, day)))
    }

    /// Lots held at a knot of a day.
    fn held_at(&self, day: u64, knot: u64, (from, to): (f64, f64)) -> f64 {
        if knot == KNOTS {
            return to;
        }
        let wave = 0.06 * (unit(mix(self.salt ^ 0x02, day * KNOTS + knot)) - 0.5);
        from + (to - from) * knot as f64 / KNOTS as f64 + self.held() * wave
    }

    /// Lots that are usually held, less than the wire can count.
    fn held(&self) -> f64 {
        let most = u64::from(u32::MAX / 4) / u64::from(self.lot.max(1));
        (200 + self.salt % 20_000).min(most.max(1)) as f64
    }
}

/// The most lots that may be usual on a day, so that the wire can count them.
pub(super) fn most_lots(lot: u32) -> u64 {
    u64::from(u32::MAX / 2) / u64::from(lot.max(1))
}
