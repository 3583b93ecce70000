use core::fmt;
use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use strikewire_types::{InstrumentKey, Mode, Mono, Now};

use super::effects::{Behaviour, Effects};
use super::{Output, SessionId, packets};
use crate::config::ModeSemantics;
use crate::counters::Counters;
use crate::faults::Token;

/// Bytes that may wait to be sent late or to be processed late.
const MAX_WAITING: usize = 8 << 20;

/// The modes in which an instrument is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ModeSet(u8);

impl ModeSet {
    const fn bit(mode: Mode) -> u8 {
        1 << mode as u8
    }

    /// Whether it is held in `mode`.
    #[must_use]
    pub const fn contains(self, mode: Mode) -> bool {
        self.0 & Self::bit(mode) != 0
    }

    /// Whether it is held in no mode.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The highest mode, which decides what is sent.
    #[must_use]
    pub fn highest(self) -> Option<Mode> {
        Mode::ALL
            .into_iter()
            .rev()
            .find(|mode| self.contains(*mode))
    }

    /// The modes, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = Mode> {
        Mode::ALL
            .into_iter()
            .filter(move |mode| self.contains(*mode))
    }

    const fn with(self, mode: Mode) -> Self {
        Self(self.0 | Self::bit(mode))
    }

    const fn without(self, mode: Mode) -> Self {
        Self(self.0 & !Self::bit(mode))
    }
}

impl fmt::Debug for ModeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Mode> for ModeSet {
    fn from_iter<I: IntoIterator<Item = Mode>>(modes: I) -> Self {
        modes.into_iter().fold(Self::default(), Self::with)
    }
}

#[derive(Debug)]
pub(super) struct Held {
    modes: ModeSet,
    pub(super) since: Now,
    generation: u64,
}

/// One connection: what it holds, the frame being filled for it, and what is wrong
/// with it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: String,
    pub(super) token: Token,
    pub(super) held: hashbrown::HashMap<InstrumentKey, Held, foldhash::fast::RandomState>,
    pub(super) counters: Counters,
    pub(super) effects: Effects,
    /// What the effects come to.
    pub(super) behaviour: Behaviour,
    /// After how many packets which entries of the script befall it.
    pub(super) counted: Vec<(u64, usize)>,
    /// When noise was last made for it.
    pub(super) noise_at: Mono,
    /// Frames of zeros and of garbage that were made, with the part of the next one.
    pub(super) noise_owed: [f64; 2],
    semantics: ModeSemantics,
    packets_per_frame: usize,
    frame: BytesMut,
    packets_in_frame: usize,
    /// Frames that are late, and from when on they may go.
    late: VecDeque<(Mono, Bytes)>,
    late_bytes: usize,
    /// Messages that came while it was deaf.
    unheard: Vec<String>,
    unheard_bytes: usize,
}

impl Session {
    pub(super) fn new(
        client: String,
        token: Token,
        semantics: ModeSemantics,
        packets_per_frame: usize,
        now: Mono,
    ) -> Self {
        Self {
            client,
            token,
            held: hashbrown::HashMap::default(),
            counters: Counters::default(),
            effects: Effects::default(),
            behaviour: Behaviour::default(),
            counted: Vec::new(),
            noise_at: now,
            noise_owed: [0.0; 2],
            semantics,
            packets_per_frame,
            frame: BytesMut::new(),
            packets_in_frame: 0,
            late: VecDeque::new(),
            late_bytes: 0,
            unheard: Vec::new(),
            unheard_bytes: 0,
        }
    }

    /// Holds `key` in `mode` too: the modes it is held in now, and whether it was not
    /// held before. Then its subscription is that of `generation`.
    pub(super) fn add(
        &mut self,
        now: Now,
        key: InstrumentKey,
        mode: Mode,
        generation: u64,
    ) -> (ModeSet, bool) {
        let mut is_new = false;
        let held = self.held.entry(key).or_insert_with(|| {
            is_new = true;
            Held {
                modes: ModeSet::default(),
                since: now,
                generation,
            }
        });
        if held.modes.contains(mode) {
            self.counters.duplicates += 1;
        }
        if self.semantics == ModeSemantics::Last {
            held.modes = ModeSet::default();
        }
        held.modes = held.modes.with(mode);
        let modes = held.modes;
        self.counters.instruments = self.held.len();
        self.counters.peak = self.counters.peak.max(self.held.len());
        (modes, is_new)
    }

    pub(super) fn remove(&mut self, key: InstrumentKey, mode: Mode) {
        let Some(held) = self.held.get_mut(&key) else {
            self.counters.not_held += 1;
            return;
        };
        if !held.modes.contains(mode) {
            self.counters.not_held += 1;
        }
        held.modes = match self.semantics {
            ModeSemantics::Set | ModeSemantics::Last => held.modes.without(mode),
            ModeSemantics::AnyUnsubscribe => ModeSet::default(),
        };
        if held.modes.is_empty() {
            self.held.remove(&key);
        }
        self.counters.instruments = self.held.len();
    }

