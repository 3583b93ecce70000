use crate::study::after;
use crate::{Ohlcv, Output, Study};

/// The most that counts as a quantity. Sums of such numbers are far from what a number holds.
const MOST_QUANTITY: f64 = 1e15;

/// A quantity that is known: not below 0 and not beyond all bounds.
#[inline]
pub(crate) fn quantity(number: f64) -> Option<f64> {
    (0.0..=MOST_QUANTITY).contains(&number).then_some(number)
}

/// On-balance volume: the sum of the volumes of bars that closed higher than the one before,
/// less those of bars that closed lower.
///
/// Begins with the volume of the first bar, as TA-Lib's `OBV` does and talipp's. It is a running
/// total: its level depends on where it began, only its changes mean something. A bar of unknown
/// volume adds nothing, and after it there is no value until the next one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Obv {
    total: f64,
    last_close: f64,
    has_begun: bool,
    is_known: bool,
}

impl Obv {
    /// One that has seen no bar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Study for Obv {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        let volume = quantity(bar.volume);
        self.is_known = volume.is_some();
        let volume = volume.unwrap_or(0.0);
        if !self.has_begun || bar.close > self.last_close {
            self.total += volume;
        } else if bar.close < self.last_close {
            self.total -= volume;
        }
        self.has_begun = true;
        self.last_close = bar.close;
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        self.is_known.then_some(self.total).and_then(Output::one)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        1
    }

    /// One bar: more of them change the level, which means nothing.
    fn warm_up(&self) -> usize {
        1
    }
}
