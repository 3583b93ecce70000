//! Bars from ticks, and technical indicators that advance bar by bar.

mod bar;
mod ohlcv;
mod timeframe;

pub use bar::Bar;
pub use ohlcv::Ohlcv;
pub use timeframe::{Timeframe, TimeframeError};
