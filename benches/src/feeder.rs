//! A broker's feed that costs next to nothing: it speaks Dhan's protocol, knows no market,
//! and sends packets that are encoded already, at a steady rate, about what was subscribed.
//!
//! Every packet's traded volume is the time of its sending, so that whoever gets it in the
//! end knows how old it is: see [`Stamps`].

use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use rand::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use strikewire_dhan::wire::{
    Full, Level, Quote, RequestCode, SubscribeRequest, Ticker, wall_clock,
};
use strikewire_types::{InstrumentKey, Mode};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zerocopy::IntoBytes;

use crate::ws::{self, Opcode};

/// How often a connection is written to.
const TURN: Duration = Duration::from_millis(2);
/// How often a connection is pinged, as the broker does.
const PING_EVERY: Duration = Duration::from_secs(10);
/// The price of whatever has none of its own, in rupees.
const PREMIUM: f32 = 100.0;

/// Times as whole numbers of a hundred microseconds since one moment.
#[derive(Debug, Clone, Copy)]
pub struct Stamps(Instant);

impl Stamps {
    /// Length of a unit.
    pub const UNIT: Duration = Duration::from_micros(100);

    /// Stamps from now on; the first is above 0.
    #[must_use]
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// The stamp of now.
    #[must_use]
    pub fn now(self) -> u32 {
        let units = self.0.elapsed().as_micros() / Self::UNIT.as_micros();
        u32::try_from(units).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// What a feeder does.
#[derive(Debug)]
pub struct Feeder {
    /// Packets a second over all connections, while anything is subscribed.
    pub rate: f64,
    /// Packets in a frame.
    pub per_frame: usize,
    /// Prices in rupees of those that have one of their own.
    pub prices: HashMap<InstrumentKey, f32>,
    /// The server's clock at the first moment of `stamps`, in seconds since 1970.
    pub clock: i64,
    /// What packets are stamped with.
    pub stamps: Stamps,
    /// What it did.
    pub counts: Counts,
}

/// What a feeder did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Packets sent.
    pub packets: AtomicU64,
    /// Bytes sent.
    pub bytes: AtomicU64,
    /// Packets that should have been sent, by the rate.
    pub due: AtomicU64,
    /// The longest that one write took, in microseconds: how long the server did not read.
    pub longest_write_us: AtomicU64,
    /// Instruments subscribed.
    pub subscribed: AtomicUsize,
}

impl Feeder {
    /// Serves every connection that comes, for ever.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    ///
    /// # Cancel safety
    ///
    /// Not safe: connections that came go on.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let (socket, _) = listener.accept().await?;
            let feeder = Arc::clone(&self);
            tokio::spawn(async move {
                // A connection that breaks is the load's own mistake, and shows in its counts.
                let _ = feeder.connection(socket).await;
            });
        }
    }

    async fn connection(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut reader = ws::Reader::accept(socket).await?;
        let writer = reader.take_writer()?;
        let (tell, told) = unbounded_channel();
        let hear = async {
            loop {
                let frame = reader.next().await?;
                match frame.opcode {
                    Opcode::Text => {
                        if let Ok(request) = serde_json::from_slice(frame.payload) {
                            hear(&tell, &request);
                        }
                    }
                    Opcode::Close => return Ok(()),
                    _ => {}
                }
            }
        };
        tokio::select! {
            ended = hear => ended,
            ended = self.send(writer, told) => ended,
        }
    }

    async fn send(
        &self,
        mut socket: OwnedWriteHalf,
        mut told: UnboundedReceiver<Ask>,
    ) -> io::Result<()> {
        let mut packets = Packets {
            list: Vec::new(),
            next: 0,
            sent: 0,
            random: Pcg64::seed_from_u64(1),
        };
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut last, mut pinged) = (Instant::now(), Instant::now());
        // Packets that are due, and parts of one.
        let mut due = 0.0;
        let mut out = Vec::new();
        loop {
            turns.tick().await;
            let before = packets.list.len();
            while let Ok(ask) = told.try_recv() {
                packets.take(self, ask);
            }
            self.counts
                .subscribed
                .fetch_add(packets.list.len().wrapping_sub(before), Relaxed);
            let passed = last.elapsed();
            last = Instant::now();
            out.clear();
            if pinged.elapsed() > PING_EVERY {
                pinged = Instant::now();
                ws::write_frame(&mut out, Opcode::Ping, &[b""]);
            }
            if !packets.list.is_empty() {
                let all = self.counts.subscribed.load(Relaxed).max(1);
                due += self.rate * passed.as_secs_f64() * packets.list.len() as f64 / all as f64;
            }
            let count = due as usize;
            due -= count as f64;
            self.counts.due.fetch_add(count as u64, Relaxed);
            let seconds = self.clock + (self.stamps.0.elapsed().as_secs().cast_signed());
            packets.write(&mut out, count, self.per_frame, self.stamps, seconds);
            let begun = Instant::now();
            socket.write_all(&out).await?;
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.counts.longest_write_us.fetch_max(took, Relaxed);
            self.counts.packets.fetch_add(count as u64, Relaxed);
            self.counts.bytes.fetch_add(out.len() as u64, Relaxed);
        }
    }
}

