use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use strikewire_indicators::Fill;
use strikewire_leases::{RedisLeases, Settings};

/// How indicators are kept and computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndicatorConfig {
    /// How often those who gave no sign of life are looked for.
    pub sweep: Duration,
    /// What a bar without a trade is.
    pub fill: Fill,
    /// A bar is final this long after its end: trades of its last second may come late.
    pub grace: Duration,
    /// Subscriptions that one user may have through this node.
    pub max_per_user: usize,
    /// Different indicators that this node computes at most.
    pub max_keys: usize,
    /// Whether an indicator begins with the broker's candles.
    pub warm_up: bool,
}

impl Default for IndicatorConfig {
    fn default() -> Self {
        Self {
            sweep: Duration::from_secs(60),
            fill: Fill::None,
            grace: Duration::from_secs(1),
            max_per_user: 1_000,
            max_keys: 20_000,
            warm_up: true,
        }
    }
}

/// Where it is kept who wants which indicator.
#[derive(Clone, Default)]
pub struct LeaseSetup {
    /// The store that several nodes share; absent: this node's memory alone.
    pub shared: Option<Arc<RedisLeases>>,
    /// Whether values are those of a stand-in. They then never leave this process.
    pub mock: bool,
    /// How long a subscriber may be silent, and an untouched record stays.
    pub settings: Settings,
}

impl fmt::Debug for LeaseSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseSetup")
            .field("shared", &self.shared.is_some())
            .field("mock", &self.mock)
            .field("settings", &self.settings)
            .finish()
    }
}
