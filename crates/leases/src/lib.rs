//! Who keeps an indicator alive, and its latest value; in memory or in Redis.
//!
//! A **lease** says that a subscriber (a user in a session) wants one indicator of one
//! symbol and timeframe, the [`LeaseKey`]. It is kept alive by heartbeats; who is silent for
//! [`Settings::idle`] is swept. The trait [`Leases`] has two stores: [`MemoryLeases`] for a
//! node that is alone, [`RedisLeases`] for several that share, where each operation is one
//! script that the server runs as a whole. Everything is idempotent, so that an operation
//! whose answer was lost can be repeated.
//!
//! Values of a mock run live in [`MockValues`], which know nothing but memory: no Redis and
//! no real run ever sees them.
//!
//! ```
//! use strikewire_leases::{LeaseKey, Leases, MemoryLeases, Settings, Subscriber};
//! use strikewire_types::Now;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let leases = MemoryLeases::new(Settings::default());
//! let key = LeaseKey::new("NIFTY", "5min", "RSI_14");
//! let (first, second) = (Subscriber::new(7, "web")?, Subscriber::new(8, "phone")?);
//! let now = Now::default();
//!
//! let leased = leases.subscribe(now, &first, None, &[key.clone()]).await?;
//! assert!(leased[0].is_new);
//! leases.subscribe(now, &second, None, &[key.clone()]).await?;
//! leases.subscribe(now, &second, None, &[key.clone()]).await?;
//! assert_eq!(leases.record(&key).await?.unwrap().ref_count, 2);
//!
//! // The second one is heard of again, the first is not.
//! let later = now + Settings::default().idle;
//! assert_eq!(leases.heartbeat(later, &second, &[key.clone()]).await?, [true]);
//! let gone = leases.sweep(later).await?;
//! assert_eq!(gone.len(), 1);
//! assert_eq!(gone[0].subscriber, first);
//! assert!(!gone[0].stopped);
//!
//! let released = leases.unsubscribe(&second, &[key]).await?;
//! assert!(released[0].stopped);
//! # Ok::<(), strikewire_leases::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod key;
mod memory;
mod mock;
mod record;
mod server;
mod store;
mod values;

pub use error::Error;
pub use key::{LeaseKey, Subscriber};
pub use memory::MemoryLeases;
pub use mock::{MOCK_TTL, MockValues};
pub use record::{Gone, Leased, Record, Released, Seen, Settings, Totals};
pub use server::{
    Health, LoginSession, LoginSessions, RedisConfig, RedisLeases, RedisUrl, TimeSource,
};
pub use store::Leases;
