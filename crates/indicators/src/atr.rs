use crate::error::period;
use crate::settle::{settle, wilder};
use crate::study::after;
use crate::{Ohlcv, Output, Seeds, Study, StudyError};

/// The greatest of the bar's range and of the ways from the last close to its high and low.
#[inline]
pub(crate) fn true_range(bar: &Ohlcv, last_close: f64) -> f64 {
    (bar.high - bar.low)
        .max((bar.high - last_close).abs())
        .max((bar.low - last_close).abs())
}

/// Average true range: Wilder's average of the true range, which is the greatest of
/// `high - low`, `|high - last close|` and `|low - last close|`.
///
/// The first bar has no last close. TA-Lib (`ATR`) leaves it out: the average begins with that
/// of the true ranges of bars 2 to `period + 1`, and that is the first value. With
/// [`Seeds::TradingView`] (`ATR_14_TV`; TradingView's `ta.atr`, talipp's `ATR`) the first true
/// range is `high - low`, and the first value comes with bar `period`.
#[derive(Debug, Clone, Copy)]
pub struct Atr {
    /// While it is seeded the sum of what there was.
    value: f64,
    last_close: f64,
    factor: f64,
    period: u16,
    /// How many true ranges are missing for the seed.
    missing: u16,
    /// Whether the next bar has a last close.
    begun: bool,
    seeds: Seeds,
}

impl Atr {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 1)?;
        Ok(Self {
            value: 0.0,
            last_close: 0.0,
            factor: wilder(period),
            period,
            missing: period,
            begun: false,
            seeds: Seeds::TaLib,
        })
    }

    /// What the first true range is. To be said before the first bar.
    #[must_use]
    pub const fn seeds(mut self, seeds: Seeds) -> Self {
        self.seeds = seeds;
        self
    }

    /// Takes a bar that is sound.
    #[inline]
    pub(crate) fn push(&mut self, bar: &Ohlcv) {
        let range = true_range(bar, self.last_close);
        self.last_close = bar.close;
        if self.missing == 0 {
            self.value += self.factor * (range - self.value);
        } else {
            self.seed(bar, range);
        }
    }

    #[cold]
    fn seed(&mut self, bar: &Ohlcv, range: f64) {
        let range = match (self.begun, self.seeds) {
            (true, _) => range,
            (false, Seeds::TradingView) => bar.high - bar.low,
            (false, Seeds::TaLib) => {
                self.begun = true;
                return;
            }
        };
        self.begun = true;
        self.value += range;
        self.missing -= 1;
        if self.missing == 0 {
            self.value *= self.factor;
        }
    }

    /// The average; nothing until there are enough bars.
    #[inline]
    pub(crate) fn get(&self) -> Option<f64> {
        (self.missing == 0).then_some(self.value)
    }
}

impl Study for Atr {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.push(bar);
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
        usize::from(self.period) + usize::from(self.seeds == Seeds::TaLib)
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[self.factor])
    }
}
