use crate::error::period;
use crate::window::Window;
use crate::{Ohlcv, Output, Study, StudyError};

/// Rate of change: by how many per cent the close is above that of `period` bars before.
///
/// First value with bar `period + 1`, which is also its warm-up. 0 where the close then was 0.
/// As TA-Lib's `ROC`, and talipp's.
#[derive(Debug, Clone)]
pub struct Roc {
    window: Window,
    value: Option<f64>,
}

impl Roc {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        Ok(Self {
            window: Window::new(period("period", bars, 1)?),
            value: None,
        })
    }

    #[inline]
    fn change(&self, close: f64) -> Option<f64> {
        let then = self.window.oldest();
        self.window.is_full().then(|| {
            if then == 0.0 {
                0.0
            } else {
                100.0 * (close / then - 1.0)
            }
        })
    }
}

impl Study for Roc {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.value = self.change(bar.close);
            self.window.push(bar.close);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        self.value.and_then(Output::one)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if bar.is_sound() {
            self.change(bar.close).and_then(Output::one)
        } else {
            self.value()
        }
    }

    fn first_value(&self) -> usize {
        self.window.len() + 1
    }

    fn warm_up(&self) -> usize {
        self.first_value()
    }
}
