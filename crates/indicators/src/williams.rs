use crate::error::period;
use crate::extreme::Extremes;
use crate::{Ohlcv, Output, Study, StudyError};

/// Williams %R: how far the close is below the highest high of the last `period` bars, in
/// percent of the range down to their lowest low; 0 to -100.
///
/// First value with bar `period`, which is also its warm-up. 0 where there is no range. As
/// TA-Lib's `WILLR`.
#[derive(Debug, Clone)]
pub struct WilliamsR {
    extremes: Extremes,
    close: f64,
    period: u16,
}

impl WilliamsR {
    /// Over 2 to 1,000 bars. Usual are 14.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 2)?;
        Ok(Self {
            extremes: Extremes::new(period),
            close: 0.0,
            period,
        })
    }
}

fn percent(close: f64, (highest, lowest): (f64, f64)) -> Option<Output> {
    let range = highest - lowest;
    Output::one(if range > 0.0 {
        -100.0 * ((highest - close) / range)
    } else {
        0.0
    })
}

impl Study for WilliamsR {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.extremes.push(bar.high, bar.low);
            self.close = bar.close;
        }
    }

    fn value(&self) -> Option<Output> {
        percent(self.close, self.extremes.get()?)
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        percent(bar.close, self.extremes.after(bar.high, bar.low)?)
    }

    fn first_value(&self) -> usize {
        usize::from(self.period)
    }

    fn warm_up(&self) -> usize {
        usize::from(self.period)
    }
}
