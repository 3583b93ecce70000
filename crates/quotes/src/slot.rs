//! A slot: its row, and what the owner and the writer agree on about it, which is its home
//! connection, its interest and its roll band.

use strikewire_types::{ConnId, Price};

use crate::guard::Guard;
use crate::interest::Interest;
use crate::row::HEAD_WORDS;
use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};

/// Whether a packet of a slot comes from where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// From the slot's home connection.
    Home,
    /// The first packet from the new side of a migration: that side is home from now on.
    Flipped,
    /// From any other connection: to be dropped and counted.
    Stranger,
}

/// Where a slot's packets come from, in one word so that it changes as one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Home {
    /// Number of the connection, 0 for none.
    conn: u8,
    /// Number of the connection that becomes home with its first packet, 0 for none.
    next: u8,
    /// Counts the bindings of the slot: a row written under an earlier one is nobody's.
    generation: u16,
}

impl Home {
    const fn pack(self) -> u32 {
        self.conn as u32 | (self.next as u32) << 8 | (self.generation as u32) << 16
    }

    const fn unpack(word: u32) -> Self {
        Self {
            conn: word as u8,
            next: (word >> 8) as u8,
            generation: (word >> 16) as u16,
        }
    }
}

/// The first words of a row.
#[derive(Debug)]
pub(crate) struct Head(pub(crate) [AtomicU64; HEAD_WORDS]);

/// What every packet looks at, and the first words of the row: one cache line. A ticker
/// packet that nobody wants to hear of touches nothing else.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct SlotState {
    home: AtomicU32,
    interest: AtomicU32,
    pub(crate) guard: Guard,
    pub(crate) head: Head,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<SlotState>() == 64);

/// The prices at which a roll band is left.
#[derive(Debug)]
pub(crate) struct Band {
    /// At or below this.
    lower: AtomicI64,
    /// At or above this.
    upper: AtomicI64,
}

impl Band {
    pub(crate) fn new() -> Self {
        Self {
            lower: AtomicI64::new(i64::MIN),
            upper: AtomicI64::new(i64::MAX),
        }
    }
}

impl SlotState {
    pub(crate) fn new() -> Self {
        Self {
            home: AtomicU32::new(0),
            interest: AtomicU32::new(0),
            guard: Guard::new(),
            head: Head(std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }

    fn change_home(&self, change: impl Fn(Home) -> Home) {
        let _ = self
            .home
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                Some(change(Home::unpack(word)).pack())
            });
    }

    /// A new binding: another generation, and of the interests only those of the fan-out,
    /// which are kept by who streams.
    pub(crate) fn bind(&self, home: ConnId) {
        self.remove_interest(Interest::ROLL | Interest::WAIT | Interest::GAP | Interest::BARS);
        self.change_home(|old| Home {
            conn: home.number(),
            next: 0,
            generation: old.generation.wrapping_add(1),
        });
    }

    pub(crate) fn set_home(&self, conn: ConnId) {
        self.change_home(|old| Home {
            conn: conn.number(),
            next: 0,
            ..old
        });
    }

    pub(crate) fn migrate(&self, to: ConnId) {
        let next = to.number();
        self.change_home(|old| Home {
            next: if next == old.conn { 0 } else { next },
            ..old
        });
    }

    #[inline]
    pub(crate) fn generation(&self) -> u16 {
        Home::unpack(self.home.load(Ordering::Acquire)).generation
    }

    #[inline]
    pub(crate) fn accept(&self, conn: ConnId) -> Accept {
        let conn = conn.number();
        let word = self.home.load(Ordering::Acquire);
        if Home::unpack(word).conn == conn {
            return Accept::Home;
        }
        self.flip(conn, word)
    }

    #[cold]
    fn flip(&self, conn: u8, mut word: u32) -> Accept {
        loop {
            let home = Home::unpack(word);
            if home.conn == conn {
                return Accept::Home;
            }
            if home.next != conn {
                return Accept::Stranger;
            }
            let flipped = Home {
                conn,
                next: 0,
                ..home
            };
            // Fails when the owner changed its mind meanwhile; then that counts.
            match self.home.compare_exchange(
                word,
                flipped.pack(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Accept::Flipped,
                Err(changed) => word = changed,
            }
        }
    }

    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        // Acquire: who sees the band armed sees the band.
        Interest::from_bits(self.interest.load(Ordering::Acquire))
    }

    pub(crate) fn add_interest(&self, interest: Interest) {
        self.interest.fetch_or(interest.bits(), Ordering::AcqRel);
        // With the fence of the writer: a write either sees this interest, or is seen by
        // every read that follows here.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn remove_interest(&self, interest: Interest) {
        self.take_interest(interest);
    }

    /// Removes the interest and says what there was before.
    pub(crate) fn take_interest(&self, interest: Interest) -> Interest {
        Interest::from_bits(self.interest.fetch_and(!interest.bits(), Ordering::AcqRel))
    }

    pub(crate) fn arm(&self, band: &Band, lower: Option<Price>, upper: Option<Price>) {
        // Off first, so that no tick is compared with half of a new band.
        self.remove_interest(Interest::ROLL);
        band.lower
            .store(lower.map_or(i64::MIN, Price::raw), Ordering::Relaxed);
        band.upper
            .store(upper.map_or(i64::MAX, Price::raw), Ordering::Relaxed);
        self.add_interest(Interest::ROLL);
    }

    /// Whether `price` leaves the armed band; if so it is not armed any more.
    pub(crate) fn cross(&self, band: &Band, price: Price) -> bool {
        let price = price.raw();
        let left = price <= band.lower.load(Ordering::Relaxed)
            || price >= band.upper.load(Ordering::Relaxed);
        left && {
            // Not when the owner disarmed it between the two.
            self.take_interest(Interest::ROLL).contains(Interest::ROLL)
        }
    }
}
