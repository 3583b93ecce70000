//! The instruments, by slot and by key.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::time::Duration;

use strikewire_types::{
    ConnId, InstrumentKey, Mode, Mono, Now, PriceStep, Segment, Slot, Tier, Utc,
};

use crate::keys::Keys;
use crate::rank::Rank;

/// What an instrument is to the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// The slot is empty.
    Vacant,
    /// Held, and no connection has room for it.
    Waiting,
    /// Held and assigned to its home.
    Placed,
    /// Held and migrating: from its home to the other side.
    Moving,
    /// Rolled out by its last holder, still on the wire for a while.
    Lingering,
    /// Held by nobody; its sides go as they can.
    Leaving,
}

impl Life {
    pub(crate) const fn is_desired(self) -> bool {
        matches!(self, Self::Waiting | Self::Placed | Self::Moving)
    }
}

/// What is known about one instrument on one connection. While a batch is in flight
/// the broker may or may not have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Not on it.
    Idle,
    /// Being subscribed by the batch in flight.
    Subscribing(Mode),
    /// Subscribed.
    Live(Mode),
    /// Subscribed, and to be subscribed once more.
    Renew(Mode),
    /// Being unsubscribed by the batch in flight.
    Unsubscribing(Mode),
}

/// What a connection has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Subscribe.
    Enter(Mode),
    /// Subscribe what the broker may not take.
    Try(Mode),
    /// Unsubscribe the old mode, to subscribe the new one after it.
    Change(Mode),
    /// Unsubscribe for good.
    Leave(Mode),
}

/// What is thought of an instrument after the broker closed a connection because of
/// what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nothing speaks against it.
    Fine,
    /// It was among what was sent last.
    Suspect,
    /// It was all that was sent: it is not sent any more.
    Refused,
}

/// An instrument's presence on one connection, which is charged for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) conn: ConnId,
    pub(crate) wire: Wire,
    /// Where it is queued.
    pub(crate) task: Option<Task>,
}

impl Side {
    pub(crate) const fn idle(conn: ConnId) -> Self {
        Self {
            conn,
            wire: Wire::Idle,
            task: None,
        }
    }
}

/// Index of the home among the sides. Where there is any side there is a home.
pub(crate) const HOME: usize = 0;
/// Index of the other side: where a migration goes to, or what is left of one.
pub(crate) const OTHER: usize = 1;

/// One holder's part in an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) tier: Tier,
    pub(crate) mode: Mode,
}

/// How many hold it, by tier and mode.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holds([[u32; 3]; 2]);

impl Holds {
    pub(crate) const fn add(&mut self, hold: Hold) {
        self.0[hold.tier as usize][hold.mode as usize] += 1;
    }

    pub(crate) const fn remove(&mut self, hold: Hold) {
        self.0[hold.tier as usize][hold.mode as usize] -= 1;
    }

    pub(crate) fn of_tier(&self, tier: Tier) -> u32 {
        self.0[tier as usize].iter().sum()
    }

    pub(crate) fn all(&self) -> u32 {
        self.of_tier(Tier::A) + self.of_tier(Tier::B)
    }

    /// The tier and the highest mode of the holders; none without a holder.
    fn strongest(&self) -> Option<Hold> {
        let [a, b] = &self.0;
        let mode = Mode::ALL
            .into_iter()
            .rev()
            .find(|&mode| a[mode as usize] + b[mode as usize] > 0)?;
        let tier = if self.of_tier(Tier::B) > 0 {
            Tier::B
        } else {
            Tier::A
        };
        Some(Hold { tier, mode })
    }
}

/// An instrument: what is read and written whenever it comes, is sent or goes. At the
/// end of a day all of them do, in no order that memory knows, so each is one line of
/// the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Entry {
    pub(crate) key: InstrumentKey,
    pub(crate) life: Life,
    /// What its holders make of it; what it was last, once nobody holds it.
    pub(crate) shown: Hold,
    /// Whether its slot has been published.
    pub(crate) bound: bool,
    pub(crate) trust: Trust,
    pub(crate) holds: Holds,
    pub(crate) sides: [Option<Side>; 2],
    pub(crate) rank: Rank,
    /// When the last message that subscribes it was reported as written.
    pub(crate) written: Mono,
}

const _: () = assert!(
    size_of::<Entry>() == 64,
    "an entry is one line of the cache"
);

/// What else there is to an instrument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Detail {
    pub(crate) step: PriceStep,
    /// When the linger or the grace ends, where one runs: only while it lingers or moves.
    pub(crate) deadline: Option<Mono>,
    /// Distance from the money when it rolled out.
    pub(crate) distance: u16,
    /// Since when it is desired, or was.
    pub(crate) since: Utc,
}

impl Entry {
    /// What an empty slot holds before it is first used.
    const VACANT: Self = Self {
        key: InstrumentKey::new(Segment::IdxI, 0),
        life: Life::Vacant,
        shown: Hold {
            tier: Tier::A,
            mode: Mode::Ticker,
        },
        bound: false,
        trust: Trust::Fine,
        holds: Holds([[0; 3]; 2]),
        sides: [None; 2],
        rank: Rank::LAST,
        written: Mono::from_nanos(0),
    };