    /// Makes everything held a subscription of `generation`; what is held, in order.
    pub(super) fn renew(&mut self, generation: u64) -> Vec<InstrumentKey> {
        for held in self.held.values_mut() {
            held.generation = generation;
        }
        let mut keys: Vec<InstrumentKey> = self.held.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// The modes of a subscription, if it is still that of `generation`.
    pub(super) fn modes_of(&self, key: InstrumentKey, generation: u64) -> Option<ModeSet> {
        self.held
            .get(&key)
            .filter(|held| held.generation == generation)
            .map(|held| held.modes)
    }

    pub(super) fn state(&self) -> BTreeMap<InstrumentKey, ModeSet> {
        self.held
            .iter()
            .map(|(key, held)| (*key, held.modes))
            .collect()
    }

    /// The modes and since when an instrument is held.
    pub(super) fn held_since(&self, key: InstrumentKey) -> Option<(ModeSet, Now)> {
        self.held.get(&key).map(|held| (held.modes, held.since))
    }

    /// Whether an entry of the script waits for no more packets than were sent.
    pub(super) fn is_counted_out(&self) -> bool {
        let sent = self.counters.packets;
        self.counted.iter().any(|(after, _)| sent >= *after)
    }

    /// Puts a packet into the frame being filled, and that, when it is full, on its
    /// way. Whether the connection is sent anything at all.
    pub(super) fn send(
        &mut self,
        id: SessionId,
        now: Mono,
        packet: &[u8],
        queue: &mut Vec<(SessionId, Output)>,
    ) -> bool {
        if self.behaviour.stalled || self.behaviour.is_silent() {
            return false;
        }
        self.counters.packets += 1;
        self.counters.bytes += packet.len() as u64;
        self.frame.extend_from_slice(packet);
        self.packets_in_frame += 1;
        if let Some((code, length)) = self.behaviour.unknown {
            self.counters.noise += 1;
            packets::put_unknown(&mut self.frame, code, length);
        }
        let size = self.behaviour.packets_per_frame;
        if self.packets_in_frame >= size.unwrap_or(self.packets_per_frame) {
            self.flush(id, now, queue);
        }
        true
    }

    /// Sends the frame being filled on its way, and late ones whose time has come to
    /// the queue.
    pub(super) fn flush(&mut self, id: SessionId, now: Mono, queue: &mut Vec<(SessionId, Output)>) {
        if !self.frame.is_empty() {
            let frame = self.frame.split().freeze();
            self.packets_in_frame = 0;
            if self.behaviour.delay.is_zero() && self.late.is_empty() {
                queue.push((id, Output::Frame(frame)));
            } else if self.late_bytes + frame.len() > MAX_WAITING {
                self.counters.dropped += packets::packets_in(&frame);
            } else {
                // Not before what is under way already.
                let after = self.late.back().map_or(now, |(last, _)| *last);
                self.late_bytes += frame.len();
                let from = (now + self.behaviour.delay).max(after);
                self.late.push_back((from, frame));
            }
        }
        while let Some((from, _)) = self.late.front()
            && *from <= now
        {
            self.take_late(id, queue);
        }
    }

    /// Sends everything, however late it should be.
    pub(super) fn flush_all(
        &mut self,
        id: SessionId,
        now: Mono,
        queue: &mut Vec<(SessionId, Output)>,
    ) {
        self.flush(id, now, queue);
        while !self.late.is_empty() {
            self.take_late(id, queue);
        }
    }

    fn take_late(&mut self, id: SessionId, queue: &mut Vec<(SessionId, Output)>) {
        if let Some((_, frame)) = self.late.pop_front() {
            self.late_bytes -= frame.len();
            queue.push((id, Output::Frame(frame)));
        }
    }

    /// When the next late frame goes.
    pub(super) fn next_late(&self) -> Option<Mono> {
        self.late.front().map(|(from, _)| *from)
    }

    /// Keeps a message for later. What no window of TCP would hold is lost.
    pub(super) fn overhear(&mut self, text: &str) {
        if self.unheard_bytes + text.len() <= MAX_WAITING {
            // An empty one is not free either.
            self.unheard_bytes += text.len() + 32;
            self.unheard.push(text.to_owned());
        }
    }

    /// What came while it was deaf, in order.
    pub(super) fn hear(&mut self) -> Vec<String> {
        self.unheard_bytes = 0;
        core::mem::take(&mut self.unheard)
    }
}
