//! A chain as one class and mode of clients sees it.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use strikewire_quotes::Quote;
use strikewire_types::{InstrumentKey, Mode, Mono, Price, Utc};

use crate::chain::{ChainBody, ChainId};
use crate::class::Class;
use crate::frames;
use crate::history::History;
use crate::instruments::{Instruments, Want};
use crate::json::{self, QuoteMap};
use crate::outlet::SubId;

/// The field of a chain that follows the price of its underlying.
const LIVE_LTP: &str = "live_ltp";

/// What every client of a channel has, once it was sent all of it; deltas are the
/// differences between two states of this.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) chain: ChainId,
    pub(crate) class: Class,
    pub(crate) mode: Mode,
    /// The chain's, with class and mode: these count for themselves.
    pub(crate) epoch: String,
    /// Number of the latest delta; the first state counts as one.
    pub(crate) seq: u64,
    /// In the order of their numbers, so that those that are equal are neighbours.
    pub(crate) subscribers: Vec<Subscriber>,
    /// Whether it is on the list of channels to look at in the next flush.
    pub(crate) due: bool,
    /// Since when nobody is subscribed.
    pub(crate) idle_since: Option<Mono>,
    pub(crate) history: History,
    /// Whether there is a state yet.
    begun: bool,
    /// The latest body, absent while the chain is not there.
    body: Option<Arc<ChainBody>>,
    /// The body of the state.
    sent: Option<Arc<ChainBody>>,
    /// Whether body or instruments are to be looked at again.
    stale: bool,
    /// Whether the quote table is asked for the instruments.
    holds: bool,
    /// Instruments of this channel that changed.
    dirty: Vec<u32>,
    legs: Vec<Leg>,
    quotes: QuoteMap,
    leg_at: HashMap<u32, usize, FixedState>,
    underlying: Option<(InstrumentKey, u32)>,
    live: Option<Price>,
    /// The text of `live_ltp`, empty without.
    live_text: Vec<u8>,
    /// The other fields as members after commas; empty when not made since they changed.
    fields: Vec<u8>,
    /// The rest of a snapshot's text as of now, if one was made.
    snapshot: Option<Bytes>,
}

#[derive(Debug)]
struct Leg {
    instrument: u32,
    token: Arc<str>,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    /// Index of the client.
    pub(crate) client: u32,
    pub(crate) sub: SubId,
    pub(crate) standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Had nothing yet; `refused` if it wanted to resume.
    Waiting { refused: bool },
    /// Has everything before `next` from an earlier subscription.
    Resuming { next: u64 },
    /// Has everything up to the channel's number.
    Live,
    /// Its queue was full: deltas from `from_seq` on were not sent, nor said to be missing.
    /// With none of them it waits for a snapshot only.
    Behind { from_seq: u64 },
}

/// What became of a channel in a round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Advanced {
    /// Whether there was a state before, which a delta leads from.
    pub(crate) follows: bool,
    /// When the oldest tick that it tells of was received.
    pub(crate) received: Option<Utc>,
}

/// Texts that are put together in every round, kept for their memory.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    chain: Vec<u8>,
    set: Vec<u8>,
    remove: Vec<u8>,
    dirty: Vec<u32>,
    /// The rest of a delta's text, after its `sub`.
    pub(crate) tail: Vec<u8>,
}

impl Channel {
    pub(crate) fn new(
        chain: ChainId,
        class: Class,
        mode: Mode,
        epoch: &str,
        seq: u64,
        body: Option<Arc<ChainBody>>,
    ) -> Self {
        Self {
            chain,
            class,
            mode,
            epoch: format!("{epoch}-{}-{mode}", class.ms()),
            seq,
            subscribers: Vec::new(),
            due: false,
            idle_since: None,
            history: History::default(),
            begun: false,
            stale: body.is_some(),
            body,
            sent: None,
            holds: false,
            dirty: Vec::new(),
            legs: Vec::new(),
            quotes: QuoteMap::new(mode),
            leg_at: HashMap::with_hasher(FixedState::default()),
            underlying: None,
            live: None,
            live_text: Vec::new(),
            fields: Vec::new(),
            snapshot: None,
        }
    }

    /// Says what the chain is, or that it is not there for now.
    pub(crate) fn set_body(&mut self, body: Option<Arc<ChainBody>>) {
        self.stale = body.is_some();
        self.body = body;
    }

    /// Whether there is anything to send.
    pub(crate) const fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Whether there is a state that deltas can start from.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    pub(crate) fn instrument_changed(&mut self, index: u32) {
        self.dirty.push(index);
    }

