use core::fmt;

use strikewire_types::{Exchange, Expiry, Mode, Tier, Utc};
use tokio::sync::mpsc::UnboundedSender;

use crate::{InstrumentType, List};

/// Counts journal entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

/// A change that must survive a crash before it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A user added an item, or it came back after an eviction.
    Added {
        /// The item's number, in the order of addition.
        item: u64,
        /// The user.
        user: u64,
        /// On which list.
        list: List,
        /// The symbol.
        symbol: Box<str>,
        /// The exchange.
        exchange: Exchange,
        /// The kind of thing.
        instrument_type: InstrumentType,
        /// Absent for an equity.
        expiry: Option<Expiry>,
        /// Strikes; absent for a single instrument.
        width: Option<u16>,
        /// How much of each instrument.
        mode: Mode,
        /// Whether the window follows the price.
        follow: bool,
        /// The tier of its claim.
        tier: Tier,
    },
    /// A user removed an item.
    Removed {
        /// The item's number.
        item: u64,
    },
    /// An item's claim made room for another; it stays on its list.
    Evicted {
        /// The item's number.
        item: u64,
    },
}

/// What became of the entries up to a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durability {
    /// They survive a crash.
    Durable(Seq),
    /// They, from the last durable one on, may not.
    Failed {
        /// The last of them.
        up_to: Seq,
        /// Why.
        reason: String,
    },
}

/// Where changes go before they are acknowledged. Neither call waits: the outcome
/// comes back through the sender that the journal was made with.
pub trait Journal: fmt::Debug + Send {
    /// Takes an entry. Its number is one more than the last.
    fn append(&mut self, at: Utc, entry: Entry) -> Seq;

    /// Makes everything appended so far durable, as one group.
    fn commit(&mut self);
}

/// A journal for a gateway without a database: everything in it is as durable as
/// the process, at once.
#[derive(Debug)]
pub struct MemoryJournal {
    last: Seq,
    reported: Seq,
    outcome: UnboundedSender<Durability>,
}

impl MemoryJournal {
    /// A journal that reports to `outcome`.
    #[must_use]
    pub const fn new(outcome: UnboundedSender<Durability>) -> Self {
        Self {
            last: Seq(0),
            reported: Seq(0),
            outcome,
        }
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, _at: Utc, _entry: Entry) -> Seq {
        self.last.0 += 1;
        self.last
    }

    fn commit(&mut self) {
        if self.reported < self.last {
            self.reported = self.last;
            // The owner holds the other end for as long as it can call this.
            let _ = self.outcome.send(Durability::Durable(self.last));
        }
    }
}
