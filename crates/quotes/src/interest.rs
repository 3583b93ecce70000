//! What has to happen when a slot is written, and the sets of slots that were.

use core::fmt;
use core::ops::BitOr;

use strikewire_types::Slot;

use crate::sync::{AtomicU64, Ordering, fence};

/// Number of fan-out classes; each has a bit of interest and a dirty set.
pub const CLASSES: usize = 5;

const FAN_SHIFT: u32 = 2;

/// A set of reasons to look at a slot when it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u32);

impl Interest {
    /// No reason.
    pub const NONE: Self = Self(0);
    /// A chain follows this underlying and its roll band is armed.
    pub const ROLL: Self = Self(1);
    /// Somebody waits for the first price.
    pub const WAIT: Self = Self(2);
    /// The slot may have missed packets: the next one ends a gap. See
    /// [`Resumed`](crate::Resumed).
    pub const GAP: Self = Self(1 << (FAN_SHIFT + CLASSES as u32));
    /// Bars are built of the instrument: every packet has to be told, see
    /// [`Put::bars`](crate::Put::bars).
    pub const BARS: Self = Self(1 << (FAN_SHIFT + CLASSES as u32 + 1));
    /// Clients of any class are streamed to.
    pub const FAN: Self = Self(((1 << CLASSES) - 1) << FAN_SHIFT);

    /// Clients of fan-out class `class`, 0 to 4, are streamed to; empty for another class.
    #[must_use]
    pub const fn fan(class: usize) -> Self {
        if class < CLASSES {
            Self(1 << (FAN_SHIFT + class as u32))
        } else {
            Self::NONE
        }
    }

    /// Whether every reason of `other` is among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any reason of `other` is among these.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is no reason.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        if self.contains(Self::ROLL) {
            set.entry(&"ROLL");
        }
        if self.contains(Self::WAIT) {
            set.entry(&"WAIT");
        }
        if self.contains(Self::GAP) {
            set.entry(&"GAP");
        }
        if self.contains(Self::BARS) {
            set.entry(&"BARS");
        }
        for class in (0..CLASSES).filter(|class| self.contains(Self::fan(*class))) {
            set.entry(&format_args!("FAN{class}"));
        }
        set.finish()
    }
}

/// A set of slots, added to by the writer and emptied by a reader.
#[derive(Debug)]
pub(crate) struct SlotSet(Box<[AtomicU64]>);

impl SlotSet {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(
            (0..capacity.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
        )
    }

    /// Adds a slot. Comes after a sequentially consistent fence that follows the write
    /// the slot is added for: either this sees that the set was emptied and adds the slot
    /// again, or who emptied it sees the write.
    pub(crate) fn add(&self, slot: Slot) {
        let word = &self.0[slot.index() / 64];
        let bit = 1 << (slot.index() % 64);
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::AcqRel);
        }
    }

    /// Empties the set, lowest slot first.
    pub(crate) fn drain(&self, mut each: impl FnMut(Slot)) {
        for (word, base) in self.0.iter().zip((0_u32..).step_by(64)) {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = word.swap(0, Ordering::AcqRel);
            // The other half of the promise in `add`.
            fence(Ordering::SeqCst);
            while bits != 0 {
                each(Slot(base + bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_each_slot_once_and_is_empty_then() {
        let set = SlotSet::new(130);
        for slot in [129, 0, 64, 63, 64] {
            set.add(Slot(slot));
        }
        let mut seen = Vec::new();
        set.drain(|slot| seen.push(slot.0));
        assert_eq!(seen, [0, 63, 64, 129]);
        set.drain(|slot| panic!("{slot:?} again"));
    }

    #[test]
    fn reasons_do_not_overlap() {
        let single = [
            Interest::ROLL,
            Interest::WAIT,
            Interest::GAP,
            Interest::BARS,
        ];
        let mut all = Interest::NONE;
        for reason in single {
            assert!(!all.intersects(reason));
            all = all | reason;
        }
        assert!(!all.intersects(Interest::FAN));
        for class in 0..CLASSES {
            assert!(!all.intersects(Interest::fan(class)));
            all = all | Interest::fan(class);
        }
        assert!(all.contains(Interest::FAN));
        assert_eq!(Interest::fan(CLASSES), Interest::NONE);
        assert_eq!(
            format!("{:?}", Interest::ROLL | Interest::BARS | Interest::fan(3)),
            r#"{"ROLL", "BARS", FAN3}"#
        );
    }
}
