use std::sync::Arc;

use bytes::Bytes;
use strikewire_broker::{Gap, MarketState, Packed, Sink, Snapshot, Target, Update};
use strikewire_quotes::{Entry, Interest, Put, Resumed, Writer, Wrote};
use strikewire_types::{Clock, ConnId, InstrumentKey, LogLimit, Mode, Now, Segment, Slot, Utc};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedSender};

use crate::Counters;
use crate::bars::{BarCommand, Tap};
use meters::Meters;

mod fill;
mod meters;

/// What the tick path tells the owner. Bounded by its cause: a band is disarmed by
/// its crossing, a slot flips once per migration, and a gap ends once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TickEvent {
    /// The price of a slot left its roll band.
    Crossed { slot: Slot, key: InstrumentKey },
    /// A migrating slot got its first packet from its new connection.
    FirstPacket { slot: Slot, conn: ConnId },
    /// A slot that may have missed packets got one, or the answer to a request.
    Resumed {
        slot: Slot,
        key: InstrumentKey,
        /// When the packet before it was received; absent when there was none.
        from: Option<Utc>,
        /// When this one was.
        to: Utc,
    },
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
/// goes into its row at once, and what the slot's interest asks for happens before the
/// feed waits again, one fence for many packets.
#[derive(Debug)]
pub struct TickPath {
    writer: Writer,
    clock: Clock,
    tap: Tap,
    out: Out,
    counters: Arc<Counters>,
    meters: Meters,
    quiet: Quiet,
}

/// How often is said what may come with any packet.
#[derive(Debug)]
struct Quiet {
    undecoded: LogLimit,
    market_state: LogLimit,
}

/// Where the consequences of a tick go.
#[derive(Debug)]
struct Out {
    events: UnboundedSender<TickEvent>,
    wakers: Arc<Wakers>,
    batch_wanted: bool,
}

impl TickPath {
    pub(crate) fn new(
        writer: Writer,
        clock: Clock,
        tap: Tap,
        events: UnboundedSender<TickEvent>,
        wakers: Arc<Wakers>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            writer,
            clock,
            tap,
            out: Out {
                events,
                wakers,
                batch_wanted: false,
            },
            counters,
            meters: Meters::new(),
            quiet: Quiet {
                undecoded: LogLimit::per_second(5),
                market_state: LogLimit::per_second(20),
            },
        }
    }

    /// A tick path whose events nobody takes: for measuring, and for programs that read
    /// the rows and need no gateway.
    #[must_use]
    pub fn detached(writer: Writer, clock: Clock, connections: usize) -> Self {
        let (events, _) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::new(connections));
        let tap = Tap::of_nobody(Arc::clone(writer.table()));
        Self::new(writer, clock, tap, events, Arc::default(), counters)
    }

    /// What it counts.
    #[must_use]
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Takes the answer to a request of `asked_at`: what it says goes into the row, unless
    /// a packet came since then. Whether anything was written.
    ///
    /// It ends a gap, and is told to roll bands, to those who wait for a price and to
    /// streams, as a packet is; but when the latest packet came, and its mode, stay.
    pub fn snapshot(&mut self, at: Now, asked_at: Now, snapshot: &Snapshot) -> bool {
        let Some((slot, step)) = self.writer.table().resolve(snapshot.key) else {
            return false;
        };
        let times = (asked_at.utc, at.utc);
        let wrote = self
            .writer
            .write_answer(slot, snapshot.key, step, times, |row| {
                fill::snapshot(row, snapshot);
            });
        let Some(wrote) = wrote else {
            return false;
        };
        if let Some(resumed) = wrote.resumed {
            self.out.resumed(slot, snapshot.key, resumed, at);
            self.tap.answered(slot, snapshot.key);
        }
        self.out.follow(slot, snapshot.key, wrote);
        true
    }

    /// Opens the row of a packet if it is from where it should be.
    #[inline(always)]
    fn enter(&mut self, conn: ConnId, target: &Target, at: Now) -> Option<Entry<'_>> {
        let Target { key, slot, step } = *target;
        let counters = self.counters.conn(conn);
        counters.packet(at.mono);
        let entry = self.writer.enter(conn, slot, key, step, at.utc);
        if entry.is_err() {
            counters.stranger();
        }
        entry.ok()
    }

    /// What follows from a packet that is in its row.
    #[inline(always)]
    fn done(&mut self, conn: ConnId, target: &Target, at: Now, put: Put) {
        let &Target { slot, key, .. } = target;
        if put.flipped {
            self.out.tell(TickEvent::FirstPacket { slot, conn });
        }
        if let Some(resumed) = put.resumed {
            self.out.resumed(slot, key, resumed, at);
        }
        if put.full {
            self.settle();
        }
    }

    /// Where bars are built.
    pub(crate) fn tap(&mut self) -> &mut Tap {
        &mut self.tap
    }

    pub(crate) fn bar_command(&mut self, command: &BarCommand) {
        self.tap.handle(self.clock.now().utc, command);
    }

    fn settle(&mut self) {
        let Self { writer, out, .. } = self;
        writer.settle(|slot, key, wrote| out.follow(slot, key, wrote));
    }
}

