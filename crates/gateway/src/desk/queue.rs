use std::collections::{BTreeMap, HashMap};

use strikewire_types::{InstrumentKey, PriceStep};

use super::Waiter;

/// How often the quote that closes a gap is asked for in vain before it is given up.
const TRIES: u8 = 5;

/// What goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Somebody waits for it.
    Waited,
    /// A price to begin with.
    Start,
    /// A row to bring up to date.
    Gap,
}

/// What is wished for: every key once, in the order of urgency and then of arrival.
#[derive(Debug)]
pub(super) struct Queue {
    wishes: HashMap<InstrumentKey, Wish>,
    order: BTreeMap<Place, InstrumentKey>,
    last: u64,
    capacity: usize,
}

type Place = (Urgency, u64);

#[derive(Debug)]
struct Wish {
    step: PriceStep,
    place: Place,
    /// Why it is asked for even if nobody waits for it.
    wished: Option<Place>,
    tries: u8,
    waiters: Vec<Waiter>,
}

/// A key whose turn has come.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) key: InstrumentKey,
    pub(super) step: PriceStep,
    /// Why it is asked for, besides by those who wait for it.
    pub(super) wished: Option<Urgency>,
    pub(super) tries: u8,
    number: u64,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            wishes: HashMap::new(),
            order: BTreeMap::new(),
            last: 0,
            capacity,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.wishes.len()
    }

    pub(super) fn most_urgent(&self) -> Option<Urgency> {
        let ((urgency, _), _) = self.order.first_key_value()?;
        Some(*urgency)
    }

    /// Wishes for a key, whoever waits for it. False when there is no room.
    pub(super) fn wish(&mut self, key: InstrumentKey, step: PriceStep, urgency: Urgency) -> bool {
        if self.wishes.len() >= self.capacity && !self.wishes.contains_key(&key) {
            return false;
        }
        let place = self.next_place(urgency);
        let wish = self.put(key, step, place);
        // The earlier of two wishes for the same reason counts.
        if wish.wished.is_none_or(|(before, _)| urgency < before) {
            wish.wished = Some(place);
        }
        true
    }

    /// Somebody waits for a key.
    pub(super) fn wait_for(&mut self, key: InstrumentKey, step: PriceStep, waiter: Waiter) {
        let place = self.next_place(Urgency::Waited);
        self.put(key, step, place).waiters.push(waiter);
    }

    /// Puts a key back to where it was, unless it was asked for often enough.
    pub(super) fn give_back(&mut self, taken: &Taken) {
        let Some(urgency) = taken.wished else { return };
        if taken.tries >= TRIES {
            return;
        }
        let place = (urgency, taken.number);
        let wish = self.put(taken.key, taken.step, place);
        wish.wished = Some(place);
        wish.tries = taken.tries;
    }

    /// Takes the most urgent key and those who wait for it, if it is at least as urgent as
    /// `least`. One that only they wanted who have gone is passed over.
    pub(super) fn take(&mut self, least: Urgency) -> Option<(Taken, Vec<Waiter>)> {
        loop {
            let first = self.order.first_entry()?;
            if first.key().0 > least {
                return None;
            }
            let key = first.remove();
            let Some(mut wish) = self.wishes.remove(&key) else {
                continue;
            };
            wish.waiters.retain(|waiter| !waiter.is_closed());
            if wish.waiters.is_empty() && wish.wished.is_none() {
                continue;
            }
            let (_, number) = wish.wished.unwrap_or(wish.place);
            let taken = Taken {
                key,
                step: wish.step,
                wished: wish.wished.map(|(urgency, _)| urgency),
                tries: wish.tries,
                number,
            };
            return Some((taken, wish.waiters));
        }
    }

    /// Forgets every wish. Who waits.
    pub(super) fn clear(&mut self) -> Vec<Waiter> {
        self.order.clear();
        let wishes = self.wishes.drain();
        wishes.flat_map(|(_, wish)| wish.waiters).collect()
    }

    fn next_place(&mut self, urgency: Urgency) -> Place {
        self.last += 1;
        (urgency, self.last)
    }

    /// The wish for a key, at `place` or where it is if that is more urgent.
    fn put(&mut self, key: InstrumentKey, step: PriceStep, place: Place) -> &mut Wish {
        let wish = self.wishes.entry(key).or_insert_with(|| {
            self.order.insert(place, key);
            Wish {
                step,
                place,
                wished: None,
                tries: 0,
                waiters: Vec::new(),
            }
        });
        wish.step = step;
        if place < wish.place {
            self.order.remove(&wish.place);
            self.order.insert(place, key);
            wish.place = place;
        }
        wish
    }
}
