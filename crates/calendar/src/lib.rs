//! When each exchange and product class trades: sessions with their phases,
//! holidays, special days, the end of day.
//!
//! A [`Calendar`] answers questions about a [`Class`] and a point in time. It does no
//! IO and has no clock: time and the text of an override are arguments. Sessions are
//! data, in `data/calendar.toml` of this crate.
//!
//! ```
//! use jiff::civil::date;
//! use strikewire_calendar::{Calendar, Class, Phase};
//! use strikewire_types::{Exchange, Segment, Utc};
//!
//! let calendar = Calendar::builtin();
//! let class = calendar.class_of(Exchange::Nse, Segment::NseFno, "NIFTY");
//! assert_eq!(class, Class::NseDerivatives);
//!
//! // Monday, 2026-02-09, 10:00 in India.
//! let at = Utc::from_nanos(1_770_611_400_000_000_000);
//! let now = calendar.phase(class, at);
//! assert_eq!(now.phase, Phase::Continuous);
//! assert_eq!(now.since.to_string(), "2026-02-09T09:15:00.000+05:30");
//! assert_eq!(now.until.unwrap().to_string(), "2026-02-09T15:30:00.000+05:30");
//! assert_eq!(calendar.trading_day(class, at), date(2026, 2, 9));
//!
//! // A holiday that was announced after the release.
//! let calendar = calendar.with_overrides(
//!     r#"
//!     [[holidays]]
//!     classes = ["nse_cash", "nse_derivatives"]
//!     days = [{ date = 2026-02-09, name = "Elections" }]
//!     "#,
//! )?;
//! assert_eq!(calendar.trading_day(class, at), date(2026, 2, 10));
//! # Ok::<(), strikewire_calendar::Error>(())
//! ```
//!
//! # Updating
//!
//! The head of `data/calendar.toml` says what belongs where. A release carries the
//! holidays that were known; users lay a file of the same format over it
//! ([`Calendar::with_overrides`]). What a later file says of a class on a date
//! replaces all that was known of that date (so `closed = "none"` takes a holiday
//! back), a session with the same class and `valid_from` is replaced, other
//! `valid_from` dates are added between those that are there. Every mistake is an
//! [`Error`] that names its place.
//!
//! # Days
//!
//! A day is a calendar day in India. Phases lie inside one day, but may touch
//! midnight on both sides; then they are one phase. The close of MCX moves with the
//! daylight-saving time of the United States, which is computed from its rule.

mod calendar;
mod class;
mod error;
mod file;
mod phase;
mod rules;
mod season;

pub use calendar::{Calendar, Session};
pub use class::Class;
pub use error::Error;
pub use phase::{Phase, PhaseAt};