    /// Whether the side is to stay on its wire.
    pub(crate) const fn keeps(&self, side: usize) -> bool {
        match self.life {
            Life::Placed | Life::Lingering => side == HOME,
            Life::Moving => true,
            Life::Vacant | Life::Waiting | Life::Leaving => false,
        }
    }

    /// Whether its home delivers what its holders ask for, or nobody asks: what it has
    /// elsewhere is of no use then.
    fn is_served(&self) -> bool {
        let wire = self.sides[HOME].map(|side| side.wire);
        let mode = self.shown.mode;
        !self.life.is_desired() || wire == Some(Wire::Live(mode)) || wire == Some(Wire::Renew(mode))
    }

    /// What a side of it has to do next.
    pub(crate) fn task(&self, at: usize, wire: Wire) -> Option<Task> {
        let (kept, mode) = (self.keeps(at), self.shown.mode);
        match wire {
            Wire::Idle if kept => match self.trust {
                Trust::Fine => Some(Task::Enter(mode)),
                Trust::Suspect => Some(Task::Try(mode)),
                Trust::Refused => None,
            },
            Wire::Live(old) | Wire::Renew(old) if !kept => {
                (at == HOME || self.is_served()).then_some(Task::Leave(old))
            }
            Wire::Live(old) | Wire::Renew(old) if old != mode && self.life != Life::Lingering => {
                Some(Task::Change(old))
            }
            Wire::Renew(_) if self.life == Life::Placed => Some(Task::Enter(mode)),
            // In flight: what comes next is known when it has been written.
            _ => None,
        }
    }

    /// Whether a side is neither on its wire nor meant to be.
    pub(crate) fn is_over(&self, at: usize) -> bool {
        self.sides[at].is_some_and(|side| side.wire == Wire::Idle) && !self.keeps(at)
    }

    /// Whether it lingers on a wire that it is not on any more.
    pub(crate) fn lingers_nowhere(&self) -> bool {
        self.life == Life::Lingering && self.sides[HOME].is_some_and(|side| side.wire == Wire::Idle)
    }

    /// Whether `task` is what it has to do on `conn`.
    pub(crate) fn is_queued(&self, conn: ConnId, task: Task) -> bool {
        let mut sides = self.sides.iter().flatten();
        sides.any(|side| side.conn == conn && side.task == Some(task))
    }

    /// The side it is or will be on for as long as it is held.
    pub(crate) const fn settled(&self) -> Option<usize> {
        match self.life {
            Life::Placed => Some(HOME),
            Life::Moving => Some(OTHER),
            _ => None,
        }
    }

    /// Whether no connection has been told of it, as far as is known.
    pub(crate) fn is_unsent(&self) -> bool {
        !self.is_on_wire() && self.sides[OTHER].is_none()
    }

    /// Whether its home has been told of it, as far as is known.
    pub(crate) fn is_on_wire(&self) -> bool {
        self.sides[HOME].is_some_and(|side| side.wire != Wire::Idle)
    }

    pub(crate) fn home(&self) -> Option<ConnId> {
        self.sides[HOME].map(|side| side.conn)
    }

    /// A desired instrument without a side gets its home, or waits for one.
    pub(crate) fn settle_on(&mut self, home: Option<ConnId>) {
        self.sides[HOME] = home.map(Side::idle);
        self.bound = home.is_some();
        self.life = if self.bound {
            Life::Placed
        } else {
            Life::Waiting
        };
    }

    /// Makes `shown` follow the holders, if there are any.
    pub(crate) fn follow(&mut self) {
        if let Some(shown) = self.holds.strongest() {
            self.shown = shown;
        }
    }
}

/// The slots. A slot is an index into `entries`.
#[derive(Debug)]
pub(crate) struct Table {
    entries: Vec<Entry>,
    /// As long as `entries`.
    details: Vec<Detail>,
    by_key: Keys,
    /// Empty slots and from when on they may be used, the earliest first.
    resting: VecDeque<(Mono, Slot)>,
    /// How many slots there may be before one is used that has not rested in full.
    limit: usize,
}

impl Index<Slot> for Table {
    type Output = Entry;

    fn index(&self, slot: Slot) -> &Entry {
        &self.entries[slot.index()]
    }
}

impl IndexMut<Slot> for Table {
    fn index_mut(&mut self, slot: Slot) -> &mut Entry {
        &mut self.entries[slot.index()]
    }
}

impl Table {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            details: Vec::new(),
            by_key: Keys::default(),
            resting: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn find(&self, key: InstrumentKey) -> Option<Slot> {
        self.by_key.get(key)
    }

    pub(crate) fn detail(&self, slot: Slot) -> &Detail {
        &self.details[slot.index()]
    }

