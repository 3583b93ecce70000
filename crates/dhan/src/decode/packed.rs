use strikewire_broker::{Packed, PackedFull, PackedQuote, PackedTicker};
use strikewire_types::PriceStep;
use zerocopy::byteorder::little_endian::{F32, U32};

use super::unix_seconds;
use crate::split::Packet;
use crate::wire;

/// What [`decode`](super::decode) makes of a ticker, quote or full packet, packed. None for
/// other packets, and where a price is not finite or not below 131,072 rupees: from there
/// on prices are rounded to their step.
#[inline]
#[must_use]
pub fn decode_packed(packet: &Packet<'_>, step: PriceStep) -> Option<Packed> {
    Some(match packet {
        Packet::Ticker(packet) => Packed::Ticker(ticker(packet, step)?),
        Packet::Quote(packet) => Packed::Quote(quote(packet, step)?),
        Packet::Full(packet) => Packed::Full(full(packet, step)?),
        _ => return None,
    })
}

#[inline(always)]
pub(crate) fn ticker(packet: &wire::Ticker, step: PriceStep) -> Option<PackedTicker> {
    let [ltp] = pack([packet.ltp.get()], step)?;
    let ltt = unix_seconds(packet.ltt);
    Some(PackedTicker { ltp, ltt })
}

/// What quote and full packets have in common; their fields have the same names.
macro_rules! quote {
    ($packet:expr, $ltp:expr, $atp:expr, $day:expr) => {{
        let [open, prev_close, high, low] = $day;
        PackedQuote {
            ticker: PackedTicker {
                ltp: $ltp,
                ltt: unix_seconds($packet.ltt),
            },
            ltq: u32::from($packet.ltq.get()),
            atp: $atp,
            volume: $packet.volume.get(),
            total_sell_qty: $packet.total_sell_qty.get(),
            total_buy_qty: $packet.total_buy_qty.get(),
            open,
            high,
            low,
            prev_close,
        }
    }};
}

#[inline(always)]
pub(crate) fn quote(packet: &wire::Quote, step: PriceStep) -> Option<PackedQuote> {
    let numbers = [
        packet.ltp,
        packet.atp,
        packet.open,
        packet.close,
        packet.high,
        packet.low,
    ];
    let [ltp, atp, day @ ..] = pack(numbers.map(F32::get), step)?;
    Some(quote!(packet, ltp, atp, day))
}

#[inline(always)]
pub(crate) fn full(packet: &wire::Full, step: PriceStep) -> Option<PackedFull> {
    let [l0, l1, l2, l3, l4] = &packet.depth;
    let numbers = [
        packet.ltp,
        packet.atp,
        packet.open,
        packet.close,
        packet.high,
        packet.low,
        l0.bid,
        l0.ask,
        l1.bid,
        l1.ask,
        l2.bid,
        l2.ask,
        l3.bid,
        l3.ask,
        l4.bid,
        l4.ask,
    ];
    let [ltp, atp, open, close, high, low, book @ ..] = pack(numbers.map(F32::get), step)?;
    let [b0, a0, b1, a1, b2, a2, b3, a3, b4, a4] = book;
    Some(PackedFull {
        quote: quote!(packet, ltp, atp, [open, close, high, low]),
        oi: [packet.oi, packet.oi_high, packet.oi_low].map(U32::get),
        prices: [[b0, a0], [b1, a1], [b2, a2], [b3, a3], [b4, a4]],
        quantities: [l0, l1, l2, l3, l4].map(|level| [level.bid_qty.get(), level.ask_qty.get()]),
        orders: [l0, l1, l2, l3, l4].map(|level| [level.bid_orders.get(), level.ask_orders.get()]),
    })
}

/// The bits of 131,072: a number is as large or larger, infinite or none exactly when its
/// bits without the sign are not less.
const LIMIT: i32 = 131_072_f32.to_bits().cast_signed();