/// A wish of the other side.
#[derive(Debug, Clone, Copy)]
struct Ask {
    key: InstrumentKey,
    mode: Mode,
    is_subscribe: bool,
}

fn hear(tell: &UnboundedSender<Ask>, request: &SubscribeRequest) {
    let Some(code) = RequestCode::from_code(request.request_code) else {
        return;
    };
    let Some(mode) = code.mode() else { return };
    for instrument in &request.instrument_list {
        if let Some(key) = instrument.key() {
            let is_subscribe = code.is_subscribe();
            // Whoever sends has gone when this fails, and so do we.
            let _ = tell.send(Ask {
                key,
                mode,
                is_subscribe,
            });
        }
    }
}

/// The packets of a connection, sent in turn.
#[derive(Debug)]
struct Packets {
    list: Vec<(InstrumentKey, Packet)>,
    next: usize,
    sent: u32,
    random: Pcg64,
}

/// A packet that is sent again and again. One size for all: that of the largest.
#[derive(Debug)]
struct Packet {
    bytes: Box<[u8]>,
    mode: Mode,
    price: f32,
    /// Whether it is an underlying's.
    fixed: bool,
}

impl Packets {
    fn take(&mut self, feeder: &Feeder, ask: Ask) {
        let place = self.list.iter().position(|(key, _)| *key == ask.key);
        match (place, ask.is_subscribe) {
            (None, true) => {
                let price = feeder.prices.get(&ask.key).copied();
                self.list.push((ask.key, Packet::new(ask, price)));
                // What is subscribed together is not sent together.
                let (last, other) = (self.list.len() - 1, self.random.next_u64() as usize);
                self.list.swap(last, other % (last + 1));
            }
            (Some(place), true) => {
                let price = feeder.prices.get(&ask.key).copied();
                self.list[place].1 = Packet::new(ask, price);
            }
            (Some(place), false) => {
                self.list.swap_remove(place);
                self.next = 0;
            }
            (None, false) => {}
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        mut count: usize,
        per_frame: usize,
        stamps: Stamps,
        seconds: i64,
    ) {
        if self.list.is_empty() {
            return;
        }
        let (stamp, ltt) = (stamps.now(), wall_clock(seconds));
        while count > 0 {
            let in_frame = count.min(per_frame);
            count -= in_frame;
            // The length of the frame is known when its packets are.
            let head = out.len();
            out.extend_from_slice(&[0; 4]);
            for _ in 0..in_frame {
                let (_, packet) = &mut self.list[self.next];
                self.sent = self.sent.wrapping_add(1);
                packet.refresh(stamp, ltt, self.sent);
                out.extend_from_slice(&packet.bytes);
                self.next = crate::next(self.next, self.list.len());
            }
            let length = out.len() - head - 4;
            ws::fill_head(&mut out[head..head + 4], length);
        }
    }
}

impl Packet {
    fn new(ask: Ask, price: Option<f32>) -> Self {
        let (fixed, price) = (price.is_some(), price.unwrap_or(PREMIUM));
        let bytes: Box<[u8]> = match ask.mode {
            Mode::Ticker => Ticker {
                header: Ticker::header(ask.key),
                ltp: price.into(),
                ltt: 0.into(),
            }
            .as_bytes()
            .into(),
            Mode::Quote => Quote {
                header: Quote::header(ask.key),
                ltp: price.into(),
                ltq: 75.into(),
                ltt: 0.into(),
                atp: price.into(),
                volume: 0.into(),
                total_sell_qty: 1_234_500.into(),
                total_buy_qty: 1_543_200.into(),
                open: price.into(),
                close: price.into(),
                high: (price + 20.0).into(),
                low: (price - 20.0).into(),
            }
            .as_bytes()
            .into(),
            Mode::Full => Full {
                header: Full::header(ask.key),
                ltp: price.into(),
                ltq: 75.into(),
                ltt: 0.into(),
                atp: price.into(),
                volume: 0.into(),
                total_sell_qty: 1_234_500.into(),
                total_buy_qty: 1_543_200.into(),
                oi: 2_345_675.into(),
                oi_high: 2_845_675.into(),
                oi_low: 1_845_675.into(),
                open: price.into(),
                close: price.into(),
                high: (price + 20.0).into(),
                low: (price - 20.0).into(),
                depth: core::array::from_fn(|level| Level {
                    bid_qty: (75 * (level as u32 + 3)).into(),
                    ask_qty: (75 * (level as u32 + 5)).into(),
                    bid_orders: (level as u16 + 2).into(),
                    ask_orders: (level as u16 + 4).into(),
                    bid: (price - 0.05 * (level + 1) as f32).into(),
                    ask: (price + 0.05 * (level + 1) as f32).into(),
                }),
            }
            .as_bytes()
            .into(),
        };
        Self {
            bytes,
            mode: ask.mode,
            price,
            fixed,
        }
    }

