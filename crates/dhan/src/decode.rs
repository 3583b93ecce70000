//! From packets to [`Update`]s: every number becomes what it means, once.
//!
//! There are two ways to the same: [`decode`], which knows every packet and every number,
//! and [`decode_packed`], which takes a third of the time where prices are of usual size.

use strikewire_broker::{DayPrices, DepthLevel, Full, Oi, PrevClose, Quote, Ticker, Update};
use strikewire_types::{ExchangeTime, IST_OFFSET_SECONDS, Price, PriceStep};
use zerocopy::byteorder::little_endian::{F32, U32};

use crate::split::Packet;
use crate::wire;

pub(crate) mod packed;

pub use packed::decode_packed;

/// What quote and full packets have in common; their fields have the same names.
macro_rules! quote {
    ($packet:expr, $step:expr) => {
        Quote {
            ticker: ticker($packet.ltp, $packet.ltt, $step),
            ltq: u32::from($packet.ltq.get()),
            atp: average($packet.atp, $step),
            volume: $packet.volume.get(),
            total_sell_qty: $packet.total_sell_qty.get(),
            total_buy_qty: $packet.total_buy_qty.get(),
            day: DayPrices {
                open: price($packet.open, $step),
                high: price($packet.high, $step),
                low: price($packet.low, $step),
                prev_close: average($packet.close, $step),
            },
        }
    };
}

/// 1980-01-01, where the exchange's own calendar begins: a time up to there says that
/// there was no trade, as 0 does.
const NEVER_TRADED: u32 = 315_532_800;

/// What a packet says about its instrument, with prices rounded for `step`; none for
/// a packet that says nothing about an instrument, or nothing that an update can hold
/// (market status, disconnect, depth of the first version).
///
/// ```
/// use strikewire_broker::Update;
/// use strikewire_dhan::decode::decode;
/// use strikewire_dhan::split::Packet;
/// use strikewire_dhan::wire::Ticker;
/// use strikewire_types::{InstrumentKey, PriceStep, Segment};
///
/// let packet = Ticker {
///     header: Ticker::header(InstrumentKey::new(Segment::IdxI, 13)),
///     ltp: 23378.35.into(),
///     ltt: 1_781_084_997.into(),
/// };
/// let Some(Update::Ticker(ticker)) = decode(&Packet::Ticker(&packet), PriceStep::PAISA) else {
///     panic!("a ticker")
/// };
/// assert_eq!(ticker.ltp, Some("23378.35".parse()?));
/// assert_eq!(ticker.ltt.unwrap().to_string(), "2026-06-10T09:49:57+05:30");
/// # Ok::<(), strikewire_types::ParseError>(())
/// ```
#[must_use]
pub fn decode(packet: &Packet<'_>, step: PriceStep) -> Option<Update> {
    Some(match packet {
        Packet::Ticker(packet) => Update::Ticker(ticker(packet.ltp, packet.ltt, step)),
        Packet::Quote(packet) => Update::Quote(quote!(packet, step)),
        Packet::Full(packet) => Update::Full(full(packet, step)),
        Packet::Oi(packet) => Update::Oi(Oi {
            oi: packet.oi.get(),
            high: None,
            low: None,
        }),
        Packet::PrevClose(packet) => Update::PrevClose(PrevClose {
            price: average(packet.price, step),
            oi: packet.oi.get(),
        }),
        Packet::V1Depth(_) | Packet::MarketStatus(_) | Packet::Disconnect(_) => return None,
    })
}

fn ticker(ltp: F32, ltt: U32, step: PriceStep) -> Ticker {
    Ticker {
        ltp: price(ltp, step),
        ltt: time(ltt),
    }
}

fn full(packet: &wire::Full, step: PriceStep) -> Full {
    Full {
        quote: quote!(packet, step),
        oi: Oi {
            oi: packet.oi.get(),
            high: some(packet.oi_high),
            low: some(packet.oi_low),
        },
        depth: packet.depth.map(|level| DepthLevel {
            bid: price(level.bid, step),
            bid_qty: level.bid_qty.get(),
            bid_orders: level.bid_orders.get(),
            ask: price(level.ask, step),
            ask_qty: level.ask_qty.get(),
            ask_orders: level.ask_orders.get(),
        }),
    }
}

fn price(rupees: F32, step: PriceStep) -> Option<Price> {
    Price::from_wire(rupees.get(), step).filter(|&price| price != Price::ZERO)
}

fn average(rupees: F32, step: PriceStep) -> Option<Price> {
    Price::from_wire_average(rupees.get(), step).filter(|&price| price != Price::ZERO)
}

fn some(number: U32) -> Option<u32> {
    Some(number.get()).filter(|&number| number != 0)
}

