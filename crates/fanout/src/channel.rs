//! A chain as one class and mode of clients sees it.

use std::fmt::Write;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde_json::{Map, Value};
use strikewire_quotes::Quote;
use strikewire_types::{Mode, Price};

use crate::class::Class;
use crate::frames;
use crate::hub::{ChainBody, ChainId, SubId};
use crate::instruments::{Instruments, Want};
use crate::json::{self, Comma};

/// The field of a chain that follows the price of its underlying.
const LIVE_LTP: &str = "live_ltp";

/// What every client of a channel has, once it was sent all of it; deltas are the
/// differences between two states of this.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) chain: ChainId,
    pub(crate) class: Class,
    pub(crate) mode: Mode,
    pub(crate) epoch: Arc<str>,
    /// Number of the latest delta; the first snapshot counts as one.
    pub(crate) seq: u64,
    pub(crate) subscribers: Vec<Subscriber>,
    /// Whether it is on the list of channels to look at in the next flush.
    pub(crate) due: bool,
    /// Whether there is a state yet.
    begun: bool,
    /// The latest body, and whether the state below is of an earlier one.
    body: Option<Arc<ChainBody>>,
    stale: bool,
    /// Instruments of this channel that changed.
    dirty: Vec<u32>,
    fields: Map<String, Value>,
    legs: Vec<Leg>,
    leg_at: HashMap<u32, usize, FixedState>,
    underlying: Option<u32>,
    live: Option<Price>,
}

#[derive(Debug)]
struct Leg {
    instrument: u32,
    token: Arc<str>,
    /// What was sent of it.
    quote: Option<Quote>,
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
    /// Had nothing yet.
    Waiting,
    /// Has everything up to the channel's number.
    Live,
    /// Its queue was full: `dropped` deltas from `from_seq` on were not sent, nor said to
    /// be missing. With none of them it waits for a snapshot only.
    Behind { from_seq: u64, dropped: u64 },
}

impl Channel {
    pub(crate) fn new(
        chain: ChainId,
        class: Class,
        mode: Mode,
        epoch: Arc<str>,
        seq: u64,
        body: Option<Arc<ChainBody>>,
    ) -> Self {
        Self {
            chain,
            class,
            mode,
            epoch,
            seq,
            subscribers: Vec::new(),
            due: false,
            begun: false,
            stale: body.is_some(),
            body,
            dirty: Vec::new(),
            fields: Map::new(),
            legs: Vec::new(),
            leg_at: HashMap::with_hasher(FixedState::default()),
            underlying: None,
            live: None,
        }
    }

    pub(crate) fn set_body(&mut self, body: Arc<ChainBody>) {
        self.body = Some(body);
        self.stale = true;
    }

    /// Whether there is anything to send.
    pub(crate) const fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(crate) fn instrument_changed(&mut self, index: u32) {
        self.dirty.push(index);
    }

    /// The instruments of the channel; one that is leg and underlying comes twice.
    pub(crate) fn instruments(&self) -> impl Iterator<Item = u32> {
        self.legs
            .iter()
            .map(|leg| leg.instrument)
            .chain(self.underlying)
    }

    /// Lets go of every instrument.
    pub(crate) fn release(&self, me: u32, instruments: &mut Instruments) {
        for index in self.instruments() {
            instruments.leave(index, self.class, Want::Channel(me));
        }
    }

