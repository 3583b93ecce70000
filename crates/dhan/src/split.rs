//! The splitter: several packets in one frame, taken apart without copying.
//!
//! What it does with a frame that is not as documented is in docs/DHAN.md. In short:
//! a packet with a known code has the length of its layout whatever its header says;
//! the header's length is used where it is all there is, and never trusted to be
//! sane. Every step consumes at least a header or ends the frame, so no frame can
//! hold the feed up.

use strikewire_types::Segment;
use zerocopy::FromBytes;

use crate::wire::{self, Header, code, length_of};

/// One packet of a frame, in place.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// Code 2.
    Ticker(&'a wire::Ticker),
    /// Code 3.
    V1Depth(&'a wire::V1Depth),
    /// Code 4.
    Quote(&'a wire::Quote),
    /// Code 5.
    Oi(&'a wire::Oi),
    /// Code 6.
    PrevClose(&'a wire::PrevClose),
    /// Code 7.
    MarketStatus(&'a wire::MarketStatus),
    /// Code 8.
    Full(&'a wire::Full),
    /// Code 50.
    Disconnect(&'a wire::Disconnect),
}

/// What a part of a frame is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Piece<'a> {
    /// A packet, with all its bytes.
    Packet {
        /// What they mean.
        packet: Packet<'a>,
        /// The bytes, header included.
        bytes: &'a [u8],
    },
    /// Bytes without a known meaning: one packet with an unknown code, or all that is
    /// left of a frame that cannot be followed further.
    Undecoded {
        /// The first byte, where the code is.
        code: u8,
        /// The bytes, never empty.
        bytes: &'a [u8],
    },
}

impl Packet<'_> {
    /// What it begins with.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Packet::Ticker(packet) => &packet.header,
            Packet::V1Depth(packet) => &packet.header,
            Packet::Quote(packet) => &packet.header,
            Packet::Oi(packet) => &packet.header,
            Packet::PrevClose(packet) => &packet.header,
            Packet::MarketStatus(packet) => &packet.header,
            Packet::Full(packet) => &packet.header,
            Packet::Disconnect(packet) => &packet.header,
        }
    }
}

/// Takes a frame apart.
///
/// ```
/// use strikewire_dhan::split::{Packet, Piece, split};
///
/// // Open interest of NSE_FNO 40472, then something with an unknown code.
/// let frame = [5, 12, 0, 2, 24, 158, 0, 0, 140, 113, 179, 0, 99, 9, 0, 0, 1, 0, 0, 0, 7];
/// let mut pieces = split(&frame);
/// let Some(Piece::Packet { packet: Packet::Oi(oi), .. }) = pieces.next() else { panic!() };
/// assert_eq!(oi.oi.get(), 11_760_012);
/// assert_eq!(pieces.next(), Some(Piece::Undecoded { code: 99, bytes: &frame[12..] }));
/// assert_eq!(pieces.next(), None);
/// ```
#[must_use]
pub const fn split(frame: &[u8]) -> Split<'_> {
    Split { rest: frame }
}

/// The pieces of a frame, see [`split`].
#[derive(Debug, Clone)]
pub struct Split<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Split<'a> {
    type Item = Piece<'a>;

    #[inline]
    fn next(&mut self) -> Option<Piece<'a>> {
        let frame = self.rest;
        let &code = frame.first()?;
        let Ok((header, _)) = Header::ref_from_prefix(frame) else {
            return Some(self.give_up(code));
        };
        let told = usize::from(header.length.get());
        let Some(length) = length_of(code) else {
            return Some(if (Header::LEN..=frame.len()).contains(&told) {
                let bytes = self.take(told);
                Piece::Undecoded { code, bytes }
            } else {
                self.give_up(code)
            });
        };
        let Some(packet) = view(code, frame) else {
            return Some(self.give_up(code));
        };
        let bytes = self.take(if told == length {
            length
        } else {
            distrusted(frame, length, told)
        });
        Some(Piece::Packet { packet, bytes })
    }
}

impl<'a> Split<'a> {
    /// The bytes that have not been looked at yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        bytes
    }

    fn give_up(&mut self, code: u8) -> Piece<'a> {
        let bytes = core::mem::take(&mut self.rest);
        Piece::Undecoded { code, bytes }
    }
}

#[inline]
fn view(code: u8, frame: &[u8]) -> Option<Packet<'_>> {
    macro_rules! packet {
        ($kind:ident) => {
            wire::$kind::ref_from_prefix(frame)
                .ok()
                .map(|(packet, _)| Packet::$kind(packet))
        };
    }
    match code {
        code::TICKER => packet!(Ticker),
        code::V1_DEPTH => packet!(V1Depth),
        code::QUOTE => packet!(Quote),
        code::OI => packet!(Oi),
        code::PREV_CLOSE => packet!(PrevClose),
        code::MARKET_STATUS => packet!(MarketStatus),
        code::FULL => packet!(Full),
        code::DISCONNECT => packet!(Disconnect),
        _ => None,
    }
}

/// How much of `frame` to take for a packet of `length` whose header tells another
/// length: the layout's, unless only the told one leads to something like a packet
/// (fields added at the end).
#[cold]
fn distrusted(frame: &[u8], length: usize, told: usize) -> usize {
    let leads_on = |at: usize| frame.get(at..).is_some_and(plausible);
    if told > length && !leads_on(length) && leads_on(told) {
        told
    } else {
        length
    }
}

