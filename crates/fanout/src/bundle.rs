//! Clients whose subscriptions of ticks are alike, served as one.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use strikewire_quotes::CLASSES;
use strikewire_types::{Mode, Utc};

use crate::class::Class;
use crate::instruments::{Fragment, Instruments, Want, Watcher};
use crate::message::Message;
use crate::slab::Slab;

const TICKS: &[u8] = b"{\"type\":\"ticks\",\"items\":[";

/// An instrument and the mode in which it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Watch {
    pub(crate) instrument: u32,
    pub(crate) mode: Mode,
}

/// Everything that its members watch in one class. It never changes: a client that
/// subscribes more moves to another bundle.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) class: Class,
    /// By instrument, each once.
    pub(crate) watches: Arc<[Watch]>,
    pub(crate) members: Vec<Member>,
    /// Places of what changed in the flush under way, each once.
    pub(crate) changed: Vec<u32>,
    /// Whether it is on the list of those to serve.
    pub(crate) active: bool,
}

#[derive(Debug)]
pub(crate) struct Member {
    /// Index of the client.
    pub(crate) client: u32,
    /// What this member alone has still to get; absent when it has what all have.
    pub(crate) behind: Option<Behind>,
}

#[derive(Debug)]
pub(crate) struct Behind {
    /// A bit for each place of the bundle.
    bits: Box<[u64]>,
    /// Whether some of it is the beginning of a subscription, which may be old.
    pub(crate) begins: bool,
}

impl Behind {
    pub(crate) fn new(bundle: &[Watch]) -> Self {
        Self {
            bits: vec![0; bundle.len().div_ceil(64)].into_boxed_slice(),
            begins: false,
        }
    }

    pub(crate) fn add(&mut self, place: u32) {
        self.bits[place as usize / 64] |= 1 << (place % 64);
    }

    /// Places in their order.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> {
        (0_u32..).zip(&self.bits).flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(word * 64 + bit)
            })
        })
    }
}

/// All bundles.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    slab: Slab<Bundle>,
    by_set: HashMap<(Class, Arc<[Watch]>), u32, FixedState>,
    /// Those with something to send, by class.
    pub(crate) active: [Vec<u32>; CLASSES],
}

impl Bundles {
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Bundle> {
        self.slab.get_mut(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bundle> {
        self.slab.iter().map(|(_, bundle)| bundle)
    }

    /// Moves a client from one bundle to that of `watches`, none if it is empty, with what
    /// it has still to get, and `begins`, sorted, from the beginning. Its new bundle.
    pub(crate) fn change(
        &mut self,
        client: u32,
        class: Class,
        from: Option<u32>,
        watches: Vec<Watch>,
        begins: &[u32],
        instruments: &mut Instruments,
    ) -> Option<u32> {
        let known = from.and_then(|from| self.slab.get(from));
        let same = known.is_some_and(|known| *known.watches == *watches);
        // The new is held before the old is let go, so that what stays is never dropped.
        let to = match from.filter(|_| same) {
            Some(from) => Some(from),
            None if watches.is_empty() => None,
            None => Some(self.with(class, watches.into(), instruments)),
        };
        let old = from.and_then(|from| self.take(client, from));
        if let Some((to, bundle)) = to.and_then(|to| Some((to, self.slab.get_mut(to)?))) {
            let mut behind = Behind::new(&bundle.watches);
            let mut any = false;
            for (place, watch) in (0..).zip(&*bundle.watches) {
                if begins.binary_search(&watch.instrument).is_ok() {
                    behind.add(place);
                    behind.begins = true;
                    any = true;
                }
            }
            if let Some((watches, old)) = &old {
                behind.begins |= old.begins;
                for place in old.places() {
                    let instrument = watches[place as usize].instrument;
                    let found = bundle
                        .watches
                        .binary_search_by_key(&instrument, |w| w.instrument);
                    if let Ok(place) = found {
                        behind.add(place as u32);
                        any = true;
                    }
                }
            }
            bundle.members.push(Member {
                client,
                behind: any.then_some(behind),
            });
            if any && !std::mem::replace(&mut bundle.active, true) {
                self.active[class.index()].push(to);
            }
        }
        if let Some(from) = from {
            self.drop_if_empty(from, instruments);
        }
        to
    }

    /// The bundle of a set, made if there is none.
    fn with(&mut self, class: Class, watches: Arc<[Watch]>, instruments: &mut Instruments) -> u32 {
        if let Some(known) = self.by_set.get(&(class, Arc::clone(&watches))) {
            return *known;
        }
        let index = self.slab.insert(Bundle {
            class,
            watches: Arc::clone(&watches),
            members: Vec::new(),
            changed: Vec::new(),
            active: false,
        });
        for (place, watch) in (0..).zip(&*watches) {
            let watcher = Watcher {
                bundle: index,
                place,
            };
            instruments.want(watch.instrument, class, Want::Bundle(watcher));
        }
        self.by_set.insert((class, watches), index);
        index
    }

    /// Takes a client out of a bundle; what it had still to get, and of what.
    fn take(&mut self, client: u32, from: u32) -> Option<(Arc<[Watch]>, Behind)> {
        let bundle = self.slab.get_mut(from)?;
        let at = bundle.members.iter().position(|one| one.client == client)?;
        let behind = bundle.members.swap_remove(at).behind?;
        Some((Arc::clone(&bundle.watches), behind))
    }

    fn drop_if_empty(&mut self, index: u32, instruments: &mut Instruments) {
        if self
            .slab
            .get(index)
            .is_none_or(|bundle| !bundle.members.is_empty())
        {
            return;
        }
        let Some(bundle) = self.slab.remove(index) else {
            return;
        };
        if bundle.active {
            self.active[bundle.class.index()].retain(|one| *one != index);
        }
        for (place, watch) in (0..).zip(&*bundle.watches) {
            let watcher = Watcher {
                bundle: index,
                place,
            };
            instruments.leave(watch.instrument, bundle.class, Want::Bundle(watcher));
        }
        self.by_set.remove(&(bundle.class, bundle.watches));
    }

    /// Notes that the instrument at a place of a bundle changed.
    #[inline]
    pub(crate) fn changed(&mut self, watcher: Watcher) {
        let Some(bundle) = self.slab.get_mut(watcher.bundle) else {
            return;
        };
        bundle.changed.push(watcher.place);
        if !std::mem::replace(&mut bundle.active, true) {
            self.active[bundle.class.index()].push(watcher.bundle);
        }
    }
}

/// Joins items to one message; none if nothing is known of any. `dated`: whether it says
/// when the oldest of them was received.
pub(crate) fn join(
    watches: &[Watch],
    places: impl Iterator<Item = u32>,
    dated: bool,
    instruments: &mut Instruments,
    fragments: &mut Vec<Fragment>,
) -> Option<Message> {
    fragments.clear();
    let mut received: Option<Utc> = None;
    let mut len = TICKS.len() + 1;
    for place in places {
        let watch = watches[place as usize];
        let fragment = instruments.fragment(watch.instrument, watch.mode);
        if let Some(at) = fragment.received() {
            received = Some(received.map_or(at, |oldest| oldest.min(at)));
            len += fragment.len() + 1;
            fragments.push(fragment);
        }
    }
    if fragments.is_empty() {
        return None;
    }
    // Exactly as long as it has to be: then it becomes a message without another copy.
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(TICKS);
    for (at, fragment) in fragments.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(instruments.text(*fragment));
    }
    out.extend_from_slice(b"]}");
    Some(Message::new(out, received.filter(|_| dated)))
}
