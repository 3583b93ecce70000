//! A sink that writes everything down, and whose clock moves whenever it is looked at.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use strikewire_types::{ConnId, InstrumentKey, Now, Price, Segment};

use crate::{Gap, MarketState, Sink, Target, Update};

/// What the sink was told.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Frame {
        conn: ConnId,
        at: Now,
    },
    Applied {
        conn: ConnId,
        target: Target,
        at: Now,
        /// The last price, where the update has one.
        price: Option<Price>,
    },
    Gap {
        conn: ConnId,
        gap: Gap,
    },
    TurnDone {
        at: Now,
    },
}

/// What the sink and the case both look at.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) seen: Vec<Seen>,
    pub(super) targets: HashMap<InstrumentKey, Target>,
}

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) book: Rc<RefCell<Book>>,
    clock: Cell<Now>,
}

impl Recorder {
    pub(super) fn new(book: Rc<RefCell<Book>>) -> Self {
        Self {
            book,
            clock: Cell::new(Now::default()),
        }
    }

    fn tell(&self, seen: Seen) {
        self.book.borrow_mut().seen.push(seen);
    }
}

impl Sink for Recorder {
    fn now(&self) -> Now {
        let now = self.clock.get() + Duration::from_millis(1);
        self.clock.set(now);
        now
    }

    fn resolve(&self, key: InstrumentKey) -> Option<Target> {
        self.book.borrow().targets.get(&key).copied()
    }

    fn apply(&mut self, conn: ConnId, target: &Target, at: Now, update: &Update) {
        let price = match update {
            Update::Ticker(ticker) => ticker.ltp,
            Update::Quote(quote) => quote.ticker.ltp,
            Update::Full(full) => full.quote.ticker.ltp,
            Update::Oi(_) | Update::PrevClose(_) => None,
        };
        self.tell(Seen::Applied {
            conn,
            target: *target,
            at,
            price,
        });
    }

    fn market_state(&mut self, _: ConnId, _: Now, _: Segment, _: MarketState) {}

    fn gap(&mut self, conn: ConnId, gap: Gap) {
        self.tell(Seen::Gap { conn, gap });
    }

    fn frame(&mut self, conn: ConnId, at: Now, _: &Bytes) {
        self.tell(Seen::Frame { conn, at });
    }

    fn undecoded(&mut self, _: ConnId, _: Now, _: u8, _: &[u8]) {}

    fn turn_done(&mut self, at: Now) {
        self.tell(Seen::TurnDone { at });
    }
}
