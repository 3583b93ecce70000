//! What is asked and answered.

use strikewire_fanout::ValueId;
use strikewire_leases::LeaseKey;
use strikewire_types::InstrumentKey;

/// An indicator as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndicatorWant {
    /// A token or symbol. A symbol that only has futures means the front one.
    pub symbol: String,
    /// `1min`, `5min`, `15min`, `1h`, `1d`, or any number of minutes.
    pub timeframe: String,
    /// `RSI_14`, in letters of any case.
    pub indicator: String,
}

/// What a subscription came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndicatorLease {
    /// As it was asked for.
    pub want: IndicatorWant,
    /// Its canonical name: token, timeframe, id.
    pub key: LeaseKey,
    /// The instrument behind the token, in the instrument master in force.
    pub instrument: InstrumentKey,
    /// Nobody had it before.
    pub is_new: bool,
    /// How many subscribers it has now.
    pub ref_count: u32,
    /// What the stream calls it.
    pub value: ValueId,
}

/// What letting go came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndicatorRelease {
    /// Its canonical name.
    pub key: LeaseKey,
    /// The subscriber had it.
    pub was_held: bool,
    /// It was the last one.
    pub stopped: bool,
    /// How many subscribers it has now.
    pub ref_count: u32,
}

impl IndicatorWant {
    /// The canonical form of a key.
    pub(crate) fn of(key: &LeaseKey) -> Self {
        Self {
            symbol: key.symbol().to_owned(),
            timeframe: key.timeframe().to_owned(),
            indicator: key.indicator_id().to_owned(),
        }
    }
}
