//! From a frame to the sink: split, resolve, decode, apply. The live feed and a
//! replay of recorded frames take the same way.

use strikewire_broker::Sink;
use strikewire_types::{ConnId, Now};

use crate::decode::decode;
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

/// Takes `frame`, received on `conn` at `at`, apart and applies its packets to `sink`.
/// Allocates nothing.
#[inline]
pub fn deliver(sink: &mut impl Sink, conn: ConnId, at: Now, frame: &[u8]) -> Delivered {
    let mut delivered = Delivered::default();
    for piece in split(frame) {
        let (packet, bytes) = match piece {
            Piece::Packet { packet, bytes } => (packet, bytes),
            Piece::Undecoded { code, bytes } => {
                delivered.undecoded += 1;
                sink.undecoded(conn, at, code, bytes);
                continue;
            }
        };
        delivered.packets += 1;
        match packet {
            Packet::Disconnect(packet) => {
                delivered.disconnect = Some(Reason::from_code(packet.reason.get()));
                continue;
            }
            Packet::MarketStatus(packet) => {
                delivered.market_status += 1;
                tracing::debug!(%conn, segment = packet.header.segment, "market status");
                continue;
            }
            _ => {}
        }
        let header = packet.header();
        let Some(key) = header.key() else {
            delivered.undecoded += 1;
            sink.undecoded(conn, at, header.code, bytes);
            continue;
        };
        let Some(target) = sink.resolve(key) else {
            delivered.unresolved += 1;
            continue;
        };
        if let Some(update) = decode(&packet, target.step) {
            sink.apply(conn, &target, at, &update);
            delivered.applied += 1;
        } else {
            delivered.undecoded += 1;
            sink.undecoded(conn, at, header.code, bytes);
        }
    }
    delivered
}
