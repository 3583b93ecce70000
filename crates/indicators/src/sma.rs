use crate::error::period;
use crate::window::Window;
use crate::{Ohlcv, Output, Study, StudyError};

/// Simple moving average of closes: their sum over the last `period` bars, divided by `period`.
///
/// First value with bar `period`, which is also its warm-up. As TA-Lib's `SMA`.
#[derive(Debug, Clone)]
pub struct Sma {
    window: Window,
    sum: f64,
}

impl Sma {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        Ok(Self {
            window: Window::new(period("period", bars, 1)?),
            sum: 0.0,
        })
    }

    #[inline]
    fn sum_with(&self, number: f64) -> f64 {
        if self.window.comes_round() {
            self.window.staying().iter().sum::<f64>() + number
        } else {
            self.sum + (number - self.window.oldest())
        }
    }

    #[inline]
    fn mean(&self, sum: f64) -> f64 {
        sum / self.window.len() as f64
    }

    /// Takes the next number of the series.
    #[inline]
    pub(crate) fn push(&mut self, number: f64) {
        self.sum = self.sum_with(number);
        self.window.push(number);
    }

    /// The average; nothing until there are enough numbers.
    #[inline]
    pub(crate) fn get(&self) -> Option<f64> {
        self.window.is_full().then(|| self.mean(self.sum))
    }

    /// What [`get`](Sma::get) would be after `push(number)`.
    #[inline]
    pub(crate) fn after(&self, number: f64) -> Option<f64> {
        self.window
            .is_full_with_next()
            .then(|| self.mean(self.sum_with(number)))
    }
}

impl Study for Sma {
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
        if bar.is_sound() {
            self.after(bar.close).and_then(Output::one)
        } else {
            self.value()
        }
    }

    fn first_value(&self) -> usize {
        self.window.len()
    }

    fn warm_up(&self) -> usize {
        self.window.len()
    }
}