    /// Moves the state to what is true now. If anything changed, counts on and gives the
    /// rest of the delta's text, after its `sub`.
    pub(crate) fn advance(&mut self, me: u32, instruments: &mut Instruments) -> Option<String> {
        let mut chain = String::new();
        let mut set = String::new();
        let mut remove = String::new();
        let mut dirty = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.stale)
            && let Some(body) = self.body.clone()
        {
            self.change_legs(me, &body, instruments, &mut remove, &mut dirty);
            self.read_live(instruments);
            self.change_fields(&body, &mut chain);
        } else if self.underlying.is_some_and(|index| dirty.contains(&index))
            && self.read_live(instruments)
            && let Some(live) = self.live.map(value)
        {
            frames::write_member(&mut chain, &mut Comma::default(), LIVE_LTP, &live);
            self.fields.insert(LIVE_LTP.to_owned(), live);
        }
        let mut comma = Comma::default();
        for index in dirty.drain(..) {
            self.change_quote(index, instruments, &mut set, &mut comma);
        }
        self.dirty = dirty;
        // The first state counts also when it is empty: it is another than the last one of
        // an earlier channel.
        let first = !std::mem::replace(&mut self.begun, true);
        if chain.is_empty() && set.is_empty() && remove.is_empty() && !first {
            return None;
        }
        self.seq += 1;
        let mut tail = String::with_capacity(chain.len() + set.len() + remove.len() + 80);
        self.write_position(&mut tail);
        let _ = write!(
            tail,
            "\"chain\":{{{chain}}},\"set\":{{{set}}},\"remove\":[{remove}]}}"
        );
        Some(tail)
    }

    /// Takes the legs and the underlying of `body`. Every leg is then to be compared.
    fn change_legs(
        &mut self,
        me: u32,
        body: &ChainBody,
        instruments: &mut Instruments,
        remove: &mut String,
        dirty: &mut Vec<u32>,
    ) {
        let old_legs = std::mem::take(&mut self.legs);
        let old_underlying = self.underlying.take();
        // The new are held before the old are let go, so that what stays is never dropped.
        self.leg_at.clear();
        for item in &body.legs {
            let instrument = instruments.enter(item);
            if let Entry::Vacant(entry) = self.leg_at.entry(instrument) {
                entry.insert(self.legs.len());
                instruments.want(instrument, self.class, Want::Channel(me));
                self.legs.push(Leg {
                    instrument,
                    token: Arc::clone(&item.token),
                    quote: None,
                });
            }
        }
        if let Some(item) = &body.underlying {
            let instrument = instruments.enter(item);
            instruments.want(instrument, self.class, Want::Channel(me));
            self.underlying = Some(instrument);
        }
        if self.underlying != old_underlying {
            self.live = None;
        }
        let by_token: HashMap<Arc<str>, usize, FixedState> = (0..)
            .zip(&self.legs)
            .map(|(at, leg)| (Arc::clone(&leg.token), at))
            .collect();
        let mut comma = Comma::default();
        for old in old_legs {
            if let Some(at) = by_token.get(&old.token) {
                self.legs[*at].quote = old.quote;
            } else {
                comma.write(remove);
                frames::write_text(remove, &old.token);
            }
            instruments.leave(old.instrument, self.class, Want::Channel(me));
        }
        if let Some(old) = old_underlying {
            instruments.leave(old, self.class, Want::Channel(me));
        }
        dirty.clear();
        dirty.extend(self.legs.iter().map(|leg| leg.instrument));
    }

    /// Reads the price of the underlying; whether it is another than before.
    fn read_live(&mut self, instruments: &mut Instruments) -> bool {
        let quote = self.underlying.and_then(|index| instruments.quote(index));
        let Some(ltp) = quote.and_then(|quote| quote.ltp) else {
            return false;
        };
        self.live.replace(ltp) != Some(ltp)
    }

    fn change_fields(&mut self, body: &ChainBody, chain: &mut String) {
        let mut fields = body.fields.clone();
        if let Some(live) = self.live {
            fields.insert(LIVE_LTP.to_owned(), value(live));
        }
        let mut comma = Comma::default();
        for (name, value) in &fields {
            if self.fields.get(name) != Some(value) {
                frames::write_member(chain, &mut comma, name, value);
            }
        }
        for name in self
            .fields
            .keys()
            .filter(|name| !fields.contains_key(*name))
        {
            frames::write_member(chain, &mut comma, name, &Value::Null);
        }
        self.fields = fields;
    }

    fn change_quote(
        &mut self,
        index: u32,
        instruments: &mut Instruments,
        set: &mut String,
        comma: &mut Comma,
    ) {
        let (Some(at), Some(new)) = (self.leg_at.get(&index), instruments.quote(index)) else {
            return;
        };
        let leg = &mut self.legs[*at];
        if leg.quote.as_ref() == Some(new) {
            return;
        }
        let start = set.len();
        comma.write(set);
        frames::write_text(set, &leg.token);
        set.push(':');
        let written = match &leg.quote {
            Some(old) => json::write_changed(set, old, new, self.mode),
            None => {
                json::write_quote(set, new, self.mode);
                true
            }
        };
        if !written {
            // What changed is not in this mode.
            set.truncate(start);
            *comma = Comma::after(start > 0);
        }
        leg.quote = Some(*new);
    }

    fn write_position(&self, out: &mut String) {
        let _ = write!(out, "\"epoch\":\"{}\",\"seq\":{},", self.epoch, self.seq);
    }

    /// The rest of a snapshot's text, after its `sub`.
    pub(crate) fn snapshot(&self) -> String {
        let mut tail = String::new();
        self.write_position(&mut tail);
        tail.push_str("\"chain\":");
        frames::write_map(&mut tail, &self.fields);
        tail.push_str(",\"quotes\":{");
        let mut comma = Comma::default();
        for leg in &self.legs {
            if let Some(quote) = &leg.quote {
                comma.write(&mut tail);
                frames::write_text(&mut tail, &leg.token);
                tail.push(':');
                json::write_quote(&mut tail, quote, self.mode);
            }
        }
        tail.push_str("}}");
        tail
    }
}

fn value(price: Price) -> Value {
    Value::from(price.as_f64())
}
