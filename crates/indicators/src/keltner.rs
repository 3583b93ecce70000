use crate::error::number;
use crate::study::after;
use crate::{Atr, Ema, Ohlcv, Output, Seeds, Study, StudyError};

/// Keltner channels: the [`Ema`] of closes over `period` bars, and bands that are `multiplier`
/// times the [`Atr`] over `atr_period` bars above and below it.
///
/// The numbers are `upper`, `middle` and `lower`. First value when both averages have one. As
/// TradingView's indicator "Keltner Channels" with its defaults, and talipp's, both with the true
/// range of the first bar ([`Seeds::TradingView`]).
#[derive(Debug, Clone, Copy)]
pub struct Keltner {
    middle: Ema,
    range: Atr,
    multiplier: f64,
}

impl Keltner {
    /// Over 1 to 1,000 bars each, with a multiplier of 0.001 to 50. Usual are 20, 2 and 10.
    ///
    /// # Errors
    /// When a parameter is out of its limits.
    pub fn new(bars: u16, multiplier: f64, atr_bars: u16) -> Result<Self, StudyError> {
        Ok(Self {
            middle: Ema::new(bars)?,
            range: Atr::new(crate::error::period("atr_period", atr_bars, 1)?)?
                .seeds(Seeds::TradingView),
            multiplier: number("multiplier", multiplier, 0.001, 50.0)?,
        })
    }
}

impl Study for Keltner {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.middle.push(bar.close);
            self.range.push(bar);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        let middle = self.middle.get()?;
        let band = self.multiplier * self.range.get()?;
        Output::of(&[middle + band, middle, middle - band])
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        self.middle.first_value().max(self.range.first_value())
    }

    fn warm_up(&self) -> usize {
        self.middle.warm_up().max(self.range.warm_up())
    }
}