fn time(wall_clock: U32) -> Option<ExchangeTime> {
    let seconds = unix_seconds(wall_clock);
    (seconds != 0).then(|| ExchangeTime::from_seconds(seconds.into()))
}

/// The wire has the wall clock of India as if it were UTC; 0 for never.
#[inline]
fn unix_seconds(wall_clock: U32) -> u32 {
    match wall_clock.get() {
        0..=NEVER_TRADED => 0,
        seconds => seconds - IST_OFFSET_SECONDS.unsigned_abs(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strikewire_types::{InstrumentKey, Segment};
    use zerocopy::FromBytes;

    use super::*;
    use crate::split::{Piece, split};

    const STEP: PriceStep = PriceStep::from_raw(500);
    const KEY: InstrumentKey = InstrumentKey::new(Segment::NseFno, 40_472);

    fn rupees(text: &str) -> Option<Price> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn published_index_ticks_carry_the_time_they_arrived_at() {
        // Captures T1 to T5 of docs/DHAN.md: received at 09:49:57.8 to 09:49:59.0 in
        // India, several packets to the second.
        for (ltt, ltp, shown) in [
            (1_781_084_997, 23_378.35, "2026-06-10T09:49:57+05:30"),
            (1_781_084_998, 23_377.8, "2026-06-10T09:49:58+05:30"),
            (1_781_084_998, 23_378.15, "2026-06-10T09:49:58+05:30"),
            (1_781_084_998, 23_378.1, "2026-06-10T09:49:58+05:30"),
            (1_781_084_999, 23_378.55, "2026-06-10T09:49:59+05:30"),
        ] {
            let packet = wire::Ticker {
                header: wire::Ticker::header(InstrumentKey::new(Segment::IdxI, 13)),
                ltp: F32::new(ltp),
                ltt: U32::new(ltt),
            };
            let Some(Update::Ticker(ticker)) = decode(&Packet::Ticker(&packet), STEP) else {
                panic!("not a ticker")
            };
            assert_eq!(ticker.ltt.unwrap().to_string(), shown);
            assert_eq!(ticker.ltp, rupees(&format!("{ltp:.2}")));
        }
    }

    #[test]
    fn a_published_quote_decodes_as_the_official_client_printed_it() {
        // Print D1 of docs/DHAN.md, laid out by hand: sell before buy, close before high.
        let mut bytes = vec![4, 50, 0, 2, 0x18, 0x9e, 0, 0];
        bytes.extend(51.65_f32.to_le_bytes());
        bytes.extend(65_u16.to_le_bytes());
        bytes.extend(1_781_103_825_u32.to_le_bytes());
        bytes.extend(54.01_f32.to_le_bytes());
        for quantity in [165_829_495_u32, 1_894_360, 3_256_045] {
            bytes.extend(quantity.to_le_bytes());
        }
        for price in [65.0_f32, 68.4, 70.7, 42.55] {
            bytes.extend(price.to_le_bytes());
        }
        let packet = wire::Quote::ref_from_bytes(&bytes).unwrap();
        assert_eq!(packet.header.key(), Some(KEY));
        let expected = Quote {
            ticker: Ticker {
                ltp: rupees("51.65"),
                ltt: Some(ExchangeTime::from_seconds(1_781_103_825 - 19_800)),
            },
            ltq: 65,
            atp: rupees("54.01"),
            volume: 165_829_495,
            total_sell_qty: 1_894_360,
            total_buy_qty: 3_256_045,
            day: DayPrices {
                open: rupees("65"),
                high: rupees("70.7"),
                low: rupees("42.55"),
                prev_close: rupees("68.4"),
            },
        };
        assert_eq!(
            decode(&Packet::Quote(packet), STEP),
            Some(Update::Quote(expected))
        );
    }

    #[test]
    fn a_full_packet_has_every_field_in_its_place() {
        // A different number in every field, so that no two can be mixed up.
        let mut bytes = vec![8, 162, 0, 2, 0x18, 0x9e, 0, 0];
        bytes.extend(101.05_f32.to_le_bytes());
        bytes.extend(65_000_u16.to_le_bytes());
        bytes.extend(1_753_455_192_u32.to_le_bytes());
        bytes.extend(102.11_f32.to_le_bytes());
        for number in [4_000_000_003_u32, 4, 5, 6, 7, 8] {
            bytes.extend(number.to_le_bytes());
        }
        for price in [103.05_f32, 104.17, 105.05, 106.05] {
            bytes.extend(price.to_le_bytes());
        }
        for level in 1..=4_u16 {
            bytes.extend((u32::from(level) * 10).to_le_bytes());
            bytes.extend((u32::from(level) * 100).to_le_bytes());
            bytes.extend((level + 40_000).to_le_bytes());
            bytes.extend((level + 50_000).to_le_bytes());
            bytes.extend((f32::from(level) + 0.25).to_le_bytes());
            bytes.extend((f32::from(level) + 0.75).to_le_bytes());
        }
        bytes.extend([0; 20]);
        let Some(Piece::Packet { packet, .. }) = split(&bytes).next() else {
            panic!("not a packet")
        };
        let Some(Update::Full(full)) = decode(&packet, STEP) else {
            panic!("not a full packet")
        };
        assert_eq!(full.quote.ticker.ltp, rupees("101.05"));
        assert_eq!(
            full.quote.ticker.ltt.unwrap().to_string(),
            "2025-07-25T14:53:12+05:30"
        );
        assert_eq!(full.quote.ltq, 65_000);
        assert_eq!(full.quote.atp, rupees("102.11"));
        assert_eq!(full.quote.volume, 4_000_000_003);
        assert_eq!(
            (full.quote.total_sell_qty, full.quote.total_buy_qty),
            (4, 5)
        );
        assert_eq!(
            full.oi,
            Oi {
                oi: 6,
                high: Some(7),
                low: Some(8)
            }
        );
        assert_eq!(full.quote.day.open, rupees("103.05"));
        assert_eq!(full.quote.day.prev_close, rupees("104.17"));
        assert_eq!(full.quote.day.high, rupees("105.05"));
        assert_eq!(full.quote.day.low, rupees("106.05"));
        for (index, level) in full.depth[..4].iter().enumerate() {
            let number = index + 1;
            assert_eq!(level.bid, rupees(&format!("{number}.25")));
            assert_eq!(level.ask, rupees(&format!("{number}.75")));
            assert_eq!(
                (level.bid_qty as usize, level.ask_qty as usize),
                (number * 10, number * 100)
            );
            assert_eq!(usize::from(level.bid_orders), number + 40_000);
            assert_eq!(usize::from(level.ask_orders), number + 50_000);
        }
        assert_eq!(full.depth[4], DepthLevel::default());
    }

    #[test]
    fn nothing_traded_is_unknown_and_never_zero() {
        let bytes = [0; 162];
        let mut packet = *wire::Full::ref_from_bytes(&bytes).unwrap();
        packet.header = wire::Full::header(KEY);
        packet.ltt = U32::new(NEVER_TRADED);
        packet.atp = F32::new(f32::NAN);
        packet.open = F32::new(-0.0);
        let Some(Update::Full(full)) = decode(&Packet::Full(&packet), STEP) else {
            panic!("not a full packet")
        };
        assert_eq!(
            full.quote.ticker,
            Ticker {
                ltp: None,
                ltt: None
            }
        );
        assert_eq!(full.quote.atp, None);
        assert_eq!(full.quote.day, DayPrices::default());
        assert_eq!(full.oi, Oi::default());
        assert_eq!(full.depth, [DepthLevel::default(); 5]);
    }

    #[test]
    fn the_small_packets() {
        let oi = wire::Oi {
            header: wire::Oi::header(KEY),
            oi: U32::new(11_760_060),
        };
        let expected = Oi {
            oi: 11_760_060,
            high: None,
            low: None,
        };
        assert_eq!(decode(&Packet::Oi(&oi), STEP), Some(Update::Oi(expected)));

        let close = wire::PrevClose {
            header: wire::PrevClose::header(KEY),
            price: F32::new(22_952.95),
            oi: U32::new(3),
        };
        let expected = PrevClose {
            price: rupees("22952.95"),
            oi: 3,
        };
        assert_eq!(
            decode(&Packet::PrevClose(&close), STEP),
            Some(Update::PrevClose(expected))
        );

        let status = wire::MarketStatus {
            header: wire::MarketStatus::header(KEY),
        };
        assert_eq!(decode(&Packet::MarketStatus(&status), STEP), None);
    }

    #[test]
    fn prices_are_on_the_step_and_averages_need_not_be() {
        // Gold at a step of 1 rupee, where neighbouring numbers of the wire are 1/64 apart.
        let packet = wire::Quote {
            header: wire::Quote::header(KEY),
            ltp: F32::new(160_122.98),
            atp: F32::new(160_122.98),
            ..*wire::Quote::ref_from_bytes(&[0; 50]).unwrap()
        };
        let Some(Update::Quote(quote)) =
            decode(&Packet::Quote(&packet), PriceStep::from_raw(10_000))
        else {
            panic!("not a quote")
        };
        assert_eq!(quote.ticker.ltp, rupees("160123"));
        assert_eq!(quote.atp, rupees("160122.98"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(frame in prop::collection::vec(any::<u8>(), 0..400), code in 0_u8..9, step: u32) {
            let mut frame = frame;
            if let Some(first) = frame.first_mut() {
                *first = code;
            }
            for piece in split(&frame) {
                if let Piece::Packet { packet, .. } = piece {
                    let _ = decode(&packet, PriceStep::from_raw(step));
                }
            }
        }
    }
}
