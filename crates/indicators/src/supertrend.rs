use crate::error::number;
use crate::settle::{settle, wilder};
use crate::study::after;
use crate::{Atr, Ohlcv, Output, Seeds, Study, StudyError};

/// Supertrend: a line below the price while it rises and above it while it falls.
///
/// The bands are `(high + low) / 2` plus and minus `multiplier` times the [`Atr`] over `period`
/// bars. The lower band never falls while closes stay above it, the upper never rises while they
/// stay below. The trend falls at first; it turns to rising when a close is above the upper band,
/// and back when one is below the lower. The numbers are `value`, the lower band in a rising
/// trend and else the upper, and `direction`, 1 in a rising trend and -1 in a falling one.
///
/// As TradingView's `ta.supertrend` (whose direction has the other sign), with its true range of
/// the first bar ([`Seeds::TradingView`]). First value with bar `period`. It depends on its past
/// until the trend turns: the warm-up is that of the average.
#[derive(Debug, Clone, Copy)]
pub struct Supertrend {
    atr: Atr,
    multiplier: f64,
    upper: f64,
    lower: f64,
    last_close: f64,
    has_bands: bool,
    is_rising: bool,
    period: u16,
}

impl Supertrend {
    /// Over 1 to 1,000 bars, with a multiplier of 0.001 to 50. Usual are 10 and 3.
    ///
    /// # Errors
    /// When a parameter is out of its limits.
    pub fn new(bars: u16, multiplier: f64) -> Result<Self, StudyError> {
        Ok(Self {
            atr: Atr::new(bars)?.seeds(Seeds::TradingView),
            multiplier: number("multiplier", multiplier, 0.001, 50.0)?,
            upper: 0.0,
            lower: 0.0,
            last_close: 0.0,
            has_bands: false,
            is_rising: false,
            period: bars,
        })
    }
}

impl Study for Supertrend {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        self.atr.push(bar);
        let Some(range) = self.atr.get() else {
            return;
        };
        let middle = (bar.high + bar.low) / 2.0;
        let upper = middle + self.multiplier * range;
        let lower = middle - self.multiplier * range;
        if !self.has_bands {
            (self.upper, self.lower, self.has_bands) = (upper, lower, true);
        } else {
            if upper < self.upper || self.last_close > self.upper {
                self.upper = upper;
            }
            if lower > self.lower || self.last_close < self.lower {
                self.lower = lower;
            }
            self.is_rising = if self.is_rising {
                bar.close >= self.lower
            } else {
                bar.close > self.upper
            };
        }
        self.last_close = bar.close;
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        if !self.has_bands {
            None
        } else if self.is_rising {
            Output::of(&[self.lower, 1.0])
        } else {
            Output::of(&[self.upper, -1.0])
        }
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        usize::from(self.period)
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[wilder(self.period)])
    }
}
