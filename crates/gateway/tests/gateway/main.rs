//! The gateway against a broker that the test plays itself, on one thread and in
//! paused time: what the owner, the tick path and the hub do together.

mod chain;
mod day;
mod desk;
mod dry_run;
mod durable;
mod feed;
mod flows;
mod indicators;
mod ledger;
mod play;
mod recovery;
mod rest;
mod review;
mod standing;
mod streams;
mod swap;
