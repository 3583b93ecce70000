/// A bar as indicators take it: prices in rupees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ohlcv {
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Quantity traded; not a number where it is unknown.
    pub volume: f64,
    /// Open interest; not a number where it is unknown.
    pub oi: f64,
    /// The session it belongs to: any number that changes from one trading day to the next
    /// and grows, days since 1970-01-01 for instance. What is anchored to a session (VWAP,
    /// pivot points) begins anew when it changes.
    pub day: i32,
}

impl Ohlcv {
    /// The greatest price, and with a minus sign the least, that studies take. Sums of squares
    /// of such prices are far from what a number can hold.
    pub const MOST_PRICE: f64 = 1e15;

    /// A bar with a single price, volume and open interest unknown, in session 0.
    #[must_use]
    pub const fn at(price: f64) -> Self {
        Self {
            open: price,
            high: price,
            low: price,
            close: price,
            volume: f64::NAN,
            oi: f64::NAN,
            day: 0,
        }
    }

    /// Whether all four prices are numbers and none beyond [`Ohlcv::MOST_PRICE`]. Studies
    /// leave out a bar that is not sound.
    #[must_use]
    #[inline]
    pub const fn is_sound(&self) -> bool {
        // A comparison with what is not a number is false. `&`: four comparisons and no branch.
        (self.open.abs() <= Self::MOST_PRICE)
            & (self.high.abs() <= Self::MOST_PRICE)
            & (self.low.abs() <= Self::MOST_PRICE)
            & (self.close.abs() <= Self::MOST_PRICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_price_must_be_a_number() {
        assert!(Ohlcv::at(26_500.0).is_sound());
        assert!(Ohlcv::at(-37.63).is_sound());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.1e15] {
            let bar = Ohlcv::at(1.0);
            assert!(!Ohlcv { open: bad, ..bar }.is_sound());
            assert!(!Ohlcv { high: bad, ..bar }.is_sound());
            assert!(!Ohlcv { low: bad, ..bar }.is_sound());
            assert!(!Ohlcv { close: bad, ..bar }.is_sound());
        }
    }
}
