//! Bars from ticks: minutes, and longer ones from minutes.
//!
//! Bars cover continuous trading and are counted from the open of the session by the
//! exchange's time: the first starts at 09:15 where trading starts at 09:15, and the last
//! ends with the session, however short that makes it. What is traded in an opening or
//! closing auction belongs to no bar.

mod aggregator;
mod minute;
mod session;

pub use aggregator::{Aggregator, Fill, aggregate};
pub use minute::{GRACE, MinuteBuilder, Tick};
pub use session::{bar_end, bar_start, bars_before, session_of};
