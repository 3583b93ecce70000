use core::ops::AddAssign;
use std::collections::BTreeMap;

use crate::core::SessionId;

/// What was counted on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Text messages received.
    pub messages: u64,
    /// Distinct instruments held now.
    pub instruments: usize,
    /// The most that were ever held.
    pub peak: usize,
    /// Instruments subscribed in a mode in which they were held already.
    pub duplicates: u64,
    /// Instruments unsubscribed in a mode in which they were not held.
    pub not_held: u64,
    /// Messages with more instruments than allowed.
    pub oversized: u64,
    /// Instruments subscribed beyond the limit of the connection.
    pub beyond: u64,
    /// Messages for which it was disconnected.
    pub invalid: u64,
    /// Instruments of subscribe messages that a fault lost.
    pub lost: u64,
    /// Instruments of unsubscribe messages that a fault lost.
    pub kept: u64,
    /// Frames and packets of noise that faults made.
    pub noise: u64,
    /// Packets sent or queued to be sent.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets of those that were dropped because the client read too slowly.
    pub dropped: u64,
}

impl AddAssign for Counters {
    /// `instruments` and `peak` add up too.
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.instruments += other.instruments;
        self.peak += other.peak;
        self.duplicates += other.duplicates;
        self.not_held += other.not_held;
        self.oversized += other.oversized;
        self.beyond += other.beyond;
        self.invalid += other.invalid;
        self.lost += other.lost;
        self.kept += other.kept;
        self.noise += other.noise;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.dropped += other.dropped;
    }
}

/// What was counted in all, and by connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Connections taken.
    pub connected: u64,
    /// Connections refused at the handshake.
    pub refused: u64,
    /// Of those, how many by which HTTP status; 0 for those that were never answered.
    pub refused_by_status: BTreeMap<u16, u64>,
    /// Attempts to connect, taken or refused, by minute since the start; the latest
    /// day's. Minutes without any are missing.
    pub attempts: BTreeMap<u64, u64>,
    /// The most connections there were at once.
    pub peak_connections: usize,
    /// The most instruments that all connections held at once, counted on each.
    pub peak_instruments: usize,
    /// Connections ended with 805 because a newer one came.
    pub displaced: u64,
    /// By connection, ended ones included; of those only the latest thousand.
    pub sessions: BTreeMap<SessionId, Counters>,
    forgotten: Counters,
}

const REMEMBERED: usize = 1_000;
const REMEMBERED_MINUTES: usize = 24 * 60;

impl Report {
    /// Over all connections there ever were. `instruments` is what is held now, `peak`
    /// the sum of the connections' peaks.
    #[must_use]
    pub fn total(&self) -> Counters {
        let mut total = self.forgotten;
        for counters in self.sessions.values() {
            total += *counters;
        }
        total
    }

    /// Somebody tried to connect.
    pub(crate) fn attempt(&mut self, minute: u64) {
        *self.attempts.entry(minute).or_default() += 1;
        if self.attempts.len() > REMEMBERED_MINUTES {
            self.attempts.pop_first();
        }
    }

    pub(crate) fn refuse(&mut self, status: u16) {
        self.refused += 1;
        *self.refused_by_status.entry(status).or_default() += 1;
    }

    pub(crate) fn live(&mut self, id: SessionId, counters: Counters) {
        self.sessions.insert(id, counters);
    }

    pub(crate) fn ended(&mut self, id: SessionId, counters: Counters) {
        self.sessions.insert(id, counters);
        if self.sessions.len() > REMEMBERED
            && let Some((_, oldest)) = self.sessions.pop_first()
        {
            self.forgotten += oldest;
        }
    }

    /// The counters of a connection that is gone, whether or not it is remembered.
    pub(crate) fn ended_counters(&mut self, id: SessionId) -> &mut Counters {
        match self.sessions.get_mut(&id) {
            Some(counters) => counters,
            None => &mut self.forgotten,
        }
    }
}
