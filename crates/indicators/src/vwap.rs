use crate::obv::quantity;
use crate::study::after;
use crate::{Ohlcv, Output, Study};

#[inline]
pub(crate) fn typical(bar: &Ohlcv) -> f64 {
    (bar.high + bar.low + bar.close) / 3.0
}

/// Volume-weighted average price of a trading day: the sum of typical price
/// (`(high + low + close) / 3`) times volume, divided by the sum of volumes.
///
/// Begins anew with each [`day`](Ohlcv::day), as TradingView's VWAP anchored to the session. No
/// value before something was traded that day, and none after a bar of unknown volume, which is
/// left out, until the next one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vwap {
    turnover: f64,
    volume: f64,
    day: i32,
    is_known: bool,
}

impl Vwap {
    /// One that has seen no bar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Study for Vwap {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        if bar.day != self.day {
            *self = Self {
                day: bar.day,
                ..Self::default()
            };
        }
        let volume = quantity(bar.volume);
        self.is_known = volume.is_some();
        if let Some(volume) = volume {
            self.turnover += typical(bar) * volume;
            self.volume += volume;
        }
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        if self.is_known && self.volume > 0.0 {
            Output::one(self.turnover / self.volume)
        } else {
            None
        }
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        after(self, bar)
    }

    fn first_value(&self) -> usize {
        1
    }

    /// One bar. It has to be the first of its day.
    fn warm_up(&self) -> usize {
        1
    }
}
