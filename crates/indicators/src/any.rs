use crate::catalog::Parameter;
use crate::id::Numbers;
use crate::{
    Adx, Atr, Bollinger, Cci, Dema, Donchian, Ema, Ichimoku, Keltner, Macd, Mfi, Obv, Ohlcv,
    OiChange, Output, ParabolicSar, Pivot, PivotKind, Roc, Rsi, Sma, Stochastic, StochasticRsi,
    Study, StudyError, Supertrend, Tema, Vwap, WilliamsR, Wma,
};

/// What all ids of one indicator have in common.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) outputs: &'static [&'static str],
    pub(crate) parameters: &'static [Parameter],
    pub(crate) trading_view: bool,
    pub(crate) needs_volume: bool,
    pub(crate) needs_oi: bool,
    pub(crate) anchored: bool,
}

impl Row {
    const fn new(
        name: &'static str,
        title: &'static str,
        parameters: &'static [Parameter],
    ) -> Self {
        Self {
            name,
            title,
            outputs: &["value"],
            parameters,
            trading_view: false,
            needs_volume: false,
            needs_oi: false,
            anchored: false,
        }
    }

    /// Several numbers, of these names.
    const fn gives(self, outputs: &'static [&'static str]) -> Self {
        Self { outputs, ..self }
    }

    /// Has another convention, `_TV`.
    const fn trading_view(self) -> Self {
        Self {
            trading_view: true,
            ..self
        }
    }

    /// Has no value without volume.
    const fn volume(self) -> Self {
        Self {
            needs_volume: true,
            ..self
        }
    }

    /// Has no value without open interest.
    const fn oi(self) -> Self {
        Self {
            needs_oi: true,
            ..self
        }
    }

    /// Begins anew with each trading day.
    const fn anchored(self) -> Self {
        Self {
            anchored: true,
            ..self
        }
    }
}

const fn period(default: u16, least: u16) -> Parameter {
    bars("period", default, least)
}

const PIVOTS: &[&str] = &["pivot", "r1", "s1", "r2", "s2"];

const fn bars(name: &'static str, default: u16, least: u16) -> Parameter {
    Parameter::whole(name, default, least, crate::error::MOST_PERIOD)
}

/// The indicators. Of each: its kind, the type that computes it (boxed when that has more than
/// 40 bytes), what its ids have in common, and how it is made of the numbers of an id, which
/// are within the limits of the parameters.
macro_rules! indicators {
    ($($kind:ident($study:ty) = $row:expr, $make:expr;)*) => {
        /// Which indicator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Kind {
            $($kind,)*
        }

        static ROWS: &[Row] = &[$($row,)*];

        impl Kind {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind,)*];

            pub(crate) fn row(self) -> &'static Row {
                &ROWS[self as usize]
            }

            /// The study, from numbers within the limits of the parameters.
            pub(crate) fn make(self, numbers: &Numbers) -> Result<AnyStudy, StudyError> {
                fn made<M, S: From<M>>(
                    make: impl Fn(&Numbers) -> Result<M, StudyError>,
                    numbers: &Numbers,
                ) -> Result<S, StudyError> {
                    make(numbers).map(S::from)
                }
                Ok(AnyStudy(match self {
                    $(Self::$kind => Inner::$kind(made($make, numbers)?),)*
                }))
            }
        }

        #[derive(Debug, Clone)]
        enum Inner {
            $($kind($study),)*
        }

        impl Study for AnyStudy {
            #[inline]
            fn update(&mut self, bar: &Ohlcv) {
                match &mut self.0 {
                    $(Inner::$kind(study) => study.update(bar),)*
                }
            }

            #[inline]
            fn value(&self) -> Option<Output> {
                match &self.0 {
                    $(Inner::$kind(study) => study.value(),)*
                }
            }

            #[inline]
            fn peek(&self, bar: &Ohlcv) -> Option<Output> {
                match &self.0 {
                    $(Inner::$kind(study) => study.peek(bar),)*
                }
            }

            fn first_value(&self) -> usize {
                match &self.0 {
                    $(Inner::$kind(study) => study.first_value(),)*
                }
            }

            fn warm_up(&self) -> usize {
                match &self.0 {
                    $(Inner::$kind(study) => study.warm_up(),)*
                }
            }
        }
    };
}

/// The study of an [`IndicatorId`](crate::IndicatorId), whichever it is.
#[derive(Debug, Clone)]
pub struct AnyStudy(Inner);

