//! Keeps watchlists, claims, end-of-day markers, API keys, projections and the audit in
//! SQLite or PostgreSQL.
//!
//! One [`Store`] is opened per process. [`Store::recover`] tells what is known;
//! [`Store::start`] parts it into three:
//!
//! - the [`Recorder`], which the owner of the book calls and which never waits;
//! - the [`Writer`], a future that alone writes, and reports [`Outcome`]s;
//! - the [`Reader`], which answers queries of the audit beside it.
//!
//! **Durable changes** come in groups. The writer takes all groups that wait, writes them
//! in one transaction, and says [`Outcome::Durable`] with the last of them. A group is
//! kept as a whole, or its asks not at all. When a transaction fails the writer says
//! [`Outcome::Failed`] if there were asks in it, then [`Outcome::Down`]; until
//! [`Outcome::Up`] asks fail at once, and what happened anyway ([`Recorder::must`]) is
//! kept, and written before anything that comes later. A connection that is lost in the
//! middle of a commit counts as a failure.
//!
//! **Everything else is written behind**, within about a second, in short transactions
//! between groups: uses of items, projections, the audit. Its queue is bounded; what is
//! dropped from the audit is told there by a [`Action::Gap`] record. A failure there
//! alone is not an outcome; [`Stats::failing`] says it.
//!
//! **API keys** are made and revoked through [`Keys`], by any process, beside a running
//! server; the server reads them by [`Reader::api_keys`].
//!
//! Times are kept to the microsecond. In SQLite times are RFC 3339 texts in UTC, dates
//! `YYYY-MM-DD`, prices decimal texts; in PostgreSQL `TIMESTAMPTZ`, `DATE` and `NUMERIC`.
//! Both have rupees, and modes, tiers, states and actions as words.
//!
//! ```
//! use strikewire_store::{Action, AuditQuery, AuditRecord, Options, Outcome, Store};
//! use strikewire_types::Utc;
//!
//! # let folder = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let path = folder.path().join("strikewire.db");
//! let options = Options::new(format!("sqlite:{}", path.display()).parse()?);
//! let store = Store::open(&options).await?;
//! assert_eq!(store.recover().await?.last_item, 0);
//!
//! let reader = store.reader();
//! let (outcomes, _owner) = tokio::sync::mpsc::unbounded_channel::<Outcome>();
//! let (mut recorder, writer) = store.start(outcomes);
//! recorder.audit(AuditRecord {
//!     action: Action::Subscribe,
//!     token: "NIFTY_24FEB2026_25000CE".into(),
//!     reason: "watchlist".into(),
//!     owner: "user 7".into(),
//!     at: Utc::from_nanos(1_770_575_400_000_000_000),
//! });
//! drop(recorder);
//! writer.run().await;
//!
//! let page = reader.audit(&AuditQuery { limit: 10, ..AuditQuery::default() }).await?;
//! assert_eq!(&*page.items[0].record.owner, "user 7");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
pub mod crash;
mod error;
mod keys;
mod meters;
mod model;
mod options;
mod owed;
mod projections;
mod reader;
mod recorder;
mod sql;
mod store;
mod tables;
mod text;
mod writer;

pub use audit::{Action, AuditPage, AuditQuery, AuditRecord, AuditRow, Cursor};
pub use error::Error;
pub use keys::{KeyHash, KeyRecord, Keys, NewKey, Revoked, Role};
pub use model::{
    AtmRow, Change, Item, ItemState, List, Outcome, Recovered, Seq, SubscriptionRow, Use,
};
pub use options::{DatabaseUrl, Options};
pub use reader::Reader;
pub use recorder::{Recorder, Stats};
pub use store::Store;
pub use writer::Writer;
