use crate::error::period;
use crate::extreme::Extremes;
use crate::{Ohlcv, Output, Study, StudyError};

/// Donchian channels: the highest high and the lowest low of the last `period` bars, and the
/// middle between them.
///
/// The numbers are `upper`, `middle` and `lower`. First value with bar `period`, which is also
/// its warm-up. The last bar counts, as in TradingView's indicator and talipp's.
#[derive(Debug, Clone)]
pub struct Donchian {
    extremes: Extremes,
    period: u16,
}

impl Donchian {
    /// Over 1 to 1,000 bars. Usual are 20.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 1)?;
        Ok(Self {
            extremes: Extremes::new(period),
            period,
        })
    }
}

fn channel((highest, lowest): (f64, f64)) -> Option<Output> {
    Output::of(&[highest, (highest + lowest) / 2.0, lowest])
}

impl Study for Donchian {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.extremes.push(bar.high, bar.low);
        }
    }

    fn value(&self) -> Option<Output> {
        channel(self.extremes.get()?)
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        channel(self.extremes.after(bar.high, bar.low)?)
    }

    fn first_value(&self) -> usize {
        usize::from(self.period)
    }

    fn warm_up(&self) -> usize {
        usize::from(self.period)
    }
}
