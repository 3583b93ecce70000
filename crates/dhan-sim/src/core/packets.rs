//! A quote as the wire has it.

use bytes::{BufMut, Bytes, BytesMut};
use strikewire_dhan::wire::{
    Disconnect, Full, Header, Level, MarketStatus, Oi, PrevClose, Quote, Reason, Ticker, length_of,
    wall_clock,
};
use strikewire_types::{InstrumentKey, Price, Segment};
use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{F32, U16};

use crate::market;

/// The wire has single precision.
fn rupees(price: Price) -> F32 {
    F32::new(price.as_f64() as f32)
}

/// The wire has 16 bits; what does not fit is cut.
fn short(quantity: u32) -> U16 {
    U16::new(u16::try_from(quantity).unwrap_or(u16::MAX))
}

pub(super) fn ticker(quote: &market::Quote) -> Ticker {
    Ticker {
        header: Ticker::header(quote.key),
        ltp: rupees(quote.ltp),
        ltt: wall_clock(quote.traded_at).into(),
    }
}

pub(super) fn quote(quote: &market::Quote) -> Quote {
    Quote {
        header: Quote::header(quote.key),
        ltp: rupees(quote.ltp),
        ltq: short(quote.ltq),
        ltt: wall_clock(quote.traded_at).into(),
        atp: rupees(quote.atp),
        volume: quote.volume.into(),
        total_sell_qty: quote.total_sell_qty.into(),
        total_buy_qty: quote.total_buy_qty.into(),
        open: rupees(quote.open),
        close: rupees(quote.prev_close),
        high: rupees(quote.high),
        low: rupees(quote.low),
    }
}

/// Beside a quote, where there is open interest.
pub(super) fn oi(quote: &market::Quote) -> Option<Oi> {
    quote.interest.map(|interest| Oi {
        header: Oi::header(quote.key),
        oi: interest.now.into(),
    })
}

/// Sent once for an index.
pub(super) fn prev_close(quote: &market::Quote) -> PrevClose {
    PrevClose {
        header: PrevClose::header(quote.key),
        price: rupees(quote.prev_close),
        oi: 0.into(),
    }
}

pub(super) fn full(quote: &market::Quote) -> Full {
    let interest = quote.interest;
    // Only NSE's derivatives have the day's extremes of open interest.
    let extremes = interest.filter(|_| quote.key.segment == Segment::NseFno);
    Full {
        header: Full::header(quote.key),
        ltp: rupees(quote.ltp),
        ltq: short(quote.ltq),
        ltt: wall_clock(quote.traded_at).into(),
        atp: rupees(quote.atp),
        volume: quote.volume.into(),
        total_sell_qty: quote.total_sell_qty.into(),
        total_buy_qty: quote.total_buy_qty.into(),
        oi: interest.map_or(0, |interest| interest.now).into(),
        oi_high: extremes.map_or(0, |interest| interest.high).into(),
        oi_low: extremes.map_or(0, |interest| interest.low).into(),
        open: rupees(quote.open),
        close: rupees(quote.prev_close),
        high: rupees(quote.high),
        low: rupees(quote.low),
        depth: quote.depth.map(|level| Level {
            bid_qty: level.bid_qty.into(),
            ask_qty: level.ask_qty.into(),
            bid_orders: level.bid_orders.into(),
            ask_orders: level.ask_orders.into(),
            bid: rupees(level.bid),
            ask: rupees(level.ask),
        }),
    }
}

/// A goodbye, a whole frame. It is about no instrument.
pub(super) fn disconnect(reason: Reason) -> Bytes {
    let packet = Disconnect {
        header: Disconnect::header(InstrumentKey::new(Segment::IdxI, 0)),
        reason: reason.code().into(),
    };
    Bytes::copy_from_slice(packet.as_bytes())
}

/// Something about a market. Where others have a security id it has a number.
pub(super) fn market_status(segment: Segment, state: u32) -> MarketStatus {
    MarketStatus {
        header: MarketStatus::header(InstrumentKey::new(segment, state)),
    }
}

/// A packet that nobody knows, well-formed but for its code.
pub(super) fn put_unknown(frame: &mut BytesMut, code: u8, length: u16) {
    frame.put_u8(code);
    frame.put_u16_le(length);
    frame.put_bytes(0xee, usize::from(length).saturating_sub(3));
}

/// Packets of a frame made here.
pub(crate) fn packets_in(mut frame: &[u8]) -> u64 {
    let mut packets = 0;
    while frame.len() >= Header::LEN {
        let stated = usize::from(u16::from_le_bytes([frame[1], frame[2]]));
        let length = length_of(frame[0]).unwrap_or(stated).max(Header::LEN);
        frame = frame.get(length..).unwrap_or_default();
        packets += 1;
    }
    packets
}
