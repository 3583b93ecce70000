//! The quote table: what every subscribed instrument last said.
//!
//! A [`Table`] has one row per [`Slot`](strikewire_types::Slot). One thread writes, through the one
//! [`Writer`]; any number of threads read, without a lock and without `unsafe`: a row is a
//! sequence of atomic words under a version number (a seqlock), and a reader that met a write
//! reads again. A row remembers whose it is, and a read with another key finds nothing, so a
//! slot that is used again never shows the price of the instrument that had it before.
//!
//! Beside the rows stand an index from instrument key to slot, the home connection of every
//! slot, and its [`Interest`]: what has to happen when the slot is written. A tick that interests
//! nobody ends at the row.
//!
//! The crate knows no clock and does no IO.
//!
//! ```
//! use strikewire_quotes::{Accept, Interest, table};
//! use strikewire_types::{ConnId, InstrumentKey, Price, PriceStep, Segment, Slot, Utc};
//!
//! let (table, mut writer) = table(8);
//! let nifty = InstrumentKey::new(Segment::IdxI, 13);
//! let conn = ConnId::from_index(0);
//!
//! // The owner gives the instrument a slot and wants to know when it leaves a band.
//! table.bind(nifty, Slot(0), PriceStep::PAISA, conn);
//! table.arm(Slot(0), Some(Price::from_rupees(24_950)), Some(Price::from_rupees(25_050)));
//!
//! // The feed thread has a packet.
//! let (slot, _step) = table.resolve(nifty).expect("bound above");
//! assert_eq!(writer.accepts(slot, conn), Accept::Home);
//! let price = Price::from_rupees(25_051);
//! let wrote = writer.write(slot, nifty, Utc::from_nanos(1), |row| row.ltp(price));
//! assert!(wrote.crossed);
//! assert!(wrote.interest.contains(Interest::ROLL));
//!
//! // Anybody reads.
//! assert_eq!(table.quote(nifty).and_then(|quote| quote.ltp), Some(price));
//! ```

mod guard;
mod index;
mod interest;
mod quote;
mod row;
mod slot;
mod sync;
mod table;
mod writer;

pub use interest::{CLASSES, Interest};
pub use quote::{DEPTH, DepthLevel, LastPrice, Quote};
pub use row::{PackedDay, RowWriter};
pub use slot::Accept;
pub use table::{Mark, Table, table};
pub use writer::{Entry, Put, Resumed, Stranger, Writer, Wrote};
