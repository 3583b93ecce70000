//! The server as its users see it: the real binary, a real socket to a stand-in for
//! Dhan that the test owns, and expectations that come from the master's text and from
//! the stand-in's own count.

mod harness;
mod problems;
mod real;
mod sharing;
mod stream;
mod survival;
