//! What the bodies of answers say: pure functions of bytes, without IO.
//!
//! A [failure](strikewire_broker::ReferenceError) is found in all the places where the
//! broker puts one. Fields may be missing, null or empty, numbers may be texts, fields
//! may be added: none of it costs more than the field. What was said is handed on as it
//! is; the client takes secrets out of it.

pub use super::candles::candles;
pub use super::chain::{expiries, option_chain};
pub use super::failure::Answer;
pub use super::quotes::quotes;
