//! Five indicators of an instrument: RSI 14, MACD 12 26 9, Bollinger Bands 20 2, EMA 20 and ATR
//! 14. Strikewire's, as its types and as any studies by id, and those of `kand`, whose
//! functions go from one value to the next and leave the state to the caller.

use kand::ta::ohlcv::{atr, bbands, ema, macd, rsi};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use strikewire_indicators::{AnyStudy, Atr, Bollinger, Ema, IndicatorId, Macd, Ohlcv, Rsi, Study};

/// What the five say: RSI, MACD, its signal and histogram, upper, middle and lower band, EMA, ATR.
pub type Values = [f64; 9];

/// So many bars until each of the five has a value.
pub const FIRST: usize = 34;

pub const IDS: [&str; 5] = ["RSI_14", "MACD_12_26_9", "BB_20_2", "EMA_20", "ATR_14"];

/// A walk around 26,500, in steps of 0.05.
#[must_use]
pub fn bars(count: usize, seed: u64) -> Vec<Ohlcv> {
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut price = 26_500.0_f64;
    let mut bar = || {
        let path: [f64; 4] = std::array::from_fn(|_| {
            price += f64::from(random.random_range(-200..=200)) / 20.0;
            (price * 20.0).round() / 20.0
        });
        price += (26_500.0 - price) * 0.01;
        Ohlcv {
            open: path[0],
            high: path.into_iter().fold(f64::MIN, f64::max),
            low: path.into_iter().fold(f64::MAX, f64::min),
            ..Ohlcv::at(path[3])
        }
    };
    (0..count).map(|_| bar()).collect()
}

/// Strikewire's, each as its type.
#[derive(Debug, Clone)]
pub struct Typed {
    rsi: Rsi,
    macd: Macd,
    bands: Bollinger,
    ema: Ema,
    atr: Atr,
}

impl Typed {
    /// # Panics
    ///
    /// Never: the parameters are right.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rsi: Rsi::new(14).unwrap(),
            macd: Macd::new(12, 26, 9).unwrap(),
            bands: Bollinger::new(20, 2.0).unwrap(),
            ema: Ema::new(20).unwrap(),
            atr: Atr::new(14).unwrap(),
        }
    }

    /// What they say after `bar`; nothing until all of them do.
    #[inline]
    pub fn step(&mut self, bar: &Ohlcv) -> Option<Values> {
        self.rsi.update(bar);
        self.macd.update(bar);
        self.bands.update(bar);
        self.ema.update(bar);
        self.atr.update(bar);
        let (macd, bands) = (self.macd.value()?, self.bands.value()?);
        let (&[line, signal, histogram], &[upper, middle, lower]) =
            (macd.as_slice(), bands.as_slice())
        else {
            return None;
        };
        let [rsi, ema, atr] = [self.rsi.value()?, self.ema.value()?, self.atr.value()?];
        let [rsi, ema, atr] = [rsi.first(), ema.first(), atr.first()];
        Some([rsi, line, signal, histogram, upper, middle, lower, ema, atr])
    }
}

impl Default for Typed {
    fn default() -> Self {
        Self::new()
    }
}

/// Strikewire's, as they come from ids.
#[derive(Debug, Clone)]
pub struct Any([AnyStudy; 5]);

impl Any {
    /// # Panics
    ///
    /// Never: the ids are right.
    #[must_use]
    pub fn new() -> Self {
        Self(IDS.map(|id| id.parse::<IndicatorId>().unwrap().build()))
    }

    /// What they say after `bar`; nothing until all of them do.
    #[inline]
    pub fn step(&mut self, bar: &Ohlcv) -> Option<Values> {
        let mut values = [0.0; 9];
        let mut rest = values.iter_mut();
        for study in &mut self.0 {
            study.update(bar);
        }
        for study in &self.0 {
            // Read where it is: a copy would wait until its numbers are written.
            let value = study.value();
            for number in value.as_ref()?.as_slice() {
                *rest.next()? = *number;
            }
        }
        Some(values)
    }
}

impl Default for Any {
    fn default() -> Self {
        Self::new()
    }
}

