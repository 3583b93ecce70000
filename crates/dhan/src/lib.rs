//! The DhanHQ v2 market-data adapter: Dhan's live feed as a
//! [`Feed`](strikewire_broker::Feed).
//!
//! The layers, from the bytes up, each usable without the next:
//!
//! - [`wire`]: the packets as they lie in a frame, the codes, the JSON of requests;
//! - [`split`](mod@split): several packets in one frame, taken apart without copying;
//! - [`decode`](mod@decode): packets to normalised updates;
//! - [`deliver`](mod@deliver): a frame to a sink, for the live feed and replays alike;
//! - [`control`]: batches to messages;
//! - [`connection`]: the states of a connection's life and their limits;
//! - [`budget`]: how often connections may be tried, restarts included;
//! - [`fleet`]: all connections as one machine without IO;
//! - [`DhanFeed`]: sockets and timers for it, in one future.
//!
//! Beside the feed, [`DhanRest`] asks for quotes, option chains, candles and the
//! instrument master; see [`rest`].
//!
//! What is known about the protocol, and what is done where the broker's
//! documentation and its feed differ, is in docs/DHAN.md.
//!
//! ```
//! use strikewire_broker::Update;
//! use strikewire_dhan::decode::decode;
//! use strikewire_dhan::split::{Piece, split};
//! use strikewire_types::PriceStep;
//!
//! // NIFTY 50 at 23378.35, as a ticker packet.
//! let frame = [2, 16, 0, 0, 13, 0, 0, 0, 0xb3, 0xa4, 0xb6, 0x46, 0x45, 0x33, 0x29, 0x6a];
//! for piece in split(&frame) {
//!     let Piece::Packet { packet, .. } = piece else { panic!("a known packet") };
//!     assert_eq!(packet.header().key(), Some("IDX_I:13".parse()?));
//!     let Some(Update::Ticker(ticker)) = decode(&packet, PriceStep::PAISA) else {
//!         panic!("a ticker")
//!     };
//!     assert_eq!(ticker.ltp, Some("23378.35".parse()?));
//!     assert_eq!(ticker.ltt.unwrap().to_string(), "2026-06-10T09:49:57+05:30");
//! }
//! # Ok::<(), strikewire_types::ParseError>(())
//! ```

pub mod budget;
pub mod connection;
pub mod control;
mod credentials;
pub mod decode;
pub mod deliver;
mod driver;
mod error;
mod feed;
pub mod fleet;
pub mod rest;
pub mod split;
mod stats;
pub mod wire;

pub use budget::BudgetConfig;
pub use connection::Limits;
pub use credentials::TokenSource;
pub use error::Error;
pub use feed::{DhanFeed, FEED_URL, FeedConfig, MAX_CONNECTIONS, MAX_PER_CONNECTION};
pub use rest::{DhanRest, RestConfig, RestLimits, RestTimeouts};
pub use stats::{ConnStats, Ended, FeedStats};