    /// Makes it a new one: the last price, quantity and time, the volume, and the first
    /// two levels of the book change.
    fn refresh(&mut self, stamp: u32, ltt: u32, nth: u32) {
        let bytes = &mut self.bytes;
        let mut put = |at: usize, four: [u8; 4]| bytes[at..at + 4].copy_from_slice(&four);
        // An underlying stays within its band.
        let steps = if self.fixed { nth % 3 } else { nth % 41 };
        let price = self.price + 0.05 * steps as f32;
        put(8, price.to_le_bytes());
        if self.mode == Mode::Ticker {
            put(12, ltt.to_le_bytes());
            return;
        }
        put(14, ltt.to_le_bytes());
        put(22, stamp.to_le_bytes());
        if self.mode == Mode::Full {
            for level in 0..2 {
                let at = Full::LEN - (5 - level) * size_of::<Level>();
                let apart = 0.05 * (level + 1) as f32;
                put(at, (75 * (nth % 50 + 1)).to_le_bytes());
                put(at + 4, (75 * (nth % 70 + 1)).to_le_bytes());
                put(at + 12, (price - apart).to_le_bytes());
                put(at + 16, (price + apart).to_le_bytes());
            }
        }
        let [low, high, ..] = (nth % 900 + 1).to_le_bytes();
        bytes[12..14].copy_from_slice(&[low, high]);
    }
}

#[cfg(test)]
mod tests {
    use strikewire_types::Segment;
    use zerocopy::FromBytes;

    use super::*;

    #[test]
    fn a_refreshed_packet_is_what_it_says() {
        let key = InstrumentKey::new(Segment::NseFno, 35_060);
        let ask = |mode| Ask {
            key,
            mode,
            is_subscribe: true,
        };
        let mut packet = Packet::new(ask(Mode::Full), None);
        packet.refresh(77, 1_700_000_000, 10);
        let full = Full::read_from_bytes(&packet.bytes).unwrap();
        assert_eq!(full.header, Full::header(key));
        assert_eq!(full.volume.get(), 77);
        assert_eq!(full.ltt.get(), 1_700_000_000);
        assert_eq!(full.ltq.get(), 11);
        assert_eq!(full.ltp.get(), 100.5);
        assert_eq!(full.depth[1].bid.get(), 100.4);
        assert_eq!(full.depth[1].ask_qty.get(), 75 * 11);
        assert_eq!(full.depth[4].ask.get(), 100.25);
        let mut packet = Packet::new(ask(Mode::Quote), Some(2_000.0));
        packet.refresh(78, 1_700_000_001, 1);
        let quote = Quote::read_from_bytes(&packet.bytes).unwrap();
        assert_eq!(quote.volume.get(), 78);
        assert_eq!(quote.ltt.get(), 1_700_000_001);
        assert_eq!(quote.ltp.get(), 2_000.05);
        let mut packet = Packet::new(ask(Mode::Ticker), Some(2_000.0));
        packet.refresh(78, 1_700_000_001, 3);
        let ticker = Ticker::read_from_bytes(&packet.bytes).unwrap();
        assert_eq!(ticker.ltt.get(), 1_700_000_001);
        assert_eq!(ticker.ltp.get(), 2_000.0);
    }
}
