use crate::error::period;
use crate::extreme::Extremes;
use crate::{Ohlcv, Output, Rsi, Sma, Study, StudyError};

/// The least range of an RSI that is one: below is what rounding makes of an RSI that stays
/// where it is, as it does while nothing moves.
const LEAST_RSI_RANGE: f64 = 1e-10;

/// Where in the range it is, 0 to 100; 0 where there is no range above `least`, as in TA-Lib.
#[inline]
fn position(number: f64, (highest, lowest): (f64, f64), least: f64) -> f64 {
    let range = highest - lowest;
    if range > least {
        100.0 * ((number - lowest) / range)
    } else {
        0.0
    }
}

/// The two smoothed lines of a stochastic.
#[derive(Debug, Clone)]
struct Lines {
    k: Sma,
    d: Sma,
}

impl Lines {
    fn new(k: u16, d: u16) -> Result<Self, StudyError> {
        Ok(Self {
            k: Sma::new(period("k_smoothing", k, 1)?)?,
            d: Sma::new(period("d_smoothing", d, 1)?)?,
        })
    }

    #[inline]
    fn push(&mut self, position: f64) {
        self.k.push(position);
        if let Some(k) = self.k.get() {
            self.d.push(k);
        }
    }

    #[inline]
    fn output(&self) -> Option<Output> {
        Output::of(&[self.k.get()?, self.d.get()?])
    }

    #[inline]
    fn output_after(&self, position: f64) -> Option<Output> {
        let k = self.k.after(position)?;
        Output::of(&[k, self.d.after(k)?])
    }

    /// After how many positions there is an output.
    fn first_value(&self) -> usize {
        self.k.first_value() + self.d.first_value() - 1
    }
}

/// Stochastic oscillator: where the close is between the lowest low and the highest high of the
/// last `period` bars, 0 to 100; `k` is the simple average of that over `k_smoothing` bars, `d`
/// that of `k` over `d_smoothing` bars.
///
/// First value with bar `period + k_smoothing + d_smoothing - 2`, which is also its warm-up. As
/// TA-Lib's `STOCH` with simple averages (and `STOCHF` with a `k_smoothing` of 1). Without any
/// range it is 0; talipp says 100.
#[derive(Debug, Clone)]
pub struct Stochastic {
    extremes: Extremes,
    lines: Lines,
    period: u16,
}

impl Stochastic {
    /// Over 1 to 1,000 bars each. Usual are 14, 3 and 3.
    ///
    /// # Errors
    /// When a period is out of its limits.
    pub fn new(bars: u16, k_smoothing: u16, d_smoothing: u16) -> Result<Self, StudyError> {
        let period = period("period", bars, 1)?;
        Ok(Self {
            extremes: Extremes::new(period),
            lines: Lines::new(k_smoothing, d_smoothing)?,
            period,
        })
    }
}

impl Study for Stochastic {
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        self.extremes.push(bar.high, bar.low);
        if let Some(range) = self.extremes.get() {
            self.lines.push(position(bar.close, range, 0.0));
        }
    }

    fn value(&self) -> Option<Output> {
        self.lines.output()
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        let range = self.extremes.after(bar.high, bar.low)?;
        self.lines.output_after(position(bar.close, range, 0.0))
    }

    fn first_value(&self) -> usize {
        usize::from(self.period) + self.lines.first_value() - 1
    }

    fn warm_up(&self) -> usize {
        self.first_value()
    }
}

/// Stochastic RSI: where the [`Rsi`] is between its lowest and its highest of the last `period`
/// bars, 0 to 100; `k` is the simple average of that over `k_smoothing` bars, `d` that of `k`
/// over `d_smoothing` bars.
///
/// First value with bar `rsi + period + k_smoothing + d_smoothing - 2`. TA-Lib's `STOCHRSI` does
/// not smooth `k`: its `STOCHRSI(14, 5, 3)` is that with 14, 5, 1 and 3. TradingView and talipp
/// have 14, 14, 3 and 3. Without any range it is 0, as in TA-Lib; talipp says 100. A range below
/// 1e-10 is none.
#[derive(Debug, Clone)]
pub struct StochasticRsi {
    rsi: Rsi,
    extremes: Extremes,
    lines: Lines,
    period: u16,
}

impl StochasticRsi {
    /// The RSI over 2 to 1,000 bars, the others over 1 to 1,000. Usual are 14, 14, 3 and 3.
    ///
    /// # Errors
    /// When a period is out of its limits.
    pub fn new(
        rsi: u16,
        bars: u16,
        k_smoothing: u16,
        d_smoothing: u16,
    ) -> Result<Self, StudyError> {
        let period = period("period", bars, 1)?;
        Ok(Self {
            rsi: Rsi::new(crate::error::period("rsi", rsi, 2)?)?,
            extremes: Extremes::new(period),
            lines: Lines::new(k_smoothing, d_smoothing)?,
            period,
        })
    }
}

impl Study for StochasticRsi {
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        self.rsi.push(bar.close);
        let Some(rsi) = self.rsi.get() else {
            return;
        };
        self.extremes.push(rsi, rsi);
        if let Some(range) = self.extremes.get() {
            self.lines.push(position(rsi, range, LEAST_RSI_RANGE));
        }
    }

    fn value(&self) -> Option<Output> {
        self.lines.output()
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        let mut next = self.rsi;
        next.push(bar.close);
        let rsi = next.get()?;
        let range = self.extremes.after(rsi, rsi)?;
        self.lines
            .output_after(position(rsi, range, LEAST_RSI_RANGE))
    }

    fn first_value(&self) -> usize {
        self.rsi.first_value() + usize::from(self.period) + self.lines.first_value() - 2
    }

    fn warm_up(&self) -> usize {
        self.rsi.warm_up() + self.first_value() - self.rsi.first_value()
    }
}
