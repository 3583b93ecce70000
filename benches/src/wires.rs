//! Chains to subscribe, and the wires of a book, which always work.

use strikewire_broker::{ConnEvent, DownCause, WireBatch, WireOp};
use strikewire_subscriptions::{Book, Config, Effect, Leg, Owner, OwnerKind, Request, Role};
use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Now, PriceStep, Segment, Tier};

/// Legs of a chain: both options of 25 strikes, and the underlying.
pub const CHAIN: usize = 51;

/// The `nth` chain as the claim of an owner of its own. Chains share no instrument.
#[must_use]
pub fn chain(nth: usize) -> Request {
    let nth = nth as u32;
    let step = PriceStep::from_raw(500);
    let mut legs = vec![Leg {
        key: InstrumentKey::new(Segment::NseEq, nth),
        step,
        mode: Mode::Full,
        role: Role::Underlying,
        distance: 0,
    }];
    let contracts = CHAIN as u32 - 1;
    legs.extend((0..contracts).map(|leg| Leg {
        key: InstrumentKey::new(Segment::NseFno, 35_000 + nth * contracts + leg),
        step,
        mode: Mode::Full,
        role: Role::Contract,
        // Two legs to a strike, twelve strikes to a side.
        distance: (leg / 2).abs_diff(contracts / 4) as u16,
    }));
    let owner = Owner {
        kind: OwnerKind::Watchlist,
        id: nth.into(),
    };
    Request::new(owner, Tier::A, legs)
}

/// A book and the other side of it.
#[derive(Debug)]
pub struct Wired {
    /// The book.
    pub book: Book,
    /// What time it is; the benchmarks move it.
    pub now: Now,
    effects: Vec<Effect>,
    batch: WireBatch,
    epoch: Epoch,
}

impl Wired {
    /// An empty book with Dhan's limits but for `total` instruments; every connection is
    /// down.
    ///
    /// # Errors
    ///
    /// When there cannot be so many.
    pub fn new(total: usize) -> Result<Self, strikewire_subscriptions::ConfigError> {
        let config = Config {
            total,
            ..Config::default()
        };
        Ok(Self {
            book: Book::new(config)?,
            now: Now::default(),
            effects: Vec::new(),
            batch: WireBatch {
                conn: ConnId::from_index(0),
                epoch: Epoch(0),
                op: WireOp::Subscribe(Mode::Ticker),
                keys: Vec::new(),
            },
            epoch: Epoch(0),
        })
    }

    fn conns() -> impl Iterator<Item = ConnId> {
        (0..Config::default().connections).map(ConnId::from_index)
    }

    /// Plans and applies a request. How many instruments are new on the wire; none when
    /// it was refused.
    pub fn admit(&mut self, request: &Request) -> usize {
        self.effects.clear();
        match self.book.plan(self.now, request) {
            Ok(plan) => {
                self.book
                    .apply(self.now, plan, &mut self.effects)
                    .new_on_wire
            }
            Err(_) => 0,
        }
    }

    /// Ends the claim of `owner`. How many instruments leave.
    pub fn release(&mut self, owner: Owner) -> usize {
        self.effects.clear();
        self.book
            .release(self.now, owner, &mut self.effects)
            .leaving
    }

    /// What the last change had to tell.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Every connection goes down.
    pub fn disconnect(&mut self) {
        self.effects.clear();
        for conn in Self::conns() {
            let event = ConnEvent::Down {
                conn,
                epoch: self.epoch,
                cause: DownCause::Stopped,
                retry_in: None,
            };
            self.book.handle_conn(self.now, &event, &mut self.effects);
        }
    }

    /// Every connection comes up in a new life.
    pub fn connect(&mut self) {
        self.effects.clear();
        self.epoch = self.epoch.next();
        let epoch = self.epoch;
        for conn in Self::conns() {
            let up = ConnEvent::Up { conn, epoch };
            self.book.handle_conn(self.now, &up, &mut self.effects);
        }
    }

    /// Every connection writes until it has nothing left to write. How many instruments
    /// were in the batches.
    pub fn settle(&mut self) -> usize {
        let mut keys = 0;
        loop {
            let before = keys;
            for conn in Self::conns() {
                // What was sent last has been written.
                let ready = ConnEvent::Ready {
                    conn,
                    epoch: self.epoch,
                };
                self.effects.clear();
                self.book.handle_conn(self.now, &ready, &mut self.effects);
                if self.book.poll_wire(self.now, conn, &mut self.batch) {
                    keys += self.batch.keys.len();
                }
            }
            if keys == before {
                return keys;
            }
        }
    }
}
