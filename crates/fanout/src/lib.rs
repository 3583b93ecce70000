//! What streaming clients are sent: channels, conflation classes, sequences and encoding.
//!
//! The [`Hub`] is a machine without IO that owns every stream subscription. It reads the
//! quote table; whoever runs it calls [`flush`](Hub::flush) once per window of each
//! [`Class`] and gives it an [`Outlet`], which puts messages into the clients' bounded
//! queues. A [`Message`] is shared text.
//!
//! **Ticks.** What a window changed is encoded once per instrument and mode. Clients that
//! watch the same set are a *bundle*: one message is put together, and each of them gets a
//! reference to it. The others get the pieces joined.
//!
//! **Chains.** A *channel* is a chain in one class and mode: a state, and deltas that lead
//! from one state to the next and are numbered for all its clients alike. The latest deltas
//! are kept, so that a client that lost its connection can go on from its [`Position`]; a
//! channel that nobody hears, and a chain that is not there, are remembered for 30 s.
//!
//! **Values.** A *value* is a message that somebody else makes anew from time to time, such
//! as a technical indicator: the latest is kept for those who come. An urgent one is sent
//! at once, others with their window.
//!
//! **Slow clients.** Nobody waits for them. Ticks that do not fit are conflated: the client
//! gets, when there is room, the latest value of each instrument that changed, and belongs
//! to its bundle again. A client that missed deltas is told which and gets a new snapshot.
//! Of a value it gets the latest, and before that the latest urgent one if it missed that.
//! What waits for a client is bounded by what it watches.
//!
//! The crate knows no sockets, no clock and no runtime.
//!
//! ```
//! use std::sync::Arc;
//!
//! use strikewire_fanout::{Class, ClientId, Hub, Item, Message, Outlet, Push, SubId};
//! use strikewire_quotes::table;
//! use strikewire_types::{ConnId, InstrumentKey, Mode, Mono, Price, PriceStep, Segment, Slot, Utc};
//!
//! struct Print(Vec<String>);
//! impl Outlet for Print {
//!     fn push(&mut self, _client: ClientId, message: Message) -> Push {
//!         self.0.push(message.as_str().to_owned());
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
//! hub.flush(Class::BATCH, Mono::default(), &mut outlet);
//! assert_eq!(
//!     outlet.0,
//!     [r#"{"type":"ticks","items":[{"token":"NIFTY","instrument":"IDX_I:13","ltp":25000.0,"recv":"1970-01-01T05:30:00.000+05:30"}]}"#]
//! );
//! ```

mod bundle;
mod chain;
mod channel;
mod class;
mod frames;
mod history;
mod hub;
mod instruments;
pub mod json;
mod message;
mod outlet;
mod slab;
mod stats;
mod value;

pub use chain::{ChainBody, ChainId, Item, Position};
pub use class::Class;
pub use hub::Hub;
pub use json::QuoteJson;
pub use message::Message;
pub use outlet::{ClientId, Outlet, Push, SubId};
pub use stats::{Held, Stats};
pub use value::ValueId;
