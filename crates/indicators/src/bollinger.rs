use crate::error::{number, period};
use crate::window::Cursor;
use crate::{Ohlcv, Output, Study, StudyError};

/// Bollinger Bands: the simple average of closes over `period` bars, and bands so many standard
/// deviations above and below it. The deviation is that of the population (divided by `period`).
///
/// First value with bar `period`, which is also its warm-up. As TA-Lib's `BBANDS` with a simple
/// average, talipp's and TradingView's. Kept are the mean and the sum of squared deviations from
/// it, not the sum of squares, of which the variance would be the small difference of two great
/// numbers: at a price of 26,500 that costs nine of sixteen digits.
#[derive(Debug, Clone)]
pub struct Bollinger {
    cells: Box<[f64]>,
    moments: Moments,
    cursor: Cursor,
    /// How many thousandths of a standard deviation the bands are away.
    thousandths: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    mean: f64,
    /// Sum of the squared deviations from the mean.
    squares: f64,
}

impl Moments {
    /// Of the numbers themselves.
    fn of(numbers: impl Iterator<Item = f64> + Clone, len: f64) -> Self {
        let mean = numbers.clone().sum::<f64>() / len;
        let (squares, rest) = numbers.fold((0.0, 0.0), |(squares, rest), number| {
            let deviation = number - mean;
            (squares + deviation * deviation, rest + deviation)
        });
        // What rounding left in the mean.
        Self {
            mean: mean + rest / len,
            squares: (squares - rest * rest / len).max(0.0),
        }
    }
}

impl Bollinger {
    /// Over 2 to 1,000 bars, with bands 0.001 to 50 standard deviations from the average, of
    /// which three digits after the point count. Usual are 20 and 2.
    ///
    /// # Errors
    /// When a number is out of its limits.
    pub fn new(bars: u16, deviations: f64) -> Result<Self, StudyError> {
        let len = usize::from(period("period", bars, 2)?);
        let deviations = number("deviations", deviations, 0.001, 50.0)?;
        Ok(Self {
            cells: vec![0.0; len].into_boxed_slice(),
            moments: Moments::default(),
            cursor: Cursor::default(),
            thousandths: (deviations * 1_000.0).round() as u16,
        })
    }

    /// How a close that takes the place of the oldest changes the mean and the squares.
    #[inline]
    fn moments_with(&self, close: f64) -> Moments {
        let len = self.cells.len() as f64;
        let last = self.moments;
        let oldest = self.cells.get(self.cursor.at()).copied().unwrap_or(close);
        let change = close - oldest;
        let mean = last.mean + change / len;
        let squares = last.squares + change * ((close - mean) + (oldest - last.mean));
        // Once per round, what rounding has added up is dropped. Also when most of the squares
        // left with the oldest close: what is left may be the rounding of what was there.
        if self.cursor.is_last(self.cells.len()) || squares < 1e-4 * last.squares {
            return self.moments_afresh(close);
        }
        Moments { mean, squares }
    }

    #[cold]
    fn moments_afresh(&self, close: f64) -> Moments {
        let at = self.cursor.at();
        let numbers = self.cells.iter().enumerate();
        let numbers = numbers.map(move |(nth, &cell)| if nth == at { close } else { cell });
        Moments::of(numbers, self.cells.len() as f64)
    }

    #[inline]
    fn output(&self, moments: Moments) -> Option<Output> {
        let deviation = (moments.squares / self.cells.len() as f64).sqrt();
        let band = deviation * (f64::from(self.thousandths) / 1_000.0);
        let mean = moments.mean;
        Output::of(&[mean + band, mean, mean - band])
    }
}

impl Study for Bollinger {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        self.moments = self.moments_with(bar.close);
        let len = self.cells.len();
        if let Some(cell) = self.cells.get_mut(self.cursor.at()) {
            *cell = bar.close;
        }
        self.cursor.advance(len);
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        if !self.cursor.is_full() {
            return None;
        }
        self.output(self.moments)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        if !self.cursor.is_full() && !self.cursor.is_last(self.cells.len()) {
            return None;
        }
        self.output(self.moments_with(bar.close))
    }

    fn first_value(&self) -> usize {
        self.cells.len()
    }

    fn warm_up(&self) -> usize {
        self.cells.len()
    }
}
