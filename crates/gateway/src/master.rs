use std::sync::Arc;

use arc_swap::ArcSwap;
use strikewire_registry::Registry;

use crate::published::Published;

/// The instrument master in force. Ladders and instruments of one master mean nothing in
/// another, so whatever names them carries its number.
#[derive(Debug)]
pub(crate) struct Master {
    /// Counts the masters of this process.
    pub(crate) number: u64,
    pub(crate) registry: Arc<Registry>,
    /// Its calculated chains.
    pub(crate) chains: Published,
}

/// Where everybody finds the master in force; the owner alone replaces it.
pub(crate) type Shared = Arc<ArcSwap<Master>>;

impl Master {
    pub(crate) fn first(registry: Arc<Registry>) -> Shared {
        Arc::new(ArcSwap::from_pointee(Self::new(0, registry)))
    }

    pub(crate) fn new(number: u64, registry: Arc<Registry>) -> Self {
        Self {
            number,
            registry,
            chains: Published::default(),
        }
    }
}
