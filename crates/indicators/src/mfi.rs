use crate::error::period;
use crate::obv::quantity;
use crate::vwap::typical;
use crate::window::Window;
use crate::{Ohlcv, Output, Study, StudyError};

/// The least flow of money over the window that an index is made of, in rupees.
const LEAST_FLOW: f64 = 1.0;

/// Money flow index: of the money (typical price, `(high + low + close) / 3`, times volume) that
/// flowed in the last `period` bars, the part in percent that flowed in bars whose typical price
/// was above that of the bar before. Bars where it was the same do not count.
///
/// First value with bar `period + 1`, which is also its warm-up. 0 where less than a rupee
/// flowed. As TA-Lib's `MFI`. No value while a bar of unknown volume is in the window.
#[derive(Debug, Clone)]
pub struct Mfi {
    /// Flows of bars: above 0 where the price rose, below 0 where it fell.
    flows: Window,
    sums: Flows,
    /// Typical price of the last bar.
    last: f64,
    has_begun: bool,
    /// For how many bars the volume has been known, up to the period.
    known: u16,
}

/// What flowed up and down in a window.
#[derive(Debug, Clone, Copy, Default)]
struct Flows {
    up: Sum,
    down: Sum,
}

impl Flows {
    #[inline]
    fn add(&mut self, flow: f64) {
        self.up.add(flow.max(0.0));
        self.down.add((-flow).max(0.0));
    }

    #[inline]
    fn take(&mut self, flow: f64) {
        self.up.add(-flow.max(0.0));
        self.down.add(-(-flow).max(0.0));
    }
}

/// A sum that keeps what is rounded away (Knuth's two-sum): one bar may trade a thousand
/// million times what the next one does, and when it leaves the window nothing of it stays.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    rest: f64,
}

impl Sum {
    #[inline]
    fn add(&mut self, number: f64) {
        let sum = self.sum + number;
        let of_number = sum - self.sum;
        let of_sum = sum - of_number;
        self.rest += (self.sum - of_sum) + (number - of_number);
        self.sum = sum;
    }

    #[inline]
    fn get(self) -> f64 {
        self.sum + self.rest
    }
}

impl Mfi {
    /// Over 2 to 1,000 bars. Usual are 14.
    ///
    /// # Errors
    /// When the period is out of its limits.
    pub fn new(bars: u16) -> Result<Self, StudyError> {
        Ok(Self {
            flows: Window::new(period("period", bars, 2)?),
            sums: Flows::default(),
            last: 0.0,
            has_begun: false,
            known: 0,
        })
    }

    fn flow(&self, bar: &Ohlcv) -> Option<f64> {
        let price = typical(bar);
        // A price may be below 0; money is not.
        let money = price.abs() * quantity(bar.volume)?;
        Some(if price > self.last {
            money
        } else if price < self.last {
            -money
        } else {
            0.0
        })
    }

    #[inline]
    fn sums_with(&self, flow: f64) -> Flows {
        let mut sums = self.sums;
        if self.flows.comes_round() {
            sums = Flows::default();
            for &flow in self.flows.staying() {
                sums.add(flow);
            }
        } else {
            sums.take(self.flows.oldest());
        }
        sums.add(flow);
        sums
    }

    fn known_with(&self, flow: Option<f64>) -> u16 {
        match flow {
            Some(_) if usize::from(self.known) < self.flows.len() => self.known + 1,
            Some(_) => self.known,
            None => 0,
        }
    }

    fn output(&self, sums: Flows, known: u16) -> Option<Output> {
        let up = sums.up.get();
        let flowed = up + sums.down.get();
        if usize::from(known) < self.flows.len() {
            None
        } else if flowed < LEAST_FLOW {
            Output::one(0.0)
        } else {
            Output::one(100.0 * (up / flowed))
        }
    }
}

impl Study for Mfi {
    #[inline]
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        // The first bar only tells from where the second one moved.
        if self.has_begun {
            let flow = self.flow(bar);
            self.known = self.known_with(flow);
            let flow = flow.unwrap_or(0.0);
            self.sums = self.sums_with(flow);
            self.flows.push(flow);
        }
        self.has_begun = true;
        self.last = typical(bar);
    }

    #[inline]
    fn value(&self) -> Option<Output> {
        self.output(self.sums, self.known)
    }

    #[inline]
    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() || !self.has_begun {
            return self.value();
        }
        let flow = self.flow(bar);
        let known = self.known_with(flow);
        self.output(self.sums_with(flow.unwrap_or(0.0)), known)
    }

    fn first_value(&self) -> usize {
        self.flows.len() + 1
    }

    fn warm_up(&self) -> usize {
        self.flows.len() + 1
    }
}