    pub(crate) fn detail_mut(&mut self, slot: Slot) -> &mut Detail {
        &mut self.details[slot.index()]
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot.index())
    }

    /// Every slot there has been, empty ones too.
    pub(crate) fn slots(&self) -> impl ExactSizeIterator<Item = Slot> + use<> {
        (0..self.entries.len() as u32).map(Slot)
    }

    /// Every instrument with its slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        (0..)
            .map(Slot)
            .zip(&self.entries)
            .filter(|(_, entry)| entry.life != Life::Vacant)
    }

    /// A slot for `key`, which has none: the one that rested longest, or a new one. When
    /// there are as many as there may be, rest is cut short: readers outside have no row
    /// for more, and a row that remembers whose it is bears it.
    pub(crate) fn take(&mut self, now: Now, key: InstrumentKey, step: PriceStep) -> Slot {
        let detail = Detail {
            step,
            deadline: None,
            distance: 0,
            since: now.utc,
        };
        let slot = match self.resting.front() {
            Some(&(from, slot)) if from <= now.mono || self.entries.len() >= self.limit => {
                self.resting.pop_front();
                slot
            }
            _ => {
                let slot = Slot(self.entries.len() as u32);
                self.entries.push(Entry::VACANT);
                self.details.push(detail);
                slot
            }
        };
        self.details[slot.index()] = detail;
        // Field by field, in place: an entry is not so small.
        let entry = &mut self[slot];
        entry.key = key;
        entry.bound = false;
        entry.trust = Trust::Fine;
        entry.holds = Holds::default();
        self.by_key.insert(key, slot);
        slot
    }

    /// Empties a slot. It rests if it was published.
    pub(crate) fn give_back(&mut self, now: Now, slot: Slot, rest: Duration) {
        let entry = &mut self[slot];
        entry.life = Life::Vacant;
        // A hint that names the slot must not find a task.
        entry.sides = [None; 2];
        let (key, bound) = (entry.key, entry.bound);
        self.by_key.remove(key);
        if bound {
            self.resting.push_back((now.mono + rest, slot));
        } else {
            self.resting.push_front((Mono::default(), slot));
        }
    }
}

/// Counts over all instruments and over those of each connection. Kept by taking an
/// instrument out before a change and putting it back after; an empty slot counts for
/// nothing, so that what comes is only put in and what goes is only taken out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) desired: usize,
    pub(crate) tier_b: usize,
    pub(crate) by_mode: [usize; 3],
    pub(crate) waiting: usize,
    pub(crate) moving: usize,
    pub(crate) lingering: usize,
    /// Sides that are on their way out.
    pub(crate) leaving: usize,
    /// Sides.
    pub(crate) charged: usize,
    /// Desired instruments that the broker may not take, and those it does not take.
    pub(crate) suspects: usize,
    pub(crate) refused: usize,
    pub(crate) conns: Vec<Load>,
}

/// Counts of one connection, and what bounds them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// Sides on it.
    pub(crate) charged: usize,
    /// Desired instruments that are on it or migrate to it.
    pub(crate) settled: usize,
    /// The most it may be charged for.
    pub(crate) cap: usize,
    /// Whether it is down for long, or for good, or not back for long enough: it takes
    /// what no other has room for.
    pub(crate) away: bool,
}

impl Load {
    pub(crate) const fn has_room(&self) -> bool {
        self.charged < self.cap
    }
}

impl Tally {
    pub(crate) fn new(connections: usize, per_connection: usize) -> Self {
        let load = Load {
            cap: per_connection,
            ..Load::default()
        };
        Self {
            conns: vec![load; connections],
            ..Self::default()
        }
    }

    pub(crate) fn put(&mut self, entry: &Entry) {
        self.count(entry, 1);
    }

    pub(crate) fn take(&mut self, entry: &Entry) {
        self.count(entry, -1);
    }

    #[inline]
    fn count(&mut self, entry: &Entry, by: isize) {
        // What is taken out was put in before, so nothing wraps.
        let bump = |counter: &mut usize| *counter = counter.wrapping_add_signed(by);
        match entry.life {
            Life::Vacant => return,
            Life::Waiting => bump(&mut self.waiting),
            Life::Moving => bump(&mut self.moving),
            Life::Lingering => bump(&mut self.lingering),
            Life::Placed | Life::Leaving => {}
        }
        if entry.life.is_desired() {
            bump(&mut self.desired);
            bump(&mut self.by_mode[entry.shown.mode as usize]);
            if entry.shown.tier == Tier::B {
                bump(&mut self.tier_b);
            }
            match entry.trust {
                Trust::Fine => {}
                Trust::Suspect => bump(&mut self.suspects),
                Trust::Refused => bump(&mut self.refused),
            }
        }
        let settled = entry.settled();
        for (at, side) in entry.sides.iter().enumerate() {
            let Some(side) = side else { continue };
            bump(&mut self.charged);
            let load = &mut self.conns[side.conn.index()];
            bump(&mut load.charged);
            if Some(at) == settled {
                bump(&mut load.settled);
            }
            if !entry.keeps(at) {
                bump(&mut self.leaving);
            }
        }
    }
}
