//! The Strikewire server as a library: [`Config`] from a file, the environment and
//! flags; [`Server::start`], the one place where the parts are put together.
//!
//! ```
//! use strikewired::{Args, Config};
//!
//! let config = Config::load(&Args::default())?;
//! assert!(config.to_toml()?.contains("listen = \"127.0.0.1:8080\""));
//! # Ok::<(), anyhow::Error>(())
//! ```

mod access;
mod args;
mod config;
mod lock;
pub mod logging;
mod master;
mod meters;
mod reload;
mod server;
mod standin;
mod threads;

pub use args::{Args, Broker};
pub use config::{Config, SAMPLE};
pub use lock::DataDir;
pub use meters::Recorder;
pub use reload::{Hangups, ReloadTls, Reloader};
pub use server::{Server, interrupted};
