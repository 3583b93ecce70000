//! What a chain is to the hub.

use std::sync::Arc;

use serde_json::{Map, Value};
use strikewire_types::InstrumentKey;

/// A chain, as whoever runs the hub numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(pub u64);

/// An instrument and what clients call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The instrument.
    pub key: InstrumentKey,
    /// Its token.
    pub token: Arc<str>,
}

/// What a chain is apart from its quotes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChainBody {
    /// The members of the chain's JSON. `live_ltp` is overwritten as soon as the underlying
    /// has a price in the quote table.
    pub fields: Map<String, Value>,
    /// The legs whose quotes are streamed.
    pub legs: Vec<Item>,
    /// The instrument whose last price is `live_ltp`.
    pub underlying: Option<Item>,
}

/// A place in a chain's sequence, as a client read it in its last snapshot or delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The `epoch` of that message.
    pub epoch: String,
    /// Its `seq`.
    pub seq: u64,
}