    pub(crate) fn subscribe(&mut self, subscriber: Subscriber) {
        let at = self
            .subscribers
            .partition_point(|one| one.sub <= subscriber.sub);
        self.subscribers.insert(at, subscriber);
        if self.idle_since.take().is_some() {
            self.stale = self.body.is_some();
        }
    }

    /// Whether a client that has everything up to `seq` can be sent what came after.
    pub(crate) fn can_resume(&self, seq: u64) -> bool {
        self.begun && seq <= self.seq && self.history.since(seq + 1, self.seq).is_some()
    }

    /// Nobody is subscribed any more: lets go of the instruments, and keeps the state.
    pub(crate) fn rest(&mut self, me: u32, now: Mono, instruments: &mut Instruments) {
        self.release(me, instruments);
        self.holds = false;
        self.dirty.clear();
        self.snapshot = None;
        self.idle_since = Some(now);
    }

    /// Lets go of every instrument.
    pub(crate) fn release(&self, me: u32, instruments: &mut Instruments) {
        if !self.holds {
            return;
        }
        let legs = self.legs.iter().map(|leg| leg.instrument);
        for index in legs.chain(self.underlying.map(|(_, index)| index)) {
            instruments.leave(index, self.class, Want::Channel(me));
        }
    }

    /// Moves the state to what is true now. If anything changed, counts on and leaves the
    /// rest of the delta's text in `scratch`.
    pub(crate) fn advance(
        &mut self,
        me: u32,
        instruments: &mut Instruments,
        scratch: &mut Scratch,
    ) -> Option<Advanced> {
        scratch.chain.clear();
        scratch.set.clear();
        scratch.remove.clear();
        std::mem::swap(&mut self.dirty, &mut scratch.dirty);
        let dirty = &scratch.dirty;
        let mut others = Vec::new();
        if std::mem::take(&mut self.stale)
            && let Some(body) = self.body.clone()
        {
            let same_legs = self
                .sent
                .as_ref()
                .is_some_and(|sent| sent.legs == body.legs && sent.underlying == body.underlying);
            if !same_legs || !self.holds {
                self.change_legs(me, &body, instruments, &mut scratch.remove);
                others.extend(self.legs.iter().map(|leg| leg.instrument));
            }
            self.change_fields(&body, &mut scratch.chain);
            self.sent = Some(body);
            self.change_live(instruments, &mut scratch.chain);
        } else if self
            .underlying
            .is_some_and(|(_, index)| dirty.contains(&index))
        {
            self.change_live(instruments, &mut scratch.chain);
        }
        let mut received: Option<Utc> = None;
        for index in dirty {
            self.change_quote(*index, instruments, &mut scratch.set);
            if let Some(at) = instruments.quote(*index).map(Quote::received) {
                received = Some(received.map_or(at, |oldest| oldest.min(at)));
            }
        }
        for index in others {
            self.change_quote(index, instruments, &mut scratch.set);
        }
        scratch.dirty.clear();
        // The first state counts also when it is empty: it is another than the last one of
        // an earlier channel.
        let first = !std::mem::replace(&mut self.begun, true);
        if scratch.chain.is_empty() && scratch.set.is_empty() && scratch.remove.is_empty() && !first
        {
            return None;
        }
        self.seq += 1;
        self.snapshot = None;
        scratch.tail.clear();
        self.write_position(&mut scratch.tail);
        scratch.tail.extend_from_slice(b"\"chain\":");
        frames::write_object(&mut scratch.tail, &scratch.chain);
        scratch.tail.extend_from_slice(b",\"set\":");
        frames::write_object(&mut scratch.tail, &scratch.set);
        scratch.tail.extend_from_slice(b",\"remove\":[");
        let removed = scratch.remove.get(1..).unwrap_or_default();
        scratch.tail.extend_from_slice(removed);
        scratch.tail.extend_from_slice(b"]}");
        Some(Advanced {
            follows: !first,
            received,
        })
    }

