use crate::study::after;
use crate::{Ohlcv, Output, Study};

/// How pivot points are computed, from high H, low L and close C of the trading day before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PivotKind {
    /// P = (H + L + C) / 3; R1 = 2P - L, R2 = P + (H - L); S1 = 2P - H, S2 = P - (H - L).
    #[default]
    Classic,
    /// P = (H + L + C) / 3; R1 and S1 are P plus and minus 0.382 (H - L), R2 and S2 0.618.
    Fibonacci,
    /// P = (H + L + C) / 3; R3 and S3 are C plus and minus 1.1 / 4 (H - L), R4 and S4 1.1 / 2.
    Camarilla,
    /// P = (H + L + 2 * open of this day) / 4; the others as [`PivotKind::Classic`].
    Woodie,
}

/// Pivot points of the trading day before: the same for all bars of a day.
///
/// The numbers are `pivot`, `r1`, `s1`, `r2` and `s2`, of Camarilla `pivot`, `r3`, `s3`, `r4` and
/// `s4`, the levels that are traded; as TradingView computes them under the name of the
/// [`PivotKind`]. There are none until the [`day`](Ohlcv::day) has changed
/// once; the first bar has to be the first of a day. The day before ends with its last bar, so
/// that an auction after the end of continuous trading is no part of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pivot {
    kind: PivotKind,
    today: Option<Day>,
    before: Option<Day>,
}

/// What was traded in a day so far.
#[derive(Debug, Clone, Copy)]
struct Day {
    day: i32,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
}

impl Pivot {
    /// One that has seen no bar.
    #[must_use]
    pub fn new(kind: PivotKind) -> Self {
        Self {
            kind,
            today: None,
            before: None,
        }
    }
}

impl Study for Pivot {
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        match &mut self.today {
            Some(today) if today.day == bar.day => {
                today.high = today.high.max(bar.high);
                today.low = today.low.min(bar.low);
                today.close = bar.close;
            }
            today => {
                self.before = today.replace(Day {
                    day: bar.day,
                    open: bar.open,
                    high: bar.high,
                    low: bar.low,
                    close: bar.close,
                });
            }
        }
    }

    fn value(&self) -> Option<Output> {
        let Day {
            high, low, close, ..
        } = self.before?;
        let range = high - low;
        let mean = (high + low + close) / 3.0;
        let around = |centre: f64, [near, far]: [f64; 2]| {
            let (near, far) = (near * range, far * range);
            Output::of(&[
                mean,
                centre + near,
                centre - near,
                centre + far,
                centre - far,
            ])
        };
        let levels = |pivot: f64| {
            Output::of(&[
                pivot,
                2.0 * pivot - low,
                2.0 * pivot - high,
                pivot + range,
                pivot - range,
            ])
        };
        match self.kind {
            PivotKind::Classic => levels(mean),
            PivotKind::Fibonacci => around(mean, [0.382, 0.618]),
            PivotKind::Camarilla => around(close, [1.1 / 4.0, 1.1 / 2.0]),
            PivotKind::Woodie => levels((high + low + 2.0 * self.today?.open) / 4.0),
        }
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    /// Two, where the second is of another day.
    fn first_value(&self) -> usize {
        2
    }

    /// Two, where the first is a whole day: as many as the day before has.
    fn warm_up(&self) -> usize {
        2
    }
}
