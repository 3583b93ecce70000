//! The request side over real sockets, against a small server of the tests' own.

mod bodies;
mod calls;
mod master;
mod real;
mod secrets;
mod support;
