//! What streaming clients are sent: channels, conflation classes, sequences and encoding.
//!
//! The [`Hub`] is a machine without IO that owns every stream subscription. It reads the
//! quote table; whoever runs it calls [`flush`](Hub::flush) once per window of each
//! [`Class`] and gives it an [`Outlet`], which puts messages into the clients' bounded
//! queues. What a window changed is encoded once per mode, and joined into one message per
//! client.
//!
//! Nobody waits for a slow client. Ticks that do not fit are conflated: the latest value of
//! each instrument goes out when there is room. A chain's deltas are numbered; a client that
//! missed some is told which and gets a new snapshot.
//!
//! The crate knows no sockets, no clock and no runtime.
//!
//! ```
//! use std::sync::Arc;
//!
//! use strikewire_fanout::{Class, ClientId, Hub, Item, Message, Outlet, Push, SubId};
//! use strikewire_quotes::table;
//! use strikewire_types::{ConnId, InstrumentKey, Mode, Price, PriceStep, Segment, Slot, Utc};
//!
//! struct Print(Vec<String>);
//! impl Outlet for Print {
//!     fn push(&mut self, _client: ClientId, message: Message) -> Push {
//!         self.0.push(message);
//!         Push::Taken
//!     }
//! }
//!
//! let (table, mut writer) = table(8);
//! let key = InstrumentKey::new(Segment::IdxI, 13);
//! table.bind(key, Slot(0), PriceStep::PAISA, ConnId::from_index(0));
//!
//! let mut hub = Hub::new(table, 1);
//! hub.add_client(ClientId(1));
//! let nifty = Item { key, token: Arc::from("NIFTY") };
//! hub.subscribe_ticks(ClientId(1), SubId(1), &[nifty], Mode::Ticker, Class::BATCH);
//!
//! writer.write(Slot(0), key, Utc::from_nanos(0), |row| row.ltp(Price::from_rupees(25_000)));
//! let mut outlet = Print(Vec::new());
//! hub.flush(Class::BATCH, &mut outlet);
//! assert_eq!(
//!     outlet.0,
//!     [r#"{"type":"ticks","items":[{"token":"NIFTY","instrument":"IDX_I:13","ltp":25000.0,"recv":"1970-01-01T05:30:00.000+05:30"}]}"#]
//! );
//! ```

mod channel;
mod class;
mod frames;
mod hub;
mod instruments;
pub mod json;
mod slab;

pub use class::Class;
pub use hub::{ChainBody, ChainId, ClientId, Hub, Item, Message, Outlet, Push, Stats, SubId};
pub use json::QuoteJson;
