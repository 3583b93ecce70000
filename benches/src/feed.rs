//! Frames of made-up packets, and a sink that keeps quotes as the gateway does.

use std::sync::Arc;

use bytes::Bytes;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_broker::{Full, Gap, MarketState, Oi, Quote, Sink, Target, Ticker, Update};
use strikewire_dhan::wire;
use strikewire_quotes::{Accept, DepthLevel, RowWriter, Table, Writer, table};
use strikewire_types::{ConnId, InstrumentKey, Now, PriceStep, Segment, Slot};
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

    const fn len(self) -> usize {
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
        let len = per_frame * kind.len();
        let mut bytes = Vec::with_capacity(packets * kind.len());
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

/// Writes quote rows, for the instruments it was made for and nobody who listens.
#[derive(Debug)]
pub struct RowSink {
    table: Arc<Table>,
    writer: Writer,
    strangers: u64,
}

impl RowSink {
    /// A table with a row for every key, all at home on `conn`.
    #[must_use]
    pub fn new(keys: &[InstrumentKey], conn: ConnId) -> Self {
        let (table, writer) = table(keys.len());
        for (slot, &key) in (0..).map(Slot).zip(keys) {
            table.bind(key, slot, PriceStep::from_raw(500), conn);
        }
        Self {
            table,
            writer,
            strangers: 0,
        }
    }

    /// The rows.
    #[must_use]
    pub const fn table(&self) -> &Arc<Table> {
        &self.table
    }
}

impl Sink for RowSink {
    fn now(&self) -> Now {
        Now::default()
    }

    #[inline]
    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        let (slot, step) = self.table.resolve(key)?;
        Some(Target { key, slot, step })
    }

    #[inline]
    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update) {
        if self.writer.accepts(target.slot, conn) == Accept::Stranger {
            self.strangers += 1;
            return;
        }
        self.writer
            .write(target.slot, target.key, at.utc, |row| fill(row, update));
    }

    fn market_state(&mut self, _: ConnId, _: Now, _: Segment, _: MarketState) {}

    fn gap(&mut self, _: ConnId, _: Gap) {}

    fn frame(&mut self, _: ConnId, _: Now, _: &Bytes) {}

    fn undecoded(&mut self, _: ConnId, _: Now, _: u8, _: &[u8]) {}

    fn turn_done(&mut self, _: Now) {}
}

fn fill(row: &mut RowWriter<'_>, update: &Update) {
    match update {
        Update::Ticker(ticker) => fill_ticker(row, ticker),
        Update::Quote(quote) => fill_quote(row, quote),
        Update::Full(Full { quote, oi, depth }) => {
            fill_quote(row, quote);
            fill_oi(row, oi);
            for (level, side) in depth.iter().enumerate() {
                row.depth(
                    level,
                    DepthLevel {
                        bid: side.bid,
                        bid_qty: side.bid_qty,
                        bid_orders: side.bid_orders,
                        ask: side.ask,
                        ask_qty: side.ask_qty,
                        ask_orders: side.ask_orders,
                    },
                );
            }
        }
        Update::Oi(oi) => fill_oi(row, oi),
        Update::PrevClose(close) => row.prev_close(close.price),
        _ => {}
    }
}

fn fill_ticker(row: &mut RowWriter<'_>, ticker: &Ticker) {
    if ticker.ltp.is_some() {
        row.ltp(ticker.ltp);
        row.ltt(ticker.ltt);
    }
}

fn fill_quote(row: &mut RowWriter<'_>, quote: &Quote) {
    fill_ticker(row, &quote.ticker);
    row.ltq(Some(quote.ltq));
    row.atp(quote.atp);
    row.volume(Some(quote.volume));
    row.total_buy_qty(Some(quote.total_buy_qty));
    row.total_sell_qty(Some(quote.total_sell_qty));
    row.open(quote.day.open);
    row.high(quote.day.high);
    row.low(quote.day.low);
    if quote.day.prev_close.is_some() {
        row.prev_close(quote.day.prev_close);
    }
}

fn fill_oi(row: &mut RowWriter<'_>, oi: &Oi) {
    row.oi(Some(oi.oi));
    if oi.high.is_some() {
        row.oi_high(oi.high);
    }
    if oi.low.is_some() {
        row.oi_low(oi.low);
    }
}
