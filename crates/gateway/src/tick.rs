use std::sync::Arc;

use bytes::Bytes;
use strikewire_broker::{DepthLevel, Full, Gap, Quote, Sink, Target, Ticker, Update};
use strikewire_quotes::{Accept, Interest, RowWriter, Table, Writer};
use strikewire_types::{Clock, ConnId, InstrumentKey, Now, Slot};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::Counters;

/// What the tick path tells the owner. Bounded by its cause: a band is disarmed by
/// its crossing, and a slot flips once per migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickEvent {
    /// The price of a slot left its roll band.
    Crossed { slot: Slot, key: InstrumentKey },
    /// A migrating slot got its first packet from its new connection.
    FirstPacket { slot: Slot, conn: ConnId },
}

/// Wakes those who wait for ticks.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    /// Requests that wait for the first price of an underlying.
    pub(crate) price: Notify,
    /// The hub, for clients that want every feed batch.
    pub(crate) batch: Notify,
}

/// The way of a tick, owned by the feed thread: an update of a resolved instrument
/// goes into its row, and what the slot's interest asks for happens at once.
#[derive(Debug)]
pub struct TickPath {
    table: Arc<Table>,
    writer: Writer,
    clock: Clock,
    events: UnboundedSender<TickEvent>,
    wakers: Arc<Wakers>,
    counters: Arc<Counters>,
    batch_wanted: bool,
}

impl TickPath {
    pub(crate) fn new(
        table: Arc<Table>,
        writer: Writer,
        clock: Clock,
        events: UnboundedSender<TickEvent>,
        wakers: Arc<Wakers>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            table,
            writer,
            clock,
            events,
            wakers,
            counters,
            batch_wanted: false,
        }
    }
}

impl Sink for TickPath {
    fn now(&self) -> Now {
        self.clock.now()
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        let Some((slot, step)) = self.table.resolve(key) else {
            self.counters.unresolved();
            return None;
        };
        Some(Target { key, slot, step })
    }

    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update) {
        let counters = self.counters.conn(conn);
        counters.packet(at.mono);
        match self.writer.accepts(target.slot, conn) {
            Accept::Home => {}
            Accept::Flipped => {
                // The owner outlives the feed; a send fails only while all stops.
                let _ = self.events.send(TickEvent::FirstPacket {
                    slot: target.slot,
                    conn,
                });
            }
            Accept::Stranger => {
                counters.stranger();
                return;
            }
        }
        let wrote = self
            .writer
            .write(target.slot, target.key, at.utc, |row| fill(row, update));
        if wrote.crossed {
            let _ = self.events.send(TickEvent::Crossed {
                slot: target.slot,
                key: target.key,
            });
        }
        if wrote.interest.contains(Interest::WAIT) {
            self.wakers.price.notify_waiters();
        }
        self.batch_wanted |= wrote.interest.contains(Interest::fan(0));
    }

    fn gap(&mut self, conn: ConnId, gap: Gap) {
        self.counters.conn(conn).gap();
        tracing::info!(%conn, from = %gap.from.utc, to = %gap.to.utc, "Gap in the feed");
    }

    fn frame(&mut self, conn: ConnId, at: Now, frame: &Bytes) {
        self.counters.conn(conn).frame(at.mono, frame.len());
    }

    fn undecoded(&mut self, conn: ConnId, _at: Now, code: u8, bytes: &[u8]) {
        self.counters.conn(conn).undecoded();
        tracing::debug!(%conn, code, len = bytes.len(), "Packet not decoded");
    }

    fn turn_done(&mut self, _at: Now) {
        if core::mem::take(&mut self.batch_wanted) {
            self.wakers.batch.notify_one();
        }
    }
}

fn fill(row: &mut RowWriter<'_>, update: &Update) {
    match update {
        Update::Ticker(ticker) => fill_ticker(row, ticker),
        Update::Quote(quote) => fill_quote(row, quote),
        Update::Full(Full { quote, oi, depth }) => {
            fill_quote(row, quote);
            fill_oi(row, oi);
            for (level, side) in depth.iter().enumerate() {
                row.depth(level, depth_level(side));
            }
        }
        Update::Oi(oi) => fill_oi(row, oi),
        Update::PrevClose(close) => row.prev_close(close.price),
        // Of a segment, not of an instrument; and kinds that are yet to come.
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

fn fill_oi(row: &mut RowWriter<'_>, oi: &strikewire_broker::Oi) {
    row.oi(Some(oi.oi));
    if oi.high.is_some() {
        row.oi_high(oi.high);
    }
    if oi.low.is_some() {
        row.oi_low(oi.low);
    }
}

fn depth_level(level: &DepthLevel) -> strikewire_quotes::DepthLevel {
    strikewire_quotes::DepthLevel {
        bid: level.bid,
        bid_qty: level.bid_qty,
        bid_orders: level.bid_orders,
        ask: level.ask,
        ask_qty: level.ask_qty,
        ask_orders: level.ask_orders,
    }
}
