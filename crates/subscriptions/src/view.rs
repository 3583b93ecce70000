//! What the book says about itself.

use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Mono, Slot, Tier, Utc};

use crate::book::Book;
use crate::claims::Claim;
use crate::table::{Entry, HOME, Life, OTHER, Side, Table, Task, Trust, Wire};
use crate::{Owner, Role};

/// The book in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Instruments that somebody holds, each counted once.
    pub desired: usize,
    /// Those that only claims of tier A hold.
    pub tier_a: usize,
    /// Those that a claim of tier B holds.
    pub tier_b: usize,
    /// Desired instruments by mode: ticker, quote, full.
    pub by_mode: [usize; 3],
    /// How many can be desired.
    pub capacity: usize,
    /// Capacity that is left.
    pub free: usize,
    /// Instruments that rolled out and stay on the wire for a while.
    pub lingering: usize,
    /// Desired instruments that no connection has room for yet.
    pub unplaced: usize,
    /// Instruments that are migrating.
    pub migrating: usize,
    /// Desired instruments that the broker does not take: they are not sent.
    pub refused: usize,
    /// Desired instruments that it may not take: they are sent last, a few at a time.
    pub suspects: usize,
    /// Claims.
    pub claims: usize,
    /// Each connection, in order.
    pub connections: Vec<ConnStatus>,
}

/// One connection in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnStatus {
    /// Which one.
    pub conn: ConnId,
    /// Instruments it is charged for: from their assignment until their unsubscribe
    /// has been written. A migration is charged on both sides.
    pub charged: usize,
    /// The most it may be charged for: less than
    /// [`Config::per_connection`](crate::Config::per_connection) for a while after the
    /// broker found it to hold too many.
    pub cap: usize,
    /// Instruments it handed to others since it is down; 0 once it is back and load has
    /// been evened out.
    pub handed_over: usize,
    /// Whether it is up.
    pub up: bool,
    /// Its present or last life; absent before the first.
    pub epoch: Option<Epoch>,
    /// The batch that has not been reported as written.
    pub in_flight: Option<InFlight>,
}

/// A batch under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Instruments in it.
    pub instruments: usize,
    /// When it was handed out.
    pub since: Mono,
}

/// What an instrument is to the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Somebody holds it.
    Desired,
    /// It rolled out and stays on the wire for a while.
    Lingering,
    /// Nobody holds it and it is on its way out.
    Leaving,
}

/// What is known about an instrument on its home connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireState {
    /// Not on the wire.
    Idle,
    /// The message that subscribes it may not have been written yet.
    SubscribeSent(Mode),
    /// Subscribed.
    Subscribed(Mode),
    /// Subscribed in this mode, to be unsubscribed: for good or for another mode.
    UnsubscribePending(Mode),
    /// The message that unsubscribes it may not have been written yet.
    UnsubscribeSent(Mode),
}

/// One instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstrumentView {
    /// Its slot.
    pub slot: Slot,
    /// Its key.
    pub key: InstrumentKey,
    /// What it is to the book.
    pub state: State,
    /// The tier of its holders, or of the last one.
    pub tier: Tier,
    /// The highest mode of its holders, or the last one.
    pub mode: Mode,
    /// Claims that hold it.
    pub holders: usize,
    /// The connection it is assigned to; absent while it waits for room.
    pub home: Option<ConnId>,
    /// The connection it migrates to, if it does.
    pub migrating_to: Option<ConnId>,
    /// What is known about it on its home.
    pub wire: WireState,
    /// Whether the broker does not take it, so that it is not sent.
    pub refused: bool,
    /// Since when it is desired, or was.
    pub since: Utc,
    /// Its place among all instruments by what they are worth to their holders: the
    /// least is worth most.
    pub worth: u64,
}

/// One holder of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Whose claim.
    pub owner: Owner,
    /// The claim's tier.
    pub tier: Tier,
    /// The mode it asks for.
    pub mode: Mode,
    /// What the instrument is to it.
    pub role: Role,
    /// When the claim was first made.
    pub since: Utc,
}

/// One claim.
#[derive(Debug, Clone, Copy)]
pub struct ClaimView<'a> {
    book: &'a Book,
    claim: &'a Claim,
}

/// One instrument of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLeg {
    /// Its slot.
    pub slot: Slot,
    /// Its key.
    pub key: InstrumentKey,
    /// The mode the claim asks for.
    pub mode: Mode,
    /// What it is to the claim.
    pub role: Role,
    /// Its distance from the money in rungs when the claim took it.
    pub distance: u16,
}

