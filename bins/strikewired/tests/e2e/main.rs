//! The server as its users see it: the real binary, a real socket to a stand-in for
//! Dhan that the test owns, and expectations that come from the master's text and from
//! the stand-in's own count.

mod access;
mod account;
mod audit;
mod crash;
mod database;
mod harness;
mod hostile;
mod indicator_stream;
mod indicators;
mod listing;
mod metrics;
mod model;
mod open;
mod problems;
mod real;
mod redis_away;
mod redis_server;
mod redis_shared;
mod reload;
mod sharing;
mod socket;
mod standin;
mod standing;
mod store;
mod stream;
mod stream_chains;
mod stream_clients;
mod survival;
mod trading_day;
