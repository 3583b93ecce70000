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
