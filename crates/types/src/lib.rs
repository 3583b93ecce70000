//! The words of Strikewire: segments and instrument keys, fixed-point prices and
//! strikes, expiries, tiers and modes, and the clock.
//!
//! Every number that crosses a crate boundary has a type of its own here, so that
//! a price is never taken for a strike or a slot for a security id. The crate does
//! no IO; the clock, behind the feature `clock`, is the only part that knows tokio.
//!
//! ```
//! use strikewire_types::{Expiry, InstrumentKey, Price, Strike};
//!
//! let key: InstrumentKey = "NSE_FNO:35060".parse()?;
//! assert_eq!(key.to_string(), "NSE_FNO:35060");
//! let ltp: Price = "1440.05".parse()?;
//! assert_eq!(ltp.raw(), 14_400_500);
//! let strike: Strike = "312.5".parse()?;
//! assert_eq!(strike.to_string(), "312.5");
//! let expiry: Expiry = "24-Feb-2026".parse()?;
//! assert_eq!(expiry.to_string(), "24FEB2026");
//! # Ok::<(), strikewire_types::ParseError>(())
//! ```

#[cfg(feature = "clock")]
mod clock;
mod error;
mod expiry;
mod instrument;
mod log_limit;
#[cfg(feature = "openapi")]
mod openapi;
mod price;
mod subscription;
mod time;

#[cfg(feature = "clock")]
pub use clock::{Clock, ClockSpec};
pub use error::ParseError;
pub use expiry::{Expiry, ExpiryKind};
pub use instrument::{Exchange, InstrumentKey, OptionType, SecurityId, Segment};
pub use log_limit::LogLimit;
pub use price::{Price, PriceStep, SCALE, Strike};
pub use subscription::{ConnId, Epoch, Mode, Slot, Tier};
pub use time::{ExchangeTime, IST_OFFSET_SECONDS, Mono, Now, Utc, ist_date, ist_time};
