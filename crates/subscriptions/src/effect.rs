use strikewire_types::{ConnId, InstrumentKey, Mode, PriceStep, Slot, Tier};

use crate::Owner;

/// What the caller has to do or to record after a change, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The instrument got its slot and its connection: publish `key` -> `slot` and
    /// accept packets from `home`. Comes before any message about it. An instrument
    /// that waits for room has no slot to publish yet.
    Bind {
        /// The slot, its own until [`Effect::Unbind`].
        slot: Slot,
        /// Which instrument.
        key: InstrumentKey,
        /// Its tick size.
        step: PriceStep,
        /// The connection it is assigned to.
        home: ConnId,
    },
    /// Its last presence on a wire ended: unpublish. The slot goes to another
    /// instrument no sooner than [`Config::quarantine`](crate::Config::quarantine)
    /// from now; the same one may get it back with a [`Effect::Bind`] at any time, where
    /// it lost its place and waits for another.
    Unbind {
        /// Which slot.
        slot: Slot,
        /// Whose it was.
        key: InstrumentKey,
    },
    /// It is being subscribed on another connection: go on accepting packets from
    /// `from` until the first one comes from `to`, report that to
    /// [`Book::handle_first_packet`](crate::Book::handle_first_packet), and from then
    /// on accept only `to`. Said again when that packet came while the subscription on
    /// `to` was being replaced: `from` is needed a little longer.
    Migrate {
        /// Which slot.
        slot: Slot,
        /// Where it is.
        from: ConnId,
        /// Where it goes.
        to: ConnId,
    },
    /// The home is `conn` and no other: a migration ended, either way, or it was
    /// assigned anew while it was on no wire.
    Homed {
        /// Which slot.
        slot: Slot,
        /// The only connection to accept packets from.
        conn: ConnId,
    },
    /// A whole claim was evicted. The instruments that nobody else holds follow as
    /// [`Effect::Undesired`].
    Evicted {
        /// Whose claim.
        owner: Owner,
        /// For whom.
        by: Owner,
        /// How many slots it freed.
        freed: usize,
    },
    /// Somebody holds it now; nobody did before.
    Desired {
        /// Which slot.
        slot: Slot,
        /// Which instrument.
        key: InstrumentKey,
        /// In which tier.
        tier: Tier,
        /// In which mode.
        mode: Mode,
        /// Who came.
        owner: Owner,
    },
    /// Its tier or mode followed its holders.
    Changed {
        /// Which slot.
        slot: Slot,
        /// Which instrument.
        key: InstrumentKey,
        /// The tier from now on.
        tier: Tier,
        /// The mode from now on.
        mode: Mode,
    },
    /// Nobody holds it any more.
    Undesired {
        /// Which slot.
        slot: Slot,
        /// Which instrument.
        key: InstrumentKey,
        /// Who let go last.
        owner: Owner,
        /// What made it.
        why: Why,
    },
    /// A connection that is down for long handed instruments to others, each with an
    /// [`Effect::Homed`] before this.
    HandedOver {
        /// Which connection.
        conn: ConnId,
        /// How many.
        moved: usize,
    },
    /// Load evens out by itself, since a connection is back that was down for long. What
    /// [`Book::rebalance`](crate::Book::rebalance) is asked for it returns instead.
    Rebalanced {
        /// How many instruments move, at once or as moves under way end.
        moved: usize,
    },
    /// The broker found a connection to hold too many: it holds fewer for a while.
    Shrunk {
        /// Which connection.
        conn: ConnId,
        /// The most it holds from now on.
        cap: usize,
    },
    /// The broker does not take the instrument: it is not sent any more until its last
    /// holder lets go or [`Book::forgive`](crate::Book::forgive) is called.
    Refused {
        /// Which slot.
        slot: Slot,
        /// Which instrument.
        key: InstrumentKey,
    },
    /// The connection can take a batch and there is one: call
    /// [`Book::poll_wire`](crate::Book::poll_wire).
    Wake {
        /// Which connection.
        conn: ConnId,
    },
}

/// Why nobody holds an instrument any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Its last holder released it.
    Released,
    /// Its last holder made another request without it.
    Replaced,
    /// Its last holder's window rolled.
    Rolled,
    /// Its last holder was evicted.
    Evicted,
}

/// What [`Book::apply`](crate::Book::apply) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Applied {
    /// Instruments of the claim, each counted once.
    pub held: usize,
    /// Those that nobody held before.
    pub new_on_wire: usize,
    /// Claims that were evicted for it.
    pub evicted: usize,
}

/// What [`Book::release`](crate::Book::release) did; zeros for an owner without a
/// claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Released {
    /// Instruments the claim held.
    pub held: usize,
    /// Those that nobody else holds and that leave the wire.
    pub leaving: usize,
    /// Of `held`, those that are [`Role::Contract`](crate::Role::Contract).
    pub contracts_held: usize,
    /// Of `leaving`, those that are [`Role::Contract`](crate::Role::Contract).
    pub contracts_leaving: usize,
}