impl Out {
    #[cold]
    fn tell(&self, event: TickEvent) {
        // The owner outlives the feed; a send fails only while all stops.
        let _ = self.events.send(event);
    }

    fn resumed(&self, slot: Slot, key: InstrumentKey, resumed: Resumed, at: Now) {
        self.tell(TickEvent::Resumed {
            slot,
            key,
            from: resumed.from,
            to: at.utc,
        });
    }

    fn follow(&mut self, slot: Slot, key: InstrumentKey, wrote: Wrote) {
        if wrote.crossed {
            self.tell(TickEvent::Crossed { slot, key });
        }
        if wrote.interest.contains(Interest::WAIT) {
            self.wakers.price.notify_waiters();
        }
        self.batch_wanted |= wrote.interest.contains(Interest::fan(0));
    }
}

impl Sink for TickPath {
    fn now(&self) -> Now {
        self.clock.now()
    }

    #[inline]
    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        let Some((slot, step)) = self.writer.table().resolve(key) else {
            self.counters.unresolved();
            return None;
        };
        Some(Target { key, slot, step })
    }

    #[inline(always)]
    fn prepare(&self, target: &Target, mode: Mode) {
        self.writer.prepare(target.slot, mode);
    }

    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update) {
        let Some(mut entry) = self.enter(conn, target, at) else {
            return;
        };
        fill::update(&mut entry.row, update);
        let put = entry.done();
        if put.bars {
            let resumed = put.resumed.is_some();
            self.tap.update(target, at.utc, resumed, update);
        }
        self.done(conn, target, at, put);
    }

    #[inline(always)]
    fn apply_packed(&mut self, conn: ConnId, target: &Target, at: Now, packed: &Packed) {
        let Some(mut entry) = self.enter(conn, target, at) else {
            return;
        };
        fill::packed(&mut entry.row, target.step, packed);
        let put = entry.done();
        if put.bars {
            let resumed = put.resumed.is_some();
            self.tap.packed(target, at.utc, resumed, packed);
        }
        self.done(conn, target, at, put);
    }

    fn market_state(&mut self, conn: ConnId, at: Now, segment: Segment, state: MarketState) {
        self.counters.market_state(segment, state.code, at.utc);
        if let Some(suppressed) = self.quiet.market_state.admit(at.mono) {
            tracing::info!(%conn, %segment, code = state.code, suppressed, "Market state");
        }
    }

    fn gap(&mut self, conn: ConnId, gap: Gap) {
        self.counters.gap(conn, &gap);
        tracing::info!(%conn, from = %gap.from.utc, to = %gap.to.utc, "Gap in the feed");
    }

    fn frame(&mut self, conn: ConnId, at: Now, frame: &Bytes) {
        self.counters.conn(conn).frame(at.mono, frame.len());
        self.meters.begin();
    }

    fn undecoded(&mut self, conn: ConnId, at: Now, code: u8, bytes: &[u8]) {
        self.counters.conn(conn).undecoded();
        self.counters.undecoded_packet(code, at.utc, bytes);
        if let Some(suppressed) = self.quiet.undecoded.admit(at.mono) {
            tracing::debug!(%conn, code, len = bytes.len(), suppressed, "Packet not decoded");
        }
    }

    fn turn_done(&mut self, _at: Now) {
        let began = self.meters.received();
        self.settle();
        if core::mem::take(&mut self.out.batch_wanted) {
            self.out.wakers.batch.notify_one();
        }
        if let Some(began) = began {
            self.meters.settled(began);
        }
    }
}