/// `kand`'s, begun with its functions over the first bars.
#[derive(Debug, Clone)]
pub struct Kand {
    last_close: f64,
    gain: f64,
    loss: f64,
    fast: f64,
    slow: f64,
    signal: f64,
    closes: Box<[f64]>,
    oldest: usize,
    mean: f64,
    sum: f64,
    squares: f64,
    ema: f64,
    factor: f64,
    atr: f64,
}

impl Kand {
    /// After `bars`, of which there must be at least [`FIRST`].
    ///
    /// # Panics
    ///
    /// When there are too few.
    #[must_use]
    pub fn after(bars: &[Ohlcv]) -> Self {
        let count = bars.len();
        let column = |of: fn(&Ohlcv) -> f64| bars.iter().map(of).collect::<Vec<f64>>();
        let (highs, lows, closes) = (
            column(|it| it.high),
            column(|it| it.low),
            column(|it| it.close),
        );
        let out = || vec![0.0; count];
        let (mut value, mut gains, mut losses) = (out(), out(), out());
        rsi::rsi(&closes, 14, &mut value, &mut gains, &mut losses).unwrap();
        let (mut line, mut signal, mut histogram, mut fast, mut slow) =
            (out(), out(), out(), out(), out());
        macd::macd(
            &closes,
            12,
            26,
            9,
            &mut line,
            &mut signal,
            &mut histogram,
            &mut fast,
            &mut slow,
        )
        .unwrap();
        let (mut upper, mut middle, mut lower) = (out(), out(), out());
        let (mut mean, mut variance, mut sum, mut squares) = (out(), out(), out(), out());
        bbands::bbands(
            &closes,
            20,
            2.0,
            2.0,
            &mut upper,
            &mut middle,
            &mut lower,
            &mut mean,
            &mut variance,
            &mut sum,
            &mut squares,
        )
        .unwrap();
        let (mut average, mut range) = (out(), out());
        ema::ema(&closes, 20, None, &mut average).unwrap();
        atr::atr(&highs, &lows, &closes, 14, &mut range).unwrap();
        let last = count - 1;
        Self {
            last_close: closes[last],
            gain: gains[last],
            loss: losses[last],
            fast: fast[last],
            slow: slow[last],
            signal: signal[last],
            closes: closes[count - 20..].into(),
            oldest: 0,
            mean: mean[last],
            sum: sum[last],
            squares: squares[last],
            ema: average[last],
            factor: 2.0 / 21.0,
            atr: range[last],
        }
    }

    /// What they say after `bar`.
    ///
    /// # Panics
    ///
    /// When `kand` refuses it.
    #[inline]
    pub fn step(&mut self, bar: &Ohlcv) -> Values {
        let close = bar.close;
        let (rsi, gain, loss) =
            rsi::rsi_inc(close, self.last_close, self.gain, self.loss, 14).unwrap();
        // `macd_inc` does not give back the averages that its next call wants: of its three
        // averages, with their factors, it is quicker.
        self.fast = ema::ema_inc(close, self.fast, 12, Some(2.0 / 13.0)).unwrap();
        self.slow = ema::ema_inc(close, self.slow, 26, Some(2.0 / 27.0)).unwrap();
        let line = self.fast - self.slow;
        let signal = ema::ema_inc(line, self.signal, 9, Some(2.0 / 10.0)).unwrap();
        let histogram = line - signal;
        let oldest = std::mem::replace(&mut self.closes[self.oldest], close);
        self.oldest = if self.oldest == 19 {
            0
        } else {
            self.oldest + 1
        };
        let (upper, middle, lower, mean, sum, squares) = bbands::bbands_inc(
            close,
            self.mean,
            self.sum,
            self.squares,
            oldest,
            20,
            2.0,
            2.0,
        )
        .unwrap();
        let ema = ema::ema_inc(close, self.ema, 20, Some(self.factor)).unwrap();
        let atr = atr::atr_inc(bar.high, bar.low, self.last_close, self.atr, 14).unwrap();
        (self.gain, self.loss, self.last_close) = (gain, loss, close);
        self.signal = signal;
        (self.mean, self.sum, self.squares) = (mean, sum, squares);
        (self.ema, self.atr) = (ema, atr);
        [rsi, line, signal, histogram, upper, middle, lower, ema, atr]
    }
}
