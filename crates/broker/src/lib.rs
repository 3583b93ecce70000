//! What a broker adapter is to Strikewire: a [`Feed`] that keeps a few connections
//! alive, takes batches of instruments to subscribe through a [`Port`] and pushes
//! normalised [`Update`]s into a [`Sink`].
//!
//! An adapter knows no instruments and decides nothing. It says that a connection
//! is up ([`ConnEvent::Up`]), that it can take one batch ([`ConnEvent::Ready`]) or
//! that it is down ([`ConnEvent::Down`]); the subscription book answers `Ready` with
//! the most valuable difference between what is desired and what is on that wire.
//! Reconnecting therefore needs no memory of its own: after `Up` the difference is
//! everything.
//!
//! What concerns no single connection goes by [`Notice`]. The request side of a broker
//! (quotes, candles, chains, the instrument master) is a [`Reference`].
//!
//! The feature `conformance` has a suite that every adapter has to pass.
//!
//! The crate depends on no runtime.
//!
//! ```
//! use strikewire_broker::{ConnEvent, WireBatch, WireOp, port};
//! use strikewire_types::{ConnId, Epoch, InstrumentKey, Mode, Segment};
//!
//! let (mut port, mut link) = port(1);
//! let (conn, epoch) = (ConnId::from_index(0), Epoch(1));
//! port.report(ConnEvent::Ready { conn, epoch });
//! assert_eq!(link.try_event(), Some(ConnEvent::Ready { conn, epoch }));
//! let batch = WireBatch {
//!     conn,
//!     epoch,
//!     op: WireOp::Subscribe(Mode::Full),
//!     keys: vec![InstrumentKey::new(Segment::NseFno, 35060)],
//! };
//! link.send(batch.clone());
//! assert_eq!(port.try_batch(conn), Some(batch));
//! ```

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod packed;
mod port;
mod reference;
mod traits;
mod update;
mod wire;

pub use packed::{Packed, PackedFull, PackedQuote, PackedTicker};
pub use port::{Link, Port, Report, port};
pub use reference::{
    Candle, CandleRequest, ChainLeg, ChainRow, ChainSnapshot, InstrumentClass, Interval,
    MasterFile, MasterLayout, NoReference, Reference, ReferenceError, Snapshot,
};
pub use traits::{Capabilities, Error, Feed, Gap, Sink, Target};
pub use update::{DayPrices, DepthLevel, Full, MarketState, Oi, PrevClose, Quote, Ticker, Update};
pub use wire::{ConnEvent, DownCause, Fault, Notice, WireBatch, WireOp};
