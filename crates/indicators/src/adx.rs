use crate::atr::true_range;
use crate::error::period;
use crate::settle::{settle, wilder};
use crate::study::after;
use crate::{Ohlcv, Output, Seeds, Study, StudyError};

/// Average directional index, with the positive and the negative directional indicator.
///
/// Of each bar after the first: how far its high is above the last one, and its low below the
/// last one; only the greater counts, and only when it is above 0. Both and the true range are
/// summed up as Wilder does (`sum += new - sum / period`); the indicators are
/// `100 * sum / sum of true ranges`. Of `100 * |plus - minus| / (plus + minus)` the index is
/// Wilder's average, which begins with the simple one of the first `period`. All three from bar
/// `2 * period` on.
///
/// TA-Lib (`ADX`, `PLUS_DI`, `MINUS_DI`) begins the sums with `period - 1` bars and smooths with
/// the next one already. With [`Seeds::TradingView`] (`ADX_14_TV`; talipp's `ADX`) they begin
/// with `period` bars, and the first true range is that of the first bar, `high - low`. Where
/// nothing moves the index stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct Adx {
    plus: f64,
    minus: f64,
    range: f64,
    /// While it is seeded the sum of what there was.
    index: f64,
    last: Last,
    factor: f64,
    period: u16,
    /// How many bars there have been, up to `2 * period`.
    seen: u16,
    seeds: Seeds,
}

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    high: f64,
    low: f64,
    close: f64,
}

impl Adx {
    /// Over 2 to 1,000 bars.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 2)?;
        Ok(Self {
            plus: 0.0,
            minus: 0.0,
            range: 0.0,
            index: 0.0,
            last: Last::default(),
            factor: wilder(period),
            period,
            seen: 0,
            seeds: Seeds::TaLib,
        })
    }

    /// What the sums begin with. To be said before the first bar.
    #[must_use]
    pub const fn seeds(mut self, seeds: Seeds) -> Self {
        self.seeds = seeds;
        self
    }

    #[inline]
    fn push(&mut self, bar: &Ohlcv) {
        let last = self.last;
        self.last = Last {
            high: bar.high,
            low: bar.low,
            close: bar.close,
        };
        let full = 2 * self.period;
        // How many bars there were before this one.
        let before = self.seen;
        self.seen = full.min(before + 1);
        if before == 0 {
            if self.seeds == Seeds::TradingView {
                self.range = bar.high - bar.low;
            }
            return;
        }
        let (up, down) = (bar.high - last.high, last.low - bar.low);
        let plus = if up > down { up.max(0.0) } else { 0.0 };
        let minus = if down > up { down.max(0.0) } else { 0.0 };
        let range = true_range(bar, last.close);
        // After which bar the sums are complete and are smoothed.
        let (moves, ranges) = match self.seeds {
            Seeds::TaLib => (self.period, self.period),
            Seeds::TradingView => (self.period + 1, self.period),
        };
        let smoothed = |sum: f64, complete: u16| {
            if before >= complete {
                sum - sum * self.factor
            } else {
                sum
            }
        };
        self.plus = smoothed(self.plus, moves) + plus;
        self.minus = smoothed(self.minus, moves) + minus;
        self.range = smoothed(self.range, ranges) + range;
        if before < self.period {
            return;
        }
        let index = self.direction();
        if before < full {
            self.index += index.unwrap_or(0.0);
            if self.seen == full {
                self.index *= self.factor;
            }
        } else if let Some(index) = index {
            self.index += self.factor * (index - self.index);
        }
    }

    /// Nothing where nothing moves.
    #[inline]
    fn direction(&self) -> Option<f64> {
        let moved = self.plus + self.minus;
        (self.range > 0.0 && moved > 0.0).then(|| 100.0 * ((self.plus - self.minus).abs() / moved))
    }

    #[inline]
    fn indicator(&self, sum: f64) -> f64 {
        if self.range > 0.0 {
            100.0 * (sum / self.range)
        } else {
            0.0
        }
    }
}

impl Study for Adx {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.push(bar);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        if self.seen < 2 * self.period {
            return None;
        }
        Output::of(&[
            self.index,
            self.indicator(self.plus),
            self.indicator(self.minus),
        ])
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        2 * usize::from(self.period)
    }

    fn warm_up(&self) -> usize {
        self.first_value() + settle(&[self.factor; 2])
    }
}
