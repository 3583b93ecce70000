//! The registry from outside: a small master and, where `STRIKEWIRE_REAL_DATA` names
//! a folder with one, a real one.

mod diff;
mod ended;
mod fixture;
mod load;
mod lookup;
mod oracle;
mod real;
mod search;
mod succession;
