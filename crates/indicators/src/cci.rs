use crate::error::period;
use crate::vwap::typical;
use crate::window::Window;
use crate::{Ohlcv, Output, Study, StudyError};

/// Commodity channel index: how far the typical price (`(high + low + close) / 3`) is from its
/// simple average over `period` bars, in units of 0.015 times its mean deviation from it.
///
/// First value with bar `period`, which is also its warm-up. 0 where nothing deviates. As
/// TA-Lib's `CCI`. The mean deviation is one from a mean that moves with every bar: its cost is
/// that of the window, paid when a value is asked for.
#[derive(Debug, Clone)]
pub struct Cci {
    window: Window,
}

impl Cci {
    /// Over 2 to 1,000 bars. Usual are 20, and 14.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        Ok(Self {
            window: Window::new(period("period", bars, 2)?),
        })
    }

    /// Of a full window, or of one that is full with `next`. Differences from the newest number
    /// are summed up rather than prices: exactly 0 where nothing moved.
    fn index(&self, next: Option<f64>) -> Option<Output> {
        let leaving = usize::from(next.is_some() && self.window.is_full());
        let window = || self.window.iter().skip(leaving).chain(next);
        let newest = window().last()?;
        let len = self.window.len() as f64;
        let mean = window().map(|number| number - newest).sum::<f64>() / len;
        let deviations: f64 = window().map(|number| (number - newest - mean).abs()).sum();
        Output::one(if deviations > 0.0 {
            -mean / (0.015 * (deviations / len))
        } else {
            0.0
        })
    }
}

impl Study for Cci {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.window.push(typical(bar));
        }
    }

    fn value(&self) -> Option<Output> {
        if !self.window.is_full() {
            return None;
        }
        self.index(None)
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        if !self.window.is_full_with_next() {
            return None;
        }
        self.index(Some(typical(bar)))
    }

    fn first_value(&self) -> usize {
        self.window.len()
    }

    fn warm_up(&self) -> usize {
        self.window.len()
    }
}
