//! A script of faults: what goes wrong when, as a TOML file.
//!
//! ```
//! use strikewire_dhan_sim::script::Script;
//!
//! let script: Script = r#"
//!     ## Five minutes after it connected every connection is reset, without a word.
//!     [[fault]]
//!     kind = "reset"
//!     age = "300s"
//!
//!     ## From half past nine on the oldest connection gets pings but no data for two minutes.
//!     [[fault]]
//!     kind = "stall"
//!     at = "09:30:00"
//!     sockets = [1]
//!     for = "2m"
//! "#
//! .parse()?;
//! assert_eq!(script.entries.len(), 2);
//!
//! let error = "[[fault]]\nkind = \"stal\"".parse::<Script>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "script, line 2: there is no kind `stal`, did you mean `stall`?"
//! );
//! # Ok::<(), strikewire_dhan_sim::Error>(())
//! ```
//!
//! # Keys
//!
//! `seed` at the top chooses what is left to chance (default 1). Each `[[fault]]` has
//! `kind`, one way to say when, and perhaps where and for how long:
//!
//! | key | is |
//! |---|---|
//! | `at = "09:20:00"` | when the clock of the stand-in first shows that time in India |
//! | `after = "30s"` | that long after the start |
//! | `age = "300s"` | on each connection when it is that old; with `jitter = "1s"` up to that much later, by chance |
//! | `after_packets = 1000` | on each connection when that many packets were sent on it, and before the next one; for faults of the account when that many were sent in all |
//! | `every = "10s"` | again and again; alone it begins after the first such time, beside `at`, `after` or `age` at theirs |
//! | `times = 3` | with `every`: so often in all (with `age` on each connection); without it for ever |
//! | `sockets = "all"`, `sockets = [1, 3]` | which connections, by age, 1 the oldest; default all |
//! | `random = 2` | that many connections, by chance |
//! | `for = "10s"` | how long it lasts; without it, as long as the connection, or for good |
//!
//! A duration is a number with `ms`, `s`, `m` or `h`, or several of them: `1m30s`. All
//! are times of the stand-in's clock. A fault on all connections also befalls those that
//! come while it lasts; otherwise it stays with the chosen ones.
//!
//! # Kinds
//!
//! | kind | further keys | |
//! |---|---|---|
//! | `reset` | | bare TCP reset, no close frame |
//! | `close` | `code` (1000 to 4999), `reason` (may be left out) | close frame |
//! | `disconnect` | `code` (such as 807) | disconnect packet, then a close |
//! | `mute` | | takes everything and is wholly silent, no pings |
//! | `stall` | | pings, but no data |
//! | `out_of_hours` | | the present state when subscribed, then pings only |
//! | `deaf` | | half-open: reads, processes and sends nothing, does not close |
//! | `drop_subscriptions` | `share` (0 to 1) | that share of the instruments of subscribe messages is lost |
//! | `ignore_unsubscribe` | | unsubscribe messages are lost |
//! | `delay` | `by` | data is late |
//! | `coalesce` | `packets` (1 to 5000) | many packets in a frame |
//! | `split` | `bytes` (1 to 65536) | writes of so many bytes at most |
//! | `zeros`, `garbage` | `frames_per_s` (1 to 10000) | frames of zeros, of random bytes |
//! | `unknown` | `code` (none that is known), `length` (8 to 1000) | such a packet after every good one |
//! | `market_status` | `segment`, `state` (default 0) | one packet with code 7 |
//! | `slow_reader` | `bytes_per_s` (20 to 1000000) | reads slowly |
//! | `clock_skew` | `by` (may begin with `-`, whole seconds) | times in packets are off |
//!
//! Of the account, without `sockets`, `random` and `age`:
//!
//! | kind | further keys | |
//! |---|---|---|
//! | `displace` | `connections` (default 1) | another client takes connections: 805 for the oldest; while it lasts so many fewer are left |
//! | `refuse` | `status` (300 to 599), `retry_after` (may be left out) | upgrades are refused |
//! | `hang` | | upgrades are not answered |
//! | `token_expired` | | 807 on all connections, 401 for upgrades with a known token |
//! | `token_rollover` | `token`, `grace` (default none) | a new token is valid; the old ones get 807 after the grace |
//! | `rest_error` | `status` (300 to 599) | every REST request is answered with it |

mod duration;
mod parse;
#[cfg(test)]
mod tests;

use core::str::FromStr;
use core::time::Duration;

use jiff::civil::Time;

use crate::Error;
use crate::faults::Incident;

/// The shortest time between two repetitions.
pub const SHORTEST: Duration = Duration::from_millis(10);

/// Entries of a script at most.
pub const MAX_ENTRIES: usize = 1_000;

/// What goes wrong when.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// Chooses what is left to chance. Default 1.
    pub seed: u64,
    /// What happens, [`MAX_ENTRIES`] at most; further ones are ignored.
    pub entries: Vec<Entry>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 1,
            entries: Vec::new(),
        }
    }
}

/// One thing that happens, once or again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When for the first time.
    pub when: When,
    /// After which time again; never when absent. [`SHORTEST`] at least. Means nothing
    /// to [`When::AfterPackets`].
    pub every: Option<Duration>,
    /// How often in all, where it is repeated; for ever when absent.
    pub times: Option<u32>,
    /// What happens.
    pub incident: Incident,
}

/// When something happens first, by the stand-in's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When it is next that time in India.
    At(Time),
    /// That long after the start.
    After(Duration),
    /// When that many packets were sent: on each connection, or, for a fault of the
    /// account, on all together.
    AfterPackets(u64),
    /// On each connection at this age. A fault of the account never happens so.
    Age {
        /// How old it is.
        after: Duration,
        /// Up to that much later, by chance.
        jitter: Duration,
    },
}

impl FromStr for Script {
    type Err = Error;

    /// Reads the TOML of a script.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse::script(text)
    }
}
