//! The wire: every packet as it lies in a frame, the codes, and the JSON of
//! requests.
//!
//! All numbers are little-endian. Prices are `f32` rupees, times are seconds of the
//! wall clock of India counted as if it were UTC (see [`wall_clock`]), quantities are
//! unsigned. The structs have no padding and no alignment, so a packet is read in
//! place and written with [`as_bytes`](zerocopy::IntoBytes::as_bytes):
//!
//! ```
//! use strikewire_dhan::wire::{Ticker, wall_clock};
//! use strikewire_types::{InstrumentKey, Segment};
//! use zerocopy::IntoBytes;
//!
//! let packet = Ticker {
//!     header: Ticker::header(InstrumentKey::new(Segment::IdxI, 13)),
//!     ltp: 23378.35.into(),
//!     ltt: wall_clock(1_781_065_197).into(),
//! };
//! assert_eq!(packet.as_bytes().len(), 16);
//! assert_eq!(packet.as_bytes()[..8], [2, 16, 0, 0, 13, 0, 0, 0]);
//! ```

mod reason;
mod request;

use strikewire_types::{IST_OFFSET_SECONDS, InstrumentKey, Segment};
use zerocopy::byteorder::little_endian::{F32, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use reason::{Class, Reason};
pub use request::{DISCONNECT_REQUEST, Instrument, MAX_INSTRUMENTS, RequestCode, SubscribeRequest};

/// The codes of packets, the first byte of each.
pub mod code {
    /// Index: in the documentation's table, but without a layout; never seen.
    pub const INDEX: u8 = 1;
    /// [`Ticker`](super::Ticker).
    pub const TICKER: u8 = 2;
    /// [`V1Depth`](super::V1Depth).
    pub const V1_DEPTH: u8 = 3;
    /// [`Quote`](super::Quote).
    pub const QUOTE: u8 = 4;
    /// [`Oi`](super::Oi).
    pub const OI: u8 = 5;
    /// [`PrevClose`](super::PrevClose).
    pub const PREV_CLOSE: u8 = 6;
    /// [`MarketStatus`](super::MarketStatus).
    pub const MARKET_STATUS: u8 = 7;
    /// [`Full`](super::Full).
    pub const FULL: u8 = 8;
    /// [`Disconnect`](super::Disconnect).
    pub const DISCONNECT: u8 = 50;
}

/// The seconds that the wire shows for a true Unix time: the wall clock of India as
/// if it were UTC. 0, which means no time, where it cannot be shown.
#[must_use]
pub const fn wall_clock(unix_seconds: i64) -> u32 {
    let seconds = unix_seconds.saturating_add(IST_OFFSET_SECONDS as i64);
    if seconds < 0 || seconds > u32::MAX as i64 {
        0
    } else {
        seconds as u32
    }
}

/// What every packet begins with, 8 bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// One of [`code`].
    pub code: u8,
    /// Bytes of the whole packet, header included.
    pub length: U16,
    /// The number of the [`Segment`].
    pub segment: u8,
    /// The broker's id, unique inside the segment.
    pub security_id: U32,
}

impl Header {
    /// Bytes of a header.
    pub const LEN: usize = size_of::<Self>();

    /// Whose packet it is; none when there is no such segment.
    #[must_use]
    pub const fn key(&self) -> Option<InstrumentKey> {
        match Segment::from_code(self.segment) {
            Some(segment) => Some(InstrumentKey::new(segment, self.security_id.get())),
            None => None,
        }
    }
}

/// One level of the book, 20 bytes. An empty side is all zeros.
#[derive(
    Debug, Clone, Copy, PartialEq, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Level {
    /// Quantity bid.
    pub bid_qty: U32,
    /// Quantity asked.
    pub ask_qty: U32,
    /// Orders bidding.
    pub bid_orders: U16,
    /// Orders asking.
    pub ask_orders: U16,
    /// Price bid.
    pub bid: F32,
    /// Price asked.
    pub ask: F32,
}

/// Last price and its time.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Ticker {
    /// Code, length and instrument.
    pub header: Header,
    /// Last traded price.
    pub ltp: F32,
    /// When it traded, see [`wall_clock`]; 0 for never.
    pub ltt: U32,
}

