use crate::error::number;
use crate::study::after;
use crate::{Ohlcv, Output, Study, StudyError};

/// Parabolic stop and reverse: a stop that follows the price, faster the longer it goes on, and
/// changes sides when the price reaches it.
///
/// Each bar the stop moves by a factor times its distance to the farthest price of the trend;
/// the factor begins with `step`, and grows by `step` with each new farthest price up to
/// `maximum`. The stop never lies inside of the last two bars. The trend rises at first, unless
/// the second bar went down by more than it went up. As TA-Lib's `SAR`: first value with bar 2.
/// It depends on its past until the trend turns once or twice; the warm-up is 100 bars.
#[derive(Debug, Clone, Copy)]
pub struct ParabolicSar {
    step: f64,
    maximum: f64,
    factor: f64,
    /// The stop of the last bar, and the one that waits for the next.
    stop: f64,
    next: f64,
    /// The farthest price of the trend.
    farthest: f64,
    high: f64,
    low: f64,
    is_rising: bool,
    bars: u8,
}

impl ParabolicSar {
    /// With a step and a maximum of 0.001 to 1; a step above the maximum is refused. Usual are
    /// 0.02 and 0.2.
    ///
    /// # Errors
    /// When a parameter is out of its limits.
    pub fn new(step: f64, maximum: f64) -> Result<Self, StudyError> {
        let maximum = number("maximum", maximum, 0.001, 1.0)?;
        Ok(Self {
            step: number("step", step, 0.001, maximum)?,
            maximum,
            factor: step,
            stop: 0.0,
            next: 0.0,
            farthest: 0.0,
            high: 0.0,
            low: 0.0,
            is_rising: true,
            bars: 0,
        })
    }

    /// The second bar says where it goes.
    #[cold]
    fn begin(&mut self, bar: &Ohlcv) {
        let (up, down) = (bar.high - self.high, self.low - bar.low);
        self.is_rising = !(down > 0.0 && down > up);
        if self.is_rising {
            (self.next, self.farthest) = (self.low, bar.high);
        } else {
            (self.next, self.farthest) = (self.high, bar.low);
        }
        (self.high, self.low) = (bar.high, bar.low);
    }

    #[inline]
    fn step(&mut self, bar: &Ohlcv) {
        // Outside of this bar and the one before.
        let highest = self.high.max(bar.high);
        let lowest = self.low.min(bar.low);
        let rising = self.is_rising;
        let is_reached = if rising {
            bar.low <= self.next
        } else {
            bar.high >= self.next
        };
        if is_reached {
            self.is_rising = !rising;
            self.stop = if rising {
                self.farthest.max(highest)
            } else {
                self.farthest.min(lowest)
            };
            self.factor = self.step;
            self.farthest = if rising { bar.low } else { bar.high };
        } else {
            self.stop = self.next;
            let is_farther = if rising {
                bar.high > self.farthest
            } else {
                bar.low < self.farthest
            };
            if is_farther {
                self.farthest = if rising { bar.high } else { bar.low };
                self.factor = (self.factor + self.step).min(self.maximum);
            }
        }
        let moved = self.stop + self.factor * (self.farthest - self.stop);
        self.next = if self.is_rising {
            moved.min(lowest)
        } else {
            moved.max(highest)
        };
        (self.high, self.low) = (bar.high, bar.low);
    }
}

impl Study for ParabolicSar {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        match self.bars {
            0 => {
                (self.high, self.low) = (bar.high, bar.low);
                self.bars = 1;
            }
            1 => {
                self.begin(bar);
                self.bars = 2;
                self.step(bar);
            }
            _ => self.step(bar),
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        if self.bars < 2 {
            return None;
        }
        Output::one(self.stop)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        2
    }

    fn warm_up(&self) -> usize {
        100
    }
}
