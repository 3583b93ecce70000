//! What a feed counts while it runs, for metrics and status pages.

use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strikewire_broker::DownCause;
use strikewire_types::{ConnId, Mono, Utc};

use crate::connection::Phase;
use crate::wire::Reason;

/// The counters of every connection. The feed writes them, anybody may read them.
#[derive(Debug)]
pub struct FeedStats {
    connections: Box<[Counters]>,
    attempts_left: AtomicU32,
    held_until: AtomicI64,
    token_expires_at: AtomicI64,
}

/// [`FeedStats`] keeps times as nanoseconds since 1970; this is none.
const NEVER: i64 = i64::MIN;

/// How a life of a connection ended, or did not begin; what is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// No connection was made.
    Connect,
    /// The upgrade was refused with this HTTP status.
    Refused(u16),
    /// The broker said goodbye with this code; 0 for all that are not documented.
    Code(u16),
    /// The broker sent a close frame.
    CloseFrame,
    /// The stream ended without one, or was reset.
    Reset,
    /// Nothing arrived, not even a ping.
    Silent,
    /// No data arrived where it was expected.
    Stalled,
    /// Nothing that arrived could be decoded.
    Garbled,
    /// A batch could not be written.
    Blocked,
    /// Closed from this side to come back with another token.
    Renewed,
    /// Closed from this side for good.
    Stopped,
}

impl Ended {
    /// By the cause, and whether a close frame was seen.
    pub(crate) const fn of(cause: &DownCause, close_frame: bool) -> Option<Self> {
        Some(match *cause {
            DownCause::Connect(_) => Self::Connect,
            DownCause::Refused { status } => Self::Refused(status),
            DownCause::Disconnected { code, .. } => match Reason::from_code(code) {
                Reason::Unknown(_) => Self::Code(0),
                _ => Self::Code(code),
            },
            DownCause::Closed(_) if close_frame => Self::CloseFrame,
            DownCause::Closed(_) => Self::Reset,
            DownCause::Silent(_) => Self::Silent,
            DownCause::Stalled(_) => Self::Stalled,
            DownCause::Garbled(_) => Self::Garbled,
            DownCause::Blocked(_) => Self::Blocked,
            DownCause::Renewed => Self::Renewed,
            DownCause::Stopped => Self::Stopped,
            _ => return None,
        })
    }
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
    /// Written once per life only, so a lock costs nothing.
    ends: Mutex<BTreeMap<Ended, u64>>,
}

impl Counters {
    fn ends(&self) -> MutexGuard<'_, BTreeMap<Ended, u64>> {
        // A map of counts is whole whatever happened to who held it.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            attempts_left: AtomicU32::new(0),
            held_until: AtomicI64::new(NEVER),
            token_expires_at: AtomicI64::new(NEVER),
        }
    }

    /// Attempts that the connect budget had when it was last looked at, at most a few
    /// seconds ago.
    #[must_use]
    pub fn attempts_left(&self) -> u32 {
        self.attempts_left.load(Relaxed)
    }

    /// Until when attempts are held, by the wall clock; absent when they are not.
    #[must_use]
    pub fn held_until(&self) -> Option<Utc> {
        time(&self.held_until)
    }

    /// When the token in use expires; absent when there is none or it does not say.
    #[must_use]
    pub fn token_expires_at(&self) -> Option<Utc> {
        time(&self.token_expires_at)
    }

    /// How the lives of `conn` ended, and how often; nothing that did not happen.
    #[must_use]
    pub fn ends(&self, conn: ConnId) -> Vec<(Ended, u64)> {
        let counters = self.connections.get(conn.index());
        counters.map_or_else(Vec::new, |counters| {
            counters
                .ends()
                .iter()
                .map(|(&end, &times)| (end, times))
                .collect()
        })
    }

    pub(crate) fn add_end(&self, conn: ConnId, end: Ended) {
        *self.connections[conn.index()]
            .ends()
            .entry(end)
            .or_default() += 1;
    }

    pub(crate) fn set_pace(&self, attempts_left: u32, held_until: Option<Utc>) {
        self.attempts_left.store(attempts_left, Relaxed);
        self.held_until
            .store(held_until.map_or(NEVER, Utc::as_nanos), Relaxed);
    }

    pub(crate) fn set_token_expiry(&self, at: Option<Utc>) {
        self.token_expires_at
            .store(at.map_or(NEVER, Utc::as_nanos), Relaxed);
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

fn time(stored: &AtomicI64) -> Option<Utc> {
    let nanos = stored.load(Relaxed);
    (nanos != NEVER).then(|| Utc::from_nanos(nanos))
}
