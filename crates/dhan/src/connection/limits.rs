use core::time::Duration;

/// The times of the connections. All of them run on real monotonic time, whatever the
/// clock of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the first half of an attempt: name look-up and TCP. Default 5 s.
    pub connect: Duration,
    /// For the second half: TLS and the upgrade. Default 10 s.
    pub upgrade: Duration,
    /// Without a first packet that can be decoded, from the first subscription that was
    /// written, while data is expected. Default 30 s.
    pub first_data: Duration,
    /// Without anything arriving, not even a ping (the broker sends one every 10 s).
    /// Default 40 s.
    pub silence: Duration,
    /// Without a further packet that can be decoded, while data is expected.
    /// Default 30 s.
    pub stall: Duration,
    /// Of frames in which nothing can be decoded. Default 10 s.
    pub garbled: Duration,
    /// For writing a batch. Default 10 s.
    pub blocked: Duration,
    /// For taking leave of the broker. Default 1 s.
    pub close: Duration,
    /// The longest wait after a first failure; the wait is chosen at random up to it,
    /// and it doubles with each failure in a row. Default 500 ms.
    pub first_backoff: Duration,
    /// What the longest wait does not grow beyond. Default 30 s.
    pub max_backoff: Duration,
    /// Of life with data, for earlier failures to be forgotten. Default 30 s.
    pub stable: Duration,
    /// To stay away after the broker has complained of a request (804, 811 to 814),
    /// before the random wait; doubles with each complaint in a row. Default 5 s.
    pub fault_first: Duration,
    /// What that does not grow beyond. Default 60 s.
    pub fault_max: Duration,
    /// For all connections to stay away after the broker said that there are too many
    /// (805), before the random wait; doubles while the account is contended.
    /// Default 30 s.
    pub cool_off: Duration,
    /// What that does not grow beyond. Default 300 s.
    pub cool_off_max: Duration,
    /// In which three 805 make the account contended, and without one of which it is no
    /// longer. Default 300 s.
    pub contention: Duration,
    /// For all connections to stay away after an upgrade was refused with HTTP 429,
    /// before the random wait; doubles with each such refusal in a row. Default 60 s.
    pub lockout: Duration,
    /// What that does not grow beyond, unless the broker asks for more. Default 300 s.
    pub lockout_max: Duration,
    /// What is granted to a broker that asks for more. Default 1 h.
    pub retry_after_max: Duration,
    /// For all connections to stay away with a token that was refused, before the
    /// random wait; another token ends it. Default 30 s.
    pub refused_token: Duration,
    /// For a connection that was renewed with another token to bring data, before the
    /// next one is renewed all the same. Default 5 s.
    pub renewal: Duration,
    /// Between two looks at the source of the token. Default 5 s.
    pub token_look: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            upgrade: Duration::from_secs(10),
            first_data: Duration::from_secs(30),
            silence: Duration::from_secs(40),
            stall: Duration::from_secs(30),
            garbled: Duration::from_secs(10),
            blocked: Duration::from_secs(10),
            close: Duration::from_secs(1),
            first_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(30),
            stable: Duration::from_secs(30),
            fault_first: Duration::from_secs(5),
            fault_max: Duration::from_secs(60),
            cool_off: Duration::from_secs(30),
            cool_off_max: Duration::from_secs(300),
            contention: Duration::from_secs(300),
            lockout: Duration::from_secs(60),
            lockout_max: Duration::from_secs(300),
            retry_after_max: Duration::from_secs(3600),
            refused_token: Duration::from_secs(30),
            renewal: Duration::from_secs(5),
            token_look: Duration::from_secs(5),
        }
    }
}
