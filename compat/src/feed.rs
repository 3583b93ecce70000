//! Frames of made-up packets, and a tick path that takes them as the gateway does.

use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_dhan::wire;
use strikewire_gateway::TickPath;
use strikewire_quotes::Table;
use strikewire_types::{Clock, ConnId, InstrumentKey, PriceStep, Segment, Slot};
use zerocopy::IntoBytes;

/// Which packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 16 bytes.
    Ticker,
    /// 50 bytes.
    Quote,
    /// 162 bytes.
    Full,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ticker, Self::Quote, Self::Full];

    /// For the name of a benchmark.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticker => "ticker",
            Self::Quote => "quote",
            Self::Full => "full",
        }
    }

    /// Bytes of such a packet.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Ticker => wire::Ticker::LEN,
            Self::Quote => wire::Quote::LEN,
            Self::Full => wire::Full::LEN,
        }
    }
}

/// The instruments of a feed: `count` of NSE's derivatives.
#[must_use]
pub fn keys(count: usize) -> Vec<InstrumentKey> {
    // About as dense as a day's ids are when a quarter of them is subscribed.
    (0..count as u32)
        .map(|nth| InstrumentKey::new(Segment::NseFno, 35_000 + nth * 4))
        .collect()
}

/// Frames that follow each other in memory.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    len: usize,
}

impl Frames {
    /// About `packets` packets, `per_frame` in each frame. Every key gets its turn, in
    /// an order that looks random.
    #[must_use]
    pub fn new(kind: Kind, keys: &[InstrumentKey], packets: usize, per_frame: usize) -> Self {
        let mut rng = Pcg64::seed_from_u64(7);
        let mut order: Vec<InstrumentKey> = keys.iter().copied().cycle().take(packets).collect();
        order.shuffle(&mut rng);
        let len = per_frame * kind.bytes();
        let mut bytes = Vec::with_capacity(packets * kind.bytes());
        for key in order {
            push(&mut bytes, kind, key, &mut rng);
        }
        bytes.truncate(bytes.len() / len * len);
        Self { bytes, len }
    }

    /// How many frames there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.bytes.len() / self.len
    }

    /// All of them, one behind the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The `nth` frame.
    #[inline]
    #[must_use]
    pub fn get(&self, nth: usize) -> &[u8] {
        &self.bytes[nth * self.len..(nth + 1) * self.len]
    }
}

fn push(bytes: &mut Vec<u8>, kind: Kind, key: InstrumentKey, rng: &mut Pcg64) {
    let mut rupees = || rng.random_range(20_i32..60_000) as f32 / 20.0;
    let (ltp, low, high) = (rupees(), rupees(), rupees());
    let ltt = wire::wall_clock(1_770_611_400);
    match kind {
        Kind::Ticker => bytes.extend_from_slice(
            wire::Ticker {
                header: wire::Ticker::header(key),
                ltp: ltp.into(),
                ltt: ltt.into(),
            }
            .as_bytes(),
        ),
        Kind::Quote => bytes.extend_from_slice(
            wire::Quote {
                header: wire::Quote::header(key),
                ltp: ltp.into(),
                ltq: 75.into(),
                ltt: ltt.into(),
                atp: high.into(),
                volume: 1_234_500.into(),
                total_sell_qty: 45_000.into(),
                total_buy_qty: 54_000.into(),
                open: low.into(),
                close: low.into(),
                high: high.into(),
                low: low.into(),
            }
            .as_bytes(),
        ),
        Kind::Full => {
            let depth = std::array::from_fn(|_| wire::Level {
                bid_qty: 750.into(),
                ask_qty: 825.into(),
                bid_orders: 3.into(),
                ask_orders: 4.into(),
                bid: rupees().into(),
                ask: rupees().into(),
            });
            bytes.extend_from_slice(
                wire::Full {
                    header: wire::Full::header(key),
                    ltp: ltp.into(),
                    ltq: 75.into(),
                    ltt: ltt.into(),
                    atp: high.into(),
                    volume: 1_234_500.into(),
                    total_sell_qty: 45_000.into(),
                    total_buy_qty: 54_000.into(),
                    oi: 7_654_321.into(),
                    oi_high: 7_700_000.into(),
                    oi_low: 7_500_000.into(),
                    open: low.into(),
                    close: low.into(),
                    high: high.into(),
                    low: low.into(),
                    depth,
                }
                .as_bytes(),
            );
        }
    }
}

/// The gateway's tick path, with a row for every key and nobody who listens. The key's rows
/// lie in another order than their ids; each is at home on the connection that `home` says.
#[must_use]
pub fn tick_path(
    keys: &[InstrumentKey],
    connections: usize,
    home: impl Fn(usize) -> ConnId,
) -> (Arc<Table>, TickPath) {
    let (table, writer) = strikewire_quotes::table(keys.len());
    let mut slots: Vec<u32> = (0..).take(keys.len()).collect();
    slots.shuffle(&mut Pcg64::seed_from_u64(8));
    for (nth, (&key, &slot)) in keys.iter().zip(&slots).enumerate() {
        table.bind(key, Slot(slot), PriceStep::from_raw(500), home(nth));
    }
    let path = TickPath::detached(writer, Clock::system(), connections);
    (table, path)
}
