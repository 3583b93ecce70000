use core::time::Duration;

use strikewire_chain::Defaults;
use strikewire_subscriptions as subscriptions;

use crate::{IndicatorConfig, TierBRule};

/// How the gateway behaves. The defaults are those of the documentation.
#[derive(Debug, Clone)]
pub struct Config {
    /// Capacity, batches, linger and grace of the subscription book.
    pub book: subscriptions::Config,
    /// Strikes of a chain where a request names no width.
    pub widths: Defaults,
    /// A calculated chain that is read is calculated anew after this long.
    pub chain_ttl: Duration,
    /// How long a request waits for the price of an underlying.
    pub price_wait: Duration,
    /// A price is live for this long after its exchange time.
    pub live_within: Duration,
    /// The same for MCX, where trades are rarer.
    pub live_within_mcx: Duration,
    /// Chains are centred on pre-open prices this long before the open.
    pub pre_open_lead: Duration,
    /// What is always on, the most important first.
    pub tier_b: Vec<TierBRule>,
    /// How indicators are kept and computed.
    pub indicators: IndicatorConfig,
    /// Seed of everything random: the ids of stream epochs.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            book: subscriptions::Config::default(),
            widths: Defaults::default(),
            chain_ttl: Duration::from_secs(300),
            price_wait: Duration::from_secs(2),
            live_within: Duration::from_secs(60),
            live_within_mcx: Duration::from_secs(300),
            pre_open_lead: Duration::from_secs(120),
            tier_b: TierBRule::defaults(),
            indicators: IndicatorConfig::default(),
            seed: 0,
        }
    }
}
