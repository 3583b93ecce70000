//! What a feed counts while it runs, for metrics and status pages.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use strikewire_types::{ConnId, Mono};

use crate::connection::Phase;

/// The counters of every connection. The feed writes them, anybody may read them.
#[derive(Debug)]
pub struct FeedStats {
    connections: Box<[Counters]>,
}

/// The counters of one connection at one moment, since the feed began. They are read
/// one after the other, so a frame may be in some and not yet in others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnStats {
    /// Where the connection is in its life.
    pub phase: Phase,
    /// Attempts to connect that were begun.
    pub attempts: u64,
    /// Frames with data, text or binary; no pings.
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Packets with a known layout.
    pub packets: u64,
    /// Pieces of frames that were not understood.
    pub undecoded: u64,
    /// Packets of instruments that nobody wants any more.
    pub unresolved: u64,
    /// Packets about the state of a market, whose meaning is not documented.
    pub market_status: u64,
    /// When a binary frame last arrived, by the sink's clock; absent before the
    /// first.
    pub last_packet: Option<Mono>,
}

#[derive(Debug, Default)]
struct Counters {
    phase: AtomicU8,
    attempts: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    packets: AtomicU64,
    undecoded: AtomicU64,
    unresolved: AtomicU64,
    market_status: AtomicU64,
    /// 0 for never.
    last_packet: AtomicU64,
}

/// What one turn of a connection adds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) undecoded: u64,
    pub(crate) unresolved: u64,
    pub(crate) market_status: u64,
}

impl FeedStats {
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            connections: (0..connections).map(|_| Counters::default()).collect(),
        }
    }

    /// The counters of `conn`; none when there is no such connection.
    #[must_use]
    pub fn connection(&self, conn: ConnId) -> Option<ConnStats> {
        let counters = self.connections.get(conn.index())?;
        let last_packet = counters.last_packet.load(Relaxed);
        let phase = usize::from(counters.phase.load(Relaxed));
        Some(ConnStats {
            phase: Phase::ALL.get(phase).copied().unwrap_or(Phase::Stopped),
            attempts: counters.attempts.load(Relaxed),
            frames: counters.frames.load(Relaxed),
            bytes: counters.bytes.load(Relaxed),
            packets: counters.packets.load(Relaxed),
            undecoded: counters.undecoded.load(Relaxed),
            unresolved: counters.unresolved.load(Relaxed),
            market_status: counters.market_status.load(Relaxed),
            last_packet: (last_packet != 0).then(|| Mono::from_nanos(last_packet)),
        })
    }

    /// The counters of all connections, in order.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, ConnStats)> {
        (0..self.connections.len())
            .map(ConnId::from_index)
            .filter_map(|conn| Some((conn, self.connection(conn)?)))
    }

    pub(crate) fn set_phase(&self, conn: ConnId, phase: Phase) {
        self.connections[conn.index()]
            .phase
            .store(phase as u8, Relaxed);
    }

    pub(crate) fn add_attempt(&self, conn: ConnId) {
        self.connections[conn.index()]
            .attempts
            .fetch_add(1, Relaxed);
    }

    pub(crate) fn add(&self, conn: ConnId, at: Option<Mono>, tally: &Tally) {
        let counters = &self.connections[conn.index()];
        for (counter, more) in [
            (&counters.frames, tally.frames),
            (&counters.bytes, tally.bytes),
            (&counters.packets, tally.packets),
            (&counters.undecoded, tally.undecoded),
            (&counters.unresolved, tally.unresolved),
            (&counters.market_status, tally.market_status),
        ] {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        }
        if let Some(at) = at {
            counters.last_packet.store(at.as_nanos().max(1), Relaxed);
        }
    }
}
