//! The running system: one thread that takes ticks, one owner of the subscription
//! book that never waits, and one task that serves streaming clients.
//!
//! ```text
//! feed thread    socket -> packets -> TickPath -> quote row -> interest of the slot
//!                                                     | band crossed, first packet
//! owner thread   commands, crossings, connections -> Owner -> book -> effects
//!                                                     | chains, slots
//! hub task       windows -> Hub -> queue of each client
//! ```
//!
//! [`build`] makes the parts out of a [`Config`], an instrument master, a clock and a
//! broker's [`Feed`](strikewire_broker::Feed): a [`Gateway`] handle for those who ask
//! (REST, stream), and the three tasks that do the work. The composition root decides
//! which thread runs which; a test may run all three on one.
//!
//! A request never waits inside the owner. What needs to wait for a price waits in
//! its own task and then sends one command; the owner applies it, journals it, and
//! the reply stays parked until the journal says that it is durable.

mod command;
mod config;
mod error;
mod handle;
mod hub;
mod item;
mod journal;
mod owner;
mod parts;
mod price;
mod status;
mod tick;

pub use command::{Added, ChainAnswer, Removed};
pub use config::Config;
pub use error::Error;
pub use handle::{ChainRequest, Gateway, ItemRequest, StreamClient, TicksRequest};
pub use hub::CLIENT_STALL_LIMIT;
pub use item::{InstrumentType, ItemFilter, ItemState, ItemView, List};
pub use journal::{Durability, Entry, Journal, MemoryJournal, Seq};
pub use parts::{FeedTask, Parts, Task, build};
pub use price::SourcePrice;
pub use status::{
    ConnCounters, ConnState, ConnectionStatus, Counters, Explanation, HolderView, Readiness,
    Reason, StatusView, WsStatus,
};
pub use tick::TickPath;

/// The words of the gateway's answers, for those who use it alone.
pub use {
    strikewire_chain as chain, strikewire_registry as registry,
    strikewire_subscriptions as subscriptions, strikewire_types as types,
};
