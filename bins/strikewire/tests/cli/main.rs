//! Runs the built command line. What is right is worked out from the text of the
//! master by plain splitting, not by the crates that the program uses.

mod auth;
mod chain;
mod diff;
mod fake;
mod fetch;
mod gateway;
mod instruments;
mod naive;
mod plan;
mod program;
mod real;
mod server;
mod sim;
mod usage;
mod watch;
