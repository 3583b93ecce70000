//! The instruments that somebody is streamed: their slots, who wants them in which class,
//! and what is encoded of them in the flush under way.

use std::io::Write;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use strikewire_quotes::{CLASSES, Interest, Quote, Table};
use strikewire_types::{InstrumentKey, Mode, Slot, Utc};

use crate::chain::Item;
use crate::class::Class;
use crate::json;
use crate::slab::Slab;

pub(crate) const MODES: usize = Mode::ALL.len();

#[derive(Debug)]
struct Instrument {
    key: InstrumentKey,
    token: Arc<str>,
    /// The members that stand before those of the quote in an item of a `ticks` message.
    head: Vec<u8>,
    slot: Option<Slot>,
    /// Bundles that have it, by class.
    watchers: [Vec<Watcher>; CLASSES],
    /// Channels that have it as leg or underlying, by class.
    channels: [Vec<u32>; CLASSES],
    /// The flush in which it was last given as changed.
    given_in: u64,
    /// The flush in which the quote was read.
    read_in: u64,
    quote: Option<Quote>,
}

impl Instrument {
    fn wanted(&self, class: usize) -> bool {
        !self.watchers[class].is_empty() || !self.channels[class].is_empty()
    }
}

/// A bundle, and the place of the instrument in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watcher {
    pub(crate) bundle: u32,
    pub(crate) place: u32,
}

/// Who is after an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Bundle(Watcher),
    /// A channel, by its index.
    Channel(u32),
}

/// The item of an instrument in one mode as it is in a flush, where it lies in the arena.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fragment {
    made_in: u64,
    start: u32,
    /// 0 when there is no quote.
    len: u32,
    received: Utc,
}

impl Fragment {
    /// When what it tells of was received; absent when there is nothing.
    pub(crate) fn received(self) -> Option<Utc> {
        (self.len > 0).then_some(self.received)
    }

    pub(crate) const fn len(self) -> usize {
        self.len as usize
    }
}

pub(crate) struct Instruments {
    table: Arc<Table>,
    entries: Slab<Instrument>,
    by_key: HashMap<InstrumentKey, u32, FixedState>,
    by_slot: Vec<Option<u32>>,
    /// To be looked at in the next flush of the class, whatever the table says.
    touched: [Vec<u32>; CLASSES],
    /// Counts flushes, from 1: 0 is before all of them.
    flush: u64,
    /// By mode and index. Apart from the entries, so that joining touches little memory.
    fragments: [Vec<Fragment>; MODES],
    /// The text of this flush's fragments.
    arena: Vec<u8>,
}

