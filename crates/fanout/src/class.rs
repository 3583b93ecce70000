//! How often a subscription is served.

use core::fmt;

/// A conflation class: a subscription's clients get one message per window of its class,
/// with the latest values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u8);

const WINDOWS_MS: [u32; strikewire_quotes::CLASSES] = [0, 100, 250, 500, 1000];

impl Class {
    /// Every class, the shortest window first.
    pub const ALL: [Self; WINDOWS_MS.len()] = [Self(0), Self(1), Self(2), Self(3), Self(4)];

    /// Served after every batch of the feed.
    pub const BATCH: Self = Self(0);

    /// Instruments that one subscription of [`BATCH`](Self::BATCH) is to have at most.
    pub const BATCH_INSTRUMENTS: usize = 200;

    /// The class whose window is `ms` milliseconds: 0, 100, 250, 500 or 1000.
    #[must_use]
    pub fn from_ms(ms: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.ms() == ms)
    }

    /// Length of the window in milliseconds; 0 for [`BATCH`](Self::BATCH).
    #[must_use]
    pub const fn ms(self) -> u32 {
        WINDOWS_MS[self.index()]
    }

    /// 0 to 4, as the quote table counts them.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Default for Class {
    /// 250 ms.
    fn default() -> Self {
        Self(2)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_known_by_its_window() {
        for (index, ms) in [0, 100, 250, 500, 1000].into_iter().enumerate() {
            let class = Class::from_ms(ms).unwrap();
            assert_eq!((class.index(), class.ms()), (index, ms));
        }
        assert_eq!(Class::from_ms(50), None);
        assert_eq!(Class::default().ms(), 250);
        assert_eq!(Class::BATCH.ms(), 0);
    }
}
