use core::time::Duration;

/// The times of a connection. All of them run on real monotonic time, whatever the
/// clock of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For an attempt as a whole: name look-up, TCP, TLS and the upgrade. Default 10 s.
    pub connect: Duration,
    /// Without anything arriving, not even a ping (the broker sends one every 10 s),
    /// before a connection counts as dead. Default 40 s.
    pub silence: Duration,
    /// The longest wait after a first failure; the wait is chosen at random up to it,
    /// and it doubles with each failure in a row. Default 500 ms.
    pub first_backoff: Duration,
    /// What the longest wait does not grow beyond. Default 30 s.
    pub max_backoff: Duration,
    /// From coming up to the last thing that arrived, for earlier failures to be
    /// forgotten when it falls. Default 30 s.
    pub stable: Duration,
    /// To stay away after the broker said that there are too many connections (805),
    /// before the random wait. Default 30 s.
    pub contended: Duration,
    /// To stay away after an upgrade was refused with HTTP 429, before the random
    /// wait; doubles with each such refusal in a row. Default 60 s.
    pub refused_first: Duration,
    /// What that does not grow beyond. Default 300 s.
    pub refused_max: Duration,
    /// To stay away after an upgrade was refused with HTTP 401 or 403, before the
    /// random wait. Default 30 s.
    pub unauthorized: Duration,
    /// For saying goodbye to the broker on all connections together. Default 1 s.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(40),
            first_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(30),
            stable: Duration::from_secs(30),
            contended: Duration::from_secs(30),
            refused_first: Duration::from_secs(60),
            refused_max: Duration::from_secs(300),
            unauthorized: Duration::from_secs(30),
            goodbye: Duration::from_secs(1),
        }
    }
}
