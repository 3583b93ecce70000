//! A seqlock over atomic words: one writer, many readers, no lock.

use crate::sync::{AtomicU64, Ordering, fence, relax};

/// A word that says nothing. No price, time or quantity is stored as this.
pub(crate) const ABSENT: u64 = 1 << 63;

/// `N` words that are always read as they were at one moment, and a tag that says whose
/// they are.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Cell<const N: usize> {
    /// Odd while a write is under way.
    version: AtomicU64,
    /// 0 before the first write.
    tag: AtomicU64,
    words: [AtomicU64; N],
}

/// The words of a cell while its writer has it open.
#[derive(Debug)]
pub(crate) struct Words<'a, const N: usize>(&'a [AtomicU64; N]);

impl<const N: usize> Words<'_, N> {
    pub(crate) fn set(&self, index: usize, word: u64) {
        self.0[index].store(word, Ordering::Relaxed);
    }
}

/// Ends a write, also when what filled the words panicked: readers must not wait for ever.
struct Open<'a> {
    version: &'a AtomicU64,
    next: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        // Release: who sees this version sees every word of the write.
        self.version.store(self.next, Ordering::Release);
    }
}

impl<const N: usize> Cell<N> {
    pub(crate) fn new() -> Self {
        Self {
            version: AtomicU64::new(0),
            tag: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(ABSENT)),
        }
    }

    /// Two more with every write; odd while one is under way.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Changes some words as one step. If the cell was another tag's, every word is absent
    /// first. Only one thread may write at a time; [`Writer`](crate::Writer) sees to that.
    pub(crate) fn write<R>(&self, tag: u64, fill: impl FnOnce(&Words<'_, N>) -> R) -> R {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version | 1, Ordering::Relaxed);
        // Who sees any word stored below and then fences sees the odd version too.
        fence(Ordering::Release);
        let _open = Open {
            version: &self.version,
            next: (version | 1).wrapping_add(1),
        };
        if self.tag.load(Ordering::Relaxed) != tag {
            self.tag.store(tag, Ordering::Relaxed);
            for word in &self.words {
                word.store(ABSENT, Ordering::Relaxed);
            }
        }
        fill(&Words(&self.words))
    }

    /// The first `M` words if they are `tag`'s. Waits while a write is under way.
    pub(crate) fn read<const M: usize>(&self, tag: u64) -> Option<[u64; M]> {
        const { assert!(M <= N, "a cell has no more words than it has") };
        let mut turns = 0;
        loop {
            let before = self.version.load(Ordering::Acquire);
            if before & 1 == 0 {
                let owner = self.tag.load(Ordering::Relaxed);
                let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
                // Keeps the loads above before the load below.
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == before {
                    return (owner == tag).then_some(words);
                }
            }
            relax(&mut turns);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn loom_no_read_is_torn() {
        loom::model(|| {
            let cell = Arc::new(Cell::<2>::new());
            let writer = thread::spawn({
                let cell = Arc::clone(&cell);
                move || {
                    for n in [1, 2] {
                        cell.write(7, |words| {
                            words.set(0, n);
                            words.set(1, n * 10);
                        });
                    }
                }
            });
            if let Some([a, b]) = cell.read::<2>(7) {
                assert_eq!(a * 10, b);
            }
            writer.join().unwrap();
            assert_eq!(cell.read::<2>(7), Some([2, 20]));
        });
    }

    #[test]
    fn loom_a_used_again_cell_never_shows_a_stranger() {
        loom::model(|| {
            let cell = Arc::new(Cell::<2>::new());
            cell.write(7, |words| {
                words.set(0, 70);
                words.set(1, 71);
            });
            let writer = thread::spawn({
                let cell = Arc::clone(&cell);
                move || cell.write(8, |words| words.set(0, 80))
            });
            // The new owner never gave its second word, so nobody may see one.
            let new = cell.read::<2>(8);
            assert!(new.is_none_or(|words| words == [80, ABSENT]), "{new:?}");
            let old = cell.read::<2>(7);
            assert!(old.is_none_or(|words| words == [70, 71]), "{old:?}");
            writer.join().unwrap();
            assert_eq!(cell.read::<2>(7), None);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_filling_does_not_leave_readers_waiting() {
        let cell = Cell::<2>::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            cell.write(7, |words| {
                words.set(0, 1);
                panic!("while filling");
            })
        }));
        assert!(outcome.is_err());
        assert_eq!(cell.read::<2>(7), Some([1, ABSENT]));
    }
}
