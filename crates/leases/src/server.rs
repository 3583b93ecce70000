//! The store that several nodes share.
//!
//! What is in Redis, each name after the prefix:
//!
//! | key | is | ends |
//! |---|---|---|
//! | `indicator_sub:{key}` | the record, a text in JSON | `key_ttl` after the last heartbeat |
//! | `indicator_lease:session:{session}` | what the session holds: `{user}:{key}`, a sorted set in the order of names | likewise |
//! | `indicator_lease:keys` | keys by the time at which the sweep looks at them | `2 * key_ttl` after a node was last there |
//! | `indicator_lease:subscribers` | subscribers by such a time | likewise |
//! | `indicator_value:{key}:latest` | the latest value | the timeframe's length after the last write |
//! | `login_session:{session}` | a session of the interface | its idle time |
//!
//! The record is the only truth about its subscribers; the rest are indexes, and each is
//! renewed wherever it is written. The scripts (`server/lua`) change the record as text, not
//! by decoding it, because decoding fifty subscribers costs more than all the rest: the
//! entry of each subscriber begins with a line break, which JSON allows between values and
//! forbids within texts, so it is found by a plain search; times have ten digits and are
//! written in place; braces within texts are escaped, so that `}}}` is the end; where an
//! entry goes, the rest moves up and blanks follow the record. A text that these scripts did
//! not write counts as no record and is replaced by the next subscribe.

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
