//! REST v2, the stream, readiness and metrics of a gateway, over HTTP.
//!
//! [`router`] makes an axum router of a [`Gateway`](strikewire_gateway::Gateway).
//! Every error is a problem document (RFC 9457) that names the thing and what would
//! have been accepted; the serde models of requests and answers are public, so that
//! a client in Rust can use them too.

mod extract;
mod metrics;
pub mod model;
mod problem;
mod rest;
mod router;
mod stream;

pub use metrics::Metrics;
pub use problem::{Code, Problem};
pub use router::{Api, router};
