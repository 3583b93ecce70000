//! From a frame to the sink: split, resolve, decode, apply. The live feed and a
//! replay of recorded frames take the same way.

use strikewire_broker::{MarketState, Packed, Sink, Target};
use strikewire_types::{ConnId, Mode, Now, Segment};

use crate::decode::{decode, packed};
use crate::split::{Packet, Piece, split};
use crate::wire::Reason;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Packets with a known layout.
    pub packets: u64,
    /// Of them, those applied to an instrument.
    pub applied: u64,
    /// Of them, those of instruments that nobody wants any more.
    pub unresolved: u64,
    /// Of them, those about the state of a market, whose meaning is not documented.
    pub market_status: u64,
    /// Pieces that the sink was given undecoded.
    pub undecoded: u64,
    /// Why the broker says goodbye, if the frame says so.
    pub disconnect: Option<Reason>,
}

/// Packets of a frame that are resolved before the first of them is applied: what they need
/// is then fetched from memory for all at a time.
const AHEAD: usize = 32;

/// Takes `frame`, received on `conn` at `at`, apart and applies its packets to `sink`.
/// Allocates nothing.
#[inline]
pub fn deliver(sink: &mut impl Sink, conn: ConnId, at: Now, frame: &[u8]) -> Delivered {
    let mut delivery = Delivery {
        sink,
        conn,
        at,
        delivered: Delivered::default(),
    };
    let mut pieces = split(frame);
    let mut next = pieces.next();
    if pieces.rest().is_empty() {
        if let Some((packet, target)) = next.and_then(|piece| delivery.resolve(piece)) {
            delivery.apply(&packet, &target);
        }
        return delivery.delivered;
    }
    let mut ahead = [None; AHEAD];
    while next.is_some() {
        let mut count = 0;
        while count < AHEAD
            && let Some(piece) = next
        {
            next = pieces.next();
            if let Some(resolved) = delivery.resolve(piece) {
                ahead[count] = Some(resolved);
                count += 1;
            }
        }
        for resolved in ahead[..count].iter().flatten() {
            delivery.prepare(resolved);
        }
        for (packet, target) in ahead[..count].iter().flatten() {
            delivery.apply(packet, target);
        }
    }
    delivery.delivered
}

struct Delivery<'s, S> {
    sink: &'s mut S,
    conn: ConnId,
    at: Now,
    delivered: Delivered,
}

impl<S: Sink> Delivery<'_, S> {
    /// Whose packet it is, if it is one about an instrument that somebody wants. All
    /// others are dealt with here.
    #[inline(always)]
    fn resolve<'f>(&mut self, piece: Piece<'f>) -> Option<(Packet<'f>, Target)> {
        let (packet, bytes) = match piece {
            Piece::Packet { packet, bytes } => (packet, bytes),
            Piece::Undecoded { code, bytes } => {
                self.undecoded(code, bytes);
                return None;
            }
        };
        self.delivered.packets += 1;
        if !matches!(
            packet,
            Packet::Ticker(_)
                | Packet::Quote(_)
                | Packet::Full(_)
                | Packet::Oi(_)
                | Packet::PrevClose(_)
        ) {
            self.other(&packet, bytes);
            return None;
        }
        let header = packet.header();
        let Some(key) = header.key() else {
            self.undecoded(header.code, bytes);
            return None;
        };
        let Some(target) = self.sink.resolve(key) else {
            self.delivered.unresolved += 1;
            return None;
        };
        Some((packet, target))
    }

    #[inline(always)]
    fn prepare(&self, (packet, target): &(Packet<'_>, Target)) {
        let mode = match packet {
            Packet::Full(_) => Mode::Full,
            Packet::Quote(_) => Mode::Quote,
            _ => Mode::Ticker,
        };
        self.sink.prepare(target, mode);
    }

    #[inline]
    fn apply(&mut self, packet: &Packet<'_>, target: &Target) {
        self.delivered.applied += 1;
        let (sink, conn, at, step) = (&mut *self.sink, self.conn, self.at, target.step);
        // Each kind by itself, so that what is decoded need not be put together as any
        // kind and taken apart again.
        let done = match packet {
            Packet::Ticker(packet) => packed::ticker(packet, step)
                .map(|said| sink.apply_packed(conn, target, at, &Packed::Ticker(said))),
            Packet::Quote(packet) => packed::quote(packet, step)
                .map(|said| sink.apply_packed(conn, target, at, &Packed::Quote(said))),
            Packet::Full(packet) => packed::full(packet, step)
                .map(|said| sink.apply_packed(conn, target, at, &Packed::Full(said))),
            _ => None,
        };
        if done.is_none() {
            self.apply_unpacked(packet, target);
        }
    }

    #[inline(never)]
    fn apply_unpacked(&mut self, packet: &Packet<'_>, target: &Target) {
        if let Some(update) = decode(packet, target.step) {
            self.sink.apply(self.conn, target, self.at, &update);
        }
    }

    /// A packet that is not about an instrument, or that no update can hold.
    #[cold]
    fn other(&mut self, packet: &Packet<'_>, bytes: &[u8]) {
        match packet {
            Packet::Disconnect(packet) => {
                self.delivered.disconnect = Some(Reason::from_code(packet.reason.get()));
            }
            Packet::MarketStatus(packet) => {
                self.delivered.market_status += 1;
                match Segment::from_code(packet.header.segment) {
                    Some(segment) => {
                        let code = market_code(packet.header.security_id.get(), &bytes[8..]);
                        let state = MarketState { code };
                        self.sink.market_state(self.conn, self.at, segment, state);
                    }
                    None => self.undecoded(packet.header.code, bytes),
                }
            }
            _ => self.undecoded(packet.header().code, bytes),
        }
    }

    #[cold]
    fn undecoded(&mut self, code: u8, bytes: &[u8]) {
        self.delivered.undecoded += 1;
        self.sink.undecoded(self.conn, self.at, code, bytes);
    }
}

/// What a market status says. It is not documented, and known clients read the header only:
/// a code is what follows the header, up to four bytes of it, or else stands where packets
/// of instruments have the id.
fn market_code(id: u32, payload: &[u8]) -> u32 {
    if payload.is_empty() {
        return id;
    }
    let mut bytes = [0; 4];
    for (byte, &given) in bytes.iter_mut().zip(payload) {
        *byte = given;
    }
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_status_says_what_there_is() {
        assert_eq!(market_code(7, &[]), 7);
        assert_eq!(market_code(7, &[2]), 2);
        assert_eq!(market_code(7, &[2, 1, 0, 0, 9]), 258);
    }
}
