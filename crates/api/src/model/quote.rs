use strikewire_gateway::types::{ExchangeTime, Price, Utc};
use utoipa::ToSchema;

/// A quote. Which fields there are depends on the mode: `ticker` has the first three, `quote`
/// the day's figures too, `full` all. What is not known is left out; there is never a field
/// `close`. In a delta only what changed is there, and null where something became unknown.
#[derive(Debug, ToSchema)]
pub struct QuoteView {
    /// The last traded price.
    pub ltp: Option<Price>,
    /// When it traded.
    pub ltt: Option<ExchangeTime>,
    /// When the latest packet was received.
    pub recv: Option<Utc>,
    /// The last traded quantity.
    pub ltq: Option<u32>,
    /// The average traded price of the day.
    pub atp: Option<Price>,
    /// The quantity traded today.
    pub volume: Option<u32>,
    /// The open interest.
    pub oi: Option<u32>,
    /// The day's first price.
    pub open: Option<Price>,
    /// The day's highest price.
    pub high: Option<Price>,
    /// The day's lowest price.
    pub low: Option<Price>,
    /// The previous day's close.
    pub prev_close: Option<Price>,
    /// The best bid.
    pub bid: Option<Price>,
    /// The best ask.
    pub ask: Option<Price>,
    /// The quantity at the best bid.
    pub bid_qty: Option<u32>,
    /// The quantity at the best ask.
    pub ask_qty: Option<u32>,
    /// The quantity of all buy orders.
    pub total_buy_qty: Option<u32>,
    /// The quantity of all sell orders.
    pub total_sell_qty: Option<u32>,
    /// The five best prices of both sides, the best first.
    #[schema(max_items = 5)]
    pub depth: Option<Vec<DepthView>>,
}

/// One level of the depth.
#[derive(Debug, ToSchema)]
pub struct DepthView {
    /// The price bid; absent where there is none.
    pub bid: Option<Price>,
    /// The quantity bid at that price.
    pub bid_qty: u32,
    /// The orders that bid that price.
    pub bid_orders: u32,
    /// The price asked; absent where there is none.
    pub ask: Option<Price>,
    /// The quantity asked at that price.
    pub ask_qty: u32,
    /// The orders that ask that price.
    pub ask_orders: u32,
}
