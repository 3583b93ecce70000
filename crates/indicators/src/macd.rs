use crate::error::period;
use crate::settle::{exponential, settle};
use crate::study::after;
use crate::{Ohlcv, Output, Seeds, Study, StudyError};

/// Moving average convergence divergence: the fast exponential average of closes less the slow
/// one, the signal, which is the exponential average of that, and the histogram, their
/// difference.
///
/// All three from bar `slow + signal - 1` on. Every average begins with a simple one over its
/// period. TA-Lib (`MACD`) begins the fast average together with the slow one, with the last
/// `fast` of the first `slow` closes. With [`Seeds::TradingView`] (`MACD_12_26_9_TV`;
/// TradingView's `ta.macd`, talipp's `MACD`) it begins with the first `fast` closes. The two
/// agree once the seeds are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Macd {
    /// Until they are seeded the sums of what there was.
    fast: f64,
    slow: f64,
    signal: f64,
    periods: Periods,
    /// How many closes there have been, up to `Periods::first_value`.
    seen: u16,
}

#[derive(Debug, Clone, Copy)]
struct Periods {
    fast: u16,
    slow: u16,
    signal: u16,
    seeds: Seeds,
}

impl Periods {
    /// With which close there is a signal.
    #[inline]
    const fn first_value(self) -> u16 {
        self.slow + self.signal - 1
    }

    /// After which close the fast average begins.
    #[inline]
    const fn fast_begins(self) -> u16 {
        match self.seeds {
            Seeds::TaLib => self.slow - self.fast,
            Seeds::TradingView => 0,
        }
    }
}

impl Macd {
    /// Over 1 to 1,000 bars each, `fast` less than `slow`. Usual are 12, 26 and 9.
    ///
    /// # Errors
    /// When a period is out of its limits, or the fast one is not below the slow one.
    pub fn new(fast: u16, slow: u16, signal: u16) -> Result<Self, StudyError> {
        let periods = Periods {
            fast: period("fast", fast, 1)?,
            slow: period("slow", slow, 2)?,
            signal: period("signal", signal, 1)?,
            seeds: Seeds::TaLib,
        };
        if fast >= slow {
            return Err(StudyError::NotBelow {
                lesser: "fast",
                is: f64::from(fast),
                greater: "slow",
                limit: f64::from(slow),
            });
        }
        Ok(Self {
            fast: 0.0,
            slow: 0.0,
            signal: 0.0,
            periods,
            seen: 0,
        })
    }

    /// Where the fast average begins. To be said before the first bar.
    #[must_use]
    pub const fn seeds(mut self, seeds: Seeds) -> Self {
        self.periods.seeds = seeds;
        self
    }

    #[inline]
    fn push(&mut self, close: f64) {
        if self.seen < self.periods.first_value() {
            self.seed(close);
            return;
        }
        self.fast += exponential(self.periods.fast) * (close - self.fast);
        self.slow += exponential(self.periods.slow) * (close - self.slow);
        let line = self.fast - self.slow;
        self.signal += exponential(self.periods.signal) * (line - self.signal);
    }

    #[cold]
    fn seed(&mut self, close: f64) {
        let Periods {
            fast, slow, signal, ..
        } = self.periods;
        self.seen += 1;
        let seen = self.seen;
        if seen > self.periods.fast_begins() {
            average(
                &mut self.fast,
                close,
                seen - self.periods.fast_begins(),
                fast,
            );
        }
        average(&mut self.slow, close, seen, slow);
        if seen >= slow {
            let line = self.fast - self.slow;
            average(&mut self.signal, line, seen - slow + 1, signal);
        }
    }
}

/// Puts the `nth` number into an average over `period`: the sum of the first `period` numbers,
/// then their mean, then smoothed.
fn average(value: &mut f64, number: f64, nth: u16, period: u16) {
    if nth > period {
        *value += exponential(period) * (number - *value);
    } else {
        *value += number;
        if nth == period {
            *value /= f64::from(period);
        }
    }
}

impl Study for Macd {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if bar.is_sound() {
            self.push(bar.close);
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        if self.seen < self.periods.first_value() {
            return None;
        }
        let line = self.fast - self.slow;
        Output::of(&[line, self.signal, line - self.signal])
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        usize::from(self.periods.first_value())
    }

    fn warm_up(&self) -> usize {
        let Periods { slow, signal, .. } = self.periods;
        self.first_value() + settle(&[exponential(slow), exponential(signal)])
    }
}
