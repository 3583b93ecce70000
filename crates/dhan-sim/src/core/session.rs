use core::fmt;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use strikewire_types::{InstrumentKey, Mode, Segment};
use zerocopy::{Immutable, IntoBytes};

use super::{Output, SessionId, packets};
use crate::counters::Counters;
use crate::market::Quote;

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
    generation: u64,
}

/// One connection: what it holds and the frame being filled for it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: String,
    pub(super) held: hashbrown::HashMap<InstrumentKey, Held, foldhash::fast::RandomState>,
    pub(super) counters: Counters,
    frame: BytesMut,
    packets_in_frame: usize,
}

impl Session {
    pub(super) fn new(client: String) -> Self {
        Self {
            client,
            held: hashbrown::HashMap::default(),
            counters: Counters::default(),
            frame: BytesMut::new(),
            packets_in_frame: 0,
        }
    }

    /// Holds `key` in `mode` too: the modes it is held in now, and whether it was not
    /// held before. Then its subscription is that of `generation`.
    pub(super) fn add(
        &mut self,
        key: InstrumentKey,
        mode: Mode,
        generation: u64,
    ) -> (ModeSet, bool) {
        let mut is_new = false;
        let held = self.held.entry(key).or_insert_with(|| {
            is_new = true;
            Held {
                modes: ModeSet::default(),
                generation,
            }
        });
        if held.modes.contains(mode) {
            self.counters.duplicates += 1;
        }
        held.modes = held.modes.with(mode);
        let modes = held.modes;
        self.counters.instruments = self.held.len();
        self.counters.peak = self.counters.peak.max(self.held.len());
        (modes, is_new)
    }

    pub(super) fn remove(&mut self, key: InstrumentKey, mode: Mode) {
        match self.held.get_mut(&key) {
            Some(held) if held.modes.contains(mode) => {
                held.modes = held.modes.without(mode);
                if held.modes.is_empty() {
                    self.held.remove(&key);
                }
            }
            _ => self.counters.not_held += 1,
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

    /// What the highest of `modes` asks for.
    pub(super) fn send_quote(
        &mut self,
        id: SessionId,
        quote: &Quote,
        modes: ModeSet,
        size: usize,
        queue: &mut Vec<(SessionId, Output)>,
    ) {
        let is_index = quote.key.segment == Segment::IdxI;
        match modes.highest() {
            None => {}
            Some(Mode::Ticker) => self.send(id, &packets::ticker(quote), size, queue),
            Some(Mode::Full) if !is_index => self.send(id, &packets::full(quote), size, queue),
            Some(Mode::Quote | Mode::Full) => {
                self.send(id, &packets::quote(quote), size, queue);
                if let Some(oi) = packets::oi(quote) {
                    self.send(id, &oi, size, queue);
                }
            }
        }
    }

    /// Puts a packet into the frame being filled, and that, when it has `size`
    /// packets, into the queue.
    pub(super) fn send(
        &mut self,
        id: SessionId,
        packet: &(impl IntoBytes + Immutable),
        size: usize,
        queue: &mut Vec<(SessionId, Output)>,
    ) {
        let bytes = packet.as_bytes();
        self.counters.packets += 1;
        self.counters.bytes += bytes.len() as u64;
        self.frame.extend_from_slice(bytes);
        self.packets_in_frame += 1;
        if self.packets_in_frame >= size {
            self.flush(id, queue);
        }
    }

    pub(super) fn flush(&mut self, id: SessionId, queue: &mut Vec<(SessionId, Output)>) {
        if !self.frame.is_empty() {
            let frame: Bytes = self.frame.split().freeze();
            queue.push((id, Output::Frame(frame)));
            self.packets_in_frame = 0;
        }
    }
}