impl<'a> ClaimView<'a> {
    /// Whose claim it is.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.claim.owner
    }

    /// Its tier.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        self.claim.tier
    }

    /// Whom it is charged to in tier A; absent if to nobody.
    #[must_use]
    pub const fn user(&self) -> Option<u64> {
        self.claim.user
    }

    /// When it was first made.
    #[must_use]
    pub const fn since(&self) -> Utc {
        self.claim.since
    }

    /// When it was last used.
    #[must_use]
    pub const fn last_use(&self) -> Mono {
        self.claim.last_use
    }

    /// Its place in the order of use: how many uses of any claim there had been before
    /// its last one. Greater is more recent, and no two claims have the same.
    ///
    /// Admitting claims again in this order, from the least on, makes the order anew;
    /// that of tier B is the order in which its claims were first made.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.claim.used
    }

    /// Whether a stream of it is open.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        self.claim.streaming
    }

    /// How many instruments it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.claim.legs.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.claim.legs.is_empty()
    }

    /// What it holds, by slot.
    pub fn legs(&self) -> impl Iterator<Item = HeldLeg> + use<'a> {
        let book = self.book;
        self.claim.legs.iter().map(move |leg| HeldLeg {
            slot: leg.slot,
            key: book.table[leg.slot].key,
            mode: leg.mode,
            role: leg.role,
            distance: leg.distance,
        })
    }
}

impl Book {
    /// The book in numbers. Takes no longer for a full book than for an empty one.
    #[must_use]
    pub fn status(&self) -> Status {
        let tally = &self.tally;
        let connections = self.conns.iter().zip(&tally.conns).enumerate();
        Status {
            desired: tally.desired,
            tier_a: tally.desired - tally.tier_b,
            tier_b: tally.tier_b,
            by_mode: tally.by_mode,
            capacity: self.config.total,
            free: self.config.total.saturating_sub(tally.desired),
            lingering: tally.lingering,
            unplaced: tally.waiting,
            migrating: tally.moving,
            refused: tally.refused,
            suspects: tally.suspects,
            claims: self.claims.len(),
            connections: connections
                .map(|(at, (conn, load))| ConnStatus {
                    conn: ConnId::from_index(at),
                    charged: load.charged,
                    cap: load.cap,
                    handed_over: conn.absence.handed_over,
                    up: conn.up.is_some(),
                    epoch: conn.epoch,
                    in_flight: conn.flight.as_ref().map(|flight| InFlight {
                        instruments: flight.slots.len(),
                        since: flight.since,
                    }),
                })
                .collect(),
        }
    }

    /// One instrument; none when nobody holds it and it has left the wire.
    #[must_use]
    pub fn instrument(&self, key: InstrumentKey) -> Option<InstrumentView> {
        let slot = self.table.find(key)?;
        Some(view(&self.table, slot, &self.table[slot]))
    }

    /// Every instrument that somebody holds or that is still on a wire, by slot.
    pub fn instruments(&self) -> impl Iterator<Item = InstrumentView> {
        let table = &self.table;
        table.iter().map(|(slot, entry)| view(table, slot, entry))
    }

    /// Who holds an instrument, by owner. Looks into every claim.
    #[must_use]
    pub fn holders(&self, key: InstrumentKey) -> Vec<Holder> {
        let Some(slot) = self.table.find(key) else {
            return Vec::new();
        };
        let mut holders: Vec<Holder> = self
            .claims
            .iter()
            .filter_map(|claim| {
                claim.leg(slot).map(|leg| Holder {
                    owner: claim.owner,
                    tier: claim.tier,
                    mode: leg.mode,
                    role: leg.role,
                    since: claim.since,
                })
            })
            .collect();
        holders.sort_unstable_by_key(|holder| holder.owner);
        holders
    }

    /// The claim of `owner`, if it has one.
    #[must_use]
    pub fn claim(&self, owner: Owner) -> Option<ClaimView<'_>> {
        let id = self.claims.find(owner)?;
        let claim = self.claims.get(id);
        Some(ClaimView { book: self, claim })
    }

    /// Every claim, in no particular order.
    pub fn claims(&self) -> impl Iterator<Item = ClaimView<'_>> {
        let claims = self.claims.iter();
        claims.map(|claim| ClaimView { book: self, claim })
    }
}

fn view(table: &Table, slot: Slot, entry: &Entry) -> InstrumentView {
    let migrating = entry.life == Life::Moving;
    InstrumentView {
        slot,
        key: entry.key,
        state: match entry.life {
            Life::Lingering => State::Lingering,
            Life::Leaving | Life::Vacant => State::Leaving,
            Life::Waiting | Life::Placed | Life::Moving => State::Desired,
        },
        tier: entry.shown.tier,
        mode: entry.shown.mode,
        holders: entry.holds.all() as usize,
        home: entry.home(),
        migrating_to: entry.sides[OTHER]
            .filter(|_| migrating)
            .map(|side| side.conn),
        wire: entry.sides[HOME].map_or(WireState::Idle, wire_state),
        refused: entry.trust == Trust::Refused,
        since: table.detail(slot).since,
        worth: entry.rank.worth(),
    }
}

const fn wire_state(side: Side) -> WireState {
    match (side.wire, side.task) {
        (Wire::Idle, _) => WireState::Idle,
        (Wire::Subscribing(mode), _) => WireState::SubscribeSent(mode),
        (Wire::Live(mode) | Wire::Renew(mode), Some(Task::Change(_) | Task::Leave(_))) => {
            WireState::UnsubscribePending(mode)
        }
        (Wire::Live(mode) | Wire::Renew(mode), _) => WireState::Subscribed(mode),
        (Wire::Unsubscribing(mode), _) => WireState::UnsubscribeSent(mode),
    }
}