fn plausible(rest: &[u8]) -> bool {
    let Ok((header, _)) = Header::ref_from_prefix(rest) else {
        return rest.is_empty();
    };
    Segment::from_code(header.segment).is_some()
        && length_of(header.code).is_some_and(|length| length <= rest.len())
        && usize::from(header.length.get()) >= Header::LEN
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use strikewire_types::InstrumentKey;
    use zerocopy::IntoBytes;

    use super::*;

    const KEY: InstrumentKey = InstrumentKey::new(Segment::NseFno, 35_060);

    fn packet(code: u8, told: u16, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length.max(8)];
        bytes[0] = code;
        bytes[1..3].copy_from_slice(&told.to_le_bytes());
        bytes[3] = 2;
        bytes[4..8].copy_from_slice(&35_060_u32.to_le_bytes());
        bytes
    }

    fn good(code: u8) -> Vec<u8> {
        let length = length_of(code).unwrap();
        packet(code, u16::try_from(length).unwrap(), length)
    }

    /// What a piece is, in short: the code and the length, `!` when undecoded.
    fn pieces(frame: &[u8]) -> Vec<String> {
        split(frame)
            .map(|piece| match piece {
                Piece::Packet { packet, bytes } => {
                    format!("{}:{}", packet.header().code, bytes.len())
                }
                Piece::Undecoded { code, bytes } => format!("!{code}:{}", bytes.len()),
            })
            .collect()
    }

    #[test]
    fn frames_come_apart_as_documented() {
        let check = |what: &str, frame: &[Vec<u8>], expected: &[&str]| {
            assert_eq!(pieces(&frame.concat()), expected, "{what}");
        };
        check("an empty frame", &[], &[]);
        check(
            "one of each",
            &[2, 3, 4, 5, 6, 7, 8, 50].map(good),
            &[
                "2:16", "3:112", "4:50", "5:12", "6:16", "7:8", "8:162", "50:10",
            ],
        );
        check(
            "quote and open interest",
            &[good(4), good(5), good(4)],
            &["4:50", "5:12", "4:50"],
        );
        check("zeros", &[vec![0; 100]], &["!0:100"]);
        check(
            "zeros after a packet",
            &[good(2), vec![0; 100]],
            &["2:16", "!0:100"],
        );
        check("less than a header", &[vec![8, 162, 0]], &["!8:3"]);
        check(
            "cut short",
            &[good(4), good(8)[..161].to_vec()],
            &["4:50", "!8:161"],
        );
        check(
            "an unknown code is skipped",
            &[packet(99, 30, 30), good(2)],
            &["!99:30", "2:16"],
        );
        check(
            "the index code has no layout",
            &[packet(1, 30, 30), good(2)],
            &["!1:30", "2:16"],
        );
        check(
            "an unknown code that is too long",
            &[packet(99, 31, 30)],
            &["!99:30"],
        );
        check(
            "an unknown code that is too short",
            &[packet(99, 7, 30), good(2)],
            &["!99:46"],
        );
        check(
            "an unknown code of length 0",
            &[packet(99, 0, 30), good(2)],
            &["!99:46"],
        );
        check("length 0", &[packet(2, 0, 16), good(4)], &["2:16", "4:50"]);
        check(
            "length without the header",
            &[packet(2, 8, 16), good(4)],
            &["2:16", "4:50"],
        );
        check(
            "length the other way round",
            &[packet(2, 0x1000, 16), good(4)],
            &["2:16", "4:50"],
        );
        check(
            "another packet's length",
            &[packet(2, 66, 16), good(4), good(2)],
            &["2:16", "4:50", "2:16"],
        );
        check(
            "fields added at the end",
            &[packet(8, 170, 170), packet(8, 170, 170)],
            &["8:170", "8:170"],
        );
        check(
            "a market status with a payload",
            &[packet(7, 12, 12), good(2)],
            &["7:12", "2:16"],
        );
        check("a bare goodbye", &[packet(50, 8, 8)], &["!50:8"]);
    }

    #[test]
    fn packets_are_read_in_place() {
        let ticker = wire::Ticker {
            header: wire::Ticker::header(KEY),
            ltp: 152.3.into(),
            ltt: 7.into(),
        };
        let frame = [ticker.as_bytes(), ticker.as_bytes()].concat();
        for piece in split(&frame) {
            assert_eq!(
                piece,
                Piece::Packet {
                    packet: Packet::Ticker(&ticker),
                    bytes: ticker.as_bytes(),
                }
            );
        }
        assert_eq!(split(&frame).count(), 2);
    }

    /// Bytes that are often nearly right.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec![2_u8, 3, 4, 5, 6, 7, 8, 50]).prop_map(good),
            2 => (any::<u8>(), 0_u16..300, 0_usize..200).prop_map(|(code, told, length)| packet(code, told, length)),
            1 => vec(any::<u8>(), 0..40),
            1 => (0_usize..40).prop_map(|length| vec![0; length]),
        ];
        vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_byte_is_consumed_once_and_every_piece_has_some(frame in frames()) {
            let mut at = 0;
            for piece in split(&frame) {
                let (Piece::Packet { bytes, .. } | Piece::Undecoded { bytes, .. }) = piece;
                prop_assert!(!bytes.is_empty());
                prop_assert_eq!(bytes, &frame[at..at + bytes.len()]);
                at += bytes.len();
            }
            prop_assert_eq!(at, frame.len());
        }

        #[test]
        fn good_packets_before_rubbish_are_all_found(
            codes in vec(prop::sample::select(vec![2_u8, 3, 4, 5, 6, 7, 8, 50]), 0..20),
            rubbish in vec(any::<u8>(), 0..20),
        ) {
            let mut frame: Vec<u8> = codes.iter().flat_map(|&code| good(code)).collect();
            frame.extend(&rubbish);
            let found: Vec<u8> = split(&frame).take(codes.len()).map(|piece| match piece {
                Piece::Packet { packet, .. } => packet.header().code,
                Piece::Undecoded { .. } => 0,
            }).collect();
            prop_assert_eq!(found, codes);
        }
    }
}
