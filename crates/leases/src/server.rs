//! The store that several nodes share.
//!
//! What is in Redis, each name after the prefix:
//!
//! | key | is | ends |
//! |---|---|---|
//! | `indicator_sub:{key}` | the record, a text in JSON | `key_ttl` after the last heartbeat |
//! | `indicator_lease:places:{key}` | where in the record the entry of each subscriber is, a hash | with the record |
//! | `indicator_lease:session:{session}` | what the session holds: `{user}:{key}`, a sorted set in the order of names | likewise |
//! | `indicator_lease:keys` | keys by the time at which the sweep looks at them | `2 * key_ttl` after a node was last there |
//! | `indicator_lease:subscribers` | subscribers by such a time | likewise |
//! | `indicator_value:{key}:latest` | the latest value | the timeframe's length after the last write |
//! | `indicator_lease:data` | a mark that is gone when the data is | as the indexes |
//! | `login_session:{session}` | a session of the interface | its idle time |
//!
//! The record is the only truth about its subscribers; the rest are indexes, and each is
//! renewed wherever it is written. The scripts (`server/lua`) read and write small parts of
//! the record in place, because each text of some kilobytes costs a script more than all the
//! rest: times and the count have a fixed width (a count has blanks before it) and the
//! fields with a fixed place come first; the entry of each subscriber begins with a line
//! break, which JSON allows between values and forbids within texts, so that a glance at its
//! place tells whether it is there; braces and quotes within texts are escaped, so that `}` ends
//! an entry; where an entry goes, blanks stay, until they are more than half of the record.
//! A text that these scripts did not write counts as no record and is replaced by the next
//! subscribe.
//!
//! Deadlines are lazy: a heartbeat writes the time into the record and moves no deadline. The
//! sweep reads the records that are due, lets go of those that are silent, and puts the rest
//! off until the first of them can be.

mod config;
mod leases;
mod link;
mod scripts;
mod sessions;
mod updates;
mod url;

pub use config::{RedisConfig, TimeSource};
pub use leases::RedisLeases;
pub use link::Health;
pub use sessions::{LoginSession, LoginSessions};
pub use url::RedisUrl;