    /// Takes the legs and the underlying of `body`. Every leg is then to be compared.
    fn change_legs(
        &mut self,
        me: u32,
        body: &ChainBody,
        instruments: &mut Instruments,
        remove: &mut Vec<u8>,
    ) {
        let old_legs = std::mem::take(&mut self.legs);
        let old_quotes = std::mem::replace(&mut self.quotes, QuoteMap::new(self.mode));
        let old_underlying = self.underlying.take();
        // The new are held before the old are let go, so that what stays is never dropped.
        self.leg_at.clear();
        self.quotes.reserve(body.legs.len());
        for item in &body.legs {
            let instrument = instruments.enter(item);
            if let Entry::Vacant(entry) = self.leg_at.entry(instrument) {
                entry.insert(self.quotes.push(&item.token));
                instruments.want(instrument, self.class, Want::Channel(me));
                self.legs.push(Leg {
                    instrument,
                    token: Arc::clone(&item.token),
                });
            }
        }
        if let Some(item) = &body.underlying {
            let instrument = instruments.enter(item);
            instruments.want(instrument, self.class, Want::Channel(me));
            self.underlying = Some((item.key, instrument));
        }
        if self.underlying.map(|(key, _)| key) != old_underlying.map(|(key, _)| key) {
            self.live = None;
        }
        let by_token: HashMap<&str, usize, FixedState> = (0..)
            .zip(&self.legs)
            .map(|(at, leg)| (&*leg.token, at))
            .collect();
        for (from, old) in old_legs.iter().enumerate() {
            if let Some(at) = by_token.get(&*old.token) {
                self.quotes.take(*at, &old_quotes, from);
            } else {
                remove.push(b',');
                json::write_text(remove, &old.token);
            }
        }
        if std::mem::replace(&mut self.holds, true) {
            let old = old_legs.iter().map(|old| old.instrument);
            for index in old.chain(old_underlying.map(|(_, index)| index)) {
                instruments.leave(index, self.class, Want::Channel(me));
            }
        }
    }

    /// Writes the fields but `live_ltp` that differ from those of the state.
    fn change_fields(&mut self, body: &ChainBody, chain: &mut Vec<u8>) {
        self.fields.clear();
        let old = self.sent.as_ref().map(|sent| &sent.fields);
        for (name, value) in &body.fields {
            if name != LIVE_LTP && old.and_then(|old| old.get(name)) != Some(value) {
                frames::write_member(chain, name, value);
            }
        }
        for name in old.into_iter().flat_map(|old| old.keys()) {
            if name != LIVE_LTP && !body.fields.contains_key(name) {
                frames::write_member(chain, name, &serde_json::Value::Null);
            }
        }
    }

    /// Reads the price of the underlying and writes it if it is another.
    fn change_live(&mut self, instruments: &mut Instruments, chain: &mut Vec<u8>) {
        let quote = self
            .underlying
            .and_then(|(_, index)| instruments.quote(index));
        if let Some(ltp) = quote.and_then(|quote| quote.ltp) {
            self.live = Some(ltp);
        }
        let mut text = Vec::new();
        if let Some(live) = self.live {
            json::write_price(&mut text, live);
        } else if let Some(said) = self
            .sent
            .as_ref()
            .and_then(|body| body.fields.get(LIVE_LTP))
        {
            // A vector takes all.
            let _ = write!(text, "{said}");
        }
        if text != self.live_text {
            chain.push(b',');
            json::write_text(chain, LIVE_LTP);
            chain.push(b':');
            chain.extend_from_slice(if text.is_empty() { b"null" } else { &text });
            self.live_text = text;
        }
    }

    fn change_quote(&mut self, index: u32, instruments: &mut Instruments, set: &mut Vec<u8>) {
        if let Some(at) = self.leg_at.get(&index)
            && let Some(new) = instruments.quote(index)
        {
            self.quotes.change(*at, new, set);
        }
    }

    fn write_position(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"epoch\":\"");
        out.extend_from_slice(self.epoch.as_bytes());
        out.extend_from_slice(b"\",\"seq\":");
        json::write_count(out, self.seq);
        out.push(b',');
    }

    /// The rest of a snapshot's text, after its `sub`.
    pub(crate) fn snapshot(&mut self) -> Bytes {
        if let Some(made) = &self.snapshot {
            return made.clone();
        }
        if self.fields.is_empty()
            && let Some(body) = &self.sent
        {
            frames::write_members(&mut self.fields, &body.fields, LIVE_LTP);
        }
        let mut tail = Vec::new();
        self.write_position(&mut tail);
        tail.extend_from_slice(b"\"chain\":");
        let start = tail.len();
        tail.extend_from_slice(&self.fields);
        if !self.live_text.is_empty() {
            tail.push(b',');
            json::write_text(&mut tail, LIVE_LTP);
            tail.push(b':');
            tail.extend_from_slice(&self.live_text);
        }
        if tail.len() == start {
            tail.push(b'{');
        } else {
            tail[start] = b'{';
        }
        tail.extend_from_slice(b"},\"quotes\":");
        self.quotes.write(&mut tail);
        tail.push(b'}');
        let tail = Bytes::from(tail);
        self.snapshot = Some(tail.clone());
        tail
    }
}