/// Last price and depth of the first version of the feed. Not sent to clients that
/// ask for version 2.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct V1Depth {
    /// Code, length and instrument.
    pub header: Header,
    /// Last traded price.
    pub ltp: F32,
    /// Five levels, the best first.
    pub depth: [Level; 5],
}

/// The day's figures without depth. Open interest comes in a packet of its own.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Quote {
    /// Code, length and instrument.
    pub header: Header,
    /// Last traded price.
    pub ltp: F32,
    /// Quantity of the last trade; larger ones do not fit.
    pub ltq: U16,
    /// When it traded, see [`wall_clock`]; 0 for never.
    pub ltt: U32,
    /// Average traded price of the day.
    pub atp: F32,
    /// Quantity traded today.
    pub volume: U32,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: U32,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: U32,
    /// First price of the day.
    pub open: F32,
    /// Close of the previous day.
    pub close: F32,
    /// Highest price of the day.
    pub high: F32,
    /// Lowest price of the day.
    pub low: F32,
}

/// Open interest, beside quotes.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Oi {
    /// Code, length and instrument.
    pub header: Header,
    /// Open interest.
    pub oi: U32,
}

/// Close of the previous day, sent once after a subscription, mostly for indices.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct PrevClose {
    /// Code, length and instrument.
    pub header: Header,
    /// The price.
    pub price: F32,
    /// Open interest at that close.
    pub oi: U32,
}

/// Something about a market; what it says is not documented, and known clients
/// read the header only.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct MarketStatus {
    /// Code, length and instrument.
    pub header: Header,
}

/// The day's figures with open interest and depth.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Full {
    /// Code, length and instrument.
    pub header: Header,
    /// Last traded price.
    pub ltp: F32,
    /// Quantity of the last trade; larger ones do not fit.
    pub ltq: U16,
    /// When it traded, see [`wall_clock`]; 0 for never.
    pub ltt: U32,
    /// Average traded price of the day.
    pub atp: F32,
    /// Quantity traded today.
    pub volume: U32,
    /// Quantity on offer in the whole book.
    pub total_sell_qty: U32,
    /// Quantity bid for in the whole book.
    pub total_buy_qty: U32,
    /// Open interest.
    pub oi: U32,
    /// Highest open interest of the day; 0 outside NSE derivatives.
    pub oi_high: U32,
    /// Lowest open interest of the day; 0 outside NSE derivatives.
    pub oi_low: U32,
    /// First price of the day.
    pub open: F32,
    /// Close of the previous day.
    pub close: F32,
    /// Highest price of the day.
    pub high: F32,
    /// Lowest price of the day.
    pub low: F32,
    /// Five levels, the best first.
    pub depth: [Level; 5],
}

/// The broker says goodbye.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct Disconnect {
    /// Code, length and instrument.
    pub header: Header,
    /// Why, see [`Reason`].
    pub reason: U16,
}

macro_rules! packets {
    ($($name:ident = $code:expr, $length:literal;)*) => {
        $(
            impl $name {
                /// The code of these packets.
                pub const CODE: u8 = $code;
                /// Bytes of such a packet, header included.
                pub const LEN: usize = $length;

                /// The header of such a packet about `key`.
                #[must_use]
                pub const fn header(key: InstrumentKey) -> Header {
                    Header {
                        code: Self::CODE,
                        length: U16::new($length),
                        segment: key.segment.code(),
                        security_id: U32::new(key.id.0),
                    }
                }
            }

            const _: () = assert!(size_of::<$name>() == $length);
        )*

        /// The whole length of the packets with this code; none for a code without a
        /// known layout.
        #[must_use]
        pub const fn length_of(code: u8) -> Option<usize> {
            match code {
                $(<$name>::CODE => Some(<$name>::LEN),)*
                _ => None,
            }
        }
    };
}

packets! {
    Ticker = code::TICKER, 16;
    V1Depth = code::V1_DEPTH, 112;
    Quote = code::QUOTE, 50;
    Oi = code::OI, 12;
    PrevClose = code::PREV_CLOSE, 16;
    MarketStatus = code::MARKET_STATUS, 8;
    Full = code::FULL, 162;
    Disconnect = code::DISCONNECT, 10;
}

#[cfg(test)]
mod tests;
