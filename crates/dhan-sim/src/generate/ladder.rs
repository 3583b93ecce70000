//! Strikes, ids and sizes.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::catalog::Shape;

/// How large a master is made, in thousandths of one of about 270,000 rows.
#[derive(Clone, Copy)]
pub(super) struct Size(pub(super) u32);

/// From this size on, chains are wider than the windows people look at.
const KNEE: u32 = 150;

impl Size {
    /// A quantity that is `small` in the smallest master, `knee` in one of about
    /// 45,000 rows, `full` in a real one, and grows on from there.
    pub(super) fn between(self, small: usize, knee: usize, full: usize) -> usize {
        let lerp = |from: usize, to: usize, x: u32, range: u32| {
            let (from, to) = (from as i64, to as i64);
            usize::try_from(from + (to - from) * i64::from(x) / i64::from(range)).unwrap_or(0)
        };
        if self.0 <= KNEE {
            lerp(small, knee, self.0, KNEE)
        } else {
            lerp(knee, full.max(knee), self.0 - KNEE, 1000 - KNEE)
        }
    }

    /// The same, but never more than `full`.
    pub(super) fn up_to(self, small: usize, knee: usize, full: usize) -> usize {
        self.between(small, knee, full).min(full)
    }
}

/// About `count` strikes of a shape around `center`, ascending, in the unit of both;
/// fewer where the lower wing would reach 0.
pub(super) fn strikes(center: i64, shape: Shape, count: usize) -> Vec<i64> {
    let wide = shape.step * shape.wing;
    let center = ((center + wide / 2) / wide * wide).max(wide);
    // The inner part ends on a strike of the wings.
    let half = (count * shape.inner / 100) as i64 / 2 / shape.wing * shape.wing;
    let wings = (count as i64 - 2 * half - 1).max(0);
    let (lower, upper) = if shape.inner == 100 {
        (0, 0)
    } else {
        (wings / 2, wings - wings / 2)
    };
    let below = (1..=lower)
        .rev()
        .map(|k| center - half * shape.step - k * wide);
    let inner = (-half..=half).map(|k| center + k * shape.step);
    let above = (1..=upper).map(|k| center + half * shape.step + k * wide);
    below
        .chain(inner)
        .chain(above)
        .filter(|strike| *strike > 0)
        .collect()
}

/// Ids that ascend with gaps, as those of contracts listed over months do.
pub(super) struct Ids {
    next: u32,
    rng: Pcg64,
}

impl Ids {
    pub(super) fn from(first: u32, seed: u64) -> Self {
        Self {
            next: first,
            rng: Pcg64::seed_from_u64(seed ^ u64::from(first)),
        }
    }

    pub(super) fn next(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        id
    }

    /// Two ids, most often neighbours.
    pub(super) fn pair(&mut self) -> (u32, u32) {
        if self.rng.random_ratio(1, 16) {
            self.next += self.rng.random_range(1..8);
        }
        let first = self.next();
        if self.rng.random_ratio(1, 8) {
            self.next += self.rng.random_range(1..4);
        }
        (first, self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_has_wings_that_join() {
        let shape = Shape {
            strikes: 0,
            step: 10,
            inner: 60,
            wing: 2,
        };
        // 12 * 60 % = 7, so 2 on each side; 12 - 5 = 7 in the wings.
        assert_eq!(
            strikes(1_404, shape, 12),
            [
                1320, 1340, 1360, 1380, 1390, 1400, 1410, 1420, 1440, 1460, 1480, 1500
            ]
        );
        // No strike at or below 0.
        assert_eq!(strikes(21, shape, 12)[0], 10);
        assert_eq!(strikes(0, shape, 1), [20]);
    }

    #[test]
    fn a_size_grows_through_its_knee() {
        for (size, expected) in [(0, 5), (150, 30), (575, 65), (1000, 100), (2000, 182)] {
            assert_eq!(Size(size).between(5, 30, 100), expected, "{size}");
            assert_eq!(Size(size).up_to(5, 30, 100), expected.min(100), "{size}");
        }
    }
}
