//! Packets read field by field into a map of structs.

use std::collections::HashMap;

/// One level of the book.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// Quantity bid.
    pub bid_qty: u32,
    /// Quantity asked.
    pub ask_qty: u32,
    /// Orders bidding.
    pub bid_orders: u16,
    /// Orders asking.
    pub ask_orders: u16,
    /// Price bid.
    pub bid: f32,
    /// Price asked.
    pub ask: f32,
}

/// What an instrument last said, in the numbers of the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quote {
    /// Last traded price.
    pub ltp: f32,
    /// Quantity of the last trade.
    pub ltq: u16,
    /// When it traded.
    pub ltt: u32,
    /// Average price of the day.
    pub atp: f32,
    /// Quantity traded today.
    pub volume: u32,
    /// Quantity on offer.
    pub total_sell_qty: u32,
    /// Quantity bid for.
    pub total_buy_qty: u32,
    /// Open interest, now, at its highest and at its lowest.
    pub oi: [u32; 3],
    /// Open, close, high and low.
    pub day: [f32; 4],
    /// Five levels.
    pub depth: [Level; 5],
}

/// Quotes by security id.
pub type Quotes = HashMap<u32, Quote>;

/// Reads every packet of a frame into its quote. How many there were; stops at the
/// first one it does not know.
///
/// # Panics
///
/// On a frame that is cut short.
pub fn apply(quotes: &mut Quotes, frame: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = frame;
    while rest.len() >= 8 {
        let length = usize::from(u16_at(rest, 1));
        let quote = quotes.entry(u32_at(rest, 4)).or_default();
        match rest[0] {
            2 => {
                quote.ltp = f32_at(rest, 8);
                quote.ltt = u32_at(rest, 12);
            }
            4 => {
                day(quote, rest);
                quote.day = [34, 38, 42, 46].map(|at| f32_at(rest, at));
            }
            8 => {
                day(quote, rest);
                quote.oi = [34, 38, 42].map(|at| u32_at(rest, at));
                quote.day = [46, 50, 54, 58].map(|at| f32_at(rest, at));
                for (level, at) in quote.depth.iter_mut().zip((62..).step_by(20)) {
                    *level = Level {
                        bid_qty: u32_at(rest, at),
                        ask_qty: u32_at(rest, at + 4),
                        bid_orders: u16_at(rest, at + 8),
                        ask_orders: u16_at(rest, at + 10),
                        bid: f32_at(rest, at + 12),
                        ask: f32_at(rest, at + 16),
                    };
                }
            }
            _ => return count,
        }
        count += 1;
        rest = &rest[length..];
    }
    count
}

/// What quote and full packets have in common.
fn day(quote: &mut Quote, packet: &[u8]) {
    quote.ltp = f32_at(packet, 8);
    quote.ltq = u16_at(packet, 12);
    quote.ltt = u32_at(packet, 14);
    quote.atp = f32_at(packet, 18);
    quote.volume = u32_at(packet, 22);
    quote.total_sell_qty = u32_at(packet, 26);
    quote.total_buy_qty = u32_at(packet, 30);
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("a slice of N bytes is an array of N bytes")
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_le_bytes(bytes_at(bytes, at))
}
