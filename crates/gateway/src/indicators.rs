//! Indicators that many want: who holds which, and the latest values.
//!
//! ```text
//! REST, stream -> Indicators -> Keeper: one request of a subscriber after the other
//!                                  | Service: holders here, mirror, shared store
//!                                  v
//!                               Computing -> engine -> values -> hub, memory, shared store
//! ```

mod config;
mod engine;
mod handle;
mod holders;
mod labels;
mod lanes;
mod ledger;
mod make;
mod meters;
mod model;
mod resolve;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod value;
mod values;

use std::sync::Arc;

use strikewire_fanout::ValueId;
use strikewire_leases::LeaseKey;

pub use config::{IndicatorConfig, LeaseSetup};
pub(crate) use engine::{
    ComputeSpec, ComputeState, Computing, Engine, Latest, Outside, Published, Settings, Sink, run,
};
pub use handle::Indicators;
pub(crate) use make::{Made, make};
pub use model::{IndicatorLease, IndicatorRelease, IndicatorWant};
pub use value::IndicatorValue;

/// What computes: [`Computing`], or what a test puts in its place. No call waits; of several
/// about one key the last one counts.
trait Compute: Send + Sync {
    /// Has a key computed, or changes how.
    fn want(&self, spec: ComputeSpec);
    /// Nobody here wants the key any more.
    fn unwant(&self, key: &LeaseKey);
    /// The latest value.
    fn latest(&self, key: &LeaseKey) -> Option<Arc<Latest>>;
    /// What the hub calls the key's values.
    fn value_id(&self, key: &LeaseKey) -> ValueId;
    /// How far it is; absent: it is not computed.
    fn state(&self, key: &LeaseKey) -> Option<ComputeState>;
}
