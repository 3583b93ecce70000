//! Bars from ticks, and technical indicators that advance bar by bar.
//!
//! **Bars.** A [`MinuteBuilder`] makes minute bars of an instrument's [`Tick`]s, by the exchange's
//! time and within the sessions of a [`Calendar`]. An [`Aggregator`] makes those of a
//! [`Timeframe`] of them, aligned to the open of the session. What traded while the feed was away
//! is missing; such a [`Bar`] says that it is not complete.
//!
//! **Studies.** Every indicator is a type that implements [`Study`]: it takes closed bars with
//! [`update`](Study::update), says what it makes of them with [`value`](Study::value), and with
//! [`peek`](Study::peek) what it would make of a bar that is still forming, which changes nothing.
//! An update costs the same whatever came before, on average where a window is gone through once
//! per round, and allocates nothing. What a study says is finite numbers or nothing; a bar with a
//! price that is no number is left out.
//!
//! **Ids.** An [`IndicatorId`] is an indicator with its parameters, read strictly from text and
//! shown in one form only. It builds the study, and knows what its numbers are called and how
//! many bars it needs. The [`catalog`] lists what there is.
//!
//! **Conventions** are TA-Lib's, to 1e-9; where TradingView's differ and are wanted, an id that ends
//! in `_TV` has them. Each type says how it is computed, what it begins with and when its first
//! value comes.
//!
//! ```
//! use strikewire_indicators::{IndicatorId, Ohlcv, Study};
//!
//! let id: IndicatorId = "macd_3_6_2".parse()?;
//! assert_eq!(id.to_string(), "MACD_3_6_2");
//! assert_eq!(id.outputs(), ["macd", "signal", "histogram"]);
//!
//! let mut macd = id.build();
//! for nth in 1..=id.first_value() {
//!     assert_eq!(macd.value(), None);
//!     macd.update(&Ohlcv::at(26_500.0 + 10.0 * nth as f64));
//! }
//! // On a straight line the fast average is 1.5 steps ahead of the slow one.
//! let value = macd.value().expect("there are enough bars");
//! let [line, signal, histogram] = value.as_slice() else { unreachable!() };
//! assert!((line - 15.0).abs() < 1e-9 && (signal - 15.0).abs() < 1e-9 && histogram.abs() < 1e-9);
//!
//! // The bar that forms: as often as one likes.
//! let higher = macd.peek(&Ohlcv::at(26_600.0)).expect("enough");
//! assert!(higher.first() > 15.0);
//! assert_eq!(macd.value(), Some(value));
//!
//! let error = "MACD_26_12".parse::<IndicatorId>().unwrap_err();
//! assert_eq!(error.to_string(), "indicator MACD: fast 26; expected less than slow, which is 12");
//! # Ok::<(), strikewire_indicators::Error>(())
//! ```
//!
//! With `serde` the catalogue can be written as JSON, and with `openapi` described. The crate does
//! no IO and knows no clock: other services can link it as it is.

mod adx;
mod any;
mod atr;
mod bar;
mod bars;
mod bollinger;
mod catalog;
mod cci;
mod donchian;
mod ema;
mod error;
mod extreme;
mod ichimoku;
mod id;
mod keltner;
mod macd;
mod mfi;
mod obv;
mod ohlcv;
mod oi_change;
mod parabolic;
mod pivot;
mod roc;
mod rsi;
mod settle;
mod sma;
mod stochastic;
mod study;
mod supertrend;
mod timeframe;
mod vwap;
mod williams;
mod window;
mod wma;

pub use adx::Adx;
pub use any::AnyStudy;
pub use atr::Atr;
pub use bar::Bar;
pub use bars::{
    Aggregator, Fill, GRACE, MinuteBuilder, Tick, aggregate, bar_end, bar_start, bars_before,
    session_of,
};
pub use bollinger::Bollinger;
pub use catalog::{Entry, Parameter, catalog};
pub use cci::Cci;
pub use donchian::Donchian;
pub use ema::{Dema, Ema, Tema};
pub use error::{Error, StudyError};
pub use ichimoku::Ichimoku;
pub use id::IndicatorId;
pub use keltner::Keltner;
pub use macd::Macd;
pub use mfi::Mfi;
pub use obv::Obv;
pub use ohlcv::Ohlcv;
pub use oi_change::OiChange;
pub use parabolic::ParabolicSar;
pub use pivot::{Pivot, PivotKind};
pub use roc::Roc;
pub use rsi::Rsi;
pub use sma::Sma;
pub use stochastic::{Stochastic, StochasticRsi};
pub use study::{Output, Seeds, Study};
pub use supertrend::Supertrend;
pub use timeframe::{Timeframe, TimeframeError};
pub use vwap::Vwap;
pub use williams::WilliamsR;
pub use wma::Wma;

pub use strikewire_calendar::{Calendar, Class, Session};