impl Instruments {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self {
            entries: Slab::default(),
            by_key: HashMap::with_hasher(FixedState::default()),
            by_slot: vec![None; table.capacity()],
            touched: Default::default(),
            flush: 0,
            fragments: Default::default(),
            arena: Vec::new(),
            table,
        }
    }

    pub(crate) fn find(&self, key: InstrumentKey) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The index of an item, which is only kept if [`want`](Self::want) follows.
    pub(crate) fn enter(&mut self, item: &Item) -> u32 {
        if let Some(index) = self.find(item.key) {
            if let Some(known) = self.entries.get_mut(index)
                && known.token != item.token
            {
                known.token = Arc::clone(&item.token);
                known.head = head(item);
            }
            return index;
        }
        let index = self.entries.insert(Instrument {
            key: item.key,
            token: Arc::clone(&item.token),
            head: head(item),
            slot: None,
            watchers: Default::default(),
            channels: Default::default(),
            given_in: 0,
            read_in: 0,
            quote: None,
        });
        let at = index as usize;
        for fragments in &mut self.fragments {
            fragments.resize(fragments.len().max(at + 1), Fragment::default());
            fragments[at] = Fragment::default();
        }
        self.by_key.insert(item.key, index);
        self.place(index);
        index
    }

    /// Finds the instrument's slot and moves the interest there.
    fn place(&mut self, index: u32) {
        let Some(instrument) = self.entries.get_mut(index) else {
            return;
        };
        let new = self.table.resolve(instrument.key).map(|(slot, _)| slot);
        let old = std::mem::replace(&mut instrument.slot, new);
        if let Some(old) = old.filter(|old| Some(*old) != new)
            && self.by_slot[old.index()] == Some(index)
        {
            self.by_slot[old.index()] = None;
            self.table.remove_interest(old, Interest::FAN);
        }
        let Some(new) = new else { return };
        let former = self.by_slot[new.index()].replace(index);
        if let Some(former) = former.filter(|former| *former != index)
            && let Some(former) = self.entries.get_mut(former)
        {
            // It lost the slot, and nobody said so yet.
            former.slot = None;
            self.table.remove_interest(new, Interest::FAN);
        }
        for class in Class::ALL {
            self.publish(index, class);
        }
    }

    /// Tells the table whether the class wants the instrument.
    fn publish(&self, index: u32, class: Class) {
        if let Some(instrument) = self.entries.get(index)
            && let Some(slot) = instrument.slot
        {
            let interest = Interest::fan(class.index());
            if instrument.wanted(class.index()) {
                self.table.add_interest(slot, interest);
            } else {
                self.table.remove_interest(slot, interest);
            }
        }
    }

    /// The instrument got, lost or changed its slot.
    pub(crate) fn slot_changed(&mut self, key: InstrumentKey) {
        let Some(index) = self.find(key) else { return };
        self.place(index);
        if let Some(instrument) = self.entries.get_mut(index) {
            instrument.read_in = 0;
            // What was written before the interest was there is read by the next flush.
            for (class, touched) in self.touched.iter_mut().enumerate() {
                if instrument.wanted(class) {
                    touched.push(index);
                }
            }
        }
    }

    pub(crate) fn want(&mut self, index: u32, class: Class, want: Want) {
        let Some(instrument) = self.entries.get_mut(index) else {
            return;
        };
        let before = instrument.wanted(class.index());
        match want {
            Want::Bundle(watcher) => instrument.watchers[class.index()].push(watcher),
            Want::Channel(channel) => instrument.channels[class.index()].push(channel),
        }
        if !before {
            // A quote read earlier in this flush may lack what was written before the
            // interest is there.
            instrument.read_in = 0;
            self.publish(index, class);
        }
    }

    pub(crate) fn leave(&mut self, index: u32, class: Class, want: Want) {
        let Some(instrument) = self.entries.get_mut(index) else {
            return;
        };
        match want {
            Want::Bundle(watcher) => remove(&mut instrument.watchers[class.index()], &watcher),
            Want::Channel(channel) => remove(&mut instrument.channels[class.index()], &channel),
        }
        if instrument.wanted(class.index()) {
            return;
        }
        self.publish(index, class);
        let Some(instrument) = self.entries.get(index) else {
            return;
        };
        if (0..CLASSES).all(|class| !instrument.wanted(class)) {
            if let Some(slot) = instrument.slot {
                self.by_slot[slot.index()] = None;
            }
            self.by_key.remove(&instrument.key);
            self.entries.remove(index);
        }
    }

    /// Quotes are read anew from now on.
    pub(crate) fn refresh(&mut self) {
        self.flush += 1;
        self.arena.clear();
    }

    /// Begins a flush and collects into `changed`, each once, the instruments of the class
    /// that were written since its last one.
    pub(crate) fn begin(&mut self, class: Class, changed: &mut Vec<u32>) {
        self.refresh();
        changed.clear();
        changed.append(&mut self.touched[class.index()]);
        let by_slot = &self.by_slot;
        self.table.drain_dirty(class.index(), |slot| {
            changed.extend(by_slot.get(slot.index()).copied().flatten());
        });
        let (entries, flush) = (&mut self.entries, self.flush);
        changed.retain(|index| {
            entries
                .get_mut(*index)
                .is_some_and(|one| std::mem::replace(&mut one.given_in, flush) != flush)
        });
    }

    /// Bundles of the class that have the instrument.
    pub(crate) fn watchers(&self, index: u32, class: Class) -> &[Watcher] {
        self.entries
            .get(index)
            .map_or(&[], |instrument| &instrument.watchers[class.index()])
    }

    /// Channels of the class that have the instrument.
    pub(crate) fn channels(&self, index: u32, class: Class) -> &[u32] {
        self.entries
            .get(index)
            .map_or(&[], |instrument| &instrument.channels[class.index()])
    }

    /// The quote as it is in this flush, read at most once; none without a slot or before
    /// the first packet.
    pub(crate) fn quote(&mut self, index: u32) -> Option<&Quote> {
        let instrument = self.entries.get_mut(index)?;
        if instrument.read_in != self.flush {
            instrument.read_in = self.flush;
            instrument.quote = instrument
                .slot
                .and_then(|slot| self.table.read(slot, instrument.key));
        }
        instrument.quote.as_ref()
    }

    /// The item of a `ticks` message, encoded at most once per flush and mode.
    #[inline]
    pub(crate) fn fragment(&mut self, index: u32, mode: Mode) -> Fragment {
        let known = self.fragments[mode as usize].get(index as usize);
        let Some(known) = known.copied() else {
            return Fragment::default();
        };
        if known.made_in == self.flush {
            return known;
        }
        let made = self.encode(index, mode);
        self.fragments[mode as usize][index as usize] = made;
        made
    }

    #[inline(never)]
    fn encode(&mut self, index: u32, mode: Mode) -> Fragment {
        let mut made = Fragment {
            made_in: self.flush,
            ..Fragment::default()
        };
        self.quote(index);
        if let Some(instrument) = self.entries.get(index)
            && let Some(quote) = &instrument.quote
        {
            let start = self.arena.len();
            self.arena.extend_from_slice(&instrument.head);
            json::write_members(&mut self.arena, quote, mode);
            self.arena.push(b'}');
            made.start = start as u32;
            made.len = (self.arena.len() - start) as u32;
            made.received = quote.received();
        }
        made
    }

    /// The text of a fragment of this flush.
    pub(crate) fn text(&self, fragment: Fragment) -> &[u8] {
        let start = fragment.start as usize;
        self.arena
            .get(start..start + fragment.len())
            .unwrap_or_default()
    }
}

fn remove<T: PartialEq>(list: &mut Vec<T>, one: &T) {
    if let Some(at) = list.iter().position(|other| other == one) {
        list.swap_remove(at);
    }
}

fn head(item: &Item) -> Vec<u8> {
    let mut head = b"{\"token\":".to_vec();
    json::write_text(&mut head, &item.token);
    // A vector takes all.
    let _ = write!(head, ",\"instrument\":\"{}\"", item.key);
    head
}
