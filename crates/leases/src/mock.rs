use core::time::Duration;

use strikewire_types::Now;

use crate::LeaseKey;
use crate::values::Values;

/// How long a value of a mock run lasts from its last write.
pub const MOCK_TTL: Duration = Duration::from_secs(300);

/// The latest values of a mock run.
///
/// They are in this process's memory and nowhere else: no store takes them, nothing that a
/// real run reads holds them, and they end with [`clear`](Self::clear) or the process. Their
/// names, `mock_indicator_value:...`, are no names of real values.
///
/// ```
/// use strikewire_leases::{LeaseKey, MOCK_TTL, MockValues};
/// use strikewire_types::Now;
///
/// let values = MockValues::new();
/// let key = LeaseKey::new("NIFTY", "5min", "RSI_14");
/// let now = Now::default();
/// values.put(now, &key, r#"{"value":55.3,"mock":true}"#);
/// assert!(values.value(now, &key).is_some());
/// assert_eq!(values.names(now), ["mock_indicator_value:NIFTY:5min:RSI_14:latest"]);
/// assert!(values.value(now + MOCK_TTL, &key).is_none());
/// ```
#[derive(Debug, Default)]
pub struct MockValues(Values);

impl MockValues {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a value, a text in JSON; it lasts for [`MOCK_TTL`].
    pub fn put(&self, now: Now, key: &LeaseKey, json: &str) {
        self.0.put(now.mono, key, json, MOCK_TTL);
    }

    /// The value; absent: there is none, or it has ended.
    #[must_use]
    pub fn value(&self, now: Now, key: &LeaseKey) -> Option<String> {
        self.0.get(now.mono, key)
    }

    /// Has a value last for [`MOCK_TTL`] from now; where there is none nothing happens.
    pub fn renew(&self, now: Now, key: &LeaseKey) {
        self.0.renew(now.mono, key, MOCK_TTL);
    }

    /// Takes a value away.
    pub fn drop_value(&self, key: &LeaseKey) {
        self.0.drop(key);
    }

    /// What the values are called, in order.
    #[must_use]
    pub fn names(&self, now: Now) -> Vec<String> {
        let keys = self.0.keys(now.mono);
        let mut names: Vec<_> = keys.iter().map(|key| key.value_key(true)).collect();
        names.sort_unstable();
        names
    }

    /// Takes all away: mock mode is left.
    pub fn clear(&self) {
        self.0.clear();
    }
}
