use strikewire_types::{Price, Utc};

use crate::Ohlcv;

/// What was traded in a stretch of a session. Times are the exchange's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// When it begins: the open of the session, or a multiple of the timeframe after it.
    pub start: Utc,
    /// When it ends, exclusive: at the session's close at the latest.
    pub end: Utc,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Quantity traded in it; absent where the feed does not say (an index).
    pub volume: Option<u64>,
    /// Open interest, the last that was said in it; absent where the feed does not say.
    pub oi: Option<u64>,
    /// Whether everything that traded in it is known to be in it. Not so when the feed
    /// reported a gap, or began in the middle of it.
    pub complete: bool,
}

impl Bar {
    /// As indicators take it: `day` tells sessions apart.
    #[must_use]
    pub fn ohlcv(&self, day: i32) -> Ohlcv {
        Ohlcv {
            open: self.open.as_f64(),
            high: self.high.as_f64(),
            low: self.low.as_f64(),
            close: self.close.as_f64(),
            volume: self.volume.map_or(f64::NAN, |volume| volume as f64),
            oi: self.oi.map_or(f64::NAN, |oi| oi as f64),
            day,
        }
    }
}
