use crate::error::period;
use crate::extreme::Extremes;
use crate::window::Window;
use crate::{Ohlcv, Output, Study, StudyError};

/// Ichimoku Kinko Hyo. Each line is the middle between the highest high and the lowest low of
/// some bars.
///
/// The numbers are
/// - `conversion` and `base`, over as many bars each;
/// - `span_a` and `span_b`, the cloud as it lies over this bar: the mean of conversion and base,
///   and the middle over `span` bars, both of `base - 1` bars ago;
/// - `lagging`, the close, which charts draw `base - 1` bars back.
///
/// With its defaults of 9, 26 and 52 as TradingView's "Ichimoku Cloud", whose displacement of 26
/// moves the cloud 25 bars. First value, and warm-up, when the cloud has reached the bar: with
/// bar `span + base - 1`, 77.
#[derive(Debug, Clone)]
pub struct Ichimoku {
    conversion: Extremes,
    base: Extremes,
    span: Extremes,
    /// The cloud on its way, and where it lies over the last bar.
    a: Window,
    b: Window,
    cloud: Option<(f64, f64)>,
    close: f64,
    first_value: u16,
}

/// What a bar makes of the lines.
struct Lines {
    conversion: Option<f64>,
    base: Option<f64>,
    /// Both edges of the cloud that begins.
    begins: Option<(f64, f64)>,
}

impl Ichimoku {
    /// Over 1 to 1,000, 2 to 1,000 and 1 to 1,000 bars.
    ///
    /// # Errors
    /// When a period is out of its limits.
    pub fn new(conversion: u16, base: u16, span: u16) -> Result<Self, StudyError> {
        let conversion = period("conversion", conversion, 1)?;
        let base = period("base", base, 2)?;
        let span = period("span", span, 1)?;
        Ok(Self {
            conversion: Extremes::new(conversion),
            base: Extremes::new(base),
            span: Extremes::new(span),
            a: Window::new(base - 1),
            b: Window::new(base - 1),
            cloud: None,
            close: 0.0,
            first_value: conversion.max(base).max(span) + base - 1,
        })
    }

    fn lines(&self, of: impl Fn(&Extremes) -> Option<(f64, f64)>) -> Lines {
        let middle = |extremes| of(extremes).map(|(highest, lowest)| (highest + lowest) / 2.0);
        let (conversion, base) = (middle(&self.conversion), middle(&self.base));
        let mean = conversion.zip(base).map(|(one, other)| (one + other) / 2.0);
        Lines {
            conversion,
            base,
            begins: mean.zip(middle(&self.span)),
        }
    }

    /// The cloud that the next bar lies under.
    fn arrives(&self) -> Option<(f64, f64)> {
        let is_there = self.a.is_full();
        is_there.then(|| (self.a.oldest(), self.b.oldest()))
    }

    fn output(lines: &Lines, cloud: Option<(f64, f64)>, close: f64) -> Option<Output> {
        let (a, b) = cloud?;
        Output::of(&[lines.conversion?, lines.base?, a, b, close])
    }
}

impl Study for Ichimoku {
    fn update(&mut self, bar: &Ohlcv) {
        if !bar.is_sound() {
            return;
        }
        for extremes in [&mut self.conversion, &mut self.base, &mut self.span] {
            extremes.push(bar.high, bar.low);
        }
        self.cloud = self.arrives();
        if let Some((a, b)) = self.lines(Extremes::get).begins {
            self.a.push(a);
            self.b.push(b);
        }
        self.close = bar.close;
    }

    fn value(&self) -> Option<Output> {
        Self::output(&self.lines(Extremes::get), self.cloud, self.close)
    }

    fn peek(&self, bar: &Ohlcv) -> Option<Output> {
        if !bar.is_sound() {
            return self.value();
        }
        let lines = self.lines(|extremes| extremes.after(bar.high, bar.low));
        Self::output(&lines, self.arrives(), bar.close)
    }

    fn first_value(&self) -> usize {
        usize::from(self.first_value)
    }

    fn warm_up(&self) -> usize {
        usize::from(self.first_value)
    }
}
