use crate::error::period;
use crate::settle::{exponential, settle};
use crate::study::after;
use crate::{Ohlcv, Output, Study, StudyError};

/// Exponential moving average of closes: `ema += 2 / (period + 1) * (close - ema)`.
///
/// Begins with the simple average of the first `period` closes, which is its first value. As
/// TA-Lib's `EMA` (compatibility `DEFAULT`), TradingView's and talipp's.
#[derive(Debug, Clone, Copy)]
pub struct Ema {
    /// While it is seeded the sum of what there was.
    value: f64,
    factor: f64,
    period: u16,
    /// How many numbers are missing for the seed.
    missing: u16,
}

impl Ema {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 1)?;
        Ok(Self {
            value: 0.0,
            factor: exponential(period),
            period,
            missing: period,
        })
    }

    /// Takes the next number of the series.
    #[inline]
    pub(crate) fn push(&mut self, number: f64) {
        if self.missing == 0 {
            self.value += self.factor * (number - self.value);
        } else {
            self.value += number;
            self.missing -= 1;
            if self.missing == 0 {
                self.value /= f64::from(self.period);
            }
        }
    }

    /// The average; nothing until there are enough numbers.
    #[inline]
    pub(crate) fn get(&self) -> Option<f64> {
        (self.missing == 0).then_some(self.value)
    }
}

impl Study for Ema {
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
        usize::from(self.period)
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[self.factor])
    }
}

/// Double exponential moving average: twice the [`Ema`] less the [`Ema`] of it.
///
/// The second average begins with the first `period` values of the first one: first value with
/// bar `2 * period - 1`. As TA-Lib's `DEMA` and talipp's.
#[derive(Debug, Clone, Copy)]
pub struct Dema {
    once: Ema,
    twice: Ema,
}

impl Dema {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let ema = Ema::new(bars)?;
        Ok(Self {
            once: ema,
            twice: ema,
        })
    }
}

impl Study for Dema {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        self.once.push(bar.close);
        if let Some(once) = self.once.get() {
            self.twice.push(once);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        let (once, twice) = (self.once.get()?, self.twice.get()?);
        Output::one(2.0 * once - twice)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        2 * self.once.first_value() - 1
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[self.once.factor; 2])
    }
}

/// Triple exponential moving average: `3 * (a - b) + c`, where `a` is the [`Ema`] of closes, `b`
/// that of `a`, and `c` that of `b`.
///
/// Each begins with the first `period` values of the one before: first value with bar
/// `3 * period - 2`. As TA-Lib's `TEMA` and talipp's.
#[derive(Debug, Clone, Copy)]
pub struct Tema {
    once: Ema,
    twice: Ema,
    thrice: Ema,
}

impl Tema {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let ema = Ema::new(bars)?;
        Ok(Self {
            once: ema,
            twice: ema,
            thrice: ema,
        })
    }
}

impl Study for Tema {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        self.once.push(bar.close);
        if let Some(once) = self.once.get() {
            self.twice.push(once);
        }
        if let Some(twice) = self.twice.get() {
            self.thrice.push(twice);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        let (once, twice, thrice) = (self.once.get()?, self.twice.get()?, self.thrice.get()?);
        Output::one(3.0 * (once - twice) + thrice)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        3 * self.once.first_value() - 2
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[self.once.factor; 3])
    }
}
