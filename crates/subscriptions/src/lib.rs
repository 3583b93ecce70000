//! The subscription book: who holds which instruments, on which connection each one
//! is, and what the wires still lack.
//!
//! An [`Owner`] has at most one *claim*, which holds instruments in a tier and, each,
//! in a mode. An instrument is *desired* while any claim holds it, in the highest
//! mode that any of them asks for, and in tier B if any of them is tier B. It is on
//! one connection then, its *home*, and is *charged* to it from assignment until its
//! unsubscribe has been written.
//!
//! - [`Book::plan`] says what a request would take and whom it would evict,
//!   [`Book::forecast`] where it would go; [`Book::apply`] does it. [`Book::replace`]
//!   rolls a claim, [`Book::drop_legs`] lets go of a part of it, [`Book::release`] ends
//!   it, [`Book::touch`] counts as use.
//! - Whom a request is charged to counts where [`Config::quota`] or
//!   [`Config::fair_share`] is set: who holds too much loses their own first.
//! - [`Book::handle_conn`] takes what the driver reports, and [`Book::poll_wire`]
//!   answers a connection that is ready with the most valuable difference between
//!   what is desired and what is on that wire. Nothing is ever queued for later:
//!   after a reconnect the difference is simply larger.
//! - [`Book::rebalance`] evens the connections out. [`Book::poll_timeout`] and
//!   [`Book::handle_timeout`] do what time brings: they end what lingers, hand over from
//!   connections that are down for long, and even out when those are back.
//! - [`Book::on_wire`] says since when an instrument is subscribed, and [`Book::resend`]
//!   subscribes it once more where it stays silent. Instruments that the broker does not
//!   take are found and set aside; [`Book::forgive`] forgets that.
//! - Every change appends [`Effect`]s: what to publish, what to record, whom to poll.
//!
//! There is no socket, clock, task or log in here; time is an argument.
//!
//! ```
//! use strikewire_broker::{ConnEvent, WireBatch, WireOp};
//! use strikewire_subscriptions::{Book, Config, Effect, Leg, Owner, OwnerKind, Request, Role};
//! use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Now, PriceStep, Segment, Tier};
//!
//! let now = Now::default();
//! let mut effects = Vec::new();
//! let mut book = Book::new(Config::default())?;
//!
//! // Two users want the same call.
//! let key = InstrumentKey::new(Segment::NseFno, 35060);
//! let user = |id| Owner { kind: OwnerKind::Watchlist, id };
//! let request = |id, mode| {
//!     let leg = Leg { key, step: PriceStep::PAISA, mode, role: Role::Contract, distance: 0 };
//!     Request::new(user(id), Tier::A, vec![leg]).charged_to(id)
//! };
//! for (id, mode, new) in [(1, Mode::Ticker, 1), (2, Mode::Full, 0)] {
//!     let plan = book.plan(now, &request(id, mode))?;
//!     assert_eq!(book.apply(now, plan, &mut effects).new_on_wire, new);
//! }
//!
//! // The first connection comes up and can take a batch.
//! let (conn, epoch) = (ConnId::from_index(0), Epoch(1));
//! book.handle_conn(now, &ConnEvent::Up { conn, epoch }, &mut effects);
//! effects.clear();
//! book.handle_conn(now, &ConnEvent::Ready { conn, epoch }, &mut effects);
//! assert_eq!(effects, [Effect::Wake { conn }]);
//!
//! let mut batch = WireBatch { conn, epoch, op: WireOp::Subscribe(Mode::Ticker), keys: vec![] };
//! assert!(book.poll_wire(now, conn, &mut batch));
//! assert_eq!((batch.op, &batch.keys[..]), (WireOp::Subscribe(Mode::Full), &[key][..]));
//!
//! // The first user leaves; the second still holds it.
//! let released = book.release(now, user(1), &mut effects);
//! assert_eq!((released.held, released.leaving), (1, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod book;
mod claims;
mod config;
mod effect;
mod faults;
mod forecast;
mod handover;
mod instruments;
mod keys;
mod lru;
mod moves;
mod plan;
mod rank;
mod request;
mod table;
mod victims;
mod view;
mod wire;
mod work;

pub use book::Book;
pub use config::{Config, ConfigError};
pub use effect::{Applied, Effect, Released, Why};
pub use forecast::Forecast;
pub use plan::{Plan, Victim};
pub use request::{Leg, OverQuota, Owner, OwnerKind, Refusal, Request, Role};
pub use view::{
    ClaimView, ConnStatus, HeldLeg, Holder, InFlight, InstrumentView, State, Status, WireState,
};
pub use wire::OnWire;
