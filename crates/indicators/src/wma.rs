use crate::error::period;
use crate::window::Window;
use crate::{Ohlcv, Output, Study, StudyError};

/// Weighted moving average of closes: the newest weighs `period`, the one before one less, and
/// so on down to 1; divided by the sum of the weights.
///
/// Each step takes the plain sum away from the weighted one, which lowers every weight by one,
/// and adds the newest. First value with bar `period`, which is also its warm-up. As TA-Lib's
/// `WMA`.
#[derive(Debug, Clone)]
pub struct Wma {
    window: Window,
    sums: Sums,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    plain: f64,
    weighted: f64,
}

impl Wma {
    /// Over 1 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        Ok(Self {
            window: Window::new(period("period", bars, 1)?),
            sums: Sums::default(),
        })
    }

    #[inline]
    fn sums_with(&self, number: f64) -> Sums {
        let newest = self.window.len() as f64 * number;
        if self.window.comes_round() {
            let mut sums = Sums {
                plain: number,
                weighted: newest,
            };
            for (older, number) in self.window.staying().iter().enumerate() {
                sums.plain += number;
                sums.weighted += (older + 1) as f64 * number;
            }
            sums
        } else {
            Sums {
                plain: self.sums.plain + (number - self.window.oldest()),
                weighted: self.sums.weighted + (newest - self.sums.plain),
            }
        }
    }

    #[inline]
    fn mean(&self, sums: Sums) -> f64 {
        let len = self.window.len() as f64;
        sums.weighted / (0.5 * len * (len + 1.0))
    }
}

impl Study for Wma {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.sums = self.sums_with(bar.close);
            self.window.push(bar.close);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        self.window
            .is_full()
            .then(|| self.mean(self.sums))
            .and_then(Output::one)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        self.window
            .is_full_with_next()
            .then(|| self.mean(self.sums_with(bar.close)))
            .and_then(Output::one)
    }

    fn first_value(&self) -> usize {
        self.window.len()
    }

    fn warm_up(&self) -> usize {
        self.window.len()
    }
}