/// 2^52 + 2^51: where neighbouring doubles are 1 apart, so that adding it rounds to a whole
/// number, which then stands in the lowest bits, negative or not.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Rounds like `Price::from_wire`, all numbers at a time and without a branch: the compiler
/// makes vector instructions of it.
///
/// Adding [`ROUNDER`] takes halves to the even number, but they belong away from 0. A number
/// of the wire times the scale is either a half exactly, or differs from it by more than
/// 2^-38 of itself; so the scale is made larger by 2^-42, which turns every half and nothing
/// else.
#[inline(always)]
fn pack<const N: usize>(rupees: [f32; N], step: PriceStep) -> Option<[i32; N]> {
    const NUDGE: f64 = 1.0 + 1.0 / (1_u64 << 42) as f64;
    let scale = if step.unit() == 1 {
        10_000.0 * NUDGE
    } else {
        100.0 * NUDGE
    };
    // Negative once any number is beyond.
    let room = rupees.iter().fold(0, |room, number| {
        room | (LIMIT - 1 - number.abs().to_bits().cast_signed())
    });
    (room >= 0).then(|| {
        rupees.map(|number| {
            let whole = (f64::from(number) * scale + ROUNDER).to_bits();
            (whole as u32).cast_signed()
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strikewire_types::Price;

    use super::*;
    use crate::decode::decode;
    use crate::split::{Piece, split};

    /// Of all steps that there are, and some that there are not.
    fn steps() -> impl Strategy<Value = PriceStep> {
        prop_oneof![
            prop::sample::select(vec![0, 1, 25, 99, 100, 500, 10_000]),
            any::<u32>()
        ]
        .prop_map(PriceStep::from_raw)
    }

    fn check(rupees: f32, step: PriceStep) {
        let expected = Price::from_wire(rupees, step).map(Price::raw);
        let packed = pack([rupees], step).map(|[packed]| i64::from(packed) * step.unit());
        if rupees.abs() < 131_072.0 {
            assert_eq!(packed, expected, "{rupees:?} at {step:?}");
        } else {
            assert_eq!(packed, None, "{rupees:?} at {step:?}");
        }
    }

    #[test]
    fn halves_go_away_from_0_and_nothing_else_does() {
        for step in [100, 1].map(PriceStep::from_raw) {
            for paise in 0..20_000_u16 {
                // Halves of a paisa that a float holds exactly are odd eighths of a rupee.
                let half = f32::from(paise) / 8.0;
                for number in [half, half.next_up(), half.next_down()] {
                    check(number, step);
                    check(-number, step);
                }
            }
            for edge in [
                0.0,
                -0.0,
                f32::MIN_POSITIVE,
                131_071.99,
                131_072.0,
                f32::MAX,
                f32::INFINITY,
                f32::NAN,
            ] {
                check(edge, step);
                check(-edge, step);
            }
        }
    }

    proptest! {
        #[test]
        fn every_number_is_rounded_as_one_by_one(bits: u32, step in steps()) {
            check(f32::from_bits(bits), step);
        }

        #[test]
        fn numbers_of_usual_size_too(number in -131_100_f32..131_100.0, step in steps()) {
            check(number, step);
        }

        /// Packets of any bytes, of prices of usual size and of others: both ways say the
        /// same.
        #[test]
        fn packed_packets_say_what_others_say(
            code in prop::sample::select(vec![2_u8, 4, 8]),
            mut bytes in prop::collection::vec(any::<u8>(), 162),
            prices in prop::collection::vec(prop_oneof![9 => 0_f32..131_000.0, 1 => any::<f32>()], 40),
            tame in any::<bool>(),
            step in steps(),
        ) {
            bytes[0] = code;
            if tame {
                // A price in every place where one may be.
                let at: &[usize] = match code {
                    2 => &[8],
                    4 => &[8, 18, 34, 38, 42, 46],
                    _ => &[8, 18, 46, 50, 54, 58, 74, 78, 94, 98, 114, 118, 134, 138, 154, 158],
                };
                for (at, price) in at.iter().zip(&prices) {
                    bytes[*at..at + 4].copy_from_slice(&price.to_le_bytes());
                }
            }
            let Some(Piece::Packet { packet, .. }) = split(&bytes).next() else {
                panic!("not a packet")
            };
            if let Some(packed) = decode_packed(&packet, step) {
                prop_assert_eq!(Some(packed.to_update(step)), decode(&packet, step));
            } else {
                let usual = prices.iter().all(|price| price.abs() < 131_072.0);
                prop_assert!(!(tame && usual), "could have been packed");
            }
        }
    }
}
