//! The server as its users see it: the real binary, a real socket to a stand-in for
//! Dhan that the test owns, and expectations that come from the master's text and from
//! the stand-in's own count.

mod account;
mod audit;
mod crash;
mod database;
mod harness;
mod listing;
mod model;
mod open;
mod problems;
mod real;
mod sharing;
mod socket;
mod standin;
mod standing;
mod store;
mod stream;
mod survival;
mod trading_day;
