//! A stand-in for the DhanHQ v2 feed, and a generator of instrument masters.
//!
//! - [`generate`] makes a master like the broker's, for any day, of any size;
//! - [`market`] is a market of all its instruments, whose prices hang together;
//! - [`core`] is the broker's protocol without sockets: connections, limits, packets;
//! - [`faults`] are what can go wrong at the broker, [`script`] says when;
//! - [`SimServer`] puts it on a socket. Clients reach it by URL as they reach the
//!   broker.
//!
//! It shares the broker's packet structs with the adapter, and nothing else.
//!
//! ```
//! use std::sync::Arc;
//! use strikewire_dhan_sim::{Config, SimServer, generate::{Spec, generate}};
//! use strikewire_registry::{LoadOptions, Registry};
//! use strikewire_types::{Clock, ClockSpec};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let as_of = "2026-02-09".parse()?;
//! let mut master = Vec::new();
//! generate(&Spec { rows: 2_000, ..Spec::new(as_of) }, &mut master)?;
//! let registry = Registry::from_reader(&master[..], &LoadOptions::new(as_of))?;
//!
//! let clock = Clock::simulated("2026-02-09T10:00:00+05:30".parse::<ClockSpec>()?);
//! let any_port = "127.0.0.1:0".parse()?;
//! let server = SimServer::bind(any_port, Arc::new(registry), clock, Config::default()).await?;
//! println!("serving {}", server.url());
//! let handle = server.handle();
//! server.run(async { /* until something happens */ }).await;
//! assert_eq!(handle.counters().connected, 0);
//! # Ok(())
//! # }
//! ```

mod config;
pub mod core;
mod counters;
mod error;
pub mod faults;
#[cfg(test)]
mod fixture;
pub mod generate;
pub mod market;
pub mod rest;
pub mod script;
pub mod server;

pub use config::{Config, Credentials, ModeSemantics};
pub use counters::{Counters, Report};
pub use error::Error;
pub use rest::{RestCounters, RestFault, RestLimits};
pub use server::{SimHandle, SimServer};
