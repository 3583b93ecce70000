use crate::error::period;
use crate::settle::{settle, wilder};
use crate::study::after;
use crate::{Ohlcv, Output, Study, StudyError};

/// Relative strength index: `100 * gain / (gain + loss)`, of the average gain and the average
/// loss from close to close, 0 to 100.
///
/// The averages are Wilder's: the simple average of the first `period` changes, then
/// `gain += (change - gain) / period`. First value with bar `period + 1`. A market that has not
/// moved at all has 0, as in TA-Lib; without losses it is 100. As TA-Lib's `RSI`; talipp and
/// TradingView differ only where nothing moved (100).
#[derive(Debug, Clone, Copy)]
pub struct Rsi {
    /// While they are seeded the sums of what there was.
    gain: f64,
    loss: f64,
    last: f64,
    factor: f64,
    period: u16,
    /// How many numbers are missing for the seed.
    missing: u16,
}

impl Rsi {
    /// Over 2 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 2)?;
        Ok(Self {
            gain: 0.0,
            loss: 0.0,
            last: 0.0,
            factor: wilder(period),
            period,
            missing: period + 1,
        })
    }

    /// Takes the next number of the series.
    #[inline]
    pub(crate) fn push(&mut self, number: f64) {
        let change = number - self.last;
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        self.last = number;
        if self.missing == 0 {
            self.gain += self.factor * (gain - self.gain);
            self.loss += self.factor * (loss - self.loss);
            return;
        }
        // The first number only tells from where the second one moved.
        if self.missing <= self.period {
            self.gain += gain;
            self.loss += loss;
        }
        self.missing -= 1;
        if self.missing == 0 {
            self.gain *= self.factor;
            self.loss *= self.factor;
        }
    }

    /// The index; nothing until there are enough numbers.
    #[inline]
    pub(crate) fn get(&self) -> Option<f64> {
        let moved = self.gain + self.loss;
        (self.missing == 0).then(|| {
            if moved > 0.0 {
                100.0 * (self.gain / moved)
            } else {
                0.0
            }
        })
    }
}

impl Study for Rsi {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.push(bar.close);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        self.get().and_then(Output::one)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        usize::from(self.period) + 1
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[self.factor])
    }
}
