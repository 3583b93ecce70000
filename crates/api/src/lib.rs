//! REST v2, the stream, readiness and metrics of a gateway, over HTTP.
//!
//! [`router`] makes an axum router of a [`Gateway`](strikewire_gateway::Gateway).
//! Every error is a problem document (RFC 9457) that names the thing and what would
//! have been accepted; the serde models of requests and answers are public, so that
//! a client in Rust can use them too.
//!
//! ```
//! use strikewire_api::{Code, Problem};
//!
//! let problem = Problem::new(Code::UnlistedExpiry, "RELIANCE has no expiry 25FEB2026 on NSE")
//!     .field("expiry")
//!     .choices(vec!["24FEB2026".into()]);
//! let body = serde_json::to_value(&problem)?;
//! assert_eq!(body["status"], 404);
//! assert_eq!(body["code"], "unlisted_expiry");
//! assert_eq!(body["choices"][0], "24FEB2026");
//! # Ok::<(), serde_json::Error>(())
//! ```

mod access;
mod cursor;
mod docs;
mod extract;
mod metrics;
pub mod model;
mod openapi;
mod problem;
mod rest;
mod router;
mod serve;
mod settings;
mod stream;

pub use access::{Access, Caller, Ended, Role, Sessions};
pub use metrics::{Bound, Kind, Label, METRICS, Metric, Metrics, describe_metrics};
pub use openapi::document as openapi;
pub use problem::{Code, Problem};
pub use router::{Api, Setup, router, router_with};
pub use serve::{Door, Tls, TlsError, serve};
pub use settings::{Control, Http, Rates, Reloaded, Settings, Stream};
