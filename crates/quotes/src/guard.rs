//! A seqlock over atomic words: one writer, many readers, no lock.

use crate::sync::{AtomicU64, Ordering, fence, relax};

/// Words that are always read as they were at one moment, wherever they lie. A word is 0
/// until it is set.
pub(crate) trait Words: Copy {
    /// Sets every word to 0.
    fn clear(self);
}

/// Guards words, and a tag that says whose they are.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Guard {
    /// Odd while a write is under way.
    version: AtomicU64,
    /// 0 before the first write.
    tag: AtomicU64,
}

/// A write that is under way. It ends when this is dropped, also when what filled the words
/// panicked: readers must not wait for ever.
#[derive(Debug)]
#[must_use]
pub(crate) struct Open<'a> {
    version: &'a AtomicU64,
    next: u64,
}

impl Drop for Open<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: who sees this version sees every word of the write.
        self.version.store(self.next, Ordering::Release);
    }
}

impl Guard {
    pub(crate) fn new() -> Self {
        Self {
            version: AtomicU64::new(0),
            tag: AtomicU64::new(0),
        }
    }

    /// Two more with every write; odd while one is under way.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Begins to change words, as one step that ends with what is returned. If they were
    /// another tag's, every word is 0 first. Only one thread may write, one change at a
    /// time; [`Writer`](crate::Writer) sees to that.
    #[inline(always)]
    pub(crate) fn open(&self, tag: u64, words: impl Words) -> Open<'_> {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version | 1, Ordering::Relaxed);
        // Who sees any word stored below and then fences sees the odd version too.
        fence(Ordering::Release);
        let open = Open {
            version: &self.version,
            next: (version | 1).wrapping_add(1),
        };
        if self.tag.load(Ordering::Relaxed) != tag {
            self.tag.store(tag, Ordering::Relaxed);
            words.clear();
        }
        open
    }

    /// Whether the words are `tag`'s; for their writer alone, who need not look twice.
    pub(crate) fn is_of(&self, tag: u64) -> bool {
        self.tag.load(Ordering::Relaxed) == tag
    }

    /// What `look` makes of the words as they were at one moment, if they are `tag`'s.
    /// Waits while a write is under way. What `look` sees may be torn; then its result is
    /// thrown away and it looks again.
    pub(crate) fn read<R>(&self, tag: u64, look: impl Fn() -> R) -> Option<R> {
        let mut turns = 0;
        loop {
            let before = self.version.load(Ordering::Acquire);
            if before & 1 == 0 {
                let owner = self.tag.load(Ordering::Relaxed);
                let seen = (owner == tag).then(&look);
                // Keeps the loads above before the load below.
                fence(Ordering::Acquire);
                if self.version.load(Ordering::Relaxed) == before {
                    return seen;
                }
            }
            relax(&mut turns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two words, the one beside the guard and the other elsewhere.
    struct Pair {
        guard: Guard,
        near: AtomicU64,
        far: Box<AtomicU64>,
    }

    impl Words for &Pair {
        fn clear(self) {
            self.set(0, 0);
        }
    }

    impl Pair {
        fn new() -> Self {
            Self {
                guard: Guard::new(),
                near: AtomicU64::new(0),
                far: Box::new(AtomicU64::new(0)),
            }
        }

        fn set(&self, near: u64, far: u64) {
            self.near.store(near, Ordering::Relaxed);
            self.far.store(far, Ordering::Relaxed);
        }

        fn read(&self, tag: u64) -> Option<[u64; 2]> {
            self.guard.read(tag, || {
                [&self.near, &*self.far].map(|word| word.load(Ordering::Relaxed))
            })
        }
    }

    #[cfg(loom)]
    mod loom_tests {
        use loom::sync::Arc;
        use loom::thread;

        use super::*;

        #[test]
        fn loom_no_read_is_torn() {
            loom::model(|| {
                let pair = Arc::new(Pair::new());
                let writer = thread::spawn({
                    let pair = Arc::clone(&pair);
                    move || {
                        for n in [1, 2] {
                            let _open = pair.guard.open(7, &*pair);
                            pair.set(n, n * 10);
                        }
                    }
                });
                if let Some([a, b]) = pair.read(7) {
                    assert_eq!(a * 10, b);
                }
                writer.join().unwrap();
                assert_eq!(pair.read(7), Some([2, 20]));
            });
        }

        #[test]
        fn loom_used_again_they_never_show_a_stranger() {
            loom::model(|| {
                let pair = Arc::new(Pair::new());
                {
                    let _open = pair.guard.open(7, &*pair);
                    pair.set(70, 71);
                }
                let writer = thread::spawn({
                    let pair = Arc::clone(&pair);
                    move || {
                        let _open = pair.guard.open(8, &*pair);
                        pair.near.store(80, Ordering::Relaxed);
                    }
                });
                // The new owner never gave its second word, so nobody may see one.
                let new = pair.read(8);
                assert!(new.is_none_or(|words| words == [80, 0]), "{new:?}");
                let old = pair.read(7);
                assert!(old.is_none_or(|words| words == [70, 71]), "{old:?}");
                writer.join().unwrap();
                assert_eq!(pair.read(7), None);
            });
        }
    }

    #[cfg(not(loom))]
    #[test]
    fn a_panic_while_filling_does_not_leave_readers_waiting() {
        let pair = Pair::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _open = pair.guard.open(7, &pair);
            pair.near.store(1, Ordering::Relaxed);
            panic!("while filling");
        }));
        assert!(outcome.is_err());
        assert_eq!(pair.read(7), Some([1, 0]));
    }
}
