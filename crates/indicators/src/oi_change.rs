use crate::obv::quantity;
use crate::study::after;
use crate::{Ohlcv, Output, Study};

/// How the open interest of a derivative changed since the trading day before.
///
/// The numbers are `change`, the open interest less the last one of the day before, and
/// `percent`, that in percent of the last one of the day before. There are none until the
/// [`day`](Ohlcv::day) has changed once, where the open interest of one of the days is not known,
/// and where that of the day before was 0. A bar that does not say it leaves the last one in
/// force.
#[derive(Debug, Clone, Copy, Default)]
pub struct OiChange {
    before: Option<f64>,
    today: Option<f64>,
    day: Option<i32>,
}

impl OiChange {
    /// One that has seen no bar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Study for OiChange {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        if self.day != Some(bar.day) {
            self.day = Some(bar.day);
            self.before = self.today.take();
        }
        self.today = quantity(bar.oi).or(self.today);
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        let before = self.before?;
        let change = self.today? - before;
        Output::of(&[change, 100.0 * (change / before)])
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    /// Two, where the second is of another day.
    fn first_value(&self) -> usize {
        2
    }

    /// Two, where the first is the last of its day.
    fn warm_up(&self) -> usize {
        2
    }
}
