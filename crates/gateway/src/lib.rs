//! The running system: one thread that takes ticks, one owner of the subscription
//! book that never waits, one task that serves streaming clients, and one that asks the
//! broker what is not streamed.
//!
//! ```text
//! feed thread    socket -> packets -> TickPath -> quote row -> interest of the slot
//!                                                     | band crossed, first packet
//! owner thread   commands, crossings, connections -> Owner -> book -> effects
//!                                                     | chains, slots
//! hub task       windows -> Hub -> queue of each client
//! desk task      wishes for quotes -> the broker's REST side -> whoever waits, quote rows
//! ```
//!
//! [`build`] makes the parts out of a [`Config`], an instrument master, a clock and a
//! broker's [`Feed`](strikewire_broker::Feed) and
//! [`Reference`](strikewire_broker::Reference): a [`Gateway`] handle for those who ask
//! (REST, stream), and the four tasks that do the work. The composition root decides
//! which thread runs which; a test may run all of them on one.
//!
//! A request never waits inside the owner. What needs to wait for a price waits in
//! its own task and then sends one command; the owner applies it, journals it, and
//! the reply stays parked until the journal says that it is durable.
//!
//! With a broker that never connects:
//!
//! ```
//! use std::sync::Arc;
//!
//! use strikewire_broker::{Capabilities, Error, Feed, NoReference, Port, Sink};
//! use strikewire_gateway::registry::{LoadOptions, Registry};
//! use strikewire_gateway::calendar::Calendar;
//! use strikewire_gateway::types::Clock;
//! use strikewire_gateway::{Config, MemoryJournal, Parts, Setup, build};
//!
//! struct Silent;
//!
//! impl Feed for Silent {
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities { connections: 5, per_connection: 5_000, per_batch: 100 }
//!     }
//!     async fn run(self, _port: Port, _sink: impl Sink) -> Result<(), Error> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let master = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,\
//!     SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,\
//!     SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,\
//!     SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME\n\
//!     NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY\n";
//! let options = LoadOptions::new("2026-02-09".parse()?);
//! let registry = Arc::new(Registry::from_reader(master.as_bytes(), &options)?);
//!
//! let Parts { gateway, feed, owner, hub, desk, indicators } =
//!     build(Setup {
//!         config: Config::default(),
//!         registry,
//!         clock: Clock::system(),
//!         calendar: Calendar::builtin(),
//!         feed: Silent,
//!         reference: NoReference,
//!         journal: MemoryJournal::new,
//!         recovered: Default::default(),
//!         audit: None,
//!         leases: Default::default(),
//!     })?;
//! let owner = tokio::spawn(owner);
//! let hub = tokio::spawn(hub);
//! let desk = tokio::spawn(desk);
//! let indicators = tokio::spawn(indicators);
//! feed().await?;
//! assert_eq!(gateway.status().await?.total_subscriptions, 0);
//! assert_eq!(gateway.readiness().status, "starting");
//! gateway.stop().await;
//! owner.await?;
//! hub.await?;
//! desk.await?;
//! indicators.await?;
//! # Ok(())
//! # }
//! ```

mod bars;
mod client;
mod command;
mod config;
mod desk;
mod error;
mod handle;
mod hub;
mod indicators;
mod item;
mod journal;
mod master;
mod outbox;
mod owner;
mod page;
mod parts;
mod plan;
mod price;
mod published;
mod resolve;
mod status;
mod tick;
mod tier_b;

pub use client::{StreamChainRequest, StreamClient};
pub use command::{Added, ChainAnswer, Removed};
pub use config::Config;
pub use error::Error;
pub use handle::{Gateway, Quotes};
pub use indicators::{
    IndicatorConfig, IndicatorLease, IndicatorRelease, IndicatorValue, IndicatorWant, Indicators,
    LeaseSetup,
};
pub use item::{InstrumentType, ItemFilter, ItemState, ItemView};
pub use journal::{Journal, MemoryJournal};
pub use outbox::{Delivery, Inbox, StreamEnd, StreamLimits};
pub use parts::{FeedTask, Parts, Setup, Task, build};
pub use plan::{DryRun, EvictView, PlanError, StandingPlan, StandingWindow, plan_standing};
pub use price::SourcePrice;
pub use resolve::{ChainRequest, ItemRequest, TicksRequest};
pub use status::{
    ActiveRow, ConnCounters, ConnState, ConnectionStatus, Counters, Explanation, GapView, HeldView,
    HolderView, MarketStateView, MissingView, MissingWhat, Readiness, Reason, StatusView,
    TierBView, UndecodedView, WaitingView, WsStatus,
};
pub use strikewire_store::List;
pub use tick::TickPath;
pub use tier_b::{Contracts, TierBRule};

/// The words of the gateway's answers, for those who use it alone.
pub use {
    strikewire_calendar as calendar, strikewire_chain as chain, strikewire_indicators as studies,
    strikewire_leases as leases, strikewire_registry as registry, strikewire_store as store,
    strikewire_subscriptions as subscriptions, strikewire_types as types,
};
