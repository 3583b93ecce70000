//! The atomics, which loom replaces by its own under `--cfg loom` so that it can try every
//! order in which threads may see them.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};

/// Lets time pass in a loop that waits for another thread: spins for a while, then gives up
/// the processor, because the other thread may be waiting for it.
pub(crate) fn relax(turns: &mut u32) {
    const SPINS: u32 = 64;
    *turns = turns.saturating_add(1);
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    if *turns <= SPINS {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
    #[cfg(loom)]
    let _ = SPINS;
}
