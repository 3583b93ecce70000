//! What is at the money: the strikes around a price, when they change, and a machine
//! that keeps a chain around the money.
//!
//! [`Window`] is a part of a ladder of the registry, found by binary search and
//! borrowed, never copied; [`Band`] says how far the price may go before the window
//! is looked for again; [`Follower`] does that for one chain; [`ChainView`] is what
//! users see. The crate knows no clock, no sockets and no runtime.
//!
//! ```
//! use strikewire_chain::{Width, Window};
//! use strikewire_registry::{ChainQuery, LoadOptions, Registry};
//!
//! let mut master = "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME\n".to_owned();
//! for (i, strike) in (2600..=2700).step_by(5).enumerate() {
//!     for (j, leg) in ["CE", "PE"].into_iter().enumerate() {
//!         let id = 50_000 + 2 * i + j;
//!         master += &format!("NSE,D,{id},OPTSTK,0,TCS-Feb2026-{strike}-{leg},175.0,,2026-02-24 14:30:00,{strike}.00000,{leg},5.0000,M,OP,,\n");
//!     }
//! }
//! let options = LoadOptions::new("2026-02-09".parse()?);
//! let registry = Registry::from_reader(master.as_bytes(), &options)?;
//! let query = ChainQuery { symbol: "TCS", kind: None, exchange: None, expiry: None };
//! let ladder = registry.resolve_chain(&query)?.ladder;
//!
//! let window = Window::new(ladder, "2641.5".parse()?, Width::new(5)?)?;
//! assert_eq!(window.atm_strike().to_string(), "2640");
//! assert_eq!(window.rungs().len(), 5);
//! assert_eq!(window.strike_step().map(|step| step.to_string()).as_deref(), Some("5"));
//! assert!(!window.band().leaves("2646.45".parse()?));
//! assert!(window.band().leaves("2646.5".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod band;
mod error;
mod follower;
mod view;
mod width;
mod window;

pub use band::Band;
pub use error::Error;
pub use follower::{Decision, Follower, Forced, PriceQuality};
pub use view::{ChainFacts, ChainView, Legs, PriceSource, StrikeLegs};
pub use width::{Defaults, Width};
pub use window::{Span, Window, at_the_money};