indicators! {
    Sma(Sma) = Row::new("SMA", "Simple moving average", &[period(20, 1)]), |p| Sma::new(p.bars(0));
    Ema(Ema) = Row::new("EMA", "Exponential moving average", &[period(20, 1)]), |p| Ema::new(p.bars(0));
    Wma(Wma) = Row::new("WMA", "Weighted moving average", &[period(20, 1)]), |p| Wma::new(p.bars(0));
    Dema(Box<Dema>) = Row::new("DEMA", "Double exponential moving average", &[period(20, 1)]), |p| Dema::new(p.bars(0));
    Tema(Box<Tema>) = Row::new("TEMA", "Triple exponential moving average", &[period(20, 1)]), |p| Tema::new(p.bars(0));
    Rsi(Rsi) = Row::new("RSI", "Relative strength index", &[period(14, 2)]), |p| Rsi::new(p.bars(0));
    Macd(Macd) = Row::new("MACD", "Moving average convergence divergence", &[bars("fast", 12, 1), bars("slow", 26, 2), bars("signal", 9, 1)])
        .gives(&["macd", "signal", "histogram"]).trading_view(), |p| Ok(Macd::new(p.bars(0), p.bars(1), p.bars(2))?.seeds(p.seeds()));
    Bollinger(Bollinger) = Row::new("BB", "Bollinger Bands", &[period(20, 2), Parameter::decimal("deviations", 2.0, 0.001, 50.0)])
        .gives(&["upper", "middle", "lower"]), |p| Bollinger::new(p.bars(0), p.decimal(1));
    Atr(Atr) = Row::new("ATR", "Average true range", &[period(14, 1)]).trading_view(), |p| Ok(Atr::new(p.bars(0))?.seeds(p.seeds()));
    Adx(Box<Adx>) = Row::new("ADX", "Average directional index", &[period(14, 2)])
        .gives(&["adx", "plus_di", "minus_di"]).trading_view(), |p| Ok(Adx::new(p.bars(0))?.seeds(p.seeds()));
    Stochastic(Box<Stochastic>) = Row::new("STOCH", "Stochastic oscillator", &[period(14, 1), bars("k_smoothing", 3, 1), bars("d_smoothing", 3, 1)])
        .gives(&["k", "d"]), |p| Stochastic::new(p.bars(0), p.bars(1), p.bars(2));
    StochasticRsi(Box<StochasticRsi>) = Row::new("STOCHRSI", "Stochastic RSI", &[bars("rsi", 14, 2), period(14, 1), bars("k_smoothing", 3, 1), bars("d_smoothing", 3, 1)])
        .gives(&["k", "d"]), |p| StochasticRsi::new(p.bars(0), p.bars(1), p.bars(2), p.bars(3));
    Roc(Roc) = Row::new("ROC", "Rate of change", &[period(10, 1)]), |p| Roc::new(p.bars(0));
    Cci(Cci) = Row::new("CCI", "Commodity channel index", &[period(20, 2)]), |p| Cci::new(p.bars(0));
    WilliamsR(Box<WilliamsR>) = Row::new("WILLR", "Williams %R", &[period(14, 2)]), |p| WilliamsR::new(p.bars(0));
    Obv(Obv) = Row::new("OBV", "On-balance volume", &[]).volume(), |_| Ok(Obv::new());
    Vwap(Vwap) = Row::new("VWAP", "Volume-weighted average price of the day", &[]).volume().anchored(), |_| Ok(Vwap::new());
    Mfi(Box<Mfi>) = Row::new("MFI", "Money flow index", &[period(14, 2)]).volume(), |p| Mfi::new(p.bars(0));
    Supertrend(Box<Supertrend>) = Row::new("SUPERTREND", "Supertrend", &[period(10, 1), Parameter::decimal("multiplier", 3.0, 0.001, 50.0)])
        .gives(&["value", "direction"]), |p| Supertrend::new(p.bars(0), p.decimal(1));
    Keltner(Box<Keltner>) = Row::new("KELTNER", "Keltner channels", &[period(20, 1), Parameter::decimal("multiplier", 2.0, 0.001, 50.0), bars("atr_period", 10, 1)])
        .gives(&["upper", "middle", "lower"]), |p| Keltner::new(p.bars(0), p.decimal(1), p.bars(2));
    Donchian(Box<Donchian>) = Row::new("DONCHIAN", "Donchian channels", &[period(20, 1)])
        .gives(&["upper", "middle", "lower"]), |p| Donchian::new(p.bars(0));
    ParabolicSar(Box<ParabolicSar>) = Row::new("PSAR", "Parabolic stop and reverse", &[Parameter::decimal("step", 0.02, 0.001, 1.0), Parameter::decimal("maximum", 0.2, 0.001, 1.0)]),
        |p| ParabolicSar::new(p.decimal(0), p.decimal(1));
    Ichimoku(Box<Ichimoku>) = Row::new("ICHIMOKU", "Ichimoku Kinko Hyo", &[bars("conversion", 9, 1), bars("base", 26, 2), bars("span", 52, 1)])
        .gives(&["conversion", "base", "span_a", "span_b", "lagging"]), |p| Ichimoku::new(p.bars(0), p.bars(1), p.bars(2));
    Pivot(Box<Pivot>) = Row::new("PIVOT", "Pivot points", &[]).gives(PIVOTS).anchored(), |_| Ok(Pivot::new(PivotKind::Classic));
    PivotFibonacci(Box<Pivot>) = Row::new("PIVOTFIB", "Pivot points, Fibonacci", &[]).gives(PIVOTS).anchored(), |_| Ok(Pivot::new(PivotKind::Fibonacci));
    PivotCamarilla(Box<Pivot>) = Row::new("PIVOTCAM", "Pivot points, Camarilla", &[]).gives(&["pivot", "r3", "s3", "r4", "s4"]).anchored(), |_| Ok(Pivot::new(PivotKind::Camarilla));
    PivotWoodie(Box<Pivot>) = Row::new("PIVOTWOODIE", "Pivot points, Woodie", &[]).gives(PIVOTS).anchored(), |_| Ok(Pivot::new(PivotKind::Woodie));
    OiChange(OiChange) = Row::new("OICHANGE", "Change of open interest since the day before", &[])
        .gives(&["change", "percent"]).oi().anchored(), |_| Ok(OiChange::new());
}
